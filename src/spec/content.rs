//! The content of a file under `images/`: in memory, or on the disk until it is needed.
//!
//! Main type: [`Content`]. `stack` sees it as a value; what reads the disk is here and in `load.rs`.

use std::fs::Metadata;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use sha2::{Digest as _, Sha256};

use crate::checkout::{BlobHasher, BlobId, ObjectFormat};
use crate::name::Digest;

/// The largest file that laminate itself reads, bytes: a list of packages, a declaration of an image.
const LARGEST_TEXT: u64 = 16 << 20;

/// How much is read at once, bytes: at most, and at least.
const PIECE: usize = 256 << 10;
const SMALLEST_PIECE: usize = 4 << 10;

/// The content of a regular file.
#[derive(Clone, Debug)]
pub struct Content(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    origin: Origin,
    digest: OnceLock<Digest>,
    blob: OnceLock<BlobId>,
    is_used: AtomicBool,
}

/// What was read of a content to hash it.
#[derive(Debug)]
pub struct Hashed {
    /// Its digest.
    pub digest: Digest,
    /// How git names it, if that was asked for, and the size was the one that was found.
    pub blob: Option<BlobId>,
    /// The stamp of the file after it was read.
    pub after: Option<Stamp>,
}

#[derive(Debug)]
enum Origin {
    Memory(Vec<u8>),
    Disk {
        path: PathBuf,
        stamp: Stamp,
        /// What was read of a file whose text counts, so that all of laminate sees the same.
        text: OnceLock<Vec<u8>>,
        /// Something else was read at this path, or nothing could be.
        is_other_read: AtomicBool,
    },
}

/// What the file system knows of a file's content: if it is the same, so is the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub size: u64,
    /// Its kind and permissions (inode(7), "The file type and mode").
    pub mode: u32,
    /// The time of the last change of the content, nanoseconds since 1970.
    pub modified: i128,
    /// The time of the last change of the file or its name, nanoseconds since 1970. Programs cannot set it.
    pub changed: i128,
    /// Its number in the file system.
    pub inode: u64,
}

impl Stamp {
    /// Returns the stamp of a file.
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            mode: metadata.mode(),
            modified: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
        }
    }
}

impl From<rustix::fs::Stat> for Stamp {
    fn from(stat: rustix::fs::Stat) -> Self {
        Self {
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            mode: stat.st_mode,
            modified: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            changed: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
            inode: stat.st_ino,
        }
    }
}

fn nanoseconds(seconds: impl Into<i128>, nanoseconds: impl Into<i128>) -> i128 {
    seconds.into() * 1_000_000_000 + nanoseconds.into()
}

impl From<&[u8]> for Content {
    fn from(bytes: &[u8]) -> Self {
        Self(Arc::new(Inner {
            origin: Origin::Memory(bytes.to_vec()),
            digest: OnceLock::new(),
            blob: OnceLock::new(),
            is_used: AtomicBool::new(false),
        }))
    }
}

impl Content {
    /// Returns the content of a regular file; it is not read yet.
    pub fn on_disk(path: PathBuf, stamp: Stamp) -> Self {
        Self(Arc::new(Inner {
            origin: Origin::Disk {
                path,
                stamp,
                text: OnceLock::new(),
                is_other_read: AtomicBool::new(false),
            },
            digest: OnceLock::new(),
            blob: OnceLock::new(),
            is_used: AtomicBool::new(false),
        }))
    }

    /// Returns the size, bytes.
    pub fn size(&self) -> u64 {
        match &self.0.origin {
            Origin::Memory(bytes) => bytes.len() as u64,
            Origin::Disk { stamp, .. } => stamp.size,
        }
    }

    /// Returns the digest of the content. The file of a used content was hashed when the stack was loaded.
    pub fn digest(&self) -> &Digest {
        self.0.digest.get_or_init(|| match &self.0.origin {
            Origin::Memory(bytes) => Digest::of(bytes),
            Origin::Disk { path, .. } => panic!("{} was not hashed", path.display()),
        })
    }

    /// Returns where the content is on the disk, and its stamp; `None` if it is in memory.
    pub fn place(&self) -> Option<(&Path, Stamp)> {
        match &self.0.origin {
            Origin::Memory(_) => None,
            Origin::Disk { path, stamp, .. } => Some((path, *stamp)),
        }
    }

    /// Notes that the content counts: the stack uses the file.
    pub fn note_used(&self) {
        self.0.is_used.store(true, Ordering::Relaxed);
    }

    /// Whether the content counts.
    pub fn is_used(&self) -> bool {
        self.is_text_read() || self.0.is_used.load(Ordering::Relaxed)
    }

    /// Whether the text of the file was read.
    pub fn is_text_read(&self) -> bool {
        matches!(&self.0.origin, Origin::Disk { text, .. } if text.get().is_some())
    }

    /// Returns the content of a file whose text counts when the spec is read. Fails for a file that is
    /// too large to be one.
    pub fn text(&self) -> std::io::Result<&[u8]> {
        let (path, text) = match &self.0.origin {
            Origin::Memory(bytes) => return Ok(bytes),
            Origin::Disk { path, text, .. } => (path, text),
        };
        if let Some(bytes) = text.get() {
            return Ok(bytes);
        }
        let (bytes, _after) = self.noted(read_text(path))?;
        if bytes.len() as u64 > LARGEST_TEXT {
            let reason = format!("larger than {} MiB", LARGEST_TEXT >> 20);
            return Err(std::io::Error::new(
                std::io::ErrorKind::FileTooLarge,
                reason,
            ));
        }
        Ok(text.get_or_init(|| bytes))
    }

    /// Returns the first bytes, at most `count`.
    pub fn start(&self, count: usize) -> std::io::Result<Vec<u8>> {
        match &self.0.origin {
            Origin::Memory(bytes) => Ok(bytes[..bytes.len().min(count)].to_vec()),
            Origin::Disk { path, .. } => {
                let mut bytes = Vec::new();
                open(path)?.take(count as u64).read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// Returns all bytes, as they are now.
    pub fn bytes(&self) -> std::io::Result<Vec<u8>> {
        match &self.0.origin {
            Origin::Memory(bytes) => Ok(bytes.clone()),
            Origin::Disk { path, .. } => {
                let mut bytes = Vec::new();
                open(path)?.read_to_end(&mut bytes)?;
                Ok(bytes)
            }
        }
    }

    /// Notes whether what was read is the file that was found. If it cannot be read, it may be gone.
    fn noted<T>(&self, read: std::io::Result<(T, Stamp)>) -> std::io::Result<(T, Stamp)> {
        if let Origin::Disk {
            path,
            stamp,
            is_other_read,
            ..
        } = &self.0.origin
        {
            let after = match &read {
                Ok((_, after)) => Some(*after),
                Err(_) => {
                    let now = fs_err::symlink_metadata(path);
                    now.ok().map(|now| Stamp::of(&now))
                }
            };
            if after != Some(*stamp) {
                is_other_read.store(true, Ordering::Relaxed);
            }
        }
        read
    }

    /// Whether another file was at its path when it was read, none, or one that had changed.
    pub fn is_other_read(&self) -> bool {
        match &self.0.origin {
            Origin::Memory(_) => false,
            Origin::Disk { is_other_read, .. } => is_other_read.load(Ordering::Relaxed),
        }
    }

    /// Sets the hashes of a file that has this stamp.
    pub fn set_hashes(&self, digest: Digest, blob: Option<BlobId>) {
        // A second one is the same.
        let _same = self.0.digest.set(digest);
        if let Some(blob) = blob {
            let _same = self.0.blob.set(blob);
        }
    }

    /// Whether its digest is known, and with a format how git names it.
    pub fn is_hashed(&self, format: Option<ObjectFormat>) -> bool {
        self.0.digest.get().is_some() && (format.is_none() || self.0.blob.get().is_some())
    }

    /// Returns how git names what was read, if that was asked for.
    pub fn blob(&self) -> Option<&BlobId> {
        self.0.blob.get()
    }

    /// Reads the file and returns its hashes, in memory of a constant size. `format`: how git hashes it.
    pub fn hash(&self, format: Option<ObjectFormat>) -> std::io::Result<Hashed> {
        let in_memory = |bytes: &[u8]| Hashed {
            digest: Digest::of(bytes),
            blob: format.map(|format| BlobId::of(format, bytes)),
            after: None,
        };
        match &self.0.origin {
            Origin::Memory(bytes) => Ok(in_memory(bytes)),
            Origin::Disk {
                path, text, stamp, ..
            } => match text.get() {
                Some(text) => Ok(in_memory(text)),
                None => {
                    let read = hash_file(path, stamp.size, format);
                    let ((digest, blob), after) = self.noted(read)?;
                    Ok(Hashed {
                        digest,
                        blob,
                        after: Some(after),
                    })
                }
            },
        }
    }

    /// Notes that the file changed if its text was read before or after that and is not what was hashed.
    pub fn compare_text(&self) {
        if let (
            Origin::Disk {
                text,
                is_other_read,
                ..
            },
            Some(digest),
        ) = (&self.0.origin, self.0.digest.get())
            && text.get().is_some_and(|text| Digest::of(text) != *digest)
        {
            is_other_read.store(true, Ordering::Relaxed);
        }
    }

    /// Returns whether the file has the bytes that were read of it, now. Of one that was not read, any are the same.
    pub fn is_as_read(&self) -> std::io::Result<bool> {
        let Origin::Disk {
            path, text, stamp, ..
        } = &self.0.origin
        else {
            return Ok(true);
        };
        let text = text.get().map(|text| Digest::of(text));
        let mut read = text.iter().chain(self.0.digest.get()).peekable();
        if read.peek().is_none() {
            return Ok(true);
        }
        let ((now, _), _) = hash_file(path, stamp.size, None)?;
        Ok(read.all(|digest| *digest == now))
    }
}

/// Reads a text; of one that is larger than [`LARGEST_TEXT`], a byte more than that.
fn read_text(path: &Path) -> std::io::Result<(Vec<u8>, Stamp)> {
    let mut file = open(path)?;
    let mut bytes = Vec::new();
    (&mut file).take(LARGEST_TEXT + 1).read_to_end(&mut bytes)?;
    let stamp = Stamp::of(&file.metadata()?);
    Ok((bytes, stamp))
}

/// The hashes of a file, and its stamp after it was read.
type HashedFile = ((Digest, Option<BlobId>), Stamp);

/// Reads a file that has about this size, bytes. git's hash needs the exact one.
fn hash_file(path: &Path, size: u64, format: Option<ObjectFormat>) -> std::io::Result<HashedFile> {
    let mut file = open(path)?;
    let mut hash = Sha256::new();
    let mut blob = format.map(|format| BlobHasher::new(format, size));
    let mut total = 0;
    // One byte more: a file that did not grow is read at once.
    let most = usize::try_from(size).unwrap_or(PIECE);
    let mut piece = vec![0; most.saturating_add(1).clamp(SMALLEST_PIECE, PIECE)];
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            break;
        }
        total += count as u64;
        hash.update(&piece[..count]);
        if let Some(blob) = &mut blob {
            blob.update(&piece[..count]);
        }
    }
    let stamp = Stamp::of(&file.metadata()?);
    let blob = blob.filter(|_| total == size).map(BlobHasher::finish);
    Ok(((Digest::from_sha256(hash), blob), stamp))
}

/// Opens a file that was a regular one; what took its place is not followed or waited for.
fn open(path: &Path) -> std::io::Result<fs_err::File> {
    use fs_err::os::unix::fs::OpenOptionsExt as _;
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = fs_err::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        let reason = format!("`{}` is no longer a regular file", path.display());
        return Err(std::io::Error::other(reason));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_disk(path: &Path) -> Content {
        let metadata = fs_err::symlink_metadata(path).expect("a file");
        Content::on_disk(path.to_owned(), Stamp::of(&metadata))
    }

    #[test]
    fn a_file_has_the_digest_of_its_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        let bytes = vec![7; PIECE + 1];
        fs_err::write(&path, &bytes).expect("written");
        let content = on_disk(&path);
        let hashed = content.hash(Some(ObjectFormat::Sha1)).expect("read");
        assert_eq!(&hashed.digest, Content::from(bytes.as_slice()).digest());
        let blob = BlobId::of(ObjectFormat::Sha1, &bytes);
        assert_eq!(hashed.blob, Some(blob));
        assert_eq!(content.size(), bytes.len() as u64);
        assert_eq!(content.start(2).expect("read"), [7, 7]);
    }

    #[test]
    fn a_text_is_read_once_and_hashed_as_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        fs_err::write(&path, "old").expect("written");
        let content = on_disk(&path);
        assert_eq!(content.text().expect("read"), b"old");
        fs_err::write(&path, "new").expect("written");
        assert_eq!(content.hash(None).expect("read").digest, Digest::of(b"old"));
    }

    #[test]
    fn a_link_in_place_of_a_file_is_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        fs_err::write(&path, "old").expect("written");
        let content = on_disk(&path);
        fs_err::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("a link");
        assert!(content.hash(None).is_err() && content.bytes().is_err());
    }

    #[test]
    fn a_file_that_cannot_be_read_did_not_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("x");
        fs_err::write(&path, "x").expect("written");
        let content = on_disk(&path);
        let denied = || Err::<((), Stamp), _>(std::io::ErrorKind::PermissionDenied.into());
        assert!(content.noted(denied()).is_err());
        assert!(!content.is_other_read());
        fs_err::remove_file(&path).expect("removed");
        assert!(content.noted(denied()).is_err());
        assert!(content.is_other_read());
    }
}
