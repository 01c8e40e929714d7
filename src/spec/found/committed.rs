//! Compares what was read of the files with what a commit has.
//!
//! It is true whatever happens to the files meanwhile: both sides are values.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use camino::Utf8Path;
use nix::libc::S_IXUSR;

use super::{Entry, Found, IMAGES};
use crate::checkout::{BlobId, Committed, CommittedFile, CommittedKind};
use crate::spec::hashes::{Hashing, Named, hash_contents};

/// The largest file that is hashed for this, bytes: to read another one that nothing uses could take longer than git needs to
/// compare it.
const LARGEST: u64 = 16 << 20;

impl Found {
    /// Hashes the files, also those that nothing uses, to compare them with a commit; once, and whoever asks later waits for that.
    /// A file that cannot be read has no hash. `cache` as for [`hash`](super::hash).
    pub fn hash(&self, cache: Option<&Path>) {
        self.hashed.get_or_init(|| {
            let folder = self.images();
            let contents = self.entries.iter().filter_map(|entry| match entry {
                Entry::Regular { content, .. } if content.size() <= LARGEST => {
                    let (path, _) = content.place()?;
                    let inner = path.strip_prefix(&folder).ok()?;
                    let path = Utf8Path::new(IMAGES).join(Utf8Path::from_path(inner)?);
                    Some((Cow::Owned(path), content))
                }
                _ => None,
            });
            let hashing = Hashing {
                stack: self.folder(),
                cache,
                begun: self.begun,
                format: Some(self.tree.objects),
            };
            let contents: Vec<Named<'_>> = contents.collect();
            let _failed_again_if_used = hash_contents(&contents, &hashing);
        });
    }

    /// Whether a commit has the files that were found, and no others, and all can be compared. Only their names are.
    pub fn is_named_in(&self, committed: &Committed) -> bool {
        // Behind a link, a file has two names.
        let is_plain = self.layout.all.len() == 3 && self.layout.images == IMAGES;
        let is_small = |entry: &Entry| match entry {
            Entry::Regular { content, .. } => content.size() <= LARGEST,
            _ => true,
        };
        let mut names = self.entries.iter().filter_map(Entry::found_path);
        let count = names.clone().count();
        is_plain
            && self.entries.iter().all(is_small)
            && count == committed.files.len()
            && names.all(|path| self.committed_file(committed, path).is_some())
    }

    /// Whether a commit has the contents and modes that were read. [`Self::is_named_in`] is known, and all is [hashed](Self::hash).
    pub fn is_read_of(&self, committed: &Committed) -> bool {
        self.entries.iter().all(|entry| {
            let Some(path) = entry.found_path() else {
                return !matches!(entry, Entry::Missing { .. });
            };
            let file = self.committed_file(committed, path);
            file.is_some_and(|file| self.is_entry_of(entry, file))
        })
    }

    /// Returns how git names the contents that were [hashed](Self::hash), by their paths relative to the folder of the spec.
    pub fn blobs(&self) -> HashMap<PathBuf, BlobId> {
        let blobs = self.entries.iter().filter_map(|entry| match entry {
            Entry::Regular { content, .. } => Some((
                self.relative(entry.path()).to_owned(),
                content.blob()?.clone(),
            )),
            _ => None,
        });
        blobs.collect()
    }

    /// Whether some file was another one when its text was read.
    pub fn is_other_read(&self) -> bool {
        let mut entries = self.entries.iter();
        entries
            .any(|entry| matches!(entry, Entry::Regular { content, .. } if content.is_other_read()))
    }

    fn is_entry_of(&self, entry: &Entry, file: &CommittedFile) -> bool {
        let format = self.tree.objects;
        let regular = |executable| CommittedKind::Regular { executable };
        match entry {
            Entry::Regular {
                content,
                executable,
                ..
            } => {
                let is_read = !content.is_other_read() && content.blob() == Some(&file.blob);
                is_read && file.kind == regular(*executable)
            }
            Entry::Text(text) => {
                let executable = text.stamp.is_some_and(|stamp| stamp.mode & S_IXUSR != 0);
                // With `core.fileMode=false`, the mode on the disk does not count.
                let has_mode = file.kind == regular(executable) || !self.tree.modes.is_empty();
                let mut blobs = text.blobs.iter().flatten();
                has_mode && file.kind != CommittedKind::Link && blobs.any(|blob| *blob == file.blob)
            }
            Entry::Link { target, .. } => {
                let blob = BlobId::of(format, target.as_bytes());
                file.kind == CommittedKind::Link && blob == file.blob
            }
            Entry::Missing { .. } => false,
        }
    }

    /// Returns what a commit has at a path that was found.
    fn committed_file<'a>(
        &self,
        committed: &'a Committed,
        path: &Path,
    ) -> Option<&'a CommittedFile> {
        committed.files.get(self.relative(path).to_str()?)
    }

    /// Returns a path that was found relative to the folder of the spec.
    fn relative<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(self.folder()).unwrap_or(path)
    }
}
