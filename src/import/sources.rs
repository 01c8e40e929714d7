//! The files that are imported.

use std::collections::BTreeMap;

use crate::path::clean;

/// The files below the folder of the import: the texts of Dockerfiles and `.dockerignore`s, and the paths of all.
#[derive(Clone, Debug, Default)]
pub struct Sources(pub BTreeMap<String, Option<String>>);

impl Sources {
    /// Returns the text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.0.get(path)?.as_deref()
    }

    /// Whether there is a file or a folder with files at a path.
    pub fn has(&self, path: &str) -> bool {
        self.0.contains_key(path) || self.below(path).next().is_some()
    }

    /// Returns the files of a folder, by their path in it.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.keys().filter_map(move |path| {
            if folder.is_empty() {
                return Some((path.as_str(), path.as_str()));
            }
            let inner = path.strip_prefix(folder)?.strip_prefix('/')?;
            Some((inner, path.as_str()))
        })
    }
}

/// Returns a path below a folder.
pub fn join(folder: &str, path: &str) -> String {
    clean(&format!("{folder}/{path}"))
}
