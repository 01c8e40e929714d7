//! What of a stack was found on the disk, to look later whether it is still there as it was.
//!
//! Main type: [`Found`]. git compares files while laminate reads them: what it says is true of what was read if nothing changed
//! from before both to after both.

mod committed;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use nix::libc::{S_IFMT, S_IXUSR};

use super::content::{Content, Stamp};
use super::hashes::is_settled;
use super::load::{IMAGES, Layout, folder_of};
use super::tree::{File, Files};
use crate::checkout::{BlobId, ObjectFormat, Tracked, WorkTree};
use crate::name::Digest;
use crate::parallel;
use crate::trace::{self, Track};

/// All that makes up a stack, as it was found.
#[derive(Debug)]
pub struct Found {
    spec: Utf8PathBuf,
    layout: Layout,
    /// When the first of it was looked at, at the latest.
    begun: Timestamp,
    tree: Arc<WorkTree>,
    entries: Vec<Entry>,
    /// Its files were hashed.
    hashed: OnceLock<()>,
}

/// One file or link. Folders are not looked at: git does not know them.
#[derive(Clone, Debug)]
enum Entry {
    Regular {
        content: Content,
        stamp: Stamp,
        executable: bool,
        /// Its mode is that of the index.
        is_mode_of_index: bool,
    },
    Text(TextFile),
    Link {
        path: PathBuf,
        target: String,
        stamp: Option<Stamp>,
    },
    /// A file that git tracks, and its folder.
    Missing {
        path: PathBuf,
        folder: Option<Stamp>,
    },
}

/// A file beside `images/` whose whole text is read: the spec, the lock.
#[derive(Clone, Debug)]
pub struct TextFile {
    path: PathBuf,
    /// `None`: there was no such file.
    stamp: Option<Stamp>,
    /// Of its folder, if there was none.
    folder: Option<Stamp>,
    /// Of the text that was read.
    digest: Option<Digest>,
    /// How git names the text, in repositories of both formats.
    blobs: Option<[BlobId; 2]>,
}

/// How a stack looks that was found before.
#[derive(Debug)]
pub enum Again {
    /// Nothing changed since.
    Same,
    /// Files were written, and are as they were read: a file that was put back, or written again. This is how they are found now.
    Written(Found),
    /// This file is not what was read.
    Changed(PathBuf),
}

/// How one file looks.
enum Look {
    Same,
    Written(Box<Entry>),
    Changed,
}

impl Found {
    /// Looks at the files that [`find`](super::find) found. `texts`: what else is read; `begun`: before the first of it was
    /// found.
    pub fn new(
        spec: &Utf8Path,
        layout: &Layout,
        files: &Files,
        tree: Arc<WorkTree>,
        texts: Vec<TextFile>,
        begun: Timestamp,
    ) -> Self {
        let disk = folder_of(spec).join(&layout.images);
        let texts_count = texts.len();
        let mut entries: Vec<Entry> = texts.into_iter().map(Entry::Text).collect();
        entries.extend(files.iter().filter_map(|(path, file)| match file {
            File::Regular {
                content,
                executable,
            } => {
                let (_, stamp) = content.place()?;
                let inner = path.strip_prefix(IMAGES).ok()?;
                let of_git = || layout.images.join(inner).into_std_path_buf();
                Some(Entry::Regular {
                    content: content.clone(),
                    stamp,
                    executable: *executable,
                    is_mode_of_index: !tree.modes.is_empty() && tree.modes.contains_key(&of_git()),
                })
            }
            File::Link { target } => {
                let path = disk.join(path.strip_prefix(IMAGES).ok()?);
                Some(Entry::Link {
                    stamp: stamp_of(path.as_std_path()),
                    path: path.into(),
                    target: target.clone(),
                })
            }
            File::Folder | File::Special(_) => None,
        }));
        // All that was found is in the tree.
        let is_complete = entries.len() - texts_count == tree.files.len();
        for path in tree.files.iter().filter(|_| !is_complete) {
            let inner = path.strip_prefix(&layout.images).ok();
            let Some(inner) = inner.and_then(Utf8Path::from_path) else {
                continue;
            };
            let path = Utf8Path::new(IMAGES).join(inner);
            let is_link = |path| matches!(files.get(path), Some(File::Link { .. }));
            // What is behind a link is another file.
            let is_behind_link = path.ancestors().skip(1).any(is_link);
            let file = files.get(&path);
            let is_there = matches!(file, Some(File::Regular { .. } | File::Link { .. }));
            if !is_there && !is_behind_link {
                let path: PathBuf = disk.join(inner).into();
                let folder = folder_stamp(&path);
                entries.push(Entry::Missing { path, folder });
            }
        }
        Self {
            spec: spec.to_owned(),
            layout: layout.clone(),
            begun,
            tree,
            entries,
            hashed: OnceLock::new(),
        }
    }

    /// Returns the folder of the spec.
    fn folder(&self) -> &Utf8Path {
        folder_of(&self.spec)
    }

    /// Returns where the folder `images` is.
    fn images(&self) -> Utf8PathBuf {
        self.folder().join(&self.layout.images)
    }

    /// Returns the files and links that git tracks or would track, relative to the folder of the spec.
    pub fn files(&self) -> &HashSet<PathBuf> {
        &self.tree.files
    }

    /// Whether git tracks the files that were found, and no others. It does if nothing differs from the commit.
    pub fn is_of(&self, tracked: &Tracked) -> bool {
        let images = self.layout.images.as_std_path();
        let mut files = tracked.files.iter().filter(|path| path.starts_with(images));
        let modes = tracked
            .modes
            .iter()
            .filter(|(path, _)| path.starts_with(images));
        let count = files.clone().count();
        count == self.tree.files.len()
            && files.all(|path| self.tree.files.contains(path))
            && modes.clone().count() == self.tree.modes.len()
            && { modes }.all(|(path, mode)| self.tree.modes.get(path) == Some(mode))
    }

    /// Looks at everything once more, after the files were read.
    pub fn again(&self) -> Again {
        let _span = trace::span(Track::Spec, || "look at the files again".to_owned());
        if Layout::read(&self.spec).ok().as_ref() != Some(&self.layout) {
            return Again::Changed(self.spec.clone().into());
        }
        let looks = parallel::map(&self.entries, |entry| entry.again(self.begun));
        let mut written = None;
        for (index, look) in looks.into_iter().enumerate() {
            match look {
                Look::Same => {}
                Look::Changed => return Again::Changed(self.entries[index].path().to_owned()),
                Look::Written(entry) => {
                    written.get_or_insert_with(|| self.entries.clone())[index] = *entry;
                }
            }
        }
        match written {
            None => Again::Same,
            Some(entries) => Again::Written(Self {
                spec: self.spec.clone(),
                layout: self.layout.clone(),
                begun: self.begun,
                tree: Arc::clone(&self.tree),
                entries,
                hashed: self.hashed.clone(),
            }),
        }
    }

    /// Returns something that is not as it was found, of what was read or could not be.
    pub fn changed(&self) -> Option<&Path> {
        let is_changed = |entry: &Entry| match entry {
            Entry::Regular { content, .. } if content.is_other_read() => true,
            entry => !matches!(entry.again(self.begun), Look::Same),
        };
        let mut entries = self.entries.iter();
        entries.find(|entry| is_changed(entry)).map(Entry::path)
    }
}

impl Look {
    fn written(entry: Entry) -> Self {
        Self::Written(Box::new(entry))
    }
}

impl Entry {
    /// Returns the path of what was there.
    fn found_path(&self) -> Option<&Path> {
        match self {
            Self::Text(file) => file.is_there().then_some(file.path.as_path()),
            Self::Missing { .. } => None,
            _ => Some(self.path()),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Regular { content, .. } => {
                content.place().map_or(Path::new(""), |(path, _)| path)
            }
            Self::Text(TextFile { path, .. })
            | Self::Link { path, .. }
            | Self::Missing { path, .. } => path,
        }
    }

    fn again(&self, begun: Timestamp) -> Look {
        match self {
            // What a file has that nothing uses is not in a plan.
            Self::Regular { content, .. } if !content.is_used() => Look::Same,
            Self::Regular {
                content,
                stamp,
                executable,
                is_mode_of_index,
            } => {
                let Some(now) = stamp_of(self.path()) else {
                    return Look::Changed;
                };
                let is_settled = is_settled(now, begun.as_nanosecond());
                if now == *stamp && is_settled && !content.is_other_read() {
                    return Look::Same;
                }
                // Only these two of a mode count (git's documentation, gitformat-index(5), "mode").
                let counted = if *is_mode_of_index {
                    S_IFMT
                } else {
                    S_IFMT | S_IXUSR
                };
                let is_other_mode = (now.mode ^ stamp.mode) & counted != 0;
                if is_other_mode || !content.is_as_read().unwrap_or(false) {
                    Look::Changed
                } else if now == *stamp {
                    Look::Same
                } else {
                    Look::written(Self::Regular {
                        content: content.clone(),
                        stamp: now,
                        executable: *executable,
                        is_mode_of_index: *is_mode_of_index,
                    })
                }
            }
            Self::Text(file) => file.again(),
            Self::Link {
                path,
                target,
                stamp,
            } => match fs_err::read_link(path) {
                Ok(read) if read.as_os_str() == target.as_str() => {
                    let now = stamp_of(path);
                    if now == *stamp {
                        return Look::Same;
                    }
                    Look::written(Self::Link {
                        path: path.clone(),
                        target: target.clone(),
                        stamp: now,
                    })
                }
                _ => Look::Changed,
            },
            Self::Missing { path, folder } => match fs_err::symlink_metadata(path) {
                Ok(metadata) if metadata.is_file() || metadata.is_symlink() => Look::Changed,
                // It may have been there.
                _ if folder_stamp(path) != *folder => Look::written(Self::Missing {
                    path: path.clone(),
                    folder: folder_stamp(path),
                }),
                _ => Look::Same,
            },
        }
    }
}

impl TextFile {
    /// Looks at a file before it is read; links are followed.
    pub fn find(path: &Utf8Path) -> Self {
        // The folder first: if the file appears in between, that shows.
        let folder = folder_stamp(path.as_std_path());
        let stamp = stamp_behind(path.as_std_path());
        Self {
            path: path.into(),
            folder: folder.filter(|_| stamp.is_none()),
            stamp,
            digest: None,
            blobs: None,
        }
    }

    /// Whether it was there when it was looked at, or when it was read.
    fn is_there(&self) -> bool {
        self.stamp.is_some() || self.digest.is_some()
    }

    /// Notes the text that was read of it.
    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        Self {
            digest: Some(Digest::of(text.as_bytes())),
            blobs: Some(
                [ObjectFormat::Sha1, ObjectFormat::Sha256]
                    .map(|format| BlobId::of(format, text.as_bytes())),
            ),
            ..self
        }
    }

    fn again(&self) -> Look {
        let now = stamp_behind(&self.path);
        if now.is_none() && self.digest.is_none() {
            let folder = folder_stamp(&self.path);
            if folder == self.folder {
                return Look::Same;
            }
            // It may have been there.
            return Look::written(Entry::Text(Self {
                folder,
                ..self.clone()
            }));
        }
        let text = fs_err::read(&self.path).ok();
        if text.map(|text| Digest::of(&text)) != self.digest {
            Look::Changed
        } else if now == self.stamp {
            Look::Same
        } else {
            Look::written(Entry::Text(Self {
                stamp: now,
                ..self.clone()
            }))
        }
    }
}

fn stamp_of(path: &Path) -> Option<Stamp> {
    let metadata = fs_err::symlink_metadata(path).ok()?;
    Some(Stamp::of(&metadata))
}

/// Returns the stamp of the folder of a path.
fn folder_stamp(path: &Path) -> Option<Stamp> {
    let folder = path.parent()?;
    let here = Path::new(".");
    stamp_behind(if folder == Path::new("") {
        here
    } else {
        folder
    })
}

/// Returns the stamp of what a path leads to.
fn stamp_behind(path: &Path) -> Option<Stamp> {
    let metadata = fs_err::metadata(path).ok()?;
    Some(Stamp::of(&metadata))
}

#[cfg(test)]
mod tests;
