//! Manifests and indexes of the OCI image specification (v1.1). What is read is as lenient as Docker:
//! other tools leave parts out.
//!
//! Main types: [`Manifest`] is the bytes of a manifest or index with their digest; [`Image`] and
//! [`Index`] are what is read from such bytes. The bytes themselves stay as they are: serializing
//! them again would change the digest. Called by `registry`, `publish`, `export` and `docs`.

mod artifact;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use oci_spec::image as spec;
use serde::Deserialize;
use serde_json::json;

pub use artifact::{EMPTY_CONFIG, INLINE_LAYER, PLAIN_CONFIG, inline_document};

use crate::name::Digest;

/// The media type of an image manifest, which is also that of an artifact.
pub const IMAGE_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// The media type of an image index.
pub const IMAGE_INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Why bytes are not the manifest or index they were read as.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are not an image manifest.
    #[error("not an image manifest: {0}")]
    Manifest(#[source] serde_json::Error),
    /// The bytes are not an image index.
    #[error("not an image index: {0}")]
    Index(#[source] serde_json::Error),
    /// A descriptor has a digest of another algorithm than sha256.
    #[error("unsupported digest `{0}`: expected sha256")]
    Digest(String),
}

/// Returns a sum of sizes that others wrote down; the largest number if it is larger than that.
pub fn total(sizes: impl IntoIterator<Item = u64>) -> u64 {
    sizes.into_iter().fold(0, u64::saturating_add)
}

/// The type, digest and size of some content.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Descriptor {
    /// The media type of the content.
    pub media_type: String,
    /// The digest of the content.
    pub digest: Digest,
    /// The size of the content, bytes.
    pub size: u64,
}

impl Descriptor {
    /// Returns the descriptor of some bytes.
    pub fn of(media_type: impl Into<String>, bytes: &[u8]) -> Self {
        Self {
            media_type: media_type.into(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        }
    }

    fn read(from: RawDescriptor) -> Result<Self, Error> {
        Ok(Self {
            media_type: from.media_type,
            digest: Digest::parse(&from.digest).map_err(|_| Error::Digest(from.digest))?,
            size: from.size,
        })
    }

    fn to_spec(&self) -> spec::Descriptor {
        let digest: spec::Digest = (self.digest.as_str().parse())
            .expect("a sha256 digest is a digest of the specification");
        spec::Descriptor::new(self.media_type.as_str().into(), self.size, digest)
    }
}

/// A manifest or an index as bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The bytes as the registry has them.
    pub bytes: Bytes,
    /// The media type, which a registry reports beside the bytes.
    pub media_type: String,
    /// The digest of the bytes.
    pub digest: Digest,
}

impl Manifest {
    /// Returns the manifest of some bytes, with their digest computed.
    pub fn new(bytes: impl Into<Bytes>, media_type: impl Into<String>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: Digest::of(&bytes),
            media_type: media_type.into(),
            bytes,
        }
    }

    /// Returns the descriptor of the manifest.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::of(self.media_type.as_str(), &self.bytes)
    }
}

/// Returns the `mediaType` property of a manifest or index; `None` if it has none.
pub fn media_type(bytes: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(rename = "mediaType")]
        media_type: Option<String>,
    }
    let typed: Typed = serde_json::from_slice(bytes).ok()?;
    typed.media_type
}

/// A descriptor as other tools write it; what is not needed here may be missing.
#[derive(Deserialize)]
struct RawDescriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    platform: Option<RawPlatform>,
}

/// A platform, perhaps without some of its parts.
#[derive(Default, Deserialize)]
struct RawPlatform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: Option<String>,
}

/// An image manifest, perhaps without `schemaVersion`.
#[derive(Deserialize)]
struct RawImage {
    config: RawDescriptor,
    layers: Vec<RawDescriptor>,
}

/// An index, perhaps without `schemaVersion`.
#[derive(Deserialize)]
struct RawIndex {
    manifests: Vec<RawDescriptor>,
}

/// The content of an image manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The descriptor of the config.
    pub config: Descriptor,
    /// The descriptors of the layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

impl Image {
    /// Reads an image manifest, of the OCI or of Docker's schema 2.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let manifest: RawImage = serde_json::from_slice(bytes).map_err(Error::Manifest)?;
        let layers = manifest.layers.into_iter().map(Descriptor::read);
        Ok(Self {
            config: Descriptor::read(manifest.config)?,
            layers: layers.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the config and the layers, each once.
    pub fn blobs(&self) -> Vec<&Descriptor> {
        let mut seen = BTreeSet::new();
        let all = std::iter::once(&self.config).chain(&self.layers);
        all.filter(|blob| seen.insert(&blob.digest)).collect()
    }

    /// Returns the size of the config and the layers as stored, bytes; a layer that is there twice
    /// counts once.
    pub fn size(&self) -> u64 {
        total(self.blobs().iter().map(|blob| blob.size))
    }
}

/// The content of an image index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The manifests, in the order of the index.
    pub entries: Vec<Entry>,
}

/// A manifest of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The descriptor of the manifest.
    pub manifest: Descriptor,
    /// The operating system and the architecture of its platform, as in Go; empty if they are not there.
    pub platform: (String, String),
    /// The variant of its platform.
    pub variant: Option<String>,
}

impl Index {
    /// Reads an image index, or Docker's manifest list.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let index: RawIndex = serde_json::from_slice(bytes).map_err(Error::Index)?;
        let entries = index.manifests.into_iter().map(|mut entry| {
            let platform = entry.platform.take().unwrap_or_default();
            Ok(Entry {
                manifest: Descriptor::read(entry)?,
                platform: (platform.os, platform.architecture),
                variant: platform.variant,
            })
        });
        Ok(Self {
            entries: entries.collect::<Result<_, Error>>()?,
        })
    }

    /// Returns the digest of the first image of a platform.
    pub fn digest_for(&self, os: &str, architecture: &str) -> Option<Digest> {
        let is_fitting = |entry: &&Entry| {
            let (own_os, own_architecture) = &entry.platform;
            own_os == os && own_architecture == architecture
        };
        let found = self.entries.iter().find(is_fitting)?;
        Some(found.manifest.digest.clone())
    }

    /// Returns the images by the variant of their platform. Attestations have no variant and are
    /// left out.
    pub fn by_variant(&self) -> BTreeMap<String, Descriptor> {
        let images = self.entries.iter();
        images
            .filter_map(|entry| Some((entry.variant.clone()?, entry.manifest.clone())))
            .collect()
    }
}

/// Returns the bytes of an `index.json` that lists manifests by name (image-spec, "OCI Image
/// Layout"); containerd reads the second annotation. Not made by oci-spec, whose annotations are a
/// `HashMap`: the bytes would differ each time.
pub fn layout_index<'a>(entries: impl IntoIterator<Item = (&'a Descriptor, &'a str)>) -> Vec<u8> {
    let manifests: Vec<_> = entries
        .into_iter()
        .map(|(manifest, name)| {
            json!({
                "mediaType": manifest.media_type,
                "digest": manifest.digest.as_str(),
                "size": manifest.size,
                "annotations": {
                    "org.opencontainers.image.ref.name": name,
                    "io.containerd.image.name": name,
                },
            })
        })
        .collect();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": IMAGE_INDEX,
        "manifests": manifests,
    });
    index.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str, content: &str) -> serde_json::Value {
        json!({
            "mediaType": media_type,
            "digest": Digest::of(content.as_bytes()).as_str(),
            "size": content.len(),
        })
    }

    fn image(layers: &[&str]) -> Vec<u8> {
        let layers = layers.iter().map(|layer| descriptor("l", layer));
        let image = json!({
            "schemaVersion": 2,
            "config": descriptor("c", "config"),
            "layers": layers.collect::<Vec<_>>(),
        });
        image.to_string().into_bytes()
    }

    #[test]
    fn an_image_is_its_config_and_layers_in_order() {
        let found = Image::parse(&image(&["a", "bb"])).expect("an image");
        assert_eq!(found.config, Descriptor::of("c", b"config"));
        assert_eq!(
            found.layers,
            [Descriptor::of("l", b"a"), Descriptor::of("l", b"bb")]
        );
    }

    #[test]
    fn a_layer_that_is_there_twice_is_stored_once() {
        let found = Image::parse(&image(&["a", "bb", "a"])).expect("an image");
        assert_eq!(found.blobs().len(), 3);
        assert_eq!(found.size(), 6 + 1 + 2);
    }

    #[test]
    fn an_image_of_docker_is_read() {
        let text = r#"{"schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 1,
                "digest": "sha256:0000000000000000000000000000000000000000000000000000000000000000"},
            "layers": []}"#;
        let found = Image::parse(text.as_bytes()).expect("an image");
        assert_eq!(
            found.config.media_type,
            "application/vnd.docker.container.image.v1+json"
        );
    }

    #[test]
    fn an_index_is_not_an_image_nor_an_image_an_index() {
        let index = br#"{"schemaVersion": 2, "manifests": []}"#;
        assert!(matches!(Image::parse(index), Err(Error::Manifest(_))));
        assert!(matches!(Index::parse(&image(&["a"])), Err(Error::Index(_))));
        assert!(matches!(Image::parse(b"<html>"), Err(Error::Manifest(_))));
    }

    #[test]
    fn what_other_tools_leave_out_is_not_needed() {
        let bare = json!({ "config": descriptor("c", "config"), "layers": [] });
        let found = Image::parse(bare.to_string().as_bytes()).expect("an image");
        assert_eq!(found.config, Descriptor::of("c", b"config"));
        let mut entry = descriptor("m", "x0");
        entry["platform"] = json!({ "variant": "x0" });
        let mut other = descriptor("m", "x1");
        other["platform"] = json!({});
        let index = json!({ "manifests": [entry, other] });
        let found = Index::parse(index.to_string().as_bytes()).expect("an index");
        assert_eq!(found.by_variant().len(), 1);
    }

    #[test]
    fn a_digest_that_is_not_sha256_is_an_error() {
        let sha512 = format!("sha512:{}", "0".repeat(128));
        let text = json!({
            "schemaVersion": 2,
            "config": { "mediaType": "c", "digest": sha512, "size": 1 },
            "layers": [],
        });
        let error = Image::parse(text.to_string().as_bytes()).expect_err("unsupported");
        assert_eq!(
            error.to_string(),
            format!("unsupported digest `{sha512}`: expected sha256")
        );
    }

    #[test]
    fn images_of_an_index_are_found_by_variant() {
        let mut entries = ["x0", "x1", "attestation"].map(|name| descriptor("m", name));
        for (number, variant) in [(0, "x0"), (1, "x1")] {
            entries[number]["platform"] =
                json!({ "architecture": "amd64", "os": "linux", "variant": variant });
        }
        entries[2]["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
        let text = json!({ "schemaVersion": 2, "manifests": entries }).to_string();
        let index = Index::parse(text.as_bytes()).expect("an index");
        assert_eq!(index.entries.len(), 3);
        let images = index.by_variant();
        assert_eq!(images["x1"], Descriptor::of("m", b"x1"));
        assert_eq!(images.len(), 2, "the attestation is left out");
    }

    #[test]
    fn the_media_type_is_read_where_it_is() {
        assert_eq!(media_type(br#"{"mediaType": "x"}"#).as_deref(), Some("x"));
        assert_eq!(media_type(br#"{"schemaVersion": 2}"#), None);
        assert_eq!(media_type(b"no JSON"), None);
    }

    #[test]
    fn a_layout_lists_a_manifest_under_its_name() {
        let manifest = Descriptor::of("m", b"x");
        let text = layout_index([(&manifest, "a:1"), (&manifest, "a:2")]);
        let value: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let second = &value["manifests"][1]["annotations"];
        assert_eq!(second["org.opencontainers.image.ref.name"], "a:2");
        assert_eq!(second["io.containerd.image.name"], "a:2");
        assert_eq!(Index::parse(&text).expect("an index").entries.len(), 2);
    }
}
