//! A spec as text, as people write it: short lists and mappings on one line, comments above steps.

use serde_json::{Map, Value};

/// The key of a comment above a mapping.
pub const COMMENT: &str = "#";

/// The longest line that has a list or a mapping.
const WIDTH: usize = 100;

/// Keys whose entries have lines of their own.
const TALL: [&str; 4] = ["images", "dockerfile", "steps", "group"];

/// Returns a spec as YAML.
pub fn text(spec: &Value) -> String {
    let mut out = String::new();
    if let Value::Object(map) = spec {
        entries(map, 0, 0, &mut out);
    }
    out
}

/// Writes the entries of a mapping; `depth` is the number of mappings above it.
fn entries(map: &Map<String, Value>, indent: usize, depth: usize, out: &mut String) {
    for (key, value) in map.iter().filter(|(key, _)| *key != COMMENT) {
        let start = format!("{:indent$}{}:", "", scalar(key, false));
        out.push_str(&start);
        let is_tall = TALL.contains(&key.as_str()) || is_image(map, depth);
        entry(value, start.len(), indent, depth, is_tall, out);
    }
}

/// Whether the entries of a mapping are images.
fn is_image(map: &Map<String, Value>, depth: usize) -> bool {
    let is_one = |value: &Value| value.get("base").is_some();
    depth == 1
        && map
            .values()
            .all(|value| is_one(value) || value.get("dockerfile").is_some())
}

/// Writes the value after a key that ends in column `used`.
fn entry(value: &Value, used: usize, indent: usize, depth: usize, is_tall: bool, out: &mut String) {
    let line = match value {
        Value::String(text) if !text.contains('\n') => Some(scalar(text, false)),
        other => flow(other),
    };
    let is_text = value.is_string();
    if let Some(line) = line.filter(|line| is_text || (!is_tall && used + line.len() < WIDTH)) {
        out.push_str(&format!(" {line}\n"));
        return;
    }
    match value {
        Value::Object(map) => {
            out.push('\n');
            entries(map, indent + 2, depth + 1, out);
        }
        Value::Array(list) => {
            out.push('\n');
            items(list, indent + 2, depth + 1, out);
        }
        other => {
            let text = other
                .as_str()
                .map_or_else(|| other.to_string(), str::to_owned);
            match block(&text, indent + 2) {
                Some(block) => out.push_str(&block),
                None => out.push_str(&format!(" {}\n", scalar(&text, false))),
            }
        }
    }
}

/// Writes the items of a list.
fn items(list: &[Value], indent: usize, depth: usize, out: &mut String) {
    for item in list {
        let Value::Object(map) = item else {
            let line =
                flow(item).unwrap_or_else(|| scalar(item.as_str().unwrap_or_default(), false));
            out.push_str(&format!("{:indent$}- {line}\n", ""));
            continue;
        };
        for line in map
            .get(COMMENT)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .lines()
        {
            out.push_str(&format!("{:indent$}# {line}\n", ""));
        }
        let mut inner = String::new();
        entries(map, indent + 2, depth + 1, &mut inner);
        let inner = inner.trim_start();
        out.push_str(&format!("{:indent$}- {inner}", ""));
    }
}

/// Returns a value on one line; `None` if it needs more.
pub fn flow(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => (!text.contains('\n')).then(|| scalar(text, true)),
        Value::Array(list) => {
            let items: Option<Vec<String>> = list.iter().map(flow).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        Value::Object(map) if map.contains_key(COMMENT) => None,
        Value::Object(map) if map.is_empty() => Some("{}".to_owned()),
        Value::Object(map) => {
            let item = |(key, value): (&String, &Value)| {
                Some(format!("{}: {}", scalar(key, true), flow(value)?))
            };
            let items: Option<Vec<String>> = map.iter().map(item).collect();
            Some(format!("{{ {} }}", items?.join(", ")))
        }
        Value::Null => Some("null".to_owned()),
        other => Some(other.to_string()),
    }
}

/// Returns a text of several lines as a block; `None` if it cannot be one.
fn block(text: &str, indent: usize) -> Option<String> {
    let is_plain = |c: char| c == '\n' || (!c.is_control() && c != '\u{feff}');
    let starts_plain = !text.starts_with([' ', '\n', '\t']);
    if !text.contains('\n') || !starts_plain || !text.chars().all(is_plain) {
        return None;
    }
    let body = text.strip_suffix('\n');
    let mark = match body {
        Some(body) if body.ends_with('\n') => return None,
        Some(_) => "|",
        None => "|-",
    };
    let lines = body.unwrap_or(text).split('\n');
    let lines: String = lines
        .map(|line| {
            if line.is_empty() {
                "\n".to_owned()
            } else {
                format!("{:indent$}{line}\n", "")
            }
        })
        .collect();
    Some(format!(" {mark}\n{lines}"))
}

/// Returns a text on one line, in quotes if YAML would read anything else.
fn scalar(text: &str, is_flow: bool) -> String {
    let is_word =
        |c: char| c.is_alphanumeric() || "_/.-+=@~<>!$*()|&;^%'\"\\?{}[]`,#: ".contains(c);
    let in_flow = |c: char| !is_flow || !"{}[],:".contains(c);
    let starts = |c: char| c.is_alphanumeric() || "_/.$(<".contains(c);
    let is_null = matches!(text.to_lowercase().as_str(), "null" | "~" | "");
    // YAML 1.1 takes `1:2` and `=` for other things; a colon or `#` next to a blank ends a text.
    let is_plain = !is_null
        && (text.starts_with(starts)
            || text.starts_with('-') && text.len() > 1 && !text.starts_with("- "))
        && !text.ends_with([' ', ':'])
        && text.chars().all(|c| is_word(c) && in_flow(c))
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("...")
        && !text.starts_with("---");
    if is_plain {
        return text.to_owned();
    }
    let mut made = String::from("\"");
    for found in text.chars() {
        match found {
            '"' => made.push_str("\\\""),
            '\\' => made.push_str("\\\\"),
            '\n' => made.push_str("\\n"),
            '\t' => made.push_str("\\t"),
            other if other.is_control() || other == '\u{feff}' => {
                made.push_str(&format!("\\u{:04x}", u32::from(other)))
            }
            other => made.push(other),
        }
    }
    made.push('"');
    made
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_read_back_as_it_was() {
        let texts = [
            "",
            "~",
            "null",
            "a: b",
            "a:",
            "x #y",
            "- a",
            "3.10",
            "on",
            "${x}",
            "{a}",
            "[a",
            "a, b",
            "'q'",
            "\"q\"",
            "a\\b",
            "a\nb",
            "a\nb\n",
            "a\n\nb\n\n",
            " a",
            "a ",
            "\ta",
            "a\tb",
            "*x",
            "&x",
            "!x",
            "%x",
            "@x",
            "`x`",
            "#x",
            "a\r\nb",
            "=",
            "?x",
            "|",
            ">",
            "a:b",
            "-a",
            "-",
            "é",
            "...",
            "---",
            "\u{1}",
            "a #",
            ":",
            "a]",
        ];
        let spec = json!({
            "list": texts.to_vec(),
            "map": texts.iter().enumerate().map(|(at, text)| (format!("k{at}"), json!(text))).collect::<Map<_, _>>(),
            "steps": texts.iter().map(|text| json!({ COMMENT: "a\nb", "run": text, "x": [text], "y": { "z": text } })).collect::<Vec<_>>(),
            "keys": texts.iter().map(|text| ((*text).to_owned(), json!("x"))).collect::<Map<_, _>>(),
        });
        let mut expected = spec.clone();
        for step in expected["steps"].as_array_mut().expect("a list") {
            step.as_object_mut()
                .expect("a mapping")
                .shift_remove(COMMENT);
        }
        let written = text(&spec);
        let read = crate::import::yaml::yaml("x", &written);
        // A quoted text is never null.
        assert_eq!(read, Ok(expected), "{written}");
    }
}
