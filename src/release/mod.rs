//! The rules of channels: promote, revert, gates and version numbers.
//!
//! A [`Release`] is written to staging when all images of a stack have their immutable tags. A
//! channel's tags are a projection of its last ledger entry; a [`Channel`] moves them as one set and
//! back. Called by the commands that move channels and by those that show releases.

mod auto;
mod channel;
mod ending;
mod error;
pub mod gates;
mod ledger;
pub mod number;
mod promote;
pub mod refs;
#[cfg(any(test, fuzzing))]
pub use refs::fuzz;
mod tags;
#[cfg(test)]
mod tests;

pub use auto::{Turn, auto_order, check_waived};
pub use channel::{Order, Target, targets};
pub use error::{Error, TagProblem};
pub use ledger::Channel;
pub use promote::{Promoter, Refusal, channel_gates, channel_targets};

use crate::name::{Commit, Digest};
use crate::record::StoredRelease;
use crate::staging::Staging;

/// Returns the release a user means: see [`Releases::find`](crate::record::Releases::find). That of a commit is
/// read alone.
pub async fn find(staging: &Staging, name: &str) -> Result<StoredRelease, Error> {
    let none = || Error::NoRelease {
        name: name.to_owned(),
    };
    if let Ok(digest) = Digest::parse(name) {
        return staging.release(&digest).await?.ok_or_else(none);
    }
    let is_commit = (7..=40).contains(&name.len()) && Commit::parse(name).is_ok();
    if is_commit && let Some(newest) = staging.releases_of(name).await?.into_iter().next() {
        return Ok(newest);
    }
    let listed = staging.releases().await?;
    match listed.found.find(name) {
        Some(found) => Ok(found.clone()),
        // It may be one of those that could not be read.
        None => Err(listed
            .unreadable
            .into_iter()
            .next()
            .map_or_else(none, Error::from)),
    }
}
