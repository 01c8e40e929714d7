//! Finds the files of `images/` on the disk. `content.rs` and `hashes.rs` read them.
//!
//! A plan of a large stack looks at each file and does little else, so folders are read without what
//! `std::fs::read_dir` does for each of them: their entries are found relative to the open folder.

use std::borrow::Cow;
use std::ffi::{CStr, CString, OsStr};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, openat, statat};
use rustix::io::Errno;

use super::content::{Content, Stamp};
use super::load::{IMAGES, Layout, Unreadable, folder_of};
use super::tree::{File, Files, LeftOut, Special};
use crate::checkout::{WorkTree, is_left_behind};
use crate::parallel;
use crate::path::LONGEST_PATH;

/// How much of a folder is read at once, bytes. An entry has less than 300 (`struct linux_dirent64`, getdents64(2)).
const PIECE: usize = 8 << 10;

/// Finds the files under `images/` beside a spec; none of them is read. `tree`: the files as git sees them; without it
/// all files count that no tool left behind.
pub fn find(
    file: &Utf8Path,
    layout: &Layout,
    tree: Option<&WorkTree>,
) -> Result<Files, Unreadable> {
    let walk = Walk {
        root: folder_of(file),
        images: &layout.images,
        tree,
        is_other_there: None,
    };
    walk.run()
}

/// Finds the files under `images/` beside a spec if git tracks all that is there; `tree` has what it tracks. `None` if
/// there is anything else: [`find`] then needs to know what git ignores.
pub fn find_tracked(file: &Utf8Path, layout: &Layout, tree: &WorkTree) -> Option<Files> {
    let is_other_there = AtomicBool::new(false);
    let walk = Walk {
        root: folder_of(file),
        images: &layout.images,
        tree: Some(tree),
        is_other_there: Some(&is_other_there),
    };
    let found = walk.run().ok()?;
    let is_all_tracked = !is_other_there.load(Ordering::Relaxed);
    is_all_tracked.then_some(found)
}

/// What a walk finds, by path.
#[derive(Default)]
struct List {
    files: Vec<(Utf8PathBuf, File)>,
    left_out: Vec<(Utf8PathBuf, LeftOut)>,
}

/// A folder that is being read.
struct Folder<'a> {
    /// Below `images`, with that.
    path: &'a Utf8Path,
    open: OwnedFd,
}

/// An entry of a folder.
struct Entry {
    name: CString,
    kind: FileType,
}

/// A walk through `images/`. Links are not followed, and no file is read. Paths begin with `images`, also where that is a
/// link to another folder.
struct Walk<'a> {
    /// The folder of the spec.
    root: &'a Utf8Path,
    /// The folder of the files, relative to that.
    images: &'a Utf8Path,
    tree: Option<&'a WorkTree>,
    /// For a walk that ends at the first thing that is neither a file or link of the tree nor a folder of them.
    is_other_there: Option<&'a AtomicBool>,
}

impl Walk<'_> {
    fn run(&self) -> Result<Files, Unreadable> {
        let path = Utf8Path::new(IMAGES);
        let disk = self.disk(path);
        if !disk.is_dir() {
            return Ok(Files::default());
        }
        let folder = self.open(CWD, disk.as_std_path(), path)?;
        // Nearly all folders of a large stack are in this one.
        let mut entries: Vec<Entry> = Vec::new();
        self.read(&folder, |name, kind| {
            let name = name.to_owned();
            entries.push(Entry { name, kind });
            Ok(())
        })?;
        let found = parallel::map(&entries, |Entry { name, kind }| {
            let mut found = List::default();
            self.entry(&folder, name, *kind, &mut found)?;
            Ok::<_, Unreadable>(found)
        });
        let mut all = List::default();
        for found in found {
            let List { files, left_out } = found?;
            all.files.extend(files);
            all.left_out.extend(left_out);
        }
        Ok(Files::new(all.files, all.left_out))
    }

    /// Notes that something else is there than the tree has. A walk for the tree alone ends.
    fn note_other(&self) {
        if let Some(is_other_there) = self.is_other_there {
            is_other_there.store(true, Ordering::Relaxed);
        }
    }

    fn has_ended(&self) -> bool {
        let is_other_there = self.is_other_there;
        is_other_there.is_some_and(|it| it.load(Ordering::Relaxed))
    }

    /// Returns where a file is, relative to the folder of the spec.
    fn real<'p>(&self, path: &'p Path) -> Cow<'p, Path> {
        match path.strip_prefix(IMAGES) {
            Ok(inner) if self.images != IMAGES => self.images.as_std_path().join(inner).into(),
            _ => path.into(),
        }
    }

    /// Returns where a file is on the disk.
    fn disk(&self, path: &Utf8Path) -> Utf8PathBuf {
        if self.images == IMAGES {
            return joined(self.root, path.as_str());
        }
        let inner = path.strip_prefix(IMAGES).unwrap_or(path);
        self.root.join(self.images).join(inner)
    }

    /// Opens a folder that is called `name` in another.
    fn open<'p>(
        &self,
        above: impl AsFd,
        name: impl rustix::path::Arg,
        path: &'p Utf8Path,
    ) -> Result<Folder<'p>, Unreadable> {
        // No other program could open what is in it, and each level takes some of the stack.
        if path.as_str().len() >= LONGEST_PATH {
            return Err(self.failure("open folder", path, Errno::NAMETOOLONG));
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(above, name, flags, Mode::empty()) {
            Ok(open) => Ok(Folder { path, open }),
            Err(error) => Err(self.failure("open folder", path, error)),
        }
    }

    /// Calls a function with each entry of a folder.
    fn read(
        &self,
        folder: &Folder<'_>,
        mut entry: impl FnMut(&CStr, FileType) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let mut buffer = Vec::with_capacity(PIECE);
        let mut entries = RawDir::new(&folder.open, buffer.spare_capacity_mut());
        while let Some(found) = entries.next() {
            let found = found.map_err(|error| self.failure("read folder", folder.path, error))?;
            if !matches!(found.file_name().to_bytes(), b"." | b"..") {
                entry(found.file_name(), found.file_type())?;
            }
        }
        Ok(())
    }

    fn failure(&self, task: &str, path: &Utf8Path, error: Errno) -> Unreadable {
        let error = std::io::Error::from(error);
        let text = format!("failed to {task} `{}`: {error}", self.disk(path));
        std::io::Error::new(error.kind(), text).into()
    }

    /// Adds what an entry of a folder is; returns whether it is a part of the stack.
    fn entry(
        &self,
        folder: &Folder<'_>,
        name: &CStr,
        kind: FileType,
        found: &mut List,
    ) -> Result<bool, Unreadable> {
        if self.has_ended() {
            return Ok(false);
        }
        // Some file systems do not have it with the name (readdir(3)).
        let kind = match kind {
            FileType::Unknown => match self.stamp(folder, name)? {
                Some(stamp) => FileType::from_raw_mode(stamp.mode),
                None => return Ok(false),
            },
            kind => kind,
        };
        let Ok(text) = name.to_str() else {
            return self.other_name(folder, name, kind);
        };
        let path = joined(folder.path, text);
        if text != ".git" && self.is_part(path.as_std_path(), kind) {
            return self.part(folder, name, path, kind, found);
        }
        self.note_other();
        let reason = if is_left_behind(path.as_std_path()) {
            LeftOut::LeftBehind
        } else {
            LeftOut::Ignored
        };
        found.left_out.push((path, reason));
        Ok(false)
    }

    /// Fails for an entry whose name is not UTF-8, if it would be a part of the stack.
    fn other_name(
        &self,
        folder: &Folder<'_>,
        name: &CStr,
        kind: FileType,
    ) -> Result<bool, Unreadable> {
        let name = OsStr::from_bytes(name.to_bytes());
        if self.is_part(&folder.path.as_std_path().join(name), kind) {
            return Err(Unreadable::Name {
                name: format!("{name:?}"),
                folder: folder.path.to_owned(),
            });
        }
        self.note_other();
        Ok(false)
    }

    /// Adds one file or folder; returns whether it is there.
    fn part(
        &self,
        folder: &Folder<'_>,
        name: &CStr,
        path: Utf8PathBuf,
        kind: FileType,
        found: &mut List,
    ) -> Result<bool, Unreadable> {
        let file = match kind {
            FileType::Directory => {
                let left_out = found.left_out.len();
                // git knows no empty folders: another clone does not have them.
                if !self.folder(folder, name, &path, found)? && self.tree.is_some() {
                    self.note_other();
                    if found.left_out.len() == left_out {
                        found.left_out.push((path, LeftOut::Empty));
                    }
                    return Ok(false);
                }
                File::Folder
            }
            FileType::Symlink => {
                let target = fs_err::read_link(self.disk(&path))?;
                match target.into_os_string().into_string() {
                    Ok(target) => File::Link { target },
                    Err(_) => return Err(Unreadable::Link { path }),
                }
            }
            FileType::RegularFile => {
                let Some(stamp) = self.stamp(folder, name)? else {
                    return Ok(false);
                };
                File::Regular {
                    executable: self.is_executable(&path, stamp),
                    content: Content::on_disk(self.disk(&path).into(), stamp),
                }
            }
            kind => {
                self.note_other();
                File::Special(special(kind))
            }
        };
        // git has nothing of it: a folder with no more than that is empty.
        let is_there = self.tree.is_none() || !matches!(file, File::Special(_));
        found.files.push((path, file));
        Ok(is_there)
    }

    /// Adds what is in a folder; returns whether there is anything.
    fn folder(
        &self,
        above: &Folder<'_>,
        name: &CStr,
        path: &Utf8Path,
        found: &mut List,
    ) -> Result<bool, Unreadable> {
        let folder = self.open(&above.open, name, path)?;
        let mut is_empty = true;
        self.read(&folder, |name, kind| {
            is_empty &= !self.entry(&folder, name, kind, found)?;
            Ok(())
        })?;
        Ok(!is_empty)
    }

    /// Returns the stamp of a file; `None` if it is gone, as a temporary file of an editor.
    fn stamp(&self, folder: &Folder<'_>, name: &CStr) -> Result<Option<Stamp>, Unreadable> {
        match statat(&folder.open, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => {
                let path = folder.path.join(&*name.to_string_lossy());
                Err(self.failure("look at", &path, error))
            }
        }
    }

    /// Whether a file is part of the stack, and a folder may have files that are.
    fn is_part(&self, path: &Path, kind: FileType) -> bool {
        let Some(tree) = self.tree else {
            return !is_left_behind(path);
        };
        let path = self.real(path);
        match kind {
            FileType::RegularFile | FileType::Symlink => tree.files.contains(&*path),
            // git lists neither folders nor what is neither a file nor a link.
            _ => !tree.ignored.contains(&*path),
        }
    }

    fn is_executable(&self, path: &Utf8Path, stamp: Stamp) -> bool {
        let modes = self.tree.map(|tree| &tree.modes);
        let modes = modes.filter(|modes| !modes.is_empty());
        match modes.and_then(|modes| modes.get(&*self.real(path.as_std_path()))) {
            Some(is_executable) => *is_executable,
            // Only the bit git keeps; the rest depends on the umask of the clone.
            None => stamp.mode & 0o100 != 0,
        }
    }
}

/// Returns the path of an entry of a folder. `Utf8Path::join` allocates twice.
fn joined(folder: &Utf8Path, name: &str) -> Utf8PathBuf {
    let mut path = Utf8PathBuf::with_capacity(folder.as_str().len() + 1 + name.len());
    path.push(folder);
    path.push(name);
    path
}

fn special(kind: FileType) -> Special {
    match kind {
        FileType::Fifo => Special::Fifo,
        FileType::Socket => Special::Socket,
        _ => Special::Device,
    }
}

#[cfg(test)]
mod tests;
