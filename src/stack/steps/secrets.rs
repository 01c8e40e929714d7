//! `secrets:` and `network:` of steps and suites.

use serde_json::{Map, Value as Json, json};

use crate::spec::node::{Node, Value};
use crate::stack::reader::Reader;

/// A secret that is mounted into a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The id under which the command line provides it.
    pub id: String,
    /// Absolute path of the file it is mounted as.
    pub target: String,
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

/// Returns secrets and their paths as JSON, as part of keys.
pub fn canonical_secrets(secrets: &[Secret]) -> Json {
    let map: Map<String, Json> = secrets
        .iter()
        .map(|Secret { id, target }| (id.clone(), json!(target)))
        .collect();
    Json::Object(map)
}

/// Reads `network:`.
pub fn network(reader: &Reader, node: &Node) -> Option<Network> {
    let known = [("default", Network::Default), ("none", Network::None)];
    reader.one_of(node, "`network`", &known)
}

/// Reads a list of ids, mounted below `/run/secrets`, or a mapping from ids to paths.
pub fn secrets(reader: &Reader, node: &Node) -> Vec<Secret> {
    if let Value::List(_) = node.value {
        let ids = reader.texts(node, "`secrets`").unwrap_or_default();
        let secret = |id: String| Secret {
            target: format!("/run/secrets/{id}"),
            id,
        };
        return ids.into_iter().map(secret).collect();
    }
    let mut list = Vec::new();
    for entry in reader.some_entries(node, "`secrets`").unwrap_or_default() {
        let target = reader
            .text(&entry.value, "the path of a secret")
            .and_then(|text| reader.absolute(&text, entry.value.span, "the path of a secret"));
        if let (Some(id), Some(target)) = (reader.key(&entry.key), target) {
            list.push(Secret { id, target });
        }
    }
    list.sort_by(|a, b| a.id.cmp(&b.id));
    list
}
