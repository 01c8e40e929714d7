//! YAML and JSON of other tools as one kind of value.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::source::{Position, Sources};
use crate::spec::node::{self, Entry, Node, Value as NodeValue};

/// Reads YAML, also with merge keys; texts stay as they are written. The error is for people.
pub fn yaml(name: &str, text: &str) -> Result<Value, String> {
    changed(name, text, |_, _| ())
}

/// Reads YAML as [`yaml`] does, with a change to it.
pub fn changed(
    name: &str,
    text: &str,
    change: impl FnOnce(&mut Node, &Sources),
) -> Result<Value, String> {
    let mut sources = Sources::default();
    let source = sources.add(name, text);
    let mut problems = Vec::new();
    let node = node::parse_foreign(&sources, source, &mut problems);
    match (node, problems.first()) {
        (_, Some(problem)) => Err(match &problem.primary {
            Some(label) => {
                let Position { line, column } = sources.start(label.span);
                let text = Some(label.text.as_str()).filter(|text| !text.is_empty());
                let reason = text.map_or_else(String::new, |text| format!(": {text}"));
                format!("{name}:{line}:{column}: {}{reason}", problem.message)
            }
            None => format!("{name}: {}", problem.message),
        }),
        (Some(mut node), None) => {
            change(&mut node, &sources);
            Ok(value(&node))
        }
        (None, None) => Err(format!("{name} is empty")),
    }
}

/// Returns the line of each key of a mapping below the root of a file that [`yaml`] reads, by name.
pub fn lines(text: &str, mapping: &str) -> BTreeMap<String, u32> {
    let mut sources = Sources::default();
    let source = sources.add("", text);
    let node = node::parse_foreign(&sources, source, &mut Vec::new());
    let entries = node.as_ref().map(Node::entries).unwrap_or_default();
    let found = entries.iter().find(|entry| entry.key.text == mapping);
    let entries = found.map(|entry| entry.value.entries());
    let line = |entry: &Entry| sources.start(entry.key.span).line;
    let entries = entries.unwrap_or_default().iter();
    entries.map(|it| (it.key.text.clone(), line(it))).collect()
}

/// Reads JSON. The error is for people.
pub fn json(name: &str, text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| {
        let text = error.to_string();
        let reason = text
            .rsplit_once(" at line ")
            .map_or(&*text, |(reason, _)| reason);
        let (line, column) = (error.line(), error.column());
        format!("{name}:{line}:{column}: invalid JSON: {reason}")
    })
}

/// Returns a node without its places; texts stay as they are written.
pub fn value(node: &Node) -> Value {
    match &node.value {
        _ if node.is_null() => Value::Null,
        NodeValue::Scalar { text, .. } => Value::String(text.clone()),
        NodeValue::List(items) => items.iter().map(value).collect(),
        NodeValue::Map(entries) => Value::Object(merged(entries)),
    }
}

/// Returns entries with those of `<<`, which stands for the entries of a mapping, or of several, that are not in the mapping
/// itself (<https://yaml.org/type/merge.html>).
fn merged(entries: &[Entry]) -> Map<String, Value> {
    let (sources, own): (Vec<&Entry>, _) = entries.iter().partition(|entry| {
        let is_merge = |node: &Node| matches!(node.value, NodeValue::Map(_));
        entry.key.text == "<<"
            && match &entry.value.value {
                NodeValue::List(items) => items.iter().all(is_merge),
                _ => is_merge(&entry.value),
            }
    });
    let own = own.into_iter();
    let mut map: Map<String, Value> = own
        .map(|entry| (entry.key.text.clone(), value(&entry.value)))
        .collect();
    for source in sources {
        let found = match value(&source.value) {
            Value::Array(items) => items,
            other => vec![other],
        };
        for (name, value) in found.into_iter().filter_map(object).flatten() {
            map.entry(name).or_insert(value);
        }
    }
    map
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(map) => Some(map),
        _ => None,
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fault_has_its_place() {
        for (text, expected) in [
            ("a: 1\nb: [1, 2\nc: 3\n", "x.yml:3:"),
            ("a: 1\na: 2\n", "x.yml:2:1: "),
        ] {
            let error = yaml("x.yml", text).expect_err("invalid");
            assert!(error.starts_with(expected), "{error}");
        }
        let error = json("bake.json", "{\n  \"a\": 1,\n}").expect_err("invalid");
        assert_eq!(error, "bake.json:3:1: invalid JSON: trailing comma");
    }

    #[test]
    fn merge_keys_add_what_a_mapping_lacks() {
        let text = "x: &x { a: 1, b: { c: 2 } }\ny: &y { a: 9, d: 4 }\none: { b: 3, <<: *x }\nmany:\n  <<: [*x, *y]\nchain: &z { <<: *y, e: 5 }\nlast: { <<: *z }\ntext: { <<: no }\n";
        let found = yaml("x", text).expect("valid");
        assert_eq!(found["one"], json!({ "a": "1", "b": "3" }));
        assert_eq!(
            found["many"],
            json!({ "a": "1", "b": { "c": "2" }, "d": "4" })
        );
        assert_eq!(found["last"], json!({ "a": "9", "d": "4", "e": "5" }));
        assert_eq!(found["text"], json!({ "<<": "no" }));
    }
}
