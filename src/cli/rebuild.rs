//! `laminate rebuild RELEASE`: what a release was built from, and how to build it again.

use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, RebuildArgs};
use super::interrupt::unless_cancelled;
use super::records::Records;
use super::{Answer, Exit, Failure, pretty};
use crate::compile::quote;
use crate::event::Events;
use crate::name::Digest;
use crate::plan::key::ComponentKind;
use crate::record::{Release, StoredSpec};

/// The folder the commands name if none was given.
const FOLDER: &str = "again";

pub async fn run(
    global: &Global,
    args: &RebuildArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    unless_cancelled(cancel, async {
        let records = Records::open(global, events).await?;
        let (digest, release) = records.find(&args.release)?;
        let Some(spec) = records.spec(release).await? else {
            let text = format!("release {} was written without its spec", digest.short());
            let help = format!("it was built from commit {}", release.commit);
            return Err(Failure::new(Exit::Usage, text).help(help));
        };
        let again = Again {
            digest,
            release,
            spec: &spec,
            out: args.out.as_deref(),
        };
        let written = match &args.out {
            Some(folder) => again.write(folder)?,
            None => Vec::new(),
        };
        let text = if args.out.is_some() {
            again.written(&written)
        } else {
            again.text()
        };
        Ok(Answer::new(Exit::Done, again.json(&written), text))
    })
    .await
}

/// A release and the spec stored with it.
struct Again<'a> {
    digest: &'a Digest,
    release: &'a Release,
    spec: &'a StoredSpec,
    out: Option<&'a Utf8Path>,
}

impl Again<'_> {
    /// Files of images/ that steps use; their bytes are in the commit.
    fn of_commit(&self) -> BTreeSet<&str> {
        let components = self.spec.images.iter().flat_map(|image| &image.components);
        // A folder is there with its files.
        let files = components.filter(|component| {
            component.kind == ComponentKind::File && component.value != "folder"
        });
        files.map(|component| component.what.as_str()).collect()
    }

    /// Whether anything beside the stored files has to lie in images/. Files of tests determine no
    /// image, so that no list has them; but a spec that names them wants them there.
    fn wants_files(&self) -> bool {
        let mut texts = self.spec.files.values();
        !self.of_commit().is_empty() || texts.any(|text| text.contains("tests:"))
    }

    /// The name of the spec's own file.
    fn file(&self) -> &str {
        let mut names = self.spec.files.keys();
        names
            .find(|name| !name.contains('/'))
            .map_or("specs.yml", String::as_str)
    }

    /// What to run in the folder of the spec.
    fn commands(&self) -> Vec<String> {
        let folder = self.out.map_or(FOLDER, Utf8Path::as_str);
        let (release, commit) = (self.digest, &self.release.commit);
        let mut list = Vec::new();
        if self.out.is_none() {
            list.push(format!("laminate rebuild {release} --out {FOLDER}"));
        }
        if self.wants_files() {
            list.push(format!(
                "git archive {commit} -- images ':(exclude)images/*/image.yml' | tar -x -C {}",
                quote(folder)
            ));
        }
        let vars = self.spec.vars.iter();
        let vars: String = vars
            .map(|(name, value)| format!(" --var {}", quote(&format!("{name}={value}"))))
            .collect();
        let file = quote(&format!("{folder}/{}", self.file()));
        list.push(format!("laminate -f {file}{vars} build"));
        list
    }

    /// Images whose key has the day, week or month in it.
    fn periods(&self) -> Vec<String> {
        let images = self.spec.images.iter();
        let periods = images.flat_map(|image| {
            let components = image.components.iter();
            let refresh = components
                .filter(|one| one.kind == ComponentKind::Refresh && one.what == "refresh");
            refresh.map(|one| format!("{} was built in {}", image.label(), one.value))
        });
        periods.collect()
    }

    /// Each image as it was understood, with its key and digest.
    fn images(&self) -> Vec<Value> {
        let images = self.release.images.iter();
        images
            .map(|image| {
                let stored = self.spec.image(&image.label());
                json!({
                    "image": image.image,
                    "variant": image.variant,
                    "digest": image.digest,
                    "key": image.key,
                    "resolved": stored.map(|stored| &stored.resolved),
                })
            })
            .collect()
    }

    /// Notes for the reader, a line each.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            format!("release {}", self.digest),
            format!(
                "commit {}, run {}, {}",
                self.release.commit, self.release.run, self.release.time
            ),
            String::new(),
            "To build it again, in the folder of the spec, in a clone that has the commit:"
                .to_owned(),
        ];
        notes.extend(self.commands().iter().map(|command| format!("  {command}")));
        let files = self.of_commit();
        if !files.is_empty() {
            notes.push(String::new());
            notes.push("Of the commit's files its steps use:".to_owned());
            notes.extend(files.iter().map(|file| format!("  {file}")));
        }
        notes.push(String::new());
        notes.push("All is as it was if `laminate plan --json` has the same keys.".to_owned());
        notes.extend(self.periods().iter().map(|period| {
            format!("But {period}, which is in its key (`refresh:`): today it gets another.")
        }));
        notes
    }

    /// The resolved spec as YAML, under the notes.
    fn text(&self) -> String {
        let mut text = String::new();
        for line in self.notes().join("\n").lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        let images = self.release.images.iter().map(|image| {
            let mut shown = json!({
                "image": image.image,
                "variant": image.variant,
                "digest": image.digest,
                "key": image.key,
            });
            let stored = self.spec.image(&image.label());
            let resolved = stored.and_then(|stored| stored.resolved.as_object());
            for (name, value) in resolved.into_iter().flatten() {
                shown[name] = value.clone();
            }
            without_null(shown)
        });
        text.push_str(&yaml(&json!({ "images": images.collect::<Vec<_>>() })));
        text
    }

    /// What was written, and the notes.
    fn written(&self, written: &[Utf8PathBuf]) -> String {
        let mut text: String = written
            .iter()
            .map(|path| format!("wrote {path}\n"))
            .collect();
        text.push('\n');
        for note in self.notes() {
            text.push_str(&format!("{note}\n"));
        }
        text
    }

    fn json(&self, written: &[Utf8PathBuf]) -> Value {
        json!({
            "release": self.digest.as_str(),
            "commit": self.release.commit,
            "run": self.release.run,
            "time": self.release.time,
            "vars": self.spec.vars,
            "files": self.spec.files,
            "lock": self.spec.lock,
            "files_of_commit": self.of_commit(),
            "commands": self.commands(),
            "images": self.images(),
            "written": written,
        })
    }

    /// Writes the spec as it was; returns the paths.
    fn write(&self, folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Failure> {
        let failed = |error: std::io::Error| Failure::new(Exit::Environment, error.to_string());
        match fs_err::read_dir(folder) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    let text = format!("{folder} is not empty");
                    return Err(Failure::new(Exit::Usage, text)
                        .help("name a folder that does not exist; nothing was written"));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let resolved = json!({
            "release": self.digest.as_str(),
            "commit": self.release.commit,
            "vars": self.spec.vars,
            "images": self.images(),
        });
        let resolved = format!("{}\n", pretty(&resolved));
        let mut files: Vec<(&str, &str)> = vec![
            ("specs.lock", &self.spec.lock),
            ("resolved.json", &resolved),
        ];
        for (path, text) in &self.spec.files {
            let plain = |part| matches!(part, Utf8Component::Normal(_));
            if !Utf8Path::new(path).components().all(plain) || path.is_empty() {
                let text = format!("the stored spec has a file `{path}`, which leaves the folder");
                return Err(Failure::new(Exit::Environment, text));
            }
            files.push((path, text));
        }
        files.sort();
        let mut written = Vec::new();
        for (path, text) in files {
            let path = folder.join(path);
            let parent = path.parent().expect("it is in the folder");
            fs_err::create_dir_all(parent).map_err(failed)?;
            fs_err::write(&path, text).map_err(failed)?;
            written.push(path);
        }
        Ok(written)
    }
}

/// Settings that are not set are left out.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(entries) => {
            let entries = entries.into_iter().filter(|(_, value)| !value.is_null());
            entries
                .map(|(name, value)| (name, without_null(value)))
                .collect()
        }
        Value::Array(items) => items.into_iter().map(without_null).collect(),
        other => other,
    }
}

fn yaml(value: &Value) -> String {
    // Commands are not wrapped.
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    serde_saphyr::to_string_with_options(value, options).expect("plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release() -> (Digest, Release) {
        let release = json!({
            "stack": "s", "commit": "d021570", "time": "2026-11-24T12:00:00Z", "run": "r", "images": [],
        });
        let release = serde_json::from_value(release).expect("a release");
        (Digest::of(b"release"), release)
    }

    fn spec(more: Value) -> StoredSpec {
        let mut spec = json!({ "files": {}, "lock": "", "images": [] });
        for (name, value) in more.as_object().expect("a mapping") {
            spec[name] = value.clone();
        }
        serde_json::from_value(spec).expect("a spec")
    }

    #[test]
    fn the_commands_fit_the_spec() {
        let (digest, release) = release();
        let shown = |spec: &StoredSpec, out: Option<&str>| {
            let again = Again {
                digest: &digest,
                release: &release,
                spec,
                out: out.map(Utf8Path::new),
            };
            again.notes().split_off(4).join("\n")
        };
        let plain = spec(json!({ "files": { "specs.yml": "stack: s" }, "vars": { "v": "a b" } }));
        insta::assert_snapshot!(shown(&plain, None), @r"
          laminate rebuild sha256:a4d451ec23463726f72c43d64c710968f6b602cd653b4de8adee1b556240a829 --out again
          laminate -f again/specs.yml --var 'v=a b' build

        All is as it was if `laminate plan --json` has the same keys.
        ");
        let refreshed = spec(json!({
            "files": { "other.yml": "tests: {}" },
            "images": [{ "resolved": { "image": "base" }, "components": [
                { "kind": "refresh", "what": "refresh", "value": "2026-W48" },
            ] }],
        }));
        insta::assert_snapshot!(shown(&refreshed, Some("x y")), @r"
          git archive d021570 -- images ':(exclude)images/*/image.yml' | tar -x -C 'x y'
          laminate -f 'x y/other.yml' build

        All is as it was if `laminate plan --json` has the same keys.
        But base was built in 2026-W48, which is in its key (`refresh:`): today it gets another.
        ");
    }

    #[test]
    fn a_stored_file_stays_in_the_folder() {
        let (digest, release) = release();
        let parent = tempfile::tempdir().expect("a folder");
        let parent = Utf8Path::from_path(parent.path()).expect("UTF-8");
        for path in ["../outside", "/outside", "images/../../outside", ""] {
            let spec = spec(json!({ "files": { path: "text" } }));
            let out = parent.join("out");
            let again = Again {
                digest: &digest,
                release: &release,
                spec: &spec,
                out: Some(&out),
            };
            assert!(again.write(&out).is_err(), "{path}");
            let left = std::fs::read_dir(parent).expect("it is there").count();
            assert_eq!(left, 0, "{path}");
        }
    }
}
