//! `secrets:` and `network:` of steps and suites.

use serde_json::{Map, Value as Json, json};

use crate::diagnostic::Diagnostic;
use crate::spec::node::{Node, Value};
use crate::stack::forms::Form;
use crate::stack::reader::Reader;

/// A secret that is mounted into a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The id under which the command line provides it.
    pub id: String,
    /// Absolute path of the file it is mounted as.
    pub target: String,
    /// `mode:`; by default 400.
    pub mode: Option<u32>,
    /// `uid:`; by default the user of the step.
    pub uid: Option<u32>,
    /// `gid:`; by default the group of the step's user.
    pub gid: Option<u32>,
}

/// `network:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The engine's default.
    Default,
    /// None.
    None,
}

impl Network {
    /// Returns its word in the spec, as part of keys.
    pub fn canonical(self) -> Json {
        json!(match self {
            Self::Default => "default",
            Self::None => "none",
        })
    }
}

/// Returns secrets, their paths, modes and owners as JSON, as part of keys.
pub fn canonical_secrets(secrets: &[Secret]) -> Json {
    let value = |secret: &Secret| {
        let Secret {
            id: _,
            target,
            mode,
            uid,
            gid,
        } = secret;
        if (mode, uid, gid) == (&None, &None, &None) {
            return json!(target);
        }
        json!({ "path": target, "mode": mode, "uid": uid, "gid": gid })
    };
    let map: Map<String, Json> = secrets
        .iter()
        .map(|secret| (secret.id.clone(), value(secret)))
        .collect();
    Json::Object(map)
}

/// Reads `network:`.
pub fn network(reader: &Reader, node: &Node) -> Option<Network> {
    let known = [("default", Network::Default), ("none", Network::None)];
    reader.one_of(node, "`network`", &known)
}

/// Reads a list of ids, mounted below `/run/secrets`, or a mapping from ids to paths, or to their settings.
pub fn secrets(reader: &Reader, node: &Node) -> Vec<Secret> {
    let Some(form) = reader.form(node, "`secrets`", &[Form::List, Form::Map]) else {
        return Vec::new();
    };
    if form == Form::List {
        let ids = reader.texts(node, "`secrets`").unwrap_or_default();
        return ids.into_iter().map(plain).collect();
    }
    let mut list = Vec::new();
    for entry in reader.some_entries(node, "`secrets`").unwrap_or_default() {
        let secret = reader
            .key(&entry.key)
            .and_then(|id| secret(reader, id, &entry.value));
        list.extend(secret);
    }
    list.sort_by(|a, b| a.id.cmp(&b.id));
    list
}

/// Returns a secret at its usual path.
pub(super) fn plain(id: String) -> Secret {
    Secret {
        target: format!("/run/secrets/{id}"),
        id,
        mode: None,
        uid: None,
        gid: None,
    }
}

fn secret(reader: &Reader, id: String, node: &Node) -> Option<Secret> {
    let mut secret = plain(id);
    let path = |node: &Node| {
        let text = reader.text(node, "the path of a secret")?;
        reader.absolute(&text, node.span, "the path of a secret")
    };
    if !matches!(node.value, Value::Map(_)) {
        secret.target = path(node)?;
        return Some(secret);
    }
    let fields = reader.fields(node, "a secret", &["path", "mode", "uid", "gid"])?;
    if let Some(node) = fields.get("path") {
        secret.target = path(node)?;
    }
    if let Some(node) = fields.get("mode") {
        secret.mode = Some(mode(reader, node, 0o777)?);
    }
    for (name, number) in [("uid", &mut secret.uid), ("gid", &mut secret.gid)] {
        if let Some(node) = fields.get(name) {
            *number = Some(reader.number(node, &format!("`{name}`"), 0..=u32::MAX)?);
        }
    }
    Some(secret)
}

/// Reads the mode of a secret or a cache, octal and at most `most`.
pub(super) fn mode(reader: &Reader, node: &Node, most: u32) -> Option<u32> {
    let text = reader.text(node, "`mode`")?;
    let bits = u32::from_str_radix(&text, 8).ok();
    let bits = bits.filter(|bits| *bits <= most);
    if bits.is_none() {
        let reason = "expected octal digits, for example `400`";
        reader.report(Diagnostic::invalid("mode", &text, node.span, reason));
    }
    bits
}
