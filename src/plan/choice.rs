//! Chooses what is done with each image, before reasons and tags.

use std::collections::BTreeSet;
use std::fmt;

use super::facts::{Facts, Request};
use super::key::Keys;
use crate::list;
use crate::name::{Digest, Reference};
use crate::stack::{ImageId, Stack};

/// What is done with an image, without the reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Build,
    /// Staging has it under this digest.
    Reuse(Digest),
    /// Nothing is done, for this reason.
    Hold(HoldReason),
}

/// Why nothing is done with an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldReason {
    /// It has no cache key, since the digests of these external images are unknown.
    UnknownImages(Vec<Reference>),
    /// It is neither selected nor needed by an image that is.
    NotSelected,
}

impl fmt::Display for HoldReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::UnknownImages(images) = self else {
            return f.write_str("not selected");
        };
        match images.as_slice() {
            [image] => write!(f, "the digest of {image} is unknown"),
            images => write!(f, "the digests of {} are unknown", list::of(images)),
        }
    }
}

/// Chooses what is done with each image, in the order of the stack.
pub(super) fn choices(stack: &Stack, keys: &Keys, facts: &Facts, request: &Request) -> Vec<Choice> {
    let needed = needed(stack, keys, facts, request);
    (0..stack.images().len())
        .map(ImageId)
        .map(|id| match keys.get(id) {
            None => Choice::Hold(HoldReason::UnknownImages(keys.unknown(id))),
            Some(keyed) => match facts.stored.get(&keyed.key) {
                Some(digest) if !request.forces(id) => Choice::Reuse(digest.clone()),
                _ if needed.contains(&id) => Choice::Build,
                _ => Choice::Hold(HoldReason::NotSelected),
            },
        })
        .collect()
}

/// Returns the selected images, and those they need, which must be built first.
fn needed(stack: &Stack, keys: &Keys, facts: &Facts, request: &Request) -> BTreeSet<ImageId> {
    let is_stored = |id: ImageId| {
        keys.get(id)
            .is_some_and(|keyed| facts.stored.contains_key(&keyed.key))
            && !request.forces(id)
    };
    let mut needed = BTreeSet::new();
    // Images come after those they need, so that one pass from the end is enough.
    for index in (0..stack.images().len()).rev() {
        let id = ImageId(index);
        if request.selects(id) {
            needed.insert(id);
        }
        if needed.contains(&id) && !is_stored(id) {
            needed.extend(stack.dependencies(id));
        }
    }
    needed
}
