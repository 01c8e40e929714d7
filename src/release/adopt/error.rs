//! Why a channel is not adopted.

use crate::list;
use crate::name::{Digest, Reference, Repository, Tag};
use crate::{publish, registry};

/// A tag of a channel that is at another image than it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherDigest {
    /// The repository of the tag.
    pub repository: Repository,
    /// The tag.
    pub tag: Tag,
    /// The digest it is on; `None`: it does not exist.
    pub found: Option<Digest>,
    /// The digest that is adopted.
    pub expected: Digest,
}

impl std::fmt::Display for OtherDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (repository, tag, expected) = (&self.repository, &self.tag, &self.expected);
        match &self.found {
            Some(found) => write!(f, "{repository}:{tag} is at {found}, not at {expected}"),
            None => write!(f, "{repository}:{tag} is missing, not at {expected}"),
        }
    }
}

/// Why a channel is not adopted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The channel has been moved before.
    #[error("channel `{channel}` has been moved before (number {seq})")]
    Moved {
        /// The name of the channel.
        channel: String,
        /// The number of the entry it is at.
        seq: u64,
    },
    /// No image has what could be adopted.
    #[error("nothing to adopt for channel `{channel}`: {}", list::of(.missing))]
    Nothing {
        /// The name of the channel.
        channel: String,
        /// The images and what is missing.
        missing: Vec<String>,
    },
    /// Some images have nothing that could be adopted.
    #[error("channel `{channel}` cannot be adopted as a whole: {}", list::of(.missing))]
    Partial {
        /// The name of the channel.
        channel: String,
        /// The images and what is missing.
        missing: Vec<String>,
    },
    /// The registry does not have what a list names.
    #[error("not found in the registry: {}", list::of(.references))]
    NotFound {
        /// The references of the list.
        references: Vec<Reference>,
    },
    /// Tags of the channel are at other images than the list has.
    #[error("tags of channel `{channel}` are at other images than the list has:\n{}", lines(.tags))]
    Other {
        /// The name of the channel.
        channel: String,
        /// Those tags.
        tags: Vec<OtherDigest>,
    },
    /// Tags moved while they were adopted.
    #[error("tags of channel `{channel}` moved while it was adopted; nothing was recorded:\n{}", lines(.tags))]
    Changed {
        /// The name of the channel.
        channel: String,
        /// Those tags.
        tags: Vec<OtherDigest>,
    },
    /// An image cannot be copied into the repository of the channel.
    #[error(transparent)]
    Copy(#[from] publish::Error),
    /// The release or the ledger cannot be read or written.
    #[error(transparent)]
    Release(#[from] super::super::Error),
}

impl From<registry::Error> for Error {
    fn from(error: registry::Error) -> Self {
        Self::Release(error.into())
    }
}

fn lines(tags: &[OtherDigest]) -> String {
    let lines: Vec<String> = tags.iter().map(|tag| format!("  {tag}")).collect();
    lines.join("\n")
}
