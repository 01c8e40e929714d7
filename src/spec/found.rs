//! What of a stack was found on the disk, to look later whether it is still there as it was.
//!
//! Main type: [`Found`]. git compares files while laminate reads them: what it says is true of what was read if nothing changed
//! from before both to after both.

use std::path::{Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use nix::libc::{S_IFMT, S_IXUSR};

use super::content::{Content, Stamp};
use super::hashes::is_settled;
use super::load::{IMAGES, Layout};
use super::tree::{File, Files};
use crate::checkout::WorkTree;
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
    entries: Vec<Entry>,
}

/// One file or link. Folders are not looked at: git does not know them.
#[derive(Clone, Debug)]
enum Entry {
    Regular { content: Content, stamp: Stamp },
    Text(TextFile),
    Link { path: PathBuf, target: String },
    Missing(PathBuf),
}

/// A file beside `images/` whose whole text is read: the spec, the lock.
#[derive(Clone, Debug)]
pub struct TextFile {
    path: PathBuf,
    /// `None`: there was no such file.
    stamp: Option<Stamp>,
    /// Of the text that was read.
    digest: Option<Digest>,
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
    Written(Entry),
    Changed,
}

impl Found {
    /// Looks at the files that [`find`](super::find) found. `texts`: what else is read; `begun`: before the first of it was
    /// found.
    pub fn new(
        spec: &Utf8Path,
        layout: &Layout,
        files: &Files,
        tree: &WorkTree,
        texts: Vec<TextFile>,
        begun: Timestamp,
    ) -> Self {
        let disk = spec.parent().unwrap_or(Utf8Path::new(""));
        let disk = disk.join(&layout.images);
        let texts_count = texts.len();
        let mut entries: Vec<Entry> = texts.into_iter().map(Entry::Text).collect();
        entries.extend(files.iter().filter_map(|(path, file)| match file {
            File::Regular { content, .. } => {
                let (_, stamp) = content.place()?;
                let content = content.clone();
                Some(Entry::Regular { content, stamp })
            }
            File::Link { target } => Some(Entry::Link {
                path: disk.join(path.strip_prefix(IMAGES).ok()?).into(),
                target: target.clone(),
            }),
            File::Folder | File::Special(_) => None,
        }));
        // All that was found is in the tree.
        let is_complete = entries.len() - texts_count == tree.files.len();
        for path in tree.files.iter().filter(|_| !is_complete) {
            let inner = path.strip_prefix(&layout.images).ok();
            let Some(inner) = inner.and_then(Utf8Path::from_path) else {
                continue;
            };
            let file = files.get(&Utf8Path::new(IMAGES).join(inner));
            if !matches!(file, Some(File::Regular { .. } | File::Link { .. })) {
                entries.push(Entry::Missing(disk.join(inner).into()));
            }
        }
        Self {
            spec: spec.to_owned(),
            layout: layout.clone(),
            begun,
            entries,
        }
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
                    written.get_or_insert_with(|| self.entries.clone())[index] = entry;
                }
            }
        }
        match written {
            None => Again::Same,
            Some(entries) => Again::Written(Self {
                spec: self.spec.clone(),
                layout: self.layout.clone(),
                begun: self.begun,
                entries,
            }),
        }
    }
}

impl Entry {
    fn path(&self) -> &Path {
        match self {
            Self::Regular { content, .. } => {
                content.place().map_or(Path::new(""), |(path, _)| path)
            }
            Self::Text(TextFile { path, .. }) | Self::Link { path, .. } | Self::Missing(path) => {
                path
            }
        }
    }

    fn again(&self, begun: Timestamp) -> Look {
        match self {
            Self::Regular { content, stamp } => {
                let Some(now) = stamp_of(self.path()) else {
                    return Look::Changed;
                };
                if now == *stamp && is_settled(now, begun.as_nanosecond()) {
                    return Look::Same;
                }
                // Only these two of a mode count (git's documentation, gitformat-index(5), "mode").
                let is_other_mode = (now.mode ^ stamp.mode) & (S_IFMT | S_IXUSR) != 0;
                if is_other_mode || !content.is_as_read().unwrap_or(false) {
                    Look::Changed
                } else if now == *stamp {
                    Look::Same
                } else {
                    let content = content.clone();
                    Look::Written(Self::Regular {
                        content,
                        stamp: now,
                    })
                }
            }
            Self::Text(file) => file.again(begun),
            Self::Link { path, target } => match fs_err::read_link(path) {
                Ok(now) if now.as_os_str() == target.as_str() => Look::Same,
                _ => Look::Changed,
            },
            Self::Missing(path) => match fs_err::symlink_metadata(path) {
                Ok(metadata) if metadata.is_file() || metadata.is_symlink() => Look::Changed,
                _ => Look::Same,
            },
        }
    }
}

impl TextFile {
    /// Looks at a file before it is read; links are followed.
    pub fn find(path: &Utf8Path) -> Self {
        Self {
            path: path.into(),
            stamp: stamp_behind(path.as_std_path()),
            digest: None,
        }
    }

    /// Notes the text that was read of it.
    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        Self {
            digest: Some(Digest::of(text.as_bytes())),
            ..self
        }
    }

    fn again(&self, begun: Timestamp) -> Look {
        let now = stamp_behind(&self.path);
        match now {
            Some(now) if self.stamp == Some(now) && is_settled(now, begun.as_nanosecond()) => {
                return Look::Same;
            }
            None if self.digest.is_none() => return Look::Same,
            _ => {}
        }
        let text = fs_err::read(&self.path).ok();
        if text.map(|text| Digest::of(&text)) != self.digest {
            Look::Changed
        } else if now == self.stamp {
            Look::Same
        } else {
            Look::Written(Entry::Text(Self {
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

/// Returns the stamp of what a path leads to.
fn stamp_behind(path: &Path) -> Option<Stamp> {
    let metadata = fs_err::metadata(path).ok()?;
    Some(Stamp::of(&metadata))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::time::Duration;

    use super::*;
    use crate::spec::{find, hash};

    /// A stack with a file, a link, a lock, and a file of git's that is not there.
    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().expect("a folder"));
            fs_err::create_dir(world.path("images")).expect("a folder");
            for path in ["specs.yml", "specs.lock", "images/x"] {
                fs_err::write(world.path(path), "old").expect("written");
            }
            symlink("x", world.path("images/link")).expect("a link");
            world
        }

        fn path(&self, path: &str) -> Utf8PathBuf {
            let folder = Utf8Path::from_path(self.0.path()).expect("UTF-8");
            folder.join(path)
        }

        /// Finds everything and reads it.
        fn found(&self) -> Found {
            let begun = Timestamp::now();
            let spec = self.path("specs.yml");
            let layout = Layout::read(&spec).expect("inside");
            let texts = ["specs.yml", "specs.lock"].map(|name| {
                let file = TextFile::find(&self.path(name));
                match fs_err::read_to_string(self.path(name)) {
                    Ok(text) => file.with_text(&text),
                    Err(_) => file,
                }
            });
            let tree = WorkTree {
                files: ["images/x", "images/link", "images/gone"]
                    .map(PathBuf::from)
                    .into(),
                ..WorkTree::default()
            };
            let files = find(&spec, &layout, Some(&tree)).expect("read");
            hash(&files, &self.path(""), None, begun).expect("read");
            Found::new(&spec, &layout, &files, &tree, texts.into(), begun)
        }
    }

    /// Something that is done to a stack.
    type Act = fn(&World);

    const CHANGES: [(&str, Act); 9] = [
        ("images/x", |world| {
            fs_err::write(world.path("images/x"), "new").expect("written");
        }),
        ("images/x", |world| {
            let mode = std::fs::Permissions::from_mode(0o755);
            fs_err::set_permissions(world.path("images/x"), mode).expect("set");
        }),
        ("images/x", |world| {
            fs_err::remove_file(world.path("images/x")).expect("removed");
        }),
        ("images/link", |world| {
            fs_err::remove_file(world.path("images/link")).expect("removed");
            symlink("./x", world.path("images/link")).expect("a link");
        }),
        ("images/gone", |world| {
            fs_err::write(world.path("images/gone"), "").expect("written");
        }),
        ("specs.yml", |world| {
            fs_err::write(world.path("specs.yml"), "new").expect("written");
        }),
        ("specs.lock", |world| {
            fs_err::remove_file(world.path("specs.lock")).expect("removed");
        }),
        // The folder of the files is another one.
        ("specs.yml", |world| {
            fs_err::rename(world.path("images"), world.path("other")).expect("renamed");
            symlink("other", world.path("images")).expect("a link");
        }),
        ("specs.lock", |world| {
            fs_err::write(world.path("specs.lock"), "new").expect("written");
        }),
    ];

    #[test]
    fn what_changes_after_it_was_found_is_named() {
        for is_settled in [false, true] {
            let worlds = CHANGES.map(|_| World::new());
            if is_settled {
                std::thread::sleep(Duration::from_millis(2_100));
            }
            for ((path, change), world) in CHANGES.into_iter().zip(worlds) {
                let found = world.found();
                assert!(matches!(found.again(), Again::Same));
                change(&world);
                match found.again() {
                    Again::Changed(changed) => assert_eq!(changed, world.path(path)),
                    other => panic!("{path}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn a_lock_that_was_not_there_is_a_change() {
        let world = World::new();
        fs_err::remove_file(world.path("specs.lock")).expect("removed");
        let found = world.found();
        assert!(matches!(found.again(), Again::Same));
        fs_err::write(world.path("specs.lock"), "new").expect("written");
        assert!(matches!(found.again(), Again::Changed(_)));
    }

    #[test]
    fn a_file_that_was_put_back_was_written() {
        let world = World::new();
        std::thread::sleep(Duration::from_millis(2_100));
        for path in ["images/x", "specs.yml"] {
            let found = world.found();
            for text in ["new", "old"] {
                fs_err::write(world.path(path), text).expect("written");
            }
            let Again::Written(found) = found.again() else {
                panic!("{path} was not written");
            };
            assert!(matches!(found.again(), Again::Same), "{path}");
        }
    }
}
