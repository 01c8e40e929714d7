//! Version numbers of releases: each release gets one when it is promoted for the first time; they grow,
//! and none is ever given twice, also not one that was lost on the way.

use serde::{Deserialize, Serialize};

use super::Error;
use super::record::{bytes, parse};
use crate::name::{Digest, Repository, Tag};
use crate::registry::{Locator, Registry};

const TYPE: &str = "application/vnd.laminate.number.v1+json";

/// How many others may take a number before us.
const ROUNDS: usize = 20;

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

/// Gives a release its number: the one it has, else the next. A number is written before it is used;
/// where that is all that happened, the number is lost and the next one is taken.
pub async fn assign(
    registry: &Registry,
    staging: &Repository,
    release: &Digest,
) -> Result<u64, Error> {
    if let Some(number) = known(registry, staging, release).await? {
        return Ok(number);
    }
    let mut number = next(registry, staging).await?;
    for _ in 0..ROUNDS {
        let tag = taken(number);
        let at = Locator::Tag(tag.clone());
        let document = Number {
            number,
            release: release.clone(),
        };
        if registry.head_manifest(staging, &at).await?.is_none() {
            let written = registry
                .put_document(staging, std::slice::from_ref(&tag), TYPE, bytes(&document))
                .await;
            let ours = match written {
                Ok(digest) => Some(digest),
                Err(
                    crate::registry::Error::Overwritten { .. }
                    | crate::registry::Error::Immutable { .. },
                ) => None,
                Err(error) => return Err(error.into()),
            };
            let there = registry.head_manifest(staging, &at).await?;
            if ours.is_some() && there.map(|found| found.digest) == ours {
                let tags = [of_release(release)];
                registry
                    .put_document(staging, &tags, TYPE, bytes(&document))
                    .await?;
                return Ok(number);
            }
        }
        number += 1;
    }
    Err(Error::Numbers { number })
}
