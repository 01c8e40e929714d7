//! The live display (`--progress tty`): one line for the run, and one for each image being built. Results
//! are printed above them and stay.

use std::collections::BTreeMap;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::paint::{Ink, Paint};
use super::plain::{copied, findings_shown, planned, published, urgent};
use super::steps::{Step, Steps, note};
use super::{TICK, View};
use crate::event::{Event, ImageLabel, StepChange};
use crate::shown;
use crate::size::human as human_size;
use crate::table::human_duration;

/// The live display.
pub(super) struct Terminal {
    multi: MultiProgress,
    head: ProgressBar,
    images: BTreeMap<ImageLabel, Running>,
    steps: Steps,
    paint: Paint,
    verbose: bool,
    phase: String,
    /// Images to build; 0 before the plan is known.
    planned: usize,
    /// Images that are built.
    built: usize,
    /// Images that failed or are blocked.
    failed: usize,
    /// Columns of the longest name.
    width: usize,
    began: Option<Instant>,
    drawn: Option<Instant>,
}

/// An image being built.
struct Running {
    bar: ProgressBar,
    steps: usize,
    cached: usize,
    /// The step that failed.
    failed: Option<String>,
}

impl Terminal {
    /// Returns `None` if stderr cannot be drawn on: it is not a terminal, or a dumb one.
    pub fn stderr(verbose: bool, color: bool) -> Option<Self> {
        let target = ProgressDrawTarget::stderr();
        (!target.is_hidden()).then(|| Self::new(target, verbose, color))
    }

    /// Draws on any target.
    pub fn new(target: ProgressDrawTarget, verbose: bool, color: bool) -> Self {
        let multi = MultiProgress::with_draw_target(target);
        let head = multi.add(line());
        Self {
            multi,
            head,
            images: BTreeMap::new(),
            steps: Steps::default(),
            paint: Paint { color },
            verbose,
            phase: String::new(),
            planned: 0,
            built: 0,
            failed: 0,
            width: 0,
            began: None,
            drawn: None,
        }
    }

    /// Prints lines that stay above the live display.
    fn print(&self, lines: &[String]) {
        for text in lines {
            // If stderr is closed, there is no place to report it.
            let _ = self.multi.println(shown::text(text, false));
        }
    }

    /// Prints the result of a suite or of checks.
    fn verdict(&self, passed: bool, image: &str, text: &str) {
        let (ink, word) = if passed {
            (Ink::Good, "passed")
        } else {
            (Ink::Bad, "failed")
        };
        self.outcome(ink, word, image, text);
    }

    /// Prints a result: a word, the image, and details.
    fn outcome(&self, ink: Ink, word: &str, image: &str, text: &str) {
        let line = format!(
            "{} {image:width$}  {text}",
            self.paint.text(ink, &format!("{word:<7}")),
            width = self.width
        );
        self.print(&[line.trim_end().to_owned()]);
    }

    /// Returns the line of an image, which is added if it is new.
    fn image(&mut self, image: &str) -> &mut Running {
        let multi = &self.multi;
        self.width = self.width.max(image.chars().count());
        self.images
            .entry(image.to_owned())
            .or_insert_with(|| Running {
                bar: multi.add(line()),
                steps: 0,
                cached: 0,
                failed: None,
            })
    }

    /// Removes a line.
    fn take(&mut self, image: &str) -> Option<Running> {
        self.steps.end_image(image);
        let running = self.images.remove(image)?;
        running.bar.finish_and_clear();
        self.multi.remove(&running.bar);
        Some(running)
    }

    /// Updates the state for an event, and prints what stays.
    fn update(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Phase { text } => self.phase.clone_from(text),
            Event::Note { text } => self.print(&note(text, self.paint)),
            Event::Warning { .. } => self.print(&urgent(event, self.paint).unwrap_or_default()),
            Event::Planned { build, reuse } => {
                self.planned = build.len();
                let longest = build.iter().map(|image| image.chars().count()).max();
                self.width = longest.unwrap_or(0);
                self.print(&planned(&[], reuse));
            }
            Event::ImageStarted { image } => {
                "building".clone_into(&mut self.phase);
                self.image(image);
            }
            Event::Step {
                image,
                step,
                change,
            } => self.update_step(image, step, change, now),
            Event::ImageDone { image, .. }
            | Event::ImageFailed { image, .. }
            | Event::ImageSkipped { image, .. } => self.end_image(image, event),
            Event::SuiteStarted { image, suite } => {
                let name = suite_line(image, suite);
                self.image(&name);
                self.steps.start(&name, "running", (1, 1), now);
            }
            Event::SuiteDone {
                image,
                suite,
                passed,
                summary,
                took,
            } => {
                self.take(&suite_line(image, suite));
                let text = format!("{suite}: {summary}, {}", human_duration(*took));
                self.verdict(*passed, image, &text);
            }
            Event::Checked {
                image,
                findings,
                took,
            } => {
                let found = findings_shown(*findings);
                let text = format!("checks: {found}, {}", human_duration(*took));
                self.verdict(*findings == 0, image, &text);
            }
            Event::Exporting { text, done } => {
                self.phase = if *done {
                    format!("{text}: done")
                } else {
                    text.clone()
                };
            }
            Event::BlobsCopied {
                image,
                repository,
                blobs,
                bytes,
                reason,
            } => {
                let text = copied(repository, *blobs, *bytes, reason);
                self.outcome(Ink::Warning, "copied", image, &text);
            }
            Event::Published {
                image,
                repository,
                tags,
                digest,
            } => {
                let text = published(repository, tags, digest.short());
                self.outcome(Ink::Good, "tagged", image, &text);
            }
            Event::Release(_) | Event::Stop => {}
        }
    }

    /// Updates the state for an event of a step, and prints a failure.
    fn update_step(&mut self, image: &str, step: &str, change: &StepChange, now: Instant) {
        match change {
            StepChange::Started { number, of } => {
                self.image(image);
                self.steps.start(image, step, (*number, *of), now);
            }
            StepChange::Output(stream, bytes) => {
                let tail = &mut self.steps.step(image, step, now).tail;
                tail.push(*stream, bytes);
            }
            StepChange::Progress {
                what,
                current,
                total,
            } => {
                let transfers = &mut self.steps.step(image, step, now).transfers;
                transfers.insert(what.clone(), (*current, *total));
            }
            StepChange::Done { cached, .. } => {
                self.steps.end(image, step, now);
                let running = self.image(image);
                running.steps += 1;
                running.cached += usize::from(*cached);
            }
            StepChange::Failed(_) => {
                let step = self.steps.end(image, step, now);
                let title = numbered(&step);
                // It is printed with the failure of the image.
                self.image(image).failed.get_or_insert(title);
            }
        }
    }

    /// Prints that an image was built, failed or was blocked, and removes its line.
    fn end_image(&mut self, image: &str, event: &Event) {
        let running = self.take(image);
        match event {
            Event::ImageFailed { error, .. } => {
                self.failed += 1;
                let mut first = error.lines().next().unwrap_or_default().to_owned();
                if let Some(step) = running.and_then(|running| running.failed) {
                    first = format!("{step}: {first}");
                }
                self.outcome(Ink::Bad, "failed", image, &first);
                let rest: Vec<String> = error.lines().skip(1).map(|l| format!("  {l}")).collect();
                self.print(&rest);
            }
            Event::ImageSkipped { because, .. } => {
                self.failed += 1;
                let text = format!("because {because} failed");
                self.outcome(Ink::Bad, "blocked", image, &text);
            }
            Event::ImageDone { took, .. } => {
                self.built += 1;
                let mut text = human_duration(*took);
                if let Some(Running { steps, cached, .. }) = running
                    && cached > 0
                {
                    text = format!("{text}, {cached} of {steps} steps cached");
                }
                self.outcome(Ink::Good, "built", image, &text);
            }
            _ => {}
        }
    }

    /// Draws all lines.
    fn draw(&mut self, now: Instant) {
        self.drawn = Some(now);
        let began = *self.began.get_or_insert(now);
        let mut parts = Vec::new();
        if !self.phase.is_empty() {
            parts.push(self.paint.text(Ink::Name, &self.phase));
        }
        if self.planned > 0 {
            parts.push(format!("{} of {} images", self.built, self.planned));
        }
        if self.failed > 0 {
            let text = format!("{} failed or blocked", self.failed);
            parts.push(self.paint.text(Ink::Bad, &text));
        }
        parts.push(human_duration(now.duration_since(began)));
        self.head.set_message(parts.join("  "));
        for (image, running) in &self.images {
            let step = match self.steps.running(image) {
                Some(step) => self.step(step, now),
                None => self.paint.text(Ink::Aside, "waiting"),
            };
            let name = format!("{image:width$}", width = self.width);
            let name = self.paint.text(Ink::Name, &name);
            let line = format!("  {name}  {step}").replace('\n', " ");
            running.bar.set_message(shown::text(&line, false));
        }
    }

    /// Returns the text of a running step.
    fn step(&self, step: &Step, now: Instant) -> String {
        let mut parts = vec![numbered(step)];
        if let Some((current, total)) = step.transferred() {
            parts.push(match total {
                0 => human_size(current),
                total => format!("{} of {}", human_size(current), human_size(total)),
            });
        }
        parts.push(human_duration(now.duration_since(step.since)));
        if self.verbose
            && let Some(last) = step.tail.last()
        {
            let last = last.replace('\t', " ");
            parts.push(self.paint.text(Ink::Aside, &format!("| {}", last.trim())));
        }
        parts.join("  ")
    }
}

impl View for Terminal {
    fn show(&mut self, event: &Event, now: Instant) {
        self.update(event, now);
        // A lot of output need not be drawn more often than people can read.
        if self.drawn.is_none_or(|drawn| now - drawn >= TICK) {
            self.draw(now);
        }
    }

    fn tick(&mut self, now: Instant) {
        self.draw(now);
    }

    fn end(&mut self) {
        for running in self.images.values() {
            running.bar.finish_and_clear();
        }
        self.head.finish_and_clear();
        let _ = self.multi.clear();
    }
}

/// Returns the number and the title of a step.
fn numbered(step: &Step) -> String {
    let text = format!("{} {}", step.place(), step.shown_title());
    text.trim().to_owned()
}

/// Returns the name of a suite's line among those of images.
fn suite_line(image: &str, suite: &str) -> String {
    format!("{image} test {suite}")
}

/// Returns a line without text, which is cut at the width of the terminal.
fn line() -> ProgressBar {
    let style = ProgressStyle::with_template("{wide_msg}").expect("the template is constant");
    ProgressBar::new_spinner().with_style(style)
}
