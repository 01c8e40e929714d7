//! `README.md` beside the bake file.

use super::{Context, Rendered};
use crate::stack::Stack;

/// Returns how the images are built, and what is left out.
pub fn readme(stack: &Stack, made: &Rendered) -> String {
    let mut text = format!(
        "# {}\n\nDockerfiles rendered by laminate. Build all images with buildx:\n\n```sh\ndocker buildx bake          # TAG=… docker buildx bake --push publishes them\n```\n\nCheck them out with umask 022: `COPY` keeps the modes of files.\n\nOr image by image with BuildKit alone, in this order. HOST/… is where the images are pushed to:\n\n```sh\n",
        stack.name()
    );
    for target in &made.targets {
        text.push_str(&format!(
            "buildctl build --frontend dockerfile.v0 --local context={} --local dockerfile={}",
            target.context,
            target.dockerfile.trim_end_matches("/Dockerfile"),
        ));
        for (name, context) in &target.contexts {
            let value = match context {
                Context::Target(target) => format!("docker-image://HOST/{target}"),
                Context::Image(reference) => format!("docker-image://{reference}"),
                Context::Folder(path) => {
                    text.push_str(&format!(" \\\n  --local {name}={path}"));
                    format!("local:{name}")
                }
            };
            text.push_str(&format!(" \\\n  --opt context:{name}={value}"));
        }
        for (name, value) in &target.args {
            text.push_str(&format!(
                " \\\n  --opt {}",
                crate::compile::quote(&format!("build-arg:{name}={value}"))
            ));
        }
        if let Some(stage) = &target.stage {
            text.push_str(&format!(" \\\n  --opt target={stage}"));
        }
        for id in &target.secrets {
            text.push_str(&format!(" \\\n  --secret id={id},env={id}"));
        }
        for id in &target.agents {
            text.push_str(&format!(" \\\n  --ssh {id}"));
        }
        text.push_str(&format!(
            " \\\n  --output type=image,name=HOST/{},push=true\n",
            target.name
        ));
    }
    text.push_str("```\n");
    if !made.notes.is_empty() {
        text.push_str("\nDifferent from the images that laminate builds:\n\n");
        for note in &made.notes {
            text.push_str(&format!("- {}: {}\n", note.image, note.text));
        }
    }
    text
}
