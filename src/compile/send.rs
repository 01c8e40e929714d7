//! How trees get to the engine: small contents in the graph itself, large ones beside it.

use super::compiler::{Compiler, LARGE_FILE};
use super::tree::{Content, Entry, Tree};
use crate::llb::{Action, File, FileMode, Meta, Output, Source};
use crate::name::Digest;
use crate::stack;

/// Contents larger than this are sent beside the graph, bytes: all of a graph goes in one message.
const LARGE: usize = 64 << 10;

impl Compiler<'_> {
    /// Adds a tree to the graph.
    pub(super) fn tree(&mut self, tree: &Tree, name: &str) -> Output {
        let mut actions = Vec::with_capacity(tree.0.len());
        // A folder sorts before what is in it.
        for (path, entry) in &tree.0 {
            actions.push(match entry {
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
                    data: self.bytes(content),
                },
            });
        }
        let actions = self.externalize_large_files(actions);
        self.new_tree(actions, name)
    }

    fn bytes(&self, content: &Content) -> Vec<u8> {
        match content {
            Content::Text(text) => text.clone().into_bytes(),
            Content::Stack(path) => match self.stack.files().get(path) {
                Some(stack::File::Regular { content, .. }) => bytes(content),
                _ => Vec::new(),
            },
        }
    }

    /// Returns the same actions, with large contents copied from local sources. The engine knows those
    /// by their content, so the result is cached as that of a content in the graph.
    fn externalize_large_files(&mut self, actions: Vec<Action>) -> Vec<Action> {
        let mut list = Vec::with_capacity(actions.len());
        for action in actions {
            match action {
                Action::MakeFile {
                    path,
                    mode,
                    owner,
                    data,
                } if data.len() > LARGE => list.push(Action::Copy {
                    from: self.large_file(&path, data),
                    source: format!("/{LARGE_FILE}"),
                    target: path,
                    owner,
                    mode: FileMode::Octal(mode),
                    contents: false,
                    wildcard: false,
                    follow: false,
                }),
                other => list.push(other),
            }
        }
        list
    }

    fn large_file(&mut self, path: &str, data: Vec<u8>) -> Output {
        let digest = Digest::of(&data);
        let name = digest.hex().to_owned();
        self.large.insert(name.clone(), data.into());
        let source = Source::Local {
            name,
            content: digest.to_string(),
        };
        let meta = Meta {
            name: format!("sending {path}"),
            ..Meta::default()
        };
        self.graph.source(source, meta)
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

/// Returns the bytes of a file.
pub fn bytes(content: &stack::Content) -> Vec<u8> {
    content.bytes().expect("it was readable when it was hashed")
}

/// Returns an action that makes a folder of root's.
pub fn make_folder(path: &str, mode: u32) -> Action {
    Action::MakeFolder {
        path: path.to_owned(),
        mode,
        owner: None,
    }
}
