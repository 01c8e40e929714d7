//! The images of a release: those of this run, and those that other runs of the same commit published. A run
//! may be for some variants or images only, as in a CI matrix; a release always has all of them.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::error::Error;
use super::proven::Proven;
use crate::event::Events;
use crate::evidence::Evidence;
use crate::gather::{self, Known};
use crate::name::{Digest, Reference, Repository, Tag};
use crate::plan::{self, Component, ComponentKind, Proofs, Request};
use crate::publish;
use crate::registry::Locator;
use crate::stack::{Image, ImageId, Stack};
use crate::staging::Staging;

/// An image of a release, and what is known of it.
pub(super) struct Member<'a> {
    /// The image, of the whole stack.
    pub image: &'a Image,
    /// Its manifest digest.
    pub digest: Digest,
    /// Its cache key.
    pub key: Digest,
    /// The components of the key.
    pub components: Vec<Component>,
    /// Its immutable tags.
    pub tags: Vec<Tag>,
    /// Of its config and layers as stored, bytes; 0 if it is not known.
    pub size: u64,
    /// The digests of its external base and of external images that files are copied from.
    pub external: BTreeMap<Reference, Digest>,
    /// What is proven of it.
    pub evidence: Option<Evidence>,
    /// The suites and checks in force, and which of them this run knew.
    pub proofs: Proofs,
}

/// The images of the stack, or those of them that keep it from being a release.
pub(super) enum Members<'a> {
    /// All images of the stack, in its order.
    All(Vec<Member<'a>>),
    /// Labels of images without the tags of this commit.
    Missing(Vec<String>),
}

/// Returns all images of the whole stack as they are published under the tags of this run's commit. Nothing is
/// asked of a registry if all of them are part of this run.
pub(super) async fn members<'a>(proven: &Proven<'a>) -> Result<Members<'a>, Error> {
    let job = &proven.ran.prepared.job;
    let images = job.whole.images().iter();
    let own: Vec<_> = images.map(|image| (image, own(proven, image))).collect();
    let is_complete = own.iter().all(|(_, member)| member.is_some());
    let others = if is_complete {
        None
    } else {
        Some(Others::look_up(proven).await?)
    };
    let found = own.into_iter().zip((0..).map(ImageId));
    let found = found.map(|((image, member), id)| {
        let others = others.as_ref();
        async move {
            match (member, others) {
                (Some(member), _) => Ok(Ok(member)),
                (None, Some(others)) => {
                    let member = others.member(id).await?;
                    Ok::<_, Error>(member.ok_or(image))
                }
                (None, None) => Ok(Err(image)),
            }
        }
    });
    let (mut all, mut missing) = (Vec::new(), Vec::new());
    for member in try_join_all(found).await? {
        match member {
            Ok(member) => all.push(member),
            Err(image) => missing.push(job.whole.label_of(image)),
        }
    }
    if missing.is_empty() {
        Ok(Members::All(all))
    } else {
        Ok(Members::Missing(missing))
    }
}

/// Returns all images of the whole stack, if all of them are part of this run.
pub(super) fn own_members<'a>(proven: &Proven<'a>) -> Option<Vec<Member<'a>>> {
    let images = proven.ran.prepared.job.whole.images().iter();
    images.map(|image| own(proven, image)).collect()
}

/// Returns an image of this run; `None` if the run has nothing to do with it.
fn own<'a>(proven: &Proven<'a>, image: &'a Image) -> Option<Member<'a>> {
    let job = &proven.ran.prepared.job;
    let label = job.whole.label_of(image);
    let planned = job
        .plan
        .images
        .iter()
        .find(|planned| planned.label == label)?;
    let keyed = planned.keyed.as_ref()?;
    Some(Member {
        image,
        digest: proven.ran.digest(planned)?,
        key: keyed.key.clone(),
        components: keyed.components.clone(),
        tags: planned.tags.clone(),
        size: proven.ran.size(planned).unwrap_or_default(),
        external: external(image, &keyed.components),
        evidence: proven.evidence.get(&planned.id).cloned(),
        proofs: planned.proofs.clone(),
    })
}

/// What other runs left in the registry.
struct Others<'a> {
    stack: &'a Stack,
    staging: Staging,
    known: Known,
    /// The immutable tags of each image, by its place in the stack.
    tags: Vec<Vec<Tag>>,
}

impl<'a> Others<'a> {
    /// Looks up what staging has now: other runs may have ended since this one began.
    async fn look_up(proven: &Proven<'a>) -> Result<Self, Error> {
        let job = &proven.ran.prepared.job;
        let request = Request::default();
        let options = gather::Options {
            request: &request,
            ..job.gathering
        };
        let events = Events::none();
        let known = gather::look_up(job.whole, &options, Some(job.registry), &events);
        let staging = job.whole.staging().expect("a published stack has staging");
        let commit = job.gathered.facts.commit();
        let tags = |image| plan::immutable_tags(image, commit, job.plan.attempt);
        Ok(Self {
            stack: job.whole,
            staging: Staging::new(job.registry, staging),
            known: known.await?,
            tags: job.whole.images().iter().map(tags).collect(),
        })
    }

    /// Returns an image that other runs published; `None` if it lacks a tag, or if it is unknown what it was built
    /// from.
    async fn member(&self, id: ImageId) -> Result<Option<Member<'a>>, Error> {
        let image = &self.stack[id];
        let Some(repository) = &image.repository else {
            return Ok(None);
        };
        let tags = self.tags[id.0].clone();
        let Some(digest) = self.digest(id, repository, &tags).await? else {
            return Ok(None);
        };
        let Some((key, components)) = self.keyed(id, &digest) else {
            return Ok(None);
        };
        let mut evidence = self.staging.evidence([&key]).await?.remove(&key);
        evidence = evidence.filter(|evidence| evidence.digest == digest);
        let size = match self.known.state.sizes().get(&digest) {
            Some(size) => Some(*size),
            None => publish::size(&self.staging.registry, repository, &digest).await?,
        };
        Ok(Some(Member {
            image,
            external: external(image, &components),
            proofs: plan::known_proofs(self.stack, image, &digest, evidence.as_ref()),
            digest,
            key,
            components,
            tags,
            size: size.unwrap_or_default(),
            evidence,
        }))
    }

    /// Returns the digest all tags of an image point at; `None` if one is missing or on another. An image without
    /// such tags has the digest that staging has.
    async fn digest(
        &self,
        id: ImageId,
        repository: &Repository,
        tags: &[Tag],
    ) -> Result<Option<Digest>, Error> {
        if tags.is_empty() {
            let keyed = self.known.keys.get(id);
            return Ok(keyed
                .and_then(|keyed| self.known.stored.get(&keyed.key))
                .cloned());
        }
        let found = try_join_all(tags.iter().map(|tag| async move {
            let at = Locator::Tag(tag.clone());
            let found = self.staging.registry.head_manifest(repository, &at).await?;
            Ok::<_, publish::Error>(found.map(|found| found.digest))
        }));
        let mut found = found.await?;
        let first = found.pop().flatten();
        Ok(first.filter(|first| found.iter().all(|other| other.as_ref() == Some(first))))
    }

    /// Returns the key an image was built under: the one it has now, or that of its last build if others moved a
    /// base since.
    fn keyed(&self, id: ImageId, digest: &Digest) -> Option<(Digest, Vec<Component>)> {
        if let Some(keyed) = self.known.keys.get(id)
            && self.known.stored.get(&keyed.key) == Some(digest)
        {
            return Some((keyed.key.clone(), keyed.components.clone()));
        }
        let built = self.known.state.records().remove(&self.stack.label(id))?;
        (built.digest == *digest).then_some((built.key, built.components))
    }
}

/// Returns the digests of external images in the components of an image's key.
fn external(image: &Image, components: &[Component]) -> BTreeMap<Reference, Digest> {
    let is_external =
        |kind: ComponentKind| matches!(kind, ComponentKind::Base | ComponentKind::Image);
    let images = image.external_images().into_iter();
    let digests = images.filter_map(|external| {
        let reference = &external.reference.value;
        let name = reference.to_string();
        let mut components = components.iter();
        let component = components.find(|known| is_external(known.kind) && known.what == name)?;
        Some((reference.clone(), Digest::parse(&component.value).ok()?))
    });
    digests.collect()
}
