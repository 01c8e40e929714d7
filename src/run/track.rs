//! Attributes the engine's operations to images and their steps: sends events while they run, and knows
//! how long they took.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::buildkit::{Update, Vertex, reason};
use crate::event::{Event, Events, StepChange};
use crate::mask::{Held, Mask};
use crate::tail::{Stream, Tail};
use crate::trace::{self, Track};

/// Lines of output kept of each operation.
const KEPT: usize = 40;

/// How long to wait for the last lines of an operation that failed.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The streams of a process, in the order of what is held back of them.
const STREAMS: [Stream; 2] = [Stream::Output, Stream::Errors];

/// The text of an export's events.
const EXPORTING: &str = "sending the images";

/// A step of an image, as it is shown to people.
#[derive(Clone, Debug)]
pub struct Step {
    /// The image's label.
    pub image: String,
    /// The step's title.
    pub title: String,
    /// Its number in the image, from 1.
    pub number: usize,
    /// How many steps the image has.
    pub of: usize,
}

/// The operations of a run, with their steps and what the engine reported.
pub struct Tracker {
    events: Events,
    /// Secrets are in nothing that is sent or kept.
    mask: Mask,
    inner: Mutex<Inner>,
    /// Notified after each status response.
    changed: Notify,
}

#[derive(Default)]
struct Inner {
    steps: HashMap<String, Vec<Step>>,
    /// The operations of each image, with the number of the step.
    of_image: HashMap<String, BTreeMap<String, usize>>,
    /// Suites: the image and the title of each.
    suites: HashMap<String, (String, String)>,
    seen: HashMap<String, Seen>,
    /// Images that are built, but whose last step has not been reported as ended.
    unannounced: Vec<String>,
    exporting: bool,
}

impl Inner {
    /// Returns the operations of an image: the number of the step, and what the engine reported.
    fn operations(&self, image: &str) -> impl Iterator<Item = (usize, Option<&Seen>)> {
        let operations = self.of_image.get(image).into_iter().flatten();
        operations.map(|(digest, number)| (*number, self.seen.get(digest)))
    }

    /// Returns whether the last step of an image has ended, and each that began.
    fn has_ended(&self, image: &str) -> bool {
        let mut last = (0, true);
        for (number, seen) in self.operations(image) {
            let ended = seen.is_some_and(|seen| seen.done);
            if !ended && seen.is_some_and(|seen| seen.begun) {
                return false;
            }
            last = last.max((number, ended));
        }
        last.1
    }

    /// Returns how long the steps of an image ran.
    fn took(&self, image: &str) -> Duration {
        let seen = self.operations(image).filter_map(|(_, seen)| seen);
        seen.flat_map(|seen| &seen.intervals)
            .map(|(start, end)| end.saturating_sub(*start))
            .fold(Duration::ZERO, Duration::saturating_add)
    }
}

struct Seen {
    tail: Tail,
    /// Output of each stream that may be the beginning of a secret.
    held: [Held; 2],
    /// The member of a group that failed, as its script reports it.
    member: Option<usize>,
    /// When it ran: ends by starts, so that a state reported twice counts once.
    intervals: BTreeMap<Duration, Duration>,
    begun: bool,
    /// When it began for the last time, by our own clock.
    since: Option<Instant>,
    done: bool,
    failed: bool,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            tail: Tail::new(KEPT),
            held: Default::default(),
            member: None,
            intervals: BTreeMap::new(),
            begun: false,
            since: None,
            done: false,
            failed: false,
        }
    }
}

impl Tracker {
    /// Begins without any operation. `mask` hides the secrets of the run.
    pub fn new(events: Events, mask: Mask) -> Self {
        Self {
            events,
            mask,
            inner: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Returns the mask for the secrets of the run.
    pub fn mask(&self) -> &Mask {
        &self.mask
    }

    /// Adds an operation as a step of an image. Images can share one.
    pub fn add(&self, digest: String, step: Step) {
        let mut inner = self.lock();
        let operations = inner.of_image.entry(step.image.clone()).or_default();
        operations.insert(digest.clone(), step.number);
        inner.steps.entry(digest).or_default().push(step);
    }

    /// Adds an operation as a suite: its output is sent as events; `prove` sends its end.
    pub fn add_suite(&self, digest: String, image: String, title: String) {
        self.lock().suites.insert(digest, (image, title));
    }

    /// Returns how long an operation has been running, if it runs.
    pub fn running(&self, digest: &str) -> Option<Duration> {
        let inner = self.lock();
        let since = inner.seen.get(digest)?.since?;
        Some(since.elapsed())
    }

    /// Returns how long an operation ran.
    pub fn ran(&self, digest: &str) -> Duration {
        let inner = self.lock();
        let intervals = inner.seen.get(digest).map(|seen| &seen.intervals);
        intervals
            .into_iter()
            .flatten()
            .map(|(start, end)| end.saturating_sub(*start))
            .fold(Duration::ZERO, Duration::saturating_add)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().expect("no code under this lock panics")
    }

    /// Takes in one status response of the engine.
    pub fn update(&self, updates: Vec<Update>) {
        {
            let mut inner = self.lock();
            for update in updates {
                self.take(&mut inner, update);
            }
        }
        self.changed.notify_waiters();
    }

    /// Notes that an image is built. The answer of a gateway call can come before the report that its last step has ended;
    /// the event comes after that.
    pub fn built(&self, image: String) {
        let mut inner = self.lock();
        if inner.has_ended(&image) {
            self.announce(&inner, image);
        } else {
            inner.unannounced.push(image);
        }
    }

    fn announce_ended(&self, inner: &mut Inner) {
        let waiting = std::mem::take(&mut inner.unannounced);
        let (ended, waiting): (Vec<_>, _) = waiting
            .into_iter()
            .partition(|image| inner.has_ended(image));
        inner.unannounced = waiting;
        for image in ended {
            self.announce(inner, image);
        }
    }

    fn announce(&self, inner: &Inner, image: String) {
        let took = inner.took(&image);
        self.events.send(Event::ImageDone { image, took });
    }

    /// Waits until the engine has reported that an operation failed, and with that all it wrote.
    ///
    /// The error of a gateway call and the status stream come on two ways. Within the stream, an
    /// operation's output comes with or before its end: the daemon flushes the streams of a process
    /// before it notes the end (solver/llbsolver/ops/exec.go), and a response is taken in whole. A
    /// stream that ended, or that never has the operation, is not waited for longer than [`LAST_LINES`].
    pub async fn wait_for_failure(&self, digest: &str) {
        let failed = || self.lock().seen.get(digest).is_some_and(|seen| seen.failed);
        let reported = async {
            loop {
                let changed = self.changed.notified();
                if failed() {
                    return;
                }
                changed.await;
            }
        };
        if !digest.is_empty() {
            let _late = tokio::time::timeout(LAST_LINES, reported).await;
        }
    }

    fn take(&self, inner: &mut Inner, update: Update) {
        match update {
            Update::Vertex(vertex) => self.vertex(inner, vertex),
            Update::Log {
                vertex,
                is_error,
                bytes,
            } => {
                let stream = STREAMS[usize::from(is_error)];
                let seen = inner.seen.entry(vertex.clone()).or_default();
                seen.member = member_in(&bytes).or(seen.member);
                let held = &mut seen.held[usize::from(is_error)];
                let bytes = self.mask.push(held, &bytes);
                self.output(inner, &vertex, stream, &bytes);
            }
            Update::Progress {
                vertex,
                what,
                current,
                total,
            } => {
                for step in inner.steps.get(&vertex).into_iter().flatten() {
                    self.events.send(Event::Step {
                        image: step.image.clone(),
                        step: step.title.clone(),
                        change: StepChange::Progress {
                            what: what.clone(),
                            current,
                            total,
                        },
                    });
                }
            }
            Update::Warning(mut text) => {
                self.mask.text(&mut text);
                self.events.send(Event::Warning { text });
            }
        }
    }

    /// Keeps and sends output without secrets.
    fn output(&self, inner: &mut Inner, vertex: &str, stream: Stream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let seen = inner.seen.entry(vertex.to_owned()).or_default();
        seen.tail.push(stream, bytes);
        let suite = inner
            .suites
            .get(vertex)
            .map(|(image, title)| (image, title));
        let steps = inner.steps.get(vertex).into_iter().flatten();
        let steps = steps.map(|step| (&step.image, &step.title));
        for (image, title) in suite.into_iter().chain(steps) {
            self.events.send(Event::Step {
                image: image.clone(),
                step: title.clone(),
                change: StepChange::Output(stream, bytes.to_vec()),
            });
        }
    }

    fn vertex(&self, inner: &mut Inner, mut vertex: Vertex) {
        self.mask.text(&mut vertex.error);
        let seen = inner.seen.entry(vertex.digest.clone()).or_default();
        if vertex.completed.is_some() {
            let rest = seen.held.each_mut().map(|held| self.mask.end(held));
            for (stream, rest) in STREAMS.into_iter().zip(rest) {
                self.output(inner, &vertex.digest, stream, &rest);
            }
        }
        let seen = inner.seen.entry(vertex.digest.clone()).or_default();
        if let (Some(start), Some(end)) = (vertex.started, vertex.completed)
            && seen.intervals.insert(start, end).is_none()
        {
            self.trace(inner.steps.get(&vertex.digest), &vertex, (start, end));
        }
        seen.failed |= vertex.completed.is_some() && !vertex.error.is_empty();
        seen.since = match (vertex.started, vertex.completed) {
            (Some(_), None) => seen.since.or_else(|| Some(Instant::now())),
            _ => None,
        };
        if !inner.steps.contains_key(&vertex.digest) {
            // What the engine does beside steps has its own names. The exporter starts its vertex a second
            // time for the push.
            let exports = vertex.name.starts_with("exporting to ");
            if exports && vertex.started.is_some() && !inner.exporting {
                inner.exporting = true;
                self.events.send(Event::Exporting {
                    text: EXPORTING.to_owned(),
                    done: false,
                });
            }
            return;
        }
        let begins = vertex.started.is_some() && !seen.begun;
        let ends = vertex.completed.is_some() && !seen.done;
        seen.begun |= begins;
        seen.done |= ends;
        let took: Duration = seen
            .intervals
            .iter()
            .map(|(a, b)| b.saturating_sub(*a))
            .fold(Duration::ZERO, Duration::saturating_add);
        for step in &inner.steps[&vertex.digest] {
            let (image, title) = (step.image.clone(), step.title.clone());
            if begins {
                self.events.send(Event::Step {
                    image: image.clone(),
                    step: title.clone(),
                    change: StepChange::Started {
                        number: step.number,
                        of: step.of,
                    },
                });
            }
            if !ends {
                continue;
            }
            if vertex.error.is_empty() {
                self.events.send(Event::Step {
                    image,
                    step: title,
                    change: StepChange::Done {
                        cached: vertex.cached,
                        took,
                    },
                });
            } else if !vertex.error.ends_with("context canceled") {
                self.events.send(Event::Step {
                    image,
                    step: title,
                    change: StepChange::Failed(reason(&vertex.error)),
                });
            }
        }
        if ends {
            self.announce_ended(inner);
        }
    }

    /// Adds what an operation did to the trace.
    fn trace(&self, steps: Option<&Vec<Step>>, vertex: &Vertex, times: (Duration, Duration)) {
        let mut name = match steps.and_then(|steps| steps.first()) {
            Some(step) => format!("{}: {}", step.image, step.title),
            None => vertex.name.clone(),
        };
        self.mask.text(&mut name);
        let cached = if vertex.cached { "yes" } else { "no" };
        trace::record(Track::Steps, &name, times, &[("cached", cached)]);
    }

    /// Notes that the solve has ended, and with it the export.
    pub fn end(&self) {
        let mut inner = self.lock();
        for image in std::mem::take(&mut inner.unannounced) {
            self.announce(&inner, image);
        }
        if inner.exporting {
            self.events.send(Event::Exporting {
                text: EXPORTING.to_owned(),
                done: true,
            });
        }
    }

    /// Returns the last lines that an operation wrote.
    pub fn tail(&self, digest: &str) -> Vec<String> {
        let inner = self.lock();
        inner
            .seen
            .get(digest)
            .map(|s| s.tail.lines())
            .unwrap_or_default()
    }

    /// Returns the index of the member of a group that failed.
    pub fn member(&self, digest: &str) -> Option<usize> {
        self.lock().seen.get(digest)?.member
    }

    /// Returns how long the steps of an image ran.
    pub fn took(&self, image: &str) -> Duration {
        self.lock().took(image)
    }
}

/// Reads the number in the escape sequence that the script of a group ends with if a member failed
/// (`src/compile/scripts/group.sh`). It is written at once, so it is in one piece of the output.
fn member_in(bytes: &[u8]) -> Option<usize> {
    let start = b"\x1b]laminate;";
    let at = bytes.windows(start.len()).rposition(|part| part == start)?;
    let rest = &bytes[at + start.len()..];
    let end = rest.iter().position(|byte| *byte == 0x1b)?;
    std::str::from_utf8(&rest[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests;
