//! How trees get to the engine: few small files in the graph itself, others served by the session.
//!
//! Both ways give the same files, with the same modes, owners and times.

use super::compiler::Compiler;
use super::tree::{Content, Entry, Tree};
use crate::llb::{
    Action, File, Meta, Output, ServedContent, ServedEntry, ServedOrigin, ServedTree, Source,
};
use crate::name::Digest;
use crate::stack;

/// The most bytes of a tree in the graph: all of a graph goes in one message of at most 16 MiB, also the
/// steps of the images it is based on.
const MOST_BYTES: u64 = 64 << 10;

/// The most files of a tree in the graph: each of them is an operation.
const MOST_FILES: usize = 256;

impl Compiler<'_> {
    /// Adds a tree to the graph. `copies_folders`: its folders are copied into an image with their times.
    /// A folder that is made in the graph has the time at which its last file was made, another one in each
    /// build; in a tree that is served it has the same time always.
    pub(super) fn tree(&mut self, tree: &Tree, copies_folders: bool, name: &str) -> Output {
        let in_graph = if copies_folders {
            None
        } else {
            self.in_graph(tree)
        };
        match in_graph {
            Some(actions) => self.new_tree(actions, name),
            None => self.served(tree, name),
        }
    }

    /// Returns the actions that make a tree; `None` if it is too large for that, and if one of its files
    /// changed since it was hashed, which the session reports, or is brought by laminate.
    fn in_graph(&self, tree: &Tree) -> Option<Vec<Action>> {
        if !self.is_small(tree.0.values()) {
            return None;
        }
        let action = |(path, entry): (&String, &Entry)| {
            Some(match entry {
                Entry::Folder(mode) => make_folder(path, *mode),
                Entry::Link(target) => Action::Symlink {
                    path: path.clone(),
                    target: target.clone(),
                    owner: None,
                },
                Entry::File { mode, content } => Action::MakeFile {
                    path: path.clone(),
                    mode: *mode,
                    owner: None,
                    data: self.bytes(content)?,
                },
            })
        };
        // A folder sorts before what is in it.
        tree.0.iter().map(action).collect()
    }

    /// Adds a tree that the session sends. The engine knows it by its content, so what is made from it
    /// is cached as if it were in the graph.
    fn served(&mut self, tree: &Tree, name: &str) -> Output {
        let mut served = ServedTree::default();
        for (path, entry) in &tree.0 {
            let entry = match entry {
                Entry::Folder(mode) => ServedEntry::Folder(*mode),
                Entry::Link(target) => ServedEntry::Link(target.clone()),
                Entry::File { mode, content } => ServedEntry::File {
                    mode: *mode,
                    content: self.content(content),
                },
            };
            served.insert(path.trim_start_matches('/').to_owned(), entry);
        }
        let digest = served.digest();
        let source = Source::Local {
            name: digest.hex().to_owned(),
            content: digest.to_string(),
        };
        self.served.insert(digest.hex().to_owned(), served);
        let meta = Meta {
            name: format!("sending the {name}"),
            ..Meta::default()
        };
        self.graph.source(source, meta)
    }

    /// Returns whether the files of a step may be in the graph.
    pub(super) fn is_small<'e>(&self, entries: impl Iterator<Item = &'e Entry>) -> bool {
        let (mut count, mut bytes) = (0, 0);
        for entry in entries {
            count += 1;
            bytes += self.size(entry);
        }
        count <= MOST_FILES && bytes <= MOST_BYTES
    }

    fn size(&self, entry: &Entry) -> u64 {
        match entry {
            Entry::File { content, .. } => match content {
                Content::Text(text) => text.len() as u64,
                Content::Brought(brought) => brought.size,
                Content::Stack(path) => self.file(path).size(),
            },
            Entry::Folder(_) | Entry::Link(_) => 0,
        }
    }

    /// Returns the bytes of a file; `None` if they are not those that were hashed.
    pub(super) fn bytes(&self, content: &Content) -> Option<Vec<u8>> {
        match content {
            Content::Text(text) => Some(text.clone().into_bytes()),
            Content::Brought(_) => None,
            Content::Stack(path) => {
                let file = self.file(path);
                let bytes = file.bytes().ok()?;
                (Digest::of(&bytes) == *file.digest()).then_some(bytes)
            }
        }
    }

    fn content(&self, content: &Content) -> ServedContent {
        let in_memory = |bytes: &[u8], digest: Digest| ServedContent {
            size: bytes.len() as u64,
            digest,
            origin: ServedOrigin::Memory(bytes.to_vec()),
        };
        match content {
            Content::Text(text) => in_memory(text.as_bytes(), Digest::of(text.as_bytes())),
            Content::Brought(brought) => ServedContent {
                size: brought.size,
                digest: brought.digest.clone(),
                origin: ServedOrigin::Disk(brought.path.clone()),
            },
            Content::Stack(path) => {
                let file = self.file(path);
                match file.place() {
                    Some((place, stamp)) => ServedContent {
                        size: stamp.size,
                        digest: file.digest().clone(),
                        origin: ServedOrigin::Disk(place.to_owned()),
                    },
                    None => in_memory(
                        &self.bytes(content).unwrap_or_default(),
                        file.digest().clone(),
                    ),
                }
            }
        }
    }

    /// Returns the content of a file of the stack.
    fn file(&self, path: &camino::Utf8Path) -> &stack::Content {
        match self.stack.files().get(path) {
            Some(stack::File::Regular { content, .. }) => content,
            _ => unreachable!("a tree has the files that the stack has"),
        }
    }

    /// Adds a tree that begins empty.
    pub(super) fn new_tree(&mut self, actions: Vec<Action>, name: &str) -> Output {
        let meta = Meta {
            name: name.to_owned(),
            ..Meta::default()
        };
        let base = None;
        self.graph.file(File { base, actions }, meta)
    }
}

/// Returns an action that makes a folder of root's.
pub fn make_folder(path: &str, mode: u32) -> Action {
    Action::MakeFolder {
        path: path.to_owned(),
        mode,
        owner: None,
    }
}
