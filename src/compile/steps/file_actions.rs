//! Steps that only place files, as operations on files: no program of the image runs.
//!
//! Files lie in a tree of their own, and `copy` brings them to their targets, as `COPY` of a Dockerfile
//! does (solver/llbsolver/file/backend.go and fsutil's copy/copy.go of BuildKit 0.32.2): an existing file
//! gets the new owner and mode, a link at the target is followed, links below it are replaced, folders
//! are merged.

mod writable;

use std::collections::BTreeMap;

use camino::Utf8Path;

use super::paths::parent;
use super::placement::{Placement, What};
use crate::compile::owner::owner;
use crate::compile::tree::{Content, Entry, Tree};
use crate::compile::writable::for_group;

use crate::llb::{Action, FileMode, Output, Owner};
use crate::stack::{ImageSource, Mode, Writable, is_private};
use writable::{group_bits, in_group, special_bits, with_bits};

/// The start of the names of empty files in a tree; their mode follows.
const EMPTY: &str = "/empty";

/// The mode of a file whose data and mode come with a later action.
const LATER: u32 = 0o600;

/// A function that returns the data of a file, or `None` if the graph cannot have it.
type InGraph<'a> = &'a dyn Fn(&Content) -> Option<Vec<u8>>;

/// Files of a step that are copied from a tree, and the actions that copy them.
#[derive(Debug, Default)]
pub struct FileActions<'a> {
    /// The image's writable paths.
    pub writable: Option<&'a Writable>,
    /// What is copied; the actions have it as their source [`From::Tree`].
    pub tree: Tree,
    /// In order.
    pub actions: Vec<Placing>,
    /// Distinguishes the parts of the tree.
    parts: usize,
}

/// One action on files, whose source is not yet in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placing {
    /// Needs no source.
    Plain(Action),
    /// A copy.
    Copy {
        /// The file system to copy from.
        from: From,
        /// The path there.
        source: String,
        /// The path in the image.
        target: String,
        /// The owner of the copies.
        owner: Option<Owner>,
        /// The mode of the copies.
        mode: FileMode,
        /// Copies what is in the folder `source`, not the folder.
        contents: bool,
    },
}

/// The source of a [`Placing::Copy`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum From {
    /// [`FileActions::tree`].
    Tree,
    /// Another image.
    Image(ImageSource),
}

/// Returns whether all placements can be operations on files. Below a writable path, what another image
/// has can only be given to the group by a command, as its files are not known here.
pub fn can_be_actions(list: &[Placement], writable: Option<&Writable>) -> bool {
    !list.iter().any(|placement| {
        matches!(placement.what, What::Image { .. })
            && writable.is_some_and(|writable| {
                writable.root_of(&placement.target).is_some()
                    || writable.roots_below(&placement.target).next().is_some()
            })
    })
}

impl<'a> FileActions<'a> {
    /// Returns the actions of placements for which [`can_be_actions`] holds. An action has the data that `in_graph`
    /// returns: the engine then makes no tree of the file, and copies nothing from it.
    pub fn new(list: &[Placement], writable: Option<&'a Writable>, in_graph: InGraph<'_>) -> Self {
        let mut made = Self {
            writable,
            ..Self::default()
        };
        for placement in list {
            made.place(placement, in_graph);
        }
        made
    }

    fn place(&mut self, placement: &Placement, in_graph: InGraph<'_>) {
        let target = placement.target.as_str();
        let owner = placement.owner.as_deref().map(owner);
        match &placement.what {
            What::File(entry) => self.file(placement, entry, owner, in_graph),
            What::Contents(entries) => self.contents(placement, entries, owner),
            What::Link { text, replace } => self.link(target, text, *replace, owner),
            What::Image { source, path } => {
                self.make_parents(target, owner.clone());
                self.actions.push(Placing::Copy {
                    from: From::Image(source.clone()),
                    source: path.clone(),
                    target: or_root(target),
                    owner,
                    mode: file_mode(placement.mode.as_ref()),
                    contents: true,
                });
            }
        }
    }

    fn file(
        &mut self,
        placement: &Placement,
        entry: &Entry,
        mut owner: Option<Owner>,
        in_graph: InGraph<'_>,
    ) {
        let target = placement.target.as_str();
        let mut entry = entry.clone();
        let mode = placement.mode.as_ref();
        let mut own_mode = file_mode(mode);
        if let Some(writable) = self.below_writable(target)
            && let Some(bits) = group_bits(target, &entry, mode)
        {
            owner = Some(in_group(owner, writable));
            entry = with_bits(&entry, bits);
            own_mode = special_bits(bits);
        }
        let folders = placement.owner.as_deref().map(self::owner);
        self.make_parents(target, folders.clone());
        if let Entry::File { mode, content } = &entry
            && let Some(bits) = plain_bits(*mode, &own_mode)
            && let Some(data) = in_graph(content)
        {
            self.empty(target, folders, bits);
            self.make_file(target, owner, bits, data);
            return;
        }
        self.empty(target, folders, LATER);
        self.make_file(target, None, LATER, Vec::new());
        let source = format!("{}/{}", self.next_part(), name_of(target));
        self.tree.insert(source.clone(), entry);
        self.copy(source, target, owner, own_mode, false);
    }

    /// Copies an empty file to the target of a file, with its mode. It replaces a FIFO, which would hang, a device, and a
    /// file with another owner and mode, and makes the folder that a link leads to. It depends on the mode alone, so the
    /// tree of a step without other files is equal to those of other steps and images.
    fn empty(&mut self, target: &str, folders: Option<Owner>, mode: u32) {
        let source = format!("{EMPTY}-{mode:o}");
        let content = Content::Text(String::new());
        self.tree
            .insert(source.clone(), Entry::File { mode, content });
        self.copy(source, target, folders, FileMode::Keep, false);
    }

    /// Writes the data of a file, which keeps its mode. It fails where the target is a folder, into which a copy
    /// would go.
    fn make_file(&mut self, target: &str, owner: Option<Owner>, mode: u32, data: Vec<u8>) {
        self.actions.push(Placing::Plain(Action::MakeFile {
            path: target.to_owned(),
            mode,
            owner,
            data,
        }));
    }

    fn link(&mut self, target: &str, text: &str, replace: bool, mut owner: Option<Owner>) {
        self.make_parents(target, owner.clone());
        if let Some(writable) = self.below_writable(target) {
            owner = Some(in_group(owner, writable));
        }
        if replace {
            self.actions.push(Placing::Plain(Action::Remove {
                path: target.to_owned(),
                allow_missing: true,
            }));
        }
        let part = self.next_part();
        let entry = Entry::Link(text.to_owned());
        self.tree
            .insert(format!("{part}/{}", name_of(target)), entry);
        self.copy(part, parent(target), owner, FileMode::Keep, true);
    }

    /// Places what is in a folder. What is at or below a writable path is copied by itself.
    fn contents(
        &mut self,
        placement: &Placement,
        entries: &BTreeMap<String, Entry>,
        owner: Option<Owner>,
    ) {
        let target = placement.target.as_str();
        let mode = placement.mode.as_ref();
        if let Some(writable) = self.below_writable(target) {
            self.group_contents(target, entries, mode, owner, writable);
            return;
        }
        let mut rest = entries.clone();
        let roots: Vec<String> = match self.writable {
            Some(writable) => writable.roots_below(target).cloned().collect(),
            None => Vec::new(),
        };
        let roots = roots.into_iter();
        let roots = roots.filter(|root| self.below_writable(root).is_some());
        let mut below = Vec::new();
        for root in roots.collect::<Vec<_>>() {
            let path = root[target.len()..].trim_start_matches('/').to_owned();
            if !matches!(rest.get(&path), Some(Entry::Folder(_))) {
                continue;
            }
            let prefix = format!("{path}/");
            let mut part = BTreeMap::new();
            rest.retain(|key, entry| match key.strip_prefix(&prefix) {
                Some(inner) => part.insert(inner.to_owned(), entry.clone()).is_some(),
                None => *key != path,
            });
            below.push((root, part));
        }
        self.make_folder(target, mode, owner.clone());
        if !rest.is_empty() {
            let part = self.next_part();
            self.insert_all(&part, rest);
            self.copy(part, target, owner.clone(), file_mode(mode), true);
        }
        for (root, part) in below {
            let writable = self.below_writable(&root).expect("it is a writable path");
            self.group_contents(&root, &part, mode, owner.clone(), writable);
        }
    }

    fn copy(
        &mut self,
        source: String,
        target: &str,
        owner: Option<Owner>,
        mode: FileMode,
        contents: bool,
    ) {
        self.actions.push(Placing::Copy {
            from: From::Tree,
            source,
            target: or_root(target),
            owner,
            mode,
            contents,
        });
    }

    /// Makes a folder that contents are copied into; an existing one stays as it is.
    fn make_folder(&mut self, path: &str, mode: Option<&Mode>, owner: Option<Owner>) {
        if !path.is_empty() {
            self.make_parents(path, owner.clone());
            self.plain_folder(path, mode_of_new(mode), owner);
        }
    }

    /// Makes the folders above a path; new ones get the owner, and the group below writable paths.
    fn make_parents(&mut self, path: &str, owner: Option<Owner>) {
        let folder = parent(path);
        let mut above = Utf8Path::new(folder).ancestors();
        // A private folder below a writable path is not the group's, but those above it are.
        let open =
            above.find_map(|path| Some((path.as_str(), self.below_writable(path.as_str())?)));
        if let Some((open, writable)) = open {
            self.make_group_folder(open, for_group(0o755, true), owner.clone(), writable);
        }
        if folder != "/" && open.is_none_or(|(open, _)| open != folder) {
            self.plain_folder(folder, 0o755, owner);
        }
    }

    fn plain_folder(&mut self, path: &str, mode: u32, owner: Option<Owner>) {
        let action = Action::MakeFolder {
            path: path.to_owned(),
            mode,
            owner,
        };
        // One after the other for siblings; it changes nothing the second time.
        if self.actions.last() != Some(&Placing::Plain(action.clone())) {
            self.actions.push(Placing::Plain(action));
        }
    }

    /// Returns the writable paths if this path is at or below one, and is not private.
    fn below_writable(&self, path: &str) -> Option<&'a Writable> {
        self.writable
            .filter(|writable| writable.root_of(path).is_some() && !is_private(path, 0, true))
    }

    fn next_part(&mut self) -> String {
        let part = format!("/{}", self.parts);
        self.parts += 1;
        part
    }

    fn insert_all(&mut self, part: &str, entries: BTreeMap<String, Entry>) {
        for (path, entry) in entries {
            self.tree.insert(format!("{part}/{path}"), entry);
        }
    }
}

/// Returns whether a mode may set setuid, setgid or sticky, which files of a tree cannot have: the
/// engine's `mkfile` and `mkdir` know no more than 0777 (backend.go).
pub fn is_special(mode: Option<&Mode>) -> bool {
    match mode {
        Some(Mode::Octal(bits)) => bits & 0o7000 != 0,
        Some(Mode::Symbolic(text)) => text.contains(['s', 't']),
        None => false,
    }
}

/// Returns the mode of a new folder that contents are copied into. It is that of the engine: a symbolic mode is for what is
/// copied alone, and `mkdir` knows no setuid, setgid and sticky.
pub fn mode_of_new(mode: Option<&Mode>) -> u32 {
    match mode {
        Some(Mode::Octal(bits)) => bits & 0o777,
        Some(Mode::Symbolic(_)) | None => 0o755,
    }
}

/// Returns the mode of a file that is made from one with `bits`; `None` if the engine computes it, or if it has setuid,
/// setgid or sticky, which the engine's `mkfile` cannot set.
fn plain_bits(bits: u32, mode: &FileMode) -> Option<u32> {
    let bits = match mode {
        FileMode::Keep => bits,
        FileMode::Octal(bits) => *bits,
        FileMode::Symbolic(_) => return None,
    };
    (bits & 0o7000 == 0).then_some(bits)
}

fn file_mode(mode: Option<&Mode>) -> FileMode {
    match mode {
        None => FileMode::Keep,
        Some(Mode::Octal(bits)) => FileMode::Octal(*bits),
        Some(Mode::Symbolic(text)) => FileMode::Symbolic(text.clone()),
    }
}

fn or_root(path: &str) -> String {
    if path.is_empty() { "/" } else { path }.to_owned()
}

fn name_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

impl Placing {
    /// Returns the action, with its source in the graph.
    pub fn with_source(
        self,
        tree: Option<Output>,
        image: &mut dyn FnMut(&ImageSource) -> Output,
    ) -> Action {
        match self {
            Self::Plain(action) => action,
            Self::Copy {
                from,
                source,
                target,
                owner,
                mode,
                contents,
            } => Action::Copy {
                follow: matches!(from, From::Image(_)),
                from: match from {
                    From::Tree => tree.expect("a copy from the tree put its source there"),
                    From::Image(source) => image(&source),
                },
                source,
                target,
                owner,
                mode,
                contents,
                wildcard: false,
            },
        }
    }
}
