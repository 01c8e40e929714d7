//! What an interruption does: it stops work that may stop anywhere, and lets tags be finished.
//!
//! Main types: [`Interrupt`], shared by everything that works for one command, and [`TagLog`], the tags that the command
//! has set. `cli` counts the signals.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::name::{Reference, Repository, Tag};

/// The tags of images that a command has set or moved; clones share them. What ends the command reports them.
#[derive(Clone, Debug, Default)]
pub struct TagLog(Arc<Mutex<BTreeSet<(Repository, Tag)>>>);

impl TagLog {
    /// Adds a tag that was written or deleted.
    pub fn add(&self, repository: &Repository, tag: &Tag) {
        let mut tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tags.insert((repository.clone(), tag.clone()));
    }

    /// Returns the tags, sorted.
    pub fn tags(&self) -> Vec<Reference> {
        let tags = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reference = |(repository, tag): &(Repository, Tag)| Reference {
            repository: repository.clone(),
            tag: Some(tag.clone()),
            digest: None,
        };
        tags.iter().map(reference).collect()
    }
}

/// Tags that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagSet {
    /// The immutable tags of a build.
    Build,
    /// The tags of a channel.
    Channel(String),
}

/// What a signal did, for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// The first signal: work stops.
    Stop,
    /// The first signal while tags are written: they are finished.
    FinishTags,
    /// The second signal while tags are written: no more requests are sent, and the tags that are set are reported.
    AbandonTags,
    /// One more signal: the process must end now.
    Exit,
}

/// The interruptions of one command; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Interrupt {
    state: Arc<Mutex<State>>,
    cancel: CancellationToken,
    stop: CancellationToken,
    log: TagLog,
}

#[derive(Debug, Default)]
struct State {
    /// Signals so far.
    signals: u32,
    /// How much work is going on that ends in order by itself.
    orderly: u32,
    /// The tags that are being written.
    tagging: Option<TagSet>,
    /// Where signals go instead, and how many went there.
    forward: Option<(Forward, u32)>,
}

/// Takes signals by their names: `SIGINT`.
#[derive(Clone)]
struct Forward(Arc<dyn Fn(&'static str) + Send + Sync>);

impl std::fmt::Debug for Forward {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forward")
    }
}

/// A process in a container that gets the signals of laminate, until this is dropped.
#[derive(Debug)]
pub struct Forwarding(Interrupt);

impl Drop for Forwarding {
    fn drop(&mut self) {
        self.0.lock().forward = None;
    }
}

/// How many signals a process in a container gets; one more is for laminate.
pub const FORWARDED: u32 = 2;

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
        if self.is_tagging {
            state.tagging = None;
        }
    }
}

impl Interrupt {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the next [`FORWARDED`] signals passed on, and not taken in.
    pub fn forward(&self, to: impl Fn(&'static str) + Send + Sync + 'static) -> Forwarding {
        self.lock().forward = Some((Forward(Arc::new(to)), 0));
        Forwarding(self.clone())
    }

    /// Passes a signal on if signals are. Returns how many were passed on; `None` if this one is to be taken in.
    pub fn pass_on(&self, name: &'static str) -> Option<u32> {
        let mut state = self.lock();
        let (forward, count) = state.forward.as_mut()?;
        if *count == FORWARDED {
            return None;
        }
        *count += 1;
        (forward.0)(name);
        Some(*count)
    }

    /// Takes in a signal.
    pub fn signal(&self) -> Reaction {
        let mut state = self.lock();
        state.signals += 1;
        let in_tags = state.tagging.is_some();
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
            _ => Reaction::Exit,
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

    /// Returns the tags that were set so far.
    pub fn log(&self) -> &TagLog {
        &self.log
    }

    /// Begins to write tags: from here on a first signal does not stop the work. Returns `None` if there was a
    /// signal already.
    pub fn begin_tagging(&self, tags: TagSet) -> Option<Orderly> {
        let mut state = self.lock();
        if state.signals > 0 {
            return None;
        }
        state.orderly += 1;
        state.tagging = Some(tags);
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

    /// Returns the tags that are being written, if any.
    pub fn unfinished(&self) -> Option<TagSet> {
        self.lock().tagging.clone()
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
        assert_eq!(interrupt.signal(), Reaction::Exit);
        assert!(!interrupt.stop().is_cancelled());
    }

    #[test]
    fn tags_are_finished_and_only_the_second_signal_stops_requests() {
        let interrupt = Interrupt::default();
        let tagging = interrupt.begin_tagging(TagSet::Build);
        assert!(tagging.is_some());
        assert_eq!(interrupt.signal(), Reaction::FinishTags);
        assert!(!interrupt.stop().is_cancelled());
        assert_eq!(interrupt.signal(), Reaction::AbandonTags);
        assert!(interrupt.stop().is_cancelled());
        assert_eq!(interrupt.signal(), Reaction::Exit);
    }

    #[test]
    fn no_tags_are_begun_after_a_signal() {
        let interrupt = Interrupt::default();
        interrupt.signal();
        assert!(interrupt.begin_tagging(TagSet::Build).is_none());
        assert_eq!(interrupt.unfinished(), None);
    }

    #[test]
    fn orderly_work_ends_with_its_guard() {
        let interrupt = Interrupt::default();
        let (tagging, engine) = (
            interrupt.begin_tagging(TagSet::Build),
            interrupt.begin_orderly(),
        );
        drop(tagging);
        assert!(interrupt.is_orderly());
        drop(engine);
        assert!(!interrupt.is_orderly());
        assert_eq!(interrupt.signal(), Reaction::Stop);
    }

    #[test]
    fn a_process_gets_the_first_signals() {
        let interrupt = Interrupt::default();
        let passed = Arc::new(Mutex::new(Vec::new()));
        let to = passed.clone();
        let forwarding = interrupt.forward(move |name| to.lock().expect("no panic").push(name));
        assert_eq!(interrupt.pass_on("SIGINT"), Some(1));
        assert_eq!(interrupt.pass_on("SIGTERM"), Some(2));
        assert_eq!(interrupt.pass_on("SIGINT"), None);
        assert!(!interrupt.cancel().is_cancelled());
        drop(forwarding);
        assert_eq!(interrupt.pass_on("SIGINT"), None);
        assert_eq!(*passed.lock().expect("no panic"), ["SIGINT", "SIGTERM"]);
    }

    #[tokio::test]
    async fn a_signal_wins_over_work_that_is_done() {
        let interrupt = Interrupt::default();
        assert_eq!(interrupt.unless_cancelled(async { 1 }).await, Some(1));
        interrupt.signal();
        assert_eq!(interrupt.unless_cancelled(async { 1 }).await, None);
    }
}
