//! [`Files`]: files to write, by their paths.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::compile::{self, Entry};
use crate::llb::{ServedEntry, ServedOrigin};
use crate::stack;

/// Files, links and folders by their relative paths. Folders above them are not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<String, File>);

/// A file, link or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// A folder with its permission bits.
    Folder(u32),
    /// A symbolic link with its text.
    Link(String),
    /// A regular file.
    Regular {
        /// Permission bits.
        mode: u32,
        /// Its bytes.
        content: Content,
    },
}

/// The bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// In memory.
    Bytes(Vec<u8>),
    /// Those of a file of this machine.
    Disk(PathBuf),
}

impl Files {
    /// Adds a text.
    pub fn text(&mut self, path: &str, text: String) {
        self.0.insert(path.to_owned(), File::text(text));
    }

    /// Adds what is in `other`, below a folder.
    pub fn add_below(&mut self, folder: &str, other: Self) {
        let below = other.0.into_iter();
        self.0
            .extend(below.map(|(path, file)| (format!("{folder}/{path}"), file)));
    }
}

impl File {
    /// Returns a text as a regular file.
    pub fn text(text: String) -> Self {
        Self::Regular {
            mode: 0o644,
            content: Content::Bytes(text.into_bytes()),
        }
    }

    /// Returns an entry of a tree of `compile`; `None` for what laminate brings itself.
    pub fn of_entry(entry: &Entry, files: &stack::Files) -> Option<Self> {
        Some(match entry {
            Entry::Folder(mode) => Self::Folder(*mode),
            Entry::Link(text) => Self::Link(text.clone()),
            Entry::File { mode, content } => Self::Regular {
                mode: *mode,
                content: match content {
                    compile::Content::Text(text) => Content::Bytes(text.clone().into_bytes()),
                    compile::Content::Brought(_) => return None,
                    compile::Content::Stack(path) => match files.get(path)? {
                        stack::File::Regular { content, .. } => Content::of_stack(content)?,
                        _ => return None,
                    },
                },
            },
        })
    }

    /// Returns an entry of a tree that the session would serve.
    pub fn of_served(entry: &ServedEntry) -> Self {
        match entry {
            ServedEntry::Folder(mode) => Self::Folder(*mode),
            ServedEntry::Link(text) => Self::Link(text.clone()),
            ServedEntry::File { mode, content } => Self::Regular {
                mode: *mode,
                content: match &content.origin {
                    ServedOrigin::Memory(bytes) => Content::Bytes(bytes.clone()),
                    ServedOrigin::Disk(path) => Content::Disk(path.clone()),
                },
            },
        }
    }
}

impl Content {
    fn of_stack(content: &stack::Content) -> Option<Self> {
        match content.place() {
            Some((path, _)) => Some(Self::Disk(path.to_owned())),
            None => content.bytes().ok().map(Self::Bytes),
        }
    }
}
