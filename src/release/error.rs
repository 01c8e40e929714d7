//! Why a release or channel cannot be read or moved.

use std::fmt;
use std::sync::Arc;

use crate::name::{Digest, Reference, Repository, Tag};
use crate::record::{Drift, MoveKind};
use crate::{registry, staging};

/// Why a release or channel cannot be read or moved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A document in staging cannot be read or written.
    #[error(transparent)]
    Staging(#[from] staging::Error),
    /// Others claimed each version number first.
    #[error("others take every number; {number} was the last that was tried")]
    Numbers {
        /// The last one tried.
        number: u64,
    },
    /// An image has the tag of a version number that is not its own.
    #[error("{repository}:{tag} is on {found}, and {wanted} was to get it")]
    Taken {
        /// The repository of the tag.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// The digest it is on.
        found: Digest,
        /// The digest it was to be on.
        wanted: Digest,
    },
    /// A user's name for a release means none.
    #[error("there is no release `{name}`")]
    NoRelease {
        /// As the user wrote it.
        name: String,
    },
    /// The channel has no entry.
    #[error("channel `{channel}` has never been promoted to")]
    NoChannel {
        /// The name of the channel.
        channel: String,
    },
    /// There is nothing to revert to.
    #[error("channel `{channel}` was at no earlier release")]
    NothingEarlier {
        /// The name of the channel.
        channel: String,
    },
    /// A move of this channel was begun and has not ended.
    #[error(
        "channel `{channel}` is between two releases: a {kind} to {release} was begun and not ended"
    )]
    Pending {
        /// The name of the channel.
        channel: String,
        /// What kind of move it is.
        kind: MoveKind,
        /// The release it goes to.
        release: Digest,
    },
    /// There is nothing to resume or abort.
    #[error("channel `{channel}`: nothing was begun that could be ended")]
    NothingPending {
        /// The name of the channel.
        channel: String,
    },
    /// Another writer moved tags of the channel.
    #[error("channel `{channel}` was moved by somebody else:\n{}", lines(.drift))]
    Drift {
        /// The name of the channel.
        channel: String,
        /// The tags, and where they are.
        drift: Vec<Drift>,
    },
    /// A release has an image that its repository has no longer.
    #[error("{repository}@{digest} is not there, so no tag can name it")]
    Missing {
        /// The repository of the image.
        repository: Repository,
        /// The digest of the image.
        digest: Digest,
    },
    /// Another promoter was first; nothing was moved.
    #[error(
        "somebody else moves channel `{channel}` at this moment ({tag} is theirs); nothing was moved"
    )]
    Lost {
        /// The name of the channel.
        channel: String,
        /// The tag of the entry both wanted.
        tag: Tag,
    },
    /// The same, seen later.
    #[error("somebody else moves channel `{channel}`: {tag} is not ours any more")]
    Overtaken {
        /// The name of the channel.
        channel: String,
        /// The tag of the entry both wanted.
        tag: Tag,
    },
    /// Some tags are at the new release, some at the old.
    #[error(
        "channel `{channel}` is between two releases: {done} of {of} tags are {way}; these are not, or it is not known:\n{}", lines(.problems)
    )]
    Between {
        /// The name of the channel.
        channel: String,
        /// Where the tags were to go.
        way: Way,
        /// How many are there.
        done: usize,
        /// How many tags the channel has.
        of: usize,
        /// Those that are not there, and why.
        problems: Vec<TagProblem>,
    },
    /// The tags are where they should be, and the ledger does not have that.
    #[error("channel `{channel}`: all tags are {way}, but that could not be recorded: {cause}")]
    Unrecorded {
        /// The name of the channel.
        channel: String,
        /// Where the tags are.
        way: Way,
        /// Why it could not be recorded.
        cause: Box<Error>,
    },
    /// All are as before but tags that did not exist then, which a registry may be unable to delete.
    #[error("all tags are as they were, but these did not exist before and are still there:\n{}", lines(.tags))]
    Left {
        /// The tags that are left.
        tags: Vec<Reference>,
    },
}

fn lines(items: &[impl fmt::Display]) -> String {
    let lines: Vec<String> = items.iter().map(|item| format!("  {item}")).collect();
    lines.join("\n")
}

/// Where the tags of a move go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the new release.
    Forward,
    /// To where they were.
    Back,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "at the new release",
            Self::Back => "as they were",
        })
    }
}

/// A tag that is not where a move puts it, or may not be.
#[derive(Debug)]
pub struct TagProblem {
    /// The repository of the tag.
    pub repository: Repository,
    /// The tag.
    pub tag: Tag,
    /// Why it is not there.
    pub cause: Cause,
}

impl fmt::Display for TagProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            repository, tag, ..
        } = self;
        match &self.cause {
            Cause::NotBegun => write!(f, "{repository}:{tag}: not begun"),
            Cause::Drift(drift) => drift.fmt(f),
            Cause::Elsewhere(Some(found)) => write!(f, "{repository}:{tag}: it is at {found} now"),
            Cause::Elsewhere(None) => write!(f, "{repository}:{tag}: it is at nothing now"),
            Cause::Failed(error) => write!(f, "{repository}:{tag}: {error}"),
        }
    }
}

/// Why a tag is not where a move puts it.
#[derive(Clone, Debug)]
pub enum Cause {
    /// A tag before it could not be set.
    NotBegun,
    /// Another writer moved it, and it was left alone.
    Drift(Drift),
    /// It was set, and is on this digest now.
    Elsewhere(Option<Digest>),
    /// It could not be read or set.
    Failed(Arc<Error>),
}

impl From<Error> for Cause {
    fn from(error: Error) -> Self {
        Self::Failed(Arc::new(error))
    }
}

impl From<registry::Error> for Cause {
    fn from(error: registry::Error) -> Self {
        Error::from(error).into()
    }
}
