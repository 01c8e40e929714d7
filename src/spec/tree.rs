//! Files as git sees them: contents, an executable bit, links as links.
//!
//! `spec::find` fills [`Files`]; `stack` finds in it what steps and tests use.

use std::collections::btree_map::{BTreeMap, Range};

use camino::{Utf8Path, Utf8PathBuf};

use super::content::Content;
use super::path_key::PathKey;
use crate::path::LONGEST_PATH;

/// Files by their path relative to the folder of `specs.yml` (`images/x/requirements.txt`).
#[derive(Clone, Debug, Default)]
pub struct Files {
    entries: BTreeMap<PathKey, File>,
    /// How many of them are links.
    links: usize,
    /// Files and folders that are there and left out.
    left_out: BTreeMap<PathKey, LeftOut>,
}

/// One file, link or folder.
#[derive(Clone, Debug)]
pub enum File {
    /// A regular file.
    Regular {
        /// Its bytes.
        content: Content,
        /// Whether its owner can execute it.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// As written, relative or absolute.
        target: String,
    },
    /// A folder; its contents are entries of their own.
    Folder,
    /// Something that cannot be copied.
    Special(Special),
}

/// What cannot be copied into an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// A device.
    Device,
}

impl File {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self, Self::Folder)
    }

    /// Whether it is a link.
    fn is_link(&self) -> bool {
        matches!(self, Self::Link { .. })
    }

    /// Returns its kind for people, with an article.
    pub fn describe(&self) -> &'static str {
        match self {
            Self::Regular { .. } => "a file",
            Self::Link { .. } => "a link",
            Self::Folder => "a folder",
            Self::Special(special) => special.describe(),
        }
    }
}

impl Special {
    /// Returns its kind for people, with an article.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::Device => "a device",
        }
    }
}

/// Why a file or folder is not part of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftOut {
    /// git ignores it.
    Ignored,
    /// It has a name of files that tools leave behind.
    LeftBehind,
    /// It is an empty folder, which git does not track.
    Empty,
}

/// Why a path leads to no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It is absolute, or leaves `images/`.
    Outside,
    /// A link on the way leaves `images/`.
    LinkOutside {
        /// The path of the link.
        link: Utf8PathBuf,
        /// Its text.
        target: String,
    },
    /// There is no such file.
    Missing,
    /// A link on the way leads to no file.
    Dangling {
        /// The path of the link.
        link: Utf8PathBuf,
        /// Its text.
        target: String,
    },
    /// The file is there, and left out.
    LeftOut {
        /// The file, the folder above it, or if it is a folder the first file in it that is left out.
        path: Utf8PathBuf,
        /// Why.
        reason: LeftOut,
    },
    /// Links lead to each other.
    Loop,
}

/// The folder of all files.
const IMAGES: &str = "images";

/// The most links that are followed on the way to one file, as in Linux.
const MOST_LINKS: usize = 40;

/// Returns `path`, written in `folder`, without `.` and `..`; `None` if it leaves `images`.
pub fn clean(folder: &Utf8Path, path: &str) -> Option<Utf8PathBuf> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder
        .as_str()
        .split('/')
        .filter(|p| !p.is_empty())
        .collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                // The first part is `images`.
                if parts.len() <= 1 {
                    return None;
                }
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(Utf8PathBuf::from(parts.join("/")))
}

/// A part of a path that is being followed.
struct Part<'a> {
    name: &'a str,
    /// The link whose text it is from, by its number.
    link: Option<usize>,
}

impl Files {
    /// Returns files, and files and folders that are there and left out, by their paths.
    pub fn new(files: Vec<(Utf8PathBuf, File)>, left_out: Vec<(Utf8PathBuf, LeftOut)>) -> Self {
        let links = files.iter().filter(|(_, file)| file.is_link()).count();
        let files = files.into_iter();
        let left_out = left_out.into_iter();
        Self {
            entries: files.map(|(path, file)| (path.into(), file)).collect(),
            links,
            left_out: left_out
                .map(|(path, reason)| (path.into(), reason))
                .collect(),
        }
    }

    /// Returns a file by its path.
    pub fn get(&self, path: &Utf8Path) -> Option<&File> {
        self.entry(path).map(|(_, file)| file)
    }

    /// Whether one of them is a link.
    pub fn have_links(&self) -> bool {
        self.links > 0
    }

    fn entry(&self, path: &Utf8Path) -> Option<(&PathKey, &File)> {
        PathKey::look_up(&self.entries, path)
    }

    /// Returns all files, sorted by path; a folder is before what is in it.
    pub fn iter(&self) -> impl Iterator<Item = (&Utf8PathBuf, &File)> {
        self.entries.iter().map(|(key, file)| (key.path(), file))
    }

    /// Adds a file.
    pub fn insert(&mut self, path: impl AsRef<Utf8Path>, file: File) {
        self.links += usize::from(file.is_link());
        let other = self.entries.insert(PathKey::new(path.as_ref()), file);
        self.links -= usize::from(other.is_some_and(|file| file.is_link()));
    }

    /// Takes a file out.
    pub fn remove(&mut self, path: &Utf8Path) -> Option<File> {
        let file = self.entries.remove(&PathKey::new(path))?;
        self.links -= usize::from(file.is_link());
        Some(file)
    }

    /// Notes that a file is there and left out.
    #[cfg(test)]
    pub fn leave_out(&mut self, path: impl AsRef<Utf8Path>, reason: LeftOut) {
        self.left_out.insert(PathKey::new(path.as_ref()), reason);
    }

    /// Returns all files and folders that are there and left out, without those below such a folder.
    pub fn left_out(&self) -> impl Iterator<Item = (&Utf8PathBuf, LeftOut)> {
        let left_out = self.left_out.iter();
        left_out.map(|(key, reason)| (key.path(), *reason))
    }

    /// Whether a folder is there, or anything in it.
    pub fn has_any_in(&self, folder: &Utf8Path) -> bool {
        let mut found = self.entries.range(PathKey::new(folder)..);
        let first = found.next().map(|(key, _)| key.path());
        first.is_some_and(|path| path.starts_with(folder))
    }

    /// Returns the first file or folder below a folder that is there and left out.
    pub fn left_out_below(&self, folder: &Utf8Path) -> Option<(&Utf8PathBuf, &LeftOut)> {
        let (first, reason) = self.left_out.range(PathKey::new(folder)..).next()?;
        let path = first.path();
        path.starts_with(folder).then_some((path, reason))
    }

    /// Returns these files alone.
    pub fn only<'a>(&self, paths: impl IntoIterator<Item = &'a Utf8Path>) -> Self {
        let entries = paths.into_iter();
        let entries = entries.filter_map(|path| self.entry(path));
        let files = entries.map(|(key, file)| (key.path().clone(), file.clone()));
        Self::new(files.collect(), Vec::new())
    }

    /// Returns the file a path written in `folder` leads to. Links are followed, of the file and of the
    /// folders on the way.
    pub fn follow(&self, folder: &Utf8Path, path: &str) -> Result<&Utf8Path, Lost> {
        if path.starts_with('/') {
            return Err(Lost::Outside);
        }
        // Without links, no folder on the way has to be looked at.
        if !self.have_links()
            && let Some(path) = clean(folder, path)
        {
            return match self.entry(&path) {
                Some((found, _)) => Ok(found.path()),
                None => Err(self.lost(&path, &[], None)),
            };
        }
        let mut links: Vec<(Utf8PathBuf, String)> = Vec::new();
        let mut at = Utf8PathBuf::from(IMAGES);
        let folder = folder.strip_prefix(IMAGES).unwrap_or(folder);
        let mut open: Vec<Part> = parts(path, None).collect();
        open.extend(parts(folder.as_str(), None));
        let mut missing: Option<Option<usize>> = None;
        // What is at `at`, once that was looked up.
        let mut last: Option<Option<&PathKey>> = None;
        while let Some(part) = open.pop() {
            last = None;
            if part.name == ".." {
                if at == IMAGES {
                    return Err(leaves(&links, part.link));
                }
                at.pop();
                continue;
            }
            at.push(part.name);
            if at.as_str().len() > LONGEST_PATH {
                return Err(Lost::Missing);
            }
            match self.entry(&at) {
                Some((_, File::Link { .. })) if links.len() == MOST_LINKS => {
                    return Err(Lost::Loop);
                }
                Some((_, File::Link { target })) => {
                    let number = links.len();
                    links.push((at.clone(), target.clone()));
                    if target.starts_with('/') {
                        return Err(leaves(&links, Some(number)));
                    }
                    at.pop();
                    open.extend(parts(target, Some(number)));
                }
                Some((found, _)) => last = Some(Some(found)),
                None => {
                    missing.get_or_insert(part.link);
                    last = Some(None);
                }
            }
        }
        let look_up = || Some(self.entry(&at)?.0);
        match last.unwrap_or_else(look_up) {
            Some(found) => Ok(found.path()),
            None => Err(self.lost(&at, &links, missing.flatten())),
        }
    }

    fn lost(&self, at: &Utf8Path, links: &[(Utf8PathBuf, String)], link: Option<usize>) -> Lost {
        if let Some((path, reason)) = self.left_out_around(at) {
            return Lost::LeftOut {
                path: path.clone(),
                reason: *reason,
            };
        }
        match link.and_then(|number| links.get(number)).cloned() {
            Some((link, target)) => Lost::Dangling { link, target },
            None => Lost::Missing,
        }
    }

    /// Returns what is left out of a path: itself, a folder around it, or the first file or folder below it.
    fn left_out_around(&self, at: &Utf8Path) -> Option<(&Utf8PathBuf, &LeftOut)> {
        if self.left_out.is_empty() {
            return None;
        }
        let above = at
            .ancestors()
            .find_map(|path| PathKey::look_up(&self.left_out, path));
        let above = above.map(|(key, reason)| (key.path(), reason));
        above.or_else(|| self.left_out_below(at))
    }

    /// Returns all files below a folder, without the folder itself.
    pub fn below<'a>(&'a self, folder: &'a Utf8Path) -> Below<'a> {
        Below {
            folder,
            range: self.entries.range(PathKey::new(folder)..),
        }
    }
}

/// Returns the parts of a path or of the text of a link, the last first.
fn parts(text: &str, link: Option<usize>) -> impl Iterator<Item = Part<'_>> {
    let names = text.rsplit('/').filter(|name| !matches!(*name, "" | "."));
    names.map(move |name| Part { name, link })
}

/// Returns why a path leaves `images/`: itself, or by a link.
fn leaves(links: &[(Utf8PathBuf, String)], link: Option<usize>) -> Lost {
    match link.and_then(|number| links.get(number)).cloned() {
        Some((link, target)) => Lost::LinkOutside { link, target },
        None => Lost::Outside,
    }
}

/// The files below a folder.
pub struct Below<'a> {
    folder: &'a Utf8Path,
    range: Range<'a, PathKey, File>,
}

impl<'a> Iterator for Below<'a> {
    type Item = (&'a Utf8PathBuf, &'a File);

    fn next(&mut self) -> Option<Self::Item> {
        // Paths are sorted by their parts, so what is below a folder follows it.
        let mut found = self.range.by_ref().map(|(key, file)| (key.path(), file));
        let found = found.find(|(path, _)| *path != self.folder)?;
        found.0.starts_with(self.folder).then_some(found)
    }
}

#[cfg(test)]
mod tests;
