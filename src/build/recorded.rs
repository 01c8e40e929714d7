//! The last phase: a published build is recorded as a release, and a build that passed is exported if an
//! archive was asked for.

use std::path::Path;

use futures_util::future::join_all;

use super::error::Error;
use super::job::Options;
use super::members::{Members, members};
use super::proven::Proven;
use super::published::{Published, Tagged};
use super::ran::Ran;
use super::release;
use crate::event::Event;
use crate::evidence::Evidence;
use crate::gather::Gathered;
use crate::list;
use crate::name::{Digest, Reference, Repository, Tag};
use crate::plan::{Plan, Planned};
use crate::run::Outcome;
use crate::source::Span;
use crate::stack::{ImageId, Stack};
use crate::staging::Staging;

/// A build that has ended.
pub struct Recorded<'a> {
    pub(super) published: Published<'a>,
    release: ReleaseState,
    /// The names of the images in the archive.
    pub(super) exported: Vec<String>,
    /// The names of the images that were loaded on this machine.
    pub(super) loaded: Vec<String>,
}

/// Whether the images are recorded as a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseState {
    /// Nothing was published, or without a commit.
    NotAsked,
    /// The release has this digest.
    Recorded(Digest),
    /// Not yet: other images of the stack lack the tags of this commit.
    Incomplete {
        /// Their labels.
        missing: Vec<String>,
    },
}

/// How a build ended. Of several causes the first in this order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// An image failed or was skipped.
    BuildFailed,
    /// A suite or a check failed.
    ProofFailed,
    /// Everything passed, and something could not be stored or tagged: see [`Recorded::into_fault`].
    Faulty,
    /// Everything asked for is done.
    Complete,
}

impl<'a> Published<'a> {
    fn report(&self, release: &ReleaseState) {
        let ReleaseState::Incomplete { missing } = release else {
            return;
        };
        let job = self.proven.ran.prepared.job;
        let missing = list::of(missing);
        job.events.send(match job.plan.attempt {
            0 | 1 => Event::Note {
                text: format!(
                    "the release is not recorded yet: {missing} without tags of this commit; the run that publishes the last image records it"
                ),
            },
            // A run for the missing images alone has no reason to use the suffix.
            suffix => Event::Warning {
                text: format!(
                    "the release is not recorded: {missing} without tags with the suffix `.{suffix}`, which the tags of this run have because those without it point at other images; run `laminate build --push` for the whole stack"
                ),
            },
        });
    }

    /// Records the release if all its images are published, and reads back what other runs may have written over. A fault is
    /// kept, since the images are tagged.
    pub(super) async fn record(mut self) -> Recorded<'a> {
        let settling = join_all(std::mem::take(&mut self.proven.settling));
        let recording = async {
            match &mut self.tagged {
                Some(tagged) => Box::pin(record_release(&self.proven, tagged)).await,
                None => Ok(ReleaseState::NotAsked),
            }
        };
        let (recorded, settled) = tokio::join!(recording, settling);
        let unsettled = settled.into_iter().find_map(Result::err);
        let release = recorded.unwrap_or_else(|cause| {
            self.proven.fault = Some(Error::Unrecorded(Box::new(cause)));
            ReleaseState::NotAsked
        });
        self.proven.fault = self.proven.fault.take().or(unsettled.map(Error::Staged));
        self.report(&release);
        if let Some(tagged) = &mut self.tagged {
            drop(tagged.tagging.take());
        }
        Recorded {
            published: self,
            release,
            exported: Vec::new(),
            loaded: Vec::new(),
        }
    }
}

impl<'a> Recorded<'a> {
    fn proven(&self) -> &Proven<'a> {
        &self.published.proven
    }

    pub(super) fn ran_mut(&mut self) -> &mut Ran<'a> {
        &mut self.published.proven.ran
    }

    pub(super) fn ran(&self) -> &Ran<'a> {
        &self.published.proven.ran
    }

    /// The stack that was built.
    pub fn stack(&self) -> &'a Stack {
        self.ran().prepared.job.stack
    }

    /// The facts it was built from.
    pub fn gathered(&self) -> &'a Gathered {
        self.ran().prepared.job.gathered
    }

    /// The plan that was carried out.
    pub fn plan(&self) -> &'a Plan {
        self.ran().prepared.job.plan
    }

    /// The id of the run.
    pub fn run(&self) -> &Tag {
        &self.ran().prepared.run
    }

    /// The program that images were loaded into, and their names; `None` if none were.
    pub fn loaded(&self) -> Option<(&'static str, &[String])> {
        let loader = self.options().load.as_ref()?;
        (!self.loaded.is_empty()).then_some((loader.name, self.loaded.as_slice()))
    }

    /// The archive that was written, and the names in it; `None` if none was.
    pub fn exported(&self) -> Option<(&'a Path, &[String])> {
        let archive = self.options().archive.as_deref()?;
        (!self.exported.is_empty()).then_some((archive, self.exported.as_slice()))
    }

    /// What the user asked for.
    pub fn options(&self) -> &'a Options {
        self.ran().prepared.job.options
    }

    /// Returns what an image that the user named can be pulled by from staging; `None` if it is not there.
    pub fn staged_reference(&self, planned: &Planned) -> Option<Reference> {
        let prepared = &self.ran().prepared;
        prepared.job.options.request.selected.as_ref()?;
        let digest = self.ran().digest(planned);
        Some(Reference {
            repository: prepared.staging.clone()?,
            tag: None,
            digest: Some(digest.filter(|_| prepared.job.is_selected(planned))?),
        })
    }

    /// How many requests were sent to the engine.
    pub fn solves(&self) -> u32 {
        self.ran().report.solves
    }

    /// The index of the images built, and where it is in staging.
    pub fn index(&self) -> Option<(&Repository, &Digest, Tag)> {
        let ran = self.ran();
        let staging = ran.prepared.staging.as_ref()?;
        Some((staging, ran.report.index.as_ref()?, ran.run_tag()))
    }

    /// What became of an image in this run; `None` if there was nothing to do for it.
    pub fn outcome(&self, id: ImageId) -> Option<&Outcome> {
        self.ran().report.images.get(&id)
    }

    /// What is proven of an image.
    pub fn evidence(&self, id: ImageId) -> Option<&Evidence> {
        self.proven().evidence.get(&id)
    }

    /// The digest of an image that is there.
    pub fn digest(&self, planned: &Planned) -> Option<Digest> {
        self.ran().digest(planned)
    }

    /// The size of an image's config and layers as stored, bytes.
    pub fn size(&self, planned: &Planned) -> Option<u64> {
        self.ran().size(planned)
    }

    /// Whether the images have their immutable tags.
    pub fn is_published(&self) -> bool {
        self.published.tagged.is_some()
    }

    /// Returns whether the images are recorded as a release.
    pub fn release(&self) -> &ReleaseState {
        &self.release
    }

    /// Returns why something could not be stored or tagged.
    pub fn into_fault(self) -> Option<Error> {
        self.published.proven.fault
    }

    /// Returns how the build ended.
    pub fn ending(&self) -> Ending {
        let proven = self.proven();
        if proven.ran.has_failed() {
            Ending::BuildFailed
        } else if proven.has_failed_proof() {
            Ending::ProofFailed
        } else if proven.fault.is_some() {
            Ending::Faulty
        } else {
            Ending::Complete
        }
    }

    /// Entries of `policy.allow` that no image needs, with their paths.
    pub fn unused_allowances(&self) -> Vec<(Span, &str)> {
        self.proven().unused_allowances()
    }
}

/// Records all images of the stack as a release, if all of them have the tags of this commit. It is written by
/// the run that finds that; one that was written before must have the same images.
async fn record_release(proven: &Proven<'_>, tagged: &mut Tagged) -> Result<ReleaseState, Error> {
    let job = &proven.ran.prepared.job;
    let Some(staging) = &proven.ran.prepared.staging else {
        return Ok(ReleaseState::NotAsked);
    };
    let staging = Staging::new(job.registry, staging);
    let parts = match tagged.release.take() {
        Some(parts) => Some(parts?),
        None => match members(proven).await? {
            Members::All(members) => {
                release::send(proven, &staging, &members, &tagged.manifests).await?
            }
            Members::Missing(labels) => return Ok(ReleaseState::Incomplete { missing: labels }),
        },
    };
    let Some(parts) = parts else {
        return Ok(ReleaseState::NotAsked);
    };
    let first = tagged.announced.as_ref();
    let written = staging.write_release(job.plan.attempt, parts, first);
    Ok(ReleaseState::Recorded(written.await?))
}
