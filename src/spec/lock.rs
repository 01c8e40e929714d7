//! `specs.lock`: the digest each outside base is pinned to.

use std::collections::BTreeMap;
use std::fmt;

use super::node::{self, Node, Value};
use crate::diagnostic::Diagnostic;
use crate::name::{Digest, Reference};
use crate::source::{SourceId, Sources};

/// The lock's only version.
const VERSION: &str = "1";

/// The committed pins, by reference as the spec resolves it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    pub bases: BTreeMap<Reference, Digest>,
}

impl Lock {
    /// Reads a lock; all that is wrong at once.
    pub fn parse(sources: &Sources, source: SourceId) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let root = node::parse(sources, source, &mut problems);
        let mut lock = Self::default();
        if let Some(root) = root
            && problems.is_empty()
        {
            lock.read(&root, &mut problems);
        }
        match problems.is_empty() {
            true => Ok(lock),
            false => Err(problems
                .into_iter()
                .map(|p| match p.help {
                    None => p.help("`laminate lock` writes this file anew"),
                    Some(_) => p,
                })
                .collect()),
        }
    }

    fn read(&mut self, root: &Node, problems: &mut Vec<Diagnostic>) {
        let Value::Map(entries) = &root.value else {
            let text = format!("here is {}", root.what());
            problems.push(Diagnostic::error("a lock is a mapping").at(root.span, text));
            return;
        };
        for entry in entries {
            match (entry.key.text.as_str(), &entry.value.value) {
                ("version", Value::Scalar { text, .. }) if text == VERSION => {}
                ("version", _) => problems.push(
                    Diagnostic::error("this lock was written by another version of laminate")
                        .at(entry.value.span, format!("`{VERSION}` is understood")),
                ),
                ("bases", Value::Map(bases)) => {
                    for base in bases {
                        let reference = Reference::parse(&base.key.text);
                        let digest = match &base.value.value {
                            Value::Scalar { text, .. } => Digest::parse(text).ok(),
                            _ => None,
                        };
                        match (reference, digest) {
                            (Ok(reference), Some(digest)) => {
                                self.bases.insert(reference, digest);
                            }
                            (Err(error), _) => problems.push(
                                Diagnostic::error(format!(
                                    "`{}` is no reference of an image",
                                    base.key.text
                                ))
                                .at(base.key.span, error.to_string()),
                            ),
                            (_, None) => problems.push(
                                Diagnostic::error("a base is pinned to a digest")
                                    .at(base.value.span, "`sha256:` and 64 hex digits are wanted"),
                            ),
                        }
                    }
                }
                ("bases", _) => problems.push(
                    Diagnostic::error("`bases` is a mapping from references to digests")
                        .at(entry.value.span, format!("here is {}", entry.value.what())),
                ),
                (other, _) => problems.push(
                    Diagnostic::error(format!("unknown key `{other}`"))
                        .at(entry.key.span, "not known in a lock")
                        .did_you_mean(other, ["version", "bases"]),
                ),
            }
        }
    }
}

impl fmt::Display for Lock {
    /// The file's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Written by `laminate lock`; commit it. It pins what the images stand on."
        )?;
        writeln!(f, "version: {VERSION}")?;
        match self.bases.is_empty() {
            true => writeln!(f, "bases: {{}}"),
            false => {
                writeln!(f, "bases:")?;
                for (reference, digest) in &self.bases {
                    writeln!(f, "  \"{reference}\": {digest}")?;
                }
                Ok(())
            }
        }
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
    fn what_is_written_is_read() {
        let digest = Digest::of(b"x");
        let reference = Reference::parse("debian:bookworm").expect("valid");
        let lock = Lock {
            bases: BTreeMap::from([(reference, digest)]),
        };
        assert_eq!(parse(&lock.to_string()), Ok(lock));
        assert_eq!(parse(&Lock::default().to_string()), Ok(Lock::default()));
    }

    #[test]
    fn all_that_is_wrong_is_said() {
        let wrong = parse("version: 7\nbases:\n  \"A B\": x\n  debian:1: sha256:12\nbase: {}\n");
        insta::assert_snapshot!(wrong.expect_err("wrong"));
    }
}
