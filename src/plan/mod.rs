//! What a run will do, and why: [`Plan::new`] is a pure function of the stack and the [`Facts`].
//!
//! `gather` finds the facts, `cli` prints a plan, `run` carries one out.

mod canonical;
pub mod key;
pub mod proof;
pub mod reason;
mod selector;

use std::collections::{BTreeMap, BTreeSet};

pub use key::{Component, KeyFacts, Keyed, Periods, keys, settings};
pub use proof::{PlannedSuite, Proofs, Retest, writable_paths};
pub use reason::{Reason, ReasonKind};
pub use selector::{Selector, SelectorError, select};

use crate::evidence::Evidence;
use crate::name::{Digest, Repository, Tag};
use crate::stack::{Base, Image, ImageId, Stack};

/// How an image is named to people: its name, with its variant before it if the stack has several.
pub fn label(stack: &Stack, image: &Image) -> String {
    match &stack.variants[image.variant].name {
        Some(variant) => format!("{variant}/{}", image.name.value),
        None => image.name.value.to_string(),
    }
}

/// A step as the spec could write it, without its name.
pub fn expand(step: &crate::stack::Step) -> serde_json::Value {
    canonical::step(step)
}

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
    /// Which try at fixed tags is free: 1 for the plain tag, `n` for `….n`.
    pub attempt: u32,
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

/// What the user asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `None`: every image.
    pub selected: Option<BTreeSet<ImageId>>,
    /// Build even what staging holds already.
    pub no_reuse: bool,
    /// Run suites again whose verdicts are known.
    pub retest: Retest,
    /// Nothing is named, so images that are not asked for need not be proven.
    pub prove_selected: bool,
}

/// What becomes of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Build {
        reasons: Vec<Reason>,
    },
    Reuse {
        digest: Digest,
    },
    /// Not asked for, or its base is not known; nothing is done with it.
    Hold {
        because: String,
    },
}

#[derive(Clone, Debug)]
pub struct Planned {
    pub id: ImageId,
    pub label: String,
    /// `None` only if held because an outside base is not known.
    pub keyed: Option<Keyed>,
    pub action: Action,
    /// What is known to be proven of it, and what is to be run.
    pub proofs: Proofs,
    /// Fixed tags it will get; empty without a commit.
    pub tags: Vec<Tag>,
}

/// What is done with each image, in the order of [`Stack::images`].
#[derive(Clone, Debug)]
pub struct Plan {
    pub images: Vec<Planned>,
}

impl Plan {
    /// `keys` are those of [`keys`] for the same stack.
    pub fn new(stack: &Stack, keys: &[Option<Keyed>], facts: &Facts, request: &Request) -> Self {
        let needed = needed(stack, keys, facts, request);
        let images = stack
            .images
            .iter()
            .enumerate()
            .map(|(index, image)| {
                let label = label(stack, image);
                let keyed = keys[index].clone();
                let stored = keyed.as_ref().and_then(|k| facts.stored.get(&k.key));
                let asked = request.asks_for(ImageId(index));
                let action = match (&keyed, stored) {
                    (None, _) => Action::Hold {
                        because: "the digest of its outside base is not known".to_owned(),
                    },
                    (Some(_), Some(digest)) if !(request.no_reuse && asked) => Action::Reuse {
                        digest: digest.clone(),
                    },
                    (Some(keyed), _) if needed.contains(&ImageId(index)) => Action::Build {
                        reasons: why(&label, keyed, facts, request.no_reuse && asked),
                    },
                    _ => Action::Hold {
                        because: "it was not asked for".to_owned(),
                    },
                };
                let evidence = keyed.as_ref().and_then(|k| facts.evidence.get(&k.key));
                let retest = match asked {
                    true => &request.retest,
                    false => &Retest::None,
                };
                // Images nobody asked for are named with the rest, so they are proven, too.
                let proofs = match asked || !request.prove_selected {
                    true => proof::proofs(stack, image, &action, evidence, retest),
                    false => Proofs::default(),
                };
                Planned {
                    id: ImageId(index),
                    tags: tags(image, facts),
                    proofs,
                    label,
                    keyed,
                    action,
                }
            })
            .collect();
        Self { images }
    }

    /// Whether any image is built.
    pub fn builds(&self) -> bool {
        self.images
            .iter()
            .any(|image| matches!(image.action, Action::Build { .. }))
    }

    /// Whether any suite, check or info is run.
    pub fn proves(&self) -> bool {
        self.images.iter().any(|image| image.proofs.runs())
    }

    /// Whether a fixed tag of this plan is on other bytes already, so that the whole release needs
    /// the next suffix. `names` are the tags the registry has.
    pub fn is_taken(&self, stack: &Stack, names: &BTreeMap<(Repository, Tag), Digest>) -> bool {
        self.images.iter().any(|planned| {
            let Some(repository) = &stack.images[planned.id.0].repository else {
                return false;
            };
            planned.tags.iter().any(|tag| {
                match (
                    names.get(&(repository.clone(), tag.clone())),
                    &planned.action,
                ) {
                    (None, _) | (Some(_), Action::Hold { .. }) => false,
                    (Some(there), Action::Reuse { digest }) => there != digest,
                    (Some(_), Action::Build { .. }) => true,
                }
            })
        })
    }
}

impl Request {
    fn asks_for(&self, id: ImageId) -> bool {
        self.selected.as_ref().is_none_or(|set| set.contains(&id))
    }
}

/// The images asked for, and those below them that must be built first.
fn needed(
    stack: &Stack,
    keys: &[Option<Keyed>],
    facts: &Facts,
    request: &Request,
) -> BTreeSet<ImageId> {
    let is_stored = |id: ImageId| {
        let key = keys[id.0].as_ref().map(|keyed| &keyed.key);
        key.is_some_and(|key| facts.stored.contains_key(key))
            && !(request.no_reuse && request.asks_for(id))
    };
    let mut needed = BTreeSet::new();
    // Children stand behind their parents, so that one pass from the end is enough.
    for index in (0..stack.images.len()).rev() {
        let id = ImageId(index);
        if request.asks_for(id) {
            needed.insert(id);
        }
        if needed.contains(&id)
            && !is_stored(id)
            && let Base::Image(parent) = stack.images[index].base
        {
            needed.insert(parent);
        }
    }
    needed
}

fn why(label: &str, keyed: &Keyed, facts: &Facts, forced: bool) -> Vec<Reason> {
    if forced {
        return vec![Reason::new(
            ReasonKind::Flag,
            "--no-reuse",
            "--no-reuse asks for it",
        )];
    }
    match facts.records.get(label) {
        None => vec![Reason::new(
            ReasonKind::New,
            label,
            "it was never built for this registry",
        )],
        Some(record) if record.key == keyed.key => vec![Reason::new(
            ReasonKind::Missing,
            record.digest.as_str(),
            "staging no longer has it",
        )],
        Some(record) => reason::reasons(&record.components, &keyed.components, facts.locked),
    }
}

/// The fixed tags of an image at the facts' attempt; none without a commit.
pub fn tags(image: &Image, facts: &Facts) -> Vec<Tag> {
    let Some(commit) = &facts.commit else {
        return Vec::new();
    };
    image
        .tags
        .iter()
        .filter(|template| !template.is_numbered())
        .filter_map(|template| {
            let plain = template.tag(&commit.hash, 0).ok()?;
            match facts.attempt {
                0 | 1 => Some(plain),
                n => Tag::parse(&format!("{plain}.{n}")).ok(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
