//! `copy`: files under `images/`, or of another image.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde_json::{Value as Json, json};

use super::context::{StepReader, with_targets};
use super::ownership::{self, Mode, Ownership, canonical_mode};
use crate::diagnostic::Diagnostic;
use crate::name::{Digest, Reference};
use crate::source::Span;
use crate::spec::node::{Entry, Node, Value};
use crate::stack::image_names::Use;
use crate::stack::image_source::ImageSource;
use crate::stack::paths::CopyEntry;

/// One target of a `copy` step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// What is copied.
    pub from: CopyFrom,
    /// Absolute; a trailing `/` means into that folder.
    pub to: String,
    /// `owner:`.
    pub owner: Option<String>,
    /// `mode:`.
    pub mode: Option<Mode>,
    /// The value in its file.
    pub span: Span,
}

/// Where a `copy` takes its files from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFrom {
    /// Files under `images/`.
    Files {
        /// As written.
        pattern: String,
        /// What it matches, sorted, folders included.
        entries: Vec<CopyEntry>,
    },
    /// A path of another image.
    Image {
        /// The image.
        source: ImageSource,
        /// Absolute.
        path: String,
    },
}

const SOURCES_TO_COME: [&str; 2] = ["git", "http"];

/// Reads a mapping from targets to files; sorted by target.
pub(super) fn read(step: &StepReader, node: &Node) -> Option<Vec<Copy>> {
    let mut list = step.targets(node, "copy", |to, entry| target(step, to, entry))?;
    list.sort_by(|a, b| a.to.cmp(&b.to));
    Some(list)
}

fn target(step: &StepReader, to: String, entry: &Entry) -> Option<Copy> {
    let reader = step.reader;
    let mut ownership = Ownership::default();
    let mut image = None;
    let mut from = &entry.value;
    if let Value::Map(entries) = &entry.value.value {
        let is_to_come = |e: &&Entry| SOURCES_TO_COME.contains(&e.key.text.as_str());
        if let Some(found) = entries.iter().find(is_to_come) {
            let kind = &found.key.text;
            reader.report(
                Diagnostic::error(format!("unsupported key `{kind}` in `copy`"))
                    .at(found.key.span, "planned for a later version")
                    .help("fetch it in a `run` step"),
            );
            return None;
        }
        let what = "an entry of `copy`";
        let known = ["from", "owner", "mode", "image"];
        let fields = reader.fields(&entry.value, what, &known)?;
        ownership = ownership::read(reader, &fields)?;
        if let Some(node) = fields.get("image") {
            image = Some(step.images.read(reader, node, Use::Copy)?);
        }
        from = reader.required(&fields, what, "from")?;
    }
    let text = reader.text(from, "the path to copy")?;
    let from = match image {
        Some(source) => CopyFrom::Image {
            path: reader.absolute(&text, from.span, "`from` of a `copy` with `image`")?,
            source,
        },
        None => CopyFrom::Files {
            entries: step
                .paths
                .copy(reader, &text, from.span, to.ends_with('/'))?,
            pattern: text,
        },
    };
    Some(Copy {
        from,
        to,
        owner: ownership.owner,
        mode: ownership.mode,
        span: entry.value.span,
    })
}

pub(super) fn title(list: &[Copy]) -> String {
    with_targets("copy", list.iter().map(|copy| &copy.to))
}

pub(super) fn canonical(list: &[Copy]) -> Json {
    list.iter()
        .map(|copy| {
            let Copy {
                from,
                to,
                owner,
                mode,
                span: _,
            } = copy;
            let from = match from {
                // Only the files count, not the pattern that matched them.
                CopyFrom::Files {
                    entries,
                    pattern: _,
                } => entries
                    .iter()
                    .map(|entry| json!([entry.file, entry.to]))
                    .collect(),
                CopyFrom::Image { source, path } => {
                    json!({ "image": source.to_string(), "path": path })
                }
            };
            let mode = canonical_mode(mode);
            json!({ "to": to, "from": from, "owner": owner, "mode": mode })
        })
        .collect()
}

pub(super) fn sources(list: &[Copy]) -> impl Iterator<Item = &ImageSource> {
    list.iter().filter_map(|copy| match &copy.from {
        CopyFrom::Image { source, .. } => Some(source),
        CopyFrom::Files { .. } => None,
    })
}

pub(super) fn pin(list: &mut [Copy], digests: &BTreeMap<Reference, Digest>) {
    for copy in list {
        if let CopyFrom::Image { source, .. } = &mut copy.from
            && let ImageSource::External(image) = source
            && let Some(digest) = digests.get(&image.reference.value)
        {
            image.reference.value = image.reference.value.pinned(digest.clone());
        }
    }
}

pub(super) fn files(list: &[Copy]) -> impl Iterator<Item = &Utf8PathBuf> {
    list.iter()
        .flat_map(|copy| match &copy.from {
            CopyFrom::Files { entries, .. } => entries.as_slice(),
            CopyFrom::Image { .. } => &[],
        })
        .map(|entry| &entry.file)
}
