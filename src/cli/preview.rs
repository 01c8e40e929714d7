//! Faults of images that show before anything is built: in the contexts of their Dockerfiles, and in the configs of their
//! external bases.

use std::collections::BTreeMap;

use super::Failure;
use super::context::{Context, platform_name};
use super::exit;
use crate::compile::{self, BaseConfig};
use crate::diagnostic::{Diagnostic, Severity};
use crate::event::{Event, Events};
use crate::gather::{self, Gathered, Needs};
use crate::name::{Digest, Reference};
use crate::plan::{Action, Plan};
use crate::registry::Registry;
use crate::stack::{Base, ImageId, Stack};

/// Whether findings of the policy that are certain before the build are faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyFindings {
    /// They are: nothing is built.
    Reported,
    /// The build reports them, with all others.
    Left,
}

/// Reads the configs of the external bases of all images to build and checks the images. Fails with all errors, and sends the
/// warnings. Without a registry, only the contexts of Dockerfiles are checked.
pub async fn check(
    context: &Context,
    registry: Option<&Registry>,
    (gathered, plan): (&Gathered, &Plan),
    findings: PolicyFindings,
    events: &Events,
) -> Result<(), Failure> {
    let stack = &context.stack;
    let is_built = |id: ImageId| matches!(plan.images[id.0].action, Action::Build { .. });
    let mut problems = missing_files(stack, is_built);
    let Some(registry) = registry else {
        if !problems.is_empty() {
            return Err(Failure::spec(stack.sources().as_ref().clone(), problems));
        }
        if plan.builds() {
            let text = "no registry was asked: what the configs of external bases forbid is found by the build";
            events.send(Event::Note {
                text: text.to_owned(),
            });
        }
        return Ok(());
    };
    let platform = platform_name();
    let needed = needed(stack, gathered, is_built);
    let found = gather::external_images(registry, needed, &platform).await;
    let bases: BTreeMap<Reference, BaseConfig> = found
        .configs
        .into_iter()
        .filter_map(|(reference, bytes)| Some((reference, BaseConfig::parse(&bytes).ok()?)))
        .collect();
    let others = &found.other_platforms;
    problems.extend(compile::missing_platforms(
        stack, others, &platform, is_built,
    ));
    problems.extend(compile::other_architectures(
        stack, &bases, &platform, is_built,
    ));
    problems.extend(compile::preview(stack, &bases, is_built));
    if findings == PolicyFindings::Reported {
        problems.extend(compile::starts_as_root(stack, &bases, is_built));
    }
    let is_error = |problem: &Diagnostic| problem.severity == Severity::Error;
    let (errors, warnings): (Vec<_>, Vec<_>) = problems.into_iter().partition(is_error);
    for warning in warnings {
        let text = exit::warning(stack.sources(), &warning);
        events.send(Event::Warning { text });
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::spec(stack.sources().as_ref().clone(), errors))
}

/// Returns the errors for files that Dockerfiles name and their contexts lack.
fn missing_files(stack: &Stack, is_built: impl Fn(ImageId) -> bool) -> Vec<Diagnostic> {
    let images = stack.images().iter().enumerate();
    let built = images.filter(|(number, _)| is_built(ImageId(*number)));
    let files = built.filter_map(|(_, image)| image.dockerfile());
    let missing = files.flat_map(|file| file.missing.values());
    let mut errors = Vec::new();
    for problem in missing.filter(|it| it.severity == Severity::Error) {
        // Images of several variants have the same Dockerfile.
        if !errors.contains(problem) {
            errors.push(problem.clone());
        }
    }
    errors
}

/// Returns the external images that are read: the bases at the bottom of images to build, and what these copy from or
/// mount.
fn needed(
    stack: &Stack,
    gathered: &Gathered,
    is_built: impl Fn(ImageId) -> bool,
) -> BTreeMap<Reference, (Digest, Needs)> {
    let mut needed = BTreeMap::new();
    let images = stack.images().iter().enumerate();
    for (number, image) in images.filter(|(number, _)| is_built(ImageId(*number))) {
        let used = image.external_images().into_iter();
        let used = used.map(|image| (&image.reference.value, Needs::Platform));
        let base = external_base(stack, ImageId(number)).map(|base| (base, Needs::Config));
        for (reference, needs) in used.chain(base) {
            if let Some(digest) = gathered.external.get(reference) {
                let entry = needed.entry(reference.clone());
                let (_, known) = entry.or_insert((digest.clone(), needs));
                if needs == Needs::Config {
                    *known = needs;
                }
            }
        }
    }
    needed
}

/// Returns the external image at the bottom of an image.
fn external_base(stack: &Stack, id: ImageId) -> Option<&Reference> {
    let lowest = stack.ancestors(id).last().unwrap_or(id);
    match &stack[lowest].base {
        Base::External(base) => Some(&base.reference.value),
        Base::Image(_) | Base::Scratch => None,
    }
}
