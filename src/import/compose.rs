//! `build:` of the services of a compose file.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::bake::secrets;
use super::settings::Build;
use super::variables::{Interpolated, of_compose};
use super::yaml::{text, texts, yaml};
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

/// Reads a compose file; `folder` is its own, relative to that of the import. The error is for people.
pub fn compose(file: &str, folder: &str, text: &str) -> Result<Found, String> {
    let document = yaml(file, text)?;
    let services = document["services"].as_object();
    let services = services.ok_or_else(|| format!("{file} has no `services`"))?;
    let mut found = Found::default();
    for (name, service) in services {
        let at = format!("{file}: service {name}");
        let Some(build) = service.get("build") else {
            let became = "left out: it builds no image";
            found
                .notes
                .push(Note::open(&at, "a service without `build`", became));
            continue;
        };
        let target = target(folder, name, service, build, &at, &mut found.notes)?;
        found.targets.push(target);
        let others = service.as_object().into_iter().flatten();
        let others: Vec<&str> = others
            .map(|(key, _)| key.as_str())
            .filter(|key| !matches!(*key, "build" | "image"))
            .collect();
        if !others.is_empty() {
            let became = "left out: it is for running containers";
            found.notes.push(Note::open(&at, others.join(", "), became));
        }
    }
    Ok(found)
}

fn target(
    folder: &str,
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
    };
    let mut made = made.target(name, notes)?;
    if let Some(text) = &mut made.inline {
        match of_compose(text) {
            Interpolated::Value(value, used) => {
                if !used.is_empty() {
                    let became = "with the defaults of its variables";
                    notes.push(Note::done(at, "dockerfile_inline", became));
                }
                *text = value;
            }
            Interpolated::Unset(name) => {
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
        .filter_map(|image| published(image, at, notes))
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
fn published(image: &str, at: &str, notes: &mut Vec<Note>) -> Option<String> {
    match of_compose(image) {
        Interpolated::Value(image, _) => Some(image),
        Interpolated::Unset(_) => {
            let became =
                "read without values of its variables: check `registry:` and `repository:`";
            notes.push(Note::open(at, format!("image {image}"), became));
            expand(image, &BTreeMap::new()).ok()
        }
    }
}
