//! Tags what a run made: in staging, so that it is found again and no garbage collector deletes it, and with
//! the immutable tags of its own repository.
//!
//! [`push`], [`read`], [`stage`], [`place`] and [`Placed::tag`] are called by `build`. Layers do not pass through this machine unless the
//! registry refuses to mount them, and a manifest keeps its bytes.

mod error;
mod placed;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{FutureExt as _, LocalBoxFuture, try_join_all};

pub use error::{Error, Untagged};
pub use placed::Placed;
use placed::PlacedImage;

use crate::event::{Event, Events};
use crate::name::{Digest, Repository, Tag};
use crate::oci::{self, Image, Index};
use crate::plan::TagDigests;
use crate::registry::{self, Locator, Manifest, Mount, MountRefusal, Registry};
use crate::stack::ImageId;
use crate::tags;
use crate::trace::{self, Track};

/// An image in staging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Staged {
    /// Its digest.
    pub digest: Digest,
    /// The size of its config and layers as stored, bytes.
    pub size: u64,
    /// Its manifest, if it was read.
    pub manifest: Option<Manifest>,
}

/// Returns the size of an image's config and layers as a repository has them, bytes; `None` if it does not
/// have the image.
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

/// Returns a manifest that was pushed a moment ago, which a registry may show late.
async fn pushed(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Manifest, Error> {
    let at = Locator::Digest(digest.clone());
    let found = registry.new_manifest(repository, &at).await?;
    found.ok_or_else(|| Error::NotFound {
        repository: repository.clone(),
        digest: digest.clone(),
    })
}

async fn manifest(
    registry: &Registry,
    repository: &Repository,
    digest: &Digest,
) -> Result<Manifest, Error> {
    let at = Locator::Digest(digest.clone());
    let found = registry.manifest(repository, &at).await?;
    found.ok_or_else(|| Error::NotFound {
        repository: repository.clone(),
        digest: digest.clone(),
    })
}

fn parse(repository: &Repository, manifest: &Manifest) -> Result<Image, Error> {
    Image::parse(&manifest.bytes).map_err(|source| Error::Image {
        repository: repository.clone(),
        digest: manifest.digest.clone(),
        source,
    })
}

/// The images of a run.
pub struct Exported {
    /// The index of all images.
    pub index: Manifest,
    /// Each image with its key and its manifest.
    pub images: Vec<(ImageId, Digest, Manifest)>,
    /// Whether the images have the tags of their keys, which are not read back yet.
    pub are_tagged: bool,
}

/// Writes the manifests of images to staging, which has their blobs, under the tags of their keys. [`stage`] reads them back.
pub async fn push(
    registry: &Registry,
    staging: &Repository,
    images: &[(Tag, Manifest)],
) -> Result<(), registry::Error> {
    let _span = trace::span(Track::Tags, || "push the manifests".to_owned());
    let written = images.iter().map(|(tag, manifest)| {
        let at = Locator::Tag(tag.clone());
        async move { registry.put_manifest_unread(staging, &at, manifest).await }
    });
    try_join_all(written).await.map(|_| ())
}

/// Reads the images of a run, which the engine pushed, from their index. `exported` is the image and its key by the platform
/// variant that stands for it in the index.
pub async fn read(
    registry: &Registry,
    staging: &Repository,
    run: &Tag,
    index: &Digest,
    exported: &BTreeMap<String, (ImageId, Digest)>,
) -> Result<Exported, Error> {
    let whole = pushed(registry, staging, index).await?;
    let index = Index::parse(&whole.bytes).map_err(|source| Error::Index {
        repository: staging.clone(),
        tag: run.clone(),
        source,
    })?;
    let children = index.by_variant();
    let read = try_join_all(exported.iter().map(|(variant, (id, key))| {
        let child = children.get(variant);
        async move {
            let child = child.ok_or_else(|| Error::NotInIndex {
                repository: staging.clone(),
                tag: run.clone(),
                variant: variant.clone(),
            })?;
            let manifest = pushed(registry, staging, &child.digest).await?;
            Ok::<_, Error>((*id, key.clone(), manifest))
        }
    }));
    Ok(Exported {
        images: read.await?,
        index: whole,
        are_tagged: false,
    })
}

/// The tags of staging that are still to be written. Images are not tagged before it is done.
pub type Tagging = LocalBoxFuture<'static, Result<(), Error>>;

/// Returns the images of a run as staging has them, and what tags the index `run-<run>` and each image `key-<key>`.
pub fn stage(
    registry: &Registry,
    staging: &Repository,
    run: &Tag,
    exported: Exported,
    events: &Events,
) -> Result<(BTreeMap<ImageId, Staged>, Tagging), Error> {
    let Exported {
        index,
        images,
        are_tagged,
    } = exported;
    let (mut staged, mut keys) = (BTreeMap::new(), Vec::new());
    for (id, key, manifest) in images {
        let image = Staged {
            digest: manifest.digest.clone(),
            size: parse(staging, &manifest)?.size(),
            manifest: Some(manifest.clone()),
        };
        staged.insert(id, image);
        keys.push((tags::key(&key), manifest));
    }
    let (registry, staging, events) = (registry.clone(), staging.clone(), events.clone());
    let run = Locator::Tag(run.clone());
    let tagging = async move {
        let keys = keys.iter().map(async |(tag, manifest)| {
            let at = Locator::Tag(tag.clone());
            let tagged = if are_tagged {
                registry.read_back_manifest(&staging, &at, manifest).await
            } else {
                registry.put_manifest(&staging, &at, manifest).await
            };
            let is_tagged = key_tagged(tagged, &events)?;
            if are_tagged && !is_tagged {
                // Its tag was all that kept it.
                let at = Locator::Digest(manifest.digest.clone());
                registry.put_manifest(&staging, &at, manifest).await?;
            }
            Ok::<_, Error>(())
        });
        let keys = try_join_all(keys);
        let index = async { Ok(registry.put_manifest(&staging, &run, &index).await?) };
        if are_tagged {
            // A registry takes an index when it shows its images.
            keys.await?;
            return index.await;
        }
        tokio::try_join!(index, keys).map(|_| ())
    };
    Ok((staged, tagging.boxed_local()))
}

/// Returns whether an image of staging is tagged with its key; that the tag is at other bytes is reported.
fn key_tagged(tagged: Result<(), registry::Error>, events: &Events) -> Result<bool, Error> {
    match tagged {
        // With `--no-reuse` the tag may be on other bytes, and another run may have built the key a moment ago. The index
        // of the run keeps the new ones.
        Err(error @ (registry::Error::Immutable { .. } | registry::Error::Overwritten { .. })) => {
            events.send(Event::Warning {
                text: format!("{error}; later builds reuse the image that was built before"),
            });
            Ok(false)
        }
        tagged => Ok(tagged.map(|()| true)?),
    }
}

/// An image and the tags it gets.
#[derive(Clone, Debug)]
pub struct ImageTags {
    /// The image's label.
    pub label: String,
    /// Its repository.
    pub repository: Repository,
    /// Its digest, in staging.
    pub digest: Digest,
    /// Its immutable tags.
    pub tags: Vec<Tag>,
    /// Its manifest, if it is known.
    pub manifest: Option<Manifest>,
    /// Whether its repository has it: an image that was built a moment ago is not there, and one of the last release is.
    /// `None`: it must be looked up.
    pub is_placed: Option<bool>,
    /// Blobs that its repository has because of the last release.
    pub in_place: BTreeSet<Digest>,
}

/// Returns the layers of an image, the lowest first; `None` for what is not one.
pub fn layers(manifest: &Manifest) -> Option<Vec<Digest>> {
    let image = Image::parse(&manifest.bytes).ok()?;
    Some(image.layers.into_iter().map(|layer| layer.digest).collect())
}

/// Returns the blobs of an image; none of what is not one.
pub fn blobs(manifest: &Manifest) -> Vec<Digest> {
    let image = Image::parse(&manifest.bytes).ok();
    let blobs = image.iter().flat_map(Image::blobs);
    blobs.map(|blob| blob.digest.clone()).collect()
}

/// Puts the bytes of every image into its own repository. A tag that `known` has on the right digest is not asked
/// for. Those that are not known to be free are looked up before. No tag is written. `is_fresh`: what is known was looked up
/// a moment ago, so tags of images that are there already are not looked up again.
pub async fn place<'a>(
    registry: &'a Registry,
    staging: &'a Repository,
    images: &'a [ImageTags],
    (known, is_fresh): (&TagDigests, bool),
    events: &Events,
) -> Result<Placed<'a>, Error> {
    let known = |image: &ImageTags, tag: &Tag| {
        let place = (image.repository.clone(), tag.clone());
        known.get(&place).cloned()
    };
    let is_right =
        |image: &ImageTags, tag: &Tag| known(image, tag).flatten().as_ref() == Some(&image.digest);
    let is_free = |image: &ImageTags, tag: &Tag| known(image, tag) == Some(None);
    let stale = select(images, |image, tag| is_right(image, tag) && !is_fresh);
    let unknown = select(images, |image, tag| {
        !(is_right(image, tag) || is_free(image, tag))
    });
    let mut missing = look_up(registry, &unknown).await?;
    missing.extend(select(images, is_free));
    let placed = missing.into_iter().map(|(image, tags)| async move {
        let (manifest, was_there) = place_image(registry, staging, image, events).await?;
        Ok::<_, Error>(PlacedImage {
            image,
            tags,
            manifest,
            is_stale: !(is_fresh && was_there),
        })
    });
    Ok(Placed {
        registry,
        staging,
        images,
        placed: try_join_all(placed).await?,
        stale,
    })
}

/// Images with some of their tags.
type Selected<'a> = Vec<(&'a ImageTags, Vec<&'a Tag>)>;

/// Returns the tags that `is_wanted` selects; images without any are left out.
fn select(images: &[ImageTags], is_wanted: impl Fn(&ImageTags, &Tag) -> bool) -> Selected<'_> {
    let tags = images.iter().map(|image| {
        let wanted = image.tags.iter().filter(|tag| is_wanted(image, tag));
        (image, wanted.collect())
    });
    tags.filter(|(_, tags): &(_, Vec<&Tag>)| !tags.is_empty())
        .collect()
}

/// Looks up all tags and returns those that do not exist. Fails if one points at another image.
async fn look_up<'a>(registry: &Registry, images: &Selected<'a>) -> Result<Selected<'a>, Error> {
    let found = try_join_all(images.iter().map(|(image, tags)| async move {
        let found = try_join_all(tags.iter().map(|tag| async move {
            let at = Locator::Tag((*tag).clone());
            match registry.head_manifest(&image.repository, &at).await? {
                Some(found) if found.digest == image.digest => Ok(None),
                Some(found) => Err(Error::Taken {
                    repository: image.repository.clone(),
                    tag: (*tag).clone(),
                    found: found.digest,
                    expected: image.digest.clone(),
                }),
                None => Ok(Some(*tag)),
            }
        }));
        let missing: Vec<&Tag> = found.await?.into_iter().flatten().collect();
        Ok::<_, Error>((*image, missing))
    }));
    let found = found.await?.into_iter();
    Ok(found.filter(|(_, tags)| !tags.is_empty()).collect())
}

/// Puts an image's blobs into its own repository, unless that has the image already. Returns its manifest, and whether
/// the repository had it. Blobs that the registry refuses to mount are copied through this machine, which is reported.
async fn place_image(
    registry: &Registry,
    staging: &Repository,
    image: &ImageTags,
    events: &Events,
) -> Result<(Manifest, bool), Error> {
    let repository = &image.repository;
    let read = async {
        match &image.manifest {
            Some(manifest) => Ok(manifest.clone()),
            None => manifest(registry, staging, &image.digest).await,
        }
    };
    let is_there = async {
        if staging == repository {
            return Ok(true);
        }
        match image.is_placed {
            Some(is_placed) => Ok(is_placed),
            None => {
                let at = Locator::Digest(image.digest.clone());
                Ok(registry.head_manifest(repository, &at).await?.is_some())
            }
        }
    };
    let (manifest, is_there) = tokio::try_join!(read, is_there)?;
    if !is_there {
        let route = Route {
            label: &image.label,
            from: staging,
            to: repository,
        };
        mount_blobs(registry, &route, (&manifest, &image.in_place), events).await?;
    }
    Ok((manifest, is_there))
}

/// An image that goes from one repository to another.
#[derive(Clone, Copy, Debug)]
pub struct Route<'a> {
    /// The label of the image.
    pub label: &'a str,
    /// The repository that has it.
    pub from: &'a Repository,
    /// The repository that gets it.
    pub to: &'a Repository,
}

/// Puts everything that a manifest refers to into another repository: the blobs of an image; of an index, its images. The
/// manifest itself is written by the caller.
pub async fn copy_content(
    registry: &Registry,
    route: &Route<'_>,
    whole: &Manifest,
    events: &Events,
) -> Result<(), Error> {
    let Ok(index) = Index::parse(&whole.bytes) else {
        return mount_blobs(registry, route, (whole, &BTreeSet::new()), events).await;
    };
    for entry in &index.entries {
        let child = manifest(registry, route.from, &entry.manifest.digest).await?;
        Box::pin(copy_content(registry, route, &child, events)).await?;
        let at = Locator::Digest(child.digest.clone());
        registry.put_manifest(route.to, &at, &child).await?;
    }
    Ok(())
}

/// Mounts the blobs of an image in a repository, or copies them, except those that are in place.
async fn mount_blobs(
    registry: &Registry,
    Route { label, from, to }: &Route<'_>,
    (manifest, in_place): (&Manifest, &BTreeSet<Digest>),
    events: &Events,
) -> Result<(), Error> {
    let _span = trace::span(Track::Tags, || format!("{label}: mount"));
    let content = parse(from, manifest)?;
    let blobs = content.blobs().into_iter();
    let missing = blobs.filter(|blob| !in_place.contains(&blob.digest));
    let copied = try_join_all(missing.map(|blob| async move {
        match registry.mount(to, from, &blob.digest).await? {
            Mount::Mounted => Ok(None),
            Mount::Refused(reason) => {
                Box::pin(registry.copy_blob(to, from, blob)).await?;
                Ok::<_, Error>(Some((blob.size, reason)))
            }
        }
    }));
    let copied: Vec<(u64, MountRefusal)> = copied.await?.into_iter().flatten().collect();
    if let Some((_, reason)) = copied.first() {
        events.send(Event::BlobsCopied {
            image: (*label).to_owned(),
            repository: to.to_string(),
            blobs: copied.len(),
            bytes: oci::total(copied.iter().map(|(size, _)| *size)),
            reason: reason.to_string(),
        });
    }
    Ok(())
}
