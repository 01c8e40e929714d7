//! `laminate rebuild [RELEASE]`: what a release was built from, and how to rebuild it.

use std::collections::BTreeSet;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, RebuildArgs};
use super::interrupt::unless_cancelled;
use super::records::Records;
use super::{Answer, Exit, Failure, pretty};
use crate::compile::quote;
use crate::disk::write_atomically;
use crate::event::Events;
use crate::name::Commit;
use crate::plan::key::ComponentKind;
use crate::record::{ADOPTED, ReleaseImage, StoredRelease, StoredSpec};
use crate::table;

/// The folder in the commands if none was given.
const FOLDER: &str = "rebuild";

pub async fn run(
    global: &Global,
    args: &RebuildArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    unless_cancelled(cancel, async {
        let records = Records::open(global, events, cancel).await?;
        let stored = records.find_or_newest(args.release.as_deref())?;
        let StoredRelease { digest, release } = stored;
        let Some(spec) = records.spec(release).await? else {
            let text = format!("release {} was written without its spec", digest.short());
            let help = match &release.commit {
                Some(commit) => format!("it was built from commit {commit}"),
                None => "rebuild its images with the tool that built them".to_owned(),
            };
            let text = match release.commit {
                Some(_) => text,
                None => format!(
                    "release {} was adopted: laminate did not build it",
                    digest.short()
                ),
            };
            return Err(Failure::new(Exit::Usage, text).help(help));
        };
        let rebuild = Rebuild {
            stored,
            spec: &spec,
            out: args.out.as_deref(),
        };
        let written = match &args.out {
            Some(folder) => rebuild.write(folder)?,
            None => Vec::new(),
        };
        let text = if args.out.is_some() {
            rebuild.written(&written)
        } else {
            rebuild.text()
        };
        Ok(Answer::new(Exit::Done, rebuild.json(&written), text))
    })
    .await
}

/// A release and the spec stored with it.
struct Rebuild<'a> {
    stored: &'a StoredRelease,
    spec: &'a StoredSpec,
    out: Option<&'a Utf8Path>,
}

impl Rebuild<'_> {
    /// Returns its commit; a release with a spec has one.
    fn commit(&self) -> &str {
        let commit = self.stored.release.commit.as_ref();
        commit.map_or(ADOPTED, Commit::as_str)
    }

    /// Returns the files of images/ that steps use; their bytes are in the commit.
    fn of_commit(&self) -> BTreeSet<&str> {
        let components = self.spec.images.iter().flat_map(|image| &image.components);
        // A folder is there with its files.
        let files = components.filter(|component| {
            component.kind == ComponentKind::File && component.value != "folder"
        });
        files.map(|component| component.what.as_str()).collect()
    }

    /// Whether the rebuild needs files of the commit in images/. No list has the files of suites,
    /// because they do not determine an image; but an image with a suite may need some.
    fn needs_files(&self) -> bool {
        let mut images = self.stored.release.images.iter();
        let has_suite =
            |image: &ReleaseImage| !image.verdicts.is_empty() || !image.dropped.is_empty();
        !self.of_commit().is_empty() || images.any(has_suite)
    }

    /// Returns the name of the spec's own file.
    fn file(&self) -> &str {
        let mut names = self.spec.files.keys();
        names
            .find(|name| !name.contains('/'))
            .map_or("specs.yml", String::as_str)
    }

    /// Returns the commands that rebuild the release, to be run in the folder of the spec.
    fn commands(&self) -> Vec<String> {
        let folder = self.out.map_or(FOLDER, Utf8Path::as_str);
        // Digests and commits are hex digits, and need no quotes.
        let (release, commit) = (&self.stored.digest, self.commit());
        let mut list = Vec::new();
        if self.out.is_none() {
            list.push(format!("laminate rebuild {release} --out {FOLDER}"));
        }
        if self.needs_files() {
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

    /// Returns the images whose key has the day, week or month in it, each with the period.
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

    /// Returns each image with its resolved spec, its key and its digest.
    fn images(&self) -> Vec<Value> {
        let images = self.stored.release.images.iter();
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

    /// Returns notes for the user, one a line.
    fn notes(&self) -> Vec<String> {
        let mut notes = vec![
            format!("release {}", self.stored.digest),
            format!(
                "commit {}, run {}, {}",
                self.commit(),
                self.stored.release.run,
                table::time(self.stored.release.time)
            ),
            String::new(),
            "To rebuild it, run in the folder of the spec, in a clone that has the commit:"
                .to_owned(),
        ];
        notes.extend(self.commands().iter().map(|command| format!("  {command}")));
        let files = self.of_commit();
        if !files.is_empty() {
            notes.push(String::new());
            notes.push("Its steps use these files of the commit:".to_owned());
            notes.extend(files.iter().map(|file| format!("  {file}")));
        }
        notes.push(String::new());
        notes.push(
            "The rebuild is exact if `laminate plan --json` prints the same keys.".to_owned(),
        );
        notes.extend(self.periods().iter().map(|period| {
            format!("But {period}, which is in its key (`refresh:`): today its key is another.")
        }));
        notes
    }

    /// Returns the resolved spec as YAML, under the notes.
    fn text(&self) -> String {
        let mut text = String::new();
        for line in self.notes().join("\n").lines() {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        }
        let images = self.stored.release.images.iter().map(|image| {
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
        text.push_str(&super::yaml(
            &json!({ "images": images.collect::<Vec<_>>() }),
        ));
        text
    }

    /// Returns the paths that were written, and the notes.
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
            "release": self.stored.digest.as_str(),
            "commit": self.stored.release.commit,
            "run": self.stored.release.run,
            "time": self.stored.release.time,
            "vars": self.spec.vars,
            "files": self.spec.files,
            "lock": self.spec.lock,
            "files_of_commit": self.of_commit(),
            "commands": self.commands(),
            "images": self.images(),
            "written": written,
        })
    }

    /// Writes the spec as it was, and returns the paths.
    fn write(&self, folder: &Utf8Path) -> Result<Vec<Utf8PathBuf>, Failure> {
        let failed = |error: std::io::Error| Failure::new(Exit::Environment, error.to_string());
        match fs_err::read_dir(folder) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    let text = format!("{folder} is not empty");
                    return Err(Failure::new(Exit::Usage, text)
                        .help("pass a folder that does not exist; nothing was written"));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        let resolved = json!({
            "release": self.stored.digest.as_str(),
            "commit": self.stored.release.commit,
            "vars": self.spec.vars,
            "images": self.images(),
        });
        let resolved = pretty(&resolved);
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
            write_atomically(&path, text.as_bytes()).map_err(failed)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Digest;

    fn release() -> StoredRelease {
        let release = json!({
            "stack": "s", "commit": "d021570", "time": "2026-11-24T12:00:00Z", "run": "r", "images": [],
        });
        let release = serde_json::from_value(release).expect("a release");
        StoredRelease {
            digest: Digest::of(b"release"),
            release,
        }
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
        let stored = release();
        let shown = |stored: &StoredRelease, spec: &StoredSpec, out: Option<&str>| {
            let rebuild = Rebuild {
                stored,
                spec,
                out: out.map(Utf8Path::new),
            };
            rebuild.notes().split_off(4).join("\n")
        };
        let plain = spec(
            json!({ "files": { "specs.yml": "stack: s # no tests: here" }, "vars": { "v": "a b" } }),
        );
        insta::assert_snapshot!(shown(&stored, &plain, None), @r"
          laminate rebuild sha256:a4d451ec23463726f72c43d64c710968f6b602cd653b4de8adee1b556240a829 --out rebuild
          laminate -f rebuild/specs.yml --var 'v=a b' build

        The rebuild is exact if `laminate plan --json` prints the same keys.
        ");
        let mut tested = stored.clone();
        tested.release.images = serde_json::from_value(json!([{
            "image": "base", "variant": null, "repository": "ghcr.io/campus/base",
            "digest": Digest::of(b"base"), "key": Digest::of(b"key"), "tags": [], "depth": 0,
            "base": null, "base_digest": null,
            "verdicts": [{ "suite": "own", "digest": Digest::of(b"base"), "passed": true, "tests": 1, "failed": 0 }],
        }]))
        .expect("images");
        let refreshed = spec(json!({
            "files": { "other.yml": "stack: s" },
            "images": [{ "resolved": { "image": "base" }, "components": [
                { "kind": "refresh", "what": "refresh", "value": "2026-W48" },
            ] }],
        }));
        insta::assert_snapshot!(shown(&tested, &refreshed, Some("x y")), @r"
          git archive d021570 -- images ':(exclude)images/*/image.yml' | tar -x -C 'x y'
          laminate -f 'x y/other.yml' build

        The rebuild is exact if `laminate plan --json` prints the same keys.
        But base was built in 2026-W48, which is in its key (`refresh:`): today its key is another.
        ");
    }

    #[test]
    fn a_stored_file_stays_in_the_folder() {
        let stored = release();
        let parent = tempfile::tempdir().expect("a folder");
        let parent = Utf8Path::from_path(parent.path()).expect("UTF-8");
        for path in ["../outside", "/outside", "images/../../outside", ""] {
            let spec = spec(json!({ "files": { path: "text" } }));
            let out = parent.join("out");
            let rebuild = Rebuild {
                stored: &stored,
                spec: &spec,
                out: Some(&out),
            };
            assert!(rebuild.write(&out).is_err(), "{path}");
            let left = std::fs::read_dir(parent).expect("it is there").count();
            assert_eq!(left, 0, "{path}");
        }
    }
}
