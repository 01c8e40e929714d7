//! `spec.yml` of datahub-docker-stack: images with `depend_on`, each with a folder beside the file.

use serde_json::Value;

use super::sources::join;
use super::yaml::{pairs, text, texts, yaml};
use super::{Found, Info, Note, Target};

/// Reads a `spec.yml`; `folder` is its own, relative to that of the import. The error is for people.
pub fn datahub(file: &str, folder: &str, content: &str) -> Result<Found, String> {
    let document = yaml(file, content)?;
    let images = document["images"].as_object();
    let images = images.ok_or_else(|| format!("{file} has no `images`"))?;
    let mut found = Found {
        series: document["tag"].get("prefix").and_then(text),
        ..Found::default()
    };
    let commands = document.get("all_info_cmds").or(document.get("manifests"));
    for (name, image) in images {
        let at = format!("{file}: image {name}");
        let context = join(folder, name);
        let mut target = Target {
            name: name.clone(),
            dockerfile: join(&context, "Dockerfile"),
            context,
            published: image.get("image_name").and_then(text).into_iter().collect(),
            ..Target::default()
        };
        for (name, value) in image.get("build_args").map(pairs).unwrap_or_default() {
            match value {
                Some(value) => {
                    target.args.insert(name, value);
                }
                None => {
                    let became = "left out: it has values for several plans; see `variants:`";
                    found
                        .notes
                        .push(Note::open(&at, format!("build_args {name}"), became));
                }
            }
        }
        let ids = image.get("info_cmds").or(image.get("manifests"));
        for id in ids.map(texts).unwrap_or_default() {
            target
                .info
                .extend(info(&id, commands, &at, &mut found.notes));
        }
        for (key, value) in image.as_object().into_iter().flatten() {
            found.notes.extend(note(&at, key, value));
        }
        found.targets.push(target);
    }
    for (key, value) in document.as_object().into_iter().flatten() {
        let became = match key.as_str() {
            "images" | "all_info_cmds" | "manifests" | "tag" => continue,
            "root" => "nothing is needed: images are built in the order of their bases",
            "plans" => "left out: write them as `variants:`",
            _ => "left out",
        };
        let is_open = key != "root";
        found.notes.push(Note {
            is_open,
            ..Note::open(file, format!("{key} {value}"), became)
        });
    }
    Ok(found)
}

/// Returns an info command by its id.
fn info(id: &str, commands: Option<&Value>, at: &str, notes: &mut Vec<Note>) -> Option<Info> {
    let command = commands.and_then(|commands| commands.get(id));
    let run = command
        .and_then(|command| command.get("command"))
        .and_then(text);
    let Some(run) = run else {
        notes.push(Note::open(
            at,
            format!("info command {id}"),
            "left out: it has no `command`",
        ));
        return None;
    };
    let title = command
        .and_then(|command| command.get("description"))
        .and_then(text);
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let name: String = (id.to_lowercase().chars())
        .map(|c| if allowed(c) { c } else { '-' })
        .collect();
    Some(Info {
        title: title.unwrap_or_else(|| id.to_owned()),
        id: name,
        run,
    })
}

/// Returns what becomes of a key of an image.
fn note(at: &str, key: &str, value: &Value) -> Option<Note> {
    let found = format!("{key} {value}");
    match key {
        "image_name" | "build_args" | "info_cmds" => None,
        "manifests" if texts(value).is_empty() => None,
        "manifests" => None,
        "depend_on" => Some(Note::done(at, found, "the base that the Dockerfile names")),
        "integration_tests" => {
            let became =
                "left out: write a suite below `tests:`, with `pytest:`, `script:` or `run:`";
            Some(Note::open(at, found, became))
        }
        "prune" | "prepull" => Some(Note::done(
            at,
            found,
            "nothing is needed: no image is pulled to build another",
        )),
        _ => Some(Note::open(at, found, "left out")),
    }
}
