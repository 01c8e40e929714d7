//! Shows the progress of a run on stderr: events become lines, a live display or JSON.
//!
//! [`Reporter`] reads the events on its own thread, so that work does not wait for a terminal. `cli`
//! starts one, and finishes it before it prints the result. [`table`] formats results, [`Paint`] colours
//! them.

mod json;
mod paint;
mod plain;
mod steps;
mod terminal;

use std::io::{IsTerminal as _, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use self::paint::{Ink, Paint};
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
    /// Returns the kind that `Auto` stands for, and any other kind as it is. `ci` is the variable `CI`.
    fn resolve(self, is_terminal: bool, ci: Option<&str>) -> Self {
        match self {
            Self::Auto if is_terminal && ci.is_none_or(str::is_empty) => Self::Tty,
            Self::Auto => Self::Plain,
            other => other,
        }
    }
}

/// A way to show events. `now` is an argument, so that tests can set the clock.
trait View: Send {
    /// Shows an event.
    fn show(&mut self, event: &Event, now: Instant);

    /// Redraws times, when no event came for a while.
    fn tick(&mut self, _now: Instant) {}

    /// Ends the display: no more events come.
    fn end(&mut self) {}
}

/// How often a display with times is redrawn.
const TICK: Duration = Duration::from_millis(100);

/// Shows events until it is finished or dropped.
#[derive(Debug)]
pub struct Reporter {
    events: Events,
    thread: Option<JoinHandle<()>>,
}

impl Reporter {
    /// Starts to show the events sent to the returned [`Events`]. `verbose` adds the output of steps.
    pub fn start(progress: Progress, verbose: bool, color: bool) -> (Events, Self) {
        let ci = std::env::var_os("CI").map(|ci| ci.to_string_lossy().into_owned());
        let stderr = || Box::new(std::io::stderr()) as Box<dyn Write + Send>;
        let runner = std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true");
        let plain = || {
            let plain = plain::Plain::new(stderr(), verbose, color);
            Box::new(plain.for_runner(runner)) as Box<dyn View>
        };
        let view = match progress.resolve(std::io::stderr().is_terminal(), ci.as_deref()) {
            Progress::Tty => match terminal::Terminal::stderr(verbose, color) {
                Some(terminal) => Box::new(terminal) as Box<dyn View>,
                None => plain(),
            },
            Progress::Plain | Progress::Auto => plain(),
            Progress::Json => Box::new(json::Json::new(stderr())),
            Progress::Quiet => {
                let plain = plain::Plain::only_failures(stderr(), color);
                Box::new(plain.for_runner(runner))
            }
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

    /// Shows all events sent so far and restores the terminal. Later events are lost; a sender that is
    /// still alive does no harm.
    pub fn finish(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.events.send(Event::Stop);
        if let Some(thread) = self.thread.take() {
            // The panic hook has reported a panic there; it does not change the result of the run.
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
    let mut is_released = false;
    loop {
        match events.recv_timeout(TICK) {
            Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(Event::Release(done)) => {
                view.end();
                is_released = true;
                // The process may have been given up.
                let _ = done.send(());
            }
            Ok(event) => view.show(&event, Instant::now()),
            Err(RecvTimeoutError::Timeout) if is_released => {}
            Err(RecvTimeoutError::Timeout) => view.tick(Instant::now()),
        }
    }
    view.end();
}

#[cfg(test)]
mod tests;
