//! The hosts of registries: their addresses, limits, challenges and pauses.
//!
//! Main types: [`Hosts`], and [`Host`], which is the state of one of them. Used by `authorize` and
//! `transport`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use reqwest::Url;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use tokio::sync::Semaphore;

use super::auth::{Challenge, Tokens};
use super::credential::CredentialError;
use super::error::Error;
use super::lanes::Lanes;
use super::options::Options;
use crate::name::Repository;
use crate::trace::{self, Track};

/// Hosts that limit each user's requests get fewer at once.
const LIMITED: usize = 4;
/// The most downloads at once.
const DOWNLOADS: usize = 16;

/// All hosts a client has sent requests to.
pub(super) struct Hosts {
    plain_http: Vec<String>,
    tls: Vec<String>,
    concurrency: usize,
    known: Mutex<HashMap<String, Arc<Host>>>,
}

impl Hosts {
    /// Returns hosts of which none was contacted.
    pub fn new(options: &Options) -> Self {
        Self {
            plain_http: options.plain_http.clone(),
            tls: options.tls.clone(),
            concurrency: options.concurrency,
            known: Mutex::default(),
        }
    }

    /// Returns the state of a host.
    pub fn get(&self, name: &str) -> Arc<Host> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let host = known
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Host::new(limit(name, self.concurrency))));
        host.clone()
    }

    /// Returns the URL of `/v2/<repository>/<rest>`.
    pub fn url(&self, repository: &Repository, rest: &str) -> Url {
        self.address(repository.host(), &format!("{}/{rest}", repository.path()))
    }

    /// Returns the URL of the registry's API, `/v2/`.
    pub fn base(&self, host: &str) -> Url {
        self.address(host, "")
    }

    fn address(&self, host: &str, path: &str) -> Url {
        let is_listed = |list: &[String]| list.iter().any(|listed| listed == host);
        let plain = is_listed(&self.plain_http) || is_loopback(host) && !is_listed(&self.tls);
        let scheme = if plain { "http" } else { "https" };
        let host = if host == "docker.io" {
            "registry-1.docker.io"
        } else {
            host
        };
        let text = format!("{scheme}://{host}/v2/{path}");
        Url::parse(&text).expect("a repository's host and path make a URL")
    }
}

/// Returns how many requests a host gets at once at most.
fn limit(host: &str, concurrency: usize) -> usize {
    let few = matches!(host, "docker.io" | "ghcr.io") || host.ends_with(".amazonaws.com");
    let most = concurrency.max(1);
    if few { most.min(LIMITED) } else { most }
}

/// Returns whether a host is this machine. Such registries are connected to without TLS, as Docker
/// and BuildKit do.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The state of one host.
pub(super) struct Host {
    /// The requests that may be sent now.
    pub lanes: Lanes,
    /// Of requests of which there are thousands, those that are prepared: no more than are sent soon.
    pub prepared: Arc<Semaphore>,
    /// Whole downloads have a limit of their own: a copy has one open while it waits for requests.
    pub downloads: Arc<Semaphore>,
    /// How the host authorizes requests, as far as it has challenged one.
    pub challenge: Mutex<Option<Challenge>>,
    /// The host's tokens.
    pub tokens: Tokens,
    paused_until: Mutex<Option<Instant>>,
    /// Why the user's credential cannot be looked up.
    no_credential: Mutex<Option<CredentialError>>,
    /// When each note was shown last.
    noted: Mutex<HashMap<String, Instant>>,
}

/// Requests that wait for the same host are noted once in this time.
const NOTED_FOR: Duration = Duration::from_secs(10);

impl Host {
    fn new(limit: usize) -> Self {
        Self {
            lanes: Lanes::new(limit),
            prepared: Arc::new(Semaphore::new(2 * limit)),
            downloads: Arc::new(Semaphore::new(limit.min(DOWNLOADS))),
            challenge: Mutex::default(),
            tokens: Tokens::default(),
            paused_until: Mutex::default(),
            no_credential: Mutex::default(),
            noted: Mutex::default(),
        }
    }

    /// Returns whether a note was not shown a moment ago, for another request.
    pub fn is_news(&self, note: &str) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let last = noted.insert(note.to_owned(), now);
        last.is_none_or(|last| now.duration_since(last) > NOTED_FOR)
    }

    /// Keeps why the user's credential cannot be looked up; returns false if that is known already.
    pub fn lacks_credential(&self, error: CredentialError) -> bool {
        let kept = self.no_credential.lock();
        let mut kept = kept.unwrap_or_else(PoisonError::into_inner);
        let is_new = kept.as_ref() != Some(&error);
        *kept = Some(error);
        is_new
    }

    /// Returns the error of a request that was refused; if it was sent without a credential because that
    /// cannot be looked up, this is the cause.
    pub fn explain(&self, error: Error) -> Error {
        let (Error::Unauthorized { attempt, .. } | Error::Denied { attempt, .. }) = &error else {
            return error;
        };
        let kept = self.no_credential.lock();
        let kept = kept.unwrap_or_else(PoisonError::into_inner);
        match &*kept {
            Some(source) => Error::Credential {
                attempt: attempt.clone(),
                source: source.clone(),
            },
            None => error,
        }
    }

    /// Keeps a challenge for the requests to come.
    pub fn learn(&self, challenge: Challenge) {
        *self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(challenge);
    }

    /// Lets no request out for a while.
    pub fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut paused = self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *paused = Some(paused.map_or(until, |other| other.max(until)));
    }

    /// Waits until the host is not paused.
    pub async fn wait(&self) {
        while let Some(until) = self.paused() {
            // The jitter spreads the requests that waited.
            let _span = trace::span(Track::Pauses, || "asked for by the registry".to_owned());
            let extra = jittered(Duration::from_millis(50));
            tokio::time::sleep_until((until + extra).into()).await;
        }
    }

    /// Returns the end of the pause; `None` if the host is not paused.
    fn paused(&self) -> Option<Instant> {
        let paused = *self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        paused.filter(|until| *until > Instant::now())
    }
}

/// Returns a random duration between half of one and the whole of it.
pub(super) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Reads `Retry-After`, seconds or a date (RFC 9110 §10.2.3).
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
    fn a_note_is_shown_once_for_all_requests_that_wait() {
        let host = Host::new(1);
        assert!(host.is_news("trying again (2 of 6)"));
        assert!(host.is_news("trying again (3 of 6)"));
        assert!(!host.is_news("trying again (2 of 6)"));
    }

    #[test]
    fn loopback_hosts_are_known() {
        for host in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:1",
            "127.9.9.9",
            "[::1]:5000",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "localhost.example",
            "10.0.0.1:5000",
            "[::2]",
            "example:5000",
            "ghcr.io",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    fn hosts() -> Hosts {
        Hosts::new(&Options {
            plain_http: vec!["plain.example".to_owned()],
            ..Options::default()
        })
    }

    #[test]
    fn a_url_is_without_tls_where_that_is_configured() {
        let url = |name: &str| {
            let repository = Repository::parse(name).expect("a repository");
            hosts().url(&repository, "tags/list").to_string()
        };
        assert_eq!(url("ghcr.io/a/b"), "https://ghcr.io/v2/a/b/tags/list");
        assert_eq!(
            url("localhost:5000/a"),
            "http://localhost:5000/v2/a/tags/list"
        );
        assert_eq!(
            url("plain.example/a"),
            "http://plain.example/v2/a/tags/list"
        );
    }

    #[test]
    fn docker_hub_has_another_host_for_its_api() {
        let base = hosts().base("docker.io").to_string();
        assert_eq!(base, "https://registry-1.docker.io/v2/");
    }

    #[test]
    fn hosts_with_rate_limits_get_fewer_requests_at_once() {
        assert_eq!(limit("quay.io", 16), 16);
        for host in ["docker.io", "ghcr.io", "1.dkr.ecr.eu-west-1.amazonaws.com"] {
            assert_eq!(limit(host, 16), 4, "{host}");
            assert_eq!(limit(host, 2), 2, "{host}");
        }
        assert_eq!(limit("quay.io", 0), 1);
    }

    #[test]
    fn a_host_is_the_same_each_time() {
        let hosts = hosts();
        assert!(Arc::ptr_eq(&hosts.get("a"), &hosts.get("a")));
        assert!(!Arc::ptr_eq(&hosts.get("a"), &hosts.get("b")));
    }

    #[test]
    fn the_longer_pause_counts() {
        let host = Host::new(1);
        assert_eq!(host.paused(), None);
        host.pause(Duration::from_secs(60));
        let until = host.paused();
        host.pause(Duration::from_secs(1));
        assert_eq!(host.paused(), until);
    }

    #[test]
    fn jitter_is_between_half_and_whole() {
        for _ in 0..1000 {
            let wait = jittered(Duration::from_secs(2));
            assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_secs(2));
        }
    }
}
