//! Carries out what a plan builds: one solve for all of it.
//!
//! [`run`] builds each image when its base is there, proves it, and returns all that were built as one
//! result. Called by `build`; tags nothing.

mod base;
mod context;
mod dockerfile;
mod drive;
mod export;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod image;
mod interactive;
mod listed;
mod manifests;
mod names;
mod options;
mod outcome;
mod programs;
mod prove;
mod results;
mod schedule;
mod track;
mod tree;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use context::Context;
use drive::drive;
pub use interactive::{Command, Interactive, Place, STEP_NAMES, StepName, step_number, steps_help};
pub use manifests::{Manifests, PushManifests};
pub use options::Options;
use outcome::StopReason;
pub use outcome::{FailedProcess, ImageError, Outcome, Proven, Report};
pub use results::Results;
pub use schedule::leaders;
use schedule::{Entry, Schedule, State};
use track::Tracker;

use crate::buildkit::{self, Client, Export, Solved};
use crate::compile::CA_SECRET;
use crate::event::Events;
use crate::mask::Mask;
use crate::name::Digest;
use crate::plan::{Action, Plan};
use crate::stack::{ImageId, Stack};

/// Returns the mask for the secrets of a run; its certificates are none.
fn mask(options: &Options) -> Mask {
    let secrets = options.services.secrets.iter();
    let secrets = secrets.filter(|(id, _)| *id != CA_SECRET);
    Mask::new(secrets.map(|(_, value)| value.as_slice()))
}

/// Builds and proves what the plan has to, in one request. An image that fails stops its descendants;
/// the others go on. The error is of the run as a whole: no engine, a failed export, interrupted.
pub async fn run(
    client: &Client,
    stack: &Stack,
    plan: &Plan,
    options: &Options,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Report, buildkit::Error> {
    let schedule = Schedule::new(entries(stack, plan), options.fail_fast);
    let numbers: BTreeMap<ImageId, usize> = schedule.order().zip(0..).collect();
    let request = export::request(options, numbers.len(), plan.builds());
    let tracker = Arc::new(Tracker::new(events.clone(), mask(options)));
    let watcher = tracker.clone();
    let variants: BTreeMap<String, ImageId> = (numbers.iter())
        .map(|(id, number)| (export::variant(*number), *id))
        .collect();
    let solved = buildkit::solve(
        client,
        request,
        move |updates| watcher.update(updates),
        cancel,
        |gateway| async {
            let context = Context::new(stack, plan, options, events, tracker.clone(), gateway);
            let done = drive(&context, schedule).await?;
            let process = match &options.interactive {
                None => None,
                Some(interactive) => interactive::start(&context, &done, interactive)
                    .await
                    .map_or_else(StopReason::into_image_error, |ended| Ok(ended.map(Ok)))?,
            };
            let images = done
                .built
                .iter()
                .map(|(id, image)| (numbers[id], *id, image));
            let returned = export::returned(&context, images);
            // Without images to build, an empty result ends the solve well.
            let exports = !returned.refs.is_empty() || !plan.builds();
            Ok(buildkit::Built {
                returned: exports.then_some(returned),
                value: (done, process),
            })
        },
        async |exported| {
            let push = options.push_manifests.as_ref()?;
            let manifests = Manifests::read(&exported, &variants).await?;
            push(manifests.clone()).await.then_some(manifests)
        },
    )
    .await;
    let Solved {
        export,
        value: (value, process),
    } = solved?;
    tracker.end();
    let (index, manifests) = match export {
        Export::TakenOver(manifests) => (Some(manifests.index.digest.clone()), Some(manifests)),
        Export::Done { .. } if value.built.is_empty() || options.interactive.is_some() => {
            (None, None)
        }
        Export::Done { response } => (Some(index(&response)?), None),
    };
    let exported = value
        .built
        .keys()
        .map(|id| (export::variant(numbers[id]), *id));
    Ok(Report {
        index,
        manifests,
        exported: exported.collect(),
        images: outcomes(plan, &tracker, &value.schedule, value.errors),
        lists: value.lists,
        process,
        solves: 1,
    })
}

/// Returns the digest of the index that was exported.
fn index(response: &BTreeMap<String, String>) -> Result<Digest, buildkit::Error> {
    let digest = response.get("containerimage.digest");
    digest
        .and_then(|digest| Digest::parse(digest).ok())
        .ok_or_else(|| buildkit::Error::Protocol {
            reason: "it has no digest of what it exported".to_owned(),
        })
}

/// Returns the images to build.
fn entries<'a>(stack: &'a Stack, plan: &'a Plan) -> impl Iterator<Item = Entry<'a>> {
    plan.images.iter().filter_map(|planned| {
        let is_built = matches!(planned.action, Action::Build { .. });
        let keyed = planned.keyed.as_ref().filter(|_| is_built)?;
        let is_built = |id: &ImageId| matches!(plan.images[id.0].action, Action::Build { .. });
        let needs = stack.dependencies(planned.id).into_iter();
        Some(Entry {
            id: planned.id,
            key: &keyed.key,
            needs: needs.filter(is_built).collect(),
        })
    })
}

fn outcomes(
    plan: &Plan,
    tracker: &Tracker,
    schedule: &Schedule,
    mut errors: BTreeMap<ImageId, Box<ImageError>>,
) -> BTreeMap<ImageId, Outcome> {
    let label = |id: ImageId| plan.images[id.0].label.clone();
    let states = schedule.states().into_iter();
    let outcomes = states.map(|(id, state)| {
        let outcome = match (state, errors.remove(&id)) {
            // Only leaders have steps of their own.
            (State::Built, _) => Outcome::Built {
                took: tracker.took(&label(id)),
            },
            (State::Failed, Some(error)) => Outcome::Failed(error),
            (State::Skipped(because), _) => Outcome::Skipped {
                because: label(because),
            },
            (State::Waiting | State::Running | State::Failed, _) => {
                unreachable!("a run ends when every image has ended, a failed one with its error")
            }
        };
        (id, outcome)
    });
    outcomes.collect()
}
