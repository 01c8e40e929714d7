//! The rules of channels: promote, revert, gates and version numbers.
//!
//! A [`Release`] is written to staging when all images of a stack have their immutable tags. A
//! channel's tags are a projection of its last ledger entry; a [`Channel`] moves them as one set and
//! back. Called by the commands that move channels and by those that show releases.

pub mod adopt;
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
use crate::record::{Releases, StoredRelease};
use crate::staging::{Listed, Staging};

/// Returns all releases that can be read, and the channels at them, also those whose pointer was lost; and the errors of
/// those that cannot be read.
pub async fn releases(staging: &Staging) -> Result<(Releases, Vec<Error>), Error> {
    let Listed {
        mut found,
        unreadable,
    } = staging.releases().await?;
    let mut errors: Vec<Error> = unreadable.into_iter().map(Error::from).collect();
    for name in found.without_pointer.clone() {
        let channel = Channel {
            staging,
            name: &name,
        };
        match channel.current().await {
            Ok(Some((_, entry))) => found.add_channel(entry),
            // A first move that was begun or taken back, or tags of something else.
            Ok(None) => {}
            Err(error @ Error::PointerLost { .. }) => errors.push(error),
            Err(Error::Staging(error)) if error.is_unreadable() => {}
            Err(error) => return Err(error),
        }
    }
    Ok((found, errors))
}

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
    let (all, errors) = releases(staging).await?;
    match all.find(name) {
        Some(found) => Ok(found.clone()),
        // It may be one of those that could not be read.
        None => Err(errors.into_iter().next().unwrap_or_else(none)),
    }
}
