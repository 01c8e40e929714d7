//! Releases, with the evidence of their images and their spec as blobs beside the record.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{join_all, try_join_all};

use super::{Announcement, Document, Error, Staging, bytes};
use crate::evidence::Evidence;
use crate::name::{Commit, Digest, Tag};
use crate::record::{
    LedgerEntry, Release, ReleaseImage, Releases, StoredManifest, StoredManifests, StoredRelease,
    StoredSpec,
};
use crate::registry::{Attachment, Locator, Manifest};
use crate::tags;

const SPEC_TYPE: &str = "application/vnd.laminate.spec.v1+json";
const MANIFESTS_TYPE: &str = "application/vnd.laminate.manifests.v1+json";

/// A release that can be written: what belongs to it is in staging.
#[derive(Debug)]
pub struct ReleaseParts {
    release: Release,
    attached: Vec<Attachment>,
}

impl Document for Release {
    type Id<'a> = (&'a Commit, u32);
    const MEDIA_TYPE: &'static str = "application/vnd.laminate.release.v1+json";

    /// One that is adopted has no commit and no keys.
    const VERSION: u32 = 2;

    fn version(&self) -> u32 {
        self.version.max(Self::VERSION)
    }

    fn tag((commit, attempt): Self::Id<'_>) -> Tag {
        tags::release(commit, attempt)
    }
}

impl Staging {
    /// Sends what belongs to a release before it is written: the evidence of its images (by label), its spec, and the
    /// manifests that are at hand become blobs, and the record refers to them.
    pub async fn send_parts(
        &self,
        mut release: Release,
        evidence: &BTreeMap<String, Evidence>,
        spec: &StoredSpec,
        manifests: &BTreeMap<Digest, Manifest>,
    ) -> Result<ReleaseParts, Error> {
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
        release.manifests = stored_manifests(&release, manifests)
            .map(|manifests| attach(MANIFESTS_TYPE, bytes(&manifests)));
        for image in &mut release.images {
            let known = evidence.get(&image.label());
            image.evidence = known.map(|known| attach(Evidence::MEDIA_TYPE, bytes(known)));
        }
        self.registry.attach(&self.repository, &attached).await?;
        Ok(ReleaseParts { release, attached })
    }

    /// Writes a release of adopted images; one of the same images may be there.
    pub async fn write_adopted(&self, release: Release) -> Result<Digest, Error> {
        let attached = Vec::new();
        self.write_release(1, ReleaseParts { release, attached }, None)
            .await
    }

    /// Writes a release under its tag, once: a release that is there must have the same images. `first` is the announcement of
    /// this run if it was the first one for the commit and looked the release up a moment ago: if it is still alone, it does
    /// not wait for others.
    pub async fn write_release(
        &self,
        attempt: u32,
        parts: ReleaseParts,
        first: Option<&Announcement>,
    ) -> Result<Digest, Error> {
        let ReleaseParts { release, attached } = parts;
        let tag = match &release.commit {
            Some(commit) => Release::tag((commit, attempt)),
            None => tags::adopted_release(&Digest::of(&bytes(&release.images))),
        };
        let at = Locator::Tag(tag.clone());
        let is_alone = first.map(|first| async || self.is_alone(first).await);
        let document = (Release::MEDIA_TYPE, bytes(&release).into());
        let claimed = self
            .registry
            .claim_document_with(&self.repository, &tag, document, &attached, is_alone)
            .await?;
        match claimed {
            Some(digest) => Ok(digest),
            // It was there, or another run wrote it at the same time.
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

    /// Returns the manifests that are stored with a release, by digest. Each is checked against its digest.
    pub async fn manifests_of(
        &self,
        release: &Release,
    ) -> Result<BTreeMap<Digest, Manifest>, Error> {
        let Some(blob) = &release.manifests else {
            return Ok(BTreeMap::new());
        };
        let stored: StoredManifests = self.blob(blob).await?;
        let manifests = stored.0.into_iter().filter_map(|(digest, stored)| {
            let manifest = Manifest::new(stored.text, stored.media_type);
            (manifest.digest == digest).then_some((digest, manifest))
        });
        Ok(manifests.collect())
    }

    /// Returns the release of the first of these commits that has one; it is looked up by their plain tags. Those of the
    /// first two are looked up at once, then all others. One that cannot be read is passed over.
    pub async fn near_release(&self, commits: &[Commit]) -> Option<StoredRelease> {
        let (nearest, others) = commits.split_at(commits.len().min(2));
        match self.first_release(nearest).await {
            Some(found) => Some(found),
            None => self.first_release(others).await,
        }
    }

    async fn first_release(&self, commits: &[Commit]) -> Option<StoredRelease> {
        let found = join_all(commits.iter().map(|commit| async move {
            let found = self.read::<Release>((commit, 1)).await.ok()??;
            Some(StoredRelease::from(found))
                .filter(|stored| stored.release.commit.as_ref() == Some(commit))
        }));
        found.await.into_iter().flatten().next()
    }

    /// Returns the release with a manifest digest.
    pub async fn release(&self, digest: &Digest) -> Result<Option<StoredRelease>, Error> {
        let found = self.read_at(&Locator::Digest(digest.clone())).await?;
        Ok(found.map(StoredRelease::from))
    }

    /// Returns the releases of a commit, newest first; `commit` are its first hex digits, at least 7. Nothing
    /// else is read, and all of them must be readable.
    pub async fn releases_of(&self, commit: &str) -> Result<Vec<StoredRelease>, Error> {
        let is_of = |tag: &Tag| tags::is_release_of(tag, commit);
        let (registry, repository) = (&self.registry, &self.repository);
        // Most commits have one release; the tags of others are next to its tag.
        let plain = tags::first_release(commit);
        let at = plain.clone().map(Locator::Tag);
        let first = async {
            match &at {
                Some(at) => self.read_at::<Release>(at).await,
                None => Ok(None),
            }
        };
        let others = async {
            match &plain {
                Some(plain) => Ok(registry.tags_behind(repository, plain, is_of).await?),
                None => Ok::<_, Error>(None),
            }
        };
        let (first, mut tags) = match tokio::try_join!(first, others)? {
            (Some(first), Some(others)) => (Some(first), others),
            _ => (None, registry.tags(repository).await?),
        };
        tags.retain(is_of);
        let found = try_join_all(
            tags.into_iter()
                .map(|tag| async move { self.read_at::<Release>(&Locator::Tag(tag)).await }),
        );
        let found = found.await?.into_iter().flatten();
        let found = found.chain(first).map(StoredRelease::from);
        let is_of = |stored: &StoredRelease| {
            let own = stored.release.commit.as_ref();
            own.is_some_and(|own| own.as_str().starts_with(commit))
        };
        let mut list: Vec<_> = found.filter(is_of).collect();
        Releases::sort(&mut list);
        Ok(list)
    }

    /// Returns the release of the first of these commits that has one; of several of it, the last.
    pub async fn newest_release_of(
        &self,
        commits: &[Commit],
    ) -> Result<Option<StoredRelease>, Error> {
        let tags = self.registry.tags(&self.repository).await?;
        let tags: Vec<&Tag> = tags.iter().filter(|tag| tags::is_release(tag)).collect();
        for commit in commits {
            let is_of = |tag: &&&Tag| tags::is_release_of(tag, commit.as_str());
            if !tags.iter().any(|tag| is_of(&tag)) {
                continue;
            }
            let found = self.releases_of(commit.as_str()).await?.into_iter().next();
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Returns all releases that can be read, newest first.
    pub async fn release_list(&self) -> Result<Listed<Vec<StoredRelease>>, Error> {
        let tags = self.registry.tags(&self.repository).await?;
        let (found, unreadable) = self.read_all(&tags, tags::is_release).await?;
        let mut found: Vec<_> = found.into_iter().map(StoredRelease::from).collect();
        Releases::sort(&mut found);
        Ok(Listed { found, unreadable })
    }

    /// Returns all releases that can be read, and the channels at them.
    pub async fn releases(&self) -> Result<Listed<Releases>, Error> {
        let tags = self.registry.tags(&self.repository).await?;
        let ((list, mut unreadable), (channels, others)) = tokio::try_join!(
            self.read_all::<Release>(&tags, tags::is_release),
            self.read_all::<LedgerEntry>(&tags, tags::is_current)
        )?;
        unreadable.extend(others);
        let channels = channels.into_iter().map(|(_, entry)| entry);
        let list = list.into_iter().map(StoredRelease::from);
        let mut found = Releases::new(list.collect(), channels.collect());
        let entries = tags.iter().filter_map(tags::channel_of_entry);
        let is_known = |name: &str| found.channels.iter().any(|entry| entry.channel == name);
        found.without_pointer = entries
            .filter(|name| !is_known(name))
            .map(str::to_owned)
            .collect();
        Ok(Listed { found, unreadable })
    }

    /// Reads the documents with these of its tags; also returns the errors of those that cannot be read.
    async fn read_all<D: Document>(
        &self,
        tags: &[Tag],
        is_wanted: impl Fn(&Tag) -> bool,
    ) -> Result<(Vec<(Digest, D)>, Vec<Error>), Error> {
        let tags = tags.iter().filter(|tag| is_wanted(tag)).cloned();
        let read = tags.map(|tag| async move {
            match self.read_at::<D>(&Locator::Tag(tag)).await {
                Ok(found) => Ok(found.map(Ok)),
                Err(error) if error.is_unreadable() => Ok(Some(Err(error))),
                Err(error) => Err(error),
            }
        });
        let (mut found, mut unreadable) = (Vec::new(), Vec::new());
        for document in try_join_all(read).await?.into_iter().flatten() {
            match document {
                Ok(document) => found.push(document),
                Err(error) => unreadable.push(error),
            }
        }
        Ok((found, unreadable))
    }
}

/// Returns the manifests of a release's images that are at hand; `None` if there are none.
fn stored_manifests(
    release: &Release,
    manifests: &BTreeMap<Digest, Manifest>,
) -> Option<StoredManifests> {
    let stored = release.images.iter().filter_map(|image| {
        let manifest = manifests.get(&image.digest)?;
        let stored = StoredManifest {
            media_type: manifest.media_type.clone(),
            text: String::from_utf8(manifest.bytes.to_vec()).ok()?,
        };
        Some((image.digest.clone(), stored))
    });
    let stored: BTreeMap<Digest, StoredManifest> = stored.collect();
    (!stored.is_empty()).then_some(StoredManifests(stored))
}

/// Documents that were found, and why others could not be read.
#[derive(Debug)]
pub struct Listed<T> {
    /// Those that could be read.
    pub found: T,
    /// One error a document.
    pub unreadable: Vec<Error>,
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
