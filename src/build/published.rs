//! The fourth phase: images have their immutable tags, or nothing is tagged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use super::error::Error;
use super::proven::Proven;
use super::release;
use crate::interrupt::{Orderly, TagSet};
use crate::name::{Digest, Repository};
use crate::plan::Planned;
use crate::publish::{self, ImageTags};
use crate::registry::Manifest;
use crate::stack::Base;
use crate::staging::{Announcement, ReleaseParts, Staging};

/// A run whose images are tagged, if that was asked for and everything passed.
pub(super) struct Published<'a> {
    pub proven: Proven<'a>,
    /// What is left of tagging; `None` if the images are not tagged.
    pub tagged: Option<Tagged>,
}

/// What is left of tagging the images of a run.
#[derive(Default)]
pub(super) struct Tagged {
    /// Until it is dropped, an interruption does not stop the build.
    pub tagging: Option<Orderly>,
    /// The manifests of images that are known, by digest.
    pub manifests: BTreeMap<Digest, Manifest>,
    /// How other runs see this one, if it was the first for its commit and there was no release.
    pub announced: Option<Announcement>,
    /// The release, if it was known before the tags were written.
    pub release: Option<Result<ReleaseParts, Error>>,
}

impl<'a> Proven<'a> {
    /// Tags the images if that was asked for and everything passed. A fault is kept in [`Proven::fault`]; a build that
    /// is interrupted before the first tag is written fails.
    pub async fn publish(mut self) -> Result<Published<'a>, Error> {
        let is_asked_for = self.ran.prepared.job.options.push;
        let interrupt = self.ran.prepared.job.interrupt;
        let (storing, mut settling) = (self.storing.take(), Vec::new());
        let storing = async {
            if let Some(storing) = storing {
                settling = storing.await?;
            }
            Ok(())
        };
        let mut published = None;
        let done = if is_asked_for && self.may_publish() {
            let tagged = Box::pin(tag(&self, storing)).await;
            tagged.map(|tagged| published = Some(tagged))
        } else {
            let stored = interrupt.unless_cancelled(storing).await;
            stored.unwrap_or(Err(Error::Cancelled))
        };
        match done {
            Err(Error::Cancelled) => return Err(Error::Cancelled),
            Err(error) if self.fault.is_none() => self.fault = Some(error),
            _ => {}
        }
        self.settling = settling;
        Ok(Published {
            proven: self,
            tagged: published,
        })
    }
}

/// Tags the images. Nothing is tagged before `storing` is done.
async fn tag(
    proven: &Proven<'_>,
    storing: impl Future<Output = Result<(), Error>>,
) -> Result<Tagged, Error> {
    let ran = &proven.ran;
    let Some(staging) = &ran.prepared.staging else {
        storing.await?;
        return Ok(Tagged::default());
    };
    let job = ran.prepared.job;
    let documents = Staging::new(job.registry, staging);
    let images = OnceLock::new();
    let placing = async {
        let manifests = stored_manifests(proven).await;
        let images = images.get_or_init(|| all_tags(proven, &manifests));
        let known = &job.gathered.facts.tags;
        // Without a run, the tags of the plan were looked up a moment ago.
        let known = (known, ran.report.solves == 0);
        let placed = publish::place(job.registry, staging, images, known, job.events).await?;
        Ok::<_, Error>((manifests, placed))
    };
    let placing = async {
        let announcing = Box::pin(announce(proven, &documents));
        // All that was begun ends before a fault is reported.
        let (stored, placed, announced) = tokio::join!(storing, Box::pin(placing), announcing);
        stored?;
        Ok::<_, Error>((placed?, announced?))
    };
    let placed = job.interrupt.unless_cancelled(placing).await;
    let ((mut manifests, placed), announced) = placed.ok_or(Error::Cancelled)??;
    let new = placed.manifests().cloned();
    manifests.extend(new.map(|manifest| (manifest.digest.clone(), manifest)));
    check_bases(proven, &manifests)?;
    let tagging = job.interrupt.begin_tagging(TagSet::Build);
    let tagging = tagging.ok_or(Error::Cancelled)?;
    let is_first = async {
        match &announced {
            Some(announced) => documents.is_first(announced).await,
            None => false,
        }
    };
    // The blobs of a release do no harm if it is not written.
    let release = Box::pin(release::send_own(proven, &documents, &manifests));
    let tagging_all = Box::pin(placed.tag(is_first, job.events));
    let (tagged, release) = tokio::join!(tagging_all, release);
    let was_first = tagged?;
    let is_unrecorded = async {
        match &announced {
            Some(announced) if was_first => documents.is_unrecorded(announced).await,
            _ => false,
        }
    };
    let (read_back, is_unrecorded) = tokio::join!(placed.read_back(job.events), is_unrecorded);
    read_back?;
    Ok(Tagged {
        tagging: Some(tagging),
        manifests,
        announced: announced.filter(|_| is_unrecorded),
        release,
    })
}

/// Fails if an image does not begin with the layers of its base: equal keys can have different bytes, so it may be on another
/// build of the base than the one that is tagged. `manifests` are those that are known; what the last release has is not
/// checked again.
fn check_bases(proven: &Proven<'_>, manifests: &BTreeMap<Digest, Manifest>) -> Result<(), Error> {
    let ran = &proven.ran;
    let job = ran.prepared.job;
    let near = job.gathered.near.as_ref();
    let released = near.into_iter().flat_map(|near| &near.release.images);
    let released: BTreeSet<&Digest> = released.map(|image| &image.digest).collect();
    let layers = |planned: &Planned, digest: &Digest| {
        let staged = ran.staged.get(&planned.id);
        let staged = staged.and_then(|staged| staged.manifest.as_ref());
        publish::layers(staged.or_else(|| manifests.get(digest))?)
    };
    let is_on_another = |planned: &Planned| {
        let image = &job.stack[planned.id];
        let Base::Image(base) = &image.base else {
            return None;
        };
        let base = &job.plan.images[base.0];
        let (digest, below) = (ran.digest(planned)?, ran.digest(base)?);
        let was_checked = released.contains(&digest) && released.contains(&below);
        if was_checked || image.dockerfile().is_some() {
            return None;
        }
        let (layers, below) = (layers(planned, &digest)?, layers(base, &below)?);
        (!layers.starts_with(&below)).then(|| (planned.label.clone(), base.label.clone()))
    };
    let images: Vec<_> = job.plan.images.iter().filter_map(is_on_another).collect();
    if images.is_empty() {
        return Ok(());
    }
    Err(Error::OtherBase { images })
}

/// Announces that this run publishes its commit, unless all tags and the release are there.
async fn announce(proven: &Proven<'_>, documents: &Staging) -> Result<Option<Announcement>, Error> {
    let job = proven.ran.prepared.job;
    let Some(commit) = job.gathered.facts.commit() else {
        return Ok(None);
    };
    let attempt = job.plan.attempt;
    let near = job.gathered.near.as_ref();
    let is_recorded =
        near.is_some_and(|near| near.release.commit.as_ref() == Some(commit)) && attempt <= 1;
    let images = all_tags(proven, &BTreeMap::new());
    if is_recorded && images.iter().all(|image| is_tagged(proven, image)) {
        return Ok(None);
    }
    let announced = documents.announce(commit, attempt).await;
    announced.map(Some).map_err(Error::Staged)
}

/// Whether an image had all its tags when they were looked up.
fn is_tagged(proven: &Proven<'_>, image: &ImageTags) -> bool {
    let known = &proven.ran.prepared.job.gathered.facts.tags;
    image.tags.iter().all(|tag| {
        let found = known.get(&(image.repository.clone(), tag.clone()));
        found.and_then(Option::as_ref) == Some(&image.digest)
    })
}

/// Returns the manifests that the last release stores, if an image lacks a tag. If they cannot be read, those that are
/// needed are read from staging.
async fn stored_manifests(proven: &Proven<'_>) -> BTreeMap<Digest, Manifest> {
    let mut images = all_tags(proven, &BTreeMap::new()).into_iter();
    if images.all(|image| is_tagged(proven, &image)) {
        return BTreeMap::new();
    }
    proven.ran.prepared.stored_manifests().await.clone()
}

/// Returns the images that are there and the tags they get; `known` are manifests by digest.
fn all_tags(proven: &Proven<'_>, known: &BTreeMap<Digest, Manifest>) -> Vec<ImageTags> {
    let near = proven.ran.prepared.job.gathered.near.as_ref();
    let released = near.into_iter().flat_map(|near| &near.release.images);
    let released = released.map(|image| (&image.repository, &image.digest));
    let mut near = NearImages {
        released: released.collect(),
        blobs: BTreeMap::new(),
    };
    for (repository, digest) in &near.released {
        if let Some(manifest) = known.get(*digest) {
            let blobs = near.blobs.entry(*repository).or_default();
            blobs.extend(publish::blobs(manifest));
        }
    }
    let images = proven.ran.prepared.job.plan.images.iter();
    images
        .filter_map(|planned| image_tags(proven, planned, known, &near))
        .collect()
}

/// What the repositories of images have because of the last release.
struct NearImages<'a> {
    /// The images of the release.
    released: BTreeSet<(&'a Repository, &'a Digest)>,
    /// The blobs of images whose manifest is known.
    blobs: BTreeMap<&'a Repository, BTreeSet<Digest>>,
}

/// Returns an image that is there, the tags it gets, and what is known of it; `known` are manifests by digest.
fn image_tags(
    proven: &Proven<'_>,
    planned: &Planned,
    known: &BTreeMap<Digest, Manifest>,
    near: &NearImages<'_>,
) -> Option<ImageTags> {
    let job = proven.ran.prepared.job;
    let repository = job.stack[planned.id].repository.clone()?;
    let digest = proven.ran.digest(planned)?;
    let staged = proven.ran.staged.get(&planned.id);
    let is_released = near.released.contains(&(&repository, &digest));
    let built = staged.and_then(|staged| staged.manifest.clone());
    let is_placed = match (&built, is_released) {
        (_, true) => Some(true),
        (Some(_), false) => Some(false),
        (None, false) => None,
    };
    let in_place = near.blobs.get(&repository);
    Some(ImageTags {
        label: planned.label.clone(),
        manifest: built.or_else(|| known.get(&digest).cloned()),
        tags: planned.tags.clone(),
        in_place: in_place
            .filter(|_| !is_released)
            .cloned()
            .unwrap_or_default(),
        repository,
        digest,
        is_placed,
    })
}
