//! Writes files whole or not at all.
//!
//! Main type: [`AtomicFile`]. Called by `export`, `spec`, `run` and `cli`.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::NamedTempFile;

/// A file that is written beside the one it replaces; dropped without a commit, it is removed.
pub struct AtomicFile {
    new: NamedTempFile,
    path: PathBuf,
}

impl AtomicFile {
    /// Begins to write the file at `path`, whose folder must exist.
    pub fn create(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let new = tempfile::Builder::new()
            .prefix(&prefix(path))
            // The umask takes from these, as from those of any new file.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder.unwrap_or(Path::new(".")))?;
        // Some file systems have no locks; then nothing is ever removed as left by others.
        let _locked = new.as_file().try_lock();
        Ok(Self {
            new,
            path: path.to_owned(),
        })
    }

    /// Removes what processes that were killed have left of this file. What another process is still writing stays.
    pub fn remove_left(path: &Path) {
        let prefix = prefix(path);
        let folder = path.parent().filter(|folder| *folder != Path::new(""));
        let entries = std::fs::read_dir(folder.unwrap_or(Path::new(".")));
        for entry in entries.into_iter().flatten().flatten() {
            let is_ours = entry.file_name().to_string_lossy().starts_with(&prefix);
            let is_left = || {
                let file = File::options().write(true).open(entry.path()).ok()?;
                file.try_lock().ok()
            };
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            if is_ours && is_file && is_left().is_some() {
                // Another run may have removed it.
                let _gone = std::fs::remove_file(entry.path());
            }
        }
    }

    /// Returns the file to write to.
    pub fn as_file(&self) -> &File {
        self.new.as_file()
    }

    /// Puts the file in its place. A link there is replaced, not followed.
    pub fn commit(self) -> io::Result<()> {
        self.new.persist(&self.path).map_err(|error| error.error)?;
        Ok(())
    }
}

/// Returns how the names of unfinished files begin.
fn prefix(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    format!(".laminate-{}-", name.to_string_lossy())
}

/// How long a file of a cache is kept that is not written again.
const KEPT_FOR: Duration = Duration::from_secs(60 * 24 * 3600);

/// How much is kept of a cache, bytes.
const MOST_KEPT: u64 = 512 << 20;

/// Removes files of a cache that no run has written for long, and the oldest ones of a cache that is too large.
pub fn remove_old(folder: &Path) -> io::Result<()> {
    remove_but(folder, MOST_KEPT)
}

fn remove_but(folder: &Path, most: u64) -> io::Result<()> {
    let mut files = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        // Another run may have removed it.
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let age = metadata.modified()?.elapsed().unwrap_or_default();
        files.push((age, metadata.len(), entry.path()));
    }
    files.sort();
    let mut size = 0_u64;
    for (age, length, path) in files {
        size = size.saturating_add(length);
        if age > KEPT_FOR || size > most {
            let _gone = fs_err::remove_file(path);
        }
    }
    Ok(())
}

/// Writes a file so that its readers see either the old bytes or the new ones.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> io::Result<()> {
    let file = AtomicFile::create(path.as_ref())?;
    file.as_file().write_all(bytes)?;
    file.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs_err::read_dir(folder).expect("a folder");
        let entries = entries.map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<_> = entries
            .map(|name| name.to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_nothing_is_left_beside_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        for text in ["old", "new"] {
            write_atomically(&path, text.as_bytes()).expect("written");
            assert_eq!(fs_err::read_to_string(&path).expect("read"), text);
        }
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn an_unfinished_file_leaves_the_old_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        write_atomically(&path, b"old").expect("written");
        let file = AtomicFile::create(&path).expect("created");
        file.as_file().write_all(b"ne").expect("written");
        drop(file);
        assert_eq!(fs_err::read_to_string(&path).expect("read"), "old");
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_being_written_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        let file = AtomicFile::create(&path).expect("created");
        for name in [".laminate-a-killed", ".laminate-b-killed"] {
            fs_err::write(folder.path().join(name), "").expect("written");
        }
        AtomicFile::remove_left(&path);
        file.commit().expect("in its place");
        assert_eq!(names(folder.path()), [".laminate-b-killed", "a"]);
    }

    #[test]
    fn a_link_is_replaced_and_its_target_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let (link, target) = (folder.path().join("link"), folder.path().join("target"));
        fs_err::write(&target, "kept").expect("written");
        std::os::unix::fs::symlink("target", &link).expect("a link");
        write_atomically(&link, b"new").expect("written");
        assert_eq!(fs_err::read_to_string(&target).expect("read"), "kept");
        assert_eq!(fs_err::read_to_string(&link).expect("read"), "new");
    }

    #[test]
    fn a_new_file_has_the_permissions_of_any_other() {
        let folder = tempfile::tempdir().expect("a folder");
        let (ours, other) = (folder.path().join("ours"), folder.path().join("other"));
        write_atomically(&ours, b"").expect("written");
        fs_err::write(&other, "").expect("written");
        let mode = |path| {
            let metadata = fs_err::metadata(path).expect("a file");
            metadata.permissions().mode()
        };
        assert_eq!(mode(ours), mode(other));
    }

    #[test]
    fn old_files_of_a_cache_are_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, days: u64| {
            let path = folder.path().join(name);
            fs_err::write(&path, [0; 10]).expect("written");
            let age = Duration::from_secs(days * 24 * 3600);
            let time = std::time::SystemTime::now() - age;
            let file = File::options().write(true).open(path);
            file.expect("a file").set_modified(time).expect("its time");
        };
        for (name, days) in [("b", 2), ("old", 61), ("a", 1), ("c", 3)] {
            write(name, days);
        }
        remove_old(folder.path()).expect("a folder");
        assert_eq!(names(folder.path()), ["a", "b", "c"]);
        remove_but(folder.path(), 29).expect("a folder");
        assert_eq!(names(folder.path()), ["a", "b"]);
    }

    #[test]
    fn a_folder_that_does_not_exist_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = write_atomically(folder.path().join("no/a"), b"").expect_err("no folder");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
