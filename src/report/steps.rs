//! State of the steps that run: number, output, transfers. Every view keeps its own [`Steps`].

use std::collections::BTreeMap;
use std::time::Instant;

use super::paint::{Ink, Paint};
use crate::event::ImageLabel;
use crate::shown;
use crate::tail::Tail;

/// Lines of output that are kept of a step: of a failed one, JSON has them.
pub(super) const TAIL_LINES: usize = 20;

/// A step that runs.
#[derive(Debug)]
pub(super) struct Step {
    /// Its title, unique within its image.
    pub title: String,
    /// Its number, from 1, and the number of steps; `None` until it starts, as output can come earlier.
    pub number: Option<(usize, usize)>,
    /// When it started.
    pub since: Instant,
    /// The end of its output.
    pub tail: Tail,
    /// Current and total bytes of each transfer, by name; total 0 if unknown.
    pub transfers: BTreeMap<String, (u64, u64)>,
}

impl Step {
    /// Returns the title for people.
    pub fn shown_title(&self) -> String {
        shown::one_line(&self.title)
    }

    /// Returns ` 2/5` with a leading blank, or nothing.
    pub fn place(&self) -> String {
        match self.number {
            Some((number, of)) => format!(" {number}/{of}"),
            None => String::new(),
        }
    }

    /// Returns the bytes of all transfers and their total, which is 0 if one is unknown.
    pub fn transferred(&self) -> Option<(u64, u64)> {
        if self.transfers.is_empty() {
            return None;
        }
        let current = self.transfers.values().map(|(current, _)| current).sum();
        let is_known = self.transfers.values().all(|(_, total)| *total > 0);
        let total = self.transfers.values().map(|(_, total)| total).sum();
        Some((current, if is_known { total } else { 0 }))
    }
}

/// The running steps by image, in the order in which they started.
#[derive(Debug, Default)]
pub(super) struct Steps(BTreeMap<ImageLabel, Vec<Step>>);

impl Steps {
    /// Starts a step. Returns false if it has started already: an engine may report a start twice.
    pub fn start(
        &mut self,
        image: &str,
        title: &str,
        number: (usize, usize),
        now: Instant,
    ) -> bool {
        let step = self.step(image, title, now);
        if step.number == Some(number) {
            return false;
        }
        step.number = Some(number);
        step.since = now;
        true
    }

    /// Returns the step, which is added if it is new.
    pub fn step(&mut self, image: &str, title: &str, now: Instant) -> &mut Step {
        let steps = self.0.entry(image.to_owned()).or_default();
        let at = steps.iter().position(|step| step.title == title);
        let at = at.unwrap_or_else(|| {
            steps.push(Step {
                title: title.to_owned(),
                number: None,
                since: now,
                tail: Tail::new(TAIL_LINES),
                transfers: BTreeMap::new(),
            });
            steps.len() - 1
        });
        &mut steps[at]
    }

    /// Removes the step and returns it.
    pub fn end(&mut self, image: &str, title: &str, now: Instant) -> Step {
        self.step(image, title, now);
        let steps = self.0.get_mut(image).expect("it was added above");
        let at = steps.iter().position(|step| step.title == title);
        steps.remove(at.expect("it was added above"))
    }

    /// Removes the steps of an image.
    pub fn end_image(&mut self, image: &str) {
        self.0.remove(image);
    }

    /// Returns the step of an image that started last.
    pub fn running(&self, image: &str) -> Option<&Step> {
        let steps = self.0.get(image)?;
        steps.iter().rev().find(|step| step.number.is_some())
    }
}

/// Returns the line of a failed step. The reason follows with the failure of its image, and the output with the error of the run.
/// `is_shown`: an earlier line has its number and its title.
pub(super) fn failure(image: &str, step: &Step, is_shown: bool) -> String {
    let place = step.place();
    if is_shown && step.number.is_some() {
        format!("[{image}{place}] failed")
    } else {
        format!("[{image}{place}] failed: {}", step.shown_title())
    }
}

/// Returns the lines of a note. A line without an image has a level.
pub(super) fn note(text: &str, paint: Paint) -> Vec<String> {
    let level = paint.text(Ink::Name, "note:");
    format!("{level} {text}")
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Returns a line of output, with its image.
pub(super) fn log_line(image: &str, line: &str) -> String {
    format!("[{image}] | {line}").trim_end().to_owned()
}
