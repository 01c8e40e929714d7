//! The staging repository: every document laminate keeps there, typed, and one way to read, put, claim
//! and change them.
//!
//! Main types: [`Staging`] and the trait [`Document`], which each kind of document implements in a
//! file of its own; their tags are in [`tags`](crate::tags). Called by `gather` (reads only), by
//! `build` and by `release`.

mod announcement;
mod change;
mod evidence;
mod gate;
mod ledger;
mod number;
mod release;
mod state;

use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};

pub use announcement::Announcement;
pub use change::Settling;
pub use ledger::EntryPosition;
pub use number::{NumberTag, VersionNumber};
pub use release::{Listed, ReleaseParts};
pub use state::{Built, State, Unmoved};

use crate::name::{Commit, Digest, Repository, Tag};
use crate::record;
use crate::registry::{self, Locator, Registry};

/// The largest blob of a release read, bytes.
const LIMIT: u64 = 256 << 20;

/// A kind of document.
pub trait Document: Serialize + DeserializeOwned {
    /// What distinguishes documents of this kind, and thereby their tags.
    type Id<'a>;

    /// The artifact type of the manifest, and the media type of its one layer.
    const MEDIA_TYPE: &'static str;

    /// The version that is written, and the only one that is read.
    const VERSION: u32 = 1;

    /// Whether a change replaces a document that is broken.
    const IS_REPLACED_IF_BROKEN: bool = false;

    /// Returns the tag on the document.
    fn tag(id: Self::Id<'_>) -> Tag;

    /// Returns the version of a document that was read. Kinds without one in their JSON have it in
    /// their media type alone.
    fn version(&self) -> u32 {
        Self::VERSION
    }

    /// Returns whether a document can be the one with a tag.
    fn can_have(&self, _tag: &Tag) -> bool {
        true
    }
}

/// Why a document cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// Its JSON is not that of its kind.
    #[error("invalid document {place}: {source}")]
    Invalid {
        /// `HOST/NAMESPACE/staging:tag`
        place: String,
        /// What is invalid in it.
        source: serde_json::Error,
    },
    /// Others kept writing a document of their own over the change.
    #[error("gave up after {attempts} attempts to change {place}: other runs keep overwriting it")]
    Contended {
        /// `HOST/NAMESPACE/staging:tag`
        place: String,
        /// How often the change was written.
        attempts: usize,
    },
    /// The tag of a release is on another release.
    #[error("{place} is another release, {}{}", made_from(.commit.as_ref()), indented(.differences))]
    OtherRelease {
        /// `HOST/NAMESPACE/staging:tag`
        place: String,
        /// Its commit; `None`: it is adopted.
        commit: Option<Commit>,
        /// How its images differ, a line each.
        differences: Vec<String>,
    },
    /// A newer laminate wrote it.
    #[error(
        "unsupported version {found} of the document {place}: this laminate supports version {supported}, use a newer one"
    )]
    Version {
        /// `HOST/NAMESPACE/staging:tag`
        place: String,
        /// The version it has.
        found: u32,
        /// The version this laminate reads and writes.
        supported: u32,
    },
}

impl Error {
    /// Returns whether a document is there and cannot be read by this laminate: others are not affected by
    /// that.
    pub fn is_unreadable(&self) -> bool {
        self.is_broken() || matches!(self, Self::Version { .. })
    }

    /// Returns whether a document is there and broken.
    pub fn is_broken(&self) -> bool {
        match self {
            Self::Invalid { .. } => true,
            Self::Registry(error) => error.is_unreadable(),
            Self::Version { .. } | Self::Contended { .. } | Self::OtherRelease { .. } => false,
        }
    }
}

/// Returns what another release was made from.
fn made_from(commit: Option<&Commit>) -> String {
    commit.map_or_else(
        || record::ADOPTED.to_owned(),
        |commit| format!("of commit {commit}"),
    )
}

fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  {line}")).collect()
}

/// A staging repository.
#[derive(Clone)]
pub struct Staging {
    /// The client of its registry.
    pub registry: Registry,
    /// Where it is.
    pub repository: Repository,
}

impl Staging {
    /// Makes one of its parts.
    pub fn new(registry: &Registry, repository: &Repository) -> Self {
        Self {
            registry: registry.clone(),
            repository: repository.clone(),
        }
    }

    /// Returns the document with an id; `None` if there is none.
    pub async fn read<D: Document>(&self, id: D::Id<'_>) -> Result<Option<(Digest, D)>, Error> {
        self.read_at(&Locator::Tag(D::tag(id))).await
    }

    /// Returns the document with a tag or a manifest digest; `None` if there is none.
    pub async fn read_at<D: Document>(&self, at: &Locator) -> Result<Option<(Digest, D)>, Error> {
        let Some(found) = self.registry.document(&self.repository, at).await? else {
            return Ok(None);
        };
        let unsupported = |version: u32| Error::Version {
            place: self.place(at),
            found: version,
            supported: D::VERSION,
        };
        let document: D = match self.parse(at, &found.bytes) {
            Ok(document) => document,
            // A newer version may look quite different.
            Err(error) => {
                let newer = version(&found.bytes).filter(|version| *version > D::VERSION);
                return Err(newer.map_or(error, unsupported));
            }
        };
        match (document.version(), at) {
            (version, _) if version != D::VERSION => Err(unsupported(version)),
            (_, Locator::Tag(tag)) if !document.can_have(tag) => Err(Error::Invalid {
                place: self.place(at),
                source: serde_json::Error::custom("it belongs to another tag"),
            }),
            _ => Ok(Some((found.digest, document))),
        }
    }

    /// Writes a document under its tag, whatever that is on now, and reads back that it is there.
    pub async fn put<D: Document>(&self, id: D::Id<'_>, document: &D) -> Result<Digest, Error> {
        let written = self
            .registry
            .put_document(
                &self.repository,
                &D::tag(id),
                D::MEDIA_TYPE,
                bytes(document),
            )
            .await;
        Ok(written?)
    }

    /// Writes a document under another of its tags. One that is there as `at` keeps the form that it has.
    pub async fn tag_as<D: Document>(
        &self,
        id: D::Id<'_>,
        document: &D,
        at: &Digest,
    ) -> Result<Digest, Error> {
        let tag = D::tag(id);
        let written =
            self.registry
                .tag_document(&self.repository, &tag, D::MEDIA_TYPE, bytes(document), at);
        Ok(written.await?)
    }

    /// Writes a document under its tag if that is free; `None` if another writer has it.
    pub async fn claim<D: Document>(
        &self,
        id: D::Id<'_>,
        document: &D,
    ) -> Result<Option<Digest>, Error> {
        let claimed = self
            .registry
            .claim_document(
                &self.repository,
                &D::tag(id),
                D::MEDIA_TYPE,
                bytes(document),
            )
            .await;
        Ok(claimed?)
    }

    /// Returns a blob that a document refers to.
    async fn blob<T: DeserializeOwned>(&self, digest: &Digest) -> Result<T, Error> {
        let bytes = self.registry.blob(&self.repository, digest, LIMIT).await?;
        self.parse(&Locator::Digest(digest.clone()), &bytes)
    }

    fn parse<T: DeserializeOwned>(&self, at: &Locator, bytes: &[u8]) -> Result<T, Error> {
        serde_json::from_slice(bytes).map_err(|source| Error::Invalid {
            place: self.place(at),
            source,
        })
    }

    fn place(&self, at: &Locator) -> String {
        match at {
            Locator::Tag(tag) => format!("{}:{tag}", self.repository),
            Locator::Digest(digest) => format!("{}@{digest}", self.repository),
        }
    }
}

/// Returns the version in the JSON of a document that cannot be read as a whole.
fn version(json: &[u8]) -> Option<u32> {
    let json: serde_json::Value = serde_json::from_slice(json).ok()?;
    json["version"].as_u64()?.try_into().ok()
}

fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("documents are plain data")
}
