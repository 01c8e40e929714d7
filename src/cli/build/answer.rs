//! The answer of a build that ended: a row and a JSON object for each image, and the run.

use std::time::Instant;

use serde_json::{Value, json};

use super::hint::{hint, left_out};
use super::{below, findings};
use crate::build::{Ending, Recorded, ReleaseState};
use crate::buildkit;
use crate::cli::context::Context;
use crate::cli::{Answer, Exit, Failure, color, exit, plan as plan_command, summary};
use crate::compile::instruction_title;
use crate::diagnostic::{Diagnostic, render};
use crate::evidence::Evidence;
use crate::interrupt::TagLog;
use crate::name::{Digest, Repository, Tag};
use crate::plan::{Action, Planned};
use crate::release::gates::CHECKS;
use crate::report::{Ink, Paint};
use crate::run::{ImageError, Outcome, StepName};
use crate::source::Span;
use crate::stack::{Image, Kind, Stack, Step};
use crate::table;

const HEADERS: [&str; 7] = ["IMAGE", "ACTION", "TIME", "SIZE", "DIGEST", "PROOF", "TAGS"];

/// Returns what a build reports, also of one that failed.
pub(super) fn answer(
    context: &Context,
    recorded: Recorded<'_>,
    started: Instant,
    log: &TagLog,
) -> Result<Answer, Failure> {
    let gathered = recorded.gathered();
    let planned = &recorded.plan().images;
    let rows: Vec<Vec<String>> = planned.iter().map(|image| row(&recorded, image)).collect();
    let mut images: Vec<Value> = Vec::new();
    let mut messages = String::new();
    for planned in planned {
        let mut value = plan_command::image(context, gathered, planned);
        describe(&mut value, &recorded, planned);
        if let Some(Outcome::Failed(error)) = recorded.outcome(planned.id) {
            let (json, text) = image_error(recorded.stack(), planned, error);
            value["error"] = json;
            messages.push_str(&text);
        }
        images.push(value);
    }
    let run = recorded.run().to_string();
    let published = recorded.is_published();
    let outputs = [
        ("run", run.as_str()),
        ("published", if published { "true" } else { "false" }),
    ];
    summary::build(context, &HEADERS, &rows, &outputs)?;
    messages.push_str(&findings::text(&recorded));
    let staging = recorded.index().map(|(repository, digest, tag)| {
        json!({ "repository": repository.to_string(), "digest": digest.as_str(), "tag": tag.as_str() })
    });
    let mut json = json!({
        "stack": context.stack.name().as_str(),
        "run": run,
        "commit": gathered.facts.commit(),
        "solves": recorded.solves(),
        "seconds": started.elapsed().as_secs_f64(),
        "staging": staging,
        "images": null,
        "published": published,
        "error": null,
    });
    // `json!` copies each value that it is given.
    json["images"] = Value::Array(images);
    let loaded = recorded.loaded();
    json["loaded"] =
        json!(loaded.map(|(program, images)| json!({ "program": program, "images": images })));
    let exported = recorded.exported();
    json["exported"] =
        json!(exported.map(|(archive, images)| json!({ "archive": archive, "images": images })));
    let below = below::text(&recorded);
    describe_release(&mut json, recorded.release());
    let ending = recorded.ending();
    let failure = recorded.into_fault().map(Failure::from);
    let failure = failure.map(|failure| failure.with_tags(log));
    if let Some(failure) = &failure {
        json["error"] = failure.json();
        messages.push_str(&failure.shown(color()));
    }
    if json["error"].is_null()
        && let Some((exit, text)) = ending_error(&ending)
    {
        json["error"] = Failure::new(exit, text).json();
    }
    let exit = match ending {
        Ending::BuildFailed => Exit::Step,
        Ending::ProofFailed => Exit::Gate,
        Ending::Complete => Exit::Done,
        Ending::Faulty => failure.map_or(Exit::Done, |failure| failure.exit),
    };
    let text = table::plain(&HEADERS, &rows) + &below;
    let mut answer = Answer::new(exit, json, text);
    answer.said = messages;
    Ok(answer)
}

/// Returns the exit code and the message of a run in which images failed; their own errors have the causes.
fn ending_error(ending: &Ending) -> Option<(Exit, &'static str)> {
    match ending {
        Ending::BuildFailed => Some((
            Exit::Step,
            "an image could not be built; nothing was tagged",
        )),
        Ending::ProofFailed => Some((Exit::Gate, "a suite or a check failed; nothing was tagged")),
        Ending::Complete | Ending::Faulty => None,
    }
}

/// Adds whether the images are recorded as a release.
fn describe_release(json: &mut Value, release: &ReleaseState) {
    let (digest, missing) = match release {
        ReleaseState::NotAsked => (None, &[][..]),
        ReleaseState::Recorded(digest) => (Some(digest.as_str()), &[][..]),
        ReleaseState::Incomplete { missing } => (None, missing.as_slice()),
    };
    json["release"] = json!(digest);
    json["unreleased"] = json!(missing);
}

/// Returns the word of an action for the table. An image is skipped by the plan, and blocked by another one that failed.
fn action_shown(recorded: &Recorded<'_>, planned: &Planned) -> &'static str {
    match (&planned.action, recorded.outcome(planned.id)) {
        (Action::Hold { .. }, _) => "skipped",
        (_, Some(Outcome::Skipped { .. })) => "blocked",
        (Action::Build { .. }, None) => "not built",
        (Action::Build { .. } | Action::Reuse { .. }, _) => action(recorded, planned),
    }
}

/// Returns what became of an image, for JSON.
fn action(recorded: &Recorded<'_>, planned: &Planned) -> &'static str {
    match (&planned.action, recorded.outcome(planned.id)) {
        (_, Some(Outcome::Skipped { .. })) => "skipped",
        (Action::Build { .. }, Some(Outcome::Built { .. })) => "built",
        (Action::Build { .. }, Some(Outcome::Failed(_))) => "failed",
        (Action::Build { .. }, None) => "skipped",
        (Action::Reuse { .. }, _) => "reused",
        (Action::Hold { .. }, _) => "held",
    }
}

fn row(recorded: &Recorded<'_>, planned: &Planned) -> Vec<String> {
    let took = match recorded.outcome(planned.id) {
        Some(Outcome::Built { took }) => table::human_duration(*took),
        _ => String::new(),
    };
    let size = recorded.size(planned).map(crate::size::human);
    let digest = recorded.digest(planned);
    let is_tagged = recorded.is_published() && digest.is_some();
    let repository = &recorded.stack()[planned.id].repository;
    let repository = repository.as_ref().filter(|_| is_tagged);
    let tags = repository.map(|repository| references(repository, &planned.tags));
    let digest = digest.map(|digest| digest.short().to_owned());
    let evidence = recorded.evidence(planned.id);
    vec![
        planned.label.clone(),
        action_shown(recorded, planned).to_owned(),
        took,
        size.unwrap_or_default(),
        digest.unwrap_or_default(),
        evidence.map(proof_cell).unwrap_or_default(),
        tags.unwrap_or_default(),
    ]
}

/// Returns what an image can be pulled by.
fn references(repository: &Repository, tags: &[Tag]) -> String {
    let references = tags.iter().map(|tag| format!("{repository}:{tag}"));
    references.collect::<Vec<_>>().join(" ")
}

/// Returns `4 passed` or `1 of 4 failed: geo`, of suites and checks.
fn proof_cell(evidence: &Evidence) -> String {
    let suites = evidence.suites.iter();
    let suites = suites.map(|(name, verdict)| (name.as_str(), verdict.passed));
    let checks = evidence.checks.iter();
    let all: Vec<(&str, bool)> = suites
        .chain(checks.map(|checks| (CHECKS, checks.passed)))
        .collect();
    let failed = all.iter().filter(|(_, passed)| !passed);
    let failed: Vec<&str> = failed.map(|(name, _)| *name).collect();
    match failed.len() {
        _ if all.is_empty() => String::new(),
        0 => format!("{} passed", all.len()),
        n => format!("{n} of {} failed: {}", all.len(), failed.join(", ")),
    }
}

/// Adds to an image of the plan what became of it.
fn describe(value: &mut Value, recorded: &Recorded<'_>, planned: &Planned) {
    let digest = recorded.digest(planned);
    value["digest"] = json!(digest.as_ref().map(Digest::as_str));
    value["size"] = json!(recorded.size(planned));
    match recorded.outcome(planned.id) {
        Some(Outcome::Built { took }) => value["seconds"] = json!(took.as_secs_f64()),
        Some(Outcome::Skipped { because }) => value["because"] = json!(because),
        Some(Outcome::Failed(_)) | None => {}
    }
    value["action"] = json!(action(recorded, planned));
    let evidence = recorded.evidence(planned.id);
    findings::json(value, recorded.stack(), planned, evidence);
}

/// Lines of a failed step's output that are shown with it.
const SHOWN: usize = 10;

/// Returns the member of a group that failed.
fn failed_member(step: &Step, member: Option<usize>) -> Option<&Step> {
    match &step.kind {
        Kind::Group(members) => members.get(member?),
        _ => None,
    }
}

/// Returns the line of the Dockerfile of an image that a failure is at.
fn dockerfile_line(stack: &Stack, image: &Image, failure: &buildkit::Failure) -> Option<Span> {
    let file = image.dockerfile()?;
    let place = failure
        .place
        .as_ref()
        .filter(|place| place.file == file.file)?;
    let mut sources = stack.sources().iter();
    let (source, found) = sources.find(|(_, source)| source.path == place.file)?;
    let above = usize::try_from(place.line.saturating_sub(1)).ok()?;
    let start: usize = found
        .text
        .split_inclusive('\n')
        .take(above)
        .map(str::len)
        .sum();
    let line = found.text.get(start..)?.lines().next()?;
    Some(Span {
        source,
        start: u32::try_from(start).ok()?,
        end: u32::try_from(start + line.len()).ok()?,
    })
}

/// Returns a failed image, for programs and for people.
pub fn image_error(stack: &Stack, planned: &Planned, error: &ImageError) -> (Value, String) {
    let image = &stack[planned.id];
    let label = &planned.label;
    let mut exit_code = None;
    let mut log: &[String] = &[];
    let (kind, problem) = match error {
        ImageError::Step {
            step,
            member,
            failure,
            log: lines,
            process,
        } => {
            exit_code = failure.exit_code;
            log = lines;
            let step = step.and_then(|index| image.steps.get(index));
            let failed = step.map(|step| failed_member(step, *member).unwrap_or(step));
            let title = match (failed, &failure.name) {
                (Some(step), _) => format!("step `{}`", step.title),
                (None, Some(name)) => format!("`{}`", instruction_title(name)),
                (None, None) => "a step".to_owned(),
            };
            let span = failed.map_or(image.name.span, |step| step.span);
            let line = dockerfile_line(stack, image, failure);
            let title = match (&line, &failure.name) {
                (Some(_), Some(name)) => format!("`{}`", instruction_title(name)),
                _ => title,
            };
            let span = line.unwrap_or(span);
            let problem = Diagnostic::error(format!("image `{label}`: {title} failed"));
            let problem = problem.at(span, error.to_string());
            let help = step.and_then(|step| hint(image, step, process, lines));
            let help = help.or_else(|| left_out(stack, image, &failure.message));
            let problem = match help {
                Some(help) => problem.help(help),
                None => problem,
            };
            ("step", problem)
        }
        ImageError::Spec(problem) => ("spec", (**problem).clone()),
        ImageError::Base { .. } => {
            let problem = Diagnostic::error(format!("image `{label}`: {error}"));
            ("base", problem.at(image.name.span, "this image"))
        }
    };
    let last = &log[log.len().saturating_sub(SHOWN)..];
    let mut annotated = problem.clone();
    if matches!(error, ImageError::Step { .. }) {
        annotated.message = format!("{}: {error}\n{}", annotated.message, last.join("\n"));
    }
    exit::annotate(stack.sources(), &annotated);
    let span = problem.primary.as_ref().map(|label| label.span);
    // After the output: the end of a message is what is read first.
    let (mut without_help, mut hints) = (problem, Vec::new());
    if !last.is_empty() {
        hints.extend(without_help.help.take());
    }
    let problem = std::slice::from_ref(&without_help);
    let mut text = render(problem, stack.sources(), color());
    for line in last {
        text.push_str(&format!("  | {line}\n"));
    }
    let shell = shell_command(stack, planned, error, span);
    hints.extend(shell.as_ref().map(|command| {
        format!("open a shell at the failure: `{command}`, with the options of this command")
    }));
    let help = Paint { color: color() }.text(Ink::Name, "help:");
    for hint in hints {
        text.push_str(&format!("{help} {hint}\n"));
    }
    text.push('\n');
    let json = json!({
        "kind": kind,
        "where": span.map(|span| exit::place(stack.sources(), span)),
        "exit_code": exit_code,
        "log_tail": log,
        "text": error.to_string(),
        "shell": shell,
    });
    (json, text)
}

/// Returns the command that opens a shell at the failure of a step; `None` for what had no process. `span`: where the
/// failure is shown.
fn shell_command(
    stack: &Stack,
    planned: &Planned,
    error: &ImageError,
    span: Option<Span>,
) -> Option<String> {
    let ImageError::Step {
        step: Some(step),
        failure,
        ..
    } = error
    else {
        return None;
    };
    failure.exit_code?;
    let name = match stack[planned.id].dockerfile() {
        None => StepName::Number(step + 1),
        // Its instructions have numbers of their own.
        Some(_) => {
            let span = span?;
            StepName::Line {
                file: stack.sources().shown_path(span.source),
                line: stack.sources().start(span).line,
            }
        }
    };
    Some(format!("laminate shell {} --at {name}", planned.label))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{HoldReason, Proofs};
    use crate::run::FailedProcess;
    use crate::stack::ImageId;

    #[test]
    fn a_short_key_that_fails_beside_steps_gets_a_hint() {
        for (steps, is_hinted) in [("", false), ("\n    steps: [{ run: 'true' }]", true)] {
            let spec =
                format!("stack: x\nimages:\n  a:\n    base: debian:12\n    apt: [git]{steps}");
            let stack = crate::testing::stack(&spec);
            let planned = Planned {
                id: ImageId(0),
                label: "a".to_owned(),
                keyed: None,
                action: Action::Hold {
                    because: HoldReason::NotSelected,
                },
                ignore_cache: false,
                kept: None,
                proofs: Proofs::default(),
                tags: Vec::new(),
            };
            let error = |step: usize| ImageError::Step {
                step: Some(step),
                member: None,
                failure: Box::default(),
                log: vec!["Unable to locate package git".to_owned()],
                process: FailedProcess::default(),
            };
            let (_, text) = image_error(&stack, &planned, &error(0));
            assert_eq!(
                text.contains("short keys run before `steps:`"),
                is_hinted,
                "{text}"
            );
            let log = "  | Unable to locate package git\n";
            let ending = if is_hinted {
                let help = "short keys run before `steps:`; if it needs one of these, move it into `steps:`";
                format!("{log}help: {help}\n\n")
            } else {
                format!("{log}\n")
            };
            assert!(text.ends_with(&ending), "{text}");
            let (_, text) = image_error(&stack, &planned, &error(1));
            assert!(!text.contains("short keys"), "{text}");
        }
    }

    #[test]
    fn a_proof_counts_suites_and_names_those_that_failed() {
        let digest = Digest::of(b"x");
        let verdict = |passed: bool| {
            json!({
                "key": digest, "passed": passed, "tests": 7, "failed": 3, "seconds": 1.0,
                "time": "2026-11-24T12:00:00Z",
            })
        };
        let evidence = |suites: Value| -> Evidence {
            let document = json!({
                "version": 1, "image": "a", "key": digest, "digest": digest, "suites": suites,
            });
            serde_json::from_value(document).expect("evidence")
        };
        let suites = json!({ "common": verdict(true), "geo": verdict(false) });
        assert_eq!(proof_cell(&evidence(suites)), "1 of 2 failed: geo");
        let suites = json!({ "common": verdict(true) });
        assert_eq!(proof_cell(&evidence(suites)), "1 passed");
        assert_eq!(proof_cell(&evidence(json!({}))), "");
    }

    #[test]
    fn tags_are_shown_as_they_can_be_pulled() {
        let repository = Repository::parse("ghcr.io/campus/web").expect("valid");
        let tags = ["2026-1a2b3c4", "latest"].map(|tag| Tag::parse(tag).expect("a tag"));
        assert_eq!(
            references(&repository, &tags),
            "ghcr.io/campus/web:2026-1a2b3c4 ghcr.io/campus/web:latest"
        );
    }
}
