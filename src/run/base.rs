//! Where each image's base comes from.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{Digest, Reference};
use crate::plan::{Action, Plan};
use crate::stack::{Base, ImageId, Stack};

/// Where an image's base comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseSource {
    /// Built in this run.
    ThisRun(ImageId),
    /// In a registry, pinned by digest.
    Pinned(Reference),
}

/// The digest of each external base.
pub type BaseDigests = BTreeMap<Reference, Digest>;

/// Returns where the base of an image comes from; `None` if it is neither built nor known.
pub fn base_source(
    stack: &Stack,
    plan: &Plan,
    bases: &BaseDigests,
    id: ImageId,
) -> Option<BaseSource> {
    match &stack.images[id.0].base {
        Base::Image(parent) => match &plan.images[parent.0].action {
            Action::Build { .. } => Some(BaseSource::ThisRun(*parent)),
            Action::Reuse { .. } => staged(stack, plan, *parent).map(BaseSource::Pinned),
            Action::Hold { .. } => None,
        },
        Base::Outside(base) => {
            let digest = bases.get(&base.reference.value)?;
            let pinned = base.reference.value.pinned(digest.clone());
            Some(BaseSource::Pinned(pinned))
        }
    }
}

/// Returns the reference of a reused image in staging.
pub fn staged(stack: &Stack, plan: &Plan, id: ImageId) -> Option<Reference> {
    let Action::Reuse { digest } = &plan.images[id.0].action else {
        return None;
    };
    Some(Reference {
        repository: stack.staging.clone()?,
        tag: None,
        digest: Some(digest.clone()),
    })
}

/// Returns the references whose configs a run reads: pinned bases of images to build, and reused images
/// that something is run on.
pub fn references(stack: &Stack, plan: &Plan, bases: &BaseDigests) -> BTreeSet<Reference> {
    let images = plan.images.iter();
    images
        .filter_map(|planned| match planned.action {
            Action::Build { .. } => match base_source(stack, plan, bases, planned.id) {
                Some(BaseSource::Pinned(reference)) => Some(reference),
                Some(BaseSource::ThisRun(_)) | None => None,
            },
            Action::Reuse { .. } if planned.proofs.runs() => staged(stack, plan, planned.id),
            Action::Reuse { .. } | Action::Hold { .. } => None,
        })
        .collect()
}
