//! Hashes the files that a stack uses, and keeps the digests for the next run.
//!
//! As git's index does, the cache takes a file for unchanged if its size, times and inode are. A file
//! that was changed when it was looked at could change again without another time: its digest is not kept.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use camino::Utf8Path;
use jiff::Timestamp;

use super::content::{Content, Hashed, Stamp};
use super::load::Unreadable;
use super::tree::{File, Files};
use crate::checkout::{BlobId, ObjectFormat};
use crate::disk::{remove_old, write_atomically};
use crate::name::Digest;
use crate::parallel;
use crate::trace::{self, Track};

/// The first line of a cache; another one is not read.
const HEADER: &str = "laminate digests 3";

/// In place of git's hash of a file that is in no repository.
const NO_BLOB: &str = "-";

/// How long ago the last change of a file must be for its digest to be kept, nanoseconds: no file system
/// in use keeps times less exactly.
const SETTLED: i128 = 2_000_000_000;

/// The cache is written if at least this many bytes or files had to be read.
const WORTH_KEEPING: (u64, usize) = (1 << 20, 1000);

/// What files are hashed for.
#[derive(Clone, Copy, Debug)]
pub struct Hashing<'a> {
    /// The folder of the stack.
    pub stack: &'a Utf8Path,
    /// The folder of the caches of all stacks.
    pub cache: Option<&'a Path>,
    /// Before the files were found.
    pub begun: Timestamp,
    /// How git hashes them; `None`: it does not matter how git names them.
    pub format: Option<ObjectFormat>,
}

/// Sets the digest of each regular file of those that a stack uses.
pub fn hash(files: &Files, hashing: &Hashing<'_>) -> Result<(), Unreadable> {
    let contents = files.iter().filter_map(|(path, file)| match file {
        File::Regular { content, .. } => Some((Cow::Borrowed(path.as_path()), content)),
        _ => None,
    });
    let contents: Vec<_> = contents.collect();
    for (_, content) in &contents {
        content.note_used();
    }
    hash_contents(&contents, hashing)?;
    for (_, content) in contents {
        content.compare_text();
    }
    Ok(())
}

/// A content, and its path below `images/`.
pub(super) type Named<'a> = (Cow<'a, Utf8Path>, &'a Content);

/// Sets the hashes of contents that have none. If some cannot be read, all others have them.
pub(super) fn hash_contents(list: &[Named<'_>], hashing: &Hashing<'_>) -> Result<(), Unreadable> {
    let format = hashing.format;
    let is_open =
        |(_, content): &&Named<'_>| content.place().is_some() && !content.is_hashed(format);
    let list: Vec<&Named<'_>> = list.iter().filter(is_open).collect();
    if list.is_empty() {
        return Ok(());
    }
    let mut span = trace::span(Track::Spec, || "hash the files".to_owned());
    let cache = hashing.cache;
    let cache = cache.and_then(|folder| Cache::read(folder, hashing.stack));
    let entries = cache.as_ref().map(Cache::entries).unwrap_or_default();
    let begun = hashing.begun.as_nanosecond();
    let mut open: Vec<&Named<'_>> = Vec::new();
    let mut kept: Vec<(&Utf8Path, Stamp, &Content)> = Vec::new();
    for named in list {
        let (path, content) = named;
        let Some((_, stamp)) = content.place() else {
            continue;
        };
        // Of a text that was read, that counts: the file may have changed since it was found.
        let known = entries
            .get(path.as_str())
            .filter(|_| !content.is_text_read());
        match known.and_then(|known| known.hashes(stamp, format)) {
            Some((digest, blob)) => {
                content.set_hashes(digest, blob);
                kept.push((path, stamp, content));
            }
            None => open.push(named),
        }
    }
    span.note("files known", kept.len());
    span.note("files read", open.len());
    let (mut bytes, count) = (0, open.len());
    let all = parallel::map(&open, |(_, content)| content.hash(format));
    let mut failure = None;
    for ((path, content), hashed) in open.into_iter().zip(all) {
        let Hashed {
            digest,
            blob,
            after,
        } = match hashed {
            Ok(hashed) => hashed,
            Err(error) => {
                failure.get_or_insert(error);
                continue;
            }
        };
        content.set_hashes(digest, blob);
        bytes += content.size();
        let stamp = content.place().map(|(_, stamp)| stamp);
        if let (Some(before), Some(after)) = (stamp, after)
            && before == after
            && is_settled(before, begun)
        {
            kept.push((path, before, content));
        }
    }
    span.note("bytes read", bytes);
    if let Some(cache) = cache
        && (bytes >= WORTH_KEEPING.0 || count >= WORTH_KEEPING.1)
    {
        cache.write(&kept);
    }
    failure.map_or(Ok(()), |error| Err(error.into()))
}

/// Whether the last change of a file was so long before a time, nanoseconds since 1970, that another one since then would show
/// in its stamp.
pub(super) fn is_settled(stamp: Stamp, time: i128) -> bool {
    stamp.modified.max(stamp.changed) + SETTLED < time
}

/// The digests of one stack's files that an earlier run kept.
struct Cache {
    path: PathBuf,
    text: String,
}

/// What an earlier run kept of a file.
struct Known<'a> {
    stamp: Stamp,
    /// The hex digits of its digest.
    digest: &'a str,
    /// How git names it.
    blob: Option<&'a str>,
}

impl Known<'_> {
    /// Returns the hashes of a file with this stamp; `None` if it changed.
    fn hashes(
        &self,
        stamp: Stamp,
        format: Option<ObjectFormat>,
    ) -> Option<(Digest, Option<BlobId>)> {
        let has_blob = format.is_none() || self.blob.map(ObjectFormat::of_hash) == format;
        if self.stamp != stamp || !has_blob {
            return None;
        }
        let digest = Digest::parse(&["sha256:", self.digest].concat()).ok()?;
        Some((digest, self.blob.map(BlobId::from_hex)))
    }
}

impl Cache {
    /// Reads the cache of a stack; an unreadable one is empty.
    fn read(folder: &Path, stack: &Utf8Path) -> Option<Self> {
        let stack = fs_err::canonicalize(stack).ok()?;
        let name = Digest::of(stack.as_os_str().as_encoded_bytes());
        let path = folder.join(name.short());
        let text = fs_err::read_to_string(&path).unwrap_or_default();
        Some(Self { path, text })
    }

    /// Returns what was kept, by path.
    fn entries(&self) -> HashMap<&str, Known<'_>> {
        parse(&self.text)
    }

    /// Writes the cache. Without it the next run reads the files, so a failure is none.
    fn write(&self, entries: &[(&Utf8Path, Stamp, &Content)]) {
        let Some(folder) = self.path.parent() else {
            return;
        };
        let _cached = fs_err::create_dir_all(folder).and_then(|()| {
            remove_old(folder)?;
            write_atomically(&self.path, text(entries).as_bytes())
        });
    }
}

fn text(entries: &[(&Utf8Path, Stamp, &Content)]) -> String {
    let mut text = format!("{HEADER}\n");
    for (path, stamp, content) in entries {
        if path.as_str().contains('\n') {
            continue;
        }
        let Stamp {
            size,
            mode,
            modified,
            changed,
            inode,
        } = stamp;
        let hex = content.digest().hex();
        let blob = content.blob().map_or(NO_BLOB, BlobId::hex);
        let _ = writeln!(
            text,
            "{size} {mode} {modified} {changed} {inode} {hex} {blob} {path}"
        );
    }
    text
}

/// Parses what [`text`] returns; nothing of another text.
fn parse(text: &str) -> HashMap<&str, Known<'_>> {
    fn entry(line: &str) -> Option<(&str, Known<'_>)> {
        let mut words = line.splitn(8, ' ');
        let stamp = Stamp {
            size: words.next()?.parse().ok()?,
            mode: words.next()?.parse().ok()?,
            modified: words.next()?.parse().ok()?,
            changed: words.next()?.parse().ok()?,
            inode: words.next()?.parse().ok()?,
        };
        let digest = words.next()?;
        let blob = Some(words.next()?).filter(|blob| *blob != NO_BLOB);
        let known = Known {
            stamp,
            digest,
            blob,
        };
        Some((words.next()?, known))
    }
    let list = text.strip_prefix(HEADER).unwrap_or_default();
    list.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack's folder with one file, and a folder for its cache.
    struct World {
        folder: tempfile::TempDir,
    }

    impl World {
        fn new(bytes: &[u8]) -> Self {
            let world = Self {
                folder: tempfile::tempdir().expect("a folder"),
            };
            world.write(bytes);
            world
        }

        fn file(&self) -> PathBuf {
            self.folder.path().join("x")
        }

        fn cache(&self) -> PathBuf {
            self.folder.path().join("cache")
        }

        fn write(&self, bytes: &[u8]) {
            fs_err::write(self.file(), bytes).expect("written");
        }

        /// Finds the file.
        fn files(&self) -> (Files, Content) {
            let metadata = fs_err::symlink_metadata(self.file()).expect("a file");
            let content = Content::on_disk(self.file(), Stamp::of(&metadata));
            let mut files = Files::default();
            let file = File::Regular {
                content: content.clone(),
                executable: false,
            };
            files.insert("images/x", file);
            (files, content)
        }

        /// Hashes the file and returns its digest.
        fn hash(&self) -> Digest {
            let (files, content) = self.files();
            let stack = Utf8Path::from_path(self.folder.path()).expect("UTF-8");
            let begun = Timestamp::now();
            let cache = self.cache();
            let hashing = Hashing {
                stack,
                cache: Some(&cache),
                begun,
                format: Some(ObjectFormat::Sha1),
            };
            hash(&files, &hashing).expect("read");
            content.digest().clone()
        }

        /// Replaces the digest in the cache, if there is one.
        fn forge(&self) -> bool {
            let Ok(entries) = fs_err::read_dir(self.cache()) else {
                return false;
            };
            let paths: Vec<PathBuf> = entries.map(|e| e.expect("an entry").path()).collect();
            for path in &paths {
                let text = fs_err::read_to_string(path).expect("read");
                let digest = Digest::of(&fs_err::read(self.file()).expect("read"));
                let text = text.replace(digest.hex(), &"0".repeat(64));
                fs_err::write(path, text).expect("written");
            }
            !paths.is_empty()
        }
    }

    fn forged() -> Digest {
        Digest::parse(&format!("sha256:{}", "0".repeat(64))).expect("a digest")
    }

    #[test]
    fn a_file_that_just_changed_is_read_each_time() {
        let bytes = vec![1; 2 << 20];
        let world = World::new(&bytes);
        assert_eq!(world.hash(), Digest::of(&bytes));
        let cache = fs_err::read_dir(world.cache()).expect("written").next();
        let cache = cache.expect("one").expect("an entry").path();
        let text = fs_err::read_to_string(cache).expect("read");
        assert_eq!(text, format!("{HEADER}\n"));
    }

    #[test]
    fn a_settled_file_is_read_once_and_again_when_it_changes() {
        let bytes = vec![1; 2 << 20];
        let world = World::new(&bytes);
        std::thread::sleep(std::time::Duration::from_millis(2_100));
        assert_eq!(world.hash(), Digest::of(&bytes));
        assert!(world.forge());
        assert_eq!(world.hash(), forged(), "it was read again");
        let bytes = vec![2; 2 << 20];
        world.write(&bytes);
        assert_eq!(world.hash(), Digest::of(&bytes));
    }

    #[test]
    fn a_small_stack_keeps_no_cache() {
        let world = World::new(b"small");
        assert_eq!(world.hash(), Digest::of(b"small"));
        assert!(!world.cache().exists());
    }

    #[test]
    fn a_cache_of_another_version_is_empty() {
        assert!(parse("laminate digests 2\n1 2 3 4 5 6\n").is_empty());
        assert!(parse("").is_empty());
    }
}
