//! The files of a folder: those git tracks or would track, and those that differ from the commit.
//!
//! Git's output is read byte for byte (`-z`): names need not be UTF-8 and can contain line ends.

mod attributes;
mod committed;
mod converted;
mod index;
mod neutral;
mod repositories;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use camino::Utf8Path;

pub use committed::read_committed;

use attributes::{attributes_above, is_below};
use converted::{Conversions, OnDisk};
use index::{Entry, Index, read_index, watchful_index};
use repositories::{is_top, seen_from_inside, seen_from_outside, without_entry};

use super::{Error, Git, Warnings};
use crate::checkout::{Change, ChangeKind, Checkout, ReadFiles, Tracked, WorkTree, is_left_behind};
use crate::name::Commit;

/// Files that differ from the commit, by path.
type Changes = BTreeMap<PathBuf, ChangeKind>;

/// Lets `git ls-files` list what it does not track.
const UNTRACKED: [&str; 2] = ["--others", "--exclude-standard"];

/// Lets `git ls-files` list what it ignores.
const IGNORED: [&str; 3] = ["--others", "--ignored", "--exclude-standard"];

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
///
/// `read`: the files in folders of `files` that count; those that git does not track are untracked. Without it git looks
/// for them.
pub async fn read_checkout<T: AsRef<str>>(
    folder: &Utf8Path,
    files: &[T],
    read: Option<ReadFiles<'_>>,
    warnings: &Warnings,
) -> Result<Option<(Checkout, Tracked)>, Error> {
    let git = Git::plain(folder).with_warnings(warnings);
    let files: Vec<PathBuf> = files.iter().map(|f| PathBuf::from(f.as_ref())).collect();
    for _ in 0..COMPARISONS {
        // All at once: each git takes some milliseconds to start.
        let (head, compared) = tokio::join!(
            read_head(folder),
            changes(&git, folder.as_std_path(), &files, Path::new(""), read),
        );
        let Some((commit, time)) = head? else {
            return Ok(None);
        };
        let (found, tracked) = compared?;
        // The files may have been compared with a commit that was made since then.
        if read_head(folder).await? != Some((commit.clone(), time)) {
            continue;
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

/// Returns the files that git tracks in the folder `images`, without those of submodules. `None` as for [`read_work_tree`].
pub async fn read_tracked(
    folder: &Utf8Path,
    spec: &str,
    images: &Utf8Path,
    warnings: &Warnings,
) -> Result<Option<Tracked>, Error> {
    let git = Git::plain(folder).with_warnings(warnings);
    let spec = PathBuf::from(spec);
    let paths = [images.as_std_path().to_owned(), spec.clone()];
    let read = tokio::try_join!(read_index(&git, &paths, &[]), Conversions::read(&git));
    let (index, conversions) = match read {
        Ok(read) => read,
        Err(Error::NotARepository { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut tracked = index.tracked(&conversions);
    // A file that is tracked is not ignored.
    if !tracked.files.contains(&spec) && is_ignored(&git, &spec).await? {
        return Ok(None);
    }
    if !is_below(&spec, &paths[..1]) {
        tracked.files.remove(&spec);
        tracked.modes.remove(&spec);
    }
    Ok(Some(tracked))
}

/// Returns the files that git tracks or would track in the folder `images`, which is relative to
/// `folder`. `None` outside of a repository, and if git ignores `spec`: the stack is not part of the
/// repository then.
pub async fn read_work_tree(
    folder: &Utf8Path,
    spec: &str,
    images: &Utf8Path,
    warnings: &Warnings,
) -> Result<Option<WorkTree>, Error> {
    let git = Git::plain(folder).with_warnings(warnings);
    let images = [PathBuf::from(images.as_std_path())];
    let (is_ignored, tree) = tokio::join!(
        is_ignored(&git, Path::new(spec)),
        work_tree(&git, folder.as_std_path(), &images),
    );
    match is_ignored {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some(tree?)),
        Err(Error::NotARepository { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether git ignores a file.
async fn is_ignored(git: &Git, path: &Path) -> Result<bool, Error> {
    let ignored = list(git, &IGNORED, &[path.to_owned()]).await?;
    Ok(ignored.iter().any(|it| it == path))
}

/// Returns the files of one repository and of those in it.
async fn work_tree(git: &Git, folder: &Path, all: &[PathBuf]) -> Result<WorkTree, Error> {
    let git = &git.for_folder(folder);
    let paths = &seen_from_outside(folder, all)[..];
    let ignored = [&IGNORED[..], &["--directory"]].concat();
    let (index, others, ignored, conversions) = tokio::try_join!(
        read_index(git, paths, &[]),
        list(git, &UNTRACKED, paths),
        list(git, &ignored, paths),
        Conversions::read(git),
    )?;
    let mut found = index.tracked(&conversions);
    let mut ignored = without_folders_of_files(ignored);
    let submodules = index.repositories;
    let mut repositories = submodules.clone();
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
        if !is_top(&folder.join(&repository)) {
            continue;
        }
        let paths = seen_from_inside(&repository, all);
        let inner = Box::pin(work_tree(git, &folder.join(&repository), &paths)).await?;
        let WorkTree {
            mut files,
            mut modes,
            ignored: inside,
            objects,
        } = inner;
        // Of a repository that is untracked, the files count, and not what it tracks.
        if !submodules.contains(&repository) {
            let place = folder.join(&repository);
            let is_there = |path: &Path| place.join(path).symlink_metadata().is_ok();
            files.retain(|path| is_there(path));
            modes.retain(|path, _| is_there(path));
        }
        let inner = Tracked {
            files,
            modes,
            objects,
        };
        found.add_below(&repository, inner);
        ignored.extend(inside.into_iter().map(|path| repository.join(path)));
    }
    let mut tree = WorkTree::from(found);
    tree.ignored = ignored;
    Ok(tree)
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

/// Returns which of the files differ from the commit, also where git is set not to look, and those that git tracks. `read` as
/// for [`read_checkout`]; `below`: the path of a repository in another one, for which `read` has paths.
async fn changes(
    git: &Git,
    folder: &Path,
    all: &[PathBuf],
    below: &Path,
    read: Option<ReadFiles<'_>>,
) -> Result<(Changes, Tracked), Error> {
    let git = &git.for_folder(folder);
    let paths = &seen_from_outside(folder, all)[..];
    let above = attributes_above(folder, paths);
    let compared = [paths, &above].concat();
    let untracked = if read.is_some() { "no" } else { "all" };
    let blob = |path: &Path| read.and_then(|read| read.blobs.get(&below.join(path)));
    let ((index, on_disk), found, conversions) = tokio::try_join!(
        async {
            let index = read_index(git, paths, &above).await?;
            let on_disk = OnDisk::read(git, folder, &index, blob).await?;
            Ok((index, on_disk))
        },
        status(git, &compared, untracked),
        Conversions::read(git),
    )?;
    let mut found = if index.unwatched.is_empty() {
        found
    } else {
        let (_folder, copy) = watchful_index(git, folder, &index.unwatched).await?;
        let git = git.clone().variable("GIT_INDEX_FILE", copy);
        status(&git, &compared, untracked).await?
    };
    let converted = conversions.changes(git, folder, (&index, &on_disk), &found);
    found.extend(converted.await?);
    found.extend(named_others(git, folder, &index, (paths, &above)).await?);
    let mut tracked = index.tracked(&conversions);
    for path in without_entry(git, &index.repositories).await? {
        found.entry(path).or_insert(ChangeKind::NoSubmodule);
    }
    for submodule in index.repositories {
        if is_top(&folder.join(&submodule)) {
            let paths = seen_from_inside(&submodule, all);
            let inner = (folder.join(&submodule), below.join(&submodule));
            let inner = Box::pin(changes(git, &inner.0, &paths, &inner.1, read)).await?;
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
    for path in read.iter().flat_map(|read| read.all) {
        let path = path.strip_prefix(below).ok();
        if let Some(path) = path.filter(|path| !tracked.files.contains(*path)) {
            found.insert(path.to_owned(), ChangeKind::Untracked);
        }
    }
    Ok((found, tracked))
}

/// Returns those of `paths` that are there and that git does not track, and of `above` those that it would track. Of
/// folders, only repositories count.
async fn named_others(
    git: &Git,
    folder: &Path,
    index: &Index,
    (paths, above): (&[PathBuf], &[PathBuf]),
) -> Result<Changes, Error> {
    let tracked: HashSet<&Path> = (index.files.iter().chain(&index.attributes))
        .map(|file| file.path.as_path())
        .chain(index.repositories.iter().map(PathBuf::as_path))
        .collect();
    let is_other = |path: &&PathBuf| {
        let place = folder.join(path);
        // git would list all that is in another folder.
        let is_one = !place.is_dir() || place.is_symlink() || is_top(&place);
        !tracked.contains(path.as_path()) && place.symlink_metadata().is_ok() && is_one
    };
    let named: Vec<PathBuf> = paths
        .iter()
        .chain(above)
        .filter(is_other)
        .cloned()
        .collect();
    if named.is_empty() {
        return Ok(Changes::new());
    }
    let (others, ignored) =
        tokio::try_join!(list(git, &UNTRACKED, &named), list(git, &IGNORED, &named))?;
    let counts = |path: &PathBuf| paths.contains(path) || !is_left_behind(path);
    let others = others.into_iter().filter(counts);
    let others = others.map(|path| (path, ChangeKind::Untracked));
    // Ignored files below `images/` are not used, but a file that is named is.
    let ignored = ignored.into_iter().filter(|path| paths.contains(path));
    let ignored = ignored.map(|path| (path, ChangeKind::Ignored));
    Ok(others.chain(ignored).collect())
}

/// Makes a folder for files of a git.
fn temporary_folder() -> std::io::Result<tempfile::TempDir> {
    let made = tempfile::Builder::new().prefix("laminate-").tempdir();
    made.map_err(|error| {
        let reason = format!("no temporary folder, set `TMPDIR`: {error}");
        std::io::Error::new(error.kind(), reason)
    })
}

/// Returns which files differ from the commit. `untracked`: which untracked files are listed (git-status(1),
/// `--untracked-files`).
async fn status(git: &Git, paths: &[PathBuf], untracked: &str) -> Result<Changes, Error> {
    let task = "compare files with the commit";
    let untracked = format!("--untracked-files={untracked}");
    let options = [
        "status",
        "--porcelain=v1",
        "-z",
        &untracked,
        // They are looked for in each.
        "--ignore-submodules=untracked",
        "--no-renames",
        "--",
    ];
    let arguments = with_paths(&options, paths);
    let output = git.read_bytes(task, &arguments, &[]).await?;
    if output.is_empty() {
        return Ok(Changes::new());
    }
    let prefix = read_path(git, task, &["--show-prefix"]).await?;
    let prefix = prefix.as_os_str().as_bytes();
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

/// Returns the path that `git rev-parse` prints.
async fn read_path(git: &Git, task: &str, options: &[&str]) -> Result<PathBuf, Error> {
    let arguments = [&["rev-parse"], options].concat();
    let output = git.read_bytes(task, &arguments, &[]).await?;
    Ok(path_of(output.strip_suffix(b"\n").unwrap_or(&output)))
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
