//! Names what a run made: in staging, so that it is found again and no garbage collector takes it,
//! and under the fixed tags of its own repository.
//!
//! [`stage`] and [`publish`] are called by `build`. No layer passes through here: blobs are mounted,
//! and a manifest keeps its bytes.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{join_all, try_join_all};
use serde_json::Value;

use crate::event::{Event, Events};
use crate::gather::{self, Names, key_tag};
use crate::name::{Digest, Repository, Tag};
use crate::registry::{self, Descriptor, Locator, Manifest, Mount, Registry};
use crate::stack::ImageId;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Registry(#[from] registry::Error),
    #[error("{0}")]
    Gather(#[from] gather::Error),
    #[error("{place} is not what was just put there: {reason}")]
    Strange { place: String, reason: String },
    /// A fixed tag is on other bytes, which is never changed.
    #[error("the fixed tag {repository}:{tag} is on {found}, and {wanted} was to get it")]
    Taken {
        repository: Repository,
        tag: Tag,
        found: Digest,
        wanted: Digest,
    },
    /// Some images have their tags and some not.
    #[error("{} of {of} images got their tags; these did not:\n{}", .of - .failed.len(), .failed.join("\n"))]
    Partly { of: usize, failed: Vec<String> },
}

/// An image in staging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    pub digest: Digest,
    /// Of its config and layers as stored, bytes.
    pub size: u64,
}

/// The images of an index, by the variant of their platform, with the attestations left out.
pub fn children(index: &[u8]) -> Option<BTreeMap<String, Descriptor>> {
    let index: Value = serde_json::from_slice(index).ok()?;
    let mut found = BTreeMap::new();
    for entry in index["manifests"].as_array()? {
        let Some(variant) = entry["platform"]["variant"].as_str() else {
            continue;
        };
        let descriptor = Descriptor {
            media_type: entry["mediaType"].as_str()?.to_owned(),
            digest: Digest::parse(entry["digest"].as_str()?).ok()?,
            size: entry["size"].as_u64()?,
        };
        found.insert(variant.to_owned(), descriptor);
    }
    Some(found)
}

/// The config and layers a manifest names, each once.
pub fn blobs(manifest: &[u8]) -> Option<Vec<Descriptor>> {
    let manifest: Value = serde_json::from_slice(manifest).ok()?;
    let mut entries = vec![&manifest["config"]];
    entries.extend(manifest["layers"].as_array()?);
    let mut seen = BTreeSet::new();
    let mut list = Vec::new();
    for entry in entries {
        let descriptor = Descriptor {
            media_type: entry["mediaType"].as_str()?.to_owned(),
            digest: Digest::parse(entry["digest"].as_str()?).ok()?,
            size: entry["size"].as_u64()?,
        };
        if seen.insert(descriptor.digest.clone()) {
            list.push(descriptor);
        }
    }
    Some(list)
}

fn sum(blobs: &[Descriptor]) -> u64 {
    blobs.iter().map(|blob| blob.size).sum()
}

/// The bytes of an image's config and layers as a repository has them; `None` if it has no such image.
pub async fn size(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<u64>, Error> {
    let at = Locator::Digest(digest.clone());
    let found = registry.manifest(repository, &at).await?;
    Ok(found.and_then(|manifest| Some(sum(&blobs(&manifest.bytes)?))))
}

async fn manifest(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Manifest, Error> {
    let at = Locator::Digest(digest.clone());
    let found = registry.manifest(repository, &at).await?;
    found.ok_or_else(|| Error::Strange {
        place: format!("{repository}@{digest}"),
        reason: "the registry does not have it".to_owned(),
    })
}

/// Tags a run's index `run-<run>` and each image `key-<key>`. `wanted` is each exported image's
/// variant in the index, with the image and its key.
pub async fn stage(
    registry: &Registry,
    staging: &Repository,
    run: &Tag,
    index: &Digest,
    wanted: &BTreeMap<String, (ImageId, Digest)>,
) -> Result<BTreeMap<ImageId, Staged>, Error> {
    let whole = manifest(registry, staging, index).await?;
    registry
        .put_manifest(staging, &Locator::Tag(run.clone()), &whole)
        .await?;
    let children = children(&whole.bytes).ok_or_else(|| Error::Strange {
        place: format!("{staging}:{run}"),
        reason: "it is no index".to_owned(),
    })?;
    let staged = try_join_all(wanted.iter().map(|(variant, (id, key))| {
        let child = children.get(variant);
        async move {
            let child = child.ok_or_else(|| Error::Strange {
                place: format!("{staging}:{run}"),
                reason: format!("it has no image {variant}"),
            })?;
            let image = manifest(registry, staging, &child.digest).await?;
            let tag = Locator::Tag(key_tag(key));
            registry.put_manifest(staging, &tag, &image).await?;
            let blobs = blobs(&image.bytes).ok_or_else(|| Error::Strange {
                place: format!("{staging}@{}", child.digest),
                reason: "it is no image".to_owned(),
            })?;
            let staged = Staged {
                digest: child.digest.clone(),
                size: sum(&blobs),
            };
            Ok::<_, Error>((*id, staged))
        }
    }));
    Ok(staged.await?.into_iter().collect())
}

/// An image and the names it is to have.
#[derive(Clone, Debug)]
pub struct Item {
    pub label: String,
    pub repository: Repository,
    pub digest: Digest,
    pub tags: Vec<Tag>,
}

/// Puts every image under its fixed tags. `names` says what is known of them already: a tag that is
/// right is not asked for again. All tags are looked at before the first is written, and read back
/// after.
pub async fn publish(
    registry: &Registry,
    staging: &Repository,
    items: &[Item],
    names: &Names,
    events: &Events,
) -> Result<(), Error> {
    let open: Vec<(&Item, Vec<&Tag>)> = items
        .iter()
        .map(|item| {
            let missing = |tag: &&Tag| {
                let name = (item.repository.clone(), (**tag).clone());
                names.get(&name).cloned().flatten().as_ref() != Some(&item.digest)
            };
            (item, item.tags.iter().filter(missing).collect())
        })
        .filter(|(_, tags): &(_, Vec<&Tag>)| !tags.is_empty())
        .collect();
    let free = try_join_all(open.iter().flat_map(|(item, tags)| {
        tags.iter().map(move |tag| async move {
            let at = Locator::Tag((*tag).clone());
            match registry.head_manifest(&item.repository, &at).await? {
                Some(found) if found.digest != item.digest => Err(Error::Taken {
                    repository: item.repository.clone(),
                    tag: (*tag).clone(),
                    found: found.digest,
                    wanted: item.digest.clone(),
                }),
                found => Ok(((item.repository.clone(), (*tag).clone()), found.is_none())),
            }
        })
    }));
    let free: BTreeMap<(Repository, Tag), bool> = free.await?.into_iter().collect();
    // The bytes of images are in place before any of them gets a name.
    let placed = try_join_all(open.iter().map(|(item, tags)| {
        let free = &free;
        async move {
            let missing: Vec<&Tag> = tags
                .iter()
                .filter(|tag| free[&(item.repository.clone(), (**tag).clone())])
                .copied()
                .collect();
            if missing.is_empty() {
                return Ok(None);
            }
            let manifest = manifest(registry, staging, &item.digest).await?;
            place(registry, staging, &item.repository, &manifest).await?;
            Ok::<_, Error>(Some((*item, missing, manifest)))
        }
    }));
    let placed = placed.await?;
    let named = join_all(
        placed
            .iter()
            .flatten()
            .map(|(item, tags, manifest)| async move {
                for tag in tags {
                    let at = Locator::Tag((*tag).clone());
                    registry
                        .put_manifest(&item.repository, &at, manifest)
                        .await
                        .map_err(|error| format!("{}: {error}", item.label))?;
                }
                Ok::<_, String>(())
            }),
    );
    let failed: Vec<String> = named.await.into_iter().filter_map(Result::err).collect();
    if !failed.is_empty() {
        let of = items.len();
        return Err(Error::Partly { of, failed });
    }
    for item in items {
        events.send(Event::Published {
            image: item.label.clone(),
            repository: item.repository.to_string(),
            tags: item.tags.iter().map(ToString::to_string).collect(),
            digest: item.digest.clone(),
        });
    }
    Ok(())
}

/// Makes an image's blobs those of its own repository too, unless it has the image already.
async fn place(
    registry: &Registry,
    staging: &Repository,
    repository: &Repository,
    manifest: &Manifest,
) -> Result<(), Error> {
    if staging == repository {
        return Ok(());
    }
    let at = Locator::Digest(manifest.digest.clone());
    if registry.head_manifest(repository, &at).await?.is_some() {
        return Ok(());
    }
    let blobs = blobs(&manifest.bytes).ok_or_else(|| Error::Strange {
        place: format!("{staging}@{}", manifest.digest),
        reason: "it is no image".to_owned(),
    })?;
    try_join_all(blobs.iter().map(|blob| async move {
        match registry.mount(repository, staging, &blob.digest).await? {
            Mount::Mounted => {}
            // The registry does not mount: the bytes go the long way, once.
            Mount::Refused(_) => {
                registry.copy_blob(repository, staging, blob).await?;
            }
        }
        Ok::<_, Error>(())
    }))
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_read_by_variant_and_a_manifest_by_blob() {
        let digest = |n: u8| format!("sha256:{}", format!("{n:02x}").repeat(32));
        let index = serde_json::json!({ "manifests": [
            { "mediaType": "m", "digest": digest(1), "size": 3, "platform": { "variant": "x0" } },
            { "mediaType": "m", "digest": digest(2), "size": 4, "platform": { "os": "unknown" } },
        ] });
        let found = children(index.to_string().as_bytes()).expect("an index");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["x0"]);
        let manifest = serde_json::json!({
            "config": { "mediaType": "c", "digest": digest(3), "size": 5 },
            "layers": [
                { "mediaType": "l", "digest": digest(4), "size": 7 },
                { "mediaType": "l", "digest": digest(4), "size": 7 },
            ],
        });
        let list = blobs(manifest.to_string().as_bytes()).expect("a manifest");
        assert_eq!(sum(&list), 12, "a layer twice is stored once");
    }
}
