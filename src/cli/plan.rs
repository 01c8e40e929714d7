//! `laminate plan`, and how an image of a plan is shown, which `build` and `why` also use.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, PlanArgs};
use super::build::REGISTRY_HELP;
use super::context::{self, Context};
use super::preview::{self, PolicyFindings};
use super::{Answer, Exit, Failure, summary};
use crate::checkout::{Checkout, listed};
use crate::diagnostic::nearest;
use crate::event::{Event, Events};
use crate::gather::Gathered;
use crate::name::{Commit, Digest};
use crate::plan::{self, Action, HoldReason, Plan, Planned, Proofs, Request};
use crate::registry::Registry;
use crate::release::Channel;
use crate::release::gates::{self, CHECKS, Source, SpecGates};
use crate::stack::{Base, ImageId, ImageSource, expanded};
use crate::staging::Staging;
use crate::table;

/// Plans, and returns the plan or the steps of one image.
pub async fn run(
    global: &Global,
    args: &PlanArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let context = context::load(global).await?;
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
    let (document, text) = if global.json {
        (json(&context, &gathered, &plan), String::new())
    } else {
        let compared = gathered.facts.released_commit.as_ref();
        let refused = refused_changes(&gathered);
        (Value::Null, text(&context, &plan, compared, refused))
    };
    let name = context.stack.name().as_str();
    let heading = format!("{name}: {}", count(&plan));
    summary::add_table(&heading, &["image", "action", "runs", "why"], || {
        rows(&plan)
    })?;
    let unknown = unknown_images(&plan);
    if !unknown.is_empty() {
        let text = format!(
            "it is unknown whether {} must be built: no registry was asked for the digests of external images; `laminate lock` pins them",
            unknown.join(", ")
        );
        events.send(Event::Warning { text });
    }
    let exit = if plan.builds() || plan.proves() || !unknown.is_empty() {
        Exit::Difference
    } else {
        Exit::Done
    };
    Ok(Answer::new(exit, document, text))
}

/// Returns the labels of images without a cache key: whether they are up to date is unknown.
fn unknown_images(plan: &Plan) -> Vec<&str> {
    let unknown = plan.images.iter().filter(|planned| planned.keyed.is_none());
    unknown.map(|planned| planned.label.as_str()).collect()
}

/// Returns the document of `laminate plan --json` (`docs/json.md`).
pub fn json(context: &Context, gathered: &Gathered, plan: &Plan) -> Value {
    let images = plan.images.iter();
    let images = images.map(|planned| image(context, gathered, planned));
    let mut document = json!({
        "stack": context.stack.name().as_str(),
        "commit": gathered.facts.commit(),
        "compared_with": gathered.facts.released_commit,
        "dirty": gathered.facts.checkout.as_ref().map(Checkout::is_dirty),
        "images": null,
        "gates": uncovered(context)
            .iter()
            .map(|silence| json!({
                "channel": silence.channel, "gate": silence.gate,
                "says_nothing_about": silence.images,
            }))
            .collect::<Vec<_>>(),
    });
    // `json!` copies each value that it is given.
    document["images"] = Value::Array(images.collect());
    document
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
            "why": planned.why,
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
    gates::uncovered(&context.stack, &SpecGates::new(&context.stack))
}

/// Returns a warning for each gate that is probably a misspelled suite: it would need evidence from
/// outside. A gate that has such evidence is not misspelled.
async fn slips(
    context: &Context,
    registry: Option<&Registry>,
    plan: &Plan,
) -> Result<Vec<String>, Failure> {
    let spec = SpecGates::new(&context.stack);
    let mut list = Vec::new();
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

/// Returns the action for people.
fn action_shown(action: &Action) -> &'static str {
    match action {
        Action::Build { .. } => "build",
        Action::Reuse { .. } => "reuse",
        Action::Hold {
            because: HoldReason::UnknownImages(_),
        } => "unknown",
        Action::Hold {
            because: HoldReason::NotSelected,
        } => "skip",
    }
}

/// Headers of the columns of [`rows`].
pub const HEADERS: [&str; 4] = ["IMAGE", "ACTION", "RUNS", "WHY"];

/// Returns a row for each image: its name, the action, what runs on it, and why.
pub fn rows(plan: &Plan) -> Vec<Vec<String>> {
    plan.images
        .iter()
        .map(|planned| {
            let why = match &planned.action {
                Action::Build { reasons } => {
                    let texts: Vec<&str> = reasons.iter().map(|r| r.text.as_str()).collect();
                    texts.join("; ")
                }
                Action::Reuse { digest } => format!("up to date, {}", digest.short()),
                Action::Hold { because } => because.to_string(),
            };
            vec![
                planned.label.clone(),
                action_shown(&planned.action).to_owned(),
                proofs(&planned.proofs),
                why,
            ]
        })
        .collect()
}

/// Returns what runs on an image, as in `3 suites, checks, info`; empty if all results are known.
fn proofs(proofs: &Proofs) -> String {
    let suites = proofs
        .suites
        .iter()
        .filter(|suite| suite.verdict.known.is_none());
    let mut parts = Vec::new();
    match suites.count() {
        0 => {}
        1 => parts.push("1 suite".to_owned()),
        n => parts.push(format!("{n} suites")),
    }
    if proofs
        .checks
        .as_ref()
        .is_some_and(|checks| checks.known.is_none())
    {
        parts.push("checks".to_owned());
    }
    if proofs.info.iter().any(|info| info.known.is_none()) {
        parts.push("info".to_owned());
    }
    parts.join(", ")
}

/// Returns how many images have which action, as in `2 images to build, 3 up to date`.
pub fn count(plan: &Plan) -> String {
    counts(plan.images.iter().map(|planned| &planned.action))
}

fn counts<'a>(actions: impl Iterator<Item = &'a Action>) -> String {
    let (mut build, mut reuse, mut unknown, mut skip) = (0, 0, 0, 0);
    for action in actions {
        *match action {
            Action::Build { .. } => &mut build,
            Action::Reuse { .. } => &mut reuse,
            Action::Hold {
                because: HoldReason::UnknownImages(_),
            } => &mut unknown,
            Action::Hold {
                because: HoldReason::NotSelected,
            } => &mut skip,
        } += 1;
    }
    let mut text = match build {
        0 if unknown == 0 => "nothing to build".to_owned(),
        1 => "1 image to build".to_owned(),
        n => format!("{n} images to build"),
    };
    text.push_str(&format!(", {reuse} up to date"));
    for (number, word) in [(unknown, "unknown"), (skip, "skipped")] {
        if number > 0 {
            text.push_str(&format!(", {number} {word}"));
        }
    }
    text
}

/// Returns that `build --push` refuses to tag images because of uncommitted changes; `None` if there are none.
pub fn refused_changes(gathered: &Gathered) -> Option<String> {
    let checkout = gathered.facts.checkout.as_ref();
    let checkout = checkout.filter(|checkout| checkout.is_dirty())?;
    let changes = listed(&checkout.changes, 2);
    Some(format!(
        "`build --push` refuses to tag uncommitted changes: {changes}"
    ))
}

/// Returns the plan for people.
fn text(
    context: &Context,
    plan: &Plan,
    compared: Option<&Commit>,
    refused: Option<String>,
) -> String {
    let mut text = table::plain(&HEADERS, &rows(plan));
    text.push_str(&format!("\n{}\n", count(plan)));
    if let Some(commit) = compared.filter(|_| plan.builds()) {
        let short = commit.short();
        text.push_str(&format!("compared with the release of commit {short}\n"));
    }
    let mut tags: Vec<String> = plan
        .images
        .iter()
        .filter(|planned| !matches!(planned.action, Action::Hold { .. }))
        .flat_map(|planned| planned.tags.iter().map(ToString::to_string))
        .collect();
    tags.sort();
    tags.dedup();
    if !tags.is_empty() {
        text.push_str(&format!("tags: {}\n", tags.join(", ")));
        text.extend(refused.map(|refused| format!("{refused}\n")));
    }
    for planned in &plan.images {
        for suite in &planned.proofs.suites {
            // A new image is always tested, so that needs no reason.
            if let (Some(why), Action::Reuse { .. }) = (&suite.why, &planned.action) {
                text.push_str(&format!("{} test {}: {why}\n", planned.label, suite.name));
            }
        }
    }
    for silence in uncovered(context) {
        text.push_str(&format!(
            "gate `{}` of channel `{}` does not cover {}\n",
            silence.gate,
            silence.channel,
            silence.images.join(", ")
        ));
    }
    if plan.attempt > 1 {
        text.push_str(
            "these tags have a suffix, because the tags without it are already on other images\n",
        );
    }
    text
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
    use super::*;
    use crate::name::Reference;

    #[test]
    fn actions_are_counted() {
        let build = Action::Build {
            reasons: Vec::new(),
        };
        let reuse = Action::Reuse {
            digest: Digest::of(b"a"),
        };
        let skip = Action::Hold {
            because: HoldReason::NotSelected,
        };
        let images = vec![Reference::parse("debian:12").expect("a reference")];
        let unknown = Action::Hold {
            because: HoldReason::UnknownImages(images),
        };
        let counted = |actions: &[&Action]| counts(actions.iter().copied());
        assert_eq!(counted(&[&reuse]), "nothing to build, 1 up to date");
        assert_eq!(counted(&[&build]), "1 image to build, 0 up to date");
        assert_eq!(
            counted(&[&build, &build, &reuse, &skip]),
            "2 images to build, 1 up to date, 1 skipped"
        );
        // Whether it must be built is unknown, so that it is not "nothing".
        assert_eq!(
            counted(&[&unknown, &skip]),
            "0 images to build, 0 up to date, 1 unknown, 1 skipped"
        );
        assert_eq!(action_shown(&unknown), "unknown");
    }

    #[test]
    fn a_skipped_image_keeps_its_json_value() {
        let because = HoldReason::NotSelected;
        let hold = Action::Hold { because };
        assert_eq!((action(&hold), action_shown(&hold)), ("hold", "skip"));
    }

    #[test]
    fn an_image_with_nothing_to_run_has_an_empty_cell() {
        assert_eq!(proofs(&Proofs::default()), "");
    }
}
