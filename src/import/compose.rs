//! `build:` of the services of a compose file.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::bake::secrets;
use super::settings::Build;
use super::variables::{DotEnv, Interpolated, of_compose};
use super::yaml::{pairs, text, texts, yaml};
use super::{Found, Note, Target};
use crate::dockerfile::expand;

/// Keys of `build:` that become part of the spec.
const READ: [&str; 9] = [
    "context",
    "dockerfile",
    "dockerfile_inline",
    "args",
    "labels",
    "additional_contexts",
    "target",
    "tags",
    "secrets",
];

/// What becomes of what is in another file.
const WHOLE: &str = "left out: write the whole list with `docker compose config >compose.all.yml`, and import that file";

/// Reads a compose file; `folder` is its own, relative to that of the import, and `env` its `.env`. The error is for people.
pub fn compose(file: &str, folder: &str, text: &str, env: &DotEnv) -> Result<Found, String> {
    let document = yaml(file, text)?;
    let services = document["services"].as_object();
    let services = services.ok_or_else(|| format!("{file} has no `services`"))?;
    let mut found = Found::default();
    if !document["include"].is_null() {
        let what = format!("include {}", document["include"]);
        found.notes.push(Note::open(file, what, WHOLE));
    }
    for (name, service) in services {
        let at = format!("{file}: service {name}");
        let service = &extended(service, services, &at, 0, &mut found.notes)?;
        let Some(build) = service.get("build") else {
            let became = "left out: it builds no image";
            found
                .notes
                .push(Note::open(&at, "a service without `build`", became));
            continue;
        };
        let target = target((folder, env), name, service, build, &at, &mut found.notes)?;
        found.targets.push(target);
        let others = service.as_object().into_iter().flatten();
        let others: Vec<&str> = others
            .map(|(key, _)| key.as_str())
            .filter(|key| !matches!(*key, "build" | "image" | "extends"))
            .collect();
        if !others.is_empty() {
            let became = "left out: it is for running containers";
            found.notes.push(Note::open(&at, others.join(", "), became));
        }
    }
    Ok(found)
}

/// Returns a service with what it extends, as compose merges them: maps by their keys, other values are replaced.
fn extended(
    service: &Value,
    services: &Map<String, Value>,
    at: &str,
    depth: usize,
    notes: &mut Vec<Note>,
) -> Result<Value, String> {
    let extends = &service["extends"];
    let Some(name) = text(extends).or_else(|| text(&extends["service"])) else {
        return Ok(service.clone());
    };
    if !extends["file"].is_null() {
        let what = format!("extends {extends}");
        notes.push(Note::open(at, what, WHOLE));
        return Ok(service.clone());
    }
    let parent = services.get(&name).filter(|_| depth < services.len());
    let parent = parent.ok_or_else(|| format!("{at} extends `{name}`, which is not there"))?;
    let whole = extended(parent, services, at, depth + 1, notes)?;
    Ok(merged(long(&whole), long(service)))
}

/// Returns a service with maps where compose also takes a text or a list.
fn long(service: &Value) -> Value {
    let mut service = service.clone();
    if let Some(context) = text(&service["build"]) {
        service["build"] = json!({ "context": context });
    }
    for key in ["args", "labels", "additional_contexts"] {
        let build = service.get_mut("build").and_then(Value::as_object_mut);
        if let Some(value) = build.and_then(|build| build.get_mut(key)) {
            *value = Value::Object(
                pairs(value)
                    .into_iter()
                    .map(|(k, v)| (k, json!(v)))
                    .collect(),
            );
        }
    }
    service
}

fn merged(before: Value, after: Value) -> Value {
    match (before, after) {
        (Value::Object(mut map), Value::Object(own)) => {
            for (key, value) in own {
                let value = match map.remove(&key) {
                    Some(before) => merged(before, value),
                    None => value,
                };
                map.insert(key, value);
            }
            Value::Object(map)
        }
        (_, after) => after,
    }
}

fn target(
    (folder, env): (&str, &DotEnv),
    name: &str,
    service: &Value,
    build: &Value,
    at: &str,
    notes: &mut Vec<Note>,
) -> Result<Target, String> {
    let empty = Map::new();
    let settings = build.as_object().unwrap_or(&empty);
    let context = text(build).or_else(|| settings.get("context").and_then(text));
    let made = Build {
        file: at,
        folder,
        context,
        settings,
        contexts: "additional_contexts",
        inline: "dockerfile_inline",
        others: "services",
        interpolate: of_compose,
        env,
    };
    let mut made = made.target(name, notes)?;
    if let Some(text) = &mut made.inline {
        match of_compose(text, env) {
            Interpolated::Value(value, used) => {
                let from = used.shown();
                if !from.is_empty() {
                    let note = Note::done(at, "dockerfile_inline", format!("written{from}"));
                    let is_open = !used.env.is_empty();
                    notes.push(Note { is_open, ..note });
                }
                *text = value;
            }
            Interpolated::Unset(name) | Interpolated::Secret(name) => {
                let became = format!(
                    "kept as it is: compose replaces ${name} and others, and writes `$$` for `$`"
                );
                notes.push(Note::open(at, "dockerfile_inline with variables", became));
                *text = text.replace("$$", "$");
            }
        }
    }
    let image = service.get("image").and_then(text);
    let tags = build.get("tags").map(texts).unwrap_or_default();
    made.published = image
        .iter()
        .chain(&tags)
        .filter_map(|image| published(image, env, at, notes))
        .collect();
    made.secrets = build.get("secrets").map(secrets).unwrap_or_default();
    for (key, value) in build.as_object().into_iter().flatten() {
        if !READ.contains(&key.as_str()) {
            notes.push(Note::open(at, format!("{key} {value}"), "left out"));
        }
    }
    Ok(made)
}

/// Returns the reference of `image:`.
fn published(image: &str, env: &DotEnv, at: &str, notes: &mut Vec<Note>) -> Option<String> {
    match of_compose(image, env) {
        Interpolated::Value(value, used) => {
            if !used.env.is_empty() {
                let became = format!("`{value}`{}", used.shown());
                notes.push(Note::open(at, format!("image {image}"), became));
            }
            Some(value)
        }
        Interpolated::Unset(_) | Interpolated::Secret(_) => {
            let became =
                "read without values of its variables: check `registry:` and `repository:`";
            notes.push(Note::open(at, format!("image {image}"), became));
            expand(image, &BTreeMap::new()).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_what_it_extends() {
        let text = "services:\n  base: { image: \"ghcr.io/me/base:1\", build: { context: base, args: [A=1, B=2], target: one } }\n  short: { build: short }\n  child: { extends: { service: base }, build: { args: { B: 3 } } }\n  other: { extends: short, build: { target: two } }\n  only: { extends: child }\n  file: { extends: { file: x.yml, service: y }, build: . }\n";
        let found = compose("compose.yml", "", text, &DotEnv::default()).expect("valid");
        let of = |name: &str| found.targets.iter().find(|it| it.name == name).expect(name);
        for (name, b) in [("child", "3"), ("only", "3"), ("base", "2")] {
            let target = of(name);
            assert_eq!(target.context, "base");
            assert_eq!(target.target.as_deref(), Some("one"));
            assert_eq!(
                (target.args["A"].as_str(), target.args["B"].as_str()),
                ("1", b)
            );
        }
        assert_eq!(
            (of("other").context.as_str(), of("other").target.as_deref()),
            ("short", Some("two"))
        );
        let open: Vec<&str> = found.notes.iter().map(|note| note.place.as_str()).collect();
        assert_eq!(open, ["compose.yml: service file"]);
        for text in [
            "services: { a: { extends: b } }",
            "services: { a: { extends: a } }",
        ] {
            assert!(
                compose("compose.yml", "", text, &DotEnv::default()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn values_of_the_environment_file_are_reported_and_secrets_are_left_out() {
        let text = "services:\n  web:\n    image: ${ORG:-x}/web\n    build:\n      context: ${DIR:-other}\n      args: [ \"A=${A}\", B, \"T=$GH_TOKEN\", GH_TOKEN, C ]\n";
        let env = DotEnv::read("DIR=web\nA=1\nB=two\nORG=ghcr.io/me\nGH_TOKEN=hidden\n");
        let found = compose("compose.yml", "", text, &env).expect("valid");
        let target = &found.targets[0];
        let args: Vec<(&str, &str)> = (target.args.iter())
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(args, [("A", "1"), ("B", "two")]);
        assert_eq!(target.context, "web");
        assert_eq!(target.published, ["ghcr.io/me/web"]);
        assert!(found.notes.iter().all(|note| note.is_open));
        let became: Vec<&str> = found.notes.iter().map(|note| &*note.became).collect();
        let of_file = became.iter().filter(|it| it.contains("of `.env`"));
        assert_eq!(of_file.count(), 6, "{became:?}");
        assert!(!format!("{found:?}").contains("hidden"));
    }
}
