//! [`Tree`]: files of the stack and texts of the spec, as a file system that steps copy from or mount.

use std::collections::BTreeMap;
use std::path::PathBuf;

use camino::{Utf8Path, Utf8PathBuf};

use super::mode::apply;
use crate::name::Digest;
use crate::stack::{self, Mode};

/// Files by their absolute path in the tree. Folders above them are added with mode 0755.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, Entry>);

/// One file, link or folder of a [`Tree`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A folder with its permission bits.
    Folder(u32),
    /// A regular file.
    File {
        /// Permission bits, at most 0777.
        mode: u32,
        /// Its bytes.
        content: Content,
    },
    /// A symbolic link with its text.
    Link(String),
}

/// A file of this machine that laminate brings into steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brought {
    /// Where it is.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// The digest of its content.
    pub digest: Digest,
}

/// The bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Those of a file under `images/`.
    Stack(Utf8PathBuf),
    /// A text of the spec.
    Text(String),
    /// Those of a file that laminate brings.
    Brought(Brought),
}

impl Entry {
    /// Returns a file, link or folder of the stack, with the modes that git knows: 0644 or 0755. `None` for
    /// what cannot be copied.
    pub fn of_stack(path: &Utf8Path, files: &stack::Files) -> Option<Self> {
        let entry = match files.get(path)? {
            stack::File::Special(_) => return None,
            stack::File::Folder => Self::Folder(0o755),
            stack::File::Link { target } => Self::Link(target.clone()),
            stack::File::Regular { executable, .. } => Self::File {
                mode: if *executable { 0o755 } else { 0o644 },
                content: Content::Stack(path.to_owned()),
            },
        };
        Some(entry)
    }

    /// Returns the entry after a change of its mode.
    pub fn with_mode(&self, change: Option<&Mode>) -> Self {
        let Some(change) = change else {
            return self.clone();
        };
        match self {
            Self::Folder(bits) => Self::Folder(apply(change, *bits, true)),
            Self::File { mode, content } => Self::File {
                mode: apply(change, *mode, false),
                content: content.clone(),
            },
            Self::Link(_) => self.clone(),
        }
    }
}

impl Tree {
    /// Whether a folder of it is copied, and not just files by their names: one that is below another, or
    /// one with several entries.
    pub fn copies_folders(&self) -> bool {
        let mut entries: BTreeMap<&str, usize> = BTreeMap::new();
        for (path, entry) in &self.0 {
            let Some((folder, name)) = path[1..].split_once('/') else {
                continue;
            };
            let count = entries.entry(folder).or_default();
            *count += 1;
            if *count > 1 || name.contains('/') || matches!(entry, Entry::Folder(_)) {
                return true;
            }
        }
        false
    }

    /// Adds an entry and the folders above it.
    pub fn insert(&mut self, path: String, entry: Entry) {
        let mut rest = path.as_str();
        while let Some((folder, _)) = rest
            .rsplit_once('/')
            .filter(|(folder, _)| !folder.is_empty())
        {
            // Whoever added it added those above it.
            if self.0.contains_key(folder) {
                break;
            }
            self.0.insert(folder.to_owned(), Entry::Folder(0o755));
            rest = folder;
        }
        self.0.insert(path, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_copied_by_their_names_need_no_folder() {
        let tree = |paths: &[&str]| {
            let mut tree = Tree::default();
            for path in paths {
                tree.insert((*path).to_owned(), Entry::Link("x".to_owned()));
            }
            tree
        };
        assert!(!tree(&["/0/a", "/1/b", "/2"]).copies_folders());
        assert!(tree(&["/0/a", "/0/b"]).copies_folders());
        assert!(tree(&["/0/a/b"]).copies_folders());
    }

    #[test]
    fn folders_above_an_entry_are_added_once() {
        let mut tree = Tree::default();
        tree.insert("/0/a".to_owned(), Entry::Folder(0o700));
        tree.insert("/0/a/b".to_owned(), Entry::Link("c".to_owned()));
        let entries: Vec<_> = tree
            .0
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
            .collect();
        let link = Entry::Link("c".to_owned());
        assert_eq!(
            entries,
            [
                ("/0", &Entry::Folder(0o755)),
                ("/0/a", &Entry::Folder(0o700)),
                ("/0/a/b", &link)
            ]
        );
    }
}
