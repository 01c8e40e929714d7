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
    /// Links that may lead elsewhere in an image's context: out of the folder of the import, or up and down again.
    pub unclear: BTreeSet<String>,
    /// Files and folders that are left out because their names are not valid UTF-8, as text.
    pub unnamed: Vec<String>,
    /// What git warned of while it listed the ignored files.
    pub git_warnings: Vec<String>,
}

/// How many links of a path are followed (`MAXSYMLINKS` of Linux).
const LINKS: usize = 40;

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

    /// Returns where a path leads to if its links are followed; `None` if this is not certain.
    pub fn followed(&self, path: &str) -> Option<String> {
        let mut path = path.to_owned();
        for _ in 0..LINKS {
            let ends = path.match_indices('/').map(|(at, _)| at);
            let mut above = ends.chain([path.len()]).map(|end| &path[..end]);
            let is_link =
                |path: &&str| self.links.contains_key(*path) || self.unclear.contains(*path);
            let Some(link) = above.find(is_link) else {
                return Some(path);
            };
            if self.unclear.contains(link) {
                return None;
            }
            path = join(&self.links[link], &path[link.len()..]);
        }
        None
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

/// Whether what a link says goes no further up than it must, and not down and up again: it leads to the same place in all
/// contexts that have both.
pub fn is_direct(folder: &str, target: &str) -> bool {
    let parts = target.split('/').filter(|part| !matches!(*part, "" | "."));
    let parts: Vec<&str> = parts.collect();
    let ups = parts.iter().take_while(|part| **part == "..").count();
    let left = folder.split('/').rev().nth(ups.wrapping_sub(1));
    let down = &parts[ups..];
    !down.contains(&"..") && (down.is_empty() || left != Some(down[0]))
}

/// Returns a path below a folder.
pub fn join(folder: &str, path: &str) -> String {
    clean(&format!("{folder}/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_where_they_are_certain() {
        let links = [
            ("a/current", "a/v2"),
            ("a/v2/up", "a/d"),
            ("a/chain", "a/current"),
            ("a/loop", "a/loop"),
            ("a/etc", "a/etc"),
        ];
        let sources = Sources {
            links: links.map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
            unclear: ["a/etc".to_owned()].into(),
            ..Sources::default()
        };
        for (path, expected) in [
            ("a/x", Some("a/x")),
            ("a/current", Some("a/v2")),
            ("a/currently", Some("a/currently")),
            ("a/chain/up/f", Some("a/d/f")),
            ("a/loop", None),
            ("a/etc/f", None),
        ] {
            assert_eq!(sources.followed(path).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn a_link_is_direct_if_every_context_reads_it_alike() {
        for (folder, target, expected) in [
            ("", "v2", true),
            ("a", "./v2/", true),
            ("a/b", "../v2", true),
            ("a", "../a/v2", false),
            ("a/b", "../../a/v2", false),
            ("a", "x/../y", false),
            ("a/b", "..", true),
        ] {
            assert_eq!(is_direct(folder, target), expected, "{folder} {target}");
        }
    }
}
