//! The fourth phase: images have their immutable tags, or nothing is tagged.

use std::collections::BTreeMap;

use super::error::Error;
use super::proven::Proven;
use crate::interrupt::{Orderly, TagSet};
use crate::name::{Digest, Repository};
use crate::plan::Planned;
use crate::publish::{self, ImageTags};
use crate::registry::Manifest;
use crate::staging::Staging;

/// A run whose images are tagged, if that was asked for and everything passed.
pub(super) struct Published<'a> {
    pub proven: Proven<'a>,
    /// Whether the images have their tags.
    pub is_published: bool,
    /// Until the release is recorded, an interruption does not stop the build.
    pub tagging: Option<Orderly>,
    /// The manifests of images that are known, by digest.
    pub manifests: BTreeMap<Digest, Manifest>,
}

impl<'a> Proven<'a> {
    /// Tags the images if that was asked for and everything passed. A fault is kept in [`Proven::fault`]; a build that
    /// is interrupted before the first tag is written fails.
    pub async fn publish(mut self) -> Result<Published<'a>, Error> {
        let is_asked_for = self.ran.prepared.job.options.push;
        let mut published = (false, None, BTreeMap::new());
        if is_asked_for && self.may_publish() {
            match tag(&self).await {
                Ok((tagging, manifests)) => published = (true, tagging, manifests),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => self.fault = Some(error),
            }
        }
        let (is_published, tagging, manifests) = published;
        Ok(Published {
            proven: self,
            is_published,
            tagging,
            manifests,
        })
    }
}

/// What is left of tagging: until it is dropped an interruption does not stop the build, and the manifests of images.
type Tagged = (Option<Orderly>, BTreeMap<Digest, Manifest>);

async fn tag(proven: &Proven<'_>) -> Result<Tagged, Error> {
    let ran = &proven.ran;
    let Some(staging) = &ran.prepared.staging else {
        return Ok((None, BTreeMap::new()));
    };
    let job = ran.prepared.job;
    let mut manifests = stored_manifests(proven, staging).await;
    let images: Vec<ImageTags> = (job.plan.images.iter())
        .filter_map(|planned| image_tags(proven, planned, &manifests))
        .collect();
    let known = &job.gathered.facts.tags;
    // Without a run, the tags of the plan were looked up a moment ago.
    let known = (known, ran.report.solves == 0);
    let placing = publish::place(job.registry, staging, &images, known, job.events);
    let placed = job.interrupt.unless_cancelled(placing).await;
    let placed = placed.ok_or(Error::Cancelled)??;
    let tagging = job.interrupt.begin_tagging(TagSet::Build);
    let tagging = tagging.ok_or(Error::Cancelled)?;
    placed.tag(job.events).await?;
    let new = placed.manifests().cloned();
    manifests.extend(new.map(|manifest| (manifest.digest.clone(), manifest)));
    Ok((Some(tagging), manifests))
}

/// Returns the manifests that the last release stores, if an image is tagged that this run did not build. If they cannot
/// be read, each is read from staging.
async fn stored_manifests(proven: &Proven<'_>, staging: &Repository) -> BTreeMap<Digest, Manifest> {
    let job = proven.ran.prepared.job;
    let Some(near) = &job.gathered.near else {
        return BTreeMap::new();
    };
    let is_needed = job.plan.images.iter().any(|planned| {
        let Some(tags) = image_tags(proven, planned, &BTreeMap::new()) else {
            return false;
        };
        let is_right = |tag| {
            let place = (tags.repository.clone(), tag);
            job.gathered
                .facts
                .tags
                .get(&place)
                .cloned()
                .flatten()
                .as_ref()
                == Some(&tags.digest)
        };
        tags.manifest.is_none() && !tags.tags.iter().cloned().all(is_right)
    });
    if !is_needed {
        return BTreeMap::new();
    }
    let staging = Staging::new(job.registry, staging);
    let stored = staging.manifests_of(&near.release).await;
    stored.unwrap_or_default()
}

/// Returns an image that is there, the tags it gets, and what is known of it; `known` are manifests by digest.
fn image_tags(
    proven: &Proven<'_>,
    planned: &Planned,
    known: &BTreeMap<Digest, Manifest>,
) -> Option<ImageTags> {
    let job = proven.ran.prepared.job;
    let repository = job.stack[planned.id].repository.clone()?;
    let digest = proven.ran.digest(planned)?;
    let staged = proven.ran.staged.get(&planned.id);
    let near = job.gathered.near.as_ref();
    let is_released = near.is_some_and(|near| {
        let mut images = near.release.images.iter();
        images.any(|image| image.repository == repository && image.digest == digest)
    });
    let built = staged.and_then(|staged| staged.manifest.clone());
    let is_placed = match (&built, is_released) {
        (_, true) => Some(true),
        (Some(_), false) => Some(false),
        (None, false) => None,
    };
    Some(ImageTags {
        label: planned.label.clone(),
        manifest: built.or_else(|| known.get(&digest).cloned()),
        tags: planned.tags.clone(),
        repository,
        digest,
        is_placed,
    })
}
