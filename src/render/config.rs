//! The config of an image as instructions.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Note;
use super::step::Written;
use super::words::{array, inside, value};
use crate::compile::config::config;
use crate::compile::environment::Environment;
use crate::compile::{BaseConfig, user_of};
use crate::diagnostic::Diagnostic;
use crate::stack::{Env, EnvChange, EnvPart, EnvText, Image};

/// Adds what holds from the first step on: the environment.
pub fn before(
    written: &mut Written,
    image: &Image,
    base: &BaseConfig,
    label: &str,
) -> Result<(), Diagnostic> {
    let env = base.env();
    let listed = base.0["config"]["Env"].as_array();
    let mut listed = listed.into_iter().flatten().filter_map(Value::as_str);
    let mut lines = Vec::new();
    if !listed.any(|entry| entry.starts_with("PATH=") && entry != "PATH=")
        && !image.env.contains_key("PATH")
    {
        let path = env.get("PATH").unwrap_or_default();
        lines.push(format!("PATH={}", value(path)));
    }
    let made = env.with(&image.env);
    lines.extend(changes(written, image, &image.env, &env, label)?);
    add(written, &lines);
    written.env = pairs(&made);
    Ok(())
}

/// Adds what only the finished image has.
pub fn after(
    written: &mut Written,
    image: &Image,
    base: &BaseConfig,
    label: &str,
) -> Result<(), Diagnostic> {
    let of_steps = base.env().with(&image.env);
    let lines = changes(written, image, &image.config.env, &of_steps, label)?;
    let made = config(image, base);
    written.line("");
    add(written, &lines);
    let user = made.user().map_or_else(|| "0".to_owned(), user_of);
    written.as_user(&user);
    written.in_folder(&made.workdir());
    let (old, new) = (&base.0["config"], &made.0["config"]);
    for (field, instruction) in [
        ("Shell", "SHELL"),
        ("Entrypoint", "ENTRYPOINT"),
        ("Cmd", "CMD"),
    ] {
        let is_own = match field {
            "Entrypoint" => image.config.entrypoint.is_some(),
            // An entrypoint removes the command.
            "Cmd" => image.config.cmd.is_some() || image.config.entrypoint.is_some(),
            _ => false,
        };
        if (is_own || old[field] != new[field])
            && let Some(words) = new[field].as_array()
        {
            let words = words.iter().filter_map(Value::as_str).map(str::to_owned);
            let words: Vec<String> = words.collect();
            written.line(&format!("{instruction} {}", array(&words)));
        }
    }
    if old["StopSignal"] != new["StopSignal"]
        && let Some(signal) = new["StopSignal"].as_str()
    {
        written.line(&format!("STOPSIGNAL {}", value(signal)));
    }
    if old["Healthcheck"] != new["Healthcheck"] {
        let line = healthcheck(&new["Healthcheck"]);
        match line {
            Some(line) => written.line(&line),
            None => written.notes.push(Note::new(
                label,
                "`healthcheck:` has several lines and is left out".to_owned(),
            )),
        }
    }
    maps(written, old, new, image, label)
}

/// Adds labels, ports and volumes.
fn maps(
    written: &mut Written,
    old: &Value,
    new: &Value,
    image: &Image,
    label: &str,
) -> Result<(), Diagnostic> {
    let empty = Map::new();
    let map = |config: &'_ Value, field: &str| -> Map<String, Value> {
        config[field].as_object().unwrap_or(&empty).clone()
    };
    for field in ["Labels", "ExposedPorts", "Volumes"] {
        let (old, new) = (map(old, field), map(new, field));
        let added = new
            .iter()
            .filter(|(key, value)| old.get(*key) != Some(value));
        let added: Vec<(&String, &Value)> = added.collect();
        match field {
            "Labels" => {
                let mut lines = Vec::new();
                for (key, text) in &added {
                    let text = text.as_str().unwrap_or_default();
                    one_line(text, image, "label", key)?;
                    lines.push(format!("{}={}", value(key), value(text)));
                }
                if !lines.is_empty() {
                    written.line(&format!("LABEL {}", lines.join(" \\\n      ")));
                }
            }
            "ExposedPorts" if !added.is_empty() => {
                let ports: Vec<&str> = added.iter().map(|(key, _)| key.as_str()).collect();
                written.line(&format!("EXPOSE {}", ports.join(" ")));
            }
            "Volumes" if !added.is_empty() => {
                let volumes = added.iter().map(|(key, _)| key.replace('$', "\\$"));
                let volumes: Vec<String> = volumes.collect();
                written.line(&format!("VOLUME {}", array(&volumes)));
            }
            _ => {}
        }
        for removed in old.keys().filter(|key| !new.contains_key(*key)) {
            written.notes.push(Note::new(
                label,
                format!(
                    "`{removed}` of `{field}` of the base stays: a Dockerfile cannot remove it"
                ),
            ));
        }
    }
    Ok(())
}

/// Returns `HEALTHCHECK`.
fn healthcheck(check: &Value) -> Option<String> {
    let mut words = check["Test"].as_array()?.iter().filter_map(Value::as_str);
    let kind = words.next()?;
    if kind == "NONE" {
        return Some("HEALTHCHECK NONE".to_owned());
    }
    let mut line = "HEALTHCHECK".to_owned();
    for (field, option) in [
        ("Interval", "interval"),
        ("Timeout", "timeout"),
        ("StartPeriod", "start-period"),
        ("StartInterval", "start-interval"),
    ] {
        if let Some(nanoseconds) = check[field].as_u64() {
            line.push_str(&format!(" --{option}={}", duration(nanoseconds)));
        }
    }
    if let Some(retries) = check["Retries"].as_u64() {
        line.push_str(&format!(" --retries={retries}"));
    }
    let words: Vec<String> = words.map(str::to_owned).collect();
    let command = if kind == "CMD-SHELL" {
        let text = words.first()?;
        let is_plain = !text.contains('\n') && !text.ends_with('\\') && !text.starts_with('[');
        is_plain.then(|| text.clone())?
    } else {
        array(&words)
    };
    Some(format!("{line} CMD {command}"))
}

fn duration(nanoseconds: u64) -> String {
    if nanoseconds.is_multiple_of(1_000_000_000) {
        format!("{}s", nanoseconds / 1_000_000_000)
    } else {
        format!("{nanoseconds}ns")
    }
}

fn pairs(env: &Environment) -> BTreeMap<String, String> {
    let entries = env.entries().into_iter();
    let pairs = entries.filter_map(|entry| {
        let (name, value) = entry.split_once('=')?;
        Some((name.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

fn add(written: &mut Written, lines: &[String]) {
    if !lines.is_empty() {
        written.line(&format!("ENV {}", lines.join(" \\\n    ")));
    }
}

/// Returns changes of the environment as entries of `ENV`, whose variables are those before all of them, as in a spec.
fn changes(
    written: &mut Written,
    image: &Image,
    changes: &Env,
    env: &Environment,
    label: &str,
) -> Result<Vec<String>, Diagnostic> {
    let mut lines = Vec::new();
    let made = env.with(changes);
    for (name, change) in changes {
        let old = env.get(name).is_some_and(|old| !old.is_empty());
        let text = match change {
            EnvChange::Remove => {
                if env.get(name).is_some() {
                    written.notes.push(Note::new(
                        label,
                        format!("variable `{name}` is empty: a Dockerfile cannot remove it"),
                    ));
                    lines.push(format!("{name}="));
                }
                continue;
            }
            EnvChange::Set(text) => quoted(text, env),
            EnvChange::Append { text, sep } if old => {
                format!("${{{name}}}{}{}", inside(sep), quoted(text, env))
            }
            EnvChange::Prepend { text, sep } if old => {
                format!("{}{}${{{name}}}", quoted(text, env), inside(sep))
            }
            EnvChange::Append { text, .. } | EnvChange::Prepend { text, .. } => quoted(text, env),
        };
        one_line(made.get(name).unwrap_or_default(), image, "variable", name)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
        if text.is_empty() || !text.chars().all(plain) {
            lines.push(format!("{name}=\"{text}\""));
        } else {
            lines.push(format!("{name}={text}"));
        }
    }
    Ok(lines)
}

/// Returns a text inside of double quotes. A variable that a Dockerfile cannot name has its value.
fn quoted(text: &EnvText, env: &Environment) -> String {
    let part = |part: &EnvPart| match part {
        EnvPart::Text(text) => inside(text),
        EnvPart::Env(name) if crate::compile::is_shell_name(name) => format!("${{{name}}}"),
        EnvPart::Env(name) => inside(env.get(name).unwrap_or_default()),
    };
    text.0.iter().map(part).collect()
}

/// Fails for a text that no instruction can have.
fn one_line(text: &str, image: &Image, what: &str, name: &str) -> Result<(), Diagnostic> {
    if !text.contains(['\n', '\r', '\0']) {
        return Ok(());
    }
    let name_of_image = &image.name.value;
    Err(Diagnostic::error(format!(
        "{what} `{name}` of image `{name_of_image}` has several lines, which a Dockerfile cannot set"
    ))
    .at(image.name.span, "this image")
    .help("write it as one line"))
}
