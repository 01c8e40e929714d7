//! The version number of a release: one document under two tags. That of the number is claimed first,
//! so that no number is given twice; that of the release says which number it has.

use serde::{Deserialize, Serialize};

use super::{Document, Error, Staging};
use crate::name::{Digest, Tag};
use crate::tags;

/// A version number and the release that has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionNumber {
    /// Counts from 1.
    pub number: u64,
    /// The manifest digest of the release.
    pub release: Digest,
}

/// One of the two tags of a version number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberTag<'a> {
    /// By the number.
    Number(u64),
    /// By the manifest digest of the release.
    Release(&'a Digest),
}

impl Document for VersionNumber {
    type Id<'a> = NumberTag<'a>;
    const MEDIA_TYPE: &'static str = "application/vnd.laminate.number.v1+json";

    fn tag(id: NumberTag<'_>) -> Tag {
        match id {
            NumberTag::Number(number) => tags::number(number),
            NumberTag::Release(release) => tags::numbered(release),
        }
    }
}

impl Staging {
    /// Returns the version number of a release, if it has one.
    pub async fn version_number(&self, release: &Digest) -> Result<Option<u64>, Error> {
        let found = self
            .read::<VersionNumber>(NumberTag::Release(release))
            .await?;
        Ok(found.map(|(_, found)| found.number))
    }

    /// Returns the largest version number that is claimed; 0 if none is.
    pub async fn last_version_number(&self) -> Result<u64, Error> {
        let tags = self.registry.tags(&self.repository).await?;
        let numbers = tags.iter().filter_map(tags::claimed_number);
        Ok(numbers.max().unwrap_or(0))
    }
}
