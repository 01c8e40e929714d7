//! Where an archive is written: a regular file is replaced when the archive is complete, a device or FIFO is written to.

use std::fs::{self, File, FileType};
use std::io;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use crate::disk::AtomicFile;

/// Where an archive is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A regular file, or none yet.
    File(PathBuf),
    /// A character device or FIFO, which is written to as it is.
    Stream(PathBuf),
}

/// Why no archive can be written to a path.
#[derive(Debug, thiserror::Error)]
#[error("cannot write an archive to {}: it is {found}", .path.display())]
pub struct InvalidTarget {
    path: PathBuf,
    found: &'static str,
}

/// Links to the process's own open files, which are written to and not replaced.
const OPEN_FILES: [&str; 4] = ["/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/"];

impl Target {
    /// Looks at a path. A link is followed: what it leads to is replaced or written to, and the link stays.
    pub fn of(path: &Path) -> Result<Self, InvalidTarget> {
        let invalid = |found| InvalidTarget {
            path: path.to_owned(),
            found,
        };
        let text = path.to_string_lossy();
        if OPEN_FILES.iter().any(|open| text.starts_with(open)) {
            return Ok(Self::Stream(path.to_owned()));
        }
        let Ok(metadata) = fs::symlink_metadata(path) else {
            // Its folder is looked at when the file is created.
            return Ok(Self::File(path.to_owned()));
        };
        if !metadata.is_symlink() {
            return Self::of_type(path.to_owned(), metadata.file_type()).map_err(invalid);
        }
        let target = fs::canonicalize(path).map_err(|_| invalid("a link to nothing"))?;
        let metadata = fs::metadata(&target).map_err(|_| invalid("a link to nothing"))?;
        Self::of_type(target, metadata.file_type()).map_err(invalid)
    }

    fn of_type(path: PathBuf, kind: FileType) -> Result<Self, &'static str> {
        if kind.is_file() {
            Ok(Self::File(path))
        } else if kind.is_char_device() || kind.is_fifo() {
            Ok(Self::Stream(path))
        } else if kind.is_dir() {
            Err("a folder")
        } else if kind.is_block_device() {
            Err("a block device")
        } else {
            Err("a socket")
        }
    }
}

/// An archive that is being written.
pub(super) enum Output {
    File(AtomicFile),
    Stream(File),
}

impl Output {
    /// Opens it. A FIFO is waited for until someone reads it.
    pub async fn open(target: Target) -> io::Result<Self> {
        match target {
            Target::File(path) => {
                AtomicFile::remove_left(&path);
                AtomicFile::create(&path).map(Self::File)
            }
            Target::Stream(path) => {
                let open = move || File::options().write(true).open(path);
                let opened = tokio::task::spawn_blocking(open).await;
                opened.map_err(io::Error::other)?.map(Self::Stream)
            }
        }
    }

    pub fn as_file(&self) -> &File {
        match self {
            Self::File(file) => file.as_file(),
            Self::Stream(file) => file,
        }
    }

    /// Puts a file in its place.
    pub fn finish(self) -> io::Result<()> {
        match self {
            Self::File(file) => {
                file.as_file().sync_all()?;
                file.commit()
            }
            Self::Stream(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().canonicalize().expect("a path").join(name);
        let target = |name: &str| Target::of(&at(name)).map_err(|invalid| invalid.found);
        assert_eq!(target("new"), Ok(Target::File(at("new"))));
        fs_err::write(at("old"), "x").expect("written");
        assert_eq!(target("old"), Ok(Target::File(at("old"))));
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, at(name)).expect("a link");
        link("old", "link");
        assert_eq!(target("link"), Ok(Target::File(at("old"))));
        link("nothing", "dangling");
        assert_eq!(target("dangling"), Err("a link to nothing"));
        link("/dev/null", "null");
        assert_eq!(target("null"), Ok(Target::Stream("/dev/null".into())));
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("a socket");
        assert_eq!(target("socket"), Err("a socket"));
        assert_eq!(target("."), Err("a folder"));
        assert_eq!(
            Target::of(Path::new("/dev/stdout")).map_err(|invalid| invalid.found),
            Ok(Target::Stream("/dev/stdout".into()))
        );
    }

    #[tokio::test]
    async fn a_device_stays_a_device() {
        let target = Target::of(Path::new("/dev/null")).expect("a device");
        let output = Output::open(target).await.expect("opened");
        output.finish().expect("finished");
        let kind = fs::symlink_metadata("/dev/null")
            .expect("it is there")
            .file_type();
        assert!(kind.is_char_device());
    }
}
