//! The settings of an image config, each as a text.

use std::collections::BTreeMap;

use serde_json::Value;

/// Settings whose entries are compared one by one.
const MAPS: [&str; 3] = ["Labels", "ExposedPorts", "Volumes"];

/// Settings that builders write and runtimes do not use.
const UNUSED: [&str; 2] = ["ArgsEscaped", "OnBuild"];

/// Returns the settings of a config: `Env PATH`, `User`, `Labels maintainer`.
pub fn settings(config: &Value) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for (name, value) in config["config"].as_object().into_iter().flatten() {
        match value {
            Value::Array(entries) if name == "Env" => {
                for entry in entries.iter().filter_map(Value::as_str) {
                    let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
                    settings.insert(format!("Env {name}"), value.to_owned());
                }
            }
            Value::Object(entries) if MAPS.contains(&name.as_str()) => {
                for (key, value) in entries {
                    let text = value.as_str().unwrap_or("set");
                    settings.insert(format!("{name} {key}"), text.to_owned());
                }
            }
            _ if UNUSED.contains(&name.as_str()) || is_empty(value) => {}
            Value::String(text) => {
                if let Some(text) = unless_default(name, text) {
                    settings.insert(name.clone(), text.to_owned());
                }
            }
            other => {
                settings.insert(name.clone(), other.to_string());
            }
        }
    }
    for name in ["os", "architecture", "variant"] {
        if let Some(text) = config[name].as_str().filter(|text| !text.is_empty()) {
            settings.insert(name.to_owned(), text.to_owned());
        }
    }
    settings
}

/// Returns the value of a setting in one of its spellings; `None` for the one that runtimes use without it.
fn unless_default<'a>(name: &str, text: &'a str) -> Option<&'a str> {
    let is_default = match name {
        "User" => matches!(text, "0" | "0:0" | "root" | "root:root"),
        "WorkingDir" => text == "/",
        _ => false,
    };
    (!is_default).then_some(text)
}

/// Whether a value means the same as none.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
