//! Dockerfiles that build the images of a stack without laminate: the way out.
//!
//! [`render`] returns a folder for each image with its Dockerfile and the files it uses, a bake file, and what a
//! Dockerfile cannot have. Steps become instructions that people can maintain where there is an equal one; other steps
//! run the command that laminate runs, from a script in the folder. A command is taken from the operation that `compile`
//! makes, so that it is the same.

mod bake;
mod config;
mod dockerfile;
mod files;
mod image;
mod mounts;
mod names;
mod placed;
mod readme;
mod scripts;
mod start;
mod step;
#[cfg(test)]
mod tests;
mod variables;
mod words;

use std::collections::BTreeMap;

use crate::compile::BaseConfig;
use crate::diagnostic::Diagnostic;
use crate::name::{Digest, Reference};
use crate::stack::{Compression, Image, ImageId, ImageSource, Refs, Stack};

pub use files::{Content, File, Files};
use names::Names;

/// What must be known of images that are not made by steps.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The digest of each external image that is known.
    pub external: BTreeMap<Reference, Digest>,
    /// The configs of external bases.
    pub bases: BTreeMap<Reference, BaseConfig>,
    /// The configs of images with a Dockerfile that are built.
    pub dockerfiles: BTreeMap<ImageId, BaseConfig>,
}

/// Something that the Dockerfile of an image does not have, or has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The image, with its variant.
    pub image: String,
    /// What differs.
    pub text: String,
}

impl Note {
    /// Returns a note about an image.
    fn new(image: &str, text: String) -> Self {
        let image = image.to_owned();
        Self { image, text }
    }
}

/// An image as a target of the bake file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name in the bake file.
    pub name: String,
    /// The image, with its variant.
    pub label: String,
    /// Its context, relative to the bake file.
    pub context: String,
    /// Its Dockerfile, relative to the bake file.
    pub dockerfile: String,
    /// Names of its Dockerfile for other images, and what they stand for.
    pub contexts: BTreeMap<String, Context>,
    /// Arguments.
    pub args: BTreeMap<String, String>,
    /// The stage to build.
    pub stage: Option<String>,
    /// Secrets, by the names that their steps have for them.
    pub secrets: Vec<String>,
    /// The SSH agents that its Dockerfile uses.
    pub agents: Vec<String>,
    /// Its name in a registry, without a tag.
    pub repository: Option<String>,
    /// The variant, if the stack has any.
    pub variant: Option<String>,
    /// Whether it is an image of the stack, and not only the base of one.
    pub is_image: bool,
}

/// What a name of a Dockerfile stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    /// Another target.
    Target(String),
    /// An image of a registry.
    Image(String),
    /// A folder, relative to the bake file.
    Folder(String),
}

/// A rendered stack.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// All files, relative to the folder they are for.
    pub files: Files,
    /// Parents before children.
    pub targets: Vec<Target>,
    /// What differs.
    pub notes: Vec<Note>,
}

/// Renders a stack. Fails with everything that no Dockerfile can have.
pub fn render(stack: &Stack, facts: &Facts) -> Result<Rendered, Vec<Diagnostic>> {
    let mut made = Rendered::default();
    let mut problems = Vec::new();
    let mut configs = BTreeMap::new();
    let inputs = Inputs {
        stack,
        facts,
        names: Names::new(stack),
    };
    for id in stack.ids() {
        let base = stack.base(id);
        if base.is_some_and(|base| !configs.contains_key(&base)) {
            // It is reported why its base cannot be rendered.
            continue;
        }
        let result = image::render(&inputs, id, &mut configs, &mut made);
        problems.extend(result.err());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    made.notes.sort_by(|a, b| a.image.cmp(&b.image));
    let notes = left_out(stack);
    made.notes.extend(notes);
    let bake = bake::bake(&made.targets);
    made.files.text("docker-bake.json", bake);
    let text = readme::readme(stack, &made);
    made.files.text("README.md", text);
    Ok(made)
}

/// Returns what no image of the stack has in its Dockerfile.
fn left_out(stack: &Stack) -> Vec<Note> {
    let any = |is: fn(&Image) -> bool| stack.images().iter().any(is);
    let parts = [
        ("tests", any(|image| !image.proof.suites.is_empty())),
        ("policy", any(|image| !image.proof.policy.is_empty())),
        ("info", any(|image| !image.proof.info.is_empty())),
        ("refresh", any(|image| image.refresh.is_some())),
        ("channels", !stack.channels().is_empty()),
        ("policy.refs", *stack.refs() != Refs::default()),
        ("build.ca", stack.build().ca.is_some()),
        ("compression", stack.compression() != Compression::default()),
    ];
    let found = parts.iter().filter(|(_, is_there)| *is_there);
    found
        .map(|(key, _)| Note {
            image: stack.name().to_string(),
            text: format!("`{key}:` is left out"),
        })
        .collect()
}

/// What is rendered, and what is known of it.
struct Inputs<'a> {
    stack: &'a Stack,
    facts: &'a Facts,
    names: Names,
}

impl Inputs<'_> {
    /// Returns the name that a Dockerfile has for an image.
    fn written_name(&self, source: &ImageSource) -> String {
        match source {
            ImageSource::InStack(name) => self.names.context(&name.value).to_owned(),
            ImageSource::External(image) => pinned(&image.reference.value, self.facts),
        }
    }
}

/// Returns an external image with its digest, if that is known.
fn pinned(reference: &Reference, facts: &Facts) -> String {
    match facts.external.get(reference) {
        Some(digest) if reference.digest.is_none() => {
            // The tag says what the digest is of.
            format!("{reference}@{digest}")
        }
        _ => reference.to_string(),
    }
}
