//! Why images could not be staged or tagged.

use crate::list;
use crate::name::{Digest, Repository, Tag};
use crate::oci;
use crate::registry;

/// Why images could not be staged or tagged.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A request to the registry failed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A manifest that was pushed is not there.
    #[error("{repository}@{digest} was pushed, and the registry does not have it")]
    NotFound {
        /// Where it was pushed to.
        repository: Repository,
        /// Its digest.
        digest: Digest,
    },
    /// The index of a run cannot be read.
    #[error("cannot read the run's index {repository}:{tag}: {source}")]
    Index {
        /// The staging repository.
        repository: Repository,
        /// The run's tag.
        tag: Tag,
        /// What is invalid.
        source: oci::Error,
    },
    /// The index of a run lacks an image that was built.
    #[error("the run's index {repository}:{tag} has no image for platform variant `{variant}`")]
    NotInIndex {
        /// The staging repository.
        repository: Repository,
        /// The run's tag.
        tag: Tag,
        /// The variant that stands for the image.
        variant: String,
    },
    /// An image that was pushed cannot be read.
    #[error("cannot read the image {repository}@{digest}: {source}")]
    Image {
        /// The staging repository.
        repository: Repository,
        /// The image's digest.
        digest: Digest,
        /// What is invalid.
        source: oci::Error,
    },
    /// An immutable tag points at other bytes; it is never moved.
    #[error("immutable tag {repository}:{tag} points at {found}, not at {expected}")]
    Taken {
        /// The image's repository.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// What it points at.
        found: Digest,
        /// The image it was for.
        expected: Digest,
    },
    /// An immutable tag that was right is not any more: others wrote or deleted it.
    #[error("another writer changed immutable tag {repository}:{tag}: it {}, not at {expected}", points_at(.found.as_ref()))]
    Changed {
        /// The image's repository.
        repository: Repository,
        /// The tag.
        tag: Tag,
        /// What it points at; `None` if it is gone.
        found: Option<Digest>,
        /// The image it was for.
        expected: Digest,
    },
    /// Some images are tagged and some are not.
    #[error("{} of {of} images are tagged{}; these are not, or not completely:\n{}", .tagged.len(), listed(.tagged), lines(.failed))]
    Partly {
        /// How many images were to be tagged.
        of: usize,
        /// The labels of those that are.
        tagged: Vec<String>,
        /// Those that are not.
        failed: Vec<Untagged>,
    },
}

/// An image that could not be tagged.
#[derive(Debug)]
pub struct Untagged {
    /// The image's label.
    pub label: String,
    /// Why.
    pub error: Box<Error>,
}

fn points_at(found: Option<&Digest>) -> String {
    match found {
        Some(found) => format!("points at {found}"),
        None => "is missing".to_owned(),
    }
}

fn listed(labels: &[String]) -> String {
    if labels.is_empty() {
        String::new()
    } else {
        format!(" ({})", list::of(labels))
    }
}

fn lines(failed: &[Untagged]) -> String {
    let lines = failed.iter();
    let lines: Vec<String> = lines
        .map(|untagged| format!("{}: {}", untagged.label, untagged.error))
        .collect();
    lines.join("\n")
}
