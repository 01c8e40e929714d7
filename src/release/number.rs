//! Version numbers of releases: each release gets one when it is promoted for the first time; they grow,
//! and none is ever given twice, also not one that was lost on the way.

use serde::{Deserialize, Serialize};

use super::Error;
use super::record::{bytes, parse};
use crate::name::{Digest, Repository, Tag};
use crate::registry::{Locator, Registry};

const TYPE: &str = "application/vnd.laminate.number.v1+json";

/// How many others may take a number before us.
const ROUNDS: u64 = 20;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Number {
    number: u64,
    release: Digest,
}

fn of_release(release: &Digest) -> Tag {
    Tag::parse(&format!("numbered-{}", &release.hex()[..40])).expect("hex digits")
}

fn taken(number: u64) -> Tag {
    Tag::parse(&format!("number-{number:06}")).expect("digits")
}

/// The number a release has.
pub async fn known(
    registry: &Registry,
    staging: &Repository,
    release: &Digest,
) -> Result<Option<u64>, Error> {
    let at = Locator::Tag(of_release(release));
    let Some(document) = registry.document(staging, &at).await? else {
        return Ok(None);
    };
    let found: Number = parse(format!("{staging}:{at}"), &document.bytes)?;
    Ok(Some(found.number))
}

/// The number that would be given next.
pub async fn next(registry: &Registry, staging: &Repository) -> Result<u64, Error> {
    let tags = registry.tags(staging).await?;
    let numbers = tags
        .iter()
        .filter_map(|tag| tag.as_str().strip_prefix("number-")?.parse::<u64>().ok());
    Ok(numbers.max().unwrap_or(0) + 1)
}

/// Gives a release its number: the one it has, else the next. A number is claimed before it is used;
/// where that is all that happened, it is lost and the next one is taken. Of several that number one
/// release at once the first to say so decides, and the numbers of the others are lost.
pub async fn assign(
    registry: &Registry,
    staging: &Repository,
    release: &Digest,
) -> Result<u64, Error> {
    if let Some(number) = known(registry, staging, release).await? {
        return Ok(number);
    }
    let first = next(registry, staging).await?;
    for number in first..first + ROUNDS {
        let document = Number {
            number,
            release: release.clone(),
        };
        let claim = async |tag: Tag| {
            let bytes = bytes(&document);
            registry.claim_document(staging, &tag, TYPE, bytes).await
        };
        // Another release has it; or this one, by somebody else, who then says so below.
        if claim(taken(number)).await?.is_none() {
            continue;
        }
        if claim(of_release(release)).await?.is_some() {
            return Ok(number);
        }
        if let Some(theirs) = known(registry, staging, release).await? {
            return Ok(theirs);
        }
    }
    Err(Error::Numbers {
        number: first + ROUNDS - 1,
    })
}
