//! Drives a schedule: builds and proves images until all have ended.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::base::{BaseSource, base_source, staged};
use super::context::Context;
use super::image::{self, BuiltImage, ImageBase};
use super::listed::Pending;
use super::outcome::{ImageError, StopReason};
use super::prove::{Origin, Prover, prove};
use super::schedule::Schedule;
use crate::buildkit;
use crate::compile::BaseConfig;
use crate::event::Event;
use crate::plan::Action;
use crate::stack::ImageId;

/// What a run came to before its export.
pub struct Done {
    /// Images the engine has, leaders alone.
    pub built: BTreeMap<ImageId, BuiltImage>,
    /// Why images failed.
    pub errors: BTreeMap<ImageId, Box<ImageError>>,
    /// The files of images that were built, if a check read them.
    pub lists: BTreeMap<ImageId, Pending>,
    /// How every image ended.
    pub schedule: Schedule,
}

/// Work that ended.
enum Finished {
    Image(ImageId, Result<Box<BuiltImage>, StopReason>),
    Proof(Result<(), buildkit::Error>),
}

type Work<'a> = std::pin::Pin<Box<dyn Future<Output = Finished> + 'a>>;

/// Builds all images of a schedule, each when those it needs are there, and proves them and those that are
/// reused. Fails only with the whole run.
pub async fn drive(context: &Context<'_>, schedule: Schedule) -> Result<Done, buildkit::Error> {
    let prover = Prover::new(context);
    let mut running: FuturesUnordered<Work<'_>> = FuturesUnordered::new();
    let mut done = Done {
        built: BTreeMap::new(),
        errors: BTreeMap::new(),
        lists: BTreeMap::new(),
        schedule,
    };
    for id in done.schedule.start() {
        running.push(building(context, &done, id));
    }
    for planned in context.plan.images.iter().filter(|p| p.proofs.runs()) {
        if let Some(reference) = staged(context.stack, context.plan, planned.id) {
            running.push(proving(&prover, planned.id, Origin::Pinned(reference)));
        }
    }
    while let Some(finished) = running.next().await {
        match finished {
            Finished::Proof(proven) => proven?,
            Finished::Image(id, Ok(image)) => {
                context.tracker.built(context.label(id));
                done.built.insert(id, (*image).clone());
                for &id in done.schedule.followers(id) {
                    let output = image.compiled.output;
                    context.compiler().in_stack.insert(id, output);
                    if context.plan.images[id.0].proofs.runs() {
                        let origin = Origin::Built(image.clone());
                        running.push(proving(&prover, id, origin));
                    }
                }
                for ready in done.schedule.built(id) {
                    running.push(building(context, &done, ready));
                }
            }
            Finished::Image(id, Err(StopReason::Image(error))) => {
                report_failure(context, id, &error, &done.schedule.failed(id));
                done.errors.insert(id, error);
                if done.schedule.is_stopped() {
                    break;
                }
            }
            Finished::Image(_, Err(StopReason::Run(error))) => return Err(error),
        }
    }
    drop(running);
    done.lists = prover.into_pending();
    Ok(done)
}

/// Returns the base of an image that waits for no other.
fn base_of(context: &Context<'_>, done: &Done, id: ImageId) -> ImageBase {
    let (stack, plan) = (context.stack, context.plan);
    match base_source(stack, plan, &context.options.external, id) {
        Some(BaseSource::Pinned(reference)) => ImageBase::Pinned(reference),
        Some(BaseSource::Scratch) => ImageBase::Scratch,
        Some(BaseSource::ThisRun(parent)) => {
            let built = &done.built[&done.schedule.leader(parent)];
            ImageBase::Built(Box::new(built.clone()))
        }
        None => unreachable!("no image is built on an unknown base"),
    }
}

fn building<'a>(context: &'a Context<'_>, done: &Done, id: ImageId) -> Work<'a> {
    let base = base_of(context, done, id);
    let built = match context.image(id).dockerfile() {
        Some(_) => built_for(context, done, id),
        None => BTreeMap::new(),
    };
    Box::pin(async move {
        let built = image::build(context, id, base, built).await;
        Finished::Image(id, built.map(Box::new))
    })
}

/// Returns the configs of the images that a Dockerfile uses and this run built.
fn built_for(context: &Context<'_>, done: &Done, id: ImageId) -> BTreeMap<ImageId, BaseConfig> {
    let copied = context.image(id).copied.values();
    let is_built = |id: &&ImageId| matches!(context.plan.images[id.0].action, Action::Build { .. });
    let configs = copied.filter(is_built).filter_map(|id| {
        let built = done.built.get(&done.schedule.leader(*id))?;
        Some((*id, built.compiled.config.clone()))
    });
    configs.collect()
}

fn proving<'a>(prover: &'a Prover<'_, '_>, id: ImageId, origin: Origin) -> Work<'a> {
    Box::pin(async move { Finished::Proof(prove(prover, id, origin).await) })
}

fn report_failure(context: &Context<'_>, id: ImageId, error: &ImageError, skipped: &[ImageId]) {
    let label = context.label(id);
    context.events.send(Event::ImageFailed {
        image: label.clone(),
        error: error.to_string(),
    });
    for id in skipped {
        context.events.send(Event::ImageSkipped {
            image: context.label(*id),
            because: label.clone(),
        });
    }
}
