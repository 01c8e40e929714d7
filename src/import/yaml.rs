//! YAML and JSON of other tools as one kind of value.

use serde_json::Value;

use crate::source::Sources;
use crate::spec::node::{self, Node, Value as NodeValue};

/// Reads YAML; texts stay as they are written. The error is for people.
pub fn yaml(name: &str, text: &str) -> Result<Value, String> {
    let mut sources = Sources::default();
    let source = sources.add(name, text);
    let mut problems = Vec::new();
    let node = node::parse(&sources, source, &mut problems);
    match (node, problems.first()) {
        (_, Some(problem)) => Err(format!("{name}: {}", problem.message)),
        (Some(node), None) => Ok(value(&node)),
        (None, None) => Err(format!("{name} is empty")),
    }
}

/// Returns a node without its places; texts stay as they are written.
pub fn value(node: &Node) -> Value {
    match &node.value {
        _ if node.is_null() => Value::Null,
        NodeValue::Scalar { text, .. } => Value::String(text.clone()),
        NodeValue::List(items) => items.iter().map(value).collect(),
        NodeValue::Map(entries) => (entries.iter())
            .map(|entry| (entry.key.text.clone(), value(&entry.value)))
            .collect(),
    }
}

/// Returns a text, or a number or truth value as a text.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns the pairs of a mapping, or of a list of `NAME=VALUE`. A name without a value has none.
pub fn pairs(value: &Value) -> Vec<(String, Option<String>)> {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
        Value::Array(list) => (list.iter().filter_map(text))
            .map(|pair| match pair.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (pair, None),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Returns the texts of a list, or the only one.
pub fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Array(list) => list.iter().filter_map(text).collect(),
        other => text(other).into_iter().collect(),
    }
}
