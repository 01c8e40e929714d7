//! `laminate run` and `laminate shell`: a process of the user's in an image, or in a step of it.

use super::args::{GivenOptions, Global, RunArgs, ShellArgs, StartArgs};
use super::build::{image_error, process_options};
use super::context::{self, Context};
use super::preview::{self, PolicyFindings};
use super::{Answer, Exit, Failure};
use crate::build::{Buildkit, Job, Prepared};
use crate::buildkit::{Ended, OutputStream};
use crate::event::Events;
use crate::interrupt::Interrupt;
use crate::plan::{Plan, Proofs};
use crate::registry::Credentials;
use crate::run::{self, Command, ImageError, Interactive, Outcome, Place, Report, StepName};
use crate::shown;
use crate::stack::ImageId;
use crate::terminal;

/// Runs `laminate run`.
pub async fn run(
    global: &Global,
    args: RunArgs,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    let asked = Asked {
        image: args.image,
        place: Place::Finished,
        command: Command::OfImage(args.command),
        start: args.start,
    };
    in_image(global, asked, events, interrupt).await
}

/// Runs `laminate shell`.
pub async fn shell(
    global: &Global,
    args: ShellArgs,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    let place = match (&args.at, &args.before) {
        (Some(step), _) => Place::After(step_name(step)?),
        (None, Some(step)) => Place::Before(step_name(step)?),
        (None, None) => Place::Finished,
    };
    let asked = Asked {
        image: args.image,
        place,
        command: match args.command {
            command if command.is_empty() => Command::Shell,
            command => Command::Args(command),
        },
        start: args.start,
    };
    in_image(global, asked, events, interrupt).await
}

/// What the user asks for.
struct Asked {
    image: String,
    place: Place,
    command: Command,
    start: StartArgs,
}

/// Reads the name of a step: `2`, `specs.yml:31` or `specs.yml:31:7`.
fn step_name(text: &str) -> Result<StepName, Failure> {
    if let Ok(number) = text.parse() {
        return Ok(StepName::Number(number));
    }
    let parts: Vec<&str> = text.split(':').collect();
    let place = match parts.as_slice() {
        [file, line] | [file, line, _] if !file.is_empty() => Some((file, line)),
        _ => None,
    };
    let place = place.and_then(|(file, line)| Some((file, line.parse().ok()?)));
    let Some((file, line)) = place else {
        return Err(
            Failure::new(Exit::Usage, format!("invalid step `{text}`")).help(run::STEP_NAMES)
        );
    };
    Ok(StepName::Line {
        file: (*file).to_owned(),
        line,
    })
}

/// Runs a process. A failure of laminate has an exit code of its own, since any other can be that of the process.
async fn in_image(
    global: &Global,
    asked: Asked,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    let answer = started(global, asked, events, interrupt).await;
    answer.map_err(|mut failure| {
        if !matches!(
            failure.exit,
            Exit::Interrupted | Exit::Bug | Exit::Process(_)
        ) {
            failure.exit = Exit::NotRun;
        }
        failure
    })
}

async fn started(
    global: &Global,
    asked: Asked,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    if global.json {
        let text = "--json cannot be used with `run` and `shell`";
        return Err(Failure::new(Exit::Usage, text)
            .help("leave it out: standard output is that of the process"));
    }
    let context = context::load_to_plan(global).await?;
    let id = context.select_one(&asked.image)?;
    let Asked { place, command, .. } = asked;
    let step = step_number(&context, id, &place)?;
    let options = process_options(&context, global, &asked.start, id, step)?;
    let credentials = Credentials::from_environment();
    let (stop, log) = (interrupt.stop(), interrupt.log());
    let registry = context::registry_with(credentials.clone(), events, stop, log)?;
    let online = (!options.offline).then_some(&registry);
    let platform = context::platform_name();
    let gathering = context.gathering(&platform, &options.request);
    let planning = context.plan_with(&gathering, online, events, interrupt.cancel());
    let (gathered, mut plan) = planning.await?;
    for planned in &mut plan.images {
        planned.proofs = Proofs::default();
    }
    let planned = (&gathered, &plan);
    preview::check(&context, online, planned, PolicyFindings::Left, events).await?;
    let caller = context.caller().await;
    let environment = context::build_environment(credentials, caller);
    let prepared = Prepared::new(Job {
        stack: &context.stack,
        whole: &context.stack,
        gathering,
        gathered: &gathered,
        plan: &plan,
        options: &options,
        environment: &environment,
        registry: &registry,
        events,
        interrupt,
    })?;
    let engine = Buildkit {
        source: context::engine_source(global),
        events,
        interrupt,
    };
    let interactive = Interactive {
        image: id,
        place,
        command,
        has_terminal: terminal::is_interactive(),
        interrupt: interrupt.clone(),
    };
    let report = prepared.run_process(&engine, interactive).await?;
    answer(&context, &plan, id, report, &global.given)
}

/// Returns the number of the step that the user named, from 1; 1 for one of a Dockerfile, which is not read yet. Fails if
/// the image has no such step.
fn step_number(context: &Context, id: ImageId, place: &Place) -> Result<Option<usize>, Failure> {
    let image = &context.stack[id];
    let Some(step) = place.step() else {
        return Ok(None);
    };
    if image.dockerfile().is_some() {
        return Ok(Some(1));
    }
    if let Some(number) = run::step_number(&context.stack, image, step) {
        return Ok(Some(number));
    }
    let (label, count) = (context.stack.label(id), image.steps.len());
    let steps = if count == 1 { "step" } else { "steps" };
    let text = format!("no step `{step}` in image `{label}`: it has {count} {steps}");
    let sources = context.stack.sources();
    let steps = (1..).zip(&image.steps).map(|(number, step)| {
        let file = sources.shown_path(step.span.source);
        let place = format!("{file}:{}", sources.start(step.span).line);
        (number, shown::one_line(&step.title), Some(place))
    });
    Err(Failure::new(Exit::Usage, text).help(run::steps_help(steps)))
}

/// Returns how the process ended, or why it was not started.
fn answer(
    context: &Context,
    plan: &Plan,
    id: ImageId,
    report: Report,
    given: &GivenOptions,
) -> Result<Answer, Failure> {
    let shown = |id: ImageId, error: &ImageError| {
        let (_, text) = image_error(&context.stack, &plan.images[id.0], error, given);
        text
    };
    match report.process {
        Some(Ok(Ended::NotStarted { exit, reason })) => {
            let exit = exit.map_or(Exit::NotRun, Exit::Process);
            let text = format!("the process cannot be started: {reason}");
            Err(Failure::new(exit, text))
        }
        Some(Ok(Ended::Unwritten { stream, reason })) => {
            let stream = match stream {
                OutputStream::Output => "standard output",
                OutputStream::Errors => "standard error",
            };
            let text = format!("cannot write to {stream}: {reason}");
            Err(Failure::new(Exit::NotRun, text))
        }
        Some(Ok(Ended::Exited(code))) => {
            let exit = Exit::Process(u8::try_from(code).unwrap_or(u8::MAX));
            Ok(Answer::new(exit, serde_json::Value::Null, ""))
        }
        Some(Err(error)) => {
            let mut answer = Answer::new(Exit::NotRun, serde_json::Value::Null, "");
            answer.said = shown(id, &error);
            Ok(answer)
        }
        None => {
            let mut answer = Answer::new(Exit::NotRun, serde_json::Value::Null, "");
            for (id, outcome) in &report.images {
                if let Outcome::Failed(error) = outcome {
                    answer.said.push_str(&shown(*id, error));
                }
            }
            Ok(answer)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_a_number_or_a_line() {
        let line = |file: &str, line| StepName::Line {
            file: file.to_owned(),
            line,
        };
        for (text, expected) in [
            ("2", StepName::Number(2)),
            ("specs.yml:31", line("specs.yml", 31)),
            ("a/specs.yml:31:7", line("a/specs.yml", 31)),
        ] {
            assert_eq!(step_name(text).expect(text), expected);
        }
        for text in ["", "x", ":3", "specs.yml:", "specs.yml:x", "-1", "a:1:2:3"] {
            assert!(step_name(text).is_err(), "{text}");
        }
        insta::assert_snapshot!(step_name("run").expect_err("invalid").shown(false), @r"
        error: invalid step `run`
        help: name a step by its number, as the progress of a build shows it, or by a line that it is on: FILE:LINE
        ");
    }
}
