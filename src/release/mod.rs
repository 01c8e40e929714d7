//! Releases and channels: what was published together, and moving tags that follow it.
//!
//! A [`Release`] is written to staging when all images of a stack have their fixed tags. A channel's
//! tags are a projection of its last [`Entry`]; [`channel`] moves them as one set and back. [`Releases`] is all of
//! them, as read at one moment. Called by `build`, by the commands that move channels and by those that
//! tell of releases.

pub mod channel;
pub mod gates;
mod list;
pub mod number;
pub mod outside;
mod record;
mod tags;

pub use list::{Ancestor, Point, Releases, Turn, short};
pub use record::{
    DroppedSuite, Entry, Kind, Move, Release, ReleaseImage, ReleaseVerdict, StoredImage,
    StoredSpec, evidence, find, put_fixed, releases, spec, write,
};

use crate::name::{Digest, Repository, Tag};
use crate::registry;

/// Why a release or channel cannot be read or moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Registry(#[from] registry::Error),
    #[error("{place} cannot be understood: {reason}")]
    Strange { place: String, reason: String },
    #[error("{0}")]
    Gather(#[from] crate::gather::Error),
    #[error("others take every number; {number} was the last that was tried")]
    Numbers { number: u64 },
    /// An image has the tag of a version number that is not its own.
    #[error("{repository}:{tag} is on {found}, and {wanted} was to get it")]
    Taken {
        repository: Repository,
        tag: Tag,
        found: Digest,
        wanted: Digest,
    },
    #[error("there is no release `{name}`")]
    NoRelease { name: String },
    #[error("channel `{channel}` has never been promoted to")]
    NoChannel { channel: String },
    #[error("channel `{channel}` was at no earlier release")]
    NothingEarlier { channel: String },
    /// A move of this channel was begun and not ended.
    #[error(
        "channel `{channel}` is between two releases: a {kind} to {release} was begun and not ended"
    )]
    Pending {
        channel: String,
        kind: Kind,
        release: Digest,
    },
    #[error("channel `{channel}`: nothing was begun that could be ended")]
    NothingPending { channel: String },
    /// Somebody else moved tags of the channel.
    #[error("channel `{channel}` was moved by somebody else:\n{}", .tags.join("\n"))]
    Drift { channel: String, tags: Vec<String> },
    #[error("{repository}@{digest} is not there, so no tag can name it")]
    Missing {
        repository: Repository,
        digest: Digest,
    },
    /// Another promoter was first; nothing was moved.
    #[error(
        "somebody else moves channel `{channel}` at this moment ({tag} is theirs); nothing was moved"
    )]
    Lost { channel: String, tag: Tag },
    /// The same, seen later.
    #[error("somebody else moves channel `{channel}`: {tag} is not ours any more")]
    Overtaken { channel: String, tag: Tag },
    /// Some tags are at the new release, some at the old.
    #[error(
        "channel `{channel}` is between two releases: {there} of {of} tags are {way}; these are not, or it is not known:\n{}", .tags.join("\n")
    )]
    Between {
        channel: String,
        way: Way,
        there: usize,
        of: usize,
        /// Which, and why.
        tags: Vec<String>,
    },
    /// The tags are where they should be, and the ledger does not say so.
    #[error("channel `{channel}`: all tags are {way}, but that could not be recorded: {cause}")]
    Unrecorded {
        channel: String,
        way: Way,
        cause: Box<Error>,
    },
    /// All old but tags that did not exist before, which a registry may not be able to remove.
    #[error("all tags are as they were, but these did not exist before and are still there:\n{}", .tags.join("\n"))]
    Left { tags: Vec<String> },
}

/// Which way the tags of a move go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Forth,
    Back,
}

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Forth => "at the new release",
            Self::Back => "as they were",
        })
    }
}
