//! `laminate plan`, and how an image of a plan is shown, which `build` and `why` also use.

mod records;
mod shown;

pub use records::{PlanDocument, image};
pub use shown::{HEADERS, count, refused_changes, rows};

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::mem::ManuallyDrop;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, PlanArgs};
use super::build::REGISTRY_HELP;
use super::context::{self, Context};
use super::preview::{self, PolicyFindings};
use super::{Answer, Exit, Failure, document, summary};
use crate::diagnostic::nearest;
use crate::event::{Event, Events};
use crate::list;
use crate::name::Digest;
use crate::plan::{self, Action, Plan, Request};
use crate::registry::Registry;
use crate::release::Channel;
use crate::release::gates::{self, CHECKS, Source, SpecGates};
use crate::stack::{ImageId, expanded};
use crate::staging::Staging;

/// Plans, and returns the plan or the steps of one image.
pub async fn run(
    global: &Global,
    args: &PlanArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let context = context::load_to_plan(global).await?;
    if let Some(name) = &args.expand {
        return expand(&context, name);
    }
    let request = Request {
        selected: context.select(&args.images)?,
        no_reuse: false,
        ..Request::default()
    };
    context.check_ca(global)?;
    let registry = context::registry_unless(args.offline, events, cancel)?;
    let (gathered, plan) = context
        .plan(registry.as_ref(), &request, events, cancel)
        .await?;
    Context::note_unlocked(&gathered, events);
    let planned = (&gathered, &plan);
    let findings = PolicyFindings::Reported;
    preview::check(&context, registry.as_ref(), planned, findings, events).await?;
    if plan.builds() && context.stack.registry().is_none() {
        let text = format!("`build` needs a registry that it can write to: {REGISTRY_HELP}");
        events.send(Event::Warning { text });
    }
    for text in slips(&context, registry.as_ref(), &plan).await? {
        events.send(Event::Warning { text });
    }
    let name = context.stack.name().as_str();
    let heading = format!("{name}: {}", count(&plan));
    summary::add_table(&heading, &["image", "action", "runs", "why"], || {
        rows(&plan.images)
    })?;
    let unknown = unknown_images(&plan);
    if !unknown.is_empty() {
        let text = format!(
            "it is unknown whether {} must be built: no registry was asked for the digests of external images; `laminate lock` pins them",
            list::of(&unknown)
        );
        events.send(Event::Warning { text });
    }
    let exit = if plan.builds() || plan.proves() || !unknown.is_empty() {
        Exit::Difference
    } else {
        Exit::Done
    };
    // The process ends with the answer. To free a stack of 10,000 images before that takes 40 ms.
    let planned = ManuallyDrop::new((context, gathered, plan));
    if !global.json {
        let (context, gathered, plan) = &*planned;
        let text = shown::text(context, plan, &gathered.facts);
        return Ok(Answer::new(exit, Value::Null, text));
    }
    let stream = move |out: &mut dyn Write| {
        let (context, gathered, plan) = &*planned;
        document::write(&PlanDocument::new(context, gathered, plan), out)
    };
    Ok(Answer::streamed(exit, Box::new(stream)))
}

/// Returns the labels of images without a cache key: whether they are up to date is unknown.
fn unknown_images(plan: &Plan) -> Vec<&str> {
    let unknown = plan.images.iter().filter(|planned| planned.keyed.is_none());
    unknown.map(|planned| planned.label.as_str()).collect()
}

/// Returns the images that gates do not cover.
fn uncovered(context: &Context) -> Vec<gates::Uncovered<'_>> {
    if context.stack.channels().is_empty() {
        return Vec::new();
    }
    gates::uncovered(&context.stack, &SpecGates::new(&context.stack))
}

/// Returns a warning for each gate that is probably a misspelled suite: it would need evidence from
/// outside. A gate that has such evidence is not misspelled.
async fn slips(
    context: &Context,
    registry: Option<&Registry>,
    plan: &Plan,
) -> Result<Vec<String>, Failure> {
    let mut list = Vec::new();
    if context.stack.channels().is_empty() {
        return Ok(list);
    }
    let spec = SpecGates::new(&context.stack);
    for channel in context.stack.channels() {
        for gate in &channel.gates {
            if matches!(spec.source(&gate.name), Source::Run) {
                continue;
            }
            let Some(near) = nearest(&gate.name, spec.suites().chain([CHECKS])) else {
                continue;
            };
            if let (Some(registry), Some(staging)) = (registry, context.stack.staging()) {
                let staging = &Staging::new(registry, staging);
                let ledger = Channel {
                    staging,
                    name: &channel.name,
                };
                let current = ledger.current().await?;
                let there = current.into_iter().flat_map(|(_, entry)| entry.images);
                let there = there.map(|step| step.new);
                let planned = plan.images.iter();
                let planned = planned.filter_map(|planned| match &planned.action {
                    Action::Reuse { digest } => Some(digest.clone()),
                    _ => None,
                });
                let digests: BTreeSet<Digest> = there.chain(planned).collect();
                let found = staging.verdicts(&gate.name, &digests).await?;
                if found.iter().any(Option::is_some) {
                    continue;
                }
            }
            list.push(format!(
                "gate `{}` of channel `{}` is not a suite, so it requires evidence from outside (did you mean `{near}`?)",
                gate.name, channel.name
            ));
        }
    }
    Ok(list)
}

/// Returns the spec of the images that `name` selects, written out: for each variant one document.
fn expand(context: &Context, name: &str) -> Result<Answer, Failure> {
    let stack = &context.stack;
    let selected = if name.is_empty() {
        None
    } else {
        context.select(&[name.to_owned()])?
    };
    let mut variants: BTreeMap<usize, BTreeSet<ImageId>> = BTreeMap::new();
    let mut list = Vec::new();
    for id in selected.unwrap_or_else(|| stack.ids().collect()) {
        let image = &stack[id];
        variants.entry(image.variant).or_default().insert(id);
        let steps = image.steps.iter();
        let steps = steps.map(|step| json!({ "title": step.title, "step": plan::expand(step) }));
        list.push(json!({ "image": stack.label(id), "steps": steps.collect::<Vec<_>>() }));
    }
    let mut texts = Vec::new();
    let mut specs = Vec::new();
    for (variant, ids) in variants {
        let spec = expanded(stack, &ids);
        let name = stack.variants()[variant].name.as_ref();
        let heading = name.map(|name| format!("# variant {name}\n"));
        texts.push(heading.unwrap_or_default() + &super::yaml(&spec));
        specs.push(spec);
    }
    let json = json!({ "images": list, "specs": specs });
    Ok(Answer::new(Exit::Done, json, texts.join("---\n")))
}

#[cfg(test)]
mod tests {
    use super::records::action;
    use super::shown::action_shown;
    use super::*;
    use crate::plan::HoldReason;

    #[test]
    fn a_skipped_image_keeps_its_json_value() {
        let because = HoldReason::NotSelected;
        let hold = Action::Hold { because };
        assert_eq!((action(&hold), action_shown(&hold)), ("hold", "skip"));
    }
}
