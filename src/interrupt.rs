//! What an interruption does: it stops work that may stop anywhere, and lets tags be finished.
//!
//! Main type: [`Interrupt`], shared by everything that works for one command. `cli` counts the signals.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// What a signal did, for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The first signal: work stops.
    Stop,
    /// The first signal while tags are written: they are finished.
    FinishTags,
    /// The second signal while tags are written: no more requests are sent, and the tags that are set are reported.
    AbandonTags,
    /// One more signal: the process must end now. Whether tags are being written.
    Exit {
        /// Whether some tags may be set and others not.
        in_tags: bool,
    },
}

/// The interruptions of one command; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    state: Arc<Mutex<State>>,
    cancel: CancellationToken,
    stop: CancellationToken,
}

#[derive(Debug, Default)]
struct State {
    /// Signals so far.
    signals: u32,
    /// How much work is going on that ends in order by itself.
    orderly: u32,
    /// How many of these write tags.
    tagging: u32,
    /// Whether tags were ever written.
    has_tagged: bool,
}

/// Work that is not dropped before its end: it stops by itself when it is interrupted.
#[derive(Debug)]
pub struct Orderly {
    interrupt: Interrupt,
    is_tagging: bool,
}

impl Drop for Orderly {
    fn drop(&mut self) {
        let mut state = self.interrupt.lock();
        state.orderly -= 1;
        state.tagging -= u32::from(self.is_tagging);
    }
}

impl Interrupt {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a signal.
    pub fn signal(&self) -> Reaction {
        let mut state = self.lock();
        state.signals += 1;
        let in_tags = state.tagging > 0;
        match (in_tags, state.signals) {
            (false, 1) => {
                self.cancel.cancel();
                Reaction::Stop
            }
            (true, 1) => {
                self.cancel.cancel();
                Reaction::FinishTags
            }
            (true, 2) => {
                self.stop.cancel();
                Reaction::AbandonTags
            }
            _ => Reaction::Exit { in_tags },
        }
    }

    /// Returns the token that fires at the first signal.
    pub fn cancel(&self) -> &CancellationToken {
        &self.cancel
    }

    /// Returns the token that fires when requests to registries must end, in the middle of a set of tags.
    pub fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Begins to write tags: from here on a first signal does not stop the work. Returns `None` if there was a
    /// signal already.
    pub fn begin_tagging(&self) -> Option<Orderly> {
        let mut state = self.lock();
        if state.signals > 0 {
            return None;
        }
        state.orderly += 1;
        state.tagging += 1;
        state.has_tagged = true;
        drop(state);
        Some(Orderly {
            interrupt: self.clone(),
            is_tagging: true,
        })
    }

    /// Begins work that ends in order by itself when [`cancel`](Self::cancel) fires.
    pub fn begin_orderly(&self) -> Orderly {
        self.lock().orderly += 1;
        Orderly {
            interrupt: self.clone(),
            is_tagging: false,
        }
    }

    /// Returns whether there is work that ends in order by itself.
    pub fn is_orderly(&self) -> bool {
        self.lock().orderly > 0
    }

    /// Returns whether tags were written.
    pub fn has_tagged(&self) -> bool {
        self.lock().has_tagged
    }

    /// Waits for `work`; returns `None` if there is a signal before it is done. Only for work that may stop anywhere.
    pub async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.cancel.run_until_cancelled(work).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_stops_and_the_second_exits() {
        let interrupt = Interrupt::default();
        let _orderly = interrupt.begin_orderly();
        assert_eq!(interrupt.signal(), Reaction::Stop);
        assert!(interrupt.cancel().is_cancelled());
        assert_eq!(interrupt.signal(), Reaction::Exit { in_tags: false });
        assert!(!interrupt.stop().is_cancelled());
    }

    #[test]
    fn tags_are_finished_and_only_the_second_signal_stops_requests() {
        let interrupt = Interrupt::default();
        let tagging = interrupt.begin_tagging();
        assert!(tagging.is_some());
        assert_eq!(interrupt.signal(), Reaction::FinishTags);
        assert!(!interrupt.stop().is_cancelled());
        assert_eq!(interrupt.signal(), Reaction::AbandonTags);
        assert!(interrupt.stop().is_cancelled());
        assert_eq!(interrupt.signal(), Reaction::Exit { in_tags: true });
    }

    #[test]
    fn no_tags_are_begun_after_a_signal() {
        let interrupt = Interrupt::default();
        interrupt.signal();
        assert!(interrupt.begin_tagging().is_none());
        assert!(!interrupt.has_tagged());
    }

    #[test]
    fn orderly_work_ends_with_its_guard() {
        let interrupt = Interrupt::default();
        let (tagging, engine) = (interrupt.begin_tagging(), interrupt.begin_orderly());
        drop(tagging);
        assert!(interrupt.is_orderly());
        drop(engine);
        assert!(!interrupt.is_orderly());
        assert!(interrupt.has_tagged());
        assert_eq!(interrupt.signal(), Reaction::Stop);
    }

    #[tokio::test]
    async fn a_signal_wins_over_work_that_is_done() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.unless_cancelled(async { 1 }).await, Some(1));
        interrupt.signal();
        assert_eq!(interrupt.unless_cancelled(async { 1 }).await, None);
    }
}
