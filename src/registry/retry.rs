//! Decides whether and when a failed request is sent again.
//!
//! Main type: [`Retries`], used by `transport` and by writes that must look before they try again.
//! Temporary answers and broken connections are retried five times, after 0.5 s doubled each time
//! up to 30 s; `Retry-After` pauses the whole host instead (`docs/registry.md`).

use std::time::Duration;

use super::error::Error;

const MOST: u32 = 5;
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A registry that asks for a longer pause is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// The retries of one request or write.
pub(super) struct Retries {
    done: u32,
    backoff: Duration,
}

/// What to do after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    /// How long the registry asked to be left alone, also where the request is not sent again.
    pub pause: Option<Duration>,
    /// How long to wait before the next try, before jitter; `None` to give up.
    pub retry_after: Option<Duration>,
}

impl Retries {
    /// Returns retries of which none was made; `backoff` is the wait before the first.
    pub fn new(backoff: Duration) -> Self {
        Self { done: 0, backoff }
    }

    /// Returns which try is next, and how many there are.
    pub fn next_try(&self) -> (u32, u32) {
        (self.done + 1, MOST + 1)
    }

    /// Decides what to do after an error, and counts the retry if there is one.
    pub fn decide(&mut self, error: &Error) -> Decision {
        let asked = error.retry_after();
        let too_long = asked.is_some_and(|pause| pause > LONGEST_PAUSE);
        // A pause that is not waited for must not delay other requests either: they are to fail as well.
        let pause = asked.filter(|_| !too_long);
        if !error.is_temporary() || self.done == MOST || too_long {
            return Decision {
                pause,
                retry_after: None,
            };
        }
        self.done += 1;
        let backoff = self.backoff;
        self.backoff = (backoff * 2).min(LONGEST_BACKOFF);
        Decision {
            pause,
            // A paused host is waited for by every request.
            retry_after: Some(if pause.is_some() {
                Duration::ZERO
            } else {
                backoff
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::super::error::{Attempt, Operation};
    use super::*;

    const BACKOFF: Duration = Duration::from_millis(500);

    fn error(status: u16, retry_after: Option<u64>) -> Error {
        let attempt = Attempt {
            operation: Operation::ReadManifest,
            reference: "a.example/b:c".to_owned(),
            host: "a.example".to_owned(),
        };
        let wait = retry_after.map(Duration::from_secs);
        Error::of(attempt, Answer::read(status, wait, b""), false)
    }

    #[test]
    fn the_wait_doubles_and_the_sixth_try_is_the_last() {
        let mut retries = Retries::new(BACKOFF);
        let waits: Vec<_> = (0..6)
            .map(|_| retries.decide(&error(503, None)).retry_after)
            .collect();
        let expected = [500, 1000, 2000, 4000, 8000].map(Duration::from_millis);
        assert_eq!(waits[..5], expected.map(Some));
        assert_eq!(waits[5], None);
    }

    #[test]
    fn a_wait_is_at_most_half_a_minute() {
        let mut retries = Retries::new(Duration::from_secs(20));
        let mut wait = || retries.decide(&error(500, None)).retry_after;
        assert_eq!(wait(), Some(Duration::from_secs(20)));
        assert_eq!(wait(), Some(Duration::from_secs(30)));
        assert_eq!(wait(), Some(Duration::from_secs(30)));
    }

    #[test]
    fn final_answers_are_not_retried() {
        for status in [400, 401, 403, 404, 405, 409, 412, 413, 415, 501] {
            let decision = Retries::new(BACKOFF).decide(&error(status, None));
            assert_eq!(decision.retry_after, None, "{status}");
        }
    }

    #[test]
    fn a_pause_takes_the_place_of_the_wait() {
        let decision = Retries::new(BACKOFF).decide(&error(429, Some(7)));
        assert_eq!(decision.pause, Some(Duration::from_secs(7)));
        assert_eq!(decision.retry_after, Some(Duration::ZERO));
    }

    #[test]
    fn a_pause_of_an_hour_ends_the_request_and_pauses_no_other() {
        let decision = Retries::new(BACKOFF).decide(&error(429, Some(3600)));
        assert_eq!((decision.pause, decision.retry_after), (None, None));
        let decision = Retries::new(BACKOFF).decide(&error(429, Some(120)));
        assert_eq!(decision.pause, Some(Duration::from_secs(120)));
    }

    #[test]
    fn a_final_answer_pauses_the_host_as_well() {
        let decision = Retries::new(BACKOFF).decide(&error(403, Some(3)));
        assert_eq!(decision.pause, Some(Duration::from_secs(3)));
        assert_eq!(decision.retry_after, None);
    }
}
