//! Immutable tags: which ones an image gets, and which suffix of them is free.
//!
//! A tag that points at other bytes never moves, so the whole release gets the next suffix. `gather`
//! looks up what [`tags_to_look_up`] returns; [`Plan::new`](super::Plan::new) chooses the suffix.

use std::collections::BTreeSet;

use super::choice::{Choice, choices};
use super::facts::{Facts, Request};
use super::key::Keys;
use crate::name::{Commit, Digest, Repository, Tag};
use crate::stack::{Image, ImageId, Stack};

/// No release needs a higher suffix; behind it something else is wrong.
const MOST_ATTEMPTS: u32 = 1000;

/// Every suffix of the immutable tags is in use for other images.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no free immutable tag: `{tag}` and all its suffixes up to `.{MOST_ATTEMPTS}` point at other images"
)]
pub struct NoFreeTag {
    /// The first image's tag without a suffix.
    pub tag: String,
}

/// Returns the immutable tags of an image; none without a commit. `attempt` is 1 for plain tags, `n` for
/// those with the suffix `.n`.
pub fn immutable_tags(image: &Image, commit: Option<&Commit>, attempt: u32) -> Vec<Tag> {
    let Some(commit) = commit else {
        return Vec::new();
    };
    image
        .tags
        .iter()
        .filter(|template| !template.is_numbered())
        .filter_map(|template| {
            let plain = template.tag(commit, 0).ok()?;
            match attempt {
                0 | 1 => Some(plain),
                n => Tag::parse(&format!("{plain}.{n}")).ok(),
            }
        })
        .collect()
}

/// Returns the tags that images get unless others have them already: those that can be looked up before anything else is
/// known.
pub fn first_tags(
    stack: &Stack,
    commit: Option<&Commit>,
    request: &Request,
) -> BTreeSet<(Repository, Tag)> {
    let images = stack.images().iter().zip((0..).map(ImageId));
    let selected = images.filter(|(_, id)| {
        let selected = request.selected.as_ref();
        selected.is_none_or(|selected| selected.contains(id))
    });
    let tags = selected.filter_map(|(image, _)| {
        let repository = image.repository.as_ref()?;
        let tags = immutable_tags(image, commit, 1).into_iter();
        Some(tags.map(|tag| (repository.clone(), tag)))
    });
    tags.flatten().collect()
}

/// Returns the tags whose digests must be known before a plan can choose its suffix; empty when `facts`
/// have all of them.
pub fn tags_to_look_up(
    stack: &Stack,
    keys: &Keys,
    facts: &Facts,
    request: &Request,
) -> BTreeSet<(Repository, Tag)> {
    let choices = choices(stack, keys, facts, request);
    let Ok(attempt) = free_attempt(stack, &choices, facts) else {
        return BTreeSet::new();
    };
    let all = tags(stack, &choices, facts, attempt).map(|(place, _)| place);
    all.filter(|place| !facts.tags.contains_key(place))
        .collect()
}

/// Returns the first attempt none of whose tags is known to point at other bytes.
pub(super) fn free_attempt(
    stack: &Stack,
    choices: &[Choice],
    facts: &Facts,
) -> Result<u32, NoFreeTag> {
    let free = (1..=MOST_ATTEMPTS).find(|attempt| !is_taken(stack, choices, facts, *attempt));
    free.ok_or_else(|| {
        let first = tags(stack, choices, facts, 1).next();
        NoFreeTag {
            tag: first
                .map(|((_, tag), _)| tag.to_string())
                .unwrap_or_default(),
        }
    })
}

/// Whether a tag of this attempt points at other bytes than its image has or will have.
fn is_taken(stack: &Stack, choices: &[Choice], facts: &Facts, attempt: u32) -> bool {
    if facts.tags.is_empty() {
        return false;
    }
    tags(stack, choices, facts, attempt).any(|(place, digest)| {
        let found = facts.tags.get(&place).and_then(Option::as_ref);
        found.is_some_and(|found| Some(found) != digest)
    })
}

/// Returns the tags of all images that are built or reused, each with the digest of a reused image.
fn tags<'a>(
    stack: &'a Stack,
    choices: &'a [Choice],
    facts: &'a Facts,
    attempt: u32,
) -> impl Iterator<Item = ((Repository, Tag), Option<&'a Digest>)> {
    let images = stack.images().iter().zip(choices);
    images.flat_map(move |(image, choice)| {
        let digest = match choice {
            Choice::Hold(_) => None,
            Choice::Build => Some(None),
            Choice::Reuse(digest) => Some(Some(digest)),
        };
        let place = digest.zip(image.repository.as_ref());
        place.into_iter().flat_map(move |(digest, repository)| {
            let tags = immutable_tags(image, facts.commit(), attempt);
            tags.into_iter()
                .map(move |tag| ((repository.clone(), tag), digest))
        })
    })
}
