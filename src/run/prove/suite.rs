//! Runs one suite on an image.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::left::Left;
use super::subject::{Prover, Subject};
use crate::buildkit::{self, Failure, Ref};
use crate::compile::{PLACE, Program, process_of_suite};
use crate::event::Event;
use crate::evidence::{SuiteOutput, SuiteRun, Verdict, stopped_after};
use crate::llb::Definition;
use crate::name::Digest;
use crate::run::context::Context;
use crate::run::programs;
use crate::stack::{ImageId, Suite, Test};
use crate::trace::{self, Track};

/// The most that is kept of what a suite writes, bytes.
const LOG: u64 = 64 << 10;

/// The most that is read of a report, bytes.
const REPORT: u64 = 8 << 20;

/// The time a suite gets to end by itself after its timeout.
const GRACE: Duration = Duration::from_secs(10);

/// The time that fetching pytest and the like gets beside a suite's own timeout.
const FETCHING: Duration = Duration::from_secs(1800);

/// Runs a suite, once for all images with the same bytes. Returns its name and verdict.
pub async fn run_once(
    prover: &Prover<'_, '_>,
    id: ImageId,
    subject: &Subject,
    suite: &Suite,
    key: &Digest,
) -> Result<(String, Verdict), buildkit::Error> {
    let image = subject.bytes(prover.context, id);
    let cell = {
        let mut cells = prover
            .verdicts
            .lock()
            .expect("no code under this lock panics");
        cells.entry((image, key.clone())).or_default().clone()
    };
    let verdict = cell
        .get_or_try_init(|| run(prover, id, subject, suite, key))
        .await?;
    Ok((suite.name.value.clone(), verdict.clone()))
}

async fn run(
    prover: &Prover<'_, '_>,
    id: ImageId,
    subject: &Subject,
    suite: &Suite,
    key: &Digest,
) -> Result<Verdict, buildkit::Error> {
    let turn = prover.suites.acquire().await.expect("it is never closed");
    let context = prover.context;
    let (image, name) = (context.label(id), suite.name.value.clone());
    let _span = trace::span(Track::Proofs, || format!("{image}: {name}"));
    let begun = Instant::now();
    context.events.send(Event::SuiteStarted {
        image: image.clone(),
        suite: name.clone(),
    });
    let from = suite.from.as_ref().map(ToString::to_string);
    let failed =
        |reason: String| Verdict::failed(key.clone(), from.clone(), Timestamp::now(), reason);
    let mut not_started = false;
    let mut verdict = match compile(context, id, subject, suite) {
        Err(reason) => failed(reason),
        Ok((definition, vertex)) => {
            let title = format!("test {name}");
            context
                .tracker
                .add_suite(vertex.clone(), image.clone(), title);
            tokio::select! {
                solved = context.gateway.solve(definition.pb) => match solved {
                    Ok(files) => {
                        // The next one starts while this one is read.
                        drop(turn);
                        let output = read_output(context, &files).await?;
                        not_started = matches!(output.exit, Some(126 | 127)) && output.reason.is_none();
                        let run = SuiteRun {
                            key: key.clone(),
                            from: from.clone(),
                            timeout: suite.timeout,
                            reports: matches!(suite.test, Some(Test::Pytest { .. })),
                            seconds: context.tracker.ran(&vertex).as_secs_f64(),
                            time: Timestamp::now(),
                        };
                        Verdict::from_output(run, output)
                    }
                    Err(buildkit::Error::Failed(failure)) => {
                        let at = failure.vertex.clone().unwrap_or_default();
                        not_started = programs::may_lack_a_program(failure.exit_code);
                        context.tracker.wait_for_failure(&at).await;
                        Verdict {
                            log: context.tracker.tail(&at).join("\n"),
                            ..failed(reason(&failure, &vertex))
                        }
                    }
                    Err(error @ buildkit::Error::TooLarge { .. }) => failed(error.to_string()),
                    Err(error) => return Err(error),
                },
                // The suite's own watch stops it. If that does not, dropping the call stops the step.
                () = overdue(context, &vertex, suite.timeout + GRACE) => Verdict {
                    log: context.tracker.tail(&vertex).join("\n"),
                    ..failed(stopped_after(suite.timeout))
                },
            }
        }
    };
    if not_started && !verdict.passed {
        let process = process_of_suite(suite, &subject.state.config, context.stack.files());
        let missing = programs::missing(context, &subject.result, &process).await?;
        verdict.reason = missing.map(|it| lacks(&it)).or(verdict.reason);
    }
    verdict.edit_texts(|text| {
        context.tracker.mask().text(text);
        *text = as_in_repository(text);
    });
    // A part of a secret would not be recognised.
    verdict.shorten();
    context.events.send(Event::SuiteDone {
        image,
        suite: name,
        passed: verdict.passed,
        summary: verdict.summary(),
        took: begun.elapsed(),
    });
    Ok(verdict)
}

/// Returns the definition of a suite and the digest of its operation; the message of the diagnostic if
/// it cannot be compiled.
fn compile(
    context: &Context<'_>,
    id: ImageId,
    subject: &Subject,
    suite: &Suite,
) -> Result<(Definition, String), String> {
    let mut compiler = context.compiler();
    let output = compiler
        .suite(id, &subject.state, suite)
        .map_err(|problem| problem.message)?;
    let definition = context.definition(&mut compiler, output);
    let vertex = definition
        .digests
        .iter()
        .find(|(_, operation)| **operation == output.op)
        .map(|(digest, _)| digest.clone());
    Ok((definition, vertex.expect("an operation has a digest")))
}

/// Returns a text in which files of suites have the paths that they have in the repository.
fn as_in_repository(text: &str) -> String {
    let mounted = format!("{}/files/", PLACE.trim_start_matches('/'));
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(&mounted) {
        let (before, after) = (&rest[..at], &rest[at + mounted.len()..]);
        match before_path(before) {
            Some(before) => made.push_str(before),
            None => made.push_str(&rest[..at + mounted.len()]),
        }
        rest = after;
    }
    made + rest
}

/// Returns the text before a path from the root, which begins with `/`, or, as pytest writes it, relative to the current
/// folder, with `../` or nothing.
fn before_path(text: &str) -> Option<&str> {
    let before = match text.strip_suffix('/') {
        Some(above) => {
            let above = above.trim_end_matches("/..");
            above.strip_suffix("..").unwrap_or(above)
        }
        None => text,
    };
    let is_path = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    (!before.ends_with(is_path)).then_some(before)
}

/// Reads what a suite left in its folder for results.
async fn read_output(context: &Context<'_>, files: &Ref) -> Result<SuiteOutput, buildkit::Error> {
    let longest = context.tracker.mask().longest() as u64;
    let left = Left::of_suite(&context.gateway, files).await?;
    let (exit, log, why, junit, running) = tokio::try_join!(
        left.text("exit", 16),
        left.text("log", LOG + longest),
        left.text("reason", 4096),
        left.text("junit.xml", REPORT),
        left.text("running", 4096),
    )?;
    Ok(SuiteOutput {
        exit: exit.and_then(|code| code.trim().parse().ok()),
        log: log.map(|log| end_of_log(context, log)).unwrap_or_default(),
        reason: why.map(|reason| reason.trim().to_owned()),
        junit,
        overdue: left.has("overdue"),
        running,
    })
}

/// Returns the end of a log without secrets. Where it is cut, a part of a secret could be left that is not
/// recognised, so more is read than kept.
fn end_of_log(context: &Context<'_>, mut log: String) -> String {
    let is_cut = log.len() as u64 >= LOG;
    context.tracker.mask().text(&mut log);
    if is_cut {
        let start = log.ceil_char_boundary(context.tracker.mask().longest());
        log.drain(..start);
    }
    log
}

/// Returns why a suite could not run to its end. `own`: the suite's operation; others are what it needs.
fn reason(failure: &Failure, own: &str) -> String {
    let what = match failure.name.as_deref() {
        Some(name) if failure.vertex.as_deref() != Some(own) => format!("`{name}` failed"),
        _ => "it could not be run".to_owned(),
    };
    match failure.exit_code {
        Some(code) => format!("{what} (exit code {code})"),
        None => format!("{what}: {failure}"),
    }
}

/// Returns why a suite whose program the image lacks did not start.
fn lacks(Program { name, named_by }: &Program) -> String {
    match named_by {
        Some(by) => format!("the image has no `{name}`, which {by} names"),
        None => format!("the image has no `{name}`, which suites need"),
    }
}

/// Returns when an operation has been running for longer than `timeout`. An engine that does not report
/// its work is not waited for without end.
async fn overdue(context: &Context<'_>, vertex: &str, timeout: Duration) {
    let most = Instant::now() + timeout + FETCHING;
    while Instant::now() < most {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let running = context.tracker.running(vertex);
        if running.is_some_and(|running| running > timeout) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_suites_have_their_paths_in_the_repository() {
        for (text, expected) in [
            ("../../run/laminate/files/images/a.py .", "images/a.py ."),
            (
                "run/laminate/files/images/a.py:4: in f",
                "images/a.py:4: in f",
            ),
            (
                "x\n'/run/laminate/files/a.sh': /run/laminate/x",
                "x\n'a.sh': /run/laminate/x",
            ),
            ("/tmp/run/laminate/files/a", "/tmp/run/laminate/files/a"),
        ] {
            assert_eq!(as_in_repository(text), expected);
        }
    }
}
