//! Specs written out: variables replaced, short keys as steps, and what images inherit at each of them.
//!
//! `laminate plan --expand` prints them. What is printed can be read again, and makes the same images: only
//! variables are no longer part of their keys.

mod proof;
mod step;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::compression::Compression;
use super::config::{Config, Healthcheck};
use super::env::{Env, EnvChange, EnvPart, EnvText};
use super::env_text::{EnvString, ProcessWords};
use super::model::{Base, Image, ImageId, Refresh, Stack};
use super::steps::{Kind, Step};
use super::units::duration_text;

/// Returns the spec of some images of one variant: all keys of the stack that they need, and the images.
pub fn expanded(stack: &Stack, ids: &BTreeSet<ImageId>) -> Value {
    let images: Vec<&Image> = ids.iter().map(|id| &stack[*id]).collect();
    let mut spec = Map::new();
    spec.insert("stack".to_owned(), json!(stack.name().as_str()));
    if let Some(registry) = stack.registry() {
        spec.insert("registry".to_owned(), json!(registry.to_string()));
    }
    let compression = stack.compression();
    if compression != Compression::default() {
        spec.insert("compression".to_owned(), compression_value(compression));
    }
    let tests = proof::of_stack(&images);
    if !tests.is_empty() {
        spec.insert("tests".to_owned(), Value::Object(tests));
    }
    let images = images.into_iter().map(|image| {
        let name = image.name.value.to_string();
        (name, Value::Object(image_value(stack, image)))
    });
    spec.insert("images".to_owned(), Value::Object(images.collect()));
    Value::Object(spec)
}

fn compression_value(Compression { format, level }: Compression) -> Value {
    match level {
        Some(level) => json!({ "type": format.name(), "level": level }),
        None => json!(format.name()),
    }
}

fn image_value(stack: &Stack, image: &Image) -> Map<String, Value> {
    let mut map = Map::new();
    let mut add = |name: &str, value: Value| {
        let is_empty = match &value {
            Value::Null => true,
            Value::Object(map) => map.is_empty(),
            _ => false,
        };
        if !is_empty {
            map.insert(name.to_owned(), value);
        }
    };
    if let Some(file) = image.dockerfile() {
        add("dockerfile", step::dockerfile(image, file));
    } else {
        add("base", base(stack, image));
    }
    let usual = stack
        .registry()
        .and_then(|it| it.join(image.name.as_str()).ok());
    if let Some(repository) = image
        .repository
        .as_ref()
        .filter(|it| Some(*it) != usual.as_ref())
    {
        add("repository", json!(repository.to_string()));
    }
    add("env", env(&image.env));
    add("user", json!(image.user.as_ref().map(env_string)));
    add(
        "shell",
        json!(image.shell.as_ref().map(|shell| literals(shell))),
    );
    if let Some(writable) = &image.writable {
        add(
            "writable",
            json!({ "gid": writable.gid, "paths": literals(&writable.paths) }),
        );
    }
    if let Some(refresh) = image.refresh {
        let word = match refresh {
            Refresh::Daily => "daily",
            Refresh::Weekly => "weekly",
            Refresh::Monthly => "monthly",
        };
        add("refresh", json!(word));
    }
    // `config: { workdir: … }` makes its step, and `dockerfile:` is a key of the image.
    let is_written = |step: &&Step| !matches!(step.kind, Kind::Workdir(_) | Kind::Dockerfile(_));
    let mut steps = image.steps.iter().filter(is_written).peekable();
    if steps.peek().is_some() {
        add(
            "steps",
            steps.map(|step| step::value(image, step)).collect(),
        );
    }
    add("config", Value::Object(config(&image.config)));
    add("tests", Value::Object(proof::of_image(stack, image)));
    add("info", proof::info(image));
    add("policy", proof::policy(image));
    map
}

fn base(stack: &Stack, image: &Image) -> Value {
    match &image.base {
        Base::Image(parent) => json!(stack[*parent].name.value.as_str()),
        Base::External(base) => json!(literal(&base.reference.value.to_string())),
        Base::Scratch => Value::Null,
    }
}

/// Returns a text as the spec writes it where variables are replaced.
fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

fn literals(list: &[String]) -> Vec<String> {
    list.iter().map(|text| literal(text)).collect()
}

fn env_text(text: &EnvText) -> String {
    let part = |part: &EnvPart| match part {
        EnvPart::Text(text) => literal(text),
        EnvPart::Env(name) => format!("${{env:{name}}}"),
    };
    text.0.iter().map(part).collect()
}

fn env_string(text: &EnvString) -> String {
    env_text(&text.text)
}

fn env(env: &Env) -> Value {
    let value = |change: &EnvChange| match change {
        EnvChange::Set(text) => json!(env_text(text)),
        EnvChange::Remove => Value::Null,
        EnvChange::Append { text, sep } => json!({ "append": env_text(text), "sep": literal(sep) }),
        EnvChange::Prepend { text, sep } => {
            json!({ "prepend": env_text(text), "sep": literal(sep) })
        }
    };
    let entries = env
        .iter()
        .map(|(name, change)| (literal(name), value(change)));
    Value::Object(entries.collect())
}

fn config(config: &Config) -> Map<String, Value> {
    // Without `..`: a new setting must be written out.
    let Config {
        user,
        workdir,
        env: variables,
        labels,
        entrypoint,
        cmd,
        ports,
        volumes,
        removes_ports,
        removes_volumes,
        stop_signal,
        healthcheck,
        shell,
        ignores_triggers,
    } = config;
    let mut map = Map::new();
    let mut add = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            map.insert(name.to_owned(), value);
        }
    };
    add("user", user.as_ref().map(|user| json!(env_string(user))));
    add(
        "workdir",
        workdir.as_ref().map(|text| json!(env_string(text))),
    );
    add("env", (!variables.is_empty()).then(|| env(variables)));
    let labels: Map<String, Value> = labels
        .iter()
        .map(|(name, value)| (literal(name), json!(value.as_deref().map(literal))))
        .collect();
    add(
        "labels",
        (!labels.is_empty()).then(|| Value::Object(labels)),
    );
    let words = |words: &ProcessWords| match words {
        ProcessWords::List(list) => list.iter().map(env_string).collect(),
        ProcessWords::Shell(text) => json!(env_string(text)),
    };
    add("entrypoint", entrypoint.as_ref().map(words));
    add("cmd", cmd.as_ref().map(words));
    for (name, items, removes) in [
        ("ports", ports, removes_ports),
        ("volumes", volumes, removes_volumes),
    ] {
        let items: Vec<String> = items.iter().map(|item| literal(item)).collect();
        if *removes {
            add(name, Some(Value::Null));
        } else {
            add(name, (!items.is_empty()).then(|| json!(items)));
        }
    }
    add(
        "stop-signal",
        stop_signal.as_ref().map(|text| json!(literal(text))),
    );
    add("healthcheck", healthcheck.as_ref().map(health));
    add("shell", shell.as_ref().map(|shell| json!(literals(shell))));
    add("onbuild", ignores_triggers.then(|| json!("ignore")));
    map
}

fn health(check: &Healthcheck) -> Value {
    let Healthcheck {
        test,
        interval,
        timeout,
        start_period,
        start_interval,
        retries,
    } = check;
    let test = match test.as_slice() {
        [kind, text] if kind == "CMD-SHELL" => json!(literal(text)),
        [kind, words @ ..] if kind == "CMD" => json!(literals(words)),
        _ => return json!("none"),
    };
    let mut value = json!({ "test": test });
    for (name, nanos) in [
        ("interval", interval),
        ("timeout", timeout),
        ("start-period", start_period),
        ("start-interval", start_interval),
    ] {
        if *nanos > 0 {
            value[name] = json!(duration_text(*nanos));
        }
    }
    if *retries > 0 {
        value["retries"] = json!(retries);
    }
    value
}
