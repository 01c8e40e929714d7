//! What the instructions of one Dockerfile are translated with.

use std::collections::{BTreeMap, BTreeSet};

use super::value::Reason;
use crate::dockerfile::{Ignore, Instruction};
use crate::import::link::{Linked, with_tag};
use crate::import::sources::{Sources, inside, join};
use crate::import::texts::line;
use crate::import::{Note, Target};
use crate::path::{clean, is_at_or_below};

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is; a link is what it leads to.
    pub found: Found,
    /// Its path in the context. That of a folder leads through no link.
    pub path: String,
}

/// What a source is.
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
    pub fn find(&self, path: &str) -> Result<Source, Reason> {
        let path = inside("", path).ok_or_else(|| format!("`{path}` leads out of the context"))?;
        let full = self.followed(&path)?;
        if self.sources.files.contains_key(&full) {
            if self.ignore.matches(&path) || self.is_ignored(&full) {
                return Err(format!("`{path}` is ignored by .dockerignore"));
            }
            let found = Found::File;
            return Ok(Source { found, path });
        }
        let mut below = self.sources.below(&full).peekable();
        if below.peek().is_some() {
            if !path.is_empty()
                && full != join(&self.target.context, &path)
                && self.ignore.matches(&path)
            {
                return Err(format!("`{path}` is ignored by .dockerignore"));
            }
            return match below.find(|(_, file)| self.is_ignored(file)) {
                Some((_, file)) if self.is_in_place => Err(format!(
                    "`.dockerignore` leaves out `{}`, and a step has no ignored files",
                    self.in_context(file).unwrap_or(file)
                )),
                _ => Ok(Source {
                    found: Found::Folder,
                    path: self.in_context(&full).unwrap_or_default().to_owned(),
                }),
            };
        }
        if path.contains(['*', '?', '[']) {
            let found = self.find_pattern(&path)?;
            return Ok(Source { found, path });
        }
        Err(format!("`{path}` is missing in the context"))
    }

    /// Returns where a path of the context leads to, in the folder of the import.
    pub fn followed(&self, path: &str) -> Result<String, Reason> {
        let full = self.sources.followed(&join(&self.target.context, path));
        full.filter(|full| self.in_context(full).is_some())
            .ok_or_else(|| {
                format!(
                    "`{path}` is a link, or leads through one, that may lead out of the context"
                )
            })
    }

    /// Returns a path of the import as one of the context.
    fn in_context<'a>(&self, path: &'a str) -> Option<&'a str> {
        let context = clean(&self.target.context);
        if !is_at_or_below(path, &context) {
            return None;
        }
        Some(path[context.len()..].trim_start_matches('/'))
    }

    fn is_ignored(&self, path: &str) -> bool {
        let inner = self.in_context(path);
        inner.is_some_and(|inner| self.ignore.matches(inner))
    }

    fn find_pattern(&self, path: &str) -> Result<Found, Reason> {
        let escaped = path.replace('{', "\\{").replace('}', "\\}");
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
                let to = self.followed(file)?;
                if !self.sources.files.contains_key(&to) {
                    return Err(format!(
                        "`{path}` matches the link `{file}` to a folder, whose contents are copied"
                    ));
                }
                if self.ignore.matches(file) {
                    return Err(format!(
                        "`{path}` matches `{file}`, which .dockerignore leaves out"
                    ));
                }
                is_found = true;
            }
        }
        if is_found && !path.contains("**") && !path.contains('{') {
            Ok(Found::Pattern)
        } else {
            Err(format!(
                "`{path}` matches no file of the context, or has an unsupported pattern"
            ))
        }
    }

    /// Returns a path of the context as the spec writes it; a folder with its contents ends in `/`.
    pub fn written(&self, source: &Source) -> String {
        let mut parts: Vec<&str> = vec![&self.prefix, &source.path];
        parts.retain(|part| !part.is_empty());
        let whole = super::value::literal(&parts.join("/"));
        match source.found {
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
