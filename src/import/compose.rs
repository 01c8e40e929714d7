//! `build:` of the services of a compose file.

use serde_json::Value;

use super::bake::{context_of, secrets};
use super::sources::join;
use super::yaml::{pairs, text, yaml};
use super::{Context, Found, Note, Target};

/// Keys of `build:` that become part of the spec.
const READ: [&str; 7] = [
    "context",
    "dockerfile",
    "args",
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
    let get = |key: &str| build.get(key).and_then(text);
    let context = text(build).or_else(|| get("context"));
    let context = context.unwrap_or_else(|| ".".to_owned());
    if context.contains("://") {
        return Err(format!(
            "{at} has a context that is not a folder: {context}"
        ));
    }
    let context = join(folder, &context);
    let dockerfile = get("dockerfile").unwrap_or_else(|| "Dockerfile".to_owned());
    let mut made = Target {
        name: name.to_owned(),
        dockerfile: join(&context, &dockerfile),
        context,
        target: get("target"),
        published: service.get("image").and_then(text).into_iter().collect(),
        ..Target::default()
    };
    for (name, value) in build.get("args").map(pairs).unwrap_or_default() {
        match value {
            Some(value) if !value.contains("${") => {
                made.args.insert(name, value);
            }
            _ => {
                let became = "left out: it is a variable of the environment";
                notes.push(Note::open(at, format!("argument {name}"), became));
            }
        }
    }
    for (name, value) in build
        .get("additional_contexts")
        .map(pairs)
        .unwrap_or_default()
    {
        let value = value.unwrap_or_default();
        match context_of(&value) {
            Some(context) => {
                made.contexts.insert(name, context);
            }
            None => {
                let became = "left out: only other services and images can be contexts";
                notes.push(Note::open(at, format!("context {name}: {value}"), became));
            }
        }
    }
    made.secrets = build.get("secrets").map(secrets).unwrap_or_default();
    for (key, value) in build.as_object().into_iter().flatten() {
        if !READ.contains(&key.as_str()) {
            notes.push(Note::open(at, format!("{key} {value}"), "left out"));
        }
    }
    Ok(made)
}

impl Context {
    /// Returns the target it stands for.
    #[cfg(test)]
    pub fn target(&self) -> Option<&str> {
        match self {
            Self::Target(name) => Some(name),
            Self::Image(_) => None,
        }
    }
}
