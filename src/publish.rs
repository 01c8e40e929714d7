//! Names what a run made: in staging, so that it is found again and no garbage collector takes it,
//! and under the fixed tags of its own repository.
//!
//! [`stage`] and [`publish`] are called by `build`. No layer passes through here: blobs are mounted,
//! and a manifest keeps its bytes.

use std::collections::BTreeMap;

use futures_util::future::{join_all, try_join_all};

use crate::event::{Event, Events};
use crate::gather;
use crate::name::{Digest, Repository, Tag};
use crate::oci::{Image, Index};
use crate::plan::TagDigests;
use crate::registry::{self, Locator, Manifest, Mount, Registry};
use crate::stack::ImageId;
use crate::tags;

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

/// The bytes of an image's config and layers as a repository has them; `None` if it has no such image.
pub async fn size(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Option<u64>, Error> {
    let at = Locator::Digest(digest.clone());
    let found = registry.manifest(repository, &at).await?;
    let image = found.and_then(|manifest| Image::parse(&manifest.bytes).ok());
    Ok(image.map(|image| image.size()))
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
    let index = Index::parse(&whole.bytes).map_err(|error| Error::Strange {
        place: format!("{staging}:{run}"),
        reason: error.to_string(),
    })?;
    let children = index.by_variant();
    let staged = try_join_all(wanted.iter().map(|(variant, (id, key))| {
        let child = children.get(variant);
        async move {
            let child = child.ok_or_else(|| Error::Strange {
                place: format!("{staging}:{run}"),
                reason: format!("it has no image {variant}"),
            })?;
            let image = manifest(registry, staging, &child.digest).await?;
            let tag = Locator::Tag(tags::key(key));
            registry.put_manifest(staging, &tag, &image).await?;
            let content = Image::parse(&image.bytes).map_err(|error| Error::Strange {
                place: format!("{staging}@{}", child.digest),
                reason: error.to_string(),
            })?;
            let staged = Staged {
                digest: child.digest.clone(),
                size: content.size(),
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
    names: &TagDigests,
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
    let image = Image::parse(&manifest.bytes).map_err(|error| Error::Strange {
        place: format!("{staging}@{}", manifest.digest),
        reason: error.to_string(),
    })?;
    try_join_all(image.blobs().into_iter().map(|blob| async move {
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
