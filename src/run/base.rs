//! Where each image's base comes from.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::{Digest, Reference};
use crate::plan::{Action, KeptSteps, Plan, Planned};
use crate::stack::{Base, ImageId, ImageSource, Stack};

/// Where an image's base comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BaseSource {
    /// Built in this run.
    ThisRun(ImageId),
    /// In a registry, pinned by digest.
    Pinned(Reference),
    /// Empty.
    Scratch,
}

/// The digest of each external image.
pub type ExternalDigests = BTreeMap<Reference, Digest>;

/// Returns where the base of an image comes from; `None` if it is neither built nor known.
pub fn base_source(
    stack: &Stack,
    plan: &Plan,
    bases: &ExternalDigests,
    id: ImageId,
) -> Option<BaseSource> {
    match &stack[id].base {
        Base::Scratch => Some(BaseSource::Scratch),
        Base::Image(parent) => match &plan.images[parent.0].action {
            Action::Build { .. } => Some(BaseSource::ThisRun(*parent)),
            Action::Reuse { .. } => staged(stack, plan, *parent).map(BaseSource::Pinned),
            Action::Hold { .. } => None,
        },
        Base::External(base) => {
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
        repository: stack.staging().cloned()?,
        tag: None,
        digest: Some(digest.clone()),
    })
}

/// Returns the reference of the last build of an image, if some of its steps are kept.
pub fn last_build(stack: &Stack, kept: &KeptSteps) -> Option<Reference> {
    Some(Reference {
        repository: stack.staging().cloned()?,
        tag: None,
        digest: Some(kept.digest.clone()),
    })
}

/// Returns the references whose configs a run reads: pinned bases of images to build, last builds of which steps are
/// kept, and reused images that something is run on.
pub fn references(stack: &Stack, plan: &Plan, bases: &ExternalDigests) -> BTreeSet<Reference> {
    let images = plan.images.iter();
    let kept = images.clone().filter_map(|planned| planned.kept.as_ref());
    let kept = kept.filter_map(|kept| last_build(stack, kept));
    let used = images
        .clone()
        .flat_map(|planned| used_by_dockerfile(stack, plan, bases, planned));
    images
        .filter_map(|planned| match planned.action {
            Action::Build { .. } => match base_source(stack, plan, bases, planned.id) {
                Some(BaseSource::Pinned(reference)) => Some(reference),
                Some(BaseSource::ThisRun(_) | BaseSource::Scratch) | None => None,
            },
            Action::Reuse { .. } if planned.proofs.runs() => staged(stack, plan, planned.id),
            Action::Reuse { .. } | Action::Hold { .. } => None,
        })
        .chain(kept)
        .chain(used)
        .collect()
}

/// Returns the images that a Dockerfile uses, whose configs are read if it is built; and its base, if something is run on what
/// was made of it.
fn used_by_dockerfile(
    stack: &Stack,
    plan: &Plan,
    bases: &ExternalDigests,
    planned: &Planned,
) -> Vec<Reference> {
    let image = &stack[planned.id];
    let Some(file) = image.dockerfile() else {
        return Vec::new();
    };
    match planned.action {
        Action::Build { .. } => {
            let used = file.images.values();
            used.filter_map(|source| match source {
                ImageSource::External(image) => {
                    let reference = &image.reference.value;
                    Some(reference.pinned(bases.get(reference)?.clone()))
                }
                ImageSource::InStack(name) => staged(stack, plan, image.copied[&name.value]),
            })
            .collect()
        }
        Action::Reuse { .. } if planned.proofs.runs() => {
            match base_source(stack, plan, bases, planned.id) {
                Some(BaseSource::Pinned(reference)) => vec![reference],
                Some(BaseSource::ThisRun(_) | BaseSource::Scratch) | None => Vec::new(),
            }
        }
        Action::Reuse { .. } | Action::Hold { .. } => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Facts, KeyFacts, Keys, Request};
    use crate::testing;

    /// base → sci → ml.
    const SPEC: &str = "
stack: datahub
registry: localhost/x
images:
  base: { base: debian:bookworm }
  sci: { base: base }
  ml: { base: sci }
";

    struct Planned {
        stack: Stack,
        plan: Plan,
        bases: ExternalDigests,
    }

    /// The plan in which the images with these numbers are reused.
    fn planned(reused: &[usize], bases: ExternalDigests) -> Planned {
        let stack = testing::stack(SPEC);
        let key_facts = KeyFacts {
            external: bases.clone(),
            ..KeyFacts::default()
        };
        let keys = Keys::new(&stack, &key_facts);
        let mut facts = Facts::default();
        for number in reused {
            let keyed = keys.get(ImageId(*number)).expect("a known base");
            let digest = Digest::of(number.to_string().as_bytes());
            facts.stored.insert(keyed.key.clone(), digest);
        }
        let plan = Plan::new(&stack, &keys, &facts, &Request::default()).expect("a free tag");
        Planned { stack, plan, bases }
    }

    fn known() -> ExternalDigests {
        let debian = Reference::parse("debian:bookworm").expect("a reference");
        BTreeMap::from([(debian, Digest::of(b"debian"))])
    }

    /// `this run: 0`, or the pinned reference.
    fn source(planned: &Planned, number: usize) -> Option<String> {
        let Planned { stack, plan, bases } = planned;
        let source = base_source(stack, plan, bases, ImageId(number))?;
        Some(match source {
            BaseSource::ThisRun(id) => format!("this run: {}", id.0),
            BaseSource::Pinned(reference) => reference.to_string(),
            BaseSource::Scratch => "scratch".to_owned(),
        })
    }

    fn all_references(planned: &Planned) -> Vec<String> {
        let Planned { stack, plan, bases } = planned;
        let all = references(stack, plan, bases);
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_parent_to_build_is_the_base_from_this_run() {
        let planned = planned(&[], known());
        assert_eq!(source(&planned, 1).as_deref(), Some("this run: 0"));
        assert_eq!(source(&planned, 2).as_deref(), Some("this run: 1"));
    }

    #[test]
    fn a_reused_parent_is_pinned_in_staging() {
        let planned = planned(&[0], known());
        let staging = planned
            .stack
            .staging()
            .cloned()
            .expect("the registry has one");
        let digest = Digest::of(b"0");
        assert_eq!(source(&planned, 1), Some(format!("{staging}@{digest}")));
    }

    #[test]
    fn an_external_base_is_pinned_to_its_digest() {
        let found = source(&planned(&[], known()), 0).expect("it is known");
        assert!(
            found.ends_with(&format!("@{}", Digest::of(b"debian"))),
            "{found}"
        );
    }

    #[test]
    fn an_unknown_external_base_has_no_source() {
        let planned = planned(&[], ExternalDigests::new());
        assert_eq!(source(&planned, 0), None);
        assert_eq!(source(&planned, 1), None, "its parent is skipped");
    }

    #[test]
    fn only_pinned_bases_of_images_to_build_have_their_config_read() {
        assert_eq!(all_references(&planned(&[0, 1, 2], known())), [""; 0]);
        let external = planned(&[], known());
        assert_eq!(
            all_references(&external),
            [source(&external, 0).expect("known")]
        );
        let staged = planned(&[0], known());
        assert_eq!(
            all_references(&staged),
            [source(&staged, 1).expect("known")]
        );
    }
}
