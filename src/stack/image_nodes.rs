//! The entries of `images:`, each with its declaration, and the folders of `images/` that belong to them.

use std::collections::HashSet;

use camino::Utf8Path;

use super::declare_image::ImageNode;
use super::paths::Paths;
use super::problems::Problems;
use super::reader::{Fields, Reader};
use crate::diagnostic::{Diagnostic, nearest};
use crate::name::ImageName;
use crate::source::Span;
use crate::spec::node::{Entry, Key, Node};
use crate::spec::tree::{File, Files, LeftOut, Lost};
use crate::spec::{DECLARATION, Spec};

/// Finds the declaration of each image.
pub struct ImageNodes<'s, 'a> {
    /// The spec with all its files.
    pub spec: &'a Spec,
    /// Its top level.
    pub top: &'s Fields<'a>,
    /// Reads without variables.
    pub reader: &'s Reader<'a>,
    /// Where faults are reported.
    pub problems: &'s Problems,
}

impl<'a> ImageNodes<'_, 'a> {
    /// Returns the entries of `images:` with a valid name.
    pub fn read(&self) -> Vec<ImageNode<'a>> {
        let Some(node) = self.top.get("images") else {
            if self.top.is_misspelt(&["images"]) {
                return Vec::new();
            }
            let span = self.top.span.first_byte();
            self.problems
                .report(Diagnostic::missing("images", "the spec", span));
            return Vec::new();
        };
        let entries = self.reader.some_entries(node, "`images`");
        let entries = entries.unwrap_or_default();
        let mut list = Vec::new();
        for entry in entries {
            match ImageName::parse(&entry.key.text) {
                Ok(name) => list.push(ImageNode {
                    node: self.image_node(&name, entry),
                    key: &entry.key,
                    name,
                }),
                Err(error) => {
                    let reason = error.to_string();
                    let (text, span) = (&entry.key.text, entry.key.span);
                    let problem = Diagnostic::invalid("image name", text, span, reason);
                    let help = |name| format!("write it as `{name}`");
                    self.problems.report(match valid_name(text) {
                        Some(name) => problem.help(help(name)),
                        None => problem,
                    });
                }
            }
        }
        list
    }

    /// Returns the declaration of an image: its entry, or its `image.yml`.
    fn image_node(&self, name: &ImageName, entry: &'a Entry) -> Option<&'a Node> {
        match (entry.value.is_null(), self.spec.images.get(name.as_str())) {
            (true, Some(own)) => return own.as_ref(),
            (false, Some(None)) => return Some(&entry.value),
            (false, Some(Some(own))) => {
                let second = own.span.first_byte();
                self.problems.report(declared_twice(name, entry, second));
            }
            (is_empty, None) => match self.unread(name, entry.key.span, is_empty) {
                Some(problem) => self.problems.report(problem),
                None => return Some(&entry.value),
            },
        }
        None
    }

    /// Returns why an image has no `image.yml` that declares it. Beside a declaration in the spec, only a
    /// link to no file is a fault.
    fn unread(&self, name: &ImageName, span: Span, is_empty: bool) -> Option<Diagnostic> {
        if !is_empty && !self.spec.files.have_links() {
            return None;
        }
        let paths = Paths {
            files: &self.spec.files,
            folder: Utf8Path::new("images").join(name.as_str()),
        };
        let path = paths.folder.join(DECLARATION);
        match self.spec.files.follow(&paths.folder, DECLARATION) {
            Err(
                Lost::Missing
                | Lost::LeftOut {
                    reason: LeftOut::Empty,
                    ..
                },
            ) if is_empty => {
                let problem = Diagnostic::error(format!("image `{name}` is not declared"))
                    .at(span, "this entry is empty");
                let other = path.with_extension("yaml");
                Some(problem.help(if self.spec.files.get(&other).is_some() {
                    format!("rename `{other}` to `{DECLARATION}`")
                } else {
                    format!("add `base:` here, or declare the image in `{path}`")
                }))
            }
            Err(lost @ (Lost::LinkOutside { .. } | Lost::Dangling { .. } | Lost::Loop)) => {
                Some(paths.lost(DECLARATION, span, &lost))
            }
            Err(lost @ Lost::LeftOut { .. }) if is_empty => {
                Some(paths.lost(DECLARATION, span, &lost))
            }
            Ok(found) if is_empty => {
                let found = self.spec.files.get(found).map_or("nothing", File::describe);
                Some(Diagnostic::expected(
                    &format!("`{path}`"),
                    "a file",
                    span,
                    found,
                ))
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// Returns the key of the image that probably has the folder `name`: one with a name like it, and
    /// without a folder of its own.
    fn misspelt_image(&self, name: &str) -> Option<&'a Key> {
        let keys = self.top.get("images")?.entries().iter();
        let keys: Vec<&Key> = keys.map(|entry| &entry.key).collect();
        let has_folder = |key: &&&Key| {
            let path = Utf8Path::new("images").join(&key.text);
            self.spec.files.get(&path).is_some()
        };
        let without = keys.iter().filter(|key| !has_folder(key));
        let near = nearest(name, without.map(|key| key.text.as_str()))?;
        keys.into_iter().find(|key| key.text == near)
    }

    /// Reports folders of `images/` that belong to no image and that no image uses: an error if an image has probably another
    /// name than its folder.
    pub fn check_folders(&self, images: &[ImageNode], used: &Files) {
        let Some(entry) = self.top.entry("images") else {
            return;
        };
        let declared: HashSet<&str> = images.iter().map(|image| image.name.as_str()).collect();
        for (path, file) in self.spec.files.iter() {
            let inner = path.as_str().strip_prefix("images/");
            let Some(name) = inner.filter(|name| file.is_folder() && !name.contains('/')) else {
                continue;
            };
            // A hidden folder is a tool's.
            if name.starts_with('.') || declared.contains(name) || used.has_any_in(path) {
                continue;
            }
            let message = format!("folder `{path}/` belongs to no image and is not used");
            self.problems.report(match self.misspelt_image(name) {
                // The invalid name is reported, with this one as the help.
                Some(key) if valid_name(&key.text).is_some_and(|valid| valid.as_str() == name) => {
                    continue;
                }
                Some(key) => Diagnostic::error(message)
                    .at(key.span, "no folder has the name of this image")
                    .help(format!("name this image `{name}`, or rename the folder")),
                None => Diagnostic::warning(message)
                    .at(entry.key.span, format!("no image `{name}` here"))
                    .help(format!(
                        "add image `{name}`, use the folder in a step or a suite, or move it out of images/"
                    )),
            });
        }
    }
}

/// Returns the fault of an image that has an entry in the spec and an `image.yml`.
fn declared_twice(name: &ImageName, entry: &Entry, second: Span) -> Diagnostic {
    let problem = Diagnostic::duplicate(
        "declaration of image",
        name.as_str(),
        second,
        entry.key.span,
    );
    problem.help(format!(
        "leave `{name}:` empty in the spec, or remove `images/{name}/{DECLARATION}`"
    ))
}

/// Returns a text in lower case and without blanks, if that makes it a name of an image.
fn valid_name(text: &str) -> Option<ImageName> {
    let text = text.to_lowercase();
    let words: Vec<&str> = text.split_whitespace().collect();
    ImageName::parse(&words.join("-")).ok()
}
