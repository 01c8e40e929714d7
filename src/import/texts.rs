//! The Dockerfiles and `.dockerignore`s of all targets, each read once although many targets can share them.

use std::collections::BTreeMap;

use super::Target;
use super::sources::Sources;
use crate::dockerfile::{Dockerfile, Fault, Ignore, Lines, lines};

/// A Dockerfile that was read.
#[derive(Debug)]
pub struct Text<'a> {
    /// The text.
    pub text: &'a str,
    /// Its instructions.
    pub lines: Lines,
    /// What they mean.
    pub file: Dockerfile,
}

/// Texts that were read.
#[derive(Debug, Default)]
pub struct Texts<'a> {
    dockerfiles: BTreeMap<&'a str, Text<'a>>,
    ignores: BTreeMap<String, Ignore>,
}

impl<'a> Texts<'a> {
    /// Reads the Dockerfiles of all targets. The error is for people.
    pub fn read(targets: &'a [Target], sources: &'a Sources) -> Result<Self, String> {
        let mut texts = Self::default();
        for target in targets {
            let path = target.dockerfile.as_str();
            if texts.dockerfiles.contains_key(path) {
                continue;
            }
            let text = sources.text(path);
            let text = text.ok_or_else(|| format!("missing Dockerfile `{path}`"))?;
            let fault = |fault: Fault| invalid(path, text, &fault);
            let lines = lines(text).map_err(fault)?;
            let file = Dockerfile::of_lines(&lines).map_err(fault)?;
            texts.dockerfiles.insert(path, Text { text, lines, file });
        }
        Ok(texts)
    }

    /// Returns a target's Dockerfile.
    pub fn dockerfile(&self, target: &Target) -> &Text<'a> {
        &self.dockerfiles[target.dockerfile.as_str()]
    }

    /// Returns the patterns of a `.dockerignore`.
    pub fn ignore(&mut self, path: &str, sources: &Sources) -> Result<&Ignore, String> {
        if !self.ignores.contains_key(path) {
            let text = sources.text(path).unwrap_or_default();
            let ignore = Ignore::parse(text);
            let ignore =
                ignore.map_err(|pattern| format!("invalid pattern `{pattern}` in `{path}`"))?;
            self.ignores.insert(path.to_owned(), ignore);
        }
        Ok(&self.ignores[path])
    }
}

/// Returns a fault of a Dockerfile with its line, for people.
pub fn invalid(path: &str, text: &str, fault: &Fault) -> String {
    let line = line(text, fault.range.start);
    let help = fault.help.as_ref();
    let help = help.map(|help| format!("; {help}"));
    let help = help.unwrap_or_default();
    format!("{path}:{line}: {}: {}{help}", fault.message, fault.label)
}

/// Returns the line of an offset in a text, from 1.
pub fn line(text: &str, at: usize) -> usize {
    text[..at.min(text.len())].matches('\n').count() + 1
}
