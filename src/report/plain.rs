//! Lines for CI logs and files (`--progress plain`, `quiet`): one for each event. Equal runs print equal
//! lines, except for the times.

use std::io::Write;
use std::time::Instant;

use super::View;
use super::paint::{Ink, Paint};
use super::steps::{Steps, failure, log_line, note};
use crate::event::{Event, StepChange};
use crate::list;
use crate::shown;
use crate::size::human as human_size;
use crate::table::human_duration;

/// Writes lines.
pub(super) struct Plain<W> {
    out: W,
    /// GitHub's runner reads the lines.
    runner: bool,
    paint: Paint,
    verbose: bool,
    only_failures: bool,
    steps: Steps,
}

impl<W: Write + Send> Plain<W> {
    /// Shows all events. `verbose` adds the output of steps.
    pub fn new(out: W, verbose: bool, color: bool) -> Self {
        Self {
            out,
            runner: false,
            paint: Paint { color },
            verbose,
            only_failures: false,
            steps: Steps::default(),
        }
    }

    /// Writes lines that GitHub's runner takes as text.
    pub fn for_runner(mut self, runner: bool) -> Self {
        self.runner = runner;
        self
    }

    /// Shows warnings and failures.
    pub fn only_failures(out: W, color: bool) -> Self {
        Self {
            only_failures: true,
            ..Self::new(out, false, color)
        }
    }

    /// Returns the lines for an event.
    fn lines(&mut self, event: &Event, now: Instant) -> Vec<String> {
        if let Some(lines) = urgent(event, self.paint) {
            return lines;
        }
        let lines = match event {
            Event::Step {
                image,
                step,
                change: StepChange::Failed(_),
            } => {
                let mut lines = self.rest(image, step, now);
                let step = self.steps.end(image, step, now);
                let line = failure(image, &step, !self.only_failures);
                lines.push(self.paint.text(Ink::Bad, &line));
                return lines;
            }
            Event::Step {
                image,
                step,
                change,
            } => self.step(image, step, change, now),
            _ => self.progress(event),
        };
        if self.only_failures {
            Vec::new()
        } else {
            lines
        }
    }

    /// Returns the lines that `quiet` does not show.
    fn progress(&mut self, event: &Event) -> Vec<String> {
        let paint = self.paint;
        match event {
            Event::Phase { text } => text.lines().map(str::to_owned).collect(),
            Event::Note { text } => note(text, paint),
            Event::Planned { build, reuse } => planned(build, reuse),
            Event::ImageDone { image, took } => {
                self.steps.end_image(image);
                let result = format!("done in {}", human_duration(*took));
                vec![format!("[{image}] {}", paint.text(Ink::Good, &result))]
            }
            Event::Exporting { text, done: true } => vec![format!("{text}: done")],
            Event::Exporting { text, done: false } => vec![text.clone()],
            Event::BlobsCopied {
                image,
                repository,
                blobs,
                bytes,
                reason,
            } => vec![format!(
                "[{image}] copied {}",
                copied(repository, *blobs, *bytes, reason)
            )],
            Event::Published {
                image,
                repository,
                tags,
                digest,
            } => {
                let text = published(repository, tags, digest.short());
                let verb = if tags.is_empty() { "" } else { "tagged " };
                vec![format!("[{image}] {verb}{text}")]
            }
            Event::SuiteDone {
                image,
                suite,
                passed: true,
                summary,
                took,
            } => vec![format!(
                "[{image}] test {suite}: {} in {}",
                paint.text(Ink::Good, summary),
                human_duration(*took)
            )],
            Event::Checked {
                image,
                findings: 0,
                took,
            } => vec![format!(
                "[{image}] checks: {} in {}",
                paint.text(Ink::Good, &findings_shown(0)),
                human_duration(*took)
            )],
            // Its first step and its result show it.
            Event::ImageStarted { .. } | Event::SuiteStarted { .. } => Vec::new(),
            Event::Warning { .. }
            | Event::Step { .. }
            | Event::ImageFailed { .. }
            | Event::ImageSkipped { .. }
            | Event::SuiteDone { .. }
            | Event::Checked { .. }
            | Event::Release(_)
            | Event::Stop => Vec::new(),
        }
    }

    /// Returns the lines of a step that did not fail.
    fn step(&mut self, image: &str, step: &str, change: &StepChange, now: Instant) -> Vec<String> {
        match change {
            StepChange::Started { number, of } => {
                let is_new = self.steps.start(image, step, (*number, *of), now);
                let line = format!("[{image} {number}/{of}] {}", shown::one_line(step));
                if is_new { vec![line] } else { Vec::new() }
            }
            StepChange::Output(stream, bytes) => {
                let tail = &mut self.steps.step(image, step, now).tail;
                let complete = tail.push(*stream, bytes);
                if self.verbose {
                    complete.iter().map(|line| log_line(image, line)).collect()
                } else {
                    Vec::new()
                }
            }
            StepChange::Done { cached, took } => {
                let mut lines = self.rest(image, step, now);
                let step = self.steps.end(image, step, now);
                // A cached step may end without having started.
                let title = match step.number {
                    Some(_) => String::new(),
                    None => format!("{}: ", step.shown_title()),
                };
                let result = if *cached {
                    self.paint.text(Ink::Aside, "cached")
                } else {
                    format!("done in {}", human_duration(*took))
                };
                lines.push(format!("[{image}{}] {title}{result}", step.place()));
                lines
            }
            // Growing numbers are for live displays; `lines` shows a failure.
            StepChange::Progress { .. } | StepChange::Failed(_) => Vec::new(),
        }
    }

    /// Returns the last line of a step's output, if it has no line break.
    fn rest(&mut self, image: &str, step: &str, now: Instant) -> Vec<String> {
        let rest = self.steps.step(image, step, now).tail.end();
        let rest = rest.iter().filter(|_| self.verbose);
        rest.map(|line| log_line(image, line)).collect()
    }
}

impl<W: Write + Send> View for Plain<W> {
    fn show(&mut self, event: &Event, now: Instant) {
        let mut text = String::new();
        for line in self.lines(event, now) {
            text.push_str(&line);
            text.push('\n');
        }
        let text = shown::text(&text, self.runner);
        // If stderr is closed, there is no place to report it.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

/// Returns the lines of an event that every view for people shows, also a quiet one; `None` for other
/// events.
pub(super) fn urgent(event: &Event, paint: Paint) -> Option<Vec<String>> {
    match event {
        Event::Warning { text } => Some(vec![format!(
            "{} {text}",
            paint.text(Ink::Warning, "warning:")
        )]),
        Event::ImageFailed { image, error } => {
            let mut rest = error.lines();
            let first = rest.next().unwrap_or_default();
            let failed = paint.text(Ink::Bad, "failed");
            let mut lines = vec![format!("[{image}] {failed}: {first}")];
            lines.extend(rest.map(|line| format!("[{image}] {line}")));
            Some(lines)
        }
        Event::SuiteDone {
            image,
            suite,
            passed: false,
            summary,
            took,
        } => Some(vec![format!(
            "[{image}] test {suite}: {} in {}",
            paint.text(Ink::Bad, summary),
            human_duration(*took)
        )]),
        Event::Checked {
            image,
            findings,
            took,
        } if *findings > 0 => Some(vec![format!(
            "[{image}] checks: {} in {}",
            paint.text(Ink::Bad, &findings_shown(*findings)),
            human_duration(*took)
        )]),
        Event::ImageSkipped { image, because } => Some(vec![format!(
            "[{image}] {} because {because} failed",
            paint.text(Ink::Bad, "blocked")
        )]),
        _ => None,
    }
}

/// Returns the lines for what will be built and what is reused.
pub(super) fn planned(build: &[String], reuse: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for (verb, images) in [("to build", build), ("reused", reuse)] {
        if !images.is_empty() {
            lines.push(format!("{verb}: {}", list::of(images)));
        }
    }
    lines
}

/// Returns what an image can be pulled by, as in `ghcr.io/x/sci:2021.2-d021570, ghcr.io/x/sci:latest (0123456789ab)`.
pub(super) fn published(repository: &str, tags: &[String], short: &str) -> String {
    if tags.is_empty() {
        return format!("{repository}: no tag ({short})");
    }
    let references = tags.iter().map(|tag| format!("{repository}:{tag}"));
    let references = references.collect::<Vec<_>>().join(", ");
    format!("{references} ({short})")
}

/// Returns copied blobs, as in `3 blobs (39 B) to ghcr.io/x/sci through this machine: REASON`.
pub(super) fn copied(repository: &str, blobs: usize, bytes: u64, reason: &str) -> String {
    let size = human_size(bytes);
    let plural = if blobs == 1 { "blob" } else { "blobs" };
    format!("{blobs} {plural} ({size}) to {repository} through this machine: {reason}")
}

/// Returns `no findings`, `1 finding`, `2 findings`.
pub(super) fn findings_shown(count: usize) -> String {
    match count {
        0 => "no findings".to_owned(),
        1 => "1 finding".to_owned(),
        n => format!("{n} findings"),
    }
}
