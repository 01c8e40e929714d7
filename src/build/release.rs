//! The release that a published build is recorded as: its images, their evidence, and the spec.

use std::collections::BTreeMap;

use serde_json::json;

use super::error::Error;
use super::members::{Member, own_members};
use super::proven::Proven;
use crate::evidence::Evidence;
use crate::name::Digest;
use crate::plan::{self, Proofs};
use crate::record::{
    Ancestor, DroppedSuite, Release, ReleaseImage, ReleaseVerdict, StoredImage, StoredSpec,
};
use crate::registry::Manifest;
use crate::spec::lock::Lock;
use crate::stack::{Base, Image, ImageSource, SCRATCH, Stack};
use crate::staging::{ReleaseParts, Staging};

/// Sends what belongs to the release of this run, if all images of the stack are part of it.
pub(super) async fn send_own(
    proven: &Proven<'_>,
    staging: &Staging,
    manifests: &BTreeMap<Digest, Manifest>,
) -> Option<Result<ReleaseParts, Error>> {
    let members = own_members(proven)?;
    send(proven, staging, &members, manifests).await.transpose()
}

/// Sends what belongs to a release of these images; `None` if one of them has no repository, or without a commit.
pub(super) async fn send(
    proven: &Proven<'_>,
    staging: &Staging,
    members: &[Member<'_>],
    manifests: &BTreeMap<Digest, Manifest>,
) -> Result<Option<ReleaseParts>, Error> {
    let job = &proven.ran.prepared.job;
    let Some(checkout) = &job.gathered.facts.checkout else {
        return Ok(None);
    };
    let mut images: Vec<ReleaseImage> = Vec::new();
    for member in members {
        let Some(image) = release_image(job.whole, member, &images) else {
            return Ok(None);
        };
        images.push(image);
    }
    let release = Release {
        stack: job.whole.name().to_string(),
        version: 1,
        commit: Some(checkout.commit.clone()),
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
    let spec = stored_spec(proven, members);
    let sent = staging.send_parts(release, &evidence, &spec, manifests);
    Ok(Some(sent.await?))
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
        Base::Scratch => (0, SCRATCH.to_owned(), None),
    };
    let evidence = member.evidence.as_ref();
    let checks = evidence.and_then(|evidence| evidence.checks.as_ref());
    Some(ReleaseImage {
        image: image.name.to_string(),
        variant: variant(stack, image),
        repository: image.repository.clone()?,
        digest: member.digest.clone(),
        key: Some(member.key.clone()),
        adopted_from: None,
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
        Base::Scratch => SCRATCH.to_owned(),
    }
}
