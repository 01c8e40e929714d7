//! `laminate build` and `laminate test`: arguments become a request, and what came of it text and JSON.
//!
//! The build itself is `crate::build`.

mod answer;
mod below;
mod dry_run;
mod failure;
mod findings;
mod hint;
mod image_error;
mod log;
mod request;

pub use failure::REGISTRY_HELP;
pub use image_error::image_error;
pub use request::process as process_options;

use std::time::Instant;

use super::args::{BuildArgs, Global, TestArgs};
use super::context::{self, Context};
use super::preview::{self, PolicyFindings};
use super::{Answer, Failure};
use crate::build::{self, Buildkit, Goal, Job, Options, Prepared};
use crate::event::Events;
use crate::gather;
use crate::interrupt::Interrupt;
use crate::registry::Credentials;

/// Runs `laminate build`.
pub async fn run(
    global: &Global,
    args: &BuildArgs,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    let started = Instant::now();
    let context = context::load_to_plan(global).await?;
    let options = request::build(&context, global, args)?;
    carry_out(global, &context, &options, started, events, interrupt).await
}

/// Runs `laminate test`: a build that only proves what is built already.
pub async fn test(
    global: &Global,
    args: &TestArgs,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    let started = Instant::now();
    let context = context::load_to_plan(global).await?;
    let options = request::test(&context, global, args)?;
    carry_out(global, &context, &options, started, events, interrupt).await
}

async fn carry_out(
    global: &Global,
    context: &Context,
    options: &Options,
    started: Instant,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    // Clones share what was looked up: the engine asks for what the registry's client asked for.
    let credentials = Credentials::from_environment();
    let (stop, log) = (interrupt.stop(), interrupt.log());
    let registry = context::registry_with(credentials.clone(), events, stop, log)?;
    options.check(&context.stack)?;
    let online = (!options.offline).then_some(&registry);
    let request = &options.request;
    let platform = context::platform_name();
    let gathering = gather::Options {
        reads_all: options.exports(),
        ..context.gathering(&platform, request)
    };
    let planning = context.plan_with(&gathering, online, events, interrupt.cancel());
    let (gathered, plan) = planning.await?;
    if options.goal == Goal::Build {
        Context::note_unlocked(&gathered, events);
    }
    let planned = (&gathered, &plan);
    preview::check(context, online, planned, PolicyFindings::Left, events).await?;
    let whole = whole(global, options).await?;
    if whole.is_some() {
        // Both are of the same files.
        context.ensure_unchanged().await?;
    }
    let caller = context.caller().await;
    let environment = context::build_environment(credentials, caller);
    let prepared = Prepared::new(Job {
        stack: &context.stack,
        whole: whole.as_ref().map_or(&context.stack, |whole| &whole.stack),
        gathering,
        gathered: &gathered,
        plan: &plan,
        options,
        environment: &environment,
        registry: &registry,
        events,
        interrupt,
    })?;
    if options.dry_run {
        return Ok(dry_run::answer(context, &gathered, &plan, options));
    }
    let engine = Buildkit {
        source: context::engine_source(global),
        events,
        interrupt,
    };
    let recorded = build::build(prepared, &engine).await?;
    answer::answer(context, recorded, started, log, &global.given)
}

/// Returns the stack with all its variants, if a build publishes only some of them.
async fn whole(global: &Global, options: &Options) -> Result<Option<Context>, Failure> {
    if !options.push || global.variants.is_empty() {
        return Ok(None);
    }
    let all = Global {
        variants: Vec::new(),
        ..global.clone()
    };
    context::load(&all).await.map(Some)
}
