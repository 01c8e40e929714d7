//! `policy:`: what is checked in every image, and which git refs can write.

use std::collections::BTreeMap;

use super::pattern::Pattern;
use super::reader::{Fields, KeyHint, Reader};
use super::units::size;
use super::writable;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Node, Value};

/// The policy that applies to an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The key of `root: locked`.
    pub root_locked: Option<Span>,
    /// The key of `user: not-root`.
    pub not_root: Option<Span>,
    /// `writable:`.
    pub writable: Option<WritablePolicy>,
    /// `layers:`.
    pub layers: Option<LayerLimits>,
    /// `allow:`, by path.
    pub allow: BTreeMap<String, Allowance>,
}

impl Policy {
    /// Whether nothing is checked.
    pub fn is_empty(&self) -> bool {
        self.root_locked.is_none()
            && self.not_root.is_none()
            && self.writable.is_none()
            && self.layers.is_none()
    }
}

/// `writable:` of a policy: files below the paths must belong to the group and be writable for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritablePolicy {
    /// `None`: the group of the image's own `writable:`.
    pub gid: Option<u32>,
    /// Absolute, without a trailing `/`.
    pub paths: Vec<String>,
    /// The key in its file.
    pub span: Span,
}

/// `layers:` of a policy: limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerLimits {
    /// The most layers.
    pub count: Option<usize>,
    /// The most bytes of all layers as stored.
    pub size: Option<u64>,
    /// The most bytes of files that are in more than one layer.
    pub twice: Option<u64>,
    /// The key in its file.
    pub span: Span,
}

/// A finding that is allowed for a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// Why it is allowed.
    pub reason: String,
    /// The key in its file.
    pub span: Span,
}

/// `policy.refs`: patterns of git refs that can write. `None`: every ref can.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refs {
    /// Refs that can publish images.
    pub publish: Option<Vec<String>>,
    /// Refs that can move channels.
    pub promote: Option<Vec<String>>,
    /// Refs that can write the documentation.
    pub docs: Option<Vec<String>>,
}

/// Whose policy it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The whole stack's, which can have `refs:`.
    Stack,
    /// One image's.
    Image,
}

/// Reads `policy:`.
pub fn read(reader: &Reader, node: &Node, owner: Owner) -> Policy {
    let known = ["root", "user", "writable", "layers", "allow", "refs"];
    let (what, known) = match owner {
        Owner::Stack => ("`policy`", &known[..]),
        Owner::Image => ("`policy` of an image", &known[..5]),
    };
    let refs = KeyHint::new(
        &["refs"],
        "move it to `policy:` at the top of the spec: it applies to the whole stack",
    );
    let Some(fields) = reader.fields_or_hint(node, what, known, &[refs]) else {
        return Policy::default();
    };
    // Another word is a fault that is reported; no gate is reported because of it.
    let word = |key: &str, word: &str| {
        let entry = fields.entry(key)?;
        let _reported = reader.one_of(&entry.value, &format!("`{key}`"), &[(word, ())]);
        Some(entry.key.span)
    };
    Policy {
        root_locked: word("root", "locked"),
        not_root: word("user", "not-root"),
        writable: fields
            .entry("writable")
            .and_then(|entry| writable_policy(reader, &entry.value, entry.key.span)),
        layers: fields
            .entry("layers")
            .and_then(|entry| layers(reader, &entry.value, entry.key.span)),
        allow: allow(reader, &fields),
    }
}

fn allow(reader: &Reader, fields: &Fields) -> BTreeMap<String, Allowance> {
    let mut allow = BTreeMap::new();
    let Some(node) = fields.get("allow") else {
        return allow;
    };
    for entry in reader.some_entries(node, "`allow`").unwrap_or_default() {
        let path = reader
            .key(&entry.key)
            .and_then(|text| reader.absolute(&text, entry.key.span, "an allowed path"));
        let reason = reader.text(&entry.value, "the reason in `allow`");
        if let (Some(path), Some(reason)) = (path, reason) {
            let span = entry.key.span;
            allow.insert(path, Allowance { reason, span });
        }
    }
    allow
}

/// A list of paths, or `{ gid, paths }`.
fn writable_policy(reader: &Reader, node: &Node, span: Span) -> Option<WritablePolicy> {
    if let Value::Map(_) = node.value {
        let writable = writable::read(reader, node)?;
        return Some(WritablePolicy {
            gid: Some(writable.gid),
            paths: writable.paths,
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
        .and_then(|node| reader.number(node, "`count`", 0..=1000));
    let bytes = |key: &str| size(reader, fields.get(key)?, &format!("`{key}`"));
    Some(LayerLimits {
        count: count.map(|count| count as usize),
        size: bytes("size"),
        twice: bytes("twice"),
        span,
    })
}

/// Reads `policy.refs`.
pub fn refs(reader: &Reader, node: &Node) -> Refs {
    let Some(fields) = reader.fields(node, "`refs`", &["publish", "promote", "docs"]) else {
        return Refs::default();
    };
    let list = |key: &str| {
        let node = fields.get(key)?;
        let list = reader.texts_or_none(node, &format!("`{key}`"))?;
        for pattern in &list {
            if let Err(reason) = Pattern::parse(pattern) {
                let kind = "pattern of git refs";
                reader.report(
                    Diagnostic::invalid(kind, pattern, node.span, reason)
                        .help("write it as `main`, `release/*` or `refs/tags/v*`"),
                );
            }
        }
        Some(list)
    };
    Refs {
        publish: list("publish"),
        promote: list("promote"),
        docs: list("docs"),
    }
}

/// Returns the inherited policy with an image's own settings, which win.
pub fn inherit(inherited: &Policy, own: &Policy) -> Policy {
    let mut allow = inherited.allow.clone();
    allow.extend(own.allow.clone());
    Policy {
        root_locked: own.root_locked.or(inherited.root_locked),
        not_root: own.not_root.or(inherited.not_root),
        writable: own.writable.clone().or_else(|| inherited.writable.clone()),
        layers: own.layers.clone().or_else(|| inherited.layers.clone()),
        allow,
    }
}
