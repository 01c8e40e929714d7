//! What a run comes to: per image, and as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::buildkit::{self, Ended, Failure};
use crate::compile::Program;
use crate::diagnostic::Diagnostic;
use crate::evidence::{Checks, Info, Verdict};
use crate::name::Digest;
use crate::run::listed::Pending;
use crate::run::manifests::Manifests;
use crate::stack::ImageId;

/// The result of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// One entry an image to build.
    pub images: BTreeMap<ImageId, Outcome>,
    /// The index of what was exported; `None` if no image was built.
    pub index: Option<Digest>,
    /// The manifests of what was exported, if [`Options::push_manifests`](super::Options::push_manifests) pushed them.
    pub manifests: Option<Manifests>,
    /// The variant that each image has as its platform in that index.
    pub exported: BTreeMap<String, ImageId>,
    /// The files of images that were built, if a check read them; to be kept once their digests are known.
    pub lists: BTreeMap<ImageId, Pending>,
    /// How the process of the user's ended, or why the image cannot run it; `None` if none was started.
    pub process: Option<Result<Ended, Box<ImageError>>>,
    /// `Control.Solve` requests sent.
    pub solves: u32,
}

/// What became of an image to build.
#[derive(Debug)]
pub enum Outcome {
    /// It was built.
    Built {
        /// The time its own steps ran.
        took: Duration,
    },
    /// It could not be built.
    Failed(Box<ImageError>),
    /// It was not built since another image failed.
    Skipped {
        /// The label of that image.
        because: String,
    },
}

/// What ran on an image, and what came of it.
#[derive(Clone, Debug, Default)]
pub struct Proven {
    /// By name; those that ran.
    pub suites: BTreeMap<String, Verdict>,
    /// `None`: no checks ran.
    pub checks: Option<Checks>,
    /// By name; those that ran.
    pub info: BTreeMap<String, Info>,
}

/// Why an image could not be built.
#[derive(Clone, Debug)]
pub enum ImageError {
    /// A step failed.
    Step {
        /// The index of the step in the image, from 0, if it is known.
        step: Option<usize>,
        /// The index of the member that failed, if the step is a group.
        member: Option<usize>,
        /// What the engine reported.
        failure: Box<Failure>,
        /// The last lines the step wrote.
        log: Vec<String>,
        /// What is known of its process.
        process: FailedProcess,
    },
    /// The spec asks for what cannot be compiled.
    Spec(Box<Diagnostic>),
    /// Its base cannot be used.
    Base {
        /// The base.
        reference: String,
        /// Why not.
        reason: String,
    },
}

/// What is known of the process of a step that failed.
#[derive(Clone, Debug, Default)]
pub struct FailedProcess {
    /// A program that starts it, and that the image lacks.
    pub missing: Option<Program>,
    /// Its user, unless that is root.
    pub user: Option<String>,
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step {
                failure,
                process:
                    FailedProcess {
                        missing: Some(program),
                        ..
                    },
                ..
            } => {
                write!(f, "the image has no `{}`", program.name)?;
                failure
                    .exit_code
                    .map_or(Ok(()), |code| write!(f, " (exit code {code})"))
            }
            Self::Step { failure, .. } => match failure.exit_code {
                Some(137) => write!(f, "killed (exit code 137): out of memory?"),
                Some(code) => write!(f, "exit code {code}"),
                // The text quotes the whole command.
                None => write!(f, "{}", buildkit::reason(&failure.message)),
            },
            Self::Spec(diagnostic) => write!(f, "{}", diagnostic.message),
            Self::Base { reference, reason } => {
                write!(f, "its base {reference} cannot be used: {reason}")
            }
        }
    }
}

/// Why work on an image stopped.
#[derive(Debug)]
pub(super) enum StopReason {
    /// The image failed; others go on.
    Image(Box<ImageError>),
    /// The whole run failed.
    Run(buildkit::Error),
}

impl From<ImageError> for StopReason {
    fn from(error: ImageError) -> Self {
        Self::Image(Box::new(error))
    }
}

impl StopReason {
    /// Returns the error of the image as a result of the run.
    pub(super) fn into_image_error<T>(
        self,
    ) -> Result<Option<Result<T, Box<ImageError>>>, buildkit::Error> {
        match self {
            Self::Image(error) => Ok(Some(Err(error))),
            Self::Run(error) => Err(error),
        }
    }
}
