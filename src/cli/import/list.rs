//! Reads the file that lists images.

use std::process::Stdio;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::Value;

use super::find::{Form, Place};
use super::{LARGEST, read, text_of, unreadable};
use crate::cli::paths::below;
use crate::cli::{Exit, Failure};
use crate::import::{self, DotEnv, Found, Note, Sources, Target};

/// Reads the first place in which all Dockerfiles are where the file says, or else some of them.
pub async fn first(places: Vec<Place>) -> Result<(Place, Sources, Found), Failure> {
    let mut read_folder: Option<(Utf8PathBuf, Sources)> = None;
    let (mut some, mut none, mut error) = (None, None, None);
    for place in places {
        let sources = match read_folder.take() {
            Some((folder, sources)) if folder == place.folder => sources,
            _ => read(&place.folder).await?,
        };
        read_folder = Some((place.folder.clone(), sources.clone()));
        let found = match found(&place, &sources).await {
            Ok(found) => found,
            Err(failure) => {
                error = Some(failure);
                continue;
            }
        };
        let is_there = |target: &&Target| {
            target.inline.is_some() || sources.files.contains_key(&target.dockerfile)
        };
        let count = found.targets.iter().filter(is_there).count();
        let best = match count {
            0 => &mut none,
            _ => &mut some,
        };
        let is_whole = count > 0 && count == found.targets.len();
        if is_whole {
            return Ok(with_texts(place, sources, found));
        }
        best.get_or_insert((place, sources, found));
    }
    match (some.or(none), error) {
        (Some((place, sources, found)), _) => Ok(with_texts(place, sources, found)),
        (None, error) => Err(error.expect("there is a place")),
    }
}

/// Returns the files with the texts of the Dockerfiles that a list names.
fn with_texts(place: Place, mut sources: Sources, found: Found) -> (Place, Sources, Found) {
    for target in &found.targets {
        if let Some(text) = sources.files.get_mut(&target.dockerfile) {
            let path = place.folder.join(&target.dockerfile);
            *text = text.take().or_else(|| text_of(&path, LARGEST));
        }
    }
    (place, sources, found)
}

async fn found(place: &Place, sources: &Sources) -> Result<Found, Failure> {
    let Place {
        folder,
        list,
        form,
        paths,
    } = place;
    let path = below(folder, list);
    let content = || fs_err::read_to_string(&path).map_err(unreadable);
    let invalid = |text: String| Failure::new(Exit::Spec, text);
    match form {
        Form::Datahub => import::datahub(list, paths, &content()?).map_err(invalid),
        Form::Compose => {
            let env = below(folder, Utf8Path::new(paths).join(import::DOT_ENV));
            let env = text_of(&env, LARGEST).map(|text| DotEnv::read(&text));
            let found = import::compose(list, paths, &content()?, &env.unwrap_or_default());
            let mut found = found.map_err(invalid)?;
            for other in overrides(folder, list, &["yml", "yaml"]) {
                let became = "not read: `docker compose config` writes a list with it";
                found.notes.push(Note::open(other, "file", became));
            }
            Ok(found)
        }
        Form::BakeJson => {
            let document = import::json(list, &content()?).map_err(invalid)?;
            let has_overrides = !overrides(folder, list, &["json", "hcl"]).is_empty();
            let needs_bake = has_overrides || import::needs_buildx(&document);
            let document = if needs_bake {
                printed(folder, list).await?
            } else {
                document
            };
            let found = import::bake(list, paths, &document).map_err(invalid)?;
            Ok(if needs_bake {
                built(found, list, sources)
            } else {
                found
            })
        }
        Form::BakeHcl => {
            let document = printed(folder, list).await?;
            let found = import::bake(list, paths, &document).map_err(invalid)?;
            Ok(built(found, list, sources))
        }
        Form::Tree => Ok(import::tree(if list == "." { "" } else { list }, sources)),
    }
}

/// Leaves out what buildx prints of targets that others inherit from: those without a Dockerfile, or with a `_`.
fn built(mut found: Found, list: &str, sources: &Sources) -> Found {
    let (targets, others): (Vec<Target>, Vec<Target>) =
        found.targets.into_iter().partition(|target| {
            let is_there =
                target.inline.is_some() || sources.files.contains_key(&target.dockerfile);
            !target.name.starts_with('_') && is_there
        });
    found.targets = targets;
    for target in others {
        let is_open = !target.name.starts_with('_');
        let became = if is_open {
            format!("left out: `{}` is missing", target.dockerfile)
        } else {
            "part of the targets that inherit from it".to_owned()
        };
        let note = Note::open(list, format!("target {}", target.name), became);
        found.notes.push(Note { is_open, ..note });
    }
    found
}

/// Returns the files beside a list of images that its tool reads with it, if it has the name that the tool looks for.
fn overrides(folder: &Utf8Path, list: &str, ends: &[&str]) -> Vec<String> {
    let Some((stem, _)) = list.rsplit_once('.') else {
        return Vec::new();
    };
    if !["docker-bake", "compose", "docker-compose"].contains(&stem) {
        return Vec::new();
    }
    let names = ends.iter().map(|end| format!("{stem}.override.{end}"));
    names.filter(|name| folder.join(name).is_file()).collect()
}

/// Returns the command of buildx; `None` if there is none.
async fn buildx() -> Option<&'static [&'static str]> {
    if which::which("buildx").is_ok() {
        return Some(&["buildx"]);
    }
    // docker without the plugin takes the words after `buildx` for its own.
    let version = tokio::process::Command::new("docker")
        .args(["buildx", "version"])
        .stdin(Stdio::null())
        .output()
        .await;
    let is_there = version.is_ok_and(|it| it.status.success());
    is_there.then_some(&["docker", "buildx"])
}

/// Returns a bake file with everything resolved, by buildx.
async fn printed(folder: &Utf8Path, list: &str) -> Result<Value, Failure> {
    let Some(buildx) = buildx().await else {
        let text = format!(
            "reading `{list}` requires buildx, which is neither on PATH nor a plugin of docker"
        );
        return Err(Failure::new(Exit::Environment, text).help(
            "install buildx; or run `docker buildx bake --print >docker-bake.json` elsewhere, and import that file",
        ));
    };
    let mut command = tokio::process::Command::new(buildx[0]);
    command
        .args(&buildx[1..])
        // Without `*`, it prints the group `default` alone.
        .args(["bake", "--print", "--allow=fs=*", "--file", list])
        .args(
            overrides(folder, list, &["json", "hcl"])
                .iter()
                .flat_map(|file| ["--file", file]),
        )
        .arg("*");
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.map_err(unreadable)?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let text = format!(
            "`{} bake --print` failed: {}",
            buildx.join(" "),
            text.trim()
        );
        return Err(Failure::new(Exit::Environment, text));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| {
        Failure::new(
            Exit::Environment,
            format!("unexpected output of buildx: {error}"),
        )
    })
}
