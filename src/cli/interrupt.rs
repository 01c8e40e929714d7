//! Ctrl-C, SIGTERM and SIGHUP: the first asks a command to stop, a later one ends it wherever it is.
//!
//! [`listen`] is called once by `main`, which drops what does not stop ([`overdue`]); commands wrap what can be
//! interrupted in [`unless_cancelled`].

use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::signal::unix::SignalKind;
use tokio_util::sync::CancellationToken;

use super::{Exit, Failure};
use crate::event::{Event, Events};
use crate::interrupt::{Interrupt, Reaction};

/// How long a command may take to stop by itself, unless it has work that ends in order.
const GRACE: Duration = Duration::from_secs(1);

/// How long the display may take to leave the terminal.
const DISPLAY: Duration = Duration::from_millis(150);

/// Passes signals on to `interrupt`. What they do is shown as events: a display that is drawn at the same time would
/// leave lines behind.
pub fn listen(interrupt: &Interrupt, events: &Events) {
    let (sender, mut signals) = tokio::sync::mpsc::unbounded_channel();
    let kinds = [
        (Signal::SIGINT, SignalKind::interrupt()),
        (Signal::SIGTERM, SignalKind::terminate()),
        (Signal::SIGHUP, SignalKind::hangup()),
    ];
    let ignored = ignored_signals();
    for (signal, kind) in kinds {
        // `nohup`, and shells that start a job in the background, have the process ignore signals.
        let is_ignored = ignored & (1 << (signal as u32 - 1)) != 0;
        let stream = tokio::signal::unix::signal(kind);
        if let Some(mut stream) = stream.ok().filter(|_| !is_ignored) {
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() {
                    let _ended = sender.send(());
                }
            });
        }
    }
    let (interrupt, events) = (interrupt.clone(), events.clone());
    // Ends with the runtime.
    tokio::spawn(async move {
        while signals.recv().await.is_some() {
            let reaction = interrupt.signal();
            let text = text(reaction).to_owned();
            match reaction {
                Reaction::Stop => events.send(Event::Note { text }),
                Reaction::FinishTags | Reaction::AbandonTags => {
                    events.send(Event::Warning { text });
                }
                Reaction::Exit { in_tags } => exit(&events, text, in_tags),
            }
        }
    });
}

/// Returns the message about a signal.
fn text(reaction: Reaction) -> &'static str {
    match reaction {
        Reaction::Stop => "stopping; press Ctrl-C again to stop immediately",
        Reaction::FinishTags => {
            "tags are being written; this is finished first and takes a moment; press Ctrl-C again to stop between tags"
        }
        Reaction::AbandonTags => "stopping between tags",
        Reaction::Exit { in_tags: false } => "interrupted; nothing was tagged",
        Reaction::Exit { in_tags: true } => {
            "interrupted while tags were written: some may be set and others not; run the same command again to finish (promote and revert: `laminate promote --to CHANNEL --resume`)"
        }
    }
}

/// Ends the process.
fn exit(events: &Events, text: String, in_tags: bool) {
    events.send(Event::Warning { text });
    events.send(Event::Stop);
    std::thread::sleep(DISPLAY);
    let exit = if in_tags {
        Exit::Publish
    } else {
        Exit::Interrupted
    };
    #[expect(clippy::exit, reason = "this ends laminate wherever it is")]
    std::process::exit(exit.code().into());
}

/// Returns the signals that the process was started to ignore, one bit each (proc(5), `SigIgn`).
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// Waits until a command was interrupted and has not stopped by itself in time. Work that ends in order is waited for.
pub async fn overdue(interrupt: &Interrupt) -> Failure {
    interrupt.cancel().cancelled().await;
    loop {
        tokio::time::sleep(GRACE).await;
        if !interrupt.is_orderly() {
            break;
        }
    }
    if interrupt.has_tagged() {
        Failure::new(
            Exit::Interrupted,
            "interrupted; the tags written so far are complete",
        )
    } else {
        Failure::interrupted()
    }
}

/// Waits for `work`, or returns [`Failure::interrupted`] if the token fires first. Only for work that may
/// stop anywhere: moves of tags are not wrapped, since half a set of tags is worse than a late stop.
pub async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Failure::interrupted()),
        done = work => done,
    }
}

/// Carries out a move of tags, which is finished even if it is interrupted; it does not begin after an interruption.
pub async fn tagging<T>(
    interrupt: &Interrupt,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let _tagging = interrupt.begin_tagging().ok_or_else(Failure::interrupted)?;
    work.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_that_fired_wins_over_work_that_is_done() {
        let cancel = CancellationToken::new();
        let done = unless_cancelled(&cancel, async { Ok(1) }).await;
        assert_eq!(done.expect("not cancelled"), 1);
        cancel.cancel();
        let stopped = unless_cancelled(&cancel, async { Ok(1) }).await;
        assert_eq!(stopped.expect_err("cancelled").exit, Exit::Interrupted);
    }

    #[tokio::test]
    async fn work_that_ends_in_order_is_waited_for() {
        let interrupt = Interrupt::default();
        let tagging = interrupt.begin_tagging();
        interrupt.signal();
        let waiting = tokio::time::timeout(GRACE * 3 / 2, overdue(&interrupt));
        assert!(waiting.await.is_err(), "it was not waited for");
        drop(tagging);
        let failure = overdue(&interrupt).await;
        assert_eq!(failure.exit, Exit::Interrupted);
        assert!(
            failure.shown(false).contains("complete"),
            "tags were written"
        );
    }
}
