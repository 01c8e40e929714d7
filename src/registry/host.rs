//! What is known of one registry's host: how much at once, what it wants to see, until when it rests.
//!
//! Main type: [`Host`], owned by `transport`, one a host.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::sync::Semaphore;

use super::auth::{Challenge, Tokens};

pub(super) struct Host {
    pub requests: Semaphore,
    /// Whole downloads have a limit of their own: a copy holds one while it waits for requests.
    pub downloads: Arc<Semaphore>,
    pub challenge: Mutex<Option<Challenge>>,
    pub tokens: Tokens,
    paused_until: Mutex<Option<Instant>>,
}

impl Host {
    pub fn new(limit: usize) -> Self {
        Self {
            requests: Semaphore::new(limit),
            downloads: Arc::new(Semaphore::new(limit)),
            challenge: Mutex::default(),
            tokens: Tokens::default(),
            paused_until: Mutex::default(),
        }
    }

    pub fn learn(&self, challenge: Challenge) {
        *self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(challenge);
    }

    pub fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut paused = self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *paused = Some(paused.map_or(until, |other| other.max(until)));
    }

    pub async fn wait(&self) {
        loop {
            let paused = *self
                .paused_until
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match paused.filter(|until| *until > Instant::now()) {
                // The jitter keeps all who waited from coming back in one moment.
                Some(until) => {
                    let extra = jittered(Duration::from_millis(50));
                    tokio::time::sleep_until((until + extra).into()).await;
                }
                None => return,
            }
        }
    }
}

/// Between half of a duration and the whole of it.
pub(super) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// `Retry-After`, as seconds or as a date (RFC 9110 §10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = date.duration_since(jiff::Timestamp::now());
    Some(Duration::try_from(wait).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header"));
            retry_after(&headers)
        };
        assert_eq!(read("7"), Some(Duration::from_secs(7)));
        assert_eq!(read("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(read("soon"), None);
        let far = read("Wed, 21 Oct 2099 07:28:00 GMT").expect("a date");
        assert!(far > Duration::from_secs(1_000_000_000), "{far:?}");
    }

    #[test]
    fn jitter_is_between_half_and_whole() {
        for _ in 0..1000 {
            let wait = jittered(Duration::from_secs(2));
            assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_secs(2));
        }
    }
}
