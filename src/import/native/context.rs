//! What the instructions of one Dockerfile are translated with.

use std::collections::{BTreeMap, BTreeSet};

use super::state::Reason;
use crate::dockerfile::{Ignore, Instruction};
use crate::import::link::{Linked, with_tag};
use crate::import::sources::{Sources, join};
use crate::import::texts::line;
use crate::import::{Note, Target};

/// One Dockerfile and its files.
pub struct Context<'a> {
    /// The target.
    pub target: &'a Target,
    /// What it uses of other targets.
    pub linked: &'a Linked,
    /// The names of the images of all targets.
    pub names: &'a BTreeMap<String, String>,
    /// All files.
    pub sources: &'a Sources,
    /// Patterns of ignored files.
    pub ignore: &'a Ignore,
    /// Where the context is, relative to the folder of the image; empty if it is that folder.
    pub prefix: String,
    /// Whether the files stay where they are, with those that are ignored.
    pub is_in_place: bool,
    /// The text of the Dockerfile.
    pub text: &'a str,
    /// The names of its stages, and their numbers.
    pub stages: BTreeSet<String>,
}

/// A source of `COPY` or of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A file.
    File,
    /// A folder.
    Folder,
    /// A pattern that only files match.
    Pattern,
}

impl Context<'_> {
    /// Returns the line of an instruction.
    pub fn line(&self, instruction: &Instruction) -> usize {
        line(self.text, instruction.range.start)
    }

    /// Returns the file and the line of an instruction.
    pub fn place(&self, instruction: &Instruction) -> String {
        format!("{}:{}", self.target.dockerfile, self.line(instruction))
    }

    /// Returns a note of what an instruction became.
    pub fn note(&self, instruction: &Instruction, became: impl Into<String>) -> Note {
        Note::done(self.place(instruction), shown(instruction), became)
    }

    /// Returns the image that a name after `--from` stands for.
    pub fn image(&self, name: &str) -> Result<String, Reason> {
        if let Some(image) = self.linked.contexts.get(name) {
            return Ok(image.clone());
        }
        if self.stages.contains(&name.to_lowercase()) {
            return Err(format!(
                "it uses the stage `{name}`, and only images can be copied from"
            ));
        }
        if name.contains('$') {
            return Err(format!("`{name}` is a variable"));
        }
        if self.names.values().any(|image| image == name) {
            return Ok(name.to_owned());
        }
        Ok(with_tag(name))
    }

    /// Finds a source in the context. Fails if it is missing, or if a part of it is ignored.
    pub fn find(&self, path: &str) -> Result<Found, Reason> {
        let inner = join("", path);
        let full = join(&self.target.context, path);
        if path.split('/').any(|part| part == "..") {
            return Err(format!("`{path}` leads out of the context"));
        }
        if self.sources.files.contains_key(&full) {
            if self.ignore.matches(&inner) {
                return Err(format!("`{path}` is ignored by .dockerignore"));
            }
            return Ok(Found::File);
        }
        let mut below = self.sources.below(&full).peekable();
        if below.peek().is_some() {
            let of_context = |file: &str| {
                if inner.is_empty() {
                    file.to_owned()
                } else {
                    format!("{inner}/{file}")
                }
            };
            let ignored = below.find(|(file, _)| self.ignore.matches(&of_context(file)));
            return match ignored {
                Some((file, _)) if self.is_in_place => Err(format!(
                    "`.dockerignore` leaves out `{}`, and a step has no ignored files",
                    of_context(file)
                )),
                _ => Ok(Found::Folder),
            };
        }
        if path.contains(['*', '?', '[']) {
            return self.find_pattern(path, &inner);
        }
        Err(format!("`{path}` is missing in the context"))
    }

    fn find_pattern(&self, path: &str, inner: &str) -> Result<Found, Reason> {
        let escaped = inner.replace('{', "\\{").replace('}', "\\}");
        let glob = globset::GlobBuilder::new(&escaped)
            .literal_separator(true)
            .build();
        let glob = glob
            .map_err(|_| format!("`{path}` is an invalid pattern"))?
            .compile_matcher();
        let mut is_found = false;
        for (file, _) in self.sources.below(&self.target.context) {
            let ends = file.match_indices('/').map(|(at, _)| &file[..at]);
            for folder in ends {
                if glob.is_match(folder) {
                    return Err(format!(
                        "`{path}` matches the folder `{folder}`, whose contents are copied"
                    ));
                }
            }
            if glob.is_match(file) {
                if self.ignore.matches(file) {
                    return Err(format!(
                        "`{path}` matches `{file}`, which .dockerignore leaves out"
                    ));
                }
                is_found = true;
            }
        }
        if is_found && !inner.contains("**") && !inner.contains('{') {
            Ok(Found::Pattern)
        } else {
            Err(format!(
                "`{path}` matches no file of the context, or has an unsupported pattern"
            ))
        }
    }

    /// Returns a path of the context as the spec writes it; a folder with its contents ends in `/`.
    pub fn written(&self, path: &str, found: Found) -> String {
        let inner = join("", path);
        let mut parts: Vec<&str> = vec![&self.prefix, &inner];
        parts.retain(|part| !part.is_empty());
        let whole = super::value::literal(&parts.join("/"));
        match found {
            Found::Folder if whole.is_empty() => ".".to_owned(),
            Found::Folder => format!("{whole}/"),
            Found::File | Found::Pattern => whole,
        }
    }
}

/// Returns an instruction on one line, shortened.
pub fn shown(instruction: &Instruction) -> String {
    let arguments: Vec<&str> = instruction.arguments.split_whitespace().collect();
    let mut text = format!("{} {}", instruction.keyword, arguments.join(" "));
    if text.chars().count() > 72 {
        text = text.chars().take(71).collect();
        text.push('…');
    }
    text
}
