//! A stack from what another tool builds: Dockerfiles that are based on each other, a bake file, a compose file, or a
//! `spec.yml` of `datahub-docker-stack`.
//!
//! A file beside this one for each form makes a list of [`Target`]s; [`imported`] finds out which of them are based on which,
//! and writes the spec. Nothing is left out without a [`Note`]. Called by `cli`, which reads and writes the files.

mod bake;
mod compose;
mod datahub;
mod files;
mod link;
mod settings;
mod sources;
#[cfg(test)]
mod tests;
mod texts;
mod yaml;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

pub use bake::bake;
pub use compose::compose;
pub use datahub::datahub;
pub use sources::Sources;
use texts::Texts;

/// An image that another tool builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its name in that tool.
    pub name: String,
    /// The folder of its context, relative to that of the import; empty for that folder itself.
    pub context: String,
    /// The Dockerfile, relative to the folder of the import.
    pub dockerfile: String,
    /// The stage, if it is not the last one.
    pub target: Option<String>,
    /// Values of `ARG`.
    pub args: BTreeMap<String, String>,
    /// Named contexts: another target by its name, or an image of a registry.
    pub contexts: BTreeMap<String, Context>,
    /// Where it is published: references, with or without tags.
    pub published: Vec<String>,
    /// Commands that list packages, by id.
    pub info: Vec<Info>,
    /// Ids of secrets.
    pub secrets: Vec<String>,
}

/// What a named context stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Context {
    /// Another target.
    Target(String),
    /// An image of a registry.
    Image(String),
}

/// A command that lists packages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Its id.
    pub id: String,
    /// A title for people.
    pub title: String,
    /// The command.
    pub run: String,
}

/// What became of a setting of the other tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The file, with a line or a key.
    pub place: String,
    /// What was found there.
    pub found: String,
    /// What became of it.
    pub became: String,
    /// Whether something is left out, or needs a person.
    pub is_open: bool,
}

impl Note {
    /// Returns a note of something that is part of the spec.
    pub fn done(
        place: impl Into<String>,
        found: impl Into<String>,
        became: impl Into<String>,
    ) -> Self {
        Self {
            place: place.into(),
            found: found.into(),
            became: became.into(),
            is_open: false,
        }
    }

    /// Returns a note of something that is left out.
    pub fn open(
        place: impl Into<String>,
        found: impl Into<String>,
        became: impl Into<String>,
    ) -> Self {
        Self {
            is_open: true,
            ..Self::done(place, found, became)
        }
    }
}

/// What a form of another tool has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// In the order of the file.
    pub targets: Vec<Target>,
    /// `series:`, if there is one.
    pub series: Option<String>,
    /// What became of the rest.
    pub notes: Vec<Note>,
}

/// A file to be copied below `images/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Copied {
    /// Relative to the folder of the import.
    pub from: String,
    /// Relative to the folder of the spec.
    pub to: String,
}

/// A stack in the language of laminate.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The spec.
    pub spec: Value,
    /// Files that must be below `images/`.
    pub copies: Vec<Copied>,
    /// What became of what was found.
    pub notes: Vec<Note>,
}

/// How a stack is imported.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `stack:`.
    pub stack: String,
    /// `registry:`; without it, that of the images, if they have one.
    pub registry: Option<String>,
    /// Whether the spec is in the folder that is imported, so that files in its `images/` stay where they are.
    pub is_in_place: bool,
}

/// Returns the stack of what was found. Fails if a Dockerfile cannot be read; the text says why.
pub fn imported(found: Found, sources: &Sources, settings: &Settings) -> Result<Imported, String> {
    let Found {
        targets,
        series,
        mut notes,
    } = found;
    let registry = settings
        .registry
        .clone()
        .or_else(|| link::registry(&targets));
    let names = link::names(&targets, &mut notes);
    let mut texts = Texts::read(&targets, sources)?;
    let mut images = Map::new();
    let mut copies = Vec::new();
    for target in &targets {
        let name = &names[&target.name];
        let linked = link::link(target, &targets, &names, &texts, &mut notes)?;
        let target = &files::with_context(target, &linked, sources, &mut notes);
        let moved = files::place(
            target,
            name,
            &linked,
            sources,
            &mut texts,
            settings,
            &mut copies,
        )?;
        let mut image = Map::new();
        image.insert("dockerfile".to_owned(), dockerfile(target, &linked, &moved));
        if let Some(repository) = link::repository(target, name, registry.as_deref(), &mut notes) {
            image.insert("repository".to_owned(), json!(repository));
        }
        if !target.info.is_empty() {
            let info = target.info.iter();
            let info = info.map(|it| (it.id.clone(), json!({ "title": it.title, "run": it.run })));
            image.insert("info".to_owned(), Value::Object(info.collect()));
        }
        notes.push(Note::done(
            &target.dockerfile,
            format!("image {}", target.name),
            match &linked.based_on {
                Some(base) => format!("`images: {name}`, based on `{base}`"),
                None => format!("`images: {name}`"),
            },
        ));
        images.insert(name.clone(), Value::Object(image));
    }
    copies.sort();
    copies.dedup();
    let mut spec = Map::new();
    spec.insert("stack".to_owned(), json!(settings.stack));
    if let Some(registry) = registry {
        spec.insert("registry".to_owned(), json!(registry));
    }
    let tag = match series {
        Some(series) => {
            spec.insert("series".to_owned(), json!(series));
            "${series}-${commit7}"
        }
        None => "${commit7}",
    };
    spec.insert("tags".to_owned(), json!([tag]));
    spec.insert("images".to_owned(), Value::Object(images));
    Ok(Imported {
        spec: Value::Object(spec),
        copies,
        notes,
    })
}

/// Returns the value of the key `dockerfile`.
fn dockerfile(target: &Target, linked: &link::Linked, moved: &files::Placed) -> Value {
    let mut value = Map::new();
    if moved.file != "Dockerfile" {
        value.insert("file".to_owned(), json!(moved.file));
    }
    if let Some(context) = &moved.context {
        value.insert("context".to_owned(), json!(context));
    }
    if let Some(stage) = &target.target {
        value.insert("target".to_owned(), json!(stage));
    }
    if !linked.args.is_empty() {
        value.insert("args".to_owned(), json!(literals(&linked.args)));
    }
    if !linked.contexts.is_empty() {
        value.insert("contexts".to_owned(), json!(literals(&linked.contexts)));
    }
    if !target.secrets.is_empty() {
        value.insert("secrets".to_owned(), json!(target.secrets));
    }
    match value.len() {
        0 => json!("Dockerfile"),
        1 if value.contains_key("file") => json!(moved.file),
        _ => Value::Object(value),
    }
}

/// Returns texts as the spec writes them, where `${` begins a variable.
fn literals(map: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let literal = |text: &String| text.replace("${", "$${");
    map.iter()
        .map(|(name, value)| (literal(name), literal(value)))
        .collect()
}
