//! Bake files: the JSON that `docker buildx bake --print` writes, which has inheritance, variables and matrices resolved; and
//! files in JSON that need none of these.

use serde_json::{Map, Value};

use super::settings::Build;
use super::variables::{DotEnv, Interpolated, of_bake};
use super::yaml::{text, texts};
use super::{Found, Note, Target};

/// Keys of a target that become part of the spec, or that a finished list does not need.
const READ: [&str; 12] = [
    "context",
    "dockerfile",
    "dockerfile-inline",
    "args",
    "labels",
    "contexts",
    "target",
    "tags",
    "secret",
    "inherits",
    "name",
    "description",
];

/// Whether only buildx can tell what a bake file in JSON says: it has variables, functions or a matrix.
pub fn needs_buildx(document: &Value) -> bool {
    let targets = document["target"].as_object().into_iter().flatten();
    document.get("variable").is_some()
        || document.get("function").is_some()
        || targets
            .into_iter()
            .any(|(_, target)| target.get("matrix").is_some())
}

/// Reads a bake file; `folder` is its own, relative to that of the import. The error is for people.
pub fn bake(file: &str, folder: &str, document: &Value) -> Result<Found, String> {
    let targets = document["target"].as_object();
    let targets = targets.ok_or_else(|| format!("{file} has no `target`"))?;
    let mut found = Found::default();
    for name in targets.keys() {
        let mut seen = Vec::new();
        let whole = inherited(file, name, targets, &mut seen)?;
        // One that only others inherit from has no Dockerfile of its own to build.
        let is_inherited = targets
            .values()
            .any(|other| texts(&other["inherits"]).contains(name));
        if is_inherited
            && !["context", "dockerfile", "dockerfile-inline"]
                .iter()
                .any(|key| targets[name].get(key).is_some())
        {
            continue;
        }
        found
            .targets
            .push(target(file, folder, name, &whole, &mut found.notes)?);
    }
    for (key, value) in document.as_object().into_iter().flatten() {
        if !matches!(key.as_str(), "target" | "group") {
            let became = "left out: `buildx bake --print` resolves it";
            found
                .notes
                .push(Note::open(file, format!("{key} {value}"), became));
        }
    }
    Ok(found)
}

/// Returns a target with what it inherits.
fn inherited(
    file: &str,
    name: &str,
    targets: &Map<String, Value>,
    seen: &mut Vec<String>,
) -> Result<Map<String, Value>, String> {
    let own = targets.get(name).and_then(Value::as_object);
    let own = own.ok_or_else(|| format!("{file}: unknown target `{name}`"))?;
    if seen.iter().any(|other| other == name) {
        return Err(format!("{file}: target `{name}` inherits from itself"));
    }
    seen.push(name.to_owned());
    let mut whole = Map::new();
    for parent in own.get("inherits").map(texts).unwrap_or_default() {
        merge(&mut whole, &inherited(file, &parent, targets, seen)?);
    }
    merge(&mut whole, own);
    seen.pop();
    Ok(whole)
}

/// Adds the keys of another target as bake does: maps and secrets are merged, and `null` keeps what is there.
fn merge(whole: &mut Map<String, Value>, other: &Map<String, Value>) {
    for (key, value) in other {
        match (whole.get_mut(key), value) {
            (Some(_), Value::Null) => {}
            (Some(Value::Object(before)), Value::Object(after)) => {
                for (name, value) in after {
                    if !value.is_null() || !before.contains_key(name) {
                        before.insert(name.clone(), value.clone());
                    }
                }
            }
            (Some(Value::Array(before)), Value::Array(after)) if key == "secret" => {
                before.extend(after.iter().cloned());
            }
            _ => {
                whole.insert(key.clone(), value.clone());
            }
        }
    }
}

fn target(
    file: &str,
    folder: &str,
    name: &str,
    whole: &Map<String, Value>,
    notes: &mut Vec<Note>,
) -> Result<Target, String> {
    let at = format!("{file}: target {name}");
    if whole.contains_key("matrix") {
        return Err(format!(
            "{at} has a `matrix`: write the list with `docker buildx bake --print`, and import that"
        ));
    }
    let build = Build {
        file: &at,
        folder,
        context: whole.get("context").and_then(text),
        settings: whole,
        contexts: "contexts",
        inline: "dockerfile-inline",
        others: "targets",
        interpolate: of_bake,
        env: &DotEnv::default(),
    };
    let mut made = build.target(name, notes)?;
    let inline = made.inline.as_deref();
    if let Some(Interpolated::Value(text, _)) = inline.map(|text| of_bake(text, build.env)) {
        made.inline = Some(text);
    }
    made.published = whole.get("tags").map(texts).unwrap_or_default();
    made.secrets = secrets(whole.get("secret"), &at, notes);
    for (key, value) in whole {
        if !READ.contains(&key.as_str()) {
            notes.push(left_out(&at, key, value));
        }
    }
    Ok(made)
}

/// Returns the ids of secrets, of `id=x,src=y` or of maps, and notes how they get their values.
pub fn secrets(value: Option<&Value>, at: &str, notes: &mut Vec<Note>) -> Vec<String> {
    let items = value.and_then(Value::as_array);
    let items = items.map_or(&[][..], Vec::as_slice);
    let id = |item: &Value| match item {
        Value::Object(map) => map.get("id").or(map.get("source")).and_then(text),
        other => {
            let all = text(other)?;
            let named = all.split(',').find_map(|part| part.strip_prefix("id="));
            Some(named.unwrap_or(&all).to_owned())
        }
    };
    let ids: Vec<String> = items.iter().filter_map(id).collect();
    for id in &ids {
        let became = format!("`secrets: [{id}]`; pass its value with --secret {id}=FILE");
        notes.push(Note::done(at, format!("secret {id}"), became));
    }
    ids
}

/// Returns the note of a key that is left out.
fn left_out(at: &str, key: &str, value: &Value) -> Note {
    let became = match key {
        "platforms" => "left out: images are built for the platform of the engine",
        "cache-from" | "cache-to" => "left out: laminate reuses images of the staging repository",
        "output" => "left out: use `build --push` or `build --export`",
        "ssh" => "left out: use `build --ssh ID`",
        "no-cache" | "pull" => "left out: see `build --no-reuse` and `lock --update`",
        _ => "left out",
    };
    Note::open(at, format!("{key} {value}"), became)
}
