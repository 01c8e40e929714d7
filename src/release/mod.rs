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
mod tags;
#[cfg(test)]
mod tests;

pub use auto::{Turn, auto_order, check_waived};
pub use channel::{Order, Target, targets};
pub use error::{Error, TagProblem};
pub use ledger::Channel;
pub use promote::{Promoter, Refusal, channel_gates, channel_targets};

use crate::name::Digest;
use crate::record::StoredRelease;
use crate::staging::Staging;

/// Returns the release a user means: see [`Releases::find`](crate::record::Releases::find).
pub async fn find(staging: &Staging, name: &str) -> Result<StoredRelease, Error> {
    let found = match Digest::parse(name) {
        Ok(digest) => staging.release(&digest).await?,
        Err(_) => staging.releases().await?.find(name).cloned(),
    };
    found.ok_or_else(|| Error::NoRelease {
        name: name.to_owned(),
    })
}
