//! A stack from what another tool builds: Dockerfiles that are based on each other, a bake file, a compose file, or a
//! `spec.yml` of `datahub-docker-stack`.
//!
//! A file beside this one for each form makes a list of [`Target`]s; [`imported`] finds out which of them are based on which,
//! and writes the spec. Nothing is left out without a [`Note`]. Called by `cli`, which reads and writes the files.

mod bake;
mod compose;
mod datahub;
mod existing;
mod files;
mod folders;
mod format;
mod inline;
mod link;
mod native;
mod published;
mod scalars;
mod settings;
mod sources;
mod tags;
#[cfg(test)]
mod tests;
mod texts;
mod tree;
mod variables;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

pub use bake::{bake, needs_buildx};
pub use compose::compose;
pub use datahub::datahub;
pub use existing::ExistingSpec;
use folders::Folders;
use published::Published;
pub use sources::{Sources, inside, is_direct};
pub use tags::ImageTag;
use texts::Texts;
pub use tree::tree;
pub use variables::{DOT_ENV, DotEnv};
pub use yaml::json;

/// An image that another tool builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Its name in that tool.
    pub name: String,
    /// The folder of its context, relative to that of the import; empty for that folder itself.
    pub context: String,
    /// The Dockerfile, relative to the folder of the import.
    pub dockerfile: String,
    /// The text of the Dockerfile, if the list of images has it in place of a file.
    pub inline: Option<String>,
    /// The stage, if it is not the last one.
    pub target: Option<String>,
    /// Values of `ARG`.
    pub args: BTreeMap<String, String>,
    /// Named contexts: another target by its name, an image of a registry, or a folder.
    pub contexts: BTreeMap<String, Context>,
    /// Labels beside those of the Dockerfile.
    pub labels: BTreeMap<String, String>,
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
    /// A folder, relative to that of the import.
    Folder(String),
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

/// An image of the spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedImage {
    /// Its name in the spec.
    pub name: String,
    /// The name of its target.
    pub target: String,
    /// The Dockerfile, as in [`Target`].
    pub dockerfile: String,
    /// The image of the stack that it is based on.
    pub based_on: Option<String>,
    /// Whether the stack builds the Dockerfile itself: neither a copy of it nor steps.
    pub is_read: bool,
}

impl ImportedImage {
    fn of(target: &Target, name: &str, linked: &link::Linked, is_read: bool) -> Self {
        Self {
            name: name.to_owned(),
            target: target.name.clone(),
            dockerfile: target.dockerfile.clone(),
            based_on: linked.based_on.clone(),
            is_read,
        }
    }
}

/// A stack in the language of laminate.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// The spec.
    pub spec: Value,
    /// The spec as text, with comments of Dockerfiles.
    pub text: String,
    /// The tags that images have in the other tool.
    pub tags: Vec<ImageTag>,
    /// Files that must be below `images/`.
    pub copies: Vec<Copied>,
    /// Dockerfiles that were texts: their paths, relative to the folder of the spec, and the texts.
    pub written: BTreeMap<String, String>,
    /// Files that Dockerfiles name and the stack lacks, relative to its folder.
    pub missing: BTreeSet<String>,
    /// All images, in the order of the spec.
    pub images: Vec<ImportedImage>,
    /// What became of the rest of what was found.
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
    /// Whether Dockerfiles become steps where that is certain to be the same.
    pub is_native: bool,
    /// Whether there is a spec that keeps its keys beside `images`.
    pub has_spec: bool,
}

/// Returns the stack of what was found. Fails if a Dockerfile cannot be read; the text says why.
pub fn imported(found: Found, sources: &Sources, settings: &Settings) -> Result<Imported, String> {
    let Found {
        mut targets,
        series,
        mut notes,
    } = found;
    let names = link::names(&targets, &mut notes);
    let Published {
        registry,
        repositories,
    } = Published::of(&targets, &names, settings.registry.as_deref(), &mut notes);
    let sources = &*inline::with_files(&mut targets, &names, sources, &mut notes);
    let mut texts = Texts::read(&targets, sources)?;
    let parts = files::linked(&targets, &names, sources, &mut texts, &mut notes)?;
    let mut steps = Steps::of(&parts, &names, sources, &mut texts, settings)?;
    let mut images = Map::new();
    let mut copies = Vec::new();
    let mut written = BTreeMap::new();
    let mut list = Vec::new();
    let mut folders = Folders::new(&names);
    for (target, linked) in &parts {
        let name = &names[&target.name];
        let stays = files::prefix(target, name, settings).1;
        let is_read = (stays || target.inline.is_some()) && !steps.images.contains_key(name);
        let mut image = match steps.images.remove(name) {
            Some(image) => {
                if !stays {
                    files::copy_used(target, name, linked, sources, &mut texts, &mut copies)?;
                }
                image
            }
            None => {
                let (copies, notes) = (&mut copies, &mut notes);
                let moved =
                    files::place(target, name, linked, sources, &mut texts, settings, copies)?;
                let (part, read) = ((target, linked), (sources, &mut texts));
                let folders = folders.place(part, name, read, settings, (copies, notes))?;
                let value = dockerfile(target, linked, &moved, &folders);
                let inline = target.inline.clone();
                written.extend(inline.map(|text| (target.dockerfile.clone(), text)));
                let mut image = Map::from_iter([("dockerfile".to_owned(), value)]);
                // The Dockerfile sets its own modes, which `writable:` of its base would have checked.
                if let Some(gid) = steps.writable_group(linked) {
                    image.insert("writable".to_owned(), json!({ "gid": gid, "paths": [] }));
                    let became = "`writable: { paths: [] }`: paths of its base are not kept writable, and not checked";
                    notes.push(Note::done(&target.dockerfile, "its own modes", became));
                }
                image
            }
        };
        if let Some(repository) = repositories.get(name) {
            image.insert("repository".to_owned(), json!(repository));
        }
        add_settings(&mut image, target);
        list.push(ImportedImage::of(target, name, linked, is_read));
        images.insert(name.clone(), Value::Object(image));
    }
    notes.append(&mut steps.notes);
    copies.sort();
    copies.dedup();
    let tags = tags::tags(&parts, &names, series.as_deref());
    let mut spec = head(registry, series, settings);
    tags::declare(&tags, settings, &mut spec, &mut notes);
    add_vars(&mut spec, native::used_vars(&steps.vars, &images));
    spec.insert("images".to_owned(), Value::Object(images));
    let spec = Value::Object(spec);
    Ok(Imported {
        text: format::text(&spec),
        spec,
        tags,
        copies,
        written,
        missing: files::missing(&parts, &names, sources, &mut texts, settings)?,
        images: list,
        notes,
    })
}

/// Returns the keys of a spec before its images.
fn head(
    registry: Option<String>,
    series: Option<String>,
    settings: &Settings,
) -> Map<String, Value> {
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
    spec
}

fn add_vars(spec: &mut Map<String, Value>, vars: Map<String, Value>) {
    if !vars.is_empty() {
        spec.insert("vars".to_owned(), Value::Object(vars));
    }
}

/// Adds what a target has beside its Dockerfile to the keys of its image.
fn add_settings(image: &mut Map<String, Value>, target: &Target) {
    if !target.labels.is_empty() {
        let config = image.entry("config").or_insert_with(|| json!({}));
        for (name, value) in literals(&target.labels) {
            config["labels"][name] = json!(value);
        }
    }
    if !target.info.is_empty() {
        image.insert("info".to_owned(), info(target));
    }
}

/// Returns the value of the key `info`.
fn info(target: &Target) -> Value {
    let info = target.info.iter();
    let info = info.map(|it| (it.id.clone(), json!({ "title": it.title, "run": it.run })));
    Value::Object(info.collect())
}

/// The images that are steps.
#[derive(Debug, Default)]
struct Steps {
    /// Their keys, by name.
    images: BTreeMap<String, Map<String, Value>>,
    /// What their children know of them.
    known: BTreeMap<String, native::Known>,
    /// The variables of the stack.
    vars: native::Vars,
    /// What became of each instruction.
    notes: Vec<Note>,
}

impl Steps {
    /// Makes steps of all targets, if that is asked for.
    fn of(
        parts: &[(Target, link::Linked)],
        names: &BTreeMap<String, String>,
        sources: &Sources,
        texts: &mut Texts,
        settings: &Settings,
    ) -> Result<Self, String> {
        let mut steps = Self::default();
        if settings.is_native {
            for at in bases_first(parts, names) {
                let (target, linked) = &parts[at];
                steps.translate(target, linked, names, sources, texts, settings)?;
            }
        }
        Ok(steps)
    }

    /// Returns the group of the writable paths of the image that a target is based on.
    fn writable_group(&self, linked: &link::Linked) -> Option<u32> {
        let base = self.known.get(linked.based_on.as_ref()?)?;
        base.writable.keys().next()?.parse().ok()
    }

    /// Adds the image of a target; if it keeps its Dockerfile, there is a note of the reason.
    fn translate(
        &mut self,
        target: &Target,
        linked: &link::Linked,
        names: &BTreeMap<String, String>,
        sources: &Sources,
        texts: &mut Texts,
        settings: &Settings,
    ) -> Result<(), String> {
        let name = &names[&target.name];
        let (prefix, is_in_place) = files::prefix(target, name, settings);
        let read = texts.dockerfile(target);
        let (text, file) = (read.text, native::read(read.text, &read.lines));
        let ignore = match files::ignored(target, sources) {
            Some(path) => texts.ignore(&path, sources)?,
            None => &crate::dockerfile::Ignore::default(),
        };
        let context = native::Context {
            target,
            linked,
            names,
            sources,
            ignore,
            prefix,
            is_in_place,
            text,
            stages: file.iter().flat_map(native::File::names).collect(),
        };
        match native::translate(&context, file, &self.known, &self.vars) {
            Ok(native) => {
                self.images.insert(name.clone(), native.keys);
                self.known.insert(name.clone(), native.known);
                self.vars = native.vars;
                self.notes.extend(native.notes);
            }
            Err(kept) => {
                let known = native::kept(&context, &self.known);
                self.known.insert(name.clone(), known);
                self.notes.push(kept.note());
            }
        }
        Ok(())
    }
}

/// Returns the numbers of targets so that each one comes after those that it is based on.
fn bases_first(parts: &[(Target, link::Linked)], names: &BTreeMap<String, String>) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    let mut rest: Vec<usize> = (0..parts.len()).collect();
    while !rest.is_empty() {
        let is_open = |name: &str| rest.iter().any(|at| names[&parts[*at].0.name] == name);
        let ready = |at: &usize| !parts[*at].1.based_on.as_deref().is_some_and(is_open);
        let (mut now, later): (Vec<usize>, Vec<usize>) = rest.iter().partition(|at| ready(at));
        // Of a cycle, which `plan` reports.
        if now.is_empty() {
            order.extend(later);
            break;
        }
        order.append(&mut now);
        rest = later;
    }
    order
}

/// Returns the value of the key `dockerfile`.
fn dockerfile(
    target: &Target,
    linked: &link::Linked,
    moved: &files::Placed,
    folders: &BTreeMap<String, String>,
) -> Value {
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
    let images = literals(&linked.contexts).into_iter();
    let images = images.map(|(name, image)| (name, json!(image)));
    let folders = folders.iter();
    let folders = folders.map(|(name, folder)| (name.clone(), json!({ "folder": folder })));
    let contexts: Map<String, Value> = images.chain(folders).collect();
    if !contexts.is_empty() {
        value.insert("contexts".to_owned(), Value::Object(contexts));
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
