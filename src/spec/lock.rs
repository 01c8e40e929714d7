//! `specs.lock`: the digest each external image is pinned to.
//!
//! [`Lock`] is read by `cli` and used by `gather`; `laminate lock` writes it.

use std::collections::BTreeMap;
use std::fmt;

use super::node::{self, Entry, Node, Value};
use crate::diagnostic::Diagnostic;
use crate::name::{Digest, Reference};
use crate::source::{SourceId, Sources};

/// The only version of the format.
const VERSION: &str = "1";

/// The committed pins, by reference as the spec resolves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// The digest of each external image: the bases, and those that files are copied from.
    pub bases: BTreeMap<Reference, Digest>,
}

impl Lock {
    /// Parses a lock. Returns all faults at once.
    pub fn parse(sources: &Sources, source: SourceId) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let root = node::parse(sources, source, &mut problems);
        let mut lock = Self::default();
        if let Some(root) = root
            && problems.is_empty()
        {
            lock.read(&root, &mut problems);
        }
        if problems.is_empty() {
            return Ok(lock);
        }
        for problem in &mut problems {
            let help = "run `laminate lock` to write this file again";
            problem.help.get_or_insert_with(|| help.to_owned());
        }
        Err(problems)
    }

    fn read(&mut self, root: &Node, problems: &mut Vec<Diagnostic>) {
        let Value::Map(entries) = &root.value else {
            let found = root.describe();
            problems.push(Diagnostic::expected(
                "a lock",
                "a mapping",
                root.span,
                found,
            ));
            return;
        };
        for entry in entries {
            match (entry.key.text.as_str(), &entry.value.value) {
                ("version", Value::Scalar { text, .. }) if text == VERSION => {}
                ("version", _) => problems.push(
                    Diagnostic::error("unsupported version of the lock")
                        .at(entry.value.span, format!("expected `{VERSION}`")),
                ),
                ("bases", Value::Map(bases)) => {
                    for base in bases {
                        self.read_base(base, problems);
                    }
                }
                ("bases", _) => problems.push(Diagnostic::expected(
                    "`bases`",
                    "a mapping from references to digests",
                    entry.value.span,
                    entry.value.describe(),
                )),
                (other, _) => {
                    let known = ["version", "bases"];
                    problems.push(Diagnostic::unknown("key", other, entry.key.span, known));
                }
            }
        }
    }

    fn read_base(&mut self, base: &Entry, problems: &mut Vec<Diagnostic>) {
        let text = &base.key.text;
        let reference = match Reference::parse(text) {
            Ok(reference) => reference,
            Err(error) => {
                let reason = error.to_string();
                problems.push(Diagnostic::invalid(
                    "image reference",
                    text,
                    base.key.span,
                    reason,
                ));
                return;
            }
        };
        let digest = match &base.value.value {
            Value::Scalar { text, .. } => Digest::parse(text).ok(),
            Value::List(_) | Value::Map(_) => None,
        };
        match digest {
            Some(digest) => {
                self.bases.insert(reference, digest);
            }
            None => problems.push(
                Diagnostic::error(format!("invalid digest of image `{reference}`"))
                    .at(base.value.span, "expected `sha256:` and 64 hex digits"),
            ),
        }
    }
}

impl fmt::Display for Lock {
    /// Writes the text of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Written by `laminate lock`; commit it. It pins the external images of the stack."
        )?;
        writeln!(f, "version: {VERSION}")?;
        if self.bases.is_empty() {
            return writeln!(f, "bases: {{}}");
        }
        writeln!(f, "bases:")?;
        for (reference, digest) in &self.bases {
            writeln!(f, "  \"{reference}\": {digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::render;

    fn parse(text: &str) -> Result<Lock, String> {
        let mut sources = Sources::default();
        let id = sources.add("specs.lock", text);
        Lock::parse(&sources, id).map_err(|problems| render(&problems, &sources, false))
    }

    #[test]
    fn a_written_lock_parses_to_the_same() {
        let digest = Digest::of(b"x");
        let reference = Reference::parse("debian:bookworm").expect("valid");
        let lock = Lock {
            bases: BTreeMap::from([(reference, digest)]),
        };
        assert_eq!(parse(&lock.to_string()), Ok(lock));
        assert_eq!(parse(&Lock::default().to_string()), Ok(Lock::default()));
    }

    #[test]
    fn all_faults_are_reported_at_once() {
        let wrong = parse("version: 7\nbases:\n  \"A B\": x\n  debian:1: sha256:12\nbase: {}\n");
        insta::assert_snapshot!(wrong.expect_err("wrong"));
    }
}
