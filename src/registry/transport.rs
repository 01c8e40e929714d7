//! Sends one request until it is answered: authorisation, retries, pauses, limits, counts.
//!
//! Main type: [`Transport`], used by the other files of `registry` only. The rules of what is tried
//! again are registry.md §4 of the design: statuses that are temporary and broken connections, five
//! times, 0.5 s doubled each time up to 30 s, with jitter; `Retry-After` pauses the whole host.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::auth::{self, Authorization, Challenge, Tokens};
use super::counts::{Counter, Kind};
use super::error::{Answer, Attempt, Error, reason_of};
use super::{Options, Repository};

/// Enough for every legal manifest (4 MiB), and a bound for answers that are none.
pub(super) const ANSWER_LIMIT: u64 = 8 << 20;

const RETRIES: u32 = 5;
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);
/// A registry that wants more than this is not waited for.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// One request, as often as it must be sent.
pub(super) struct Call {
    pub attempt: Attempt,
    pub kind: Kind,
    pub method: Method,
    pub url: Url,
    pub scopes: Vec<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The statuses that are answers; all others are errors.
    pub wanted: &'static [u16],
    pub limit: u64,
}

/// A whole answer.
pub(super) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub url: Url,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A body that can be sent only once.
pub(super) struct Upload {
    pub body: reqwest::Body,
    pub size: u64,
}

struct Host {
    requests: Semaphore,
    /// Whole downloads have a limit of their own: a copy holds one while it waits for requests.
    downloads: Arc<Semaphore>,
    challenge: Mutex<Option<Challenge>>,
    tokens: Tokens,
    paused_until: Mutex<Option<Instant>>,
}

pub(super) struct Transport {
    options: Options,
    clients: Clients,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    pub counter: Counter,
}

/// A loopback address is never asked of a proxy, as in Go's clients; a token server's redirect is
/// not followed, since the request may hold a refresh token.
struct Clients {
    outside: reqwest::Client,
    loopback: reqwest::Client,
    outside_tokens: reqwest::Client,
    loopback_tokens: reqwest::Client,
}

fn follow() -> reqwest::redirect::Policy {
    reqwest::redirect::Policy::custom(|attempt| {
        let from = attempt.previous().last().map(|url| url.scheme().to_owned());
        if attempt.previous().len() > 10 {
            attempt.error("more than 10 redirects")
        } else if from.as_deref() == Some("https") && attempt.url().scheme() != "https" {
            attempt.error("a redirect from https to plain http")
        } else {
            attempt.follow()
        }
    })
}

fn client(
    options: &Options,
    loopback: bool,
    policy: reqwest::redirect::Policy,
) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(options.user_agent.as_str())
        .connect_timeout(Duration::from_secs(10))
        .redirect(policy);
    if loopback {
        builder = builder.no_proxy();
    }
    if let Some(path) = &options.ca_file {
        let pem = std::fs::read(path)
            .map_err(|e| Error::Setup(format!("{} cannot be read: {e}", path.display())))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|_| Error::Setup(format!("{} holds no PEM certificates", path.display())))?;
        builder = builder.tls_certs_merge(certificates);
    }
    builder
        .build()
        .map_err(|e| Error::Setup(format!("no HTTP client: {}", reason_of(e).0)))
}

/// Whether a host is this machine; such registries are spoken to without TLS, as Docker and
/// BuildKit do.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let name = name.trim_start_matches('[').trim_end_matches(']');
    let address = name.parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn same_origin(a: &Url, b: &Url) -> bool {
    a.scheme() == b.scheme()
        && a.host_str() == b.host_str()
        && a.port_or_known_default() == b.port_or_known_default()
}

impl Transport {
    pub fn new(options: Options) -> Result<Self, Error> {
        let none = reqwest::redirect::Policy::none;
        let clients = Clients {
            outside: client(&options, false, follow())?,
            loopback: client(&options, true, follow())?,
            outside_tokens: client(&options, false, none())?,
            loopback_tokens: client(&options, true, none())?,
        };
        Ok(Self {
            options,
            clients,
            hosts: Mutex::default(),
            counter: Counter::default(),
        })
    }

    /// The address of `/v2/<repository>/<rest>`.
    pub fn url(&self, repository: &Repository, rest: &str) -> Url {
        let host = repository.host();
        let plain = is_loopback(host) || self.options.plain_http.iter().any(|h| h == host);
        let scheme = if plain { "http" } else { "https" };
        let host = if host == "docker.io" {
            "registry-1.docker.io"
        } else {
            host
        };
        let text = format!("{scheme}://{host}/v2/{}/{rest}", repository.path());
        Url::parse(&text).expect("a repository's host and path make a URL")
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let host = hosts.entry(name.to_owned()).or_insert_with(|| {
            let few = matches!(name, "docker.io" | "ghcr.io") || name.ends_with(".amazonaws.com");
            let most = self.options.concurrency.max(1);
            let limit = if few { most.min(4) } else { most };
            Arc::new(Host {
                requests: Semaphore::new(limit),
                downloads: Arc::new(Semaphore::new(limit)),
                challenge: Mutex::default(),
                tokens: Tokens::default(),
                paused_until: Mutex::default(),
            })
        });
        host.clone()
    }

    fn client(&self, url: &Url, tokens: bool) -> &reqwest::Client {
        match (is_loopback(url.host_str().unwrap_or_default()), tokens) {
            (false, false) => &self.clients.outside,
            (true, false) => &self.clients.loopback,
            (false, true) => &self.clients.outside_tokens,
            (true, true) => &self.clients.loopback_tokens,
        }
    }

    /// Begins the count of tries of something.
    pub fn tries(&self) -> Tries {
        Tries {
            done: 0,
            next: self.options.backoff,
        }
    }

    /// Waits before the next try after `error`; false when there is none.
    pub async fn may_try_again(&self, tries: &mut Tries, host: &str, error: &Error) -> bool {
        let asked = error.retry_after();
        if let Some(wait) = asked {
            self.host(host).pause(wait.min(LONGEST_PAUSE));
        }
        if !error.is_temporary() || tries.done == RETRIES || asked > Some(LONGEST_PAUSE) {
            return false;
        }
        tries.done += 1;
        self.counter.retried();
        if asked.is_none() {
            tokio::time::sleep(jittered(tries.next)).await;
        }
        tries.next = (tries.next * 2).min(LONGEST_BACKOFF);
        true
    }

    /// Sends a request until it is answered or cannot be.
    pub async fn send(&self, call: &Call) -> Result<Reply, Error> {
        let mut tries = self.tries();
        loop {
            match self.once(call, None).await {
                Ok(reply) => return Ok(reply),
                Err(error) => {
                    let host = &call.attempt.host;
                    if !self.may_try_again(&mut tries, host, &error).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Sends a request once (twice where a token had to be got first) and reads the whole answer.
    pub async fn once(&self, call: &Call, upload: Option<Upload>) -> Result<Reply, Error> {
        let host = self.host(&call.attempt.host);
        host.wait().await;
        // An upload takes as long as its bytes take; 64 KiB/s is the slowest that is waited for.
        let size = upload.as_ref().map_or(call.body.len() as u64, |u| u.size);
        let patience = self.options.timeout + Duration::from_secs(size / 65_536);
        let permit = host.requests.acquire().await;
        let _permit = permit.expect("the semaphore of a host is never closed");
        let whole = async {
            let (response, with_credentials) = self.exchange(&host, call, upload).await?;
            let status = response.status().as_u16();
            let wanted = call.wanted.contains(&status);
            let (headers, url) = (response.headers().clone(), response.url().clone());
            let limit = if wanted { call.limit } else { 64 << 10 };
            let body = self.read_body(call, response, limit, wanted).await?;
            if wanted {
                return Ok(Reply {
                    status,
                    headers,
                    body,
                    url,
                });
            }
            let answer = Answer::read(status, retry_after(&headers), &body);
            Err(Error::of(call.attempt.clone(), answer, with_credentials))
        };
        match tokio::time::timeout(patience, whole).await {
            Ok(result) => result,
            Err(_) => Err(self.silent(call)),
        }
    }

    /// Opens a download: the answer's headers, its body still to come, and the right to read it.
    pub async fn open(
        &self,
        call: &Call,
    ) -> Result<(reqwest::Response, OwnedSemaphorePermit), Error> {
        let host = self.host(&call.attempt.host);
        let permit = host.downloads.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore of a host is never closed");
        let mut tries = self.tries();
        loop {
            host.wait().await;
            let opening = async {
                let (response, with_credentials) = self.exchange(&host, call, None).await?;
                let status = response.status().as_u16();
                if call.wanted.contains(&status) {
                    return Ok(response);
                }
                let wait = retry_after(response.headers());
                let body = self.read_body(call, response, 64 << 10, false).await?;
                let answer = Answer::read(status, wait, &body);
                Err(Error::of(call.attempt.clone(), answer, with_credentials))
            };
            let result = tokio::time::timeout(self.options.timeout, opening).await;
            match result.unwrap_or_else(|_| Err(self.silent(call))) {
                Ok(response) => return Ok((response, permit)),
                Err(error) => {
                    let host = &call.attempt.host;
                    if !self.may_try_again(&mut tries, host, &error).await {
                        return Err(error);
                    }
                }
            }
        }
    }

    pub fn settling(&self) -> Duration {
        self.options.settling
    }

    pub fn timeout(&self) -> Duration {
        self.options.timeout
    }

    fn silent(&self, call: &Call) -> Error {
        Error::Unreachable {
            attempt: call.attempt.clone(),
            server: call.url.authority().to_owned(),
            reason: format!("no answer within {} s", self.options.timeout.as_secs_f32()),
            temporary: true,
        }
    }

    /// The body up to a limit; of an answer nobody wants, what there is of it.
    async fn read_body(
        &self,
        call: &Call,
        mut response: reqwest::Response,
        limit: u64,
        wanted: bool,
    ) -> Result<Bytes, Error> {
        let mut body = BytesMut::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() as u64 + chunk.len() as u64 > limit => {
                    if !wanted {
                        return Ok(body.freeze());
                    }
                    return Err(Error::TooLarge {
                        attempt: call.attempt.clone(),
                        limit,
                    });
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return Ok(body.freeze()),
                Err(_) if !wanted => return Ok(body.freeze()),
                Err(error) => return Err(unreachable(&call.attempt, &call.url, error)),
            }
        }
    }

    /// One request, and a second one when the first was refused for want of a (new) token.
    async fn exchange(
        &self,
        host: &Host,
        call: &Call,
        mut upload: Option<Upload>,
    ) -> Result<(reqwest::Response, bool), Error> {
        // An upload's address may be another host's; our credentials are the registry's only.
        let home = self.home(&call.attempt.host);
        let ours = |url: &Url| same_origin(url, &home);
        let mut authorization = None;
        let mut scopes = call.scopes.clone();
        if ours(&call.url) {
            authorization = self.authorize(host, &call.attempt, &scopes).await?;
        }
        let mut second = false;
        loop {
            let mut request = self
                .client(&call.url, false)
                .request(call.method.clone(), call.url.clone())
                .headers(call.headers.clone());
            if let Some(Authorization { value, .. }) = &authorization
                && let Ok(mut value) = HeaderValue::from_str(value)
            {
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
            let once_only = upload.is_some();
            request = match upload.take() {
                Some(Upload { body, size }) => request.header(CONTENT_LENGTH, size).body(body),
                None if call.method == Method::GET || call.method == Method::HEAD => request,
                None => request.body(call.body.clone()),
            };
            self.counter.sent(call.kind);
            let response = request.send().await;
            let response =
                response.map_err(|error| unreachable(&call.attempt, &call.url, error))?;
            let with_credentials = authorization.as_ref().is_some_and(|a| a.with_credentials);
            // A host we were redirected to must not learn our secrets by asking for them.
            if response.status() != 401 || second || !ours(response.url()) {
                return Ok((response, with_credentials));
            }
            let Some(challenge) = auth::challenge(response.headers()) else {
                return Ok((response, with_credentials));
            };
            if let Some(refused) = &authorization {
                host.tokens.forget(&scopes, &refused.value).await;
            }
            if let Challenge::Bearer { scopes: more, .. } = &challenge {
                let missing = more.iter().filter(|s| !covered(&call.scopes, s)).cloned();
                scopes = call.scopes.iter().cloned().chain(missing).collect();
            }
            host.learn(challenge);
            if once_only {
                return Ok((response, with_credentials));
            }
            authorization = self.authorize(host, &call.attempt, &scopes).await?;
            second = true;
        }
    }

    fn home(&self, host: &str) -> Url {
        let repository = Repository::parse(&format!("{host}/x"));
        self.url(&repository.expect("the host of a repository is a host"), "")
    }

    /// What the host wants in `Authorization`, as far as it has told.
    async fn authorize(
        &self,
        host: &Host,
        attempt: &Attempt,
        scopes: &[String],
    ) -> Result<Option<Authorization>, Error> {
        let challenge = host
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(challenge) = challenge else {
            return Ok(None);
        };
        match challenge {
            Challenge::Basic => {
                let credential = self.credential(attempt).await?;
                let usable = credential.filter(|c| !c.username.is_empty());
                Ok(usable.as_ref().map(auth::basic))
            }
            Challenge::Bearer { realm, service, .. } => {
                let fetch = async || {
                    self.fetch(attempt, &realm, service.as_deref(), scopes)
                        .await
                };
                host.tokens.get(scopes, fetch).await.map(Some)
            }
        }
    }

    async fn credential(&self, attempt: &Attempt) -> Result<Option<super::Credential>, Error> {
        let found = self.options.credentials.credentials(&attempt.host).await;
        found.map_err(|source| Error::Credential {
            attempt: attempt.clone(),
            source,
        })
    }

    async fn fetch(
        &self,
        attempt: &Attempt,
        realm: &str,
        service: Option<&str>,
        scopes: &[String],
    ) -> Result<auth::Token, Error> {
        let problem = |problem: String| Error::Protocol {
            attempt: attempt.clone(),
            problem,
        };
        let realm = Url::parse(realm)
            .map_err(|_| problem("the registry names a token server that is not a URL".into()))?;
        let plain_ok = self.home(&attempt.host).scheme() == "http";
        if !(realm.scheme() == "https" || realm.scheme() == "http" && plain_ok) {
            return Err(problem(format!(
                "the registry names a token server without TLS, {}; no credentials were sent",
                realm.authority()
            )));
        }
        let credential = self.credential(attempt).await?;
        let with_credentials = credential.is_some();
        let client = self.client(&realm, true);
        let request = auth::token_request(client, &realm, service, scopes, credential.as_ref());
        self.counter.sent(Kind::Token);
        let response = (request.send().await).map_err(|e| unreachable(attempt, &realm, e))?;
        let status = response.status().as_u16();
        let wait = retry_after(response.headers());
        let body = (response.bytes().await).map_err(|e| unreachable(attempt, &realm, e))?;
        match status {
            200 => auth::read_token(&body, with_credentials).map_err(|p| problem(p.to_owned())),
            401 | 403 => Err(Error::Unauthorized {
                attempt: attempt.clone(),
                answer: Answer::read(status, wait, &body),
                with_credentials,
            }),
            _ => Err(Error::TokenServer {
                attempt: attempt.clone(),
                server: realm.authority().to_owned(),
                answer: Answer::read(status, wait, &body),
            }),
        }
    }
}

/// Whether the scopes `have` give what `wanted` (`repository:a:pull,push`) names.
fn covered(have: &[String], wanted: &str) -> bool {
    let Some((name, actions)) = wanted.rsplit_once(':') else {
        return have.iter().any(|scope| scope == wanted);
    };
    have.iter()
        .filter_map(|scope| scope.rsplit_once(':'))
        .any(|(n, a)| {
            n == name
                && actions
                    .split(',')
                    .all(|action| a.split(',').any(|x| x == action))
        })
}

impl Host {
    fn learn(&self, challenge: Challenge) {
        *self
            .challenge
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(challenge);
    }

    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut paused = self
            .paused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *paused = Some(paused.map_or(until, |other| other.max(until)));
    }

    async fn wait(&self) {
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

pub(super) struct Tries {
    done: u32,
    next: Duration,
}

fn unreachable(attempt: &Attempt, url: &Url, error: reqwest::Error) -> Error {
    let (reason, temporary) = reason_of(error);
    Error::Unreachable {
        attempt: attempt.clone(),
        server: url.authority().to_owned(),
        reason,
        temporary,
    }
}

/// Between half of a duration and the whole of it.
fn jittered(duration: Duration) -> Duration {
    // The seeds of std's hash maps are random, and nothing here needs better randomness.
    let random = std::hash::RandomState::new().build_hasher().finish() >> 11;
    duration.mul_f64(0.5 + random as f64 / (1_u64 << 53) as f64 / 2.0)
}

/// `Retry-After`, as seconds or as a date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
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

    #[test]
    fn wider_scopes_cover_narrower_ones() {
        let have = ["repository:a/b:pull,push".to_owned()];
        assert!(covered(&have, "repository:a/b:pull"));
        assert!(covered(&have, "repository:a/b:push,pull"));
        assert!(!covered(&have, "repository:a/b:delete"));
        assert!(!covered(&have, "repository:a:pull"));
    }
}
