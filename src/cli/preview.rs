//! Faults of images that show in the configs of their external bases, before anything is built.

use std::collections::BTreeMap;

use super::Failure;
use super::context::{Context, platform_name};
use crate::compile::{self, BaseConfig};
use crate::diagnostic::{Diagnostic, Severity};
use crate::event::{Event, Events};
use crate::gather::{self, Gathered};
use crate::name::Reference;
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

/// Reads the configs of the external bases of all images to build and checks the images. Fails with all
/// errors, and sends the warnings.
pub async fn check(
    context: &Context,
    registry: Option<&Registry>,
    (gathered, plan): (&Gathered, &Plan),
    findings: PolicyFindings,
    events: &Events,
) -> Result<(), Failure> {
    let Some(registry) = registry else {
        if plan.builds() {
            let text = "no registry was asked: what the configs of external bases forbid is found by the build";
            events.send(Event::Note {
                text: text.to_owned(),
            });
        }
        return Ok(());
    };
    let stack = &context.stack;
    let is_built = |id: ImageId| matches!(plan.images[id.0].action, Action::Build { .. });
    let built = plan.images.iter().map(|planned| planned.id);
    let needed = built.filter(|id| is_built(*id)).filter_map(|id| {
        let reference = external_base(stack, id)?;
        let digest = gathered.external.get(reference)?;
        Some((reference.clone(), digest.clone()))
    });
    let found = gather::configs(registry, needed.collect(), &platform_name()).await;
    let bases: BTreeMap<Reference, BaseConfig> = found
        .into_iter()
        .filter_map(|(reference, bytes)| Some((reference, BaseConfig::parse(&bytes).ok()?)))
        .collect();
    let mut problems = compile::preview(stack, &bases, is_built);
    if findings == PolicyFindings::Reported {
        problems.extend(compile::starts_as_root(stack, &bases, is_built));
    }
    let is_error = |problem: &Diagnostic| problem.severity == Severity::Error;
    let (errors, warnings): (Vec<_>, Vec<_>) = problems.into_iter().partition(is_error);
    for warning in warnings {
        let text = match &warning.help {
            Some(help) => format!("{}; {help}", warning.message),
            None => warning.message.clone(),
        };
        events.send(Event::Warning { text });
    }
    if errors.is_empty() {
        return Ok(());
    }
    Err(Failure::spec(stack.sources().as_ref().clone(), errors))
}

/// Returns the external image at the bottom of an image.
fn external_base(stack: &Stack, id: ImageId) -> Option<&Reference> {
    let lowest = stack.ancestors(id).last().unwrap_or(id);
    match &stack[lowest].base {
        Base::External(base) => Some(&base.reference.value),
        Base::Image(_) | Base::Scratch => None,
    }
}
