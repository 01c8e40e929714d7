//! The settings that a target of a bake file and `build:` of a compose file have in common.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::sources::{inside, join};
use super::variables::{DOT_ENV, DotEnv, Interpolated};
use super::yaml::{pairs, text};
use super::{Context, Note, Target};
use crate::dockerfile::is_remote;

/// The settings of one image.
pub struct Build<'a> {
    /// The file, with the target or service.
    pub file: &'a str,
    /// The folder of the file, relative to that of the import.
    pub folder: &'a str,
    /// The folder of the context, relative to that of the file; by default the same.
    pub context: Option<String>,
    /// `dockerfile`, `args`, `target`, and the named contexts.
    pub settings: &'a Map<String, Value>,
    /// The key of the named contexts.
    pub contexts: &'static str,
    /// The key of a Dockerfile that is a text.
    pub inline: &'static str,
    /// How the file calls its images.
    pub others: &'static str,
    /// Replaces variables.
    pub interpolate: fn(&str, &DotEnv) -> Interpolated,
    /// The variables that have a value.
    pub env: &'a DotEnv,
}

impl Build<'_> {
    /// Returns the target. The error is for people.
    pub fn target(&self, name: &str, notes: &mut Vec<Note>) -> Result<Target, String> {
        let at = self.file;
        let get = |key: &str| self.settings.get(key).and_then(text);
        let mut set = |key: &str, value: Option<String>| match value {
            Some(value) => self.certain(key, &value, notes).map(Some),
            None => Ok(None),
        };
        let context = set("context", self.context.clone())?;
        let dockerfile = set("dockerfile", get("dockerfile"))?;
        let target = set("target", get("target"))?;
        let context = context.as_deref().unwrap_or(".");
        let context = self.without_scheme(context);
        if is_remote(context) {
            return Err(format!(
                "unsupported context of {at}: `{context}` is not a folder"
            ));
        }
        let context = self.inside("context", self.folder, context)?;
        let dockerfile = dockerfile.unwrap_or_else(|| "Dockerfile".to_owned());
        // Without `cwd://`, it is relative to the context.
        let (above, dockerfile) = match self.without_scheme(&dockerfile) {
            path if path == dockerfile => (context.as_str(), path),
            path => (self.folder, path),
        };
        let mut made = Target {
            name: name.to_owned(),
            dockerfile: self.inside("dockerfile", above, dockerfile)?,
            context,
            inline: get(self.inline),
            target,
            ..Target::default()
        };
        made.args = self.values("args", ("argument", "args"), notes);
        made.labels = self.values("labels", ("label", "config: { labels }"), notes);
        for (name, value) in self.pairs(self.contexts) {
            let what = format!("context {name}");
            let value = self.value(&what, &value.unwrap_or_default(), notes);
            let Some(value) = value else {
                continue;
            };
            let value = self.without_scheme(&value);
            if is_folder(value) {
                self.inside(&what, self.folder, value)?;
            }
            match context_of(self.folder, value) {
                Some(context) => {
                    made.contexts.insert(name, context);
                }
                None => {
                    let others = self.others;
                    let became = format!(
                        "left out: only other {others}, images and folders can be contexts"
                    );
                    notes.push(Note::open(at, format!("context {name}: {value}"), became));
                }
            }
        }
        Ok(made)
    }

    /// Returns the values of a map. `what` are its entries, and where they are in the spec.
    fn values(
        &self,
        key: &str,
        (what, place): (&str, &str),
        notes: &mut Vec<Note>,
    ) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for (name, value) in self.pairs(key) {
            let of_file = self.env.get(&name).filter(|_| key == "args");
            match value.or_else(|| of_file.map(|_| format!("${{{name}}}"))) {
                Some(value) => {
                    let value = self.value(&format!("{what} {name}"), &value, notes);
                    found.extend(value.map(|value| (name, value)));
                }
                None => {
                    let text = format!("{what} {name} without a value");
                    let became = format!("left out: set it in `{place}`");
                    notes.push(Note::open(self.file, text, became));
                }
            }
        }
        found
    }

    /// Returns a value with those of its variables, if each has one.
    fn value(&self, what: &str, value: &str, notes: &mut Vec<Note>) -> Option<String> {
        let found = format!("{what}: {value}");
        match (self.interpolate)(value, self.env) {
            Interpolated::Value(value, used) => {
                let from = used.shown();
                if !from.is_empty() {
                    let note = Note::done(self.file, found, format!("`{value}`{from}"));
                    // The file is often not committed, and it is not read any more.
                    let is_open = !used.env.is_empty();
                    notes.push(Note { is_open, ..note });
                }
                Some(value)
            }
            Interpolated::Unset(name) => {
                let became = format!("left out: {name} of the environment is not read");
                notes.push(Note::open(self.file, found, became));
                None
            }
            Interpolated::Secret(name) => {
                let became = format!(
                    "left out: {name} of `{DOT_ENV}` seems to be a secret: use `secrets:` of `dockerfile:`"
                );
                notes.push(Note::open(self.file, found, became));
                None
            }
        }
    }

    /// Returns a value that the image cannot be without.
    fn certain(&self, key: &str, value: &str, notes: &mut Vec<Note>) -> Result<String, String> {
        let at = self.file;
        self.value(key, value, notes).ok_or_else(|| {
            format!(
                "{at}: `{key}: {value}` uses a variable without a default; replace it by its value"
            )
        })
    }

    /// Returns a path without `cwd://`, which bake also takes for the folder where it runs.
    fn without_scheme<'v>(&self, path: &'v str) -> &'v str {
        let is_bake = self.others == "targets";
        let path_in = path.strip_prefix("cwd://").filter(|_| is_bake);
        path_in.unwrap_or(path)
    }

    /// Returns a path relative to a folder. The error is for people.
    fn inside(&self, key: &str, folder: &str, path: &str) -> Result<String, String> {
        let at = self.file;
        if path.starts_with('/') {
            return Err(format!(
                "{at}: `{key}: {path}` is an absolute path: replace it by one that is relative to the file"
            ));
        }
        inside(folder, path).ok_or_else(|| {
            format!("{at}: `{key}: {path}` leads out of the folder of the import and its git repository: run `laminate import` in a folder that has all of it")
        })
    }

    fn pairs(&self, key: &str) -> Vec<(String, Option<String>)> {
        self.settings.get(key).map(pairs).unwrap_or_default()
    }
}

/// Returns what a named context in a file of a folder stands for.
fn context_of(folder: &str, value: &str) -> Option<Context> {
    if let Some(target) = value
        .strip_prefix("target:")
        .or(value.strip_prefix("service:"))
    {
        return Some(Context::Target(target.to_owned()));
    }
    if let Some(image) = value.strip_prefix("docker-image://") {
        return Some(Context::Image(image.to_owned()));
    }
    is_folder(value).then(|| Context::Folder(join(folder, value)))
}

/// Whether a named context is a folder of the import.
fn is_folder(value: &str) -> bool {
    let is_elsewhere = is_remote(value) || value.starts_with('/');
    let is_other = ["target:", "service:"]
        .iter()
        .any(|kind| value.starts_with(kind));
    !value.is_empty() && !is_elsewhere && !is_other
}
