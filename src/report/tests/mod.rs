//! One run, as each view shows it.

mod plain;
mod terminal;

use std::sync::{Arc, Mutex};

use indicatif::{InMemoryTerm, ProgressDrawTarget};

use super::json::Json;
use super::plain::Plain;
use super::terminal::Terminal;
use super::*;
use crate::event::StepChange;
use crate::name::Digest;
use crate::tail::Stream;

/// What is written can be read while the view still has its end.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no thread panicked").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn text(&self) -> String {
        let bytes = self.0.lock().expect("no thread panicked").clone();
        String::from_utf8(bytes).expect("views write UTF-8")
    }
}

fn started(image: &str, step: &str, number: usize, of: usize) -> Event {
    Event::Step {
        image: image.to_owned(),
        step: step.to_owned(),
        change: StepChange::Started { number, of },
    }
}

fn log(image: &str, step: &str, text: &str) -> Event {
    Event::Step {
        image: image.to_owned(),
        step: step.to_owned(),
        change: StepChange::Output(Stream::Output, text.as_bytes().to_vec()),
    }
}

fn done(image: &str, step: &str, cached: bool, millis: u64) -> Event {
    Event::Step {
        image: image.to_owned(),
        step: step.to_owned(),
        change: StepChange::Done {
            cached,
            took: Duration::from_millis(millis),
        },
    }
}

/// base is built, ml fails, lab is skipped, r is reused.
fn story() -> Vec<Event> {
    let text = |text: &str| text.to_owned();
    vec![
        Event::Phase {
            text: text("reading the stack"),
        },
        Event::Warning {
            text: text("debian:bookworm is not locked"),
        },
        Event::Planned {
            build: vec![text("base"), text("ml"), text("lab")],
            reuse: vec![text("r")],
        },
        Event::ImageStarted {
            image: text("base"),
        },
        started("base", "apt git", 1, 2),
        done("base", "apt git", true, 0),
        started("base", "run useradd", 2, 2),
        log(
            "base",
            "run useradd",
            "adding \x1b[1muser\x1b[0m\nno line break",
        ),
        done("base", "run useradd", false, 1234),
        Event::ImageDone {
            image: text("base"),
            took: Duration::from_millis(64_000),
        },
        Event::ImageStarted { image: text("ml") },
        started("ml", "pip requirements.txt", 1, 5),
        started("ml", "pip requirements.txt", 1, 5),
        Event::Step {
            image: text("ml"),
            step: text("pip requirements.txt"),
            change: StepChange::Progress {
                what: text("numpy"),
                current: 12_000_000,
                total: 152_000_000,
            },
        },
        log("ml", "pip requirements.txt", "Collecting n"),
        log(
            "ml",
            "pip requirements.txt",
            "umpy\n\n 10%\r 99%\r\nerror: no numpy\n",
        ),
        Event::Step {
            image: text("ml"),
            step: text("pip requirements.txt"),
            change: StepChange::Failed(text("exit code: 1")),
        },
        Event::ImageFailed {
            image: text("ml"),
            error: text("step `pip requirements.txt` failed"),
        },
        Event::ImageSkipped {
            image: text("lab"),
            because: text("ml"),
        },
    ]
    .into_iter()
    .chain(story_of_tags())
    .collect()
}

/// The end of the story: images are pushed and tagged.
fn story_of_tags() -> Vec<Event> {
    let text = |text: &str| text.to_owned();
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    vec![
        Event::Exporting {
            text: text("pushing to localhost/x/stack"),
            done: false,
        },
        Event::Exporting {
            text: text("pushing to localhost/x/stack"),
            done: true,
        },
        Event::BlobsCopied {
            image: text("base"),
            repository: text("localhost/x/base"),
            blobs: 3,
            bytes: 39,
            reason: text("localhost refused"),
        },
        Event::Published {
            image: text("base"),
            repository: text("localhost/x/base"),
            tags: vec![text("2021.2-d021570")],
            digest: Digest::parse(&digest).expect("a digest"),
        },
    ]
}

fn show_all(view: &mut dyn View, story: &[Event]) {
    let now = Instant::now();
    for event in story {
        view.show(event, now);
    }
    view.end();
}

#[test]
fn json_lines() {
    let written = Written::default();
    show_all(&mut Json::new(written.clone()), &story());
    insta::assert_snapshot!(written.text(), @r#"
    {"event":"phase","text":"reading the stack"}
    {"event":"warning","text":"debian:bookworm is not locked"}
    {"event":"planned","build":["base","ml","lab"],"reuse":["r"]}
    {"event":"image_started","image":"base"}
    {"event":"step_started","image":"base","step":"apt git","number":1,"of":2}
    {"event":"step_done","image":"base","step":"apt git","cached":true,"seconds":0.0}
    {"event":"step_started","image":"base","step":"run useradd","number":2,"of":2}
    {"event":"step_log","image":"base","step":"run useradd","line":"adding user"}
    {"event":"step_log","image":"base","step":"run useradd","line":"no line break"}
    {"event":"step_done","image":"base","step":"run useradd","cached":false,"seconds":1.234}
    {"event":"image_done","image":"base","seconds":64.0}
    {"event":"image_started","image":"ml"}
    {"event":"step_started","image":"ml","step":"pip requirements.txt","number":1,"of":5}
    {"event":"step_progress","image":"ml","step":"pip requirements.txt","what":"numpy","current":12000000,"total":152000000}
    {"event":"step_log","image":"ml","step":"pip requirements.txt","line":"Collecting numpy"}
    {"event":"step_log","image":"ml","step":"pip requirements.txt","line":""}
    {"event":"step_log","image":"ml","step":"pip requirements.txt","line":" 99%"}
    {"event":"step_log","image":"ml","step":"pip requirements.txt","line":"error: no numpy"}
    {"event":"step_failed","image":"ml","step":"pip requirements.txt","error":"exit code: 1","log_tail":["Collecting numpy",""," 99%","error: no numpy"]}
    {"event":"image_failed","image":"ml","error":"step `pip requirements.txt` failed"}
    {"event":"image_skipped","image":"lab","because":"ml"}
    {"event":"exporting","text":"pushing to localhost/x/stack","done":false}
    {"event":"exporting","text":"pushing to localhost/x/stack","done":true}
    {"event":"blobs_copied","image":"base","repository":"localhost/x/base","blobs":3,"bytes":39,"reason":"localhost refused"}
    {"event":"published","image":"base","repository":"localhost/x/base","tags":["2021.2-d021570"],"digest":"sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}
    "#);
}

#[test]
fn finish_shows_everything_sent_and_waits_for_no_sender() {
    let written = Written::default();
    let view = Plain::new(written.clone(), false, false);
    let (events, reporter) = Reporter::with(Box::new(view));
    for number in 0..1000 {
        events.send(Event::Note {
            text: format!("note {number}"),
        });
    }
    let alive = events.clone();
    reporter.finish();
    alive.send(Event::Note {
        text: "too late".to_owned(),
    });
    let expected: String = (0..1000)
        .map(|number| format!("note: note {number}\n"))
        .collect();
    assert_eq!(written.text(), expected);
}

#[test]
fn a_reporter_that_is_dropped_has_shown_everything() {
    let written = Written::default();
    let view = Plain::new(written.clone(), false, false);
    let (events, reporter) = Reporter::with(Box::new(view));
    events.send(Event::Note {
        text: "a note".to_owned(),
    });
    drop(reporter);
    assert_eq!(written.text(), "note: a note\n");
}

fn suite(passed: bool, summary: &str) -> Event {
    Event::SuiteDone {
        image: "ml".to_owned(),
        suite: "common".to_owned(),
        passed,
        summary: summary.to_owned(),
        took: Duration::from_millis(1500),
    }
}

fn checked(findings: usize) -> Event {
    Event::Checked {
        image: "ml".to_owned(),
        findings,
        took: Duration::from_millis(200),
    }
}

/// A suite and the checks, passed and failed.
fn verdicts() -> [Event; 4] {
    [
        suite(true, "12 passed"),
        suite(false, "1 of 12 failed"),
        checked(0),
        checked(2),
    ]
}

#[test]
fn docs_json_md_lists_every_event() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md");
    let docs = std::fs::read_to_string(path).expect("it is in the repository");
    let written = Written::default();
    let mut view = Json::new(written.clone());
    let started = Event::SuiteStarted {
        image: "ml".to_owned(),
        suite: "common".to_owned(),
    };
    let note = Event::Note {
        text: "a note".to_owned(),
    };
    show_all(&mut view, &story());
    show_all(&mut view, &verdicts());
    show_all(&mut view, &[started, note]);
    for line in written.text().lines() {
        let event: serde_json::Value = serde_json::from_str(line).expect("it is JSON");
        let name = event["event"].as_str().expect("every event has a name");
        assert!(docs.contains(&format!("`{name}`")), "{name}");
    }
}
