//! Tells people and programs on stderr how a run goes: events become lines, a live display or JSON.
//!
//! [`Reporter`] reads the events on a thread of its own, so that nobody who works waits for a
//! terminal. `cli` starts one and finishes it before it prints the result. [`table`] has what
//! commands print results with.

mod json;
mod plain;
mod steps;
pub mod table;
mod terminal;

use std::io::{IsTerminal as _, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::event::{Event, Events};

/// How progress is shown (`--progress`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Progress {
    /// `tty` if stderr is a terminal and CI is not set, else `plain`
    #[default]
    Auto,
    /// One live line per image being built; `plain` if the terminal cannot show it
    Tty,
    /// One line per event
    Plain,
    /// One JSON object per event and line
    Json,
    /// Only warnings and failures
    Quiet,
}

impl Progress {
    /// What `Auto` means; the others are themselves. `ci` is the variable `CI`.
    fn resolve(self, is_terminal: bool, ci: Option<&str>) -> Self {
        match self {
            Self::Auto if is_terminal && ci.is_none_or(str::is_empty) => Self::Tty,
            Self::Auto => Self::Plain,
            other => other,
        }
    }
}

/// One way to show events. `now` is given, so that tests have a clock of their own.
trait View: Send {
    fn show(&mut self, event: &Event, now: Instant);

    /// Some time passed; what shows times may be drawn again.
    fn tick(&mut self, _now: Instant) {}

    /// Nothing comes any more.
    fn end(&mut self) {}
}

/// How often a display with times is drawn again.
const TICK: Duration = Duration::from_millis(100);

/// Shows events until it is finished or dropped.
#[derive(Debug)]
pub struct Reporter {
    events: Events,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    /// Starts to show what is sent to the [`Events`] returned. `verbose` adds the output of steps.
    pub fn start(progress: Progress, verbose: bool, color: bool) -> (Events, Self) {
        let ci = std::env::var_os("CI").map(|ci| ci.to_string_lossy().into_owned());
        let stderr = || Box::new(std::io::stderr()) as Box<dyn Write + Send>;
        let plain = || Box::new(plain::Plain::new(stderr(), verbose, color)) as Box<dyn View>;
        let view = match progress.resolve(std::io::stderr().is_terminal(), ci.as_deref()) {
            Progress::Tty => match terminal::Terminal::stderr(verbose, color) {
                Some(terminal) => Box::new(terminal) as Box<dyn View>,
                None => plain(),
            },
            Progress::Plain | Progress::Auto => plain(),
            Progress::Json => Box::new(json::Json::new(stderr())),
            Progress::Quiet => Box::new(plain::Plain::only_failures(stderr(), color)),
        };
        Self::with(view)
    }

    fn with(view: Box<dyn View>) -> (Events, Self) {
        let (events, receiver) = Events::channel();
        let thread = std::thread::spawn(move || watch(&receiver, view));
        let reporter = Self {
            events: events.clone(),
            thread: Some(thread),
        };
        (events, reporter)
    }

    /// Shows what was sent until now and leaves the terminal as it should be. What is sent later is
    /// lost; a sender that is still alive does no harm.
    pub fn finish(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.events.send(Event::Stop);
        if let Some(thread) = self.thread.take() {
            // A panic there was shown by its hook; the result of the run is the same.
            let _ = thread.join();
        }
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.stop();
    }
}

fn watch(events: &Receiver<Event>, mut view: Box<dyn View>) {
    loop {
        match events.recv_timeout(TICK) {
            Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(event) => view.show(&event, Instant::now()),
            Err(RecvTimeoutError::Timeout) => view.tick(Instant::now()),
        }
    }
    view.end();
}

/// Colours of the terminal, by what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ink {
    Good,
    Bad,
    Warning,
    Name,
    Aside,
}

#[derive(Clone, Copy, Debug)]
struct Paint {
    color: bool,
}

impl Paint {
    fn text(self, ink: Ink, text: &str) -> String {
        let code = match ink {
            Ink::Good => "32",
            Ink::Bad => "1;31",
            Ink::Warning => "1;33",
            Ink::Name => "1",
            Ink::Aside => "2",
        };
        match self.color {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
