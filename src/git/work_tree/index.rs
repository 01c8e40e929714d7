//! git's index: the files that it tracks.
//!
//! Main type: [`Index`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::attributes::{self, is_below};
use super::converted::Conversions;
use super::{entries, input_of, list_entries, path_of, read_path, temporary_folder};
use crate::checkout::{ObjectFormat, Tracked};
use crate::git::{Error, Git};

/// What the index has of a folder.
#[derive(Default)]
pub struct Index {
    /// Files and links, in the order of git.
    pub files: Vec<Entry>,
    /// The files with git's attributes that rule these, also those of the folders above.
    pub attributes: Vec<Entry>,
    /// Those that can be executed.
    executable: BTreeSet<PathBuf>,
    /// Submodules.
    pub repositories: BTreeSet<PathBuf>,
    /// Files that git does not compare: `assume-unchanged`, `skip-worktree`.
    pub unwatched: BTreeSet<PathBuf>,
}

/// A file in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the folder that was asked for.
    pub path: PathBuf,
    /// The hash of its blob.
    pub blob: String,
}

impl Index {
    /// Returns how the repository hashes files.
    pub fn format(&self) -> ObjectFormat {
        let first = self.files.first();
        first.map_or_else(ObjectFormat::default, |file| {
            ObjectFormat::of_hash(&file.blob)
        })
    }

    /// Returns its files, with their modes if those on the disk do not count.
    pub fn tracked(&self, conversions: &Conversions) -> Tracked {
        let paths = || self.files.iter().map(|file| &file.path);
        let mode = |path: &PathBuf| (path.clone(), self.executable.contains(path));
        let with_modes = paths().filter(|_| !conversions.has_modes);
        Tracked {
            files: paths().cloned().collect(),
            modes: with_modes.map(mode).collect(),
            objects: self.format(),
        }
    }
}

/// Reads the index of `paths`. `above`: files with attributes that rule them, and are not among them.
pub async fn read_index(git: &Git, paths: &[PathBuf], above: &[PathBuf]) -> Result<Index, Error> {
    let mut index = Index::default();
    let listed = [paths, above].concat();
    let output = list_entries(git, &["-v", "--stage"], &listed).await?;
    for entry in entries(&output) {
        let Some((tag, mode, Entry { path, blob })) = parse_index_entry(entry) else {
            return Err(Error::Output {
                task: "list the files that git tracks".to_owned(),
                output: String::from_utf8_lossy(entry).into_owned(),
            });
        };
        if tag == b'S' || tag.is_ascii_lowercase() {
            index.unwatched.insert(path.clone());
        }
        // git reads no attributes from a link.
        if path.ends_with(attributes::NAME) && mode != b"120000" {
            let (path, blob) = (path.clone(), blob.clone());
            let is_file = is_below(&path, paths);
            index.attributes.push(Entry { path, blob });
            if !is_file {
                continue;
            }
        }
        match mode {
            b"160000" => {
                index.repositories.insert(path);
                continue;
            }
            b"100755" => {
                index.executable.insert(path.clone());
            }
            _ => {}
        }
        index.files.push(Entry { path, blob });
    }
    Ok(index)
}

/// Parses `H 100644 <hash> 0\t<path>` (git-ls-files(1), "OUTPUT").
fn parse_index_entry(entry: &[u8]) -> Option<(u8, &[u8], Entry)> {
    let tab = entry.iter().position(|byte| *byte == b'\t')?;
    let mut words = entry[..tab].split(|byte| *byte == b' ');
    let tag = *words.next()?.first()?;
    let mode = words.next()?;
    let blob = String::from_utf8_lossy(words.next()?).into_owned();
    let path = path_of(&entry[tab + 1..]);
    Some((tag, mode, Entry { path, blob }))
}

/// Returns a copy of the index in which the files are compared like all others.
pub async fn watchful_index(
    git: &Git,
    folder: &Path,
    files: &BTreeSet<PathBuf>,
) -> Result<(tempfile::TempDir, PathBuf), Error> {
    let task = "compare files that git does not watch";
    let path = read_path(git, task, &["--git-path", "index"]).await?;
    let path = folder.join(path);
    let (folder, copy) = copy_of(&path).map_err(|source| Error::File { task, source })?;
    let git = git.clone().variable("GIT_INDEX_FILE", &copy);
    let input = input_of(files);
    // git takes one of the two at a time.
    for option in ["--no-assume-unchanged", "--no-skip-worktree"] {
        let arguments = ["update-index", option, "-z", "--stdin"];
        git.read_bytes(task, &arguments, &input).await?;
    }
    Ok((folder, copy))
}

/// Copies an index with its time: files that changed at that time are compared by their content
/// (git's documentation, "racy-git").
///
/// The copy is in a folder of its own, since a git that is ended leaves its lock there.
fn copy_of(index: &Path) -> std::io::Result<(tempfile::TempDir, PathBuf)> {
    let folder = temporary_folder()?;
    let copy = folder.path().join("index");
    // Without its mode: an index that cannot be written can be copied.
    fs_err::write(&copy, fs_err::read(index)?)?;
    let modified = fs_err::metadata(index)?.modified()?;
    fs_err::OpenOptions::new()
        .write(true)
        .open(&copy)?
        .set_modified(modified)?;
    Ok((folder, copy))
}
