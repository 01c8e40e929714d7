//! `laminate plan`, and how an image of a plan is shown, which `build` and `why` also use.

mod shown;

pub use shown::{HEADERS, count, refused_changes, rows};

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, PlanArgs};
use super::build::REGISTRY_HELP;
use super::context::{self, Context};
use super::preview::{self, PolicyFindings};
use super::{Answer, Exit, Failure, document, summary};
use crate::checkout::Checkout;
use crate::diagnostic::nearest;
use crate::event::{Event, Events};
use crate::gather::Gathered;
use crate::list;
use crate::name::{Commit, Digest};
use crate::plan::{self, Action, Plan, Planned, Request};
use crate::registry::Registry;
use crate::release::Channel;
use crate::release::gates::{self, CHECKS, Source, SpecGates};
use crate::stack::{Base, ImageId, ImageSource, expanded};
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
        rows(&plan)
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
    if !global.json {
        let text = shown::text(&context, &plan, &gathered.facts);
        return Ok(Answer::new(exit, Value::Null, text));
    }
    let stream = move |out: &mut dyn Write| {
        let document = PlanDocument::new(&context, &gathered, &plan);
        document::write(&document, out)
    };
    Ok(Answer::streamed(exit, Box::new(stream)))
}

/// Returns the labels of images without a cache key: whether they are up to date is unknown.
fn unknown_images(plan: &Plan) -> Vec<&str> {
    let unknown = plan.images.iter().filter(|planned| planned.keyed.is_none());
    unknown.map(|planned| planned.label.as_str()).collect()
}

/// The document of `laminate plan --json` (`docs/json.md`).
#[derive(Serialize)]
pub struct PlanDocument<'a> {
    stack: &'a str,
    commit: Option<&'a Commit>,
    compared_with: Option<&'a Commit>,
    dirty: Option<bool>,
    images: Images<'a>,
    gates: Vec<Value>,
}

impl<'a> PlanDocument<'a> {
    /// Returns the document of a plan.
    pub fn new(context: &'a Context, gathered: &'a Gathered, plan: &'a Plan) -> Self {
        let facts = &gathered.facts;
        let gates = uncovered(context).into_iter().map(|silence| {
            json!({
                "channel": silence.channel, "gate": silence.gate,
                "says_nothing_about": silence.images,
            })
        });
        Self {
            stack: context.stack.name().as_str(),
            commit: facts.commit(),
            compared_with: facts.released_commit.as_ref(),
            dirty: facts.checkout.as_ref().map(Checkout::is_dirty),
            images: Images(context, gathered, plan),
            gates: gates.collect(),
        }
    }
}

/// The images of a plan. Each is made when it is written.
struct Images<'a>(&'a Context, &'a Gathered, &'a Plan);

impl Serialize for Images<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(context, gathered, plan) = self;
        let images = plan.images.iter();
        serializer.collect_seq(images.map(|planned| image(context, gathered, planned)))
    }
}

/// Returns the keys that an image has in the documents of `plan`, `build` and `why`.
pub fn image(context: &Context, gathered: &Gathered, planned: &Planned) -> Value {
    let stack = &context.stack;
    let image = &stack[planned.id];
    let mut value = json!({
        "image": image.name.value.as_str(),
        "variant": stack.variants()[image.variant].name.as_ref().map(|name| name.as_str()),
        "action": action(&planned.action),
        "key": planned.keyed.as_ref().map(|keyed| keyed.key.as_str()),
        "repository": image.repository.as_ref().map(ToString::to_string),
        "tags": planned.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "base": match &image.base {
            Base::Image(parent) => json!({ "image": stack[*parent].name.value.as_str() }),
            Base::External(base) => json!({
                "reference": base.reference.value.to_string(),
                "digest": gathered.external.get(&base.reference.value).map(Digest::as_str),
            }),
            Base::Scratch => Value::Null,
        },
        "copies": used(gathered, image.copy_sources()),
        "mounts": used(gathered, image.mounted_images()),
        "kept_steps": planned.kept.as_ref().map_or(0, |kept| kept.steps),
    });
    let run = |known: bool| if known { "known" } else { "run" };
    let proofs = &planned.proofs;
    value["proofs"] = json!({
        "suites": proofs.suites.iter().zip(&image.proof.suites).map(|(planned, suite)| json!({
            "suite": planned.name,
            "from": suite.from.as_ref().map(ToString::to_string),
            "key": planned.verdict.key.as_str(),
            "action": run(planned.verdict.known.is_some()),
            "why": planned.verdict.why.map(|why| why.to_string()),
        })).collect::<Vec<_>>(),
        "checks": proofs.checks.as_ref().map(|checks| run(checks.known.is_some())),
        "info": image.proof.info.iter().zip(&proofs.info).map(|(command, planned)| json!({
            "name": command.name, "action": run(planned.known.is_some()),
        })).collect::<Vec<_>>(),
    });
    match &planned.action {
        Action::Build { reasons } => value["reasons"] = json!(reasons),
        Action::Reuse { digest } => {
            value["digest"] = json!(digest.as_str());
            value["reasons"] = json!([]);
        }
        Action::Hold { because } => {
            value["because"] = json!(because.to_string());
            value["reasons"] = json!([]);
        }
    }
    value
}

/// Returns images that an image copies from or mounts, with their digests.
fn used(gathered: &Gathered, sources: BTreeMap<String, &ImageSource>) -> Vec<Value> {
    let sources = sources.into_iter();
    let copies = sources.map(|(name, source)| match source {
        ImageSource::InStack(_) => json!({ "image": name }),
        ImageSource::External(image) => json!({
            "reference": name,
            "digest": gathered.external.get(&image.reference.value).map(Digest::as_str),
        }),
    });
    copies.collect()
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

/// Returns the value of `action` in JSON.
fn action(action: &Action) -> &'static str {
    match action {
        Action::Build { .. } => "build",
        Action::Reuse { .. } => "reuse",
        Action::Hold { .. } => "hold",
    }
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
