//! The files that are imported.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;

use crate::path::clean;

/// The files below the folder of the import: the texts of Dockerfiles and `.dockerignore`s, and the paths of all.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The files by path, with the texts that are read.
    pub files: BTreeMap<String, Option<String>>,
    /// Files and folders that git ignores. They are not part of a stack.
    pub ignored: BTreeSet<String>,
    /// Where links lead to in the folder of the import.
    pub links: BTreeMap<String, String>,
    /// Files and folders that are left out because their names are not valid UTF-8, as text.
    pub unnamed: Vec<String>,
}

impl Sources {
    /// Returns the text of a file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path)?.as_deref()
    }

    /// Whether there is a file or a folder with files at a path.
    pub fn has(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.below(path).next().is_some()
    }

    /// Whether git ignores a file or a folder that it is in.
    pub fn is_ignored(&self, path: &str) -> bool {
        let mut above = Utf8Path::new(path).ancestors();
        above.any(|path| self.ignored.contains(path.as_str()))
    }

    /// Whether a path leads through a link.
    pub fn is_linked(&self, path: &str) -> bool {
        let mut above = Utf8Path::new(path).ancestors();
        above.any(|path| self.links.contains_key(path.as_str()))
    }

    /// Returns the files of a folder, by their path in it.
    pub fn below<'a>(&'a self, folder: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files.keys().filter_map(move |path| {
            if folder.is_empty() {
                return Some((path.as_str(), path.as_str()));
            }
            let inner = path.strip_prefix(folder)?.strip_prefix('/')?;
            Some((inner, path.as_str()))
        })
    }
}

/// Returns a path relative to a folder, or `None` if it leads out of the folder of the import.
pub fn inside(folder: &str, path: &str) -> Option<String> {
    let whole = format!("{folder}/{path}");
    let mut depth = 0_usize;
    for part in whole.split('/') {
        depth = match part {
            "" | "." => depth,
            ".." => depth.checked_sub(1)?,
            _ => depth + 1,
        };
    }
    Some(clean(&whole))
}

/// Returns a path below a folder.
pub fn join(folder: &str, path: &str) -> String {
    clean(&format!("{folder}/{path}"))
}
