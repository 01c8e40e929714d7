//! `mounts:` of steps that run commands: files, caches and memory that a step sees and no layer has.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;
use serde_json::{Value as Json, json};

use super::context::StepReader;
use crate::diagnostic::Diagnostic;
use crate::name::{Digest, Reference};
use crate::source::Span;
use crate::spec::node::{Entry, Node};
use crate::stack::image_names::Use;
use crate::stack::image_source::ImageSource;
use crate::stack::paths::CopyEntry;
use crate::stack::reader::{Fields, KeyHint, Reader};
use crate::stack::units::size;

/// What a step sees at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepMount {
    /// Absolute, without a `/` at its end.
    pub target: String,
    /// Its files.
    pub source: MountSource,
    /// The key in its file.
    pub span: Span,
}

/// The files of a [`StepMount`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// `bind:`, files under `images/`.
    Files {
        /// As written.
        path: String,
        /// A file, whose path is empty, or what is in a folder, sorted.
        entries: Vec<CopyEntry>,
        /// `rw:`: the step can write, and what it writes is lost.
        rw: bool,
    },
    /// `image:`, a path of another image.
    Image {
        /// The image.
        source: ImageSource,
        /// Absolute; `/` for all of it.
        path: String,
        /// `rw:`.
        rw: bool,
    },
    /// `cache:`, kept by the engine from build to build.
    Cache {
        /// Its name.
        id: String,
        /// `sharing:`.
        sharing: CacheSharing,
        /// `mode:` of a new cache.
        mode: Option<u32>,
        /// `uid:` of a new cache.
        uid: Option<u32>,
        /// `gid:` of a new cache.
        gid: Option<u32>,
    },
    /// `tmpfs:`, empty and in memory.
    Tmpfs {
        /// The most bytes; `None` for no limit.
        size: Option<u64>,
    },
}

/// `sharing:`: how steps that run at the same time share a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheSharing {
    /// All use it.
    Shared,
    /// Each has one of its own.
    Private,
    /// One waits for the other.
    Locked,
}

impl CacheSharing {
    /// Returns the value of `sharing:`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Locked => "locked",
        }
    }
}

/// Keys that say what a mount has.
const SOURCES: [&str; 4] = ["bind", "image", "cache", "tmpfs"];

/// Keys of a mount.
const KEYS: [&str; 10] = [
    "bind", "image", "cache", "tmpfs", "from", "rw", "sharing", "mode", "uid", "gid",
];

/// Names that `--mount` of a Dockerfile has.
const DOCKER_NAMES: [KeyHint; 6] = [
    KeyHint::new(
        &["type"],
        "write `bind: PATH`, `image: NAME`, `cache: ID` or `tmpfs: SIZE`",
    ),
    KeyHint::new(
        &["source", "src"],
        "write `bind: PATH`, or `image: NAME` with `from: PATH`",
    ),
    KeyHint::new(
        &["target", "dst", "destination"],
        "write the path in the step as the key of the mount",
    ),
    KeyHint::new(&["id"], "write `cache: ID`"),
    KeyHint::new(&["size"], "write `tmpfs: SIZE`"),
    KeyHint::new(
        &["readwrite", "readonly", "ro"],
        "write `rw: true`; without it the step can only read",
    ),
];

/// Reads a mapping from absolute paths to mounts; sorted by path.
pub(super) fn read(step: &StepReader, node: &Node) -> Option<Vec<StepMount>> {
    let mut list: Vec<StepMount> = Vec::new();
    for mount in step.targets(node, "mounts", |target, entry| mount(step, &target, entry))? {
        if let Some(first) = list.iter().find(|first| first.target == mount.target) {
            let problem = Diagnostic::duplicate("mount", &mount.target, mount.span, first.span);
            step.reader.report(problem);
            return None;
        }
        list.push(mount);
    }
    list.sort_by(|a, b| a.target.cmp(&b.target));
    Some(list)
}

fn mount(step: &StepReader, target: &str, entry: &Entry) -> Option<StepMount> {
    let reader = step.reader;
    let span = entry.key.span;
    let target = target.trim_end_matches('/');
    if target.is_empty() {
        reader.report(
            Diagnostic::error("nothing can be mounted at `/`")
                .at(span, "the file system of the image")
                .help("mount it at a folder"),
        );
        return None;
    }
    let what = format!("mount `{target}`");
    let fields = reader.fields_or_hint(&entry.value, "a mount", &KEYS, &DOCKER_NAMES)?;
    let mut sources = SOURCES.iter().filter_map(|key| fields.entry(key));
    let source = match (sources.next(), sources.next()) {
        (Some(source), None) => source,
        (Some(first), Some(second)) => {
            let pair = [first, second].map(|e| (e.key.text.as_str(), e.key.span));
            reader.report(Diagnostic::conflict(pair[0], pair[1], &what));
            return None;
        }
        (None, _) if fields.is_misspelt(&SOURCES) || is_like_docker(&fields) => return None,
        (None, _) => {
            reader.report(
                Diagnostic::error(format!("missing source of {what}"))
                    .at(entry.value.span, "nothing to mount")
                    .help(format!("use one of: {}", SOURCES.join(", "))),
            );
            return None;
        }
    };
    only_used(reader, &fields, &source.key.text, &what)?;
    let source = match source.key.text.as_str() {
        "bind" => files(step, &source.value, flag(reader, &fields)?)?,
        "image" => MountSource::Image {
            source: step.images.read(reader, &source.value, Use::Mount)?,
            path: match fields.get("from") {
                Some(node) => {
                    let text = reader.text(node, "`from` of a mount")?;
                    reader.absolute(&text, node.span, "`from` of a mount")?
                }
                None => "/".to_owned(),
            },
            rw: flag(reader, &fields)?,
        },
        "cache" => cache(reader, &source.value, &fields)?,
        _ if source.value.is_null() => MountSource::Tmpfs { size: None },
        _ => MountSource::Tmpfs {
            size: Some(size(reader, &source.value, "`tmpfs`")?),
        },
    };
    let target = target.to_owned();
    Some(StepMount {
        target,
        source,
        span,
    })
}

/// Keys that `--mount` has and a mount has not.
const OF_DOCKER: [&str; 11] = [
    "type",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "id",
    "size",
    "readwrite",
    "readonly",
    "ro",
];

/// Whether a key is that of `--mount`, which is reported already.
fn is_like_docker(fields: &Fields) -> bool {
    OF_DOCKER.iter().any(|name| fields.entry(name).is_some())
}

/// Reports keys that the source `kind` does not use.
fn only_used(reader: &Reader, fields: &Fields, kind: &str, what: &str) -> Option<()> {
    let used: &[&str] = match kind {
        "bind" => &["rw"],
        "image" => &["from", "rw"],
        "cache" => &["sharing", "mode", "uid", "gid"],
        _ => &[],
    };
    let others = KEYS
        .iter()
        .filter(|key| !SOURCES.contains(key) && !used.contains(key));
    let mut good = Some(());
    for entry in others.filter_map(|key| fields.entry(key)) {
        let unused = format!("`{}` in {what}", entry.key.text);
        let reason = format!("not used with `{kind}`");
        reader.report(Diagnostic::unused(&unused, entry.key.span, reason));
        good = None;
    }
    good
}

fn flag(reader: &Reader, fields: &Fields) -> Option<bool> {
    match fields.get("rw") {
        Some(node) => reader.flag(node, "`rw`"),
        None => Some(false),
    }
}

fn files(step: &StepReader, node: &Node, rw: bool) -> Option<MountSource> {
    let text = step.reader.text(node, "`bind`")?;
    let mut entries = step.paths.source(step.reader, &text, node.span)?;
    let is_folder = |entry: &CopyEntry| {
        (step.paths.files.get(&entry.file)).is_some_and(|file| file.is_folder())
    };
    // The folder itself is the mount.
    entries.retain(|entry| !entry.to.is_empty() || !is_folder(entry));
    if entries.is_empty() {
        let problem = Diagnostic::error(format!("folder `{text}` is empty"));
        step.reader
            .report(problem.at(node.span, "nothing to mount"));
        return None;
    }
    Some(MountSource::Files {
        path: text,
        entries,
        rw,
    })
}

fn cache(reader: &Reader, node: &Node, fields: &Fields) -> Option<MountSource> {
    let id = reader.text(node, "`cache` (the name of the cache)")?;
    let reason = if id.starts_with("laminate-") {
        Some("names with `laminate-` are reserved")
    } else if id.is_empty() || id.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Some("expected a name without spaces, for example `npm`")
    } else {
        None
    };
    if let Some(reason) = reason {
        reader.report(Diagnostic::invalid("cache", &id, node.span, reason));
        return None;
    }
    let sharing = [
        CacheSharing::Shared,
        CacheSharing::Private,
        CacheSharing::Locked,
    ]
    .map(|sharing| (sharing.name(), sharing));
    let number = |name: &str| match fields.get(name) {
        Some(node) => {
            let number = reader.number(node, &format!("`{name}`"), 0..=u32::MAX);
            number.map(Some)
        }
        None => Some(None),
    };
    Some(MountSource::Cache {
        id,
        sharing: match fields.get("sharing") {
            Some(node) => reader.one_of(node, "`sharing`", &sharing)?,
            None => CacheSharing::Shared,
        },
        mode: match fields.get("mode") {
            Some(node) => Some(super::secrets::mode(reader, node, 0o7777)?),
            None => None,
        },
        uid: number("uid")?,
        gid: number("gid")?,
    })
}

/// Returns mounts as JSON, as part of keys.
pub(super) fn canonical(mounts: &[StepMount]) -> Json {
    let value = |mount: &StepMount| {
        let StepMount {
            target,
            source,
            span: _,
        } = mount;
        let source = match source {
            // Only the files count.
            MountSource::Files {
                path: _,
                entries,
                rw,
            } => {
                let entries = entries.iter().map(|entry| json!([entry.file, entry.to]));
                json!({ "bind": entries.collect::<Vec<_>>(), "rw": rw })
            }
            MountSource::Image { source, path, rw } => {
                json!({ "image": source.to_string(), "from": path, "rw": rw })
            }
            MountSource::Cache {
                id,
                sharing,
                mode,
                uid,
                gid,
            } => {
                let sharing = sharing.name();
                json!({ "cache": id, "sharing": sharing, "mode": mode, "uid": uid, "gid": gid })
            }
            MountSource::Tmpfs { size } => json!({ "tmpfs": size }),
        };
        json!([target, source])
    };
    mounts.iter().map(value).collect()
}

pub(super) fn sources(mounts: &[StepMount]) -> impl Iterator<Item = &ImageSource> {
    mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Image { source, .. } => Some(source),
        _ => None,
    })
}

pub(super) fn pin(mounts: &mut [StepMount], digests: &BTreeMap<Reference, Digest>) {
    for mount in mounts {
        if let MountSource::Image { source, .. } = &mut mount.source {
            source.pin(digests);
        }
    }
}

pub(super) fn used_files(mounts: &[StepMount]) -> impl Iterator<Item = &Utf8PathBuf> {
    mounts
        .iter()
        .flat_map(|mount| match &mount.source {
            MountSource::Files { entries, .. } => entries.as_slice(),
            _ => &[],
        })
        .map(|entry| &entry.file)
}
