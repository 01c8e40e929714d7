//! [`ServedTree`]: a tree that the session serves, for what is too large to lie in the graph.
//!
//! `compile` decides which files; `buildkit` sends them from the disk and proves their digests.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::name::Digest;
use crate::path::by_parts;

/// Files, links and folders by their path, relative to the root of the tree. The folders of each are in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServedTree(BTreeMap<TreePath, ServedEntry>);

/// A path in the order in which a tree is sent: what is in a folder follows it at once.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TreePath(String);

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        by_parts(&self.0, &other.0)
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// One entry of a [`ServedTree`]; all belong to root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServedEntry {
    /// A folder with its permission bits.
    Folder(u32),
    /// A symbolic link with its text.
    Link(String),
    /// A regular file.
    File {
        /// Permission bits, at most 0777.
        mode: u32,
        /// Its bytes.
        content: ServedContent,
    },
}

/// The bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedContent {
    /// How many there are.
    pub size: u64,
    /// Their digest; other bytes are not sent.
    pub digest: Digest,
    /// Where they are.
    pub origin: ServedOrigin,
}

/// Where the bytes of a file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServedOrigin {
    /// In memory.
    Memory(Vec<u8>),
    /// In a file.
    Disk(PathBuf),
}

impl ServedTree {
    /// Adds an entry. A path has no `/` at its beginning or end.
    pub fn insert(&mut self, path: String, entry: ServedEntry) {
        self.0.insert(TreePath(path), entry);
    }

    /// Returns all entries in the order in which they are sent.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &ServedEntry)> {
        self.0.iter().map(|(path, entry)| (path.0.as_str(), entry))
    }

    /// Returns the digest of paths, modes and contents.
    pub fn digest(&self) -> Digest {
        let mut text = String::new();
        for (path, entry) in self.iter() {
            let (kind, value) = match entry {
                ServedEntry::Folder(mode) => (format!("{mode:o}"), "folder"),
                ServedEntry::Link(target) => ("link".to_owned(), target.as_str()),
                ServedEntry::File { mode, content } => {
                    (format!("{mode:o}"), content.digest.as_str())
                }
            };
            // No path, link or mode has a NUL.
            text.push_str(&format!("{path}\0{kind}\0{value}\0"));
        }
        Digest::of(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(paths: &[&str]) -> ServedTree {
        let mut tree = ServedTree::default();
        for path in paths {
            tree.insert((*path).to_owned(), ServedEntry::Folder(0o755));
        }
        tree
    }

    #[test]
    fn what_is_in_a_folder_follows_it() {
        let tree = tree(&["a-b", "a", "a/b", "a.b", "a/b/c"]);
        let paths: Vec<&str> = tree.iter().map(|(path, _)| path).collect();
        assert_eq!(paths, ["a", "a/b", "a/b/c", "a-b", "a.b"]);
    }

    #[test]
    fn each_part_of_an_entry_is_in_the_digest() {
        let file = |mode, bytes: &[u8]| ServedEntry::File {
            mode,
            content: ServedContent {
                size: 1,
                digest: Digest::of(bytes),
                origin: ServedOrigin::Memory(bytes.to_vec()),
            },
        };
        let entries = [
            file(0o644, b"x"),
            file(0o755, b"x"),
            file(0o644, b"y"),
            ServedEntry::Folder(0o755),
            ServedEntry::Link("x".to_owned()),
            ServedEntry::Link("y".to_owned()),
        ];
        let digests = entries.map(|entry| {
            let mut tree = ServedTree::default();
            tree.insert("a".to_owned(), entry);
            tree.digest().to_string()
        });
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
    }
}
