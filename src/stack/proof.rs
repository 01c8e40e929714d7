//! What is to be proven of an image, and what it tells of itself: suites, `policy:` and `info:`.

use std::collections::BTreeMap;

use super::config;
use super::decode::Reader;
use super::suite::Suite;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Entry, Node, Value};

/// Everything a run proves of an image beside that it can be built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// In force: the base's, then its own.
    pub suites: Vec<Suite>,
    /// Inherited suites its spec drops.
    pub dropped: Vec<Dropped>,
    pub policy: Policy,
    pub info: Vec<InfoCommand>,
}

impl Proof {
    /// Whether anything is to be proven or told.
    pub fn is_wanted(&self) -> bool {
        !self.suites.is_empty() || !self.policy.is_empty() || !self.info.is_empty()
    }
}

/// A suite that is not run, with the reason the spec gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    pub suite: String,
    pub reason: String,
}

/// `policy:` in force for an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// `root: locked`, and where it is said.
    pub root_locked: Option<Span>,
    /// `user: not-root`.
    pub not_root: Option<Span>,
    pub writable: Option<WritablePolicy>,
    pub layers: Option<LayerLimits>,
    /// By path.
    pub allow: BTreeMap<String, Allowance>,
}

impl Policy {
    pub fn is_empty(&self) -> bool {
        self.root_locked.is_none()
            && self.not_root.is_none()
            && self.writable.is_none()
            && self.layers.is_none()
    }
}

/// `writable:` of a policy: what is below the paths belongs to the group and is writable for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritablePolicy {
    /// `None`: that of the image's own `writable:`.
    pub gid: Option<u32>,
    /// Absolute, without a trailing `/`.
    pub paths: Vec<String>,
    pub span: Span,
}

/// `layers:` of a policy; each the most there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerLimits {
    pub count: Option<usize>,
    /// Of all layers as stored, bytes.
    pub size: Option<u64>,
    /// Of files that lie in more than one layer, bytes.
    pub twice: Option<u64>,
    pub span: Span,
}

/// Something a policy forbids, allowed for one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub reason: String,
    pub span: Span,
}

/// A command of `info:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InfoCommand {
    pub name: String,
    pub title: String,
    /// Shell text, as written.
    pub run: String,
    pub span: Span,
}

/// Which git refs may write what (`policy.refs`); `None`: nothing is said of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    pub publish: Option<Vec<String>>,
    pub promote: Option<Vec<String>>,
    pub docs: Option<Vec<String>>,
}

/// Whether a key can be a name; says so if not.
pub fn name(reader: &Reader, entry: &Entry, what: &str) -> bool {
    let text = &entry.key.text;
    let good = text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !good {
        reader.say(
            Diagnostic::error(format!("`{text}` is no name of {what}")).at(
                entry.key.span,
                "letters, digits, `.`, `_` and `-` are wanted",
            ),
        );
    }
    good
}

/// `policy:` of the stack or an image.
pub fn policy(reader: &Reader, node: &Node, of_stack: bool) -> Policy {
    let mut policy = Policy::default();
    let known: &[&str] = match of_stack {
        true => &["root", "user", "writable", "layers", "allow", "refs"],
        false => &["root", "user", "writable", "layers", "allow"],
    };
    let Some(fields) = reader.fields(node, "`policy`", known) else {
        return policy;
    };
    let word = |key: &str, word: &str| {
        let entry = fields.entry(key)?;
        let said = reader.one_of(&entry.value, &format!("`{key}`"), &[(word, ())]);
        said.map(|()| entry.key.span)
    };
    policy.root_locked = word("root", "locked");
    policy.not_root = word("user", "not-root");
    if let Some(entry) = fields.entry("writable") {
        policy.writable = writable(reader, &entry.value, entry.key.span);
    }
    if let Some(entry) = fields.entry("layers") {
        policy.layers = layers(reader, &entry.value, entry.key.span);
    }
    if let Some(node) = fields.get("allow") {
        for entry in reader.some_entries(node, "`allow`").unwrap_or_default() {
            let path = reader
                .key(&entry.key)
                .and_then(|text| reader.absolute(&text, entry.key.span, "a path that is allowed"));
            let reason = reader.text(&entry.value, "the reason it is allowed");
            if let (Some(path), Some(reason)) = (path, reason) {
                let span = entry.key.span;
                policy.allow.insert(path, Allowance { reason, span });
            }
        }
    }
    policy
}

/// A list of paths, or `{ gid, paths }`.
fn writable(reader: &Reader, node: &Node, span: Span) -> Option<WritablePolicy> {
    if let Value::Map(_) = node.value {
        let whole = config::writable(reader, node)?;
        return Some(WritablePolicy {
            gid: Some(whole.gid),
            paths: whole.paths,
            span,
        });
    }
    let mut paths = Vec::new();
    for item in reader.list(node, "`writable`")? {
        let text = reader.text(item, "a path")?;
        paths.push(reader.absolute(text.trim_end_matches('/'), item.span, "a path")?);
    }
    Some(WritablePolicy {
        gid: None,
        paths,
        span,
    })
}

fn layers(reader: &Reader, node: &Node, span: Span) -> Option<LayerLimits> {
    let fields = reader.fields(node, "`layers`", &["count", "size", "twice"])?;
    let count = fields
        .get("count")
        .and_then(|node| reader.number(node, "`count`", 1000));
    let of = |key: &str| {
        let node = fields.get(key)?;
        size(reader, node, &format!("`{key}`"))
    };
    Some(LayerLimits {
        count: count.map(|count| count as usize),
        size: of("size"),
        twice: of("twice"),
        span,
    })
}

/// `0`, `500 MB`, `2GiB`; bytes.
fn size(reader: &Reader, node: &Node, what: &str) -> Option<u64> {
    let text = reader.text(node, what)?;
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let factor = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "kb" => Some(1000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        _ => None,
    };
    let value = text[..digits].parse::<u64>().ok();
    let bytes = value
        .zip(factor)
        .and_then(|(value, factor)| value.checked_mul(factor));
    if bytes.is_none() {
        reader.say(
            Diagnostic::error(format!("{what} is a size"))
                .at(node.span, format!("not `{text}`"))
                .help("write `500MB`, `2GB` or `1GiB`"),
        );
    }
    bytes
}

/// `policy.refs`: patterns of branches and tags.
pub fn refs(reader: &Reader, node: &Node) -> Refs {
    let mut refs = Refs::default();
    let Some(fields) = reader.fields(node, "`refs`", &["publish", "promote", "docs"]) else {
        return refs;
    };
    let list = |key: &str| {
        let node = fields.get(key)?;
        let list = reader.texts_or_none(node, &format!("`{key}`"))?;
        for pattern in &list {
            if let Err(error) = globset::Glob::new(pattern) {
                reader.say(
                    Diagnostic::error("this is no pattern of refs")
                        .at(node.span, error.kind().to_string())
                        .help("write `main`, `release/*` or `refs/tags/v*`"),
                );
            }
        }
        Some(list)
    };
    refs.publish = list("publish");
    refs.promote = list("promote");
    refs.docs = list("docs");
    refs
}

/// An image's own policy on what it inherits.
pub fn inherit_policy(inherited: &Policy, own: Policy) -> Policy {
    let mut allow = inherited.allow.clone();
    allow.extend(own.allow);
    Policy {
        root_locked: own.root_locked.or(inherited.root_locked),
        not_root: own.not_root.or(inherited.not_root),
        writable: own.writable.or_else(|| inherited.writable.clone()),
        layers: own.layers.or_else(|| inherited.layers.clone()),
        allow,
    }
}

/// `info:`.
pub fn info(reader: &Reader, node: &Node) -> Vec<InfoCommand> {
    let mut list = Vec::new();
    for entry in reader.some_entries(node, "`info`").unwrap_or_default() {
        name(reader, entry, "an info");
        let what = format!("info `{}`", entry.key.text);
        let Some(fields) = reader.fields(&entry.value, &what, &["title", "run"]) else {
            continue;
        };
        let title = match fields.get("title") {
            Some(node) => reader.text(node, "`title`"),
            None => Some(entry.key.text.clone()),
        };
        let run = match fields.get("run") {
            Some(node) => reader.literal(node, "`run`").map(str::to_owned),
            None => {
                reader.say(
                    Diagnostic::error(format!("{what} has no `run`"))
                        .at(fields.span, "nothing is run"),
                );
                None
            }
        };
        if let (Some(title), Some(run)) = (title, run) {
            list.push(InfoCommand {
                name: entry.key.text.clone(),
                title,
                run,
                span: entry.key.span,
            });
        }
    }
    list
}

/// An image's own commands on those it inherits; one of the same name takes its place.
pub fn inherit_info(inherited: &[InfoCommand], own: Vec<InfoCommand>) -> Vec<InfoCommand> {
    let mut list = inherited.to_vec();
    for command in own {
        match list.iter_mut().find(|known| known.name == command.name) {
            Some(known) => *known = command,
            None => list.push(command),
        }
    }
    list
}
