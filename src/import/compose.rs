//! `build:` of the services of a compose file.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::bake::secrets;
use super::scalars::compose_values;
use super::settings::Build;
use super::variables::{DotEnv, Interpolated, of_compose};
use super::yaml::{changed, lines, pairs, text, texts};
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
    let mut found = Found::default();
    let notes = &mut found.notes;
    let document = changed(file, text, |node, sources| {
        *notes = compose_values(file, node, sources);
    })?;
    let services = document["services"].as_object();
    let services = services.ok_or_else(|| format!("{file} has no `services`"))?;
    if !document["include"].is_null() {
        let what = format!("include {}", document["include"]);
        found.notes.push(Note::open(file, what, WHOLE));
    }
    let lines = lines(text, "services");
    for (name, service) in services {
        let at = format!("{file}: service {name}");
        let place = lines
            .get(name)
            .map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
        let whole = Services { file, services };
        let (service, other) = &whole.extended(service, &at, 0)?;
        if let Some(extends) = other {
            let what = format!("service {name} extends {extends}");
            found.notes.push(Note::open(&place, what, WHOLE));
        }
        if service.get("build").is_some_and(Value::is_null) {
            return Err(format!(
                "{place}: empty `build` of service {name}: write `build: FOLDER`, or remove it"
            ));
        }
        let is_other =
            |build: &Value| other.is_some() && build.is_object() && build["context"].is_null();
        let Some(build) = service.get("build").filter(|build| !is_other(build)) else {
            if other.is_some() {
                continue;
            }
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

/// The services of a file.
struct Services<'a> {
    file: &'a str,
    services: &'a Map<String, Value>,
}

impl Services<'_> {
    /// Returns a service with what it extends, as compose merges them: maps by their keys, other values are replaced. Also returns
    /// what it extends that is in another file.
    fn extended(
        &self,
        service: &Value,
        at: &str,
        depth: usize,
    ) -> Result<(Value, Option<Value>), String> {
        let extends = &service["extends"];
        let Some(name) = text(extends).or_else(|| text(&extends["service"])) else {
            return Ok((service.clone(), None));
        };
        let own = self.file.rsplit('/').next();
        let of_file = text(&extends["file"]);
        let of_file = of_file.as_deref().map(|file| file.trim_start_matches("./"));
        if !extends["file"].is_null() && of_file != own {
            return Ok((service.clone(), Some(extends.clone())));
        }
        let parent = self
            .services
            .get(&name)
            .filter(|_| depth < self.services.len());
        let parent = parent.ok_or_else(|| format!("{at} extends `{name}`, which is not there"))?;
        let (whole, other) = self.extended(parent, at, depth + 1)?;
        Ok((merged(long(&whole), long(service)), other))
    }
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
    made.secrets = secrets(build.get("secrets"), at, notes);
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
        let text = "services:\n  base: { image: \"ghcr.io/me/base:1\", build: { context: base, args: [A=1, B=2], target: one } }\n  short: { build: short }\n  child: { extends: { service: base }, build: { args: { B: 3 } } }\n  other: { extends: short, build: { target: two } }\n  only: { extends: child }\n  file: { extends: { file: x.yml, service: y }, build: . }\n  none: { extends: { file: x.yml, service: y }, build: { args: { A: 1 } } }\n  self: { extends: { file: ./compose.yml, service: short } }\n";
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
        assert_eq!(open, ["compose.yml:7", "compose.yml:8"]);
        assert!(found.notes.iter().all(|it| it.found.contains("extends")));
        assert!(!found.targets.iter().any(|it| it.name == "none"));
        assert_eq!(of("self").context, "short");
        let error = compose(
            "compose.yml",
            "",
            "services:\n  a:\n    build:\n",
            &DotEnv::default(),
        );
        assert!(error.is_err_and(|it| it.starts_with("compose.yml:2: empty `build` of service a")));
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
    fn values_without_quotes_are_reported_with_their_lines() {
        let text = "x-a: &a { A: 1.10 }\nservices:\n  web:\n    ports: [1.10]\n    build:\n      context: .\n      args:\n        <<: *a\n        W: 0755\n        Q: \"0755\"\n        D: 2024-01-01T1:0:0Z\n        N: Null\n  list: { build: { context: ., args: [V=1.10] } }\n";
        let found = compose("compose.yml", "", text, &DotEnv::default()).expect("valid");
        let args = |name: &str| {
            let target = found.targets.iter().find(|it| it.name == name);
            format!("{:?}", target.expect(name).args)
        };
        assert_eq!(args("list"), r#"{"V": "1.10"}"#);
        assert_eq!(
            args("web"),
            r#"{"A": "1.1", "D": "2024-01-01T1:0:0Z", "Q": "0755", "W": "493"}"#
        );
        let lines: Vec<&str> = (found.notes.iter())
            .filter(|it| it.became.contains("without quotes"))
            .map(|it| it.place.as_str())
            .collect();
        assert_eq!(lines, ["compose.yml:1", "compose.yml:9", "compose.yml:11"]);
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
