//! `env:`: changes to the environment.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::reader::{Reader, part_of};
use super::url;
use super::variables::{Unset, unknown};
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Entry, Node, Value};
use crate::spec::template::{Part, Template};

/// Changes to the environment, by name. `${env:X}` in a value is X *before* all of them, so their
/// order does not matter.
pub type Env = BTreeMap<String, EnvChange>;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvChange {
    /// Replaces the value.
    Set(EnvText),
    /// Removes the variable.
    Remove,
    /// Adds to the end of the value.
    Append {
        /// The addition.
        text: EnvText,
        /// Put between the two, unless the value is unset or empty.
        sep: String,
    },
    /// Adds to the start of the value.
    Prepend {
        /// The addition.
        text: EnvText,
        /// Put between the two, unless the value is unset or empty.
        sep: String,
    },
}

/// A text that may use variables of the environment it is put into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvText(pub Vec<EnvPart>);

/// A part of an [`EnvText`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvPart {
    /// Literal text.
    Text(String),
    /// `${env:NAME}`; empty if unset.
    Env(String),
}

/// Reads `env:`.
pub fn read(reader: &Reader, node: &Node) -> Env {
    let mut env = Env::new();
    let entries = reader.entries(node, "`env`").unwrap_or_default();
    for entry in entries {
        let Some(name) = reader.key(&entry.key) else {
            continue;
        };
        if name.is_empty() || name.contains(['=', '\0']) {
            let kind = "environment variable name";
            let reason = "must not be empty or contain `=`";
            reader.report(Diagnostic::invalid(kind, &name, entry.key.span, reason));
            continue;
        }
        if let Some(change) = change(reader, &entry.value) {
            env.insert(name, change);
        }
    }
    for entry in entries {
        check_siblings(reader, entry, entries, &env);
    }
    env
}

/// Reports `${env:A}` in the value of another variable than `A`, where the same `env:` sets `A` to a new
/// value: a Dockerfile's second line would see that value, and this one would not.
fn check_siblings(reader: &Reader, entry: &Entry, all: &[Entry], env: &Env) {
    let values = match &entry.value.value {
        Value::Map(fields) => fields.iter().map(|field| &field.value).collect(),
        _ => vec![&entry.value],
    };
    for node in values {
        let Value::Scalar { text, .. } = &node.value else {
            continue;
        };
        let parts = Template::parse(text).unwrap_or_default().0;
        for part in parts {
            let Part::Env(variable) = part else { continue };
            let name = variable.name.as_str();
            let is_new = env.get(name).is_some_and(|change| !change.keeps(name));
            let sibling = all.iter().find(|other| other.key.text == name);
            if let Some(sibling) = sibling
                && is_new
                && entry.key.text != name
            {
                let at = part_of(node.span, text, variable.start, variable.end);
                reader.report(
                    Diagnostic::error(format!(
                        "`${{env:{name}}}` is not the `{name}` of this `env`"
                    ))
                    .at(at, format!("the value that `{name}` had before"))
                    .also(sibling.key.span, "set here")
                    .help(format!(
                        "set the value in `vars:`, and use that variable here and in `{name}`"
                    )),
                );
            }
        }
    }
}

impl EnvChange {
    /// Whether the new value contains the old value of `name`, the variable that is changed.
    fn keeps(&self, name: &str) -> bool {
        match self {
            Self::Remove => false,
            Self::Append { .. } | Self::Prepend { .. } => true,
            Self::Set(text) => text.0.contains(&EnvPart::Env(name.to_owned())),
        }
    }
}

fn change(reader: &Reader, node: &Node) -> Option<EnvChange> {
    if node.is_null() {
        return Some(EnvChange::Remove);
    }
    let Value::Map(_) = node.value else {
        return text(reader, node).map(EnvChange::Set);
    };
    let what = "a value of `env`";
    let fields = reader.fields(node, what, &["append", "prepend", "sep"])?;
    let sep = match fields.get("sep") {
        Some(node) => reader.text(node, "`sep`")?,
        None => ":".to_owned(),
    };
    let found = match (fields.get("append"), fields.get("prepend")) {
        (Some(node), None) => {
            let text = text(reader, node)?;
            return Some(EnvChange::Append { text, sep });
        }
        (None, Some(node)) => {
            let text = text(reader, node)?;
            return Some(EnvChange::Prepend { text, sep });
        }
        (Some(_), Some(_)) => "both",
        (None, None) if fields.is_misspelt(&["append", "prepend"]) => return None,
        (None, None) => "neither",
    };
    let expected = "a string, or a mapping with one of `append` and `prepend`";
    reader.report(Diagnostic::expected(what, expected, node.span, found));
    None
}

fn text(reader: &Reader, node: &Node) -> Option<EnvText> {
    let made = text_of(reader, node, "a value of `env`")?;
    warn_of_shell_variable(reader, node, "`env`");
    Some(made)
}

/// Warns of `$NAME` in a text, which is not replaced.
pub fn warn_of_shell_variable(reader: &Reader, node: &Node, what: &str) {
    if let Value::Scalar { text, .. } = &node.value {
        reader.warn_of_shell_variable(text, node.span, what, |name| {
            format!("write `${{env:{name}}}`")
        });
    }
}

/// Reads a text that may use variables of the environment.
pub fn text_of(reader: &Reader, node: &Node, what: &str) -> Option<EnvText> {
    let text = reader.literal(node, what)?;
    reader.fits_argument(text, node.span, what)?;
    let template = reader.template(text, node.span)?;
    // Texts side by side become one: equal values have equal keys.
    let mut joined: Vec<EnvPart> = Vec::new();
    for part in &template.0 {
        let part = match part {
            Part::Text(text) => EnvPart::Text(text.clone()),
            Part::Env(variable) => EnvPart::Env(variable.name.clone()),
            Part::Var(variable) => {
                let at = part_of(node.span, text, variable.start, variable.end);
                EnvPart::Text(environment_or_variable(reader, &variable.name, at)?)
            }
        };
        match (joined.last_mut(), part) {
            (Some(EnvPart::Text(before)), EnvPart::Text(text)) => before.push_str(&text),
            (_, part) => joined.push(part),
        }
    }
    // One that is in the text itself is reported with all of the spec.
    if url::user_info(&shell_text(&joined)).is_some() && url::user_info(text).is_none() {
        reader.report(url::in_url(node.span));
        return None;
    }
    Some(EnvText(joined))
}

/// Returns a text in which variables of the environment are written as in a shell.
fn shell_text(parts: &[EnvPart]) -> String {
    let parts = parts.iter().map(|part| match part {
        EnvPart::Text(text) => text.clone(),
        EnvPart::Env(name) => format!("${{{name}}}"),
    });
    parts.collect()
}

/// Returns the value of a variable of the spec. `${PATH}`, as a Dockerfile has it, gets its own help.
fn environment_or_variable(reader: &Reader, name: &str, span: Span) -> Option<String> {
    let is_upper = !name.contains(|c: char| c.is_ascii_lowercase());
    match reader.vars.get(name) {
        Err(reason @ Unset::Nowhere) if is_upper => {
            let problem = unknown(name, span, reason.to_string(), []);
            let help = format!("write `${{env:{name}}}` for the environment variable");
            reader.report(problem.help(help));
            None
        }
        _ => reader.variable(name, span),
    }
}

/// Returns changes to the environment as JSON that does not depend on how they were written. It is
/// part of keys.
pub fn canonical_env(env: &Env) -> Json {
    let map: Map<String, Json> = env
        .iter()
        .map(|(name, change)| {
            let value = match change {
                EnvChange::Set(value) => canonical_text(value),
                EnvChange::Remove => Json::Null,
                EnvChange::Append { text: value, sep } => {
                    json!({ "append": canonical_text(value), "sep": sep })
                }
                EnvChange::Prepend { text: value, sep } => {
                    json!({ "prepend": canonical_text(value), "sep": sep })
                }
            };
            (name.clone(), value)
        })
        .collect();
    Json::Object(map)
}

/// A text as the spec writes it: a literal `${` as `$${`. If a `$` precedes a variable, that would be
/// read as an escape, so the text is written as a list of its parts: `["$", { "env": "X" }]`.
fn canonical_text(text: &EnvText) -> Json {
    let is_ambiguous = text.0.windows(2).any(|pair| {
        let [EnvPart::Text(before), EnvPart::Env(_)] = pair else {
            return false;
        };
        before.ends_with('$')
    });
    if is_ambiguous {
        let parts = text.0.iter().map(|part| match part {
            EnvPart::Text(text) => json!(text),
            EnvPart::Env(name) => json!({ "env": name }),
        });
        return parts.collect();
    }
    let written: String = text
        .0
        .iter()
        .map(|part| match part {
            EnvPart::Text(text) => text.replace("${", "$${"),
            EnvPart::Env(name) => format!("${{env:{name}}}"),
        })
        .collect();
    json!(written)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(parts: &[Result<&str, &str>]) -> EnvText {
        let part = |part: &Result<&str, &str>| match part {
            Ok(text) => EnvPart::Text((*text).to_owned()),
            Err(name) => EnvPart::Env((*name).to_owned()),
        };
        EnvText(parts.iter().map(part).collect())
    }

    #[test]
    fn a_text_is_written_as_in_the_spec() {
        let written = |parts: &[Result<&str, &str>]| canonical_text(&text(parts));
        assert_eq!(written(&[]), json!(""));
        assert_eq!(written(&[Ok("/x:"), Err("PATH")]), json!("/x:${env:PATH}"));
        assert_eq!(written(&[Ok("a${b}")]), json!("a$${b}"));
    }

    #[test]
    fn a_dollar_before_a_variable_is_not_an_escape() {
        let literal = canonical_text(&text(&[Ok("${env:X}")]));
        let variable = canonical_text(&text(&[Ok("$"), Err("X")]));
        assert_ne!(literal, variable);
        assert_eq!(variable, json!(["$", { "env": "X" }]));
    }

    /// Parts as `read` makes them: no two texts side by side, and none empty.
    fn any_text() -> impl Strategy<Value = EnvText> {
        let part = prop_oneof![
            "[$\\{\\}envX:]{1,8}".prop_map(EnvPart::Text),
            "[XY]".prop_map(EnvPart::Env),
        ];
        proptest::collection::vec(part, 0..4).prop_map(|parts| {
            let mut joined: Vec<EnvPart> = Vec::new();
            for part in parts {
                match (joined.last_mut(), part) {
                    (Some(EnvPart::Text(before)), EnvPart::Text(text)) => before.push_str(&text),
                    (_, part) => joined.push(part),
                }
            }
            EnvText(joined)
        })
    }

    /// Undoes [`canonical_text`], which shows that no two texts are written in one way.
    fn read_back(json: &Json) -> EnvText {
        let mut parts = Vec::new();
        if let Json::Array(list) = json {
            for item in list {
                parts.push(match item {
                    Json::String(text) => EnvPart::Text(text.clone()),
                    other => EnvPart::Env(other["env"].as_str().expect("a name").to_owned()),
                });
            }
            return EnvText(parts);
        }
        let mut rest = json.as_str().expect("a string");
        let mut text = String::new();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix("$${") {
                text.push_str("${");
                rest = after;
            } else if let Some(after) = rest.strip_prefix("${env:") {
                let (name, after) = after.split_once('}').expect("it is closed");
                if !text.is_empty() {
                    parts.push(EnvPart::Text(std::mem::take(&mut text)));
                }
                parts.push(EnvPart::Env(name.to_owned()));
                rest = after;
            } else {
                let mut chars = rest.chars();
                text.extend(chars.next());
                rest = chars.as_str();
            }
        }
        if !text.is_empty() {
            parts.push(EnvPart::Text(text));
        }
        EnvText(parts)
    }

    proptest! {
        #[test]
        fn different_texts_are_written_differently(text in any_text()) {
            prop_assert_eq!(read_back(&canonical_text(&text)), text);
        }
    }
}
