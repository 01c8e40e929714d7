//! What is known of the steps that run: number, output, transfers. All views keep one.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::event::ImageLabel;
use crate::tail::Tail;

/// Lines of output shown with a step that failed.
pub(super) const TAIL_LINES: usize = 20;

/// One step that runs.
#[derive(Debug)]
pub(super) struct Step {
    pub title: String,
    /// Its number and how many its image has; `None` until it started: output may come first.
    pub number: Option<(usize, usize)>,
    pub since: Instant,
    pub tail: Tail,
    /// Bytes and total of each transfer.
    pub transfers: BTreeMap<String, (u64, u64)>,
}

impl Step {
    /// `2/5` behind a blank, or nothing.
    pub fn place(&self) -> String {
        match self.number {
            Some((number, of)) => format!(" {number}/{of}"),
            None => String::new(),
        }
    }

    /// Bytes of all transfers and their total, 0 if one is not known.
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

/// The steps of all images that run, each image's in the order they began.
#[derive(Debug, Default)]
pub(super) struct Steps(BTreeMap<ImageLabel, Vec<Step>>);

impl Steps {
    /// Says whether that is new: an engine may report one beginning twice.
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

    /// The step, made if nothing was heard of it.
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

    /// Takes the step out.
    pub fn end(&mut self, image: &str, title: &str, now: Instant) -> Step {
        self.step(image, title, now);
        let steps = self.0.get_mut(image).expect("it was made above");
        let at = steps.iter().position(|step| step.title == title);
        steps.remove(at.expect("it was made above"))
    }

    /// Forgets an image's steps.
    pub fn end_image(&mut self, image: &str) {
        self.0.remove(image);
    }

    /// The step of an image that began last.
    pub fn running(&self, image: &str) -> Option<&Step> {
        let steps = self.0.get(image)?;
        steps.iter().rev().find(|step| step.number.is_some())
    }
}

/// What is printed of a step that failed, by every view for people.
pub(super) fn failure(image: &str, step: &Step, error: &str) -> Vec<String> {
    let place = step.place();
    let mut lines = vec![format!("[{image}{place}] failed: {}", step.title)];
    lines.extend(error.lines().map(|line| format!("[{image}{place}] {line}")));
    let output = step.tail.lines();
    if !output.is_empty() {
        lines.push(format!("[{image}{place}] its last output:"));
        lines.extend(output.iter().map(|line| log_line(image, line)));
    }
    lines
}

pub(super) fn log_line(image: &str, line: &str) -> String {
    format!("[{image}] | {line}").trim_end().to_owned()
}
