//! Inputs of fuzzers; see `fuzzing`.

use super::names::{Entry, entry};
use super::track::{Step, Tracker};
use crate::buildkit::fuzz::{error, updates};
use crate::event::{Event, Events, StepChange};
use crate::mask::Mask;

/// Files of the form of `/etc/passwd`: a name that is found is one that a line begins with.
pub fn users(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for name in ["root", "jovyan", ""] {
        let is_there = text.lines().any(|line| {
            let end = line.find(':').unwrap_or(line.len());
            line[..end].trim() == name
        });
        assert_eq!(entry(name, &text, 2) != Entry::Missing, is_there);
    }
}

/// Reports of an engine on its work, and its errors: events have no secret, and times are sums.
pub fn status(bytes: &[u8]) {
    error(bytes);
    let (events, received) = Events::channel();
    let tracker = Tracker::new(events, Mask::new([b"hunter22".as_slice()]));
    for digest in ["", "a", "sha256:a"] {
        let step = Step {
            image: "base".to_owned(),
            title: "run x".to_owned(),
            number: 1,
            of: 1,
        };
        tracker.add(digest.to_owned(), step);
    }
    tracker.add_suite("suite".to_owned(), "base".to_owned(), "own".to_owned());
    for list in updates(bytes) {
        tracker.update(list);
    }
    tracker.end();
    let _took = tracker.took("base");
    for digest in ["", "a", "sha256:a", "suite"] {
        let _times = (tracker.running(digest), tracker.ran(digest));
        let lines = tracker.tail(digest);
        assert!(lines.len() <= 40);
        let _member = tracker.member(digest);
    }
    for event in received.try_iter() {
        if let Event::Step {
            change: StepChange::Output(_, bytes),
            ..
        } = event
        {
            assert!(!bytes.windows(8).any(|part| part == b"hunter22"));
        }
    }
}
