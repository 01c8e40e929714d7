//! The staging repository: every document laminate keeps there, typed, and one way to read, put, claim
//! and change them.
//!
//! Main types: [`Staging`] and the trait [`Document`], which each kind of document implements in a
//! file of its own; their tags are in [`tags`](crate::tags). Called by `gather` (reads only), by
//! `build` and by `release`.

mod evidence;
mod gate;
mod ledger;
mod number;
mod release;
mod state;

use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use ledger::Place;
pub use number::{NumberTag, VersionNumber};
pub use state::{Built, State};

use crate::name::{Digest, Repository, Tag};
use crate::registry::{self, Locator, Registry};

/// How often what others wrote is merged before the change is given up.
const ROUNDS: usize = 8;

/// The least that another run is given between its reading and its writing.
const WAIT: Duration = Duration::from_millis(250);

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

    /// Returns the tag on the document.
    fn tag(id: Self::Id<'_>) -> Tag;

    /// Returns the version of a document that was read. Kinds without one in their JSON have it in
    /// their media type alone.
    fn version(&self) -> u32 {
        Self::VERSION
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
        let document: D = self.parse(at, &found.bytes)?;
        let version = document.version();
        if version != D::VERSION {
            return Err(Error::Version {
                place: self.place(at),
                found: version,
                supported: D::VERSION,
            });
        }
        Ok(Some((found.digest, document)))
    }

    /// Writes a document under its tag, whatever that is on now, and reads back that it is there.
    pub async fn put<D: Document>(&self, id: D::Id<'_>, document: &D) -> Result<Digest, Error> {
        let written = self
            .registry
            .put_document(
                &self.repository,
                &[D::tag(id)],
                D::MEDIA_TYPE,
                bytes(document),
            )
            .await;
        Ok(written?)
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

    /// Changes a document that several runs change, perhaps at the same moment, and returns it.
    ///
    /// No registry compares before it writes. So the change is written, and looked for after a while;
    /// if another run wrote what it had read before us, ours is applied to that, and it is an error if that
    /// does not end. `apply` must change
    /// nothing when applied to its own result.
    pub async fn change<D: Document + PartialEq>(
        &self,
        id: D::Id<'_>,
        apply: impl Fn(Option<&D>) -> D,
    ) -> Result<D, Error> {
        let tag = D::tag(id);
        let at = Locator::Tag(tag.clone());
        let tags = [tag];
        let mut round = 0;
        loop {
            let begun = Instant::now();
            let before = self.read_at::<D>(&at).await?.map(|(_, document)| document);
            let after = apply(before.as_ref());
            if before.as_ref() == Some(&after) {
                return Ok(after);
            }
            if round == ROUNDS {
                return Err(Error::Contended {
                    place: self.place(&at),
                    attempts: ROUNDS,
                });
            }
            round += 1;
            let written = self
                .registry
                .put_document(&self.repository, &tags, D::MEDIA_TYPE, bytes(&after))
                .await;
            match written {
                Ok(_) => {}
                // Another run's was there when it was read back: the next round merges it.
                Err(registry::Error::Overwritten { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(WAIT.max(3 * begun.elapsed())).await;
        }
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

fn bytes<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("documents are plain data")
}
