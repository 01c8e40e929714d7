//! Entries as Chrome's trace format: <https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU>,
//! "JSON Object Format" and "Complete Events".

use std::time::Duration;

use serde_json::{Value, json};

use super::{Entry, Track};

impl Track {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Spec => "spec and keys",
            Self::Git => "git",
            Self::Engine => "engine",
            Self::Images => "images",
            Self::Steps => "steps (clock of the engine)",
            Self::Proofs => "suites and checks",
            Self::Registry => "requests to registries",
            Self::Tags => "tags",
            Self::Pauses => "pauses on purpose",
        }
    }
}

/// How many lines a track can have: the number of a line is that of the track times this, plus its own.
const LINES: usize = 10_000;

/// Returns entries that have ended as a document. Complete events on one line must nest, so entries that overlap get lines of
/// their own.
pub(super) fn document(mut entries: Vec<Entry>) -> String {
    entries.sort_by_key(|entry| (entry.track, entry.start, std::cmp::Reverse(entry.took)));
    let origin = entries
        .iter()
        .map(|entry| entry.start)
        .min()
        .unwrap_or_default();
    let mut events: Vec<Value> = Vec::with_capacity(entries.len());
    for track in entries.chunk_by(|a, b| a.track == b.track) {
        // For each line, the ends of the entries that are still open.
        let mut lines: Vec<Vec<Duration>> = Vec::new();
        for entry in track {
            let end = entry.until();
            let fits = |open: &mut Vec<Duration>| {
                open.retain(|until| *until > entry.start);
                open.last().is_none_or(|until| *until >= end)
            };
            let line = lines.iter_mut().position(fits).unwrap_or_else(|| {
                lines.push(Vec::new());
                lines.len() - 1
            });
            lines[line].push(end);
            events.push(event(entry, origin, line));
        }
        let first = &track[0];
        for line in 0..lines.len() {
            events.push(json!({
                "ph": "M", "name": "thread_name", "pid": 1, "tid": number(first.track, line),
                "args": { "name": first.track.title() },
            }));
        }
    }
    json!({ "displayTimeUnit": "ms", "traceEvents": events }).to_string()
}

/// Returns the number of a line.
fn number(track: Track, line: usize) -> usize {
    track as usize * LINES + line.min(LINES - 1)
}

fn event(entry: &Entry, origin: Duration, line: usize) -> Value {
    let fault = entry.fault.as_ref().map(|fault| ("fault", fault));
    let notes = entry
        .notes
        .iter()
        .map(|(name, value)| (*name, value))
        .chain(fault)
        .map(|(name, value)| (name.to_owned(), json!(value)));
    json!({
        "ph": "X", "name": entry.name, "cat": entry.track.title(), "pid": 1, "tid": number(entry.track, line),
        "ts": micros(entry.start.saturating_sub(origin)), "dur": micros(entry.took.unwrap_or_default()),
        "args": notes.collect::<serde_json::Map<_, _>>(),
    })
}

/// Returns a time in microseconds, the unit of the format.
fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(track: Track, name: &str, start: u64, took: u64) -> Entry {
        Entry {
            track,
            name: name.to_owned(),
            start: Duration::from_millis(start),
            took: Some(Duration::from_millis(took)),
            notes: vec![("status", "200".to_owned())],
            fault: None,
        }
    }

    /// Returns (name, line, start, length) of each event, times in milliseconds.
    fn events(document: &str) -> Vec<(String, u64, u64, u64)> {
        let document: Value = serde_json::from_str(document).expect("valid JSON");
        let events = document["traceEvents"].as_array().expect("a list");
        let complete = events.iter().filter(|event| event["ph"] == "X");
        let ms = |value: &Value| (value.as_f64().expect("a number") / 1000.0).round() as u64;
        complete
            .map(|event| {
                let name = event["name"].as_str().expect("a name").to_owned();
                let line = event["tid"].as_u64().expect("a number");
                (name, line, ms(&event["ts"]), ms(&event["dur"]))
            })
            .collect()
    }

    #[test]
    fn entries_that_nest_share_a_line_and_those_that_overlap_do_not() {
        let registry = Track::Registry as u64 * 10_000;
        let list = vec![
            entry(Track::Registry, "second", 1005, 10),
            entry(Track::Command, "build", 1000, 100),
            entry(Track::Command, "facts", 1000, 40),
            entry(Track::Registry, "first", 1000, 10),
            entry(Track::Registry, "third", 1010, 10),
        ];
        let found = events(&document(list));
        let expected = [
            ("build", 0, 0, 100),
            ("facts", 0, 0, 40),
            ("first", registry, 0, 10),
            ("second", registry + 1, 5, 10),
            ("third", registry, 10, 10),
        ];
        let found: Vec<_> = found
            .iter()
            .map(|(name, line, start, took)| (name.as_str(), *line, *start, *took))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_has_not_ended_lasts_until_now_and_is_marked() {
        let mut open = entry(Track::Engine, "solve", 10, 0);
        open.took = None;
        open.end(Duration::from_millis(30));
        let text = document(vec![open]);
        assert!(text.contains("\"dur\":20000"), "{text}");
        assert!(text.contains("\"unfinished\":\"yes\""), "{text}");
    }

    #[test]
    fn nothing_recorded_is_a_valid_document() {
        assert_eq!(
            document(Vec::new()),
            r#"{"displayTimeUnit":"ms","traceEvents":[]}"#
        );
    }
}
