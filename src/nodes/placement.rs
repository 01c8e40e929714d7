//! Where pods run, from the command line: labels of nodes, tolerations, names of objects.
//!
//! The grammars are those of the Kubernetes API: "labels and selectors", "object names", `Toleration`.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

/// Why a label, a toleration or a name is invalid: what to use instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidPlacement(&'static str);

const KEY: InvalidPlacement = InvalidPlacement(
    "use at most 63 letters, digits, `-`, `_` and `.` for the key, with a host name and `/` before it if needed",
);
const VALUE: InvalidPlacement =
    InvalidPlacement("use at most 63 letters, digits, `-`, `_` and `.` for the value");
const EFFECT: InvalidPlacement =
    InvalidPlacement("use the effect NoSchedule, PreferNoSchedule or NoExecute");

/// Letters, digits, and `-`, `_`, `.` between them.
fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let bytes = text.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63 && ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|b| inner(*b))
}

/// Parts of lower-case letters, digits and `-`, joined by `.`.
fn is_host(text: &str) -> bool {
    let part = |part: &str| {
        is_name(part)
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    text.len() <= 253 && text.split('.').all(part)
}

fn key(text: &str) -> Result<String, InvalidPlacement> {
    let good = match text.split_once('/') {
        Some((host, name)) => is_host(host) && is_name(name),
        None => is_name(text),
    };
    good.then(|| text.to_owned()).ok_or(KEY)
}

fn value(text: &str) -> Result<String, InvalidPlacement> {
    let good = text.is_empty() || is_name(text);
    good.then(|| text.to_owned()).ok_or(VALUE)
}

/// The name of a namespace or a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectName(String);

impl FromStr for ObjectName {
    type Err = InvalidPlacement;

    fn from_str(text: &str) -> Result<Self, InvalidPlacement> {
        if is_host(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidPlacement(
                "use lower-case letters, digits, `-` and `.`",
            ))
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A label of nodes, `KEY=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The key, with its prefix.
    pub key: String,
    /// The value.
    pub value: String,
}

impl FromStr for Label {
    type Err = InvalidPlacement;

    fn from_str(text: &str) -> Result<Self, InvalidPlacement> {
        let (name, content) = text
            .split_once('=')
            .ok_or(InvalidPlacement("write KEY=VALUE"))?;
        Ok(Self {
            key: key(name)?,
            value: value(content)?,
        })
    }
}

/// A taint that pods tolerate: `KEY=VALUE:EFFECT`, `KEY:EFFECT` for any value, and both without
/// `:EFFECT` for any effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toleration {
    key: String,
    value: Option<String>,
    effect: Option<String>,
}

impl Toleration {
    /// Returns what Zero-to-JupyterHub's own pods tolerate: nodes for users alone. Some clouds allow no `/` in
    /// the key ("Using a dedicated node pool for users" of its administrator's guide).
    pub fn of_users() -> Vec<Self> {
        ["hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated"]
            .map(|key| Self {
                key: key.to_owned(),
                value: Some("user".to_owned()),
                effect: Some("NoSchedule".to_owned()),
            })
            .into()
    }

    pub(super) fn object(&self) -> Value {
        let mut object = match &self.value {
            Some(value) => json!({ "key": self.key, "operator": "Equal", "value": value }),
            None => json!({ "key": self.key, "operator": "Exists" }),
        };
        if let Some(effect) = &self.effect {
            object["effect"] = json!(effect);
        }
        object
    }
}

impl FromStr for Toleration {
    type Err = InvalidPlacement;

    fn from_str(text: &str) -> Result<Self, InvalidPlacement> {
        let (taint, effect) = match text.rsplit_once(':') {
            Some((taint, effect)) => (taint, Some(effect)),
            None => (text, None),
        };
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if effect.is_some_and(|effect| !known.contains(&effect)) {
            return Err(EFFECT);
        }
        let (name, content) = match taint.split_once('=') {
            Some((name, content)) => (name, Some(value(content)?)),
            None => (taint, None),
        };
        Ok(Self {
            key: key(name)?,
            value: content,
            effect: effect.map(str::to_owned),
        })
    }
}
