//! Records where the time of a command goes, for `--trace` and for a collector of OpenTelemetry.
//!
//! [`span`] measures from its call until the returned [`Span`] is dropped; [`record`] adds work that somebody else
//! has measured. Both do nothing unless [`start`] was called. `cli` calls [`start`], [`write`] and [`send`]; rooms that
//! act call the others.

mod chrome;
mod otlp;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::disk;

/// A part of laminate, or what it waits for. Spans of one track are shown together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Track {
    /// The command and its phases.
    Command,
    /// Reading the spec and its files, making keys and looking them up.
    Spec,
    /// git, a process each.
    Git,
    /// The engine: connection, session, solve.
    Engine,
    /// Images, as the client has the engine solve them.
    Images,
    /// Steps, as the engine reports them, by the engine's clock.
    Steps,
    /// Suites, checks and package lists.
    Proofs,
    /// Requests to registries.
    Registry,
    /// Tags of images and channels.
    Tags,
    /// Pauses on purpose.
    Pauses,
}

/// Something that took time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    track: Track,
    name: String,
    /// When it began, since 1970.
    start: Duration,
    /// `None` while it lasts.
    took: Option<Duration>,
    /// More facts, by name.
    notes: Vec<(&'static str, String)>,
    /// Why it failed.
    fault: Option<String>,
}

/// All entries of this process.
struct Recorder {
    /// The wall clock when the recorder was started, since 1970. Only this clock can be compared with the engine's.
    epoch: Duration,
    /// The same moment by the clock that never jumps.
    start: Instant,
    /// The file to write.
    path: Option<PathBuf>,
    /// The trace that the spans belong to, if a collector gets them.
    link: Option<otlp::Link>,
    entries: Mutex<Vec<Entry>>,
}

static RECORDER: OnceLock<Recorder> = OnceLock::new();

impl Recorder {
    fn new(path: Option<&Path>, link: Option<otlp::Link>) -> Self {
        Self {
            epoch: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            start: Instant::now(),
            path: path.map(Path::to_owned),
            link,
            entries: Mutex::default(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.epoch + self.start.elapsed()
    }

    /// Returns what is recorded; what lasts ends now.
    fn ended(&self) -> Vec<Entry> {
        let mut entries = self.entries().clone();
        let now = self.now();
        entries.iter_mut().for_each(|entry| entry.end(now));
        entries
    }
}

impl Entry {
    /// Returns when it ended, since 1970; when it began, if it lasts.
    fn until(&self) -> Duration {
        self.start.saturating_add(self.took.unwrap_or_default())
    }

    /// Ends what lasts, and marks it.
    fn end(&mut self, now: Duration) {
        if self.took.is_none() {
            self.notes.push(("unfinished", "yes".to_owned()));
            self.took = Some(now.saturating_sub(self.start));
        }
    }
}

/// Starts to record for the file at `path`, and for the collector that the environment names (`OTEL_EXPORTER_OTLP_ENDPOINT`).
/// Without either, nothing is recorded.
pub fn start(path: Option<&Path>, environment: impl Fn(&str) -> Option<String>) {
    let link = otlp::Link::new(environment);
    if path.is_some() || link.is_some() {
        RECORDER.get_or_init(|| Recorder::new(path, link));
    }
}

/// A span that ends when it is dropped: its recorder, and the index of its entry.
#[must_use]
pub struct Span(Option<(&'static Recorder, usize)>);

/// Begins a span. `name` is called only if spans are recorded.
pub fn span(track: Track, name: impl FnOnce() -> String) -> Span {
    Span(RECORDER.get().map(|recorder| {
        let entry = Entry {
            track,
            name: name(),
            start: recorder.now(),
            took: None,
            notes: Vec::new(),
            fault: None,
        };
        let mut entries = recorder.entries();
        entries.push(entry);
        (recorder, entries.len() - 1)
    }))
}

impl Span {
    /// Adds a fact.
    pub fn note(&mut self, name: &'static str, value: impl std::fmt::Display) {
        if let Some((recorder, index)) = self.0 {
            let value = value.to_string();
            recorder.entries()[index].notes.push((name, value));
        }
    }

    /// Says that it failed, and why.
    pub fn fail(&mut self, reason: impl Into<String>) {
        if let Some((recorder, index)) = self.0 {
            recorder.entries()[index].fault = Some(reason.into());
        }
    }

    /// Returns what makes another process's spans a part of this one (the header `traceparent` of
    /// <https://www.w3.org/TR/trace-context/>), if a collector gets them.
    pub fn parent(&self) -> Option<String> {
        let (recorder, index) = self.0?;
        Some(recorder.link.as_ref()?.header(index))
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some((recorder, index)) = self.0 {
            let now = recorder.now();
            let entry = &mut recorder.entries()[index];
            entry.took = Some(now.saturating_sub(entry.start));
        }
    }
}

/// Records work that somebody else has measured: `start` and `end` are times since 1970.
pub fn record(
    track: Track,
    name: &str,
    (start, end): (Duration, Duration),
    notes: &[(&'static str, &str)],
) {
    if let Some(recorder) = RECORDER.get() {
        let notes = notes
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        recorder.entries().push(Entry {
            track,
            name: name.to_owned(),
            start,
            took: Some(end.saturating_sub(start)),
            notes: notes.collect(),
            fault: None,
        });
    }
}

/// Writes everything recorded so far, also what has not ended, to the file in Chrome's trace format, which <https://ui.perfetto.dev> and
/// `chrome://tracing` open. Fails if the file cannot be written.
pub fn write() -> Result<(), (PathBuf, std::io::Error)> {
    let Some(recorder) = RECORDER.get() else {
        return Ok(());
    };
    let Some(path) = &recorder.path else {
        return Ok(());
    };
    let document = chrome::document(recorder.ended());
    disk::write_atomically(path, document.as_bytes()).map_err(|error| (path.clone(), error))
}

/// Sends everything recorded so far to the collector, if there is one. Fails with the reason.
pub async fn send() -> Result<(), String> {
    let Some(recorder) = RECORDER.get() else {
        return Ok(());
    };
    let Some(link) = &recorder.link else {
        return Ok(());
    };
    otlp::send(link.spans(recorder.ended())).await
}
