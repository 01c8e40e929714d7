//! What a plan is made from: facts about git, registry and staging, and what the user asks for.

use std::collections::{BTreeMap, BTreeSet};

use super::key::Component;
use crate::checkout::Checkout;
use crate::evidence::Evidence;
use crate::name::{Commit, Digest, Repository, Tag};
use crate::stack::ImageId;

/// The digest each tag points at, `None` for a tag that does not exist. A tag that is missing here was
/// not looked up and counts as free.
pub type TagDigests = BTreeMap<(Repository, Tag), Option<Digest>>;

/// The facts a plan is made from, found by `gather`.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The commit that is checked out; `None` without one.
    pub checkout: Option<Checkout>,
    /// Whether git is not installed, so that it is unknown whether there is a commit.
    pub git_missing: bool,
    /// The digest that staging has for a key.
    pub stored: BTreeMap<Digest, Digest>,
    /// The last build of each image, by [`Stack::label`](crate::stack::Stack::label).
    pub records: BTreeMap<String, Record>,
    /// The manifests of [`last_builds`](super::last_builds) that staging still has.
    pub last_builds: BTreeSet<Digest>,
    /// The images of the last release of the branch, by label: why an image is built is explained by them, and not by what
    /// someone else built last. Empty if there is none, or nothing is to be explained.
    pub released: BTreeMap<String, Record>,
    /// The commit of that release.
    pub released_commit: Option<Commit>,
    /// Whether no registry was asked.
    pub is_offline: bool,
    /// Whether the digests of external images come from `specs.lock`.
    pub locked: bool,
    /// The evidence of images, by their keys.
    pub evidence: BTreeMap<Digest, Evidence>,
    /// The digest behind each immutable tag that was looked up.
    pub tags: TagDigests,
}

impl Facts {
    /// Returns the commit of the stack.
    pub fn commit(&self) -> Option<&Commit> {
        self.checkout.as_ref().map(|checkout| &checkout.commit)
    }
}

/// An image as it was last built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its key.
    pub key: Digest,
    /// Its manifest.
    pub digest: Digest,
    /// The components of the key.
    pub components: Vec<Component>,
}

/// Which suites run again although their verdicts are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Retest {
    /// None of them.
    #[default]
    None,
    /// All of them.
    All,
    /// Those with these names.
    Suites(BTreeSet<String>),
}

impl Retest {
    /// Whether a suite runs again.
    pub(super) fn includes(&self, suite: &str) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Suites(names) => names.contains(suite),
        }
    }
}

/// What the user wants built and proven.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `None`: every image.
    pub selected: Option<BTreeSet<ImageId>>,
    /// Build selected images even if staging has them.
    pub no_reuse: bool,
    /// With `no_reuse`, keep the steps before this one, from 1, of the last build of selected images; `None`: keep none.
    pub keep_before: Option<usize>,
    /// Images that `--refresh` selects.
    pub refresh: BTreeSet<ImageId>,
    /// Suites of selected images that run again although their verdicts are known.
    pub retest: Retest,
    /// Prove images that were not selected only if they are built: no image gets a tag. In a registry and in an archive all
    /// get tags, so all are proven.
    pub prove_selected: bool,
}

impl Request {
    /// Whether an image is selected.
    pub(super) fn selects(&self, id: ImageId) -> bool {
        self.selected.as_ref().is_none_or(|set| set.contains(&id))
    }

    /// Whether `--no-reuse` has an image built although staging has it.
    pub(super) fn forces(&self, id: ImageId) -> bool {
        self.no_reuse && self.selects(id)
    }
}
