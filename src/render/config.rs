//! The config of an image as instructions.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::Note;
use super::start::Start;
use super::step::{SHELL, Written};
use super::words::{LONGEST_LINE, array, inside, is_shell_form, no_variables, value};
use crate::compile::environment::Environment;
use crate::compile::user_of;
use crate::diagnostic::Diagnostic;
use crate::stack::{Env, EnvChange, EnvPart, EnvText, Image};

/// Fields of a config that a build of a Dockerfile keeps, or sets (`DockerOCIImageConfig` of moby/docker-image-spec 1.3).
const KEPT: [&str; 24] = [
    "User",
    "ExposedPorts",
    "Env",
    "Entrypoint",
    "Cmd",
    "Volumes",
    "WorkingDir",
    "Labels",
    "StopSignal",
    "ArgsEscaped",
    "Healthcheck",
    "OnBuild",
    "Shell",
    // Without a meaning in an image: Docker before 25 stored them (moby, `container.Config`).
    "Hostname",
    "Domainname",
    "AttachStdin",
    "AttachStdout",
    "AttachStderr",
    "Tty",
    "OpenStdin",
    "StdinOnce",
    "Image",
    "MacAddress",
    "NetworkDisabled",
];

/// Adds what holds from the first step on: the environment.
pub fn before(written: &mut Written, start: &Start, label: &str) -> Result<(), Diagnostic> {
    let (image, base) = (start.declared, &start.base);
    for text in unlike_a_dockerfile(start) {
        written.notes.push(Note::new(label, text));
    }
    let env = base.env();
    let listed = base.0["config"]["Env"].as_array();
    let mut listed = listed.into_iter().flatten().filter_map(Value::as_str);
    let mut lines = Vec::new();
    if !start.is_dockerfile
        && !listed.any(|entry| entry.starts_with("PATH=") && entry != "PATH=")
        && !image.env.contains_key("PATH")
    {
        let path = env.get("PATH").unwrap_or_default();
        lines.push(format!("PATH={}", value(path)));
    }
    let made = if start.is_dockerfile {
        env.clone()
    } else {
        env.with(&image.env)
    };
    let old = (!start.is_dockerfile).then_some(&env);
    lines.extend(changes(written, image, &image.env, (old, &made), label)?);
    add(written, &lines);
    written.env = pairs(&made);
    Ok(())
}

/// Returns what a Dockerfile on this base has otherwise.
fn unlike_a_dockerfile(start: &Start) -> Vec<String> {
    let mut texts = Vec::new();
    if !start.base.triggers().is_empty() {
        texts.push("ONBUILD triggers of the base run: a Dockerfile cannot ignore them".to_owned());
    }
    let fields = start.made.0["config"].as_object();
    for field in fields.into_iter().flat_map(Map::keys) {
        if !KEPT.contains(&field.as_str()) {
            texts.push(format!("`{field}` of the config of the base is lost"));
        }
    }
    texts
}

/// Adds what only the finished image has.
pub fn after(written: &mut Written, start: &Start, label: &str) -> Result<(), Diagnostic> {
    let (image, made) = (start.declared, &start.made);
    let of_steps = start.base.env().with(&start.image.env);
    let finished = if start.is_dockerfile {
        made.env()
    } else {
        of_steps.with(&image.config.env)
    };
    let old = (!start.is_dockerfile).then_some(&of_steps);
    let lines = changes(written, image, &image.config.env, (old, &finished), label)?;
    written.line("");
    add(written, &lines);
    let user = made.user().map_or_else(|| "0".to_owned(), user_of);
    written.as_user(&user);
    written.in_folder(&made.workdir());
    let own = &image.config;
    // What a Dockerfile of the image had is not known, so that what the image sets is always written.
    let before = if start.is_dockerfile {
        made
    } else {
        &start.base
    };
    let (old, new) = (&before.0["config"], &made.0["config"]);
    for (field, instruction, is_own) in [
        ("Shell", "SHELL", own.shell.is_some()),
        ("Entrypoint", "ENTRYPOINT", own.entrypoint.is_some()),
        // An entrypoint removes the command.
        ("Cmd", "CMD", own.cmd.is_some() || own.entrypoint.is_some()),
    ] {
        if (is_own || old[field] != new[field])
            && let Some(words) = new[field].as_array()
        {
            let words = words.iter().filter_map(Value::as_str).map(str::to_owned);
            let words: Vec<String> = words.collect();
            written.line(&format!("{instruction} {}", array(&words)));
        }
    }
    if let (Some(_), Some(signal)) = (&own.stop_signal, new["StopSignal"].as_str()) {
        written.line(&format!("STOPSIGNAL {}", value(signal)));
    }
    if own.healthcheck.is_some() {
        let shell = made.shell();
        let shell = shell.unwrap_or_else(|| SHELL.map(str::to_owned).to_vec());
        if let Some((line, is_text_as_words)) = healthcheck(&new["Healthcheck"], &shell) {
            written.line(&line);
            if is_text_as_words {
                let text = "the test of `healthcheck:` is a list with its shell: a Dockerfile cannot have the text as it is";
                written.notes.push(Note::new(label, text.to_owned()));
            }
        }
    }
    maps(written, start, label)
}

/// Adds labels, ports and volumes.
fn maps(written: &mut Written, start: &Start, label: &str) -> Result<(), Diagnostic> {
    let (image, own) = (start.declared, &start.declared.config);
    let (old, new) = (&start.base.0["config"], &start.made.0["config"]);
    let mut labels = Vec::new();
    for (key, text) in &own.labels {
        if let Some(text) = text {
            one_line(text, image, "label", key)?;
            if key.contains('=') {
                let text =
                    format!("label `{key}` has `=` in its name, which a Dockerfile cannot set");
                return Err(Diagnostic::error(text).at(image.name.span, "this image"));
            }
            labels.push(format!("{}={}", value(key), value(text)));
        }
    }
    if !labels.is_empty() {
        written.line(&format!("LABEL {}", labels.join(" \\\n      ")));
    }
    if !own.ports.is_empty() {
        let ports: Vec<&str> = own.ports.iter().map(String::as_str).collect();
        written.line(&format!("EXPOSE {}", ports.join(" ")));
    }
    if !own.volumes.is_empty() {
        let volumes = own.volumes.iter().map(|volume| no_variables(volume));
        let volumes: Vec<String> = volumes.collect();
        written.line(&format!("VOLUME {}", array(&volumes)));
    }
    let mut stay = |text: String| written.notes.push(Note::new(label, text));
    for field in ["Labels", "ExposedPorts", "Volumes"] {
        let keys = old[field].as_object().into_iter().flat_map(Map::keys);
        for key in keys.filter(|key| new[field].get(key.as_str()).is_none()) {
            stay(format!(
                "`{key}` of `{field}` of the base stays: a Dockerfile cannot remove it"
            ));
        }
    }
    if start.is_dockerfile {
        let removed = own.labels.iter().filter(|(_, text)| text.is_none());
        for (key, _) in removed {
            stay(format!(
                "label `{key}` stays if the Dockerfile sets it: another one cannot remove it"
            ));
        }
        for (key, is_removed) in [
            ("ports", own.removes_ports),
            ("volumes", own.removes_volumes),
        ] {
            if is_removed {
                stay(format!(
                    "{key} that the Dockerfile sets stay: another one cannot remove them"
                ));
            }
        }
    }
    Ok(())
}

/// Returns `HEALTHCHECK`, and whether a text that a Dockerfile cannot have is written as the words that run it: `shell` and
/// the text.
fn healthcheck(check: &Value, shell: &[String]) -> Option<(String, bool)> {
    let mut words = check["Test"].as_array()?.iter().filter_map(Value::as_str);
    let kind = words.next()?;
    if kind == "NONE" {
        return Some(("HEALTHCHECK NONE".to_owned(), false));
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
    let (command, is_text_as_words) = match words.as_slice() {
        [text] if kind == "CMD-SHELL" && is_shell_form(text) => (text.clone(), false),
        _ if kind == "CMD-SHELL" => (array(&[shell, &words].concat()), true),
        _ => (array(&words), false),
    };
    Some((format!("{line} CMD {command}"), is_text_as_words))
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
/// `envs`: the environment before them, if it is known, and after them.
fn changes(
    written: &mut Written,
    image: &Image,
    changes: &Env,
    envs: (Option<&Environment>, &Environment),
    label: &str,
) -> Result<Vec<String>, Diagnostic> {
    let mut lines = Vec::new();
    let (before, after) = envs;
    let env = before.unwrap_or(after);
    for (name, change) in changes {
        let is_set = before.map(|env| env.get(name).is_some_and(|old| !old.is_empty()));
        let text = match change {
            EnvChange::Remove => {
                if before.is_none_or(|env| env.get(name).is_some()) {
                    written.notes.push(Note::new(
                        label,
                        format!("variable `{name}` is empty: a Dockerfile cannot remove it"),
                    ));
                    lines.push(format!("{name}="));
                }
                continue;
            }
            EnvChange::Set(text) => quoted(text, env),
            EnvChange::Append { text, sep } => {
                let text = quoted(text, env);
                match is_set {
                    Some(false) => text,
                    Some(true) => format!("${{{name}}}{}{text}", inside(sep)),
                    None => format!("${{{name}:+${{{name}}}{}}}{text}", in_braces(sep)),
                }
            }
            EnvChange::Prepend { text, sep } => {
                let text = quoted(text, env);
                match is_set {
                    Some(false) => text,
                    Some(true) => format!("{text}{}${{{name}}}", inside(sep)),
                    None => format!("{text}${{{name}:+{}${{{name}}}}}", in_braces(sep)),
                }
            }
        };
        one_line(after.get(name).unwrap_or_default(), image, "variable", name)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
        if text.is_empty() || !text.chars().all(plain) {
            lines.push(format!("{name}=\"{text}\""));
        } else {
            lines.push(format!("{name}={text}"));
        }
    }
    Ok(lines)
}

/// Returns a text as a part of `"${NAME:+…}"`.
fn in_braces(text: &str) -> String {
    inside(text).replace('}', "\\}")
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
    let name_of_image = &image.name.value;
    if text.len() > LONGEST_LINE {
        let text = format!(
            "{what} `{name}` of image `{name_of_image}` has {} bytes: a line of a Dockerfile cannot be as long",
            text.len()
        );
        return Err(Diagnostic::error(text).at(image.name.span, "this image"));
    }
    if !text.contains(['\n', '\r', '\0']) {
        return Ok(());
    }
    Err(Diagnostic::error(format!(
        "{what} `{name}` of image `{name_of_image}` has several lines, which a Dockerfile cannot set"
    ))
    .at(image.name.span, "this image")
    .help("write it as one line"))
}
