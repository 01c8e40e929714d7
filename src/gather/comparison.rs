//! What git has checked out, asked while the stack is loaded or the other facts are gathered.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::{Error, Options};
use crate::checkout::{Checkout, ReadFiles, Tracked};
use crate::git;
use crate::stack::{Again, Found};

/// How often files are compared if some of them are written meanwhile.
const COMPARISONS: usize = 3;

/// A git that compares the files of a stack with the commit. It is ended when this is dropped.
pub struct Comparison {
    folder: Utf8PathBuf,
    files: Vec<String>,
    found: Arc<Found>,
    warnings: git::Warnings,
    git: Git,
}

/// A task that compares files.
type Git = AbortOnDropHandle<Result<Compared, git::Error>>;

/// What git has checked out, and which files it tracks.
type CheckedOut = Option<(Checkout, Tracked)>;

/// How files were compared.
enum Compared {
    /// What was read of them is what the commit has.
    Read(Checkout),
    /// By git, which looked at the disk itself.
    Disk(CheckedOut),
}

impl Comparison {
    /// Begins to compare `files`, which are relative to `folder`, after they were found. `cache` as for [`Found::hash`];
    /// `warnings` gets those of git.
    pub fn begin(
        folder: &Utf8Path,
        files: &[String],
        found: Arc<Found>,
        cache: Option<PathBuf>,
        warnings: &git::Warnings,
    ) -> Self {
        let hashed = tokio::task::spawn_blocking({
            let found = Arc::clone(&found);
            move || found.hash(cache.as_deref())
        });
        Self {
            git: begin((folder, files), &found, hashed, warnings),
            folder: folder.to_owned(),
            files: files.to_owned(),
            found,
            warnings: warnings.clone(),
        }
    }

    /// Returns what git finds. It is true of what was read of the files: they are looked at again after it.
    async fn end(self) -> Result<Option<Checkout>, Error> {
        let Self {
            folder,
            files,
            mut found,
            warnings,
            git,
        } = self;
        let files = (folder.as_path(), &files[..]);
        let mut compared = match git.await.expect("comparing files does not panic")? {
            Compared::Read(checkout) if !found.is_other_read() => return Ok(Some(checkout)),
            Compared::Read(_) => compare_on_disk(files, &found, &warnings).await?,
            Compared::Disk(compared) => compared,
        };
        for _ in 0..COMPARISONS {
            let again = again(Arc::clone(&found)).await;
            let is_of_others = |(checkout, tracked): &(Checkout, Tracked)| {
                !checkout.is_dirty() && !found.is_of(tracked)
            };
            match again {
                // Files were added, or git ignores others than before.
                Again::Same if compared.as_ref().is_some_and(is_of_others) => {
                    return Err(Error::Writing);
                }
                Again::Same => return Ok(compared.map(|(checkout, _)| checkout)),
                Again::Written(now) => found = Arc::new(now),
                Again::Changed(path) => return Err(changed(&folder, &path)),
            }
            compared = compare_on_disk(files, &found, &warnings).await?;
        }
        Err(Error::Writing)
    }
}

/// Compares what is read of the files with the commit, when they are `hashed`; where that differs, or is not all that a new
/// clone depends on, git compares them.
fn begin(
    (folder, files): (&Utf8Path, &[String]),
    found: &Arc<Found>,
    hashed: JoinHandle<()>,
    warnings: &git::Warnings,
) -> Git {
    let (folder, files, found) = (folder.to_owned(), files.to_owned(), Arc::clone(found));
    let warnings = warnings.clone();
    let compare = async move {
        // An error is reported by the git that follows.
        let committed = git::read_committed(&folder, &files).await.ok().flatten();
        let committed = committed.filter(|committed| found.is_named_in(committed));
        hashed.await.expect("hashing files does not panic");
        match committed.filter(|committed| found.is_read_of(committed)) {
            Some(committed) => Ok(Compared::Read(Checkout {
                commit: committed.commit,
                time: committed.time,
                changes: Vec::new(),
            })),
            None => compare_on_disk((&folder, &files), &found, &warnings)
                .await
                .map(Compared::Disk),
        }
    };
    AbortOnDropHandle::new(tokio::spawn(compare))
}

async fn compare_on_disk(
    (folder, files): (&Utf8Path, &[String]),
    found: &Found,
    warnings: &git::Warnings,
) -> Result<CheckedOut, git::Error> {
    let blobs = found.blobs();
    let read = ReadFiles {
        all: found.files(),
        blobs: &blobs,
    };
    git::read_checkout(folder, files, Some(read), warnings).await
}

fn changed(folder: &Utf8Path, path: &Path) -> Error {
    let path = path.strip_prefix(folder).unwrap_or(path);
    Error::Changed {
        path: path.display().to_string(),
    }
}

/// Checks that nothing was written to the files of a stack since they were found.
pub async fn ensure_unchanged(folder: &Utf8Path, found: &Arc<Found>) -> Result<(), Error> {
    match again(Arc::clone(found)).await {
        Again::Same => Ok(()),
        Again::Written(_) => Err(Error::Writing),
        Again::Changed(path) => Err(changed(folder, &path)),
    }
}

/// Returns the error of files that changed since they were found, so that the stack could not be loaded; `None` if none did.
pub async fn change(folder: &Utf8Path, found: &Arc<Found>) -> Option<Error> {
    let found = Arc::clone(found);
    let look = move || found.changed().map(Path::to_owned);
    let task = tokio::task::spawn_blocking(look).await;
    let path = task.expect("looking at files does not panic")?;
    Some(changed(folder, &path))
}

async fn again(found: Arc<Found>) -> Again {
    let task = tokio::task::spawn_blocking(move || found.again());
    task.await.expect("looking at files does not panic")
}

/// Returns what git has checked out, and whether git is not installed.
pub(super) async fn checkout(
    options: &Options<'_>,
    comparison: Option<Comparison>,
) -> Result<(Option<Checkout>, bool), Error> {
    let found = match comparison {
        Some(comparison) => comparison.end().await,
        None => {
            let (folder, files) = (options.folder, options.files);
            let warnings = git::Warnings::default();
            let found = git::read_checkout(folder, files, None, &warnings).await;
            let found = found.map(|found| found.map(|(checkout, _)| checkout));
            found.map_err(Error::from)
        }
    };
    match found {
        Ok(checkout) => Ok((checkout, false)),
        Err(Error::Git(git::Error::NotFound)) => Ok((None, true)),
        Err(error) => Err(error),
    }
}
