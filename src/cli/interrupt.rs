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
use crate::interrupt::{FORWARDED, Interrupt, Reaction, TagSet};
use crate::terminal;

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
                    let _ended = sender.send(signal.as_str());
                }
            });
        }
    }
    let (interrupt, events) = (interrupt.clone(), events.clone());
    // Ends with the runtime.
    tokio::spawn(async move {
        while let Some(name) = signals.recv().await {
            if let Some(count) = interrupt.pass_on(name) {
                if count == FORWARDED {
                    let text = "the process got this signal; one more stops laminate".to_owned();
                    events.send(Event::Warning { text });
                }
                continue;
            }
            let text = match interrupt.signal() {
                Reaction::Stop => {
                    let text = "stopping; press Ctrl-C again to stop immediately".to_owned();
                    events.send(Event::Note { text });
                    continue;
                }
                Reaction::FinishTags => {
                    "tags are being written; this is finished first and takes a moment; press Ctrl-C again to stop between tags"
                }
                Reaction::AbandonTags => "stopping between tags",
                Reaction::Exit => exit(&events, &ended(&interrupt)),
            };
            let text = text.to_owned();
            events.send(Event::Warning { text });
        }
    });
}

/// Ends the process.
fn exit(events: &Events, failure: &Failure) -> ! {
    events.send(Event::Stop);
    std::thread::sleep(DISPLAY);
    terminal::restore();
    super::print_error(&failure.shown(super::color()));
    super::write_trace();
    #[expect(clippy::exit, reason = "this ends laminate wherever it is")]
    std::process::exit(failure.exit.code().into());
}

/// Returns the failure of a command that is interrupted now: which tags are set, and how to go on.
fn ended(interrupt: &Interrupt) -> Failure {
    let failure = match interrupt.unfinished() {
        Some(tags) => {
            let text = "interrupted while tags were written: others than these may be set";
            Failure::new(Exit::Publish, text).help(match tags {
                TagSet::Build => "run the same command again; it adds the missing tags".to_owned(),
                TagSet::Channel(name) => format!(
                    "finish the move with `laminate promote --to {name} --resume`, or undo it with `--abort`"
                ),
            })
        }
        None if interrupt.log().tags().is_empty() => Failure::interrupted(),
        None => {
            let text = "interrupted; the tags written so far are complete";
            Failure::new(Exit::Interrupted, text).help("run the same command again to do the rest")
        }
    };
    failure.with_tags(interrupt.log())
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
    ended(interrupt)
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

/// Waits for `work`, as [`unless_cancelled`] does, in a command that may have set tags before.
pub async fn unless_interrupted<T>(
    interrupt: &Interrupt,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match interrupt.unless_cancelled(work).await {
        Some(done) => done,
        None => Err(ended(interrupt)),
    }
}

/// Carries out a move of a channel's tags, which is finished even if it is interrupted; it does not begin after an interruption.
pub async fn tagging<T>(
    interrupt: &Interrupt,
    channel: &str,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let tagging = interrupt.begin_tagging(TagSet::Channel(channel.to_owned()));
    let _tagging = tagging.ok_or_else(|| ended(interrupt))?;
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
        let tagging = interrupt.begin_tagging(TagSet::Build);
        set(&interrupt, "a");
        interrupt.signal();
        let waiting = tokio::time::timeout(GRACE * 3 / 2, overdue(&interrupt));
        assert!(waiting.await.is_err(), "it was not waited for");
        drop(tagging);
        let failure = overdue(&interrupt).await;
        assert_eq!(failure.exit, Exit::Interrupted);
        insta::assert_snapshot!(failure.shown(false), @r"
        error: interrupted; the tags written so far are complete
        note: set before that: registry.example/a:1
        help: run the same command again to do the rest
        ");
    }

    fn set(interrupt: &Interrupt, name: &str) {
        let repository = crate::name::Repository::parse(&format!("registry.example/{name}"));
        let tag = crate::name::Tag::parse("1").expect("a tag");
        interrupt.log().add(&repository.expect("legal"), &tag);
    }

    #[test]
    fn what_ends_the_program_reports_the_tags_that_are_set() {
        let interrupt = Interrupt::default();
        let nothing = ended(&interrupt).shown(false);
        assert_eq!(nothing, "error: interrupted; nothing was tagged\n");
        let channel = TagSet::Channel("stable".to_owned());
        let tagging = interrupt.begin_tagging(channel);
        set(&interrupt, "b");
        set(&interrupt, "a");
        let failure = ended(&interrupt);
        assert_eq!(failure.exit, Exit::Publish);
        insta::assert_snapshot!(failure.shown(false), @r"
        error: interrupted while tags were written: others than these may be set
        note: set before that: registry.example/a:1, registry.example/b:1
        help: finish the move with `laminate promote --to stable --resume`, or undo it with `--abort`
        ");
        // Between two channels, and during an export.
        drop(tagging);
        assert_eq!(interrupt.signal(), Reaction::Stop);
        assert_eq!(interrupt.signal(), Reaction::Exit);
        let failure = ended(&interrupt);
        assert_eq!(failure.exit, Exit::Interrupted);
        assert!(failure.shown(false).contains("a:1, registry.example/b:1"));
        assert_eq!(failure.json()["tagged"][1], "registry.example/b:1");
    }

    #[tokio::test]
    async fn a_channel_that_is_not_begun_after_another_one_does_not_deny_it() {
        let interrupt = Interrupt::default();
        let first = tagging(&interrupt, "edge", async {
            set(&interrupt, "a");
            Ok(())
        });
        first.await.expect("moved");
        interrupt.signal();
        let second = tagging(&interrupt, "stable", async { Ok(()) }).await;
        let check = unless_interrupted(&interrupt, async { Ok(()) }).await;
        for failure in [second, check].map(|ended| ended.expect_err("interrupted")) {
            assert_eq!(failure.exit, Exit::Interrupted);
            assert!(failure.shown(false).contains("registry.example/a:1"));
        }
    }
}
