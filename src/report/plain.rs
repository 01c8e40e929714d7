//! Lines for CI logs and files: one for each thing that happens, never changed afterwards, and the
//! same for every run that does the same, but for the times.

use std::io::Write;
use std::time::Instant;

use super::steps::{Steps, failure, log_line};
use super::table::{human_duration, human_size};
use super::{Ink, Paint, View};
use crate::event::Event;

pub(super) struct Plain<W> {
    out: W,
    paint: Paint,
    verbose: bool,
    only_failures: bool,
    steps: Steps,
}

impl<W: Write + Send> Plain<W> {
    pub fn new(out: W, verbose: bool, color: bool) -> Self {
        Self {
            out,
            paint: Paint { color },
            verbose,
            only_failures: false,
            steps: Steps::default(),
        }
    }

    pub fn only_failures(out: W, color: bool) -> Self {
        Self {
            only_failures: true,
            ..Self::new(out, false, color)
        }
    }

    /// The lines for one event.
    fn lines(&mut self, event: &Event, now: Instant) -> Vec<String> {
        if let Some(lines) = urgent(event, self.paint) {
            return lines;
        }
        match event {
            Event::StepLog { image, step, bytes } => {
                let complete = self.steps.step(image, step, now).tail.push(bytes);
                return match self.verbose {
                    true => complete.iter().map(|line| log_line(image, line)).collect(),
                    false => Vec::new(),
                };
            }
            Event::StepFailed { image, step, error } => {
                let mut lines = self.rest(image, step, now);
                let step = self.steps.end(image, step, now);
                let failure = failure(image, &step, error);
                lines.extend(
                    failure
                        .iter()
                        .enumerate()
                        .map(|(number, line)| match number {
                            0 => self.paint.text(Ink::Bad, line),
                            _ => line.clone(),
                        }),
                );
                return lines;
            }
            _ => {}
        }
        let lines = self.progress(event, now);
        match self.only_failures {
            true => Vec::new(),
            false => lines,
        }
    }

    /// What `quiet` leaves out.
    fn progress(&mut self, event: &Event, now: Instant) -> Vec<String> {
        let paint = self.paint;
        match event {
            Event::Phase { text } | Event::Note { text } => {
                text.lines().map(str::to_owned).collect()
            }
            Event::Planned { build, reuse } => planned(build, reuse),
            Event::StepStarted {
                image,
                step,
                number,
                of,
            } => match self.steps.start(image, step, (*number, *of), now) {
                true => vec![format!("[{image} {number}/{of}] {step}")],
                false => Vec::new(),
            },
            Event::StepDone {
                image,
                step,
                cached,
                took,
            } => {
                let mut lines = self.rest(image, step, now);
                let step = self.steps.end(image, step, now);
                // A step that is cached may never have begun.
                let title = match step.number {
                    Some(_) => String::new(),
                    None => format!("{}: ", step.title),
                };
                let how = match cached {
                    true => paint.text(Ink::Aside, "cached"),
                    false => format!("done in {}", human_duration(*took)),
                };
                lines.push(format!("[{image}{}] {title}{how}", step.place()));
                lines
            }
            Event::ImageDone { image, took } => {
                self.steps.end_image(image);
                let how = format!("done in {}", human_duration(*took));
                vec![format!("[{image}] {}", paint.text(Ink::Good, &how))]
            }
            Event::Exporting { text, done } => match done {
                true => vec![format!("{text}: done")],
                false => vec![text.clone()],
            },
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
            } => vec![format!(
                "[{image}] {}",
                published(repository, tags, digest.as_str())
            )],
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
                paint.text(Ink::Good, "nothing found"),
                human_duration(*took)
            )],
            // Its first step, and its end, say so.
            Event::ImageStarted { .. } | Event::SuiteStarted { .. } => Vec::new(),
            // Numbers that grow make no lines.
            Event::StepProgress { .. } => Vec::new(),
            Event::Warning { .. }
            | Event::StepLog { .. }
            | Event::StepFailed { .. }
            | Event::ImageFailed { .. }
            | Event::ImageSkipped { .. }
            | Event::SuiteDone { .. }
            | Event::Checked { .. }
            | Event::Stop => Vec::new(),
        }
    }

    /// The last line of a step's output, if it has no line break.
    fn rest(&mut self, image: &str, step: &str, now: Instant) -> Vec<String> {
        let rest = self.steps.step(image, step, now).tail.end();
        match rest {
            Some(line) if self.verbose => vec![log_line(image, &line)],
            _ => Vec::new(),
        }
    }
}

impl<W: Write + Send> View for Plain<W> {
    fn show(&mut self, event: &Event, now: Instant) {
        let mut text = String::new();
        for line in self.lines(event, now) {
            text.push_str(&line);
            text.push('\n');
        }
        // Whoever closed stderr does not want to know.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

/// What every view for people prints, also a quiet one, if `event` is of that kind.
pub(super) fn urgent(event: &Event, paint: Paint) -> Option<Vec<String>> {
    match event {
        Event::Warning { text } => Some(vec![format!(
            "{} {text}",
            paint.text(Ink::Warning, "warning:")
        )]),
        Event::ImageFailed { image, error } => {
            let mut told = error.lines();
            let first = told.next().unwrap_or_default();
            let failed = paint.text(Ink::Bad, "failed");
            let mut lines = vec![format!("[{image}] {failed}: {first}")];
            lines.extend(told.map(|line| format!("[{image}] {line}")));
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
            paint.text(Ink::Bad, &counted(*findings, "finding")),
            human_duration(*took)
        )]),
        Event::ImageSkipped { image, because } => Some(vec![format!(
            "[{image}] {}, because {because} failed",
            paint.text(Ink::Bad, "skipped")
        )]),
        _ => None,
    }
}

/// What will be built and what not.
pub(super) fn planned(build: &[String], reuse: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for (verb, images) in [("to build", build), ("reused", reuse)] {
        if !images.is_empty() {
            lines.push(format!("{verb}: {}", images.join(", ")));
        }
    }
    lines
}

/// `ghcr.io/x/sci: 2021.2-d021570, stable (sha256:0123456789ab)`.
pub(super) fn published(repository: &str, tags: &[String], digest: &str) -> String {
    let short = digest.get(.."sha256:".len() + 12).unwrap_or(digest);
    match tags.is_empty() {
        true => format!("{repository}: no tag ({short})"),
        false => format!("{repository}: {} ({short})", tags.join(", ")),
    }
}

/// Returns `3 blobs (39 B) to ghcr.io/x/sci through this machine: REASON`.
pub(super) fn copied(repository: &str, blobs: usize, bytes: u64, reason: &str) -> String {
    format!(
        "{} ({}) to {repository} through this machine: {reason}",
        counted(blobs, "blob"),
        human_size(bytes)
    )
}

/// `1 finding`, `2 findings`.
fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
