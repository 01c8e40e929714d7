//! `perms`: owner and mode of files that are there. Also `finish:` of other steps.

use serde_json::{Value as Json, json};

use super::context::{StepReader, with_targets};
use super::ownership::{self, Mode, canonical_mode};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Node, Value};

/// One target of a `perms` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perms {
    /// Absolute path of a file or folder.
    pub path: String,
    /// `owner:`.
    pub owner: Option<String>,
    /// `mode:`.
    pub mode: Option<Mode>,
    /// Whether it applies to everything below a folder as well.
    pub recursive: bool,
    /// The value in its file.
    pub span: Span,
}

/// Reads a mapping from paths, in the order of the file: a later path can be inside an earlier one.
pub(super) fn read(step: &StepReader, node: &Node) -> Option<Vec<Perms>> {
    let reader = step.reader;
    step.targets(node, "perms", |path, entry| {
        let known = ["owner", "mode", "recursive"];
        let fields = reader.fields(&entry.value, "an entry of `perms`", &known)?;
        let ownership = ownership::read(reader, &fields)?;
        let recursive = match fields.get("recursive") {
            Some(node) => reader.flag(node, "`recursive`")?,
            None => false,
        };
        if ownership.owner.is_none() && ownership.mode.is_none() {
            if fields.is_misspelt(&["owner", "mode"]) {
                return None;
            }
            let problem = Diagnostic::error("missing `owner` or `mode` in an entry of `perms`");
            reader.report(problem.at(entry.value.span, "nothing to change"));
            return None;
        }
        Some(Perms {
            path,
            owner: ownership.owner,
            mode: ownership.mode,
            recursive,
            span: entry.value.span,
        })
    })
}

/// Reads `finish:`: a list of `perms` steps, or the mapping of one.
pub(super) fn read_finish(step: &StepReader, node: &Node) -> Vec<Perms> {
    if let Value::Map(_) = node.value {
        return read(step, node).unwrap_or_default();
    }
    let reader = step.reader;
    let mut all = Vec::new();
    for item in reader.mappings(node, "`finish`").unwrap_or_default() {
        if let Some(fields) = reader.fields(item, "an entry of `finish`", &["perms"])
            && let Some(node) = fields.get("perms")
        {
            all.extend(read(step, node).unwrap_or_default());
        }
    }
    all
}

pub(super) fn title(list: &[Perms]) -> String {
    with_targets("perms", list.iter().map(|perms| &perms.path))
}

pub(super) fn canonical(list: &[Perms]) -> Json {
    list.iter()
        .map(|perms| {
            let Perms {
                path,
                owner,
                mode,
                recursive,
                span: _,
            } = perms;
            json!({
                "path": path,
                "owner": owner,
                "mode": canonical_mode(mode),
                "recursive": recursive,
            })
        })
        .collect()
}
