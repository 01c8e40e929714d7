//! `dockerfile`: what the Dockerfile frontend of the engine builds, the first step of an image that has the key.

mod folders;
mod missing;
mod read;
mod unused;

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use serde_json::{Value as Json, json};

pub use folders::FolderContext;
pub use read::{ReadDockerfile, read};

use crate::diagnostic::Diagnostic;
use crate::dockerfile::{self, Uses, Word};
use crate::name::{Digest, Reference};
use crate::stack::image_source::ImageSource;

/// A Dockerfile with everything it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// The file, under `images/`.
    pub file: Utf8PathBuf,
    /// `context:`, a folder under `images/`.
    pub context: Utf8PathBuf,
    /// `ignore:`, or the `.dockerignore` that is used.
    pub ignore: Option<Utf8PathBuf>,
    /// Paths that its instructions name, and that file ignores.
    pub ignored: BTreeSet<String>,
    /// Paths that its instructions name, and that are not in the context. Errors are reported if the image is built.
    pub missing: BTreeMap<String, Diagnostic>,
    /// `target:`.
    pub target: Option<String>,
    /// `args:`.
    pub args: BTreeMap<String, String>,
    /// `contexts:`, the names that the file has for images.
    pub contexts: BTreeMap<String, ImageSource>,
    /// `contexts:`, the names that the file has for folders.
    pub folders: BTreeMap<String, FolderContext>,
    /// The files of the context that it uses, by their path there.
    pub files: BTreeMap<String, Utf8PathBuf>,
    /// The name that the file has for the base of the image; `None`: `scratch`.
    pub base: Option<String>,
    /// All other images it uses, by the name it has for them.
    pub images: BTreeMap<String, ImageSource>,
    /// All files of the context, until it is known whether a trigger of its base, an image of the stack, copies some.
    pub whole: BTreeMap<String, Utf8PathBuf>,
    /// Whether it has `ONBUILD`.
    pub has_triggers: bool,
    /// Whether an `ONBUILD` of it copies files of the context of the image that is based on it.
    pub triggers_copy: bool,
    /// Its text with other names for images whose names are those of stages. The frontend takes one for the other.
    pub renamed: Option<String>,
    /// IDs of the SSH agents that it needs.
    pub agents: BTreeSet<String>,
}

impl Dockerfile {
    /// Gives images other names in the text if a stage has the same name.
    fn rename(&mut self, parsed: &dockerfile::Dockerfile, uses: &Uses, text: &str) {
        let mut words: Vec<&Word> = uses.images.iter().chain(uses.root.image()).collect();
        words.retain(|word| {
            let name = dockerfile::context_name(&word.value);
            let is_context = self.contexts.contains_key(&name) || self.folders.contains_key(&name);
            !is_context && parsed.has_stage(&word.value)
        });
        words.sort_by_key(|word| word.range.start);
        let mut renamed = text.to_owned();
        for word in words.into_iter().rev() {
            let other = format!("{}-image", word.value.replace(':', "-"));
            let written = &text[word.range.clone()];
            // A mount has other settings beside the name.
            let edited = match written.split_once(&format!("from={}", word.value)) {
                Some((before, after)) => format!("{before}from={other}{after}"),
                None => other.clone(),
            };
            renamed.replace_range(word.range.clone(), &edited);
            if let Some(source) = self.images.remove(&word.value) {
                self.images.insert(other.clone(), source);
            }
            if self.base.as_ref() == Some(&word.value) {
                self.base = Some(other);
            }
        }
        if renamed != text {
            self.renamed = Some(renamed);
        }
    }

    pub(super) fn title(&self) -> String {
        let name = self.file.file_name().unwrap_or_default();
        match &self.target {
            Some(target) => format!("dockerfile {name} ({target})"),
            None => format!("dockerfile {name}"),
        }
    }

    pub(super) fn canonical(&self) -> Json {
        let Self {
            file,
            // Which files are used is part of the key.
            context: _,
            ignore: _,
            ignored: _,
            missing: _,
            target,
            args,
            contexts: _,
            folders,
            files,
            base,
            images,
            // These follow from the file.
            has_triggers: _,
            triggers_copy: _,
            whole: _,
            renamed: _,
            agents: _,
        } = self;
        let images = images.iter();
        let images = images.map(|(name, source)| (name.clone(), json!(source.to_string())));
        let mut key = json!({
            "file": file,
            "target": target,
            "args": args,
            "files": files,
            "base": base,
            "images": Json::Object(images.collect()),
        });
        let used = folders
            .iter()
            .filter(|(_, folder)| !folder.files.is_empty());
        let used: BTreeMap<_, _> = used.map(|(name, folder)| (name, &folder.files)).collect();
        if !used.is_empty() {
            key["folders"] = json!(used);
        }
        key
    }

    pub(super) fn all_files(&self) -> impl Iterator<Item = &Utf8PathBuf> {
        let folders = self.folders.values();
        let folders = folders.flat_map(|folder| folder.files.values());
        self.files.values().chain(folders).chain([&self.file])
    }

    pub(super) fn pin(&mut self, digests: &BTreeMap<Reference, Digest>) {
        let images = self.images.values_mut().chain(self.contexts.values_mut());
        for image in images {
            image.pin(digests);
        }
    }
}
