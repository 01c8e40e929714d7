//! Why a build cannot begin, go on or end; `cli` decides the exit code from it.

use std::path::PathBuf;

use camino::Utf8PathBuf;

use crate::checkout::Change;
use crate::list;
use crate::name::{Commit, Reference};
use crate::release::refs::Denied;
use crate::{buildkit, export, gather, publish, registry, staging};

/// A fault of the whole build. An image or suite that failed is none: see [`super::Recorded`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--push` was given, and the stack has no registry.
    #[error("`--push` requires a registry")]
    PushWithoutRegistry,
    /// Neither a registry nor an archive is there to build into.
    #[error("no registry to build into")]
    NoRegistry,
    /// Without the digest of its base an image has no cache key.
    #[error("image `{label}` cannot be built offline: no digest known for {}", list::of(.bases))]
    UnknownBase {
        /// The first image asked for that has no key.
        label: String,
        /// External images that it needs, without a digest.
        bases: Vec<Reference>,
    },
    /// git is not installed.
    #[error("cannot publish without git: `git` not found on PATH")]
    NoGit,
    /// The folder of the stack is in no git repository, or in one without commits.
    #[error("cannot publish without a commit: immutable tags contain it")]
    NoCommit,
    /// Files of the stack differ from the commit.
    #[error(
        "cannot publish uncommitted changes: the tags would name commit {}, which does not have them: {}",
        .commit.abbreviated(), list::first(.changes, 5)
    )]
    Dirty {
        /// The commit.
        commit: Commit,
        /// The files, sorted.
        changes: Vec<Change>,
    },
    /// The ref may not publish.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Images to test are not built.
    #[error("images not built yet: {}", list::of(.labels))]
    NotBuilt {
        /// Their labels.
        labels: Vec<String>,
    },
    /// Steps or suites that will run need secrets without a value.
    #[error("missing values for secrets: {}", .ids.join(", "))]
    MissingSecrets {
        /// The secrets' ids, in alphabetical order.
        ids: Vec<String>,
    },
    /// Dockerfiles need SSH agents that are not forwarded.
    #[error("missing SSH agents: {}", .ids.join(", "))]
    MissingAgents {
        /// The agents' IDs, in alphabetical order.
        ids: Vec<String>,
    },
    /// A tool that steps use cannot be had.
    #[error(transparent)]
    Tool(#[from] crate::tool::Error),
    /// `SOURCE_DATE_EPOCH` cannot be read.
    #[error("invalid SOURCE_DATE_EPOCH `{text}`: expected seconds since 1970")]
    Epoch {
        /// Its value.
        text: String,
    },
    /// The folder of the archive cannot be written.
    #[error("cannot write in {}: {source}", .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The JUnit report cannot be written.
    #[error("cannot write the JUnit report {path}: {source}")]
    Junit {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Neither `HOME` nor `XDG_STATE_HOME` is set.
    #[error("no folder for the engine's state")]
    NoStateFolder,
    /// Interrupted by the user.
    #[error("interrupted")]
    Cancelled,
    /// No engine could be started.
    #[error(transparent)]
    Engine(#[from] buildkit::EngineError),
    /// The engine failed as a whole.
    #[error(transparent)]
    Buildkit(#[from] buildkit::Error),
    /// Images that other runs published cannot be looked up.
    #[error(transparent)]
    Gather(#[from] gather::Error),
    /// All images are tagged, and the release is not recorded.
    #[error("all images are tagged, but the release could not be recorded: {0}")]
    Unrecorded(Box<Error>),
    /// Images could not be pushed: that is known before anything is built.
    #[error("nothing was built, since images cannot be pushed:{}", causes(.refused))]
    CannotPush {
        /// One error a repository.
        refused: Vec<registry::Error>,
    },
    /// Staging does not take the documents of a run, or does not let their tags move.
    #[error("staging does not work: {0}")]
    Staged(#[source] staging::Error),
    /// A document in staging, such as the release, cannot be read or written.
    #[error(transparent)]
    Staging(#[from] staging::Error),
    /// Images are on another build of their base than the one that would be tagged.
    #[error("nothing was tagged: {}", other_bases(.images))]
    OtherBase {
        /// The label of each image and of its base; at least one.
        images: Vec<(String, String)>,
    },
    /// Images could not be staged or tagged.
    #[error(transparent)]
    Publish(#[from] publish::Error),
    /// The archive could not be written.
    #[error(transparent)]
    Export(#[from] export::Error),
}

fn other_bases(images: &[(String, String)]) -> String {
    let images = images.iter().map(|(image, base)| {
        format!("image `{image}` was built on another build of `{base}` than the one that staging has now")
    });
    images.collect::<Vec<_>>().join("; ")
}

fn causes(errors: &[registry::Error]) -> String {
    errors.iter().map(|error| format!("\n  {error}")).collect()
}
