//! `laminate plan`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, PlanArgs};
use super::context::{self, Context};
use super::{Answer, Exit, Failure, summary};
use crate::event::Events;
use crate::gather::Gathered;
use crate::name::Digest;
use crate::plan::{self, Action, Planned, Request};
use crate::report::table;
use crate::stack::{Base, ImageId};

pub async fn run(
    global: &Global,
    args: &PlanArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let context = context::load(global)?;
    if let Some(name) = &args.expand {
        return expand(&context, name);
    }
    let request = Request {
        retest: Default::default(),
        selected: context.select(&args.images)?,
        no_reuse: false,
    };
    let registry = context::registry_unless(args.offline)?;
    let gathered = context
        .gather(
            registry.as_ref(),
            &request,
            &BTreeSet::new(),
            events,
            cancel,
        )
        .await?;
    let json = json(&context, &gathered);
    summary::plan(&context, &gathered)?;
    let exit = match gathered.plan.builds() {
        true => Exit::Difference,
        false => Exit::Done,
    };
    Ok(Answer::new(exit, json, text(&gathered)))
}

/// The document of interface.md.
pub fn json(context: &Context, gathered: &Gathered) -> Value {
    let images: Vec<Value> = gathered
        .plan
        .images
        .iter()
        .map(|planned| image(context, gathered, planned))
        .collect();
    json!({
        "stack": context.stack.name.as_str(),
        "commit": gathered.facts.commit.as_ref().map(|commit| &commit.hash),
        "dirty": gathered.facts.commit.as_ref().map(|commit| commit.dirty),
        "images": images,
    })
}

/// What is said of an image whether planned or built.
pub fn image(context: &Context, gathered: &Gathered, planned: &Planned) -> Value {
    let stack = &context.stack;
    let image = &stack.images[planned.id.0];
    let mut value = json!({
        "image": image.name.value.as_str(),
        "variant": stack.variants[image.variant].name.as_ref().map(|name| name.as_str()),
        "action": action(&planned.action),
        "key": planned.keyed.as_ref().map(|keyed| keyed.key.as_str()),
        "repository": image.repository.as_ref().map(ToString::to_string),
        "tags": planned.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "base": match &image.base {
            Base::Image(parent) => json!({ "image": stack.images[parent.0].name.value.as_str() }),
            Base::Outside(base) => json!({
                "reference": base.reference.value.to_string(),
                "digest": gathered.bases.get(&base.reference.value).map(Digest::as_str),
            }),
        },
    });
    match &planned.action {
        Action::Build { reasons } => value["reasons"] = json!(reasons),
        Action::Reuse { digest } => {
            value["digest"] = json!(digest.as_str());
            value["reasons"] = json!([]);
        }
        Action::Hold { because } => {
            value["because"] = json!(because);
            value["reasons"] = json!([]);
        }
    }
    value
}

fn action(action: &Action) -> &'static str {
    match action {
        Action::Build { .. } => "build",
        Action::Reuse { .. } => "reuse",
        Action::Hold { .. } => "hold",
    }
}

/// A row an image: name, what is done, why.
pub fn rows(gathered: &Gathered) -> Vec<Vec<String>> {
    gathered
        .plan
        .images
        .iter()
        .map(|planned| {
            let why = match &planned.action {
                Action::Build { reasons } => {
                    let texts: Vec<&str> = reasons.iter().map(|r| r.text.as_str()).collect();
                    texts.join("; ")
                }
                Action::Reuse { digest } => format!("unchanged, {}", short(digest)),
                Action::Hold { because } => because.clone(),
            };
            vec![
                planned.label.clone(),
                action(&planned.action).to_owned(),
                why,
            ]
        })
        .collect()
}

/// The first 12 digits of a digest.
pub fn short(digest: &Digest) -> &str {
    &digest.hex()[..12]
}

/// `2 images to build, 3 to reuse`.
pub fn count(gathered: &Gathered) -> String {
    let (mut build, mut reuse, mut hold) = (0, 0, 0);
    for planned in &gathered.plan.images {
        match planned.action {
            Action::Build { .. } => build += 1,
            Action::Reuse { .. } => reuse += 1,
            Action::Hold { .. } => hold += 1,
        }
    }
    let mut text = match (build, reuse) {
        (0, _) => format!("nothing to build, {reuse} to reuse"),
        (1, _) => format!("1 image to build, {reuse} to reuse"),
        _ => format!("{build} images to build, {reuse} to reuse"),
    };
    if hold > 0 {
        text.push_str(&format!(", {hold} held"));
    }
    text
}

fn text(gathered: &Gathered) -> String {
    let mut text = table::plain(&["IMAGE", "ACTION", "WHY"], &rows(gathered));
    text.push_str(&format!("\n{}\n", count(gathered)));
    let mut tags: Vec<String> = gathered
        .plan
        .images
        .iter()
        .filter(|planned| !matches!(planned.action, Action::Hold { .. }))
        .flat_map(|planned| planned.tags.iter().map(ToString::to_string))
        .collect();
    tags.sort();
    tags.dedup();
    if !tags.is_empty() {
        text.push_str(&format!("tags: {}\n", tags.join(", ")));
    }
    if gathered.facts.attempt > 1 {
        text.push_str(
            "the plain tags are on other images already, so the whole release gets a suffix\n",
        );
    }
    text
}

/// The steps an image comes to, each as YAML's inline form.
fn expand(context: &Context, name: &str) -> Result<Answer, Failure> {
    let selected = context.select(&[name.to_owned()])?.unwrap_or_default();
    let mut text = String::new();
    let mut list = Vec::new();
    for ImageId(index) in selected {
        let image = &context.stack.images[index];
        let label = plan::label(&context.stack, image);
        text.push_str(&format!("# {label}\nsteps:\n"));
        let mut steps = Vec::new();
        for step in &image.steps {
            let value = plan::expand(step);
            text.push_str(&format!("  # {}\n  - {value}\n", step.title));
            steps.push(json!({ "title": step.title, "step": value }));
        }
        list.push(json!({ "image": label, "steps": steps }));
    }
    Ok(Answer::new(Exit::Done, json!({ "images": list }), text))
}
