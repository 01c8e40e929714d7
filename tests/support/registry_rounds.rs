//! Counts the requests that a client sends one after the other: the registry answers in rounds.
//!
//! Main type: [`Rounds`]. While they are on, no request is answered before the client has sent all that it can send
//! without an answer. So the number of rounds is the longest chain of requests, whatever the machine.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::State;

/// A client that sends nothing for so long waits for an answer.
const QUIET: Duration = Duration::from_millis(120);

/// The rounds so far.
#[derive(Default)]
pub struct Rounds {
    /// Each request of the log, by kind, with its round from 1.
    pub requests: Vec<(usize, String)>,
    number: usize,
    /// The last request of a round that is not answered yet.
    open: Option<Instant>,
}

impl Rounds {
    /// Returns how many requests there were of each kind, such as `HEAD manifests`.
    pub fn kinds(&self) -> BTreeMap<&str, usize> {
        let mut kinds = BTreeMap::new();
        for (_, kind) in &self.requests {
            let kind = kind
                .rsplit_once(' ')
                .map_or(kind.as_str(), |(kind, _)| kind);
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    }

    /// Returns the longest chain of requests, one after the other.
    pub fn chain(&self) -> usize {
        self.number
    }

    /// Returns a line a round, with its requests.
    pub fn shown(&self) -> String {
        let mut lines = BTreeMap::<usize, Vec<&str>>::new();
        for (round, request) in &self.requests {
            lines.entry(*round).or_default().push(request);
        }
        let lines = lines.into_iter();
        lines
            .map(|(round, requests)| format!("{round:3} {}\n", requests.join(", ")))
            .collect()
    }
}

/// Returns the kind of a request and its object: `HEAD manifests a:latest`.
fn kind(method: &str, uri: &str) -> String {
    let path = uri.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("/v2/").unwrap_or(path);
    for part in ["manifests", "blobs/uploads", "blobs", "tags"] {
        let Some((repository, object)) = path.split_once(&format!("/{part}/")) else {
            continue;
        };
        let part = if uri.contains("mount=") {
            "mounts"
        } else {
            part
        };
        let object: String = object.chars().take(24).collect();
        return format!("{method} {part} {repository}:{object}");
    }
    format!("{method} other {path}")
}

/// Waits until the round of a request is answered, if there are rounds.
pub(super) async fn wait(shared: &Mutex<State>, method: &str, uri: &str) {
    let round = {
        let mut state = shared.lock().expect("no thread panicked");
        let Some(rounds) = &mut state.rounds else {
            return;
        };
        if rounds.open.is_none() {
            rounds.number += 1;
        }
        rounds.open = Some(Instant::now());
        rounds.requests.push((rounds.number, kind(method, uri)));
        rounds.number
    };
    loop {
        let until = {
            let mut state = shared.lock().expect("no thread panicked");
            let Some(rounds) = &mut state.rounds else {
                return;
            };
            match rounds.open {
                Some(last) if rounds.number == round && last.elapsed() < QUIET => last + QUIET,
                Some(_) if rounds.number == round => {
                    rounds.open = None;
                    return;
                }
                _ => return,
            }
        };
        tokio::time::sleep_until(until.into()).await;
    }
}
