//! Records where the time of a command goes, for `--trace`.
//!
//! [`span`] measures from its call until the returned [`Span`] is dropped; [`record`] adds work that somebody else
//! has measured. Both do nothing unless [`start`] was called. `cli` calls [`start`] and [`write`]; rooms that act
//! call the others.

mod chrome;

use std::path::Path;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::disk;

/// A part of laminate, or what it waits for. Spans of one track are shown together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Track {
    /// The command and its phases.
    Command,
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
    took: Duration,
    /// More facts, by name.
    notes: Vec<(&'static str, String)>,
}

/// All entries of this process.
struct Recorder {
    /// The wall clock when the recorder was started, since 1970. Only this clock can be compared with the engine's.
    epoch: Duration,
    /// The same moment by the clock that never jumps.
    start: Instant,
    entries: Mutex<Vec<Entry>>,
}

static RECORDER: OnceLock<Recorder> = OnceLock::new();

impl Recorder {
    fn new() -> Self {
        Self {
            epoch: SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default(),
            start: Instant::now(),
            entries: Mutex::default(),
        }
    }

    fn add(&self, entry: Entry) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.push(entry);
    }
}

/// Starts to record. Without this call nothing is recorded.
pub fn start() {
    RECORDER.get_or_init(Recorder::new);
}

/// A span that is recorded when it is dropped.
#[must_use]
pub struct Span(Option<(&'static Recorder, Entry)>);

/// Begins a span. `name` is called only if spans are recorded.
pub fn span(track: Track, name: impl FnOnce() -> String) -> Span {
    Span(RECORDER.get().map(|recorder| {
        let entry = Entry {
            track,
            name: name(),
            start: recorder.epoch + recorder.start.elapsed(),
            took: Duration::ZERO,
            notes: Vec::new(),
        };
        (recorder, entry)
    }))
}

impl Span {
    /// Adds a fact.
    pub fn note(&mut self, name: &'static str, value: impl std::fmt::Display) {
        if let Some((_, entry)) = &mut self.0 {
            entry.notes.push((name, value.to_string()));
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some((recorder, mut entry)) = self.0.take() {
            let now = recorder.epoch + recorder.start.elapsed();
            entry.took = now.saturating_sub(entry.start);
            recorder.add(entry);
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
        recorder.add(Entry {
            track,
            name: name.to_owned(),
            start,
            took: end.saturating_sub(start),
            notes: notes.collect(),
        });
    }
}

/// Writes everything recorded so far to a file in Chrome's trace format, which <https://ui.perfetto.dev> and
/// `chrome://tracing` open. Fails if the file cannot be written.
pub fn write(path: &Path) -> std::io::Result<()> {
    let Some(recorder) = RECORDER.get() else {
        return Ok(());
    };
    let entries = recorder
        .entries
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    disk::write_atomically(path, chrome::document(entries).as_bytes())
}
