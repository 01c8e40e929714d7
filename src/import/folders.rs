//! Folders that Dockerfiles copy from beside their contexts.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{copied, ignored_note, relative};
use super::link::Linked;
use super::sources::{Sources, join};
use super::texts::Texts;
use super::{Copied, Note, Settings, Target};

/// Where the folders are in the stack. Targets share them.
#[derive(Debug)]
pub struct Folders {
    /// The place below `images/`, by the folder that is imported.
    places: BTreeMap<String, String>,
    /// Names of images and of places.
    taken: BTreeSet<String>,
}

impl Folders {
    /// Begins with the names of images.
    pub fn new(names: &BTreeMap<String, String>) -> Self {
        Self {
            places: BTreeMap::new(),
            taken: names.values().cloned().collect(),
        }
    }

    /// Returns the folders of a target, relative to that of its image, by their names in the Dockerfile. They stay where they
    /// are, or are copied below `images/`.
    pub fn place(
        &mut self,
        (target, linked): (&Target, &Linked),
        image: &str,
        (sources, texts): (&Sources, &mut Texts),
        settings: &Settings,
        (copies, notes): (&mut Vec<Copied>, &mut Vec<Note>),
    ) -> Result<BTreeMap<String, String>, String> {
        let mut found = BTreeMap::new();
        for (name, folder) in &linked.folders {
            let shown = format!("context {name}: {folder}");
            if sources.below(folder).next().is_none() {
                let became = "left out: the folder is missing or empty";
                notes.push(Note::open(&target.dockerfile, shown, became));
                continue;
            }
            let ignore = texts.ignore(&join(folder, ".dockerignore"), sources)?;
            let used = sources.below(folder);
            let used: Vec<_> = used.filter(|(inner, _)| !ignore.matches(inner)).collect();
            let place = format!("{}: context {name}", target.dockerfile);
            notes.extend(ignored_note(&place, &used, sources));
            let stays = settings.is_in_place && folder.starts_with("images/");
            let place = match self.places.get(folder) {
                _ if stays => folder.clone(),
                Some(place) => place.clone(),
                None => {
                    let place = self.free(name);
                    for (inner, path) in used {
                        if !sources.is_ignored(path) {
                            copies.push(copied(path, &place, inner));
                        }
                    }
                    self.places.insert(folder.clone(), place.clone());
                    place
                }
            };
            let path = relative(&format!("images/{image}"), &place);
            let became = format!("`contexts: {{ {name}: {{ folder: {path} }} }}`");
            notes.push(Note::done(&target.dockerfile, shown, became));
            found.insert(name.clone(), path);
        }
        Ok(found)
    }

    /// Returns a folder below `images/` that is not used yet.
    fn free(&mut self, name: &str) -> String {
        let mut name = name.replace('/', "-");
        while !self.taken.insert(name.clone()) {
            name.push_str("-files");
        }
        format!("images/{name}")
    }
}
