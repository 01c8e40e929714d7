//! Tags what a run made: in staging, so that it is found again and no garbage collector deletes it, and with
//! the immutable tags of its own repository.
//!
//! [`stage`], [`place`] and [`Placed::tag`] are called by `build`. Layers do not pass through this machine unless the
//! registry refuses to mount them, and a manifest keeps its bytes.

mod error;

use std::collections::BTreeMap;

use futures_util::future::{join_all, try_join_all};

pub use error::{Error, Untagged};

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

/// Tags a run's index `run-<run>` and each of its images `key-<key>`. `exported` is the image and its key
/// by the platform variant that stands for it in the index.
pub async fn stage(
    registry: &Registry,
    staging: &Repository,
    run: &Tag,
    index: &Digest,
    exported: &BTreeMap<String, (ImageId, Digest)>,
    events: &Events,
) -> Result<BTreeMap<ImageId, Staged>, Error> {
    let whole = pushed(registry, staging, index).await?;
    let index = Index::parse(&whole.bytes).map_err(|source| Error::Index {
        repository: staging.clone(),
        tag: run.clone(),
        source,
    })?;
    let at = Locator::Tag(run.clone());
    let tagged = registry.put_manifest(staging, &at, &whole);
    let children = index.by_variant();
    let staged = try_join_all(exported.iter().map(|(variant, (id, key))| {
        let child = children.get(variant);
        async move {
            let child = child.ok_or_else(|| Error::NotInIndex {
                repository: staging.clone(),
                tag: run.clone(),
                variant: variant.clone(),
            })?;
            let manifest = pushed(registry, staging, &child.digest).await?;
            let tag = Locator::Tag(tags::key(key));
            match registry.put_manifest(staging, &tag, &manifest).await {
                // With `--no-reuse` the tag may be on other bytes. The index of the run keeps the new ones.
                Err(error @ registry::Error::Immutable { .. }) => events.send(Event::Warning {
                    text: format!("{error}; later builds reuse the image that was built before"),
                }),
                put => put?,
            }
            let staged = Staged {
                digest: child.digest.clone(),
                size: parse(staging, &manifest)?.size(),
                manifest: Some(manifest),
            };
            Ok::<_, Error>((*id, staged))
        }
    }));
    let tagged = async { Ok(tagged.await?) };
    let ((), staged) = tokio::try_join!(tagged, staged)?;
    Ok(staged.into_iter().collect())
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
}

/// Puts the bytes of every image into its own repository. A tag that `known` has on the right digest is not asked
/// for. All others are looked up once the bytes are there; those that are not known to be free before that as well. No
/// tag is written. `is_fresh`: what is known was looked up a moment ago, so tags of images that are there already are not
/// looked up again.
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
        let mut missing = vec![(image, tags)];
        if !(is_fresh && was_there) {
            missing = look_up(registry, &missing).await?;
        }
        let tags: Vec<&Tag> = missing.into_iter().flat_map(|(_, tags)| tags).collect();
        Ok::<_, Error>((image, tags, manifest))
    });
    let placed = try_join_all(placed).await?.into_iter();
    Ok(Placed {
        registry,
        staging,
        images,
        placed: placed.filter(|(_, tags, _)| !tags.is_empty()).collect(),
        stale,
    })
}

/// Images whose bytes are in their repositories.
pub struct Placed<'a> {
    registry: &'a Registry,
    staging: &'a Repository,
    images: &'a [ImageTags],
    /// The tags that are to be looked up although nothing is written: it may be long ago that they were.
    stale: Selected<'a>,
    /// The tags to write.
    placed: Vec<PlacedImage<'a>>,
}

impl Placed<'_> {
    /// Puts every image under its immutable tags, which were free when they were looked up. The first one is claimed:
    /// of two runs that publish different bytes at once, one stops before it has tagged anything. At the end all tags
    /// are read back; if nothing was written, those that may have changed since they were looked up.
    pub async fn tag(&self, events: &Events) -> Result<(), Error> {
        let Self {
            registry, images, ..
        } = self;
        let claimed = self.claim_first(events).await?;
        let written = self.placed.iter().flat_map(|(image, tags, manifest)| {
            let tags = tags.iter().map(move |tag| (*image, *tag, manifest));
            tags.filter(|(image, tag, _)| claimed != Some((&image.repository, *tag)))
        });
        let written = written.map(|(image, tag, manifest)| async move {
            let _span = trace::span(Track::Tags, || format!("{}: tag", image.label));
            let written = self.write_new(image, tag, manifest, events).await;
            written.map_err(|error| (image, error))
        });
        let failed = join_all(written).await.into_iter();
        self.ensure_complete(failed.filter_map(Result::err))?;
        if self.placed.is_empty() {
            ensure_tagged(registry, &self.stale).await?;
        } else {
            ensure_tagged(registry, &select(images, |_, _| true)).await?;
        }
        for image in *images {
            events.send(Event::Published {
                image: image.label.clone(),
                repository: image.repository.to_string(),
                tags: image.tags.iter().map(ToString::to_string).collect(),
                digest: image.digest.clone(),
            });
        }
        Ok(())
    }

    /// Returns the manifests of the images that were placed.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.placed.iter().map(|(_, _, manifest)| manifest)
    }

    /// Claims the first tag to be written, in an order that is the same for all runs, and returns it.
    async fn claim_first(&self, events: &Events) -> Result<Option<(&Repository, &Tag)>, Error> {
        let registry = self.registry;
        let tags = self.placed.iter().flat_map(|(image, tags, manifest)| {
            let tags = tags.iter();
            tags.map(move |tag| (*image, *tag, manifest))
        });
        let Some((image, tag, manifest)) =
            tags.min_by_key(|(image, tag, _)| (&image.repository, *tag))
        else {
            return Ok(None);
        };
        let _span = trace::span(Track::Tags, || format!("{}: tag", image.label));
        let repository = &image.repository;
        let claim = async || registry.claim_tag(repository, tag, manifest).await;
        if self.write(image, manifest, claim, events).await? {
            registry.log().add(repository, tag);
        } else {
            ensure_at(registry, repository, tag, &manifest.digest).await?;
        }
        Ok(Some((repository, tag)))
    }

    /// Writes a tag that was free, or finds it on the image already. It is not read back yet.
    async fn write_new(
        &self,
        image: &ImageTags,
        tag: &Tag,
        manifest: &Manifest,
        events: &Events,
    ) -> Result<(), Error> {
        let (registry, repository) = (self.registry, &image.repository);
        let write = async || registry.write_free_unread(repository, tag, manifest).await;
        if self.write(image, manifest, write, events).await? {
            registry.log().add(repository, tag);
            return Ok(());
        }
        ensure_at(registry, repository, tag, &image.digest).await
    }

    /// Writes a tag. If the repository lacks blobs that the last release had there, they are mounted again.
    async fn write(
        &self,
        image: &ImageTags,
        manifest: &Manifest,
        write: impl AsyncFn() -> Result<bool, registry::Error>,
        events: &Events,
    ) -> Result<bool, Error> {
        match write().await {
            Err(error)
                if image.is_placed == Some(true) && matches!(error.status(), Some(400 | 404)) =>
            {
                mount_blobs(self.registry, self.staging, image, manifest, events).await?;
                Ok(write().await?)
            }
            written => Ok(written?),
        }
    }

    /// Fails if tags could not be written; the first fault of each image is reported.
    fn ensure_complete<'b>(
        &self,
        faults: impl Iterator<Item = (&'b ImageTags, Error)>,
    ) -> Result<(), Error> {
        let mut failed: Vec<Untagged> = Vec::new();
        for (image, error) in faults {
            if failed.iter().all(|known| known.label != image.label) {
                failed.push(Untagged {
                    label: image.label.clone(),
                    error: Box::new(error),
                });
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        Err(Error::Partly {
            of: self.images.len(),
            tagged: labels_without(self.images, &failed),
            failed,
        })
    }
}

/// Returns the labels of the images that are not among those that failed.
fn labels_without(images: &[ImageTags], failed: &[Untagged]) -> Vec<String> {
    let is_tagged = |label: &&String| failed.iter().all(|untagged| untagged.label != **label);
    let labels = images.iter().map(|image| &image.label);
    labels.filter(is_tagged).cloned().collect()
}

/// Checks that a tag which another writer has points at the expected image.
async fn ensure_at(
    registry: &Registry,
    repository: &Repository,
    tag: &Tag,
    expected: &Digest,
) -> Result<(), Error> {
    match digest_at(registry, repository, tag).await? {
        Some(found) if found != *expected => Err(Error::Taken {
            repository: repository.clone(),
            tag: tag.clone(),
            found,
            expected: expected.clone(),
        }),
        Some(_) => Ok(()),
        None => Err(Error::Changed {
            repository: repository.clone(),
            tag: tag.clone(),
            found: None,
            expected: expected.clone(),
        }),
    }
}

/// Returns what a tag points at; `None` if it does not exist.
async fn digest_at(
    registry: &Registry,
    repository: &Repository,
    tag: &Tag,
) -> Result<Option<Digest>, Error> {
    let at = Locator::Tag(tag.clone());
    let found = registry.head_manifest(repository, &at).await?;
    Ok(found.map(|found| found.digest))
}

/// Reads back tags.
async fn ensure_tagged(registry: &Registry, tags: &Selected<'_>) -> Result<(), Error> {
    let tags = tags.iter().flat_map(|(image, tags)| {
        let (image, tags) = (*image, tags.iter());
        tags.map(move |tag| async move {
            // It was free, or on the right digest.
            let found = registry.settled_tag(&image.repository, tag, &image.digest, Some(None));
            let found = found.await?;
            if found.as_ref() == Some(&image.digest) {
                return Ok(());
            }
            Err(Error::Changed {
                repository: image.repository.clone(),
                tag: (*tag).clone(),
                found,
                expected: image.digest.clone(),
            })
        })
    });
    try_join_all(tags).await?;
    Ok(())
}

/// An image whose bytes are in its repository, the tags it lacks, and its manifest.
type PlacedImage<'a> = (&'a ImageTags, Vec<&'a Tag>, Manifest);

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
        mount_blobs(registry, staging, image, &manifest, events).await?;
    }
    Ok((manifest, is_there))
}

/// Mounts the blobs of an image in its repository, or copies them.
async fn mount_blobs(
    registry: &Registry,
    staging: &Repository,
    image: &ImageTags,
    manifest: &Manifest,
    events: &Events,
) -> Result<(), Error> {
    let repository = &image.repository;
    let _span = trace::span(Track::Tags, || format!("{}: mount", image.label));
    let content = parse(staging, manifest)?;
    let copied = try_join_all(content.blobs().into_iter().map(|blob| async move {
        match registry.mount(repository, staging, &blob.digest).await? {
            Mount::Mounted => Ok(None),
            Mount::Refused(reason) => {
                registry.copy_blob(repository, staging, blob).await?;
                Ok::<_, Error>(Some((blob.size, reason)))
            }
        }
    }));
    let copied: Vec<(u64, MountRefusal)> = copied.await?.into_iter().flatten().collect();
    if let Some((_, reason)) = copied.first() {
        events.send(Event::BlobsCopied {
            image: image.label.clone(),
            repository: repository.to_string(),
            blobs: copied.len(),
            bytes: oci::total(copied.iter().map(|(size, _)| *size)),
            reason: reason.to_string(),
        });
    }
    Ok(())
}
