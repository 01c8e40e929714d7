//! The last phase: a published build is recorded as a release, and a build that passed is exported if an
//! archive was asked for.

use std::collections::BTreeMap;

use serde_json::json;

use super::error::Error;
use super::members::{Member, Members, members};
use super::proven::Proven;
use super::published::Published;
use super::ran::Ran;
use crate::event::Event;
use crate::evidence::Evidence;
use crate::gather::Gathered;
use crate::name::{Digest, Repository, Tag};
use crate::plan::{self, Plan, Planned, Proofs};
use crate::record::{
    Ancestor, DroppedSuite, Release, ReleaseImage, ReleaseVerdict, StoredImage, StoredSpec,
};
use crate::registry::Manifest;
use crate::run::Outcome;
use crate::source::Span;
use crate::spec::lock::Lock;
use crate::stack::{Base, Image, ImageId, ImageSource, Stack};
use crate::staging::Staging;

/// A build that has ended.
pub struct Recorded<'a> {
    pub(super) published: Published<'a>,
    release: ReleaseState,
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
        if let ReleaseState::Incomplete { missing } = release {
            let text = format!(
                "the release is not recorded yet: {} without tags of this commit; the run that publishes the last image records it",
                missing.join(", ")
            );
            self.proven
                .ran
                .prepared
                .job
                .events
                .send(Event::Note { text });
        }
    }

    /// Records the release if all its images are published. A fault is kept, since the images are tagged.
    pub(super) async fn record(mut self) -> Recorded<'a> {
        let mut release = ReleaseState::NotAsked;
        if self.is_published {
            match record_release(&self.proven, &self.manifests).await {
                Ok(state) => {
                    self.report(&state);
                    release = state;
                }
                Err(cause) => self.proven.fault = Some(Error::Unrecorded(Box::new(cause))),
            }
        }
        drop(self.tagging.take());
        Recorded {
            published: self,
            release,
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
        self.published.is_published
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
async fn record_release(
    proven: &Proven<'_>,
    manifests: &BTreeMap<Digest, Manifest>,
) -> Result<ReleaseState, Error> {
    let job = &proven.ran.prepared.job;
    let (Some(staging), Some(checkout)) =
        (&proven.ran.prepared.staging, &job.gathered.facts.checkout)
    else {
        return Ok(ReleaseState::NotAsked);
    };
    let members = match members(proven).await? {
        Members::All(members) => members,
        Members::Missing(labels) => return Ok(ReleaseState::Incomplete { missing: labels }),
    };
    let mut images: Vec<ReleaseImage> = Vec::new();
    for member in &members {
        let Some(image) = release_image(job.whole, member, &images) else {
            return Ok(ReleaseState::NotAsked);
        };
        images.push(image);
    }
    let release = Release {
        stack: job.whole.name().to_string(),
        commit: checkout.commit.clone(),
        time: (job.environment.now)(),
        run: proven.ran.prepared.run.to_string(),
        git_ref: job.environment.caller.git_ref.clone(),
        spec: None,
        manifests: None,
        images,
    };
    let evidence = members.iter().filter_map(|member| member.evidence.as_ref());
    let evidence = evidence.filter(|evidence| !evidence.is_empty());
    let evidence: BTreeMap<String, Evidence> = evidence
        .map(|evidence| (evidence.image.clone(), evidence.clone()))
        .collect();
    let spec = stored_spec(proven, &members);
    let staging = Staging::new(job.registry, staging);
    let written = staging.write_release(job.plan.attempt, release, &evidence, &spec, manifests);
    Ok(ReleaseState::Recorded(written.await?))
}

/// Returns an image of a release, or `None` if it has no repository. `before` are the images before it, among
/// them its base.
fn release_image(
    stack: &Stack,
    member: &Member<'_>,
    before: &[ReleaseImage],
) -> Option<ReleaseImage> {
    let image = member.image;
    let (depth, base, base_digest) = match &image.base {
        Base::Image(parent) => {
            let name = stack[*parent].name.to_string();
            (before[parent.0].depth + 1, name, None)
        }
        Base::External(base) => {
            let reference = &base.reference.value;
            let digest = member.external.get(reference);
            (0, reference.to_string(), digest.cloned())
        }
    };
    let evidence = member.evidence.as_ref();
    let checks = evidence.and_then(|evidence| evidence.checks.as_ref());
    Some(ReleaseImage {
        image: image.name.to_string(),
        variant: variant(stack, image),
        repository: image.repository.clone()?,
        digest: member.digest.clone(),
        key: member.key.clone(),
        tags: member.tags.clone(),
        depth,
        base: Some(base),
        base_digest,
        copies: copies(member, before),
        size: member.size,
        verdicts: evidence
            .map(|evidence| verdicts(evidence, &member.proofs))
            .unwrap_or_default(),
        dropped: (image.proof.dropped.iter())
            .map(|dropped| DroppedSuite {
                suite: dropped.suite.clone(),
                reason: dropped.reason.clone(),
            })
            .collect(),
        checks: checks.map(|checks| checks.passed),
        checks_key: checks.map(|checks| checks.key.clone()),
        evidence: None,
    })
}

/// Returns the images that an image copies from; `before` are the images of the release so far.
fn copies(member: &Member<'_>, before: &[ReleaseImage]) -> Vec<Ancestor> {
    let image = member.image;
    let sources = image.copy_sources().into_iter();
    let copies = sources.map(|(name, source)| match source {
        ImageSource::InStack(stack_name) => {
            let id = image.copied[&stack_name.value];
            let digest = before[id.0].digest.clone();
            Ancestor::Image { name, digest }
        }
        ImageSource::External(image) => Ancestor::External {
            reference: name,
            digest: member.external.get(&image.reference.value).cloned(),
        },
    });
    copies.collect()
}

fn variant(stack: &Stack, image: &Image) -> Option<String> {
    let variant = stack.variants()[image.variant].name.as_ref();
    variant.map(ToString::to_string)
}

fn verdicts(evidence: &Evidence, proofs: &Proofs) -> Vec<ReleaseVerdict> {
    let suites = proofs.suites.iter();
    suites
        .filter_map(|suite| {
            let verdict = evidence.suites.get(&suite.name)?;
            Some(ReleaseVerdict {
                suite: suite.name.clone(),
                from: verdict.from.clone(),
                key: Some(verdict.key.clone()),
                digest: evidence.digest.clone(),
                passed: verdict.passed,
                tests: verdict.tests,
                failed: verdict.failed,
                cached: suite.verdict.known.is_some(),
            })
        })
        .collect()
}

/// The spec as it was written, and as it was resolved.
fn stored_spec(proven: &Proven<'_>, members: &[Member<'_>]) -> StoredSpec {
    let job = &proven.ran.prepared.job;
    let stack = job.whole;
    let lock = Lock {
        bases: members
            .iter()
            .flat_map(|member| member.external.clone())
            .collect(),
    };
    let images = members.iter().map(|member| {
        let image = member.image;
        let mut resolved = json!({
            "image": image.name.as_str(),
            "variant": variant(stack, image),
            "base": pinned_base(stack, member),
        });
        for (name, value) in plan::settings(image) {
            resolved[name] = value;
        }
        let steps = image.steps.iter();
        let steps = steps.map(|step| plan::expand(&step.pinned(&member.external)));
        resolved["steps"] = steps.collect();
        StoredImage {
            resolved,
            components: member.components.clone(),
        }
    });
    StoredSpec {
        files: (stack.sources().iter())
            .map(|(_, file)| (file.path.clone(), file.text.to_string()))
            .collect(),
        lock: lock.to_string(),
        vars: job.options.vars.clone(),
        images: images.collect(),
    }
}

/// The name of an image's base in the stack, or its external base by digest.
fn pinned_base(stack: &Stack, member: &Member<'_>) -> String {
    match &member.image.base {
        Base::Image(parent) => stack[*parent].name.to_string(),
        Base::External(base) => {
            let reference = &base.reference.value;
            match member.external.get(reference) {
                Some(digest) => reference.pinned(digest.clone()).to_string(),
                None => reference.to_string(),
            }
        }
    }
}
