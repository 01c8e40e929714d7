//! Images with `dockerfile:`: their Dockerfile stays as it is.

use super::files::{Content, File};
use super::{Context, Inputs, Rendered, Target, pinned};
use crate::compile::{BaseConfig, Entry};
use crate::diagnostic::Diagnostic;
use crate::dockerfile::context_name;
use crate::stack::{Dockerfile, Image, ImageId, ImageSource};

/// Returns whether the Dockerfile makes the whole image.
pub fn is_all(image: &Image) -> bool {
    image.steps.len() == 1
        && image.env.is_empty()
        && image.user.is_none()
        && image.config == crate::stack::Config::default()
}

/// Returns the config of an image that is built.
pub fn config(inputs: &Inputs, id: ImageId) -> Result<BaseConfig, Diagnostic> {
    let Inputs { stack, facts, .. } = inputs;
    let image = &stack[id];
    let is_needed = !is_all(image)
        || (stack.ids())
            .any(|other| stack.base(other) == Some(id) && stack[other].dockerfile().is_none());
    match facts.dockerfiles.get(&id) {
        Some(config) => Ok(config.clone()),
        None if !is_needed => Ok(BaseConfig::default()),
        None => Err(Diagnostic::error(format!(
            "image `{}` is not built, so that the config its Dockerfile makes is not known",
            image.name.value
        ))
        .at(
            image.name.span,
            "steps on it depend on its user and its shell",
        )
        .help("run `laminate build` with a registry first")),
    }
}

/// Adds the Dockerfile of an image with its files.
pub fn render(
    inputs: &Inputs,
    id: ImageId,
    file: &Dockerfile,
    mut target: Target,
    made: &mut Rendered,
) {
    let stack = inputs.stack;
    let folder = target.context.clone();
    target.context = format!("{folder}/context");
    target.dockerfile = format!("{folder}/Dockerfile");
    target.args = file.args.clone();
    target.stage.clone_from(&file.target);
    target.secrets = stack[id].steps[0]
        .secrets
        .iter()
        .map(|secret| secret.id.clone())
        .collect();
    if file.files.is_empty() {
        // git keeps no empty folder.
        let keep = format!("{}/.keep", target.context);
        made.files.text(&keep, String::new());
    }
    let of_stack = |path: &camino::Utf8Path| {
        let entry = Entry::of_stack(path, stack.files())?;
        File::of_entry(&entry, stack.files())
    };
    for (path, found) in &file.files {
        if let Some(file) = of_stack(found) {
            made.files
                .0
                .insert(format!("{}/{path}", target.context), file);
        }
    }
    let text = match &file.renamed {
        Some(text) => Some(File::Regular {
            mode: 0o644,
            content: Content::Bytes(text.clone().into_bytes()),
        }),
        None => of_stack(&file.file),
    };
    made.files
        .0
        .extend(text.map(|text| (target.dockerfile.clone(), text)));
    target.agents = file.agents.iter().cloned().collect();
    for (name, context) in &file.folders {
        let path = format!("{folder}/contexts/{}", name.replace(['/', ':'], "-"));
        if context.files.is_empty() {
            made.files.text(&format!("{path}/.keep"), String::new());
        }
        for (inside, found) in &context.files {
            if let Some(file) = of_stack(found) {
                made.files.0.insert(format!("{path}/{inside}"), file);
            }
        }
        target.contexts.insert(name.clone(), Context::Folder(path));
    }
    // Else a `.dockerignore` among the files would apply, which is not that of the stack.
    made.files.text(
        &format!("{}.dockerignore", target.dockerfile),
        "# Ignored files are not in the context.\n".to_owned(),
    );
    add_images(inputs, id, file, &mut target);
    made.targets.push(target);
}

/// Adds the images that a Dockerfile names.
fn add_images(inputs: &Inputs, id: ImageId, file: &Dockerfile, target: &mut Target) {
    let Inputs {
        stack,
        facts,
        names,
    } = inputs;
    let image = &stack[id];
    let mut add = |name: &str, context: Context| {
        target.contexts.insert(context_name(name), context);
    };
    for (name, source) in &file.images {
        match source {
            ImageSource::InStack(other) => {
                if let Some(copied) = image.copied.get(&other.value) {
                    add(name, Context::Target(names.target(*copied).to_owned()));
                }
            }
            ImageSource::External(external) => {
                let reference = pinned(&external.reference.value, facts);
                add(name, Context::Image(reference));
            }
        }
    }
    if let Some(name) = &file.base {
        match &image.base {
            crate::stack::Base::Image(parent) => {
                add(name, Context::Target(names.target(*parent).to_owned()));
            }
            crate::stack::Base::External(external) => {
                let reference = pinned(&external.reference.value, facts);
                add(name, Context::Image(reference));
            }
            crate::stack::Base::Scratch => {}
        }
    }
}
