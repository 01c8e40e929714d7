//! `tags:`: immutable tags, complete but for the commit and the version number.

use std::fmt;

use super::reader::{Reader, part_of};
use super::variables::{Unset, no_environment, unknown};
use crate::diagnostic::{Diagnostic, nearest};
use crate::name::{Commit, InvalidName, Tag};
use crate::source::Span;
use crate::spec::node::Node;
use crate::spec::template::{Part, Variable};

/// Stands for a commit when a template is checked.
const EXAMPLE_COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// An immutable tag: every variable is replaced except those a commit or a release sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagTemplate {
    /// Its parts in order.
    pub parts: Vec<TagPart>,
    /// The entry in its file.
    pub span: Span,
}

/// A part of a [`TagTemplate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagPart {
    /// Literal text.
    Text(String),
    /// `${commit}`: 40 hex digits.
    Commit,
    /// `${commit7}`: the first 7 of them.
    Commit7,
    /// `${n}`: the version number a release gets when it is promoted.
    Number,
}

impl TagTemplate {
    /// Whether the tag is set when a release is promoted, and not when it is published.
    pub fn is_numbered(&self) -> bool {
        self.parts.contains(&TagPart::Number)
    }

    /// Returns the tag for a commit and a version number. Fails if the text is not a valid tag.
    pub fn tag(&self, commit: &Commit, number: u64) -> Result<Tag, InvalidName> {
        let number = number.to_string();
        let text: String = self
            .parts
            .iter()
            .map(|part| match part {
                TagPart::Text(text) => text.as_str(),
                TagPart::Commit => commit.as_str(),
                TagPart::Commit7 => commit.abbreviated(),
                TagPart::Number => &number,
            })
            .collect();
        Tag::parse(&text)
    }

    /// Returns the tag for some commit, by which templates are compared.
    pub(super) fn example(&self) -> Result<Tag, InvalidName> {
        let commit = Commit::parse(EXAMPLE_COMMIT).expect("40 hex digits");
        self.tag(&commit, 1)
    }
}

impl fmt::Display for TagTemplate {
    /// Writes it as the spec does, with variables of the stack replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            f.write_str(match part {
                TagPart::Text(text) => text,
                TagPart::Commit => "${commit}",
                TagPart::Commit7 => "${commit7}",
                TagPart::Number => "${n}",
            })?;
        }
        Ok(())
    }
}

/// Reads `tags:`.
pub fn read(reader: &Reader, node: &Node) -> Vec<TagTemplate> {
    let list: Vec<TagTemplate> = reader
        .list(node, "`tags`")
        .unwrap_or_default()
        .iter()
        .filter_map(|item| template(reader, item))
        .collect();
    if !list.is_empty() && list.iter().all(TagTemplate::is_numbered) {
        reader.report(
            Diagnostic::error("`tags` must have a tag without `${n}`")
                .at(node.span, "`build --push` has no version number: `promote` sets `${n}`")
                .help("add a tag with `${commit7}`, and with `${series}` or `${variant}` if there are variants"),
        );
    }
    list
}

fn template(reader: &Reader, node: &Node) -> Option<TagTemplate> {
    let text = reader.literal(node, "a tag")?;
    let parts: Vec<Option<TagPart>> = reader
        .template(text, node.span)?
        .0
        .iter()
        .map(|part| match part {
            Part::Text(text) => Some(TagPart::Text(text.clone())),
            Part::Var(variable) => {
                let at = part_of(node.span, text, variable.start, variable.end);
                self::variable(reader, variable, at)
            }
            Part::Env(_) => {
                reader.report(no_environment(node.span));
                None
            }
        })
        .collect();
    let parts: Vec<TagPart> = parts.into_iter().collect::<Option<_>>()?;
    if parts.iter().all(|part| matches!(part, TagPart::Text(_))) {
        reader.report(
            Diagnostic::error(format!("tag `{text}` does not contain the commit"))
                .at(node.span, "every commit would get this tag")
                .help("add `${commit7}`, or `${n}` for a version number; for a floating tag use `channels:`"),
        );
        return None;
    }
    Some(TagTemplate {
        parts,
        span: node.span,
    })
}

fn variable(reader: &Reader, variable: &Variable, span: Span) -> Option<TagPart> {
    let name = variable.name.as_str();
    match name {
        "commit" => return Some(TagPart::Commit),
        "commit7" => return Some(TagPart::Commit7),
        "n" => return Some(TagPart::Number),
        _ => {}
    }
    let own = ["commit", "commit7"];
    if let Err(reason) = reader.vars.get(name)
        && reason != Unset::Broken
        && nearest(name, own).is_some()
    {
        reader.report(unknown(name, span, reason.to_string(), own));
        return None;
    }
    reader.variable(name, span).map(TagPart::Text)
}
