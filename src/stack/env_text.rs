//! Texts outside of `env:` that can use the environment of the image: `user`, and `workdir`, `entrypoint`
//! and `cmd` of `config`.

use serde_json::{Value as Json, json};

use super::env::{self, EnvPart, EnvText};
use super::reader::Reader;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Node, Value};

/// A text that may use variables of the environment, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvString {
    /// The text.
    pub text: EnvText,
    /// Where it is written.
    pub span: Span,
}

/// `entrypoint:` or `cmd:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProcessWords {
    /// A list: a program and its arguments; an empty one clears an inherited one.
    List(Vec<EnvString>),
    /// A string, which the shell of the image runs.
    Shell(EnvString),
}

impl EnvString {
    /// Reads a string. `what` is its name in messages.
    pub fn read(reader: &Reader, node: &Node, what: &str) -> Option<Self> {
        Some(Self {
            text: env::text_of(reader, node, what)?,
            span: node.span,
        })
    }

    /// Returns the text if it uses no variable of the environment.
    pub fn plain(&self) -> Option<&str> {
        match self.text.0.as_slice() {
            [] => Some(""),
            [EnvPart::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Returns the text for people, as it is written in a spec.
    pub fn written(&self) -> String {
        let parts = self.text.0.iter().map(|part| match part {
            EnvPart::Text(text) => text.clone(),
            EnvPart::Env(name) => format!("${{env:{name}}}"),
        });
        parts.collect()
    }

    /// Returns the text as JSON, as part of keys: a string, or a list of its parts.
    pub fn canonical(&self) -> Json {
        if let Some(text) = self.plain() {
            return json!(text);
        }
        let parts = self.text.0.iter().map(|part| match part {
            EnvPart::Text(text) => json!(text),
            EnvPart::Env(name) => json!({ "env": name }),
        });
        parts.collect()
    }
}

impl ProcessWords {
    /// Reads a list that may be empty, or a string.
    pub(super) fn read(reader: &Reader, node: &Node, what: &str) -> Option<Self> {
        match &node.value {
            Value::List(list) if list.is_empty() => Some(Self::List(Vec::new())),
            Value::Scalar { text, .. } if !node.is_null() && !text.trim().is_empty() => {
                EnvString::read(reader, node, what).map(Self::Shell)
            }
            Value::Scalar { .. } if !node.is_null() => {
                let problem = Diagnostic::error(format!("{what} must not be empty"));
                reader.report(
                    problem
                        .at(node.span, "an empty string")
                        .help("write `[]` to clear an inherited one"),
                );
                None
            }
            _ => {
                let list = reader.list(node, what)?;
                let what = format!("an entry of {what}");
                // Read all of them, so that every fault is reported.
                let items: Vec<Option<EnvString>> = (list.iter())
                    .map(|item| EnvString::read(reader, item, &what))
                    .collect();
                items.into_iter().collect::<Option<_>>().map(Self::List)
            }
        }
    }

    /// Returns all texts.
    pub fn texts(&self) -> &[EnvString] {
        match self {
            Self::List(list) => list,
            Self::Shell(text) => std::slice::from_ref(text),
        }
    }

    /// Returns it as JSON, as part of keys.
    pub(super) fn canonical(&self) -> Json {
        match self {
            Self::List(list) => list.iter().map(EnvString::canonical).collect(),
            Self::Shell(text) => json!({ "shell": text.canonical() }),
        }
    }
}
