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
use crate::stack::forms::Form;
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
        patterns: Vec<String>,
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
    let list = step.targets(node, "copy", |to, entry| target(step, to, entry))?;
    let mut list: Vec<Copy> = list.into_iter().flatten().collect();
    // It is kept, and has room for four.
    list.shrink_to_fit();
    // Those of one target keep their order.
    list.sort_by(|a, b| a.to.cmp(&b.to));
    Some(list)
}

/// Reads one target. Paths of an image are one copy each.
fn target(step: &StepReader, to: String, entry: &Entry) -> Option<Vec<Copy>> {
    let reader = step.reader;
    let mut ownership = Ownership::default();
    let mut image = None;
    let mut from = &entry.value;
    let forms = [Form::Text, Form::List, Form::Map];
    step.reader.form(from, "an entry of `copy`", &forms)?;
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
    let sources = paths(step, &to, from, entry)?;
    let made = |from: CopyFrom| Copy {
        from,
        to: to.clone(),
        owner: ownership.owner.clone(),
        mode: ownership.mode.clone(),
        span: entry.value.span,
    };
    let Some(image) = image else {
        return Some(vec![made(files_of(step, &to, &sources)?)]);
    };
    let from_image = |(path, span): &(String, Span)| {
        Some(made(CopyFrom::Image {
            path: reader.absolute(path, *span, "`from` of a `copy` with `image`")?,
            source: image.clone(),
        }))
    };
    sources.iter().map(from_image).collect()
}

/// Reads the path to copy, or a list of them if the target is a folder.
fn paths(step: &StepReader, to: &str, node: &Node, entry: &Entry) -> Option<Vec<(String, Span)>> {
    let reader = step.reader;
    let Value::List(_) = node.value else {
        return Some(vec![(reader.text(node, "the path to copy")?, node.span)]);
    };
    let list = reader.list(node, "the paths to copy")?;
    if list.len() > 1 && !to.ends_with('/') {
        let problem = Diagnostic::error(format!("several sources for `{to}`"));
        let problem = problem.at(entry.key.span, "not a folder: no `/` at its end");
        reader.report(problem.help(format!("write `{to}/` to copy them into that folder")));
        return None;
    }
    let read = |node: &Node| Some((reader.text(node, "a path to copy")?, node.span));
    // Read all of them, so that every fault is reported.
    let paths: Vec<_> = list.iter().map(read).collect();
    paths.into_iter().collect()
}

/// Returns the files of all sources of one target. Of two with the same path the last one counts, as in a
/// Dockerfile; one of them a folder and the other a file is an error.
fn files_of(step: &StepReader, to: &str, sources: &[(String, Span)]) -> Option<CopyFrom> {
    let into = to.ends_with('/');
    let is_folder = |entry: &CopyEntry| {
        let file = step.paths.files.get(&entry.file);
        file.is_some_and(|file| file.is_folder())
    };
    let found: Vec<Option<Vec<CopyEntry>>> = sources
        .iter()
        .map(|(text, span)| step.paths.copy(step.reader, text, *span, into))
        .collect();
    let mut found: Vec<Vec<CopyEntry>> = found.into_iter().collect::<Option<_>>()?;
    if let [(text, _)] = sources
        && let Some(entries) = found.pop()
    {
        return Some(CopyFrom::Files {
            entries,
            patterns: vec![text.clone()],
        });
    }
    let mut merged: BTreeMap<String, CopyEntry> = BTreeMap::new();
    for (entries, (_, span)) in found.into_iter().zip(sources) {
        for entry in entries {
            let before = merged.get(&entry.to);
            if let Some(before) = before.filter(|before| is_folder(before) != is_folder(&entry)) {
                let path = format!("{to}{}", entry.to);
                let problem = Diagnostic::error(format!("`{path}` would be a file and a folder"));
                let label = format!("`{}` and `{}`", before.file, entry.file);
                step.reader.report(problem.at(*span, label));
                return None;
            }
            merged.insert(entry.to.clone(), entry);
        }
    }
    Some(CopyFrom::Files {
        entries: merged.into_values().collect(),
        patterns: sources.iter().map(|(text, _)| text.clone()).collect(),
    })
}

pub(super) fn title(list: &[Copy]) -> String {
    let mut targets: Vec<&String> = list.iter().map(|copy| &copy.to).collect();
    targets.dedup();
    with_targets("copy", targets.into_iter())
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
                    patterns: _,
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
        if let CopyFrom::Image { source, .. } = &mut copy.from {
            source.pin(digests);
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
