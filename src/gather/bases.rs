//! Reads external images from their registries: the configs of bases, and which platforms the others have.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use serde_json::Value;

use crate::name::{Digest, Reference};
use crate::oci;
use crate::registry::{Locator, Registry};

/// The most bytes of a config that are read.
const MOST: u64 = 8 << 20;

/// What is known of external images before anything is built.
#[derive(Debug, Default)]
pub struct ExternalImages {
    /// The configs that were asked for. One that cannot be read is left out: the build reports why.
    pub configs: BTreeMap<Reference, Bytes>,
    /// The platforms of images that have none for the build.
    pub other_platforms: BTreeMap<Reference, Vec<String>>,
}

/// What is read of an external image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Its config.
    Config,
    /// Whether it has the platform.
    Platform,
}

/// What an image has for a platform.
enum Found {
    Config(Bytes),
    OtherPlatforms(Vec<String>),
}

/// Reads external images, by reference, for a platform as `linux/amd64`.
pub async fn external_images(
    registry: &Registry,
    images: BTreeMap<Reference, (Digest, Needs)>,
    platform: &str,
) -> ExternalImages {
    let read = images
        .into_iter()
        .map(|(reference, (digest, needs))| async move {
            let found = look_at(registry, &reference, digest, needs, platform).await?;
            Some((reference, found))
        });
    let mut made = ExternalImages::default();
    for (reference, found) in join_all(read).await.into_iter().flatten() {
        match found {
            Found::Config(bytes) => {
                made.configs.insert(reference, bytes);
            }
            Found::OtherPlatforms(platforms) => {
                made.other_platforms.insert(reference, platforms);
            }
        }
    }
    made
}

async fn look_at(
    registry: &Registry,
    reference: &Reference,
    digest: Digest,
    needs: Needs,
    platform: &str,
) -> Option<Found> {
    let repository = &reference.repository;
    let read = async |digest: Digest| {
        let found = registry
            .manifest(repository, &Locator::Digest(digest))
            .await;
        found.ok().flatten()
    };
    let mut manifest = read(digest).await?;
    let found = of_platform(&manifest.bytes, platform);
    if found.is_none()
        && let Some(others) = other_platforms(&manifest.bytes, platform)
    {
        return Some(Found::OtherPlatforms(others));
    }
    if needs == Needs::Platform {
        return None;
    }
    if let Some(digest) = found {
        manifest = read(digest).await?;
    }
    let image = oci::Image::parse(&manifest.bytes).ok()?;
    let config = registry.blob(repository, &image.config.digest, MOST).await;
    Some(Found::Config(config.ok()?))
}

/// Returns the platforms of an index that has none which the engine takes for this one. An engine for amd64 also takes
/// images for 386, and one for arm64 those for arm (`platformVector` of containerd/platforms). `None` for other
/// manifests, and for an index with an entry that names no platform.
fn other_platforms(index: &[u8], platform: &str) -> Option<Vec<String>> {
    let index: Value = serde_json::from_slice(index).ok()?;
    let also = match platform {
        "linux/amd64" => "linux/386",
        "linux/arm64" => "linux/arm",
        other => other,
    };
    let mut found = Vec::new();
    for entry in index["manifests"].as_array()? {
        let part = |name: &str| entry["platform"][name].as_str().filter(|it| !it.is_empty());
        let (os, architecture) = (part("os")?, part("architecture")?);
        let base = format!("{os}/{architecture}");
        if base == platform || base == also {
            return None;
        }
        let name = part("variant").map_or(base.clone(), |variant| format!("{base}/{variant}"));
        // Attestations have this one (BuildKit, docs/attestations/attestation-storage.md).
        if base != "unknown/unknown" && !found.contains(&name) {
            found.push(name);
        }
    }
    Some(found)
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
        let _others = super::other_platforms(bytes, "linux/amd64");
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

    #[test]
    fn an_index_without_the_platform_has_others() {
        let others = |entries: Value, platform: &str| {
            let index = json!({ "manifests": entries }).to_string();
            other_platforms(index.as_bytes(), platform)
        };
        let arm = json!([
            { "platform": { "os": "linux", "architecture": "arm64", "variant": "v8" } },
            { "platform": { "os": "unknown", "architecture": "unknown" } },
        ]);
        let found = Some(vec!["linux/arm64/v8".to_owned()]);
        assert_eq!(others(arm.clone(), "linux/amd64"), found);
        assert_eq!(others(arm, "linux/arm64"), None);
        let old = json!([{ "platform": { "os": "linux", "architecture": "386" } }]);
        assert_eq!(others(old, "linux/amd64"), None);
        assert_eq!(others(json!([{ "digest": "x" }]), "linux/amd64"), None);
        assert_eq!(other_platforms(b"{\"layers\": []}", "linux/amd64"), None);
    }
}
