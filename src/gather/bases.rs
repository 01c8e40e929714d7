//! Reads the configs of external bases from their registries.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;

use crate::name::{Digest, Reference};
use crate::oci;
use crate::registry::{Locator, Registry};

/// The most bytes of a config that are read.
const MOST: u64 = 8 << 20;

/// Returns the configs of images, by reference, for a platform as `linux/amd64`. One that cannot be read is
/// left out: the build reports why.
pub async fn configs(
    registry: &Registry,
    images: BTreeMap<Reference, Digest>,
    platform: &str,
) -> BTreeMap<Reference, Bytes> {
    let read = images.into_iter().map(|(reference, digest)| async move {
        let found = config(registry, &reference, digest, platform).await?;
        Some((reference, found))
    });
    join_all(read).await.into_iter().flatten().collect()
}

async fn config(
    registry: &Registry,
    reference: &Reference,
    digest: Digest,
    platform: &str,
) -> Option<Bytes> {
    let repository = &reference.repository;
    let read = async |digest: Digest| {
        let found = registry
            .manifest(repository, &Locator::Digest(digest))
            .await;
        found.ok().flatten()
    };
    let mut manifest = read(digest).await?;
    if let Some(digest) = of_platform(&manifest.bytes, platform) {
        manifest = read(digest).await?;
    }
    let image = oci::Image::parse(&manifest.bytes).ok()?;
    let config = registry.blob(repository, &image.config.digest, MOST).await;
    config.ok()
}

/// Returns the manifest that an index has for a platform; the first one of its system and architecture.
fn of_platform(index: &[u8], platform: &str) -> Option<Digest> {
    let index: Value = serde_json::from_slice(index).ok()?;
    let is_for = |entry: &&Value| {
        let part = |name: &str| entry["platform"][name].as_str().unwrap_or_default();
        format!("{}/{}", part("os"), part("architecture")) == platform
    };
    let entry = index["manifests"].as_array()?.iter().find(is_for)?;
    Digest::parse(entry["digest"].as_str()?).ok()
}

/// Inputs of fuzzers; see `fuzzing`.
#[cfg(any(test, fuzzing))]
pub mod fuzz {
    /// Indexes: what is found is a digest of an entry.
    pub fn indexes(bytes: &[u8]) {
        if let Some(digest) = super::of_platform(bytes, "linux/amd64") {
            assert!(
                String::from_utf8_lossy(bytes).contains("manifests"),
                "{digest}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_manifest_of_a_platform_is_found_in_an_index() {
        let entry = |architecture: &str| {
            json!({
                "digest": Digest::of(architecture.as_bytes()).as_str(),
                "platform": { "os": "linux", "architecture": architecture },
            })
        };
        let index = json!({ "manifests": [entry("arm64"), entry("amd64")] }).to_string();
        let found = of_platform(index.as_bytes(), "linux/amd64");
        assert_eq!(found, Some(Digest::of(b"amd64")));
        assert_eq!(of_platform(index.as_bytes(), "linux/s390x"), None);
        assert_eq!(of_platform(b"{\"layers\": []}", "linux/amd64"), None);
    }
}
