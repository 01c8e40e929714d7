//! Writes one OCI archive with every image of a stack and its names, for skopeo, podman and docker.
//!
//! [`write`] takes the blobs of images built in the run from the archive the engine sent ([`EngineArchive`]),
//! and those of reused images from staging. Called by `build` for `--export`.

mod archive;
mod load;
mod target;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use self::archive::Archive;
pub use self::load::{LoadError, Loader};
use self::target::Output;
pub use self::target::{InvalidTarget, Target};
use crate::name::{Digest, Repository};
use crate::oci::{self, Descriptor, Image, Index};
use crate::registry::{self, Locator, Registry};

/// An image and the names it has in the archive (`ghcr.io/ucsd-ets/base:2021.2-d021570`).
#[derive(Clone, Debug)]
pub struct NamedImage {
    /// Its digest.
    pub digest: Digest,
    /// Its names, each with a tag.
    pub names: Vec<String>,
}

/// Why the archive could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    File {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The archive the engine sent cannot be read.
    #[error("cannot read the engine's archive: {0}")]
    EngineFile(#[source] io::Error),
    /// The archive the engine sent has no `index.json`.
    #[error("cannot read the engine's archive: no index.json in it")]
    NoIndex,
    /// The `index.json` of the engine's archive lists neither images nor an index of them.
    #[error("cannot read the engine's archive: its index.json lists no image")]
    EmptyIndex,
    /// An index of the engine's archive is invalid.
    #[error("cannot read the engine's archive: {0}")]
    InvalidIndex(#[source] oci::Error),
    /// A request to the registry failed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// The archive can be written nowhere.
    #[error(transparent)]
    Target(#[from] InvalidTarget),
    /// docker or podman does not take the images.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A blob has another size than the manifest has for it.
    #[error("blob {digest} has {found} bytes, but its manifest has {expected}")]
    Size {
        /// The blob.
        digest: Digest,
        /// Its size in the manifest, bytes.
        expected: u64,
        /// Its size, bytes.
        found: u64,
    },
    /// An image is neither in the engine's archive nor in staging.
    #[error("image {0} is neither in the engine's archive nor in staging")]
    Missing(Digest),
    /// An image cannot be read.
    #[error("cannot read image {digest}: {source}")]
    Image {
        /// Its digest.
        digest: Digest,
        /// What is invalid.
        source: oci::Error,
    },
}

/// The archive an engine sent.
pub struct EngineArchive {
    file: Arc<File>,
    /// Where each blob begins, and its size, bytes.
    blobs: BTreeMap<Digest, (u64, u64)>,
    /// Its images, by the variant of their platform.
    pub images: BTreeMap<String, Descriptor>,
}

impl EngineArchive {
    /// Reads what the `oci` exporter of an engine wrote.
    pub fn open(file: Arc<File>) -> Result<Self, Error> {
        let (blobs, index) = scan(&file).map_err(Error::EngineFile)?;
        let mut archive = Self {
            file,
            blobs,
            images: BTreeMap::new(),
        };
        archive.images = archive.find(&index.ok_or(Error::NoIndex)?)?;
        Ok(archive)
    }

    /// Returns the images of an index, or of the index it lists.
    fn find(&self, index: &[u8]) -> Result<BTreeMap<String, Descriptor>, Error> {
        let parse = |bytes: &[u8]| Index::parse(bytes).map_err(Error::InvalidIndex);
        let outer = parse(index)?;
        let images = outer.by_variant();
        if !images.is_empty() {
            return Ok(images);
        }
        let inner = &outer.entries.first().ok_or(Error::EmptyIndex)?.manifest;
        let inner = self.read(&inner.digest)?.ok_or(Error::EmptyIndex)?;
        Ok(parse(&inner)?.by_variant())
    }

    /// Returns a blob; `None` if the archive does not have it.
    fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let Some((at, size)) = self.blobs.get(digest) else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        let mut section = self.section(*at, *size);
        section.read_to_end(&mut bytes).map_err(Error::EngineFile)?;
        Ok(Some(bytes))
    }

    fn section(&self, at: u64, size: u64) -> Section<'_> {
        Section {
            file: &self.file,
            at,
            end: at + size,
        }
    }
}

/// A part of a file, read without the file's own position.
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let wanted = left.min(bytes.len());
        let read = self.file.read_at(&mut bytes[..wanted], self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Blobs of an archive, and its `index.json`.
type Scanned = (BTreeMap<Digest, (u64, u64)>, Option<Vec<u8>>);

fn scan(mut file: &File) -> io::Result<Scanned> {
    file.rewind()?;
    let mut archive = tar::Archive::new(BufReader::new(file));
    let mut blobs = BTreeMap::new();
    let mut index = None;
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        let name = entry.path()?.display().to_string();
        if let Some(hex) = name.strip_prefix("blobs/sha256/") {
            if let Ok(digest) = Digest::parse(&format!("sha256:{hex}")) {
                blobs.insert(digest, (entry.raw_file_position(), entry.size()));
            }
        } else if name == "index.json" {
            let mut text = Vec::new();
            entry.read_to_end(&mut text)?;
            index = Some(text);
        }
    }
    Ok((blobs, index))
}

/// Writes the archive; a regular file at `out` is replaced when the new one is complete. Returns the size of each image's
/// config and layers as stored, bytes.
pub async fn write(
    out: &Path,
    images: &[NamedImage],
    engine: Option<&EngineArchive>,
    staging: Option<(&Registry, &Repository)>,
) -> Result<BTreeMap<Digest, u64>, Error> {
    let failed = |source: io::Error| Error::File {
        path: out.to_owned(),
        source,
    };
    let output = Output::open(Target::of(out)?).await.map_err(failed)?;
    let file = output.as_file().try_clone().map_err(failed)?;
    let sizes = fill(file, out, images, engine, staging).await?;
    output.finish().map_err(failed)?;
    Ok(sizes)
}

/// Writes the archive into a file, and closes it; `path` is for errors.
async fn fill(
    file: File,
    path: &Path,
    images: &[NamedImage],
    engine: Option<&EngineArchive>,
    staging: Option<(&Registry, &Repository)>,
) -> Result<BTreeMap<Digest, u64>, Error> {
    let mut archive = Writer {
        tar: Archive::new(file),
        path: path.to_owned(),
        written: BTreeSet::new(),
        engine,
        staging,
    };
    let sizes = archive.all(images).await?;
    let finished = archive.tar.finish().await;
    finished.map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(sizes)
}

struct Writer<'a> {
    tar: Archive,
    path: PathBuf,
    written: BTreeSet<Digest>,
    engine: Option<&'a EngineArchive>,
    staging: Option<(&'a Registry, &'a Repository)>,
}

impl Writer<'_> {
    async fn all(&mut self, images: &[NamedImage]) -> Result<BTreeMap<Digest, u64>, Error> {
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
        self.put("oci-layout", layout).await?;
        let mut index = Vec::new();
        let mut docker = Vec::new();
        let mut sizes = BTreeMap::new();
        for named in images {
            let (bytes, media_type) = self.manifest(&named.digest).await?;
            let image = Image::parse(&bytes).map_err(|source| Error::Image {
                digest: named.digest.clone(),
                source,
            })?;
            for blob in image.blobs() {
                self.blob(blob).await?;
            }
            if self.written.insert(named.digest.clone()) {
                self.put(&place(&named.digest), &bytes).await?;
            }
            sizes.insert(named.digest.clone(), image.size());
            let manifest = Descriptor::of(media_type, &bytes);
            let names = named.names.iter();
            index.extend(names.map(|name| (manifest.clone(), name.as_str())));
            // `docker load` reads this one where it does not read OCI archives.
            docker.push(docker_entry(&image, &named.names));
        }
        let entries = index.iter().map(|(manifest, name)| (manifest, *name));
        let index = oci::layout_index(entries);
        self.put("index.json", &index).await?;
        let docker = Value::Array(docker).to_string();
        self.put("manifest.json", docker.as_bytes()).await?;
        Ok(sizes)
    }

    async fn manifest(&self, digest: &Digest) -> Result<(Vec<u8>, String), Error> {
        let own = match self.engine {
            Some(engine) => engine.read(digest)?,
            None => None,
        };
        if let Some(bytes) = own {
            let media_type = oci::media_type(&bytes);
            return Ok((
                bytes,
                media_type.unwrap_or_else(|| oci::IMAGE_MANIFEST.to_owned()),
            ));
        }
        if let Some((registry, staging)) = self.staging {
            let at = Locator::Digest(digest.clone());
            if let Some(found) = registry.manifest(staging, &at).await? {
                return Ok((found.bytes.to_vec(), found.media_type));
            }
        }
        Err(Error::Missing(digest.clone()))
    }

    async fn blob(&mut self, blob: &Descriptor) -> Result<(), Error> {
        if !self.written.insert(blob.digest.clone()) {
            return Ok(());
        }
        let name = place(&blob.digest);
        if let Some(engine) = self.engine
            && let Some((at, size)) = engine.blobs.get(&blob.digest)
        {
            ensure_size(blob, *size)?;
            let content = engine.section(*at, *size);
            return self.put_sized(&name, *size, content).await;
        }
        let Some((registry, staging)) = self.staging else {
            return Err(Error::Missing(blob.digest.clone()));
        };
        // Its digest is verified at its end, so it goes to a file of its own first.
        let failed = |source: io::Error| Error::File {
            path: std::env::temp_dir(),
            source,
        };
        let mut kept = tempfile::tempfile().map_err(failed)?;
        let size = registry.download(staging, &blob.digest, &mut kept);
        let size = size.await?.map_err(failed)?;
        ensure_size(blob, size)?;
        kept.seek(SeekFrom::Start(0)).map_err(failed)?;
        self.put_sized(&name, size, kept).await
    }

    async fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.put_sized(name, bytes.len() as u64, bytes).await
    }

    async fn put_sized(&mut self, name: &str, size: u64, content: impl Read) -> Result<(), Error> {
        let put = self.tar.put(name, size, content).await;
        put.map_err(|source| Error::File {
            path: self.path.clone(),
            source,
        })
    }
}

/// Checks that a blob has the size that its manifest has for it.
fn ensure_size(blob: &Descriptor, found: u64) -> Result<(), Error> {
    if found == blob.size {
        return Ok(());
    }
    Err(Error::Size {
        digest: blob.digest.clone(),
        expected: blob.size,
        found,
    })
}

fn place(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn docker_entry(image: &Image, names: &[String]) -> Value {
    let layers = image.layers.iter().map(|layer| place(&layer.digest));
    json!({
        "Config": place(&image.config.digest),
        "RepoTags": names,
        "Layers": layers.collect::<Vec<_>>(),
    })
}

/// Inputs of fuzzers; see `fuzzing`.
#[cfg(any(test, fuzzing))]
pub mod fuzz {
    use std::io::Write as _;

    /// Archives of an engine: each blob that is found lies inside of the file.
    pub fn archives(bytes: &[u8]) {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(bytes).expect("it is written");
        let Ok((blobs, index)) = super::scan(&file) else {
            return;
        };
        assert!(index.is_none_or(|index| index.len() <= bytes.len()));
        for (at, size) in blobs.into_values() {
            let _end = at.checked_add(size).expect("it is a range of bytes");
        }
    }
}
