//! The files of a folder: those git tracks or would track, and those that differ from the commit.
//!
//! Git's output is read byte for byte (`-z`): names need not be UTF-8 and can contain line ends.

mod attributes;
mod converted;
mod neutral;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use camino::Utf8Path;

use attributes::{attributes_above, is_below};
use converted::{Conversions, Sizes};

use super::{Error, Git};
use crate::checkout::{Change, ChangeKind, Checkout, Tracked, WorkTree, is_left_behind};
use crate::name::Commit;

/// Files that differ from the commit, by path.
type Changes = BTreeMap<PathBuf, ChangeKind>;

/// Returns the commit that is checked out in `folder`; `None` outside of a repository, and in one
/// without commits. The second value is the time of the commit, in seconds since 1970.
pub async fn read_head(folder: &Utf8Path) -> Result<Option<(Commit, i64)>, Error> {
    let task = "read the commit that is checked out";
    let git = Git::plain(folder);
    let head = match git.read(task, &["log", "-1", "--format=%H %ct"]).await {
        Ok(head) => head,
        Err(Error::NotARepository { .. } | Error::NoCommits { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    match parse_head(&head) {
        Some(head) => Ok(Some(head)),
        None => Err(Error::Output {
            task: task.to_owned(),
            output: head,
        }),
    }
}

/// How often files are compared if the commit that is checked out changes meanwhile.
const COMPARISONS: usize = 3;

/// Returns the commit that is checked out in `folder`, and which of `files` differ from it: paths of
/// files and folders relative to `folder`. The files that git tracks of them are what it compared. `None` as for
/// [`read_head`].
pub async fn read_checkout<T: AsRef<str>>(
    folder: &Utf8Path,
    files: &[T],
) -> Result<Option<(Checkout, Tracked)>, Error> {
    let files: Vec<PathBuf> = files.iter().map(|f| PathBuf::from(f.as_ref())).collect();
    let git = Git::plain(folder);
    let ignored = ["--others", "--ignored", "--exclude-standard"];
    // git would list all that is in a folder, unless that is a repository.
    let is_listed = |path: &&PathBuf| {
        let path = folder.as_std_path().join(path);
        path.is_symlink() || !path.is_dir() || path.join(".git").exists()
    };
    let named: Vec<PathBuf> = files.iter().filter(is_listed).cloned().collect();
    for _ in 0..COMPARISONS {
        // All at once: each git takes some milliseconds to start.
        let (head, compared) = tokio::join!(read_head(folder), async {
            tokio::try_join!(
                changes(folder.as_std_path(), &files),
                list(&git, &ignored, &named),
            )
        });
        let Some((commit, time)) = head? else {
            return Ok(None);
        };
        let ((mut found, tracked), ignored) = compared?;
        // The files may have been compared with a commit that was made since then.
        if read_head(folder).await? != Some((commit.clone(), time)) {
            continue;
        }
        // Ignored files below `images/` are not used, but a file that is named is.
        for path in ignored.into_iter().filter(|path| files.contains(path)) {
            found.insert(path, ChangeKind::Ignored);
        }
        let changes = found.into_iter().map(|(path, kind)| Change {
            path: path.to_string_lossy().into_owned(),
            kind,
        });
        let checkout = Checkout {
            commit,
            time,
            changes: changes.collect(),
        };
        return Ok(Some((checkout, tracked)));
    }
    Err(Error::Moving)
}

/// Returns the files that git tracks or would track in the folder `images`, which is relative to
/// `folder`. `None` outside of a repository, and if git ignores `spec`: the stack is not part of the
/// repository then.
pub async fn read_work_tree(
    folder: &Utf8Path,
    spec: &str,
    images: &Utf8Path,
) -> Result<Option<WorkTree>, Error> {
    let git = Git::plain(folder);
    let spec = PathBuf::from(spec);
    let ignored = ["--others", "--ignored", "--exclude-standard"];
    let images = [PathBuf::from(images.as_std_path())];
    let (ignored, tree) = tokio::join!(
        list(&git, &ignored, std::slice::from_ref(&spec)),
        work_tree(folder.as_std_path(), &images),
    );
    match ignored {
        Ok(ignored) if ignored.contains(&spec) => Ok(None),
        Ok(_) => Ok(Some(tree?)),
        Err(Error::NotARepository { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the files of one repository and of those in it.
async fn work_tree(folder: &Path, paths: &[PathBuf]) -> Result<WorkTree, Error> {
    let git = Git::plain(folder);
    let (index, (others, ignored), conversions) = tokio::try_join!(
        read_index(&git, paths, &[]),
        others_and_ignored(&git, paths),
        Conversions::read(&git),
    )?;
    let mut found = index.tracked(&conversions);
    let mut ignored = without_folders_of_files(ignored);
    let mut repositories = index.repositories;
    for path in others {
        if is_left_behind(&path) {
            ignored.insert(path);
        // A repository that is not a submodule is listed by its folder.
        } else if path.as_os_str().as_bytes().ends_with(b"/") {
            repositories.insert(path);
        } else {
            if !conversions.has_modes {
                // As `git add` has it.
                found.modes.insert(path.clone(), false);
            }
            found.files.insert(path);
        }
    }
    for repository in repositories {
        // Without it git would list the files of the repository around.
        if !folder.join(&repository).join(".git").exists() {
            continue;
        }
        let inner = Box::pin(work_tree(&folder.join(&repository), &[])).await?;
        let WorkTree {
            files,
            modes,
            ignored: inside,
        } = inner;
        found.add_below(&repository, Tracked { files, modes });
        ignored.extend(inside.into_iter().map(|path| repository.join(path)));
    }
    let Tracked { files, modes } = found;
    Ok(WorkTree {
        files,
        ignored,
        modes,
    })
}

/// Returns the files and repositories that git does not track and would, and what it ignores.
async fn others_and_ignored(
    git: &Git,
    paths: &[PathBuf],
) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
    // A fresh clone has neither. To ask for both at once is one walk in place of two, which looks for no `.gitignore`.
    let all = list(git, &["--others", "--directory"], paths).await?;
    if all.is_empty() {
        return Ok(Default::default());
    }
    let ignored = ["--others", "--ignored", "--exclude-standard", "--directory"];
    tokio::try_join!(
        list(git, &["--others", "--exclude-standard"], paths),
        list(git, &ignored, paths),
    )
}

/// Returns the paths without folders that have others of them: git lists such a folder because all its
/// files are ignored, and not because a rule ignores it.
fn without_folders_of_files(paths: Vec<PathBuf>) -> BTreeSet<PathBuf> {
    let all: BTreeSet<PathBuf> = paths.into_iter().collect();
    // Sorted by their parts: what is in a folder follows it.
    let next = all.iter().skip(1).map(Some).chain([None]);
    let pairs = all.iter().zip(next);
    let kept = pairs.filter(|(path, next)| !next.is_some_and(|next| next.starts_with(path)));
    kept.map(|(path, _)| path.clone()).collect()
}

/// Returns which of the files differ from the commit, also where git is set not to look, and those that git tracks.
async fn changes(folder: &Path, paths: &[PathBuf]) -> Result<(Changes, Tracked), Error> {
    let git = Git::plain(folder);
    let above = attributes_above(folder, paths);
    let compared = [paths, &above].concat();
    let ((index, sizes), found, conversions) = tokio::try_join!(
        async {
            let index = read_index(&git, paths, &above).await?;
            let sizes = Sizes::read(&git, folder, &index).await?;
            Ok((index, sizes))
        },
        status(&git, &compared),
        Conversions::read(&git),
    )?;
    let mut found = if index.unwatched.is_empty() {
        found
    } else {
        let (_folder, copy) = watchful_index(&git, folder, &index.unwatched).await?;
        let git = git.clone().variable("GIT_INDEX_FILE", copy);
        status(&git, &compared).await?
    };
    let converted = conversions.changes(&git, folder, (&index, &sizes), &found);
    found.extend(converted.await?);
    let mut tracked = index.tracked(&conversions);
    for submodule in index.repositories {
        if folder.join(&submodule).join(".git").exists() {
            let inner = Box::pin(changes(&folder.join(&submodule), &[])).await?;
            let (inner, inside) = inner;
            tracked.add_below(&submodule, inside);
            if !inner.is_empty() {
                found.remove(&submodule);
            }
            let inner = inner.into_iter();
            found.extend(inner.map(|(path, kind)| (submodule.join(path), kind)));
        } else {
            found.entry(submodule).or_insert(ChangeKind::NotCheckedOut);
        }
    }
    Ok((found, tracked))
}

/// Returns a copy of the index in which the files are compared like all others.
async fn watchful_index(
    git: &Git,
    folder: &Path,
    files: &BTreeSet<PathBuf>,
) -> Result<(tempfile::TempDir, PathBuf), Error> {
    let task = "compare files that git does not watch";
    let path = git
        .read(task, &["rev-parse", "--git-path", "index"])
        .await?;
    let path = folder.join(path.trim_end_matches('\n'));
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

/// Makes a folder for files of a git.
fn temporary_folder() -> std::io::Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix("laminate-").tempdir();
    made.map_err(|error| {
        let reason = format!("no temporary folder, set `TMPDIR`: {error}");
        std::io::Error::new(error.kind(), reason)
    })
}

/// What the index has of a folder.
#[derive(Default)]
struct Index {
    /// Files and links, in the order of git.
    files: Vec<Entry>,
    /// The files with git's attributes that rule these, also those of the folders above.
    attributes: Vec<Entry>,
    /// Those that can be executed.
    executable: BTreeSet<PathBuf>,
    /// Submodules.
    repositories: BTreeSet<PathBuf>,
    /// Files that git does not compare: `assume-unchanged`, `skip-worktree`.
    unwatched: BTreeSet<PathBuf>,
}

/// A file in the index.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// Relative to the folder that was asked for.
    path: PathBuf,
    /// The hash of its blob.
    blob: String,
}

impl Index {
    /// Returns its files, with their modes if those on the disk do not count.
    fn tracked(&self, conversions: &Conversions) -> Tracked {
        let paths = || self.files.iter().map(|file| &file.path);
        let mode = |path: &PathBuf| (path.clone(), self.executable.contains(path));
        let with_modes = paths().filter(|_| !conversions.has_modes);
        Tracked {
            files: paths().cloned().collect(),
            modes: with_modes.map(mode).collect(),
        }
    }
}

/// Reads the index of `paths`. `above`: files with attributes that rule them, and are not among them.
async fn read_index(git: &Git, paths: &[PathBuf], above: &[PathBuf]) -> Result<Index, Error> {
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

async fn status(git: &Git, paths: &[PathBuf]) -> Result<Changes, Error> {
    let task = "compare files with the commit";
    let options = [
        "status",
        "--porcelain=v1",
        "-z",
        "--untracked-files=all",
        "--ignore-submodules=none",
        "--no-renames",
        "--",
    ];
    let arguments = with_paths(&options, paths);
    let output = git.read_bytes(task, &arguments, &[]).await?;
    if output.is_empty() {
        return Ok(Changes::new());
    }
    let prefix = ["rev-parse", "--show-prefix"];
    let prefix = git.read_bytes(task, &prefix, &[]).await?;
    let prefix = prefix.strip_suffix(b"\n").unwrap_or(&prefix);
    let mut changes = Changes::new();
    for entry in entries(&output) {
        // Two letters and a space: in the index, on the disk (git-status(1), "Short Format"). Paths
        // are relative to the repository.
        let (Some(letters), Some(path)) = (entry.get(..2), entry.get(3..)) else {
            continue;
        };
        let path = match path.strip_prefix(prefix) {
            Some(path) => path_of(path),
            None => relative_to(&path_of(prefix), &path_of(path)),
        };
        let kind = if letters == b"??" {
            ChangeKind::Untracked
        } else if letters[1] == b'D' || letters == b"D " {
            ChangeKind::Deleted
        } else if letters[0] == b'A' {
            ChangeKind::Added
        } else {
            ChangeKind::Modified
        };
        if kind != ChangeKind::Untracked || !is_left_behind(&path) {
            changes.insert(path, kind);
        }
    }
    Ok(changes)
}

/// Returns a path of the repository relative to a folder of it.
fn relative_to(folder: &Path, path: &Path) -> PathBuf {
    let pairs = folder.components().zip(path.components());
    let same = pairs.take_while(|(folder, path)| folder == path).count();
    let up = folder.components().skip(same).map(|_| Component::ParentDir);
    up.chain(path.components().skip(same)).collect()
}

/// Returns the paths that `git ls-files` lists.
async fn list(git: &Git, options: &[&str], paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let output = list_entries(git, options, paths).await?;
    Ok(entries(&output).map(path_of).collect())
}

/// Returns the [`entries`] that `git ls-files` lists.
async fn list_entries(git: &Git, options: &[&str], paths: &[PathBuf]) -> Result<Vec<u8>, Error> {
    let mut arguments = vec!["ls-files", "-z"];
    arguments.extend(options);
    arguments.push("--");
    let arguments = with_paths(&arguments, paths);
    git.read_bytes("list the files of the stack", &arguments, &[])
        .await
}

fn with_paths<'a>(arguments: &[&'a str], paths: &'a [PathBuf]) -> Vec<&'a OsStr> {
    let arguments = arguments.iter().copied().map(OsStr::new);
    arguments
        .chain(paths.iter().map(|path| path.as_os_str()))
        .collect()
}

/// Splits an output of `-z`.
fn entries(output: &[u8]) -> impl Iterator<Item = &[u8]> {
    let entries = output.split(|byte| *byte == 0);
    entries.filter(|entry| !entry.is_empty())
}

/// Returns paths as git reads them with `-z`.
fn input_of(paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Vec<u8> {
    let mut input = Vec::new();
    for path in paths {
        input.extend_from_slice(path.as_ref().as_os_str().as_bytes());
        input.push(0);
    }
    input
}

fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// Reads `git log --format='%H %ct'`: the hash, and the time in seconds since 1970.
fn parse_head(output: &str) -> Option<(Commit, i64)> {
    let (hash, time) = output.trim().split_once(' ')?;
    Some((Commit::parse(hash).ok()?, time.parse().ok()?))
}

#[cfg(test)]
mod tests;
