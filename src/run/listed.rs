//! Lists of the files of images, kept on this machine: a check of another policy need not read an image again.
//!
//! Main type: [`Lists`]. What an image has is known by its digest, so a list is never out of date. An image that a run
//! builds has none yet when its files are read: its list is a [`Pending`] one until then.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tempfile::{NamedTempFile, TempPath};

use crate::checks::{Entry, Kind, Tree};
use crate::disk::remove_old;
use crate::llb::Platform;
use crate::name::{Digest, Reference};

/// The first field of a list; another one is not read.
const HEADER: &str = "laminate files 1";

/// Ends each field: no path has this byte.
const END: u8 = 0;

/// The folder of the lists.
#[derive(Clone, Debug)]
pub struct Lists {
    folder: PathBuf,
    /// Old lists are removed before the first one is written.
    removed_old: Arc<Once>,
}

impl Lists {
    /// Begins with a folder, which need not be there.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            removed_old: Arc::new(Once::new()),
        }
    }

    /// Returns all files of an image for a platform, if they were [kept](Self::keep). `None` for a reference without digest.
    pub fn get(&self, reference: &Reference, platform: &Platform) -> Option<Tree> {
        let digest = reference.digest.as_ref()?;
        let file = fs_err::File::open(self.path(digest, platform)).ok()?;
        let mut content = Vec::new();
        // It fails for a file that is not whole.
        GzDecoder::new(file).read_to_end(&mut content).ok()?;
        parse(&content)
    }

    /// Keeps all files of an image. Without them the next check reads the image, so a failure is none.
    pub fn keep(&self, reference: &Reference, platform: &Platform, tree: &Tree) {
        if let (Some(digest), Some(list)) = (&reference.digest, self.write(tree)) {
            list.keep(digest, platform);
        }
    }

    /// Writes all files of an image that a run has built. `None` if they may not be those of the image that is stored: a
    /// layer has no sockets. Also if the list cannot be written, which fails nothing.
    pub fn pending(&self, tree: &Tree) -> Option<Pending> {
        let is_stored = |entry: &Entry| entry.kind != Kind::Other;
        let is_stored = tree.0.values().all(is_stored);
        is_stored.then(|| self.write(tree)).flatten()
    }

    fn write(&self, tree: &Tree) -> Option<Pending> {
        fs_err::create_dir_all(&self.folder).ok()?;
        self.removed_old.call_once(|| {
            // Another run may remove one at the same time.
            let _removed = remove_old(&self.folder);
        });
        let mut file = NamedTempFile::new_in(&self.folder).ok()?;
        file.write_all(&content(tree).ok()?).ok()?;
        Some(Pending {
            lists: self.clone(),
            file: file.into_temp_path(),
        })
    }

    fn path(&self, digest: &Digest, platform: &Platform) -> PathBuf {
        let Platform {
            os,
            architecture,
            variant,
        } = platform;
        let name = format!("{digest} {os}/{architecture}/{variant}");
        self.folder.join(Digest::of(name.as_bytes()).hex())
    }
}

/// The files of an image whose digest is not known yet; dropped, they are removed.
#[derive(Debug)]
pub struct Pending {
    lists: Lists,
    /// Closed: a run may have thousands of them.
    file: TempPath,
}

impl Pending {
    /// Keeps them for the image with a digest. Without them the next check reads the image, so a failure is none.
    pub fn keep(self, digest: &Digest, platform: &Platform) {
        let path = self.lists.path(digest, platform);
        let _kept = self.file.persist(path);
    }
}

/// Returns the text of a list, compressed.
fn content(tree: &Tree) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(HEADER.as_bytes())?;
    encoder.write_all(&[END])?;
    for (path, entry) in &tree.0 {
        let Entry {
            kind,
            mode,
            uid,
            gid,
            size,
            capabilities,
        } = entry;
        let kind = letter(*kind);
        write!(
            encoder,
            "{kind} {mode} {uid} {gid} {size} {capabilities} {path}"
        )?;
        encoder.write_all(&[END])?;
    }
    encoder.finish()
}

/// Parses what [`content`] compresses. `None` for another text.
fn parse(content: &[u8]) -> Option<Tree> {
    let text = std::str::from_utf8(content).ok()?;
    let mut fields = text.split_terminator(char::from(END));
    if fields.next() != Some(HEADER) {
        return None;
    }
    let entries = fields.map(|field| {
        let mut words = field.splitn(7, ' ');
        let entry = Entry {
            kind: kind(words.next()?)?,
            mode: words.next()?.parse().ok()?,
            uid: words.next()?.parse().ok()?,
            gid: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
            capabilities: words.next()?.parse().ok()?,
        };
        Some((words.next()?.to_owned(), entry))
    });
    entries.collect::<Option<_>>().map(Tree)
}

/// As `find -type` has them.
fn letter(kind: Kind) -> char {
    match kind {
        Kind::Regular => 'f',
        Kind::Folder => 'd',
        Kind::Link => 'l',
        Kind::Other => 'o',
    }
}

fn kind(letter: &str) -> Option<Kind> {
    match letter {
        "f" => Some(Kind::Regular),
        "d" => Some(Kind::Folder),
        "l" => Some(Kind::Link),
        "o" => Some(Kind::Other),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform(architecture: &str) -> Platform {
        Platform {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: String::new(),
        }
    }

    fn reference(digit: char) -> Reference {
        let digest = digit.to_string().repeat(64);
        let text = format!("registry.example/a@sha256:{digest}");
        text.parse().expect("a reference")
    }

    fn tree() -> Tree {
        let kinds = [Kind::Regular, Kind::Folder, Kind::Link, Kind::Other];
        let entries = kinds.into_iter().enumerate().map(|(number, kind)| {
            let entry = Entry {
                kind,
                mode: 0o4755,
                uid: u32::MAX,
                gid: 7,
                size: u64::MAX,
                capabilities: u64::MAX,
            };
            (format!("/a b\n{number}"), entry)
        });
        Tree(entries.collect())
    }

    #[test]
    fn a_list_is_that_of_a_digest_and_a_platform() {
        let folder = tempfile::tempdir().expect("a folder");
        let lists = Lists::new(&folder.path().join("new"));
        let (here, there) = (platform("amd64"), platform("arm64"));
        assert_eq!(lists.get(&reference('a'), &here), None);
        lists.keep(&reference('a'), &here, &tree());
        assert_eq!(lists.get(&reference('a'), &here), Some(tree()));
        assert_eq!(lists.get(&reference('a'), &there), None);
        assert_eq!(lists.get(&reference('b'), &here), None);
    }

    #[test]
    fn files_of_a_built_image_are_kept_once_its_digest_is_known() {
        let folder = tempfile::tempdir().expect("a folder");
        let lists = Lists::new(&folder.path().join("new"));
        let mut tree = tree();
        // A layer has no sockets, and the list cannot tell one from a FIFO.
        assert!(lists.pending(&tree).is_none());
        tree.0.retain(|_, entry| entry.kind != Kind::Other);
        let (kept, dropped) = (lists.pending(&tree), lists.pending(&tree));
        let (reference, platform) = (reference('a'), platform("amd64"));
        let digest = reference.digest.clone().expect("a digest");
        kept.expect("a list").keep(&digest, &platform);
        drop(dropped);
        assert_eq!(lists.get(&reference, &platform), Some(tree));
        let files = fs_err::read_dir(folder.path().join("new")).expect("a folder");
        assert_eq!(files.count(), 1);
    }

    #[test]
    fn an_image_without_files_has_a_list() {
        let folder = tempfile::tempdir().expect("a folder");
        let lists = Lists::new(folder.path());
        lists.keep(&reference('a'), &platform("amd64"), &Tree::default());
        let found = lists.get(&reference('a'), &platform("amd64"));
        assert_eq!(found, Some(Tree::default()));
    }

    #[test]
    fn a_list_that_is_not_whole_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let lists = Lists::new(folder.path());
        lists.keep(&reference('a'), &platform("amd64"), &tree());
        let file = fs_err::read_dir(folder.path()).expect("a folder").next();
        let path = file.expect("a file").expect("read").path();
        let whole = fs_err::read(&path).expect("read");
        for length in 0..whole.len() {
            fs_err::write(&path, &whole[..length]).expect("written");
            assert_eq!(lists.get(&reference('a'), &platform("amd64")), None);
        }
        fs_err::write(&path, "laminate files 2\0").expect("written");
        assert_eq!(lists.get(&reference('a'), &platform("amd64")), None);
    }
}
