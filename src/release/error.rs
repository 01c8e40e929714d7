//! Why a release or channel cannot be read or moved.

use std::fmt;
use std::sync::Arc;

use crate::name::{Commit, Digest, Reference, Repository, Tag};
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
    #[error("gave up after {attempts} attempts to claim a version number (last: {last})")]
    Numbers {
        /// How many were tried.
        attempts: u64,
        /// The last one.
        last: u64,
    },
    /// git does not know which of two commits is newer.
    #[error("cannot tell whether commit {} is newer than {}: {reason}", .commit.short(), .other.short())]
    Ancestry {
        /// The commit the channel is at.
        commit: Commit,
        /// The commit to promote.
        other: Commit,
        /// Why not.
        reason: String,
    },
    /// The pointer to the entry the channel is at is gone, and the tags are at no entry.
    #[error(
        "the ledger of channel `{channel}` has lost its tag {pointer}, and the tags of the channel are at none of its entries up to {last}"
    )]
    PointerLost {
        /// The name of the channel.
        channel: String,
        /// The tag that is gone.
        pointer: Tag,
        /// The tag of the newest entry.
        last: Tag,
    },
    /// There is no number after this one.
    #[error("no number is left after {tag}: it is the largest possible")]
    LastNumber {
        /// The tag with the largest number.
        tag: Tag,
    },
    /// An image has the tag of a version number that is not its own.
    #[error("immutable tag {repository}:{tag} is on {found}, expected {wanted}")]
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
    /// No release has the name a user gave.
    #[error("unknown release `{name}`")]
    NoRelease {
        /// As the user wrote it.
        name: String,
    },
    /// The channel has no entry.
    #[error("channel `{channel}` has not been promoted yet")]
    NoChannel {
        /// The name of the channel.
        channel: String,
    },
    /// There is nothing to revert to.
    #[error("channel `{channel}` has no earlier release")]
    NothingEarlier {
        /// The name of the channel.
        channel: String,
    },
    /// A move of this channel was begun and has not ended.
    #[error("channel `{channel}` has an unfinished {kind} to {release}")]
    Pending {
        /// The name of the channel.
        channel: String,
        /// What kind of move it is.
        kind: MoveKind,
        /// The release it goes to.
        release: Digest,
    },
    /// There is nothing to resume or abort.
    #[error("channel `{channel}` has no unfinished move")]
    NothingPending {
        /// The name of the channel.
        channel: String,
    },
    /// Another writer moved tags of the channel.
    #[error("someone else moved tags of channel `{channel}`:\n{}", lines(.drift))]
    Drift {
        /// The name of the channel.
        channel: String,
        /// The tags, and where they are.
        drift: Vec<Drift>,
    },
    /// Tags that a first move would overwrite were made by others.
    #[error("tags of channel `{channel}` exist, and the channel has not moved them:\n{}", lines(.tags))]
    Foreign {
        /// The name of the channel.
        channel: String,
        /// The tags, and where they are.
        tags: Vec<ForeignTag>,
        /// Whether the channel has been moved, so that nothing can be adopted.
        has_moved: bool,
    },
    /// A release has an image that its repository has no longer.
    #[error("cannot tag {repository}@{digest}: not found in the registry")]
    Missing {
        /// The repository of the image.
        repository: Repository,
        /// The digest of the image.
        digest: Digest,
    },
    /// Another promoter was first; nothing was moved.
    #[error("another run is moving channel `{channel}` ({tag} is taken); nothing was moved")]
    Lost {
        /// The name of the channel.
        channel: String,
        /// The tag of the entry both wanted.
        tag: Tag,
    },
    /// The same, seen later.
    #[error("another run is moving channel `{channel}`: it has overwritten {tag}")]
    Overtaken {
        /// The name of the channel.
        channel: String,
        /// The tag of the entry both wanted.
        tag: Tag,
    },
    /// Some tags are at the new release, some at the old.
    #[error(
        "channel `{channel}` is between two releases: {done} of {of} tags are {way}; not confirmed:\n{}", lines(.problems)
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
    #[error("all tags of channel `{channel}` are {way}, but this could not be recorded: {cause}")]
    Unrecorded {
        /// The name of the channel.
        channel: String,
        /// Where the tags are.
        way: Way,
        /// Why it could not be recorded.
        cause: Box<Error>,
    },
    /// All are as before but tags that did not exist then, which a registry may be unable to delete.
    #[error("all tags are as they were, except new ones that the registry did not delete:\n{}", lines(.tags))]
    Left {
        /// The tags that are left.
        tags: Vec<Reference>,
    },
}

/// A tag that someone else made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignTag(pub Drift);

impl fmt::Display for ForeignTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Drift {
            repository,
            tag,
            found,
            ..
        } = &self.0;
        let found = found.as_ref().map_or("nothing", Digest::as_str);
        write!(f, "{repository}:{tag} is at {found}")
    }
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
            Cause::NotBegun => write!(f, "{repository}:{tag}: not moved"),
            Cause::Drift(drift) => drift.fmt(f),
            Cause::Elsewhere(Some(found)) => write!(f, "{repository}:{tag}: now at {found}"),
            Cause::Elsewhere(None) => write!(f, "{repository}:{tag}: now missing"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_move_lists_each_tag_and_its_cause() {
        let problem = |name: &str, cause: Cause| TagProblem {
            repository: Repository::parse(&format!("registry.example/{name}")).expect("legal"),
            tag: Tag::parse("stable").expect("a tag"),
            cause,
        };
        let nothing = Error::NothingEarlier {
            channel: "stable".to_owned(),
        };
        let between = Error::Between {
            channel: "stable".to_owned(),
            way: Way::Back,
            done: 1,
            of: 4,
            problems: vec![
                problem("a", Cause::NotBegun),
                problem("b", Cause::Elsewhere(None)),
                problem("c", nothing.into()),
            ],
        };
        insta::assert_snapshot!(between, @r"
        channel `stable` is between two releases: 1 of 4 tags are as they were; not confirmed:
          registry.example/a:stable: not moved
          registry.example/b:stable: now missing
          registry.example/c:stable: channel `stable` has no earlier release
        ");
    }
}
