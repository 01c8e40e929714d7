//! Reads `specs.yml` and finds the files of `images/` on the disk. `content.rs` and `hashes.rs` read them.

use std::fs::{FileType, Metadata};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use camino::{Utf8Path, Utf8PathBuf};
use fs_err::DirEntry;

use super::content::Content;
use super::parse::{Spec, parse_text};
use super::tree::{File, Files, LeftOut, Special};
use crate::checkout::{WorkTree, is_left_behind};
use crate::parallel;

/// A file or folder that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system's error, with the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file's name is not UTF-8.
    #[error("name {name} in `{folder}` is not valid UTF-8")]
    Name {
        /// Escaped and quoted.
        name: String,
        /// The folder that has it.
        folder: Utf8PathBuf,
    },
    /// The target of a link is not UTF-8.
    #[error("the target of link `{path}` is not valid UTF-8")]
    Link {
        /// Relative to the folder of `specs.yml`.
        path: Utf8PathBuf,
    },
    /// The spec, the lock or `images` is a link out of the folder of the spec.
    #[error("link `{name}` leads out of the folder of the spec, to `{target}`")]
    Outside {
        /// The file's name.
        name: String,
        /// The path it leads to.
        target: String,
    },
}

/// Where the files of a stack are, relative to the folder of its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The folder that holds the files of the images: `images`, or what it is a link to.
    pub images: Utf8PathBuf,
    /// All files and folders that make up the stack; what a link leads to is one more.
    pub all: Vec<String>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            images: Utf8PathBuf::from(IMAGES),
            all: Vec::new(),
        }
    }
}

/// The name of the folder of all files.
pub(super) const IMAGES: &str = "images";

/// The most links that are followed on the way to one file, as in Linux.
const MOST_LINKS: usize = 40;

/// The name of the lock.
const LOCK: &str = "specs.lock";

impl Layout {
    /// Finds the files of the stack of a spec. Fails where one of them is outside of its folder.
    pub fn read(spec: &Utf8Path) -> Result<Self, Unreadable> {
        let mut layout = Self::default();
        let folder = folder_of(spec);
        for name in [spec.file_name().unwrap_or_default(), LOCK, IMAGES] {
            layout.all.push(name.to_owned());
            let path = folder.join(name);
            if !path.is_symlink() {
                continue;
            }
            let real = fs_err::canonicalize(&path)?;
            let inside = real.strip_prefix(fs_err::canonicalize(folder)?);
            let Some(inside) = inside.ok().and_then(Utf8Path::from_path) else {
                return Err(Unreadable::Outside {
                    name: name.to_owned(),
                    target: real.display().to_string(),
                });
            };
            layout.all.extend(links_on_the_way(folder, name)?);
            layout.all.push(inside.to_string());
            if name == IMAGES {
                layout.images = inside.to_owned();
            }
        }
        Ok(layout)
    }
}

/// Returns the links in a folder that lead from one of its links to a file or folder, without the first.
fn links_on_the_way(folder: &Utf8Path, name: &str) -> Result<Vec<String>, Unreadable> {
    let mut found = Vec::new();
    let mut at = Utf8PathBuf::new();
    let mut open: Vec<String> = vec![name.to_owned()];
    while let Some(part) = open.pop().filter(|_| found.len() < MOST_LINKS) {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                at.pop();
                continue;
            }
            part => at.push(part),
        }
        let path = folder.join(&at);
        if !path.is_symlink() {
            continue;
        }
        found.push(at.to_string());
        let target = fs_err::read_link(&path)?;
        let Some(target) = Utf8Path::from_path(&target).filter(|it| !it.is_absolute()) else {
            // It leads back by a path of this machine: git has the link itself.
            break;
        };
        at.pop();
        open.extend(target.as_str().rsplit('/').map(str::to_owned));
    }
    found.retain(|link| link != name);
    Ok(found)
}

/// Returns the folder of a spec.
pub(super) fn folder_of(spec: &Utf8Path) -> &Utf8Path {
    match spec.parent() {
        Some(folder) if folder != "" => folder,
        _ => Utf8Path::new("."),
    }
}

/// Reads the text of a spec.
pub fn read(file: &Utf8Path) -> Result<String, Unreadable> {
    Ok(fs_err::read_to_string(file)?)
}

/// Parses the text of a spec, without the files beside it: [`find`] finds them.
pub fn parse_file(file: &Utf8Path, text: &str) -> Spec {
    parse_text(file.file_name().unwrap_or("specs.yml"), text)
}

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

/// A walk through `images/`. Links are not followed, and no file is read.
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
        let top = Utf8Path::new("");
        let folder = self.disk(top);
        if !folder.is_dir() {
            return Ok(Files::default());
        }
        // Nearly all folders of a large stack are in this one.
        let entries: Vec<DirEntry> = fs_err::read_dir(folder)?.collect::<Result<_, _>>()?;
        let found = parallel::map(&entries, |entry| {
            let mut found = List::default();
            self.entry(top, entry, &mut found)?;
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

    /// Returns where a folder is, which is relative to `images/`.
    fn disk(&self, relative: &Utf8Path) -> Utf8PathBuf {
        self.root.join(self.images).join(relative)
    }

    /// Adds what is in a folder, which is relative to `images/`; returns whether there is anything.
    fn folder(&self, relative: &Utf8Path, found: &mut List) -> Result<bool, Unreadable> {
        let mut is_empty = true;
        for entry in fs_err::read_dir(self.disk(relative))? {
            is_empty &= !self.entry(relative, &entry?, found)?;
        }
        Ok(!is_empty)
    }

    /// Adds what an entry of a folder is; returns whether it is a part of the stack.
    fn entry(
        &self,
        folder: &Utf8Path,
        entry: &DirEntry,
        found: &mut List,
    ) -> Result<bool, Unreadable> {
        if self.has_ended() {
            return Ok(false);
        }
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let is_part = name != ".git" && self.is_part(&folder.as_std_path().join(&name), kind);
        if !is_part {
            self.note_other();
        }
        let Some(name) = name.to_str() else {
            if is_part {
                return Err(Unreadable::Name {
                    name: format!("{name:?}"),
                    folder: Utf8Path::new(IMAGES).join(folder),
                });
            }
            return Ok(false);
        };
        let inner = folder.join(name);
        if is_part {
            return self.part(&inner, kind, found);
        }
        let reason = if is_left_behind(inner.as_std_path()) {
            LeftOut::LeftBehind
        } else {
            LeftOut::Ignored
        };
        let path = Utf8Path::new(IMAGES).join(inner);
        found.left_out.push((path, reason));
        Ok(false)
    }

    /// Adds one file or folder; returns whether it is there.
    fn part(
        &self,
        relative: &Utf8Path,
        kind: FileType,
        found: &mut List,
    ) -> Result<bool, Unreadable> {
        let path = Utf8Path::new(IMAGES).join(relative);
        let disk = self.disk(relative);
        let file = if kind.is_dir() {
            let left_out = found.left_out.len();
            // git knows no empty folders: another clone does not have them.
            if !self.folder(relative, found)? && self.tree.is_some() {
                self.note_other();
                if found.left_out.len() == left_out {
                    found.left_out.push((path, LeftOut::Empty));
                }
                return Ok(false);
            }
            File::Folder
        } else if kind.is_symlink() {
            let target = fs_err::read_link(&disk)?;
            match target.into_os_string().into_string() {
                Ok(target) => File::Link { target },
                Err(_) => return Err(Unreadable::Link { path }),
            }
        } else if kind.is_file() {
            let metadata = match fs_err::symlink_metadata(&disk) {
                Ok(metadata) => metadata,
                // A temporary file of an editor.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            File::Regular {
                executable: self.is_executable(relative, &metadata),
                content: Content::on_disk(disk.into(), &metadata),
            }
        } else {
            self.note_other();
            File::Special(special(kind))
        };
        // git has nothing of it: a folder with no more than that is empty.
        let is_there = self.tree.is_none() || !matches!(file, File::Special(_));
        found.files.push((path, file));
        Ok(is_there)
    }

    /// Whether a file is part of the stack, and a folder may have files that are.
    fn is_part(&self, relative: &Path, kind: FileType) -> bool {
        let Some(tree) = self.tree else {
            return !is_left_behind(relative);
        };
        let path = self.images.as_std_path().join(relative);
        if kind.is_file() || kind.is_symlink() {
            tree.files.contains(&path)
        } else {
            // git lists neither folders nor what is neither a file nor a link.
            !tree.ignored.contains(&path)
        }
    }

    fn is_executable(&self, relative: &Utf8Path, metadata: &Metadata) -> bool {
        let modes = self.tree.map(|tree| &tree.modes);
        let modes = modes.filter(|modes| !modes.is_empty());
        match modes.and_then(|modes| modes.get(self.images.join(relative).as_std_path())) {
            Some(is_executable) => *is_executable,
            // Only the bit git keeps; the rest depends on the umask of the clone.
            None => metadata.permissions().mode() & 0o100 != 0,
        }
    }
}

fn special(kind: FileType) -> Special {
    if kind.is_fifo() {
        Special::Fifo
    } else if kind.is_socket() {
        Special::Socket
    } else {
        Special::Device
    }
}

#[cfg(test)]
mod tests;
