//! The answer of `build --dry-run` and `test --dry-run`: the plan, and the tags images would get.

use serde_json::json;

use crate::build::Options;
use crate::cli::context::Context;
use crate::cli::plan::{self as plan_command, PlanDocument};
use crate::cli::{Answer, Exit};
use crate::gather::Gathered;
use crate::plan::{Action, Plan};
use crate::table;

/// Returns the plan as text and JSON, with `dry_run`.
pub(super) fn answer(
    context: &Context,
    gathered: &Gathered,
    plan: &Plan,
    options: &Options,
) -> Answer {
    let mut json = json!(PlanDocument::new(context, gathered, plan));
    json["dry_run"] = json!(true);
    let images = plan.images.iter();
    let images = images.filter(|planned| planned.is_part_of(&options.request));
    let mut text = table::plain(&plan_command::HEADERS, &plan_command::rows(images));
    text.push_str(&format!("\n{}\n", plan_command::count(plan)));
    if options.push {
        text.push_str(&tags(context, gathered, plan));
    }
    Answer::new(Exit::Done, json, text)
}

/// Returns a line for each immutable tag of the plan.
fn tags(context: &Context, gathered: &Gathered, plan: &Plan) -> String {
    let mut text = String::new();
    for planned in &plan.images {
        let repository = context.stack[planned.id].repository.as_ref();
        let is_skipped = matches!(planned.action, Action::Hold { .. });
        let Some(repository) = repository.filter(|_| !is_skipped) else {
            continue;
        };
        for tag in &planned.tags {
            let name = (repository.clone(), tag.clone());
            let is_tagged = gathered.facts.tags.get(&name).is_some_and(Option::is_some);
            let state = if is_tagged {
                "is tagged already"
            } else {
                "would be tagged"
            };
            text.push_str(&format!("{repository}:{tag} {state}\n"));
        }
    }
    text
}
