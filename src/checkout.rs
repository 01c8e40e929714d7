//! What git has checked out in the folder of a stack.
//!
//! Main types: [`Checkout`], [`WorkTree`] and [`Committed`]. `git` reads them, `plan` decides by the first,
//! `spec::find` reads the files of the second, and compares them with the third.

mod blob;

pub use blob::{BlobHasher, BlobId, ObjectFormat};

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::name::Commit;

/// The commit that is checked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkout {
    /// Its whole hash.
    pub commit: Commit,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
    /// Files of the stack that differ from it, sorted by path.
    pub changes: Vec<Change>,
}

impl Checkout {
    /// Whether files of the stack differ from the commit.
    pub fn is_dirty(&self) -> bool {
        !self.changes.is_empty()
    }
}

/// A file of the stack that differs from the commit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// Its path, relative to the folder of the spec.
    pub path: String,
    /// How it differs.
    pub kind: ChangeKind,
}

/// How a file differs from the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// The commit has the file with another content or mode.
    Modified,
    /// The index has it, the commit does not.
    Added,
    /// The commit has it, the folder does not.
    Deleted,
    /// The folder has it, the commit does not.
    Untracked,
    /// git ignores it, and it is used all the same: the spec itself.
    Ignored,
    /// A new clone on a machine without settings has it with another content, although git takes the two for equal:
    /// with other line ends, another encoding, or `ident`.
    Converted,
    /// A submodule without its files, which git takes for unchanged.
    NotCheckedOut,
    /// A repository in the index that no entry in `.gitmodules` names: a clone has none of its files.
    NoSubmodule,
    /// It is not what git would write: a filter (`filter` in `.gitattributes`) hides the difference.
    Filtered,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            ChangeKind::Modified => "modified",
            ChangeKind::Added => "added",
            ChangeKind::Deleted => "deleted",
            ChangeKind::Untracked => "untracked",
            ChangeKind::Ignored => "ignored by git",
            ChangeKind::Converted => {
                "a new clone has other line ends or another encoding: remove settings of this machine (`core.autocrlf`, `core.eol`, `.git/info/attributes`), remove the file, and check it out again"
            }
            ChangeKind::NotCheckedOut => {
                "a submodule that is not checked out: run `git submodule update --init`"
            }
            ChangeKind::NoSubmodule => {
                "a repository that `.gitmodules` of the commit does not name: add it with `git submodule add`"
            }
            ChangeKind::Filtered => {
                "a git filter hides its changes: remove it, and check it out again"
            }
        };
        write!(f, "{} ({kind})", self.path)
    }
}

/// The files of a folder as git sees them. Paths are relative to the folder of the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkTree {
    /// Files and links that git tracks, or would track.
    pub files: HashSet<PathBuf>,
    /// Files and folders that git ignores.
    pub ignored: BTreeSet<PathBuf>,
    /// Whether files are executable of which the mode on the disk does not count (`core.fileMode`).
    pub modes: HashMap<PathBuf, bool>,
    /// How the repository hashes files.
    pub objects: ObjectFormat,
}

/// Files that were found and read, to compare them with the commit. Paths are relative to the folder of the spec.
#[derive(Clone, Copy, Debug)]
pub struct ReadFiles<'a> {
    /// All files and links that git tracks or would track.
    pub all: &'a HashSet<PathBuf>,
    /// How git names the contents that were read. Large ones were not.
    pub blobs: &'a HashMap<PathBuf, BlobId>,
}

/// Files of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its whole hash.
    pub commit: Commit,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
    /// By their paths relative to the folder of the spec.
    pub files: HashMap<String, CommittedFile>,
}

/// A file of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedFile {
    /// A link has its text as its content.
    pub kind: CommittedKind,
    /// Its content.
    pub blob: BlobId,
}

/// What a file of a commit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommittedKind {
    /// A regular file.
    Regular {
        /// Its owner can execute it.
        executable: bool,
    },
    /// A symbolic link.
    Link,
}

/// The files that git tracks, and no others. Paths are relative to the folder of the spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tracked {
    /// Files and links.
    pub files: HashSet<PathBuf>,
    /// As [`WorkTree::modes`].
    pub modes: HashMap<PathBuf, bool>,
    /// As [`WorkTree::objects`].
    pub objects: ObjectFormat,
}

impl From<Tracked> for WorkTree {
    fn from(tracked: Tracked) -> Self {
        let Tracked {
            files,
            modes,
            objects,
        } = tracked;
        Self {
            files,
            modes,
            objects,
            ..Self::default()
        }
    }
}

impl Tracked {
    /// Adds what is tracked in a repository, whose paths are relative to `folder`.
    pub fn add_below(&mut self, folder: &Path, inner: Self) {
        let files = inner.files.into_iter().map(|path| folder.join(path));
        self.files.extend(files);
        let modes = inner.modes.into_iter();
        let modes = modes.map(|(path, is_executable)| (folder.join(path), is_executable));
        self.modes.extend(modes);
    }
}

/// Folders and files that tools leave behind. They belong to no image unless git tracks them.
const LEFT_BEHIND: [&str; 17] = [
    ".DS_Store",
    ".bzr",
    ".coverage",
    ".hg",
    ".hypothesis",
    ".idea",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".nox",
    ".pytest_cache",
    ".ruff_cache",
    ".svn",
    ".tox",
    ".vscode",
    "Thumbs.db",
    "__pycache__",
    "desktop.ini",
];

/// Endings of files that tools leave behind.
const ENDINGS_LEFT_BEHIND: [&str; 5] = [".pyc", ".pyo", ".swo", ".swp", "~"];

/// Whether a path has a part that tools leave behind, as `.pytest_cache` and `x.pyc`.
pub fn is_left_behind(path: &Path) -> bool {
    path.components().any(|part| {
        let name = part.as_os_str().to_string_lossy();
        // What Emacs has beside a file that is edited: its lock, and its text.
        let is_of_emacs = name.starts_with(".#") || name.starts_with('#') && name.ends_with('#');
        let has_ending = ENDINGS_LEFT_BEHIND.iter().any(|end| name.ends_with(end));
        LEFT_BEHIND.contains(&&*name) || is_of_emacs || has_ending
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::list;

    #[test]
    fn caches_and_settings_of_tools_are_left_behind() {
        for path in [
            "images/.pytest_cache/README.md",
            "images/a/.vscode/settings.json",
            "images/a/x.pyc",
            "images/a/notes.txt~",
            "images/a/.#packages.txt",
            "images/a/#packages.txt#",
        ] {
            assert!(is_left_behind(Path::new(path)), "{path}");
        }
        for path in [
            "images/a/.bashrc",
            "images/a/.config/x",
            "images/a/~x",
            "images/a/#x",
        ] {
            assert!(!is_left_behind(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_change_is_shown_with_its_kind() {
        let change = Change {
            path: "images/a/x".to_owned(),
            kind: ChangeKind::Untracked,
        };
        assert_eq!(change.to_string(), "images/a/x (untracked)");
        let changes = [change.clone(), change];
        let one = "images/a/x (untracked)";
        assert_eq!(list::first(&changes, 2), format!("{one}, {one}"));
        assert_eq!(list::first(&changes, 1), format!("{one} and 1 more"));
    }
}
