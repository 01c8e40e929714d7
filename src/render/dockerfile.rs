//! Images with `dockerfile:`: their Dockerfile stays as it is.

use super::files::{Content, File};
use super::{Context, Facts, Rendered, Target, pinned, target_name};
use crate::compile::{BaseConfig, Entry};
use crate::diagnostic::Diagnostic;
use crate::dockerfile::context_name;
use crate::stack::{Dockerfile, Image, ImageId, ImageSource, Stack};

/// Returns whether the Dockerfile makes the whole image.
pub fn is_all(image: &Image) -> bool {
    image.steps.len() == 1
        && image.env.is_empty()
        && image.user.is_none()
        && image.config == crate::stack::Config::default()
}

/// Returns the config of an image that is built.
pub fn config(stack: &Stack, id: ImageId, facts: &Facts) -> Result<BaseConfig, Diagnostic> {
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
    stack: &Stack,
    id: ImageId,
    file: &Dockerfile,
    facts: &Facts,
    mut target: Target,
    made: &mut Rendered,
) {
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
    let image = &stack[id];
    let mut add = |name: &str, context: Context| {
        target.contexts.insert(context_name(name), context);
    };
    for (name, source) in &file.images {
        match source {
            ImageSource::InStack(other) => {
                if let Some(copied) = image.copied.get(&other.value) {
                    add(name, Context::Target(target_name(stack, *copied)));
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
                add(name, Context::Target(target_name(stack, *parent)));
            }
            crate::stack::Base::External(external) => {
                let reference = pinned(&external.reference.value, facts);
                add(name, Context::Image(reference));
            }
            crate::stack::Base::Scratch => {}
        }
    }
    made.targets.push(target);
}
