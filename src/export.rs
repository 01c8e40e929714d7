//! One OCI archive with every image of a stack by its names, for skopeo, podman and docker.
//!
//! [`write`] takes the blobs of images built in the run from the archive the engine sent, and those of
//! reused images from staging. Called by `build --export`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::disk::AtomicFile;
use crate::name::{Digest, Repository};
use crate::oci::{self, Descriptor, Image, Index};
use crate::registry::{self, Locator, Registry};

/// An image and the names it has in the archive (`ghcr.io/ucsd-ets/base:2021.2-d021570`).
#[derive(Clone, Debug)]
pub struct Item {
    pub digest: Digest,
    pub names: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot write {path}: {error}", path = .path.display())]
    File {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("the engine's archive cannot be read: {0}")]
    Archive(String),
    #[error("{0}")]
    Registry(#[from] registry::Error),
    #[error("image {0} is neither in the engine's archive nor in staging")]
    Missing(Digest),
}

/// The blobs of an archive and where each lies in it.
pub struct Engine {
    path: PathBuf,
    blobs: BTreeMap<Digest, (u64, u64)>,
    /// The images it has, by the variant of their platform.
    pub images: BTreeMap<String, Descriptor>,
}

impl Engine {
    /// Reads what an engine's `oci` exporter made.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let broken = |error: std::io::Error| Error::Archive(error.to_string());
        let file = File::open(path).map_err(broken)?;
        let mut archive = tar::Archive::new(BufReader::new(file));
        let mut blobs = BTreeMap::new();
        let mut index = None;
        for entry in archive.entries_with_seek().map_err(broken)? {
            let mut entry = entry.map_err(broken)?;
            let name = entry.path().map_err(broken)?.display().to_string();
            if let Some(hex) = name.strip_prefix("blobs/sha256/") {
                if let Ok(digest) = Digest::parse(&format!("sha256:{hex}")) {
                    blobs.insert(digest, (entry.raw_file_position(), entry.size()));
                }
            } else if name == "index.json" {
                let mut text = Vec::new();
                entry.read_to_end(&mut text).map_err(broken)?;
                index = Some(text);
            }
        }
        let mut engine = Self {
            path: path.to_owned(),
            blobs,
            images: BTreeMap::new(),
        };
        let outer = index.ok_or_else(|| Error::Archive("it has no index.json".to_owned()))?;
        engine.images = engine.find(&outer)?;
        Ok(engine)
    }

    /// The images of an index, or of the one index it names.
    fn find(&self, index: &[u8]) -> Result<BTreeMap<String, Descriptor>, Error> {
        let parse = |bytes: &[u8]| {
            Index::parse(bytes).map_err(|error| Error::Archive(format!("its index.json: {error}")))
        };
        let outer = parse(index)?;
        let found = outer.by_variant();
        if !found.is_empty() {
            return Ok(found);
        }
        let lacks = || Error::Archive("its index.json lists no index".to_owned());
        let inner = &outer.entries.first().ok_or_else(lacks)?.manifest;
        let inner = self.read(&inner.digest)?.ok_or_else(lacks)?;
        Ok(parse(&inner)?.by_variant())
    }

    fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Error> {
        let Some((at, size)) = self.blobs.get(digest) else {
            return Ok(None);
        };
        let read = || -> std::io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            file.seek(SeekFrom::Start(*at))?;
            let mut bytes = Vec::new();
            file.take(*size).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        Ok(Some(read().map_err(|e| Error::Archive(e.to_string()))?))
    }
}

/// Writes the archive; `out` is replaced when the new one is whole. Returns each image's
/// size, of config and layers as stored, bytes.
pub async fn write(
    out: &Path,
    items: &[Item],
    engine: Option<&Engine>,
    staging: Option<(&Registry, &Repository)>,
) -> Result<BTreeMap<Digest, u64>, Error> {
    let failed = |error: std::io::Error| Error::File {
        path: out.to_owned(),
        error,
    };
    let file = AtomicFile::create(out).map_err(failed)?;
    let sizes = fill(file.as_file(), out, items, engine, staging).await?;
    file.as_file().sync_all().map_err(failed)?;
    file.commit().map_err(failed)?;
    Ok(sizes)
}

/// Writes the archive into a file; `path` is for errors.
async fn fill(
    file: &File,
    path: &Path,
    items: &[Item],
    engine: Option<&Engine>,
    staging: Option<(&Registry, &Repository)>,
) -> Result<BTreeMap<Digest, u64>, Error> {
    let mut archive = Writer {
        tar: tar::Builder::new(BufWriter::new(file)),
        path: path.to_owned(),
        written: BTreeSet::new(),
        engine,
        staging,
    };
    let sizes = archive.all(items).await?;
    let flushed = archive.tar.into_inner().and_then(|mut tar| tar.flush());
    flushed.map_err(|error| Error::File {
        path: path.to_owned(),
        error,
    })?;
    Ok(sizes)
}

struct Writer<'a> {
    tar: tar::Builder<BufWriter<&'a File>>,
    path: PathBuf,
    written: BTreeSet<Digest>,
    engine: Option<&'a Engine>,
    staging: Option<(&'a Registry, &'a Repository)>,
}

impl Writer<'_> {
    async fn all(&mut self, items: &[Item]) -> Result<BTreeMap<Digest, u64>, Error> {
        self.put("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let mut index = Vec::new();
        let mut docker = Vec::new();
        let mut sizes = BTreeMap::new();
        for item in items {
            let (bytes, media_type) = self.manifest(&item.digest).await?;
            let image = Image::parse(&bytes).map_err(|_| Error::Missing(item.digest.clone()))?;
            for blob in image.blobs() {
                self.blob(blob).await?;
            }
            if self.written.insert(item.digest.clone()) {
                self.put(&place(&item.digest), &bytes)?;
            }
            sizes.insert(item.digest.clone(), image.size());
            let manifest = Descriptor::of(media_type, &bytes);
            let names = item.names.iter();
            index.extend(names.map(|name| (manifest.clone(), name.as_str())));
            // What `docker load` reads, from the time before it read OCI archives.
            docker.push(docker_entry(&image, &item.names));
        }
        let entries = index.iter().map(|(manifest, name)| (manifest, *name));
        self.put("index.json", &oci::layout_index(entries))?;
        let docker = Value::Array(docker).to_string();
        self.put("manifest.json", docker.as_bytes())?;
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
        let failed = |error: std::io::Error| Error::File {
            path: self.path.clone(),
            error,
        };
        let name = place(&blob.digest);
        if let Some(engine) = self.engine
            && let Some((at, size)) = engine.blobs.get(&blob.digest)
        {
            let mut file = File::open(&engine.path).map_err(failed)?;
            file.seek(SeekFrom::Start(*at)).map_err(failed)?;
            let mut header = header(*size);
            return self
                .tar
                .append_data(&mut header, name, file.take(*size))
                .map_err(failed);
        }
        let Some((registry, staging)) = self.staging else {
            return Err(Error::Missing(blob.digest.clone()));
        };
        // Proven only at its end, so it goes to a file of its own first.
        let mut stream = registry.blob_stream(staging, &blob.digest).await?;
        let mut kept = tempfile::tempfile().map_err(failed)?;
        while let Some(piece) = stream.next().await {
            kept.write_all(&piece?).map_err(failed)?;
        }
        kept.seek(SeekFrom::Start(0)).map_err(failed)?;
        let mut header = header(blob.size);
        self.tar
            .append_data(&mut header, name, kept.take(blob.size))
            .map_err(failed)
    }

    fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut header = header(bytes.len() as u64);
        self.tar
            .append_data(&mut header, name, bytes)
            .map_err(|error| Error::File {
                path: self.path.clone(),
                error,
            })
    }
}

fn place(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// The same for every archive: nothing of this machine or moment is in it.
fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header
}

fn docker_entry(image: &Image, names: &[String]) -> Value {
    let layers = image.layers.iter().map(|layer| place(&layer.digest));
    json!({
        "Config": place(&image.config.digest),
        "RepoTags": names,
        "Layers": layers.collect::<Vec<_>>(),
    })
}
