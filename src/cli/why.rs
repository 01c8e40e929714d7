//! `laminate why IMAGE`.

use std::collections::BTreeSet;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::args::{Global, WhyArgs};
use super::{Answer, Exit, Failure, context, plan as plan_command};
use crate::event::Events;
use crate::plan::{Action, Request, label};
use crate::stack::Base;

pub async fn run(
    global: &Global,
    args: &WhyArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let context = context::load(global)?;
    let wanted = context
        .select(std::slice::from_ref(&args.image))?
        .unwrap_or_default();
    let registry = context::registry_unless(args.offline)?;
    let gathered = context
        .gather(
            registry.as_ref(),
            &Request::default(),
            &BTreeSet::new(),
            events,
            cancel,
        )
        .await?;
    let stack = &context.stack;
    let mut text = String::new();
    let mut list = Vec::new();
    for id in wanted {
        let planned = &gathered.plan.images[id.0];
        match &planned.action {
            Action::Build { reasons } => {
                text.push_str(&format!("{} is to be built:\n", planned.label));
                for reason in reasons {
                    text.push_str(&format!("  - {}\n", reason.text));
                }
            }
            Action::Reuse { digest } => {
                text.push_str(&format!(
                    "{} is reused: nothing it is made from changed\n",
                    planned.label
                ));
                text.push_str(&format!("  digest {digest}\n"));
            }
            Action::Hold { because } => {
                text.push_str(&format!("{} is held: {because}\n", planned.label));
            }
        }
        let mut lineage = Vec::new();
        let mut base = &stack.images[id.0].base;
        loop {
            match base {
                Base::Image(parent) => {
                    lineage.push(label(stack, &stack.images[parent.0]));
                    base = &stack.images[parent.0].base;
                }
                Base::Outside(outside) => {
                    let reference = &outside.reference.value;
                    let digest = gathered.bases.get(reference);
                    let digest = digest.map(|d| format!("@{}", plan_command::short(d)));
                    lineage.push(format!("{reference}{}", digest.unwrap_or_default()));
                    break;
                }
            }
        }
        text.push_str(&format!("  stands on {}\n", lineage.join(" → ")));
        if let Some(keyed) = &planned.keyed {
            text.push_str(&format!("  key {}\n  made from:\n", keyed.key));
            for component in &keyed.components {
                let kind = json!(component.kind);
                let kind = kind.as_str().unwrap_or_default();
                text.push_str(&format!(
                    "    {kind:<9} {}  {}\n",
                    component.what, component.value
                ));
            }
        }
        let mut value = plan_command::image(&context, &gathered, planned);
        value["lineage"] = json!(lineage);
        value["components"] = json!(planned.keyed.as_ref().map(|keyed| &keyed.components));
        list.push(value);
    }
    Ok(Answer::new(Exit::Done, json!({ "images": list }), text))
}
