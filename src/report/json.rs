//! `--progress json`: one JSON object per line on stderr for each event, as it happens.
//!
//! Programs rely on the objects: events and keys are added, never renamed or removed. `docs/json.md` lists
//! them.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::View;
use super::steps::Steps;
use crate::event::{Event, StepChange};
use crate::shown;

/// Writes JSON lines.
pub(super) struct Json<W> {
    out: W,
    steps: Steps,
}

impl<W: Write + Send> Json<W> {
    /// Writes to a stream.
    pub fn new(out: W) -> Self {
        Self {
            out,
            steps: Steps::default(),
        }
    }

    /// Returns the objects for an event.
    fn objects(&mut self, event: &Event, now: Instant) -> Vec<Value> {
        let steps = &mut self.steps;
        let object = match event {
            Event::Phase { text } => json!({"event": "phase", "text": text}),
            Event::Note { text } => json!({"event": "note", "text": text}),
            Event::Warning { text } => json!({"event": "warning", "text": text}),
            Event::Planned { build, reuse } => {
                json!({"event": "planned", "build": build, "reuse": reuse})
            }
            Event::ImageStarted { image } => json!({"event": "image_started", "image": image}),
            Event::Step {
                image,
                step,
                change,
            } => return step_objects(steps, image, step, change, now),
            Event::ImageDone { image, took } => {
                steps.end_image(image);
                json!({"event": "image_done", "image": image, "seconds": seconds(*took)})
            }
            Event::ImageFailed { image, error } => {
                steps.end_image(image);
                json!({"event": "image_failed", "image": image, "error": error})
            }
            Event::ImageSkipped { image, because } => {
                json!({"event": "image_skipped", "image": image, "because": because})
            }
            Event::SuiteStarted { image, suite } => {
                json!({"event": "suite_started", "image": image, "suite": suite})
            }
            Event::SuiteDone {
                image,
                suite,
                passed,
                summary,
                took,
            } => json!({
                "event": "suite_done", "image": image, "suite": suite, "passed": passed,
                "summary": summary, "seconds": seconds(*took),
            }),
            Event::Checked {
                image,
                findings,
                took,
            } => json!({
                "event": "checked", "image": image, "findings": findings,
                "seconds": seconds(*took),
            }),
            Event::Exporting { text, done } => {
                json!({"event": "exporting", "text": text, "done": done})
            }
            Event::BlobsCopied {
                image,
                repository,
                blobs,
                bytes,
                reason,
            } => json!({
                "event": "blobs_copied", "image": image, "repository": repository, "blobs": blobs,
                "bytes": bytes, "reason": reason,
            }),
            Event::Published {
                image,
                repository,
                tags,
                digest,
            } => json!({
                "event": "published", "image": image, "repository": repository, "tags": tags,
                "digest": digest.as_str(),
            }),
            Event::Release(_) | Event::Stop => return Vec::new(),
        };
        vec![object]
    }
}

/// Returns the objects for an event of a step.
fn step_objects(
    steps: &mut Steps,
    image: &str,
    step: &str,
    change: &StepChange,
    now: Instant,
) -> Vec<Value> {
    let mut objects = Vec::new();
    match change {
        StepChange::Started { number, of } => {
            if steps.start(image, step, (*number, *of), now) {
                objects.push(json!({
                    "event": "step_started", "image": image, "step": step,
                    "number": number, "of": of,
                }));
            }
        }
        StepChange::Output(stream, bytes) => {
            let lines = steps.step(image, step, now).tail.push(*stream, bytes);
            objects.extend(lines.iter().map(|line| log(image, step, line)));
        }
        StepChange::Progress {
            what,
            current,
            total,
        } => objects.push(json!({
            "event": "step_progress", "image": image, "step": step, "what": what,
            "current": current, "total": (*total > 0).then_some(*total),
        })),
        StepChange::Done { cached, took } => {
            let rest = steps.end(image, step, now).tail.end();
            objects.extend(rest.iter().map(|line| log(image, step, line)));
            objects.push(json!({
                "event": "step_done", "image": image, "step": step, "cached": cached,
                "seconds": seconds(*took),
            }));
        }
        StepChange::Failed(error) => {
            let mut tail = steps.end(image, step, now).tail;
            objects.extend(tail.end().iter().map(|line| log(image, step, line)));
            objects.push(json!({
                "event": "step_failed", "image": image, "step": step, "error": error,
                "log_tail": tail.lines(),
            }));
        }
    }
    objects
}

impl<W: Write + Send> View for Json<W> {
    fn show(&mut self, event: &Event, now: Instant) {
        let objects = self.objects(event, now);
        let text: String = objects.iter().map(|object| format!("{object}\n")).collect();
        let text = shown::json(&text);
        // If stderr is closed, there is no place to report it.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

/// Returns a line of output.
fn log(image: &str, step: &str, line: &str) -> Value {
    json!({"event": "step_log", "image": image, "step": step, "line": line})
}

/// Returns seconds with at most three decimals.
fn seconds(took: Duration) -> f64 {
    took.as_millis() as f64 / 1000.0
}
