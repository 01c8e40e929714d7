//! Images whose bytes are in their repositories get their tags.
//!
//! A tag of an image is written once. Main type: [`Placed`].

use std::collections::BTreeSet;
use std::time::Instant;

use futures_util::future::{join_all, try_join_all};

use super::{Error, ImageTags, Route, Selected, Untagged, look_up, mount_blobs, select};
use crate::event::{Event, Events};
use crate::name::{Digest, Repository, Tag};
use crate::registry::{self, Locator, Manifest, Registry};
use crate::trace::{self, Track};

/// An image whose bytes are in its repository.
pub(super) struct PlacedImage<'a> {
    /// The image.
    pub image: &'a ImageTags,
    /// The tags that it lacks.
    pub tags: Vec<&'a Tag>,
    /// Its manifest.
    pub manifest: Manifest,
    /// Whether others may have written its tags since they were looked up.
    pub is_stale: bool,
}

/// Images whose bytes are in their repositories.
pub struct Placed<'a> {
    /// The client of all repositories.
    pub(super) registry: &'a Registry,
    /// Where the blobs come from.
    pub(super) staging: &'a Repository,
    /// All images that are published.
    pub(super) images: &'a [ImageTags],
    /// The tags that are to be looked up although nothing is written: it may be long ago that they were.
    pub(super) stale: Selected<'a>,
    /// The tags to write.
    pub(super) placed: Vec<PlacedImage<'a>>,
}

/// A tag to write.
type NewTag<'a> = (&'a ImageTags, &'a Tag, &'a Manifest);

impl Placed<'_> {
    /// Puts every image under its immutable tags, which were free when they were looked up; those that others may have
    /// written since are looked up again. They are not read back yet, except one that is claimed.
    ///
    /// If `is_first` is true, every other run that publishes the same tags sees this one and waits. Otherwise this one waits
    /// first, and then claims the first tag: of two runs that publish different bytes at once, one stops before it has tagged
    /// anything. Returns whether tags were written and `is_first` was true.
    pub async fn tag(
        &self,
        is_first: impl Future<Output = bool>,
        events: &Events,
    ) -> Result<bool, Error> {
        if self.placed.is_empty() {
            return Ok(false);
        }
        let begun = Instant::now();
        let (free, is_first) = tokio::join!(self.free(|placed| placed.is_stale), is_first);
        let (mut free, mut claimed) = (free?, None);
        if !is_first {
            self.registry.wait_for_others(begun).await;
            free = self.free(|_| true).await?;
            claimed = match free.first() {
                Some(first) => Some(self.claim(*first, events).await?),
                None => None,
            };
        }
        let others = free.into_iter();
        let others = others.filter(|(image, tag, _)| claimed != Some((&image.repository, *tag)));
        let written = others.map(|(image, tag, manifest)| async move {
            let _span = trace::span(Track::Tags, || format!("{}: tag", image.label));
            let written = self.write_new(image, tag, manifest, events).await;
            written.map_err(|error| (image, error))
        });
        let failed = join_all(written).await.into_iter();
        self.ensure_complete(failed.filter_map(Result::err))?;
        Ok(is_first)
    }

    /// Reads all tags back; if nothing was written, those that may have changed since they were looked up.
    pub async fn read_back(&self, events: &Events) -> Result<(), Error> {
        let registry = self.registry;
        if self.placed.is_empty() {
            ensure_tagged(registry, &self.stale).await?;
        } else {
            ensure_tagged(registry, &select(self.images, |_, _| true)).await?;
        }
        for image in self.images {
            events.send(Event::Published {
                image: image.label.clone(),
                repository: image.repository.to_string(),
                tags: image.tags.iter().map(ToString::to_string).collect(),
                digest: image.digest.clone(),
            });
        }
        Ok(())
    }

    /// Returns the tags that are free, in an order that is the same for all runs; those of images that `is_unsure` selects are
    /// looked up. Fails if one points at another image.
    async fn free(
        &self,
        is_unsure: impl Fn(&PlacedImage<'_>) -> bool,
    ) -> Result<Vec<NewTag<'_>>, Error> {
        let unsure = self.placed.iter().filter(|placed| is_unsure(placed));
        let unsure: Selected<'_> = unsure
            .map(|placed| (placed.image, placed.tags.clone()))
            .collect();
        let found = look_up(self.registry, &unsure).await?;
        let found = found.iter().flat_map(|(image, tags)| {
            let tags = tags.iter();
            tags.map(|tag| (&image.repository, *tag))
        });
        let found: BTreeSet<(&Repository, &Tag)> = found.collect();
        let is_free = |placed: &PlacedImage<'_>, tag: &Tag| {
            !is_unsure(placed) || found.contains(&(&placed.image.repository, tag))
        };
        let free = self.placed.iter().flat_map(|placed| {
            let tags = placed.tags.iter().filter(|tag| is_free(placed, tag));
            tags.map(|tag| (placed.image, *tag, &placed.manifest))
        });
        let mut free: Vec<NewTag<'_>> = free.collect();
        free.sort_by_key(|(image, tag, _)| (&image.repository, *tag));
        Ok(free)
    }

    /// Returns the manifests of the images that were placed.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.placed.iter().map(|placed| &placed.manifest)
    }

    /// Claims a tag, and returns it.
    async fn claim<'b>(
        &self,
        (image, tag, manifest): NewTag<'b>,
        events: &Events,
    ) -> Result<(&'b Repository, &'b Tag), Error> {
        let registry = self.registry;
        let _span = trace::span(Track::Tags, || format!("{}: tag", image.label));
        let repository = &image.repository;
        let claim = async || registry.claim_tag(repository, tag, manifest).await;
        if self.write(image, manifest, claim, events).await? {
            registry.log().add(repository, tag);
        } else {
            ensure_at(registry, repository, tag, &manifest.digest).await?;
        }
        Ok((repository, tag))
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
        let is_assumed = image.is_placed == Some(true) || !image.in_place.is_empty();
        match write().await {
            Err(error) if is_assumed && matches!(error.status(), Some(400 | 404)) => {
                let all = (manifest, &BTreeSet::new());
                let route = Route {
                    label: &image.label,
                    from: self.staging,
                    to: &image.repository,
                };
                mount_blobs(self.registry, &route, all, events).await?;
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
