//! What a plan is made from: facts about git, registry and staging, and what the user asks for.

use std::collections::{BTreeMap, BTreeSet};

use super::key::Component;
use crate::evidence::Evidence;
use crate::name::{Digest, Repository, Tag};
use crate::stack::ImageId;

/// The digest each tag points at, `None` for a tag that does not exist. A tag that is missing here was
/// not looked up and counts as free.
pub type TagDigests = BTreeMap<(Repository, Tag), Option<Digest>>;

/// What the surroundings say; found by `gather`.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub commit: Option<Commit>,
    /// The digest staging holds for a key.
    pub stored: BTreeMap<Digest, Digest>,
    /// What each image was made from when it was last built, by [`label`].
    pub records: BTreeMap<String, Record>,
    /// Whether the digests of outside bases come from `specs.lock`.
    pub locked: bool,
    /// What is proven of images, by their keys.
    pub evidence: BTreeMap<Digest, Evidence>,
    /// The digest behind each immutable tag that was looked up.
    pub tags: TagDigests,
}

/// The commit a release is named after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// 40 hex digits.
    pub hash: String,
    /// Seconds since 1970.
    pub time: i64,
    /// Files of the stack differ from it.
    pub dirty: bool,
}

/// An image as it was last built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub key: Digest,
    pub digest: Digest,
    pub components: Vec<Component>,
}

/// Which known verdicts are not believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Retest {
    #[default]
    None,
    All,
    Suites(BTreeSet<String>),
}

impl Retest {
    pub(super) fn asks_for(&self, suite: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Suites(names) => names.contains(suite),
        }
    }
}

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `None`: every image.
    pub selected: Option<BTreeSet<ImageId>>,
    /// Build even what staging holds already.
    pub no_reuse: bool,
    /// Images that `--refresh` selects.
    pub refresh: BTreeSet<ImageId>,
    /// Run suites again whose verdicts are known.
    pub retest: Retest,
    /// Nothing is named, so images that are not asked for need not be proven.
    pub prove_selected: bool,
}

impl Request {
    pub(super) fn asks_for(&self, id: ImageId) -> bool {
        self.selected.as_ref().is_none_or(|set| set.contains(&id))
    }

    /// Whether `--no-reuse` has an image built although staging has it.
    pub(super) fn forces(&self, id: ImageId) -> bool {
        self.no_reuse && self.asks_for(id)
    }
}
