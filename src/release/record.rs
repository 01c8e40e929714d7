//! The documents in staging: releases, and the ledger of each channel.

use std::collections::BTreeMap;
use std::fmt;

use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, Releases};
use crate::evidence::Evidence;
use crate::name::{Digest, Repository, Tag};
use crate::plan::Component;
use crate::registry::{Attachment, Locator, Registry};

const RELEASE_TYPE: &str = "application/vnd.laminate.release.v1+json";
const EVIDENCE_TYPE: &str = "application/vnd.laminate.evidence.v1+json";
const SPEC_TYPE: &str = "application/vnd.laminate.spec.v1+json";
/// The largest blob of a release read, bytes.
const LIMIT: u64 = 256 << 20;
pub(super) const ENTRY_TYPE: &str = "application/vnd.laminate.channel.v1+json";

/// All images of a stack at one digest each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    pub stack: String,
    pub commit: String,
    /// When it was published, RFC 3339.
    pub time: String,
    pub run: String,
    /// The git ref it was built from, `refs/heads/main`, if that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// The blob with its [`StoredSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Digest>,
    /// Parents before children.
    pub images: Vec<ReleaseImage>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseImage {
    pub image: String,
    pub variant: Option<String>,
    pub repository: String,
    pub digest: String,
    pub key: String,
    pub tags: Vec<String>,
    /// How many images of the stack it stands on.
    pub depth: usize,
    pub base: Option<String>,
    pub base_digest: Option<String>,
    /// Of its config and layers as stored, bytes; 0 if it was not known.
    #[serde(default)]
    pub size: u64,
    /// One a suite in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<ReleaseVerdict>,
    /// Suites the spec drops on this image, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedSuite>,
    /// Whether the checks of its policy found nothing; `None`: it has no policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<bool>,
    /// The key of that policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks_key: Option<Digest>,
    /// The blob with its [`Evidence`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Digest>,
}

/// The short form of a suite's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseVerdict {
    pub suite: String,
    /// The image that declares it; `None`: the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The suite's key: what it was then. Another edition of it says nothing of this release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// The digest it ran on.
    pub digest: Digest,
    pub passed: bool,
    pub tests: u32,
    pub failed: u32,
    /// Known from an earlier run.
    #[serde(default)]
    pub cached: bool,
}

impl ReleaseVerdict {
    /// `passed (12 tests)`, `failed (1 of 3)`.
    pub fn outcome(&self) -> String {
        let Self { tests, failed, .. } = self;
        match (self.passed, tests) {
            (true, 1) => "passed (1 test)".to_owned(),
            (true, _) => format!("passed ({tests} tests)"),
            (false, _) => format!("failed ({failed} of {tests})"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedSuite {
    pub suite: String,
    pub reason: String,
}

impl ReleaseImage {
    /// What a reader calls it: `2021.2/scipy-ml-notebook`.
    pub fn label(&self) -> String {
        match &self.variant {
            Some(variant) => format!("{variant}/{}", self.image),
            None => self.image.clone(),
        }
    }
}

/// The spec a release was built from, with everything in it that is not in its commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredSpec {
    /// `specs.yml` and each `images/<image>/image.yml`, as they were, by path.
    pub files: BTreeMap<String, String>,
    /// A `specs.lock` with every outside base at the digest that was used.
    pub lock: String,
    /// What `--var` and `LAMINATE_VAR_…` said.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// In the order of the release's images.
    pub images: Vec<StoredImage>,
}

impl StoredSpec {
    /// The image a reader calls so, as [`ReleaseImage::label`] does.
    pub fn image(&self, label: &str) -> Option<&StoredImage> {
        self.images.iter().find(|image| image.label() == label)
    }
}

/// An image of a [`StoredSpec`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredImage {
    /// After short keys, variants and variables, its outside base by digest.
    pub resolved: Value,
    /// What its key was made from.
    pub components: Vec<Component>,
}

impl StoredImage {
    pub fn label(&self) -> String {
        let text = |name: &str| self.resolved[name].as_str().unwrap_or_default();
        match text("variant") {
            "" => text("image").to_owned(),
            variant => format!("{variant}/{}", text("image")),
        }
    }
}

/// What a channel was told to do; `previous` makes a chain of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub kind: Kind,
    pub channel: String,
    /// Counts from 1.
    pub seq: u64,
    /// The manifest digest of the channel's entry before.
    pub previous: Option<String>,
    /// The manifest digest of the release it is at then.
    pub release: String,
    pub commit: String,
    pub actor: String,
    pub time: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Gates that were not proven, and were let be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<String>,
    /// Gates that were asked for beside the channel's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// Tags that others had moved, and were let be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
    /// Every tag of the channel, also those that stay.
    pub images: Vec<Move>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Promote,
    Revert,
    /// The end of one that was begun, with everything as before.
    Abort,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promote => "promotion",
            Self::Revert => "revert",
            Self::Abort => "abort",
        })
    }
}

/// A moving tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    pub label: String,
    pub repository: String,
    pub tag: String,
    pub old: Option<String>,
    pub new: String,
    /// Moves of one depth go together, lower ones first.
    pub depth: usize,
}

pub(super) fn parse<T: DeserializeOwned>(
    place: impl fmt::Display,
    bytes: &[u8],
) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Strange {
        place: place.to_string(),
        reason: error.to_string(),
    })
}

pub(super) fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain data")
}

/// Writes a release under its tag unless that is there; it is written once. The evidence of its
/// images (by label) and its spec go along, and the record is told where they are.
pub async fn write(
    registry: &Registry,
    staging: &Repository,
    tag: &Tag,
    mut release: Release,
    evidence: &BTreeMap<String, Evidence>,
    spec: &StoredSpec,
) -> Result<Digest, Error> {
    let at = Locator::Tag(tag.clone());
    if let Some(there) = registry.head_manifest(staging, &at).await? {
        return Ok(there.digest);
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
        image.evidence = known.map(|known| attach(EVIDENCE_TYPE, bytes(known)));
    }
    let tags = [tag.clone()];
    Ok(registry
        .put_document_with(staging, &tags, RELEASE_TYPE, bytes(&release), &attached)
        .await?)
}

/// Puts a tag that is written once on an image its repository has; it may be there already.
pub async fn put_fixed(
    registry: &Registry,
    repository: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), Error> {
    let at = Locator::Tag(tag.clone());
    match registry.head_manifest(repository, &at).await? {
        Some(found) if found.digest == *digest => return Ok(()),
        Some(found) => {
            return Err(Error::Taken {
                repository: repository.clone(),
                tag: tag.clone(),
                found: found.digest,
                wanted: digest.clone(),
            });
        }
        None => {}
    }
    let by_digest = Locator::Digest(digest.clone());
    let manifest = registry.manifest(repository, &by_digest).await?;
    let manifest = manifest.ok_or_else(|| Error::Missing {
        repository: repository.clone(),
        digest: digest.clone(),
    })?;
    registry.put_manifest(repository, &at, &manifest).await?;
    Ok(())
}

/// A blob of a release as the value it is.
async fn blob<T: DeserializeOwned>(
    registry: &Registry,
    staging: &Repository,
    digest: &Digest,
) -> Result<T, Error> {
    let bytes = registry.blob(staging, digest, LIMIT).await?;
    parse(format!("{staging}@{digest}"), &bytes)
}

/// The evidence a release has of one of its images.
pub async fn evidence(
    registry: &Registry,
    staging: &Repository,
    image: &ReleaseImage,
) -> Result<Option<Evidence>, Error> {
    match &image.evidence {
        Some(digest) => Ok(Some(blob(registry, staging, digest).await?)),
        None => Ok(None),
    }
}

/// The spec a release was built from; `None` for one that was written without.
pub async fn spec(
    registry: &Registry,
    staging: &Repository,
    release: &Release,
) -> Result<Option<StoredSpec>, Error> {
    match &release.spec {
        Some(digest) => Ok(Some(blob(registry, staging, digest).await?)),
        None => Ok(None),
    }
}

/// Reads a release by digest or tag.
async fn read(
    registry: &Registry,
    staging: &Repository,
    at: &Locator,
) -> Result<Option<(Digest, Release)>, Error> {
    let Some(document) = registry.document(staging, at).await? else {
        return Ok(None);
    };
    let release = parse(format!("{staging}:{at}"), &document.bytes)?;
    Ok(Some((document.digest, release)))
}

/// All releases of a staging repository, newest first.
pub async fn releases(
    registry: &Registry,
    staging: &Repository,
) -> Result<Vec<(Digest, Release)>, Error> {
    let tags = registry.tags(staging).await?;
    tagged(registry, staging, &tags).await
}

/// `release-d021570` or `release-d021570.2`; a channel may be called `release-candidate`.
fn names_release(tag: &Tag) -> bool {
    let Some(rest) = tag.as_str().strip_prefix("release-") else {
        return false;
    };
    let (commit, number) = rest.split_once('.').unwrap_or((rest, "1"));
    commit.len() == 7
        && commit.chars().all(|c| c.is_ascii_hexdigit())
        && number.chars().all(|c| c.is_ascii_digit())
}

/// The releases among the tags of a staging repository, newest first.
pub(super) async fn tagged(
    registry: &Registry,
    staging: &Repository,
    tags: &[Tag],
) -> Result<Vec<(Digest, Release)>, Error> {
    let wanted = tags.iter().filter(|tag| names_release(tag)).cloned();
    let found = try_join_all(
        wanted.map(|tag| async move { read(registry, staging, &Locator::Tag(tag)).await }),
    );
    let mut list: Vec<(Digest, Release)> = found.await?.into_iter().flatten().collect();
    list.sort_by(|a, b| b.1.time.cmp(&a.1.time));
    Ok(list)
}

/// The release a user means: see [`Releases::find`].
pub async fn find(
    registry: &Registry,
    staging: &Repository,
    name: &str,
) -> Result<(Digest, Release), Error> {
    if let Ok(digest) = Digest::parse(name) {
        let found = read(registry, staging, &Locator::Digest(digest)).await?;
        return found.ok_or_else(|| Error::NoRelease {
            name: name.to_owned(),
        });
    }
    let all = Releases::load(registry, staging).await?;
    all.find(name).cloned()
}

/// Reads an entry of a channel's ledger.
pub(super) async fn entry(
    registry: &Registry,
    staging: &Repository,
    at: &Locator,
) -> Result<Option<(Digest, Entry)>, Error> {
    let Some(document) = registry.document(staging, at).await? else {
        return Ok(None);
    };
    let entry = parse(format!("{staging}:{at}"), &document.bytes)?;
    Ok(Some((document.digest, entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channels_tag_is_no_releases() {
        let names = |text: &str| names_release(&Tag::parse(text).expect("a tag"));
        assert!(names("release-d021570") && names("release-d021570.2"));
        assert!(!names("release-candidate-000001") && !names("release-candidate-current"));
    }
}
