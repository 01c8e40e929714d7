//! Releases, with the evidence of their images and their spec as blobs beside the record.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;

use super::{Document, Error, Staging, bytes};
use crate::evidence::Evidence;
use crate::name::{Commit, Digest, Tag};
use crate::record::{LedgerEntry, Release, ReleaseImage, Releases, StoredRelease, StoredSpec};
use crate::registry::{Attachment, Locator};
use crate::tags;

const SPEC_TYPE: &str = "application/vnd.laminate.spec.v1+json";

impl Document for Release {
    /// The commit, and the attempt from 1.
    type Id<'a> = (&'a Commit, u32);
    const MEDIA_TYPE: &'static str = "application/vnd.laminate.release.v1+json";

    fn tag((commit, attempt): Self::Id<'_>) -> Tag {
        tags::release(commit, attempt)
    }
}

impl Staging {
    /// Writes a release under its tag, once: a release that is there must have the same images. The evidence
    /// of its images (by label) and its spec become blobs, and the record refers to them.
    pub async fn write_release(
        &self,
        attempt: u32,
        mut release: Release,
        evidence: &BTreeMap<String, Evidence>,
        spec: &StoredSpec,
    ) -> Result<Digest, Error> {
        let tag = Release::tag((&release.commit, attempt));
        let at = Locator::Tag(tag.clone());
        let (registry, repository) = (&self.registry, &self.repository);
        if let Some((digest, there)) = self.read_at::<Release>(&at).await? {
            self.ensure_same(&at, &there, &release)?;
            return Ok(digest);
        }
        let mut attached = Vec::new();
        let mut attach = |media_type: &str, bytes: Vec<u8>| {
            let digest = Digest::of(&bytes);
            attached.push(Attachment {
                media_type: media_type.to_owned(),
                bytes: bytes.into(),
            });
            digest
        };
        release.spec = Some(attach(SPEC_TYPE, bytes(spec)));
        for image in &mut release.images {
            let known = evidence.get(&image.label());
            image.evidence = known.map(|known| attach(Evidence::MEDIA_TYPE, bytes(known)));
        }
        let claimed = registry
            .claim_document_with(
                repository,
                &tag,
                Release::MEDIA_TYPE,
                bytes(&release),
                &attached,
            )
            .await?;
        match claimed {
            Some(digest) => Ok(digest),
            // Another run wrote it at the same time.
            None => match self.read_at::<Release>(&at).await? {
                Some((digest, there)) => {
                    self.ensure_same(&at, &there, &release)?;
                    Ok(digest)
                }
                None => Err(Error::Contended {
                    place: self.place(&at),
                    attempts: 1,
                }),
            },
        }
    }

    /// Checks that a release which has the tag already is the one to be written.
    fn ensure_same(&self, at: &Locator, there: &Release, ours: &Release) -> Result<(), Error> {
        let differences = differences(there, ours);
        if there.commit == ours.commit && differences.is_empty() {
            return Ok(());
        }
        Err(Error::OtherRelease {
            place: self.place(at),
            commit: there.commit.clone(),
            differences,
        })
    }

    /// Returns the evidence stored with a release for one of its images.
    pub async fn evidence_of(&self, image: &ReleaseImage) -> Result<Option<Evidence>, Error> {
        match &image.evidence {
            Some(digest) => Ok(Some(self.blob(digest).await?)),
            None => Ok(None),
        }
    }

    /// Returns the spec a release was built from; `None` for one that was written without.
    pub async fn spec_of(&self, release: &Release) -> Result<Option<StoredSpec>, Error> {
        match &release.spec {
            Some(digest) => Ok(Some(self.blob(digest).await?)),
            None => Ok(None),
        }
    }

    /// Returns the release with a manifest digest.
    pub async fn release(&self, digest: &Digest) -> Result<Option<StoredRelease>, Error> {
        let found = self.read_at(&Locator::Digest(digest.clone())).await?;
        Ok(found.map(StoredRelease::from))
    }

    /// Returns all releases, newest first.
    pub async fn release_list(&self) -> Result<Vec<StoredRelease>, Error> {
        let tags = self.registry.tags(&self.repository).await?;
        let found = self.read_all(&tags, tags::is_release).await?;
        let mut list: Vec<_> = found.into_iter().map(StoredRelease::from).collect();
        Releases::sort(&mut list);
        Ok(list)
    }

    /// Returns all releases, and the channels at them.
    pub async fn releases(&self) -> Result<Releases, Error> {
        let tags = self.registry.tags(&self.repository).await?;
        let (list, channels) = tokio::try_join!(
            self.read_all::<Release>(&tags, tags::is_release),
            self.read_all::<LedgerEntry>(&tags, tags::is_current)
        )?;
        let channels = channels.into_iter().map(|(_, entry)| entry);
        let list = list.into_iter().map(StoredRelease::from);
        Ok(Releases::new(list.collect(), channels.collect()))
    }

    /// Reads the documents with these of its tags.
    async fn read_all<D: Document>(
        &self,
        tags: &[Tag],
        is_wanted: impl Fn(&Tag) -> bool,
    ) -> Result<Vec<(Digest, D)>, Error> {
        let tags = tags.iter().filter(|tag| is_wanted(tag)).cloned();
        let found = try_join_all(
            tags.map(|tag| async move { self.read_at::<D>(&Locator::Tag(tag)).await }),
        );
        Ok(found.await?.into_iter().flatten().collect())
    }
}

/// Returns how the images of a release differ from those of another, a line each.
fn differences(there: &Release, ours: &Release) -> Vec<String> {
    let digests = |release: &Release| -> BTreeMap<String, Digest> {
        let images = release.images.iter();
        images
            .map(|image| (image.label(), image.digest.clone()))
            .collect()
    };
    let (there, ours) = (digests(there), digests(ours));
    let labels: BTreeSet<&String> = there.keys().chain(ours.keys()).collect();
    let differing = labels
        .into_iter()
        .filter(|label| there.get(*label) != ours.get(*label));
    let shown = |digest: Option<&Digest>| digest.map_or("missing", Digest::short).to_owned();
    differing
        .map(|label| {
            format!(
                "{label}: {}, not {}",
                shown(there.get(label)),
                shown(ours.get(label))
            )
        })
        .collect()
}
