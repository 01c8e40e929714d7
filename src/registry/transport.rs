//! Sends one request until it is answered: authorisation, retries, pauses, limits, counts.
//!
//! Main type: [`Transport`], used by the other files of `registry` only. The rules of what is tried
//! again are registry.md §4 of the design: statuses that are temporary and broken connections, five
//! times, 0.5 s doubled each time up to 30 s, with jitter; `Retry-After` pauses the whole host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use tokio::sync::OwnedSemaphorePermit;

use super::auth::{self, Authorization, Challenge};
use super::authorize::covered;
use super::clients::{Clients, is_loopback, same_origin};
use super::counts::{Counter, Kind};
use super::error::{Answer, Attempt, Error, reason_of};
use super::host::{Host, jittered, retry_after};
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

pub(super) struct Transport {
    pub(super) options: Options,
    pub(super) clients: Clients,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
    pub counter: Counter,
}

impl Transport {
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Self {
            clients: Clients::new(&options)?,
            options,
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
            Arc::new(Host::new(limit))
        });
        host.clone()
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
        // What is not waited for must not hold up the others either: they are to end, too.
        if let Some(wait) = asked.filter(|wait| *wait <= LONGEST_PAUSE) {
            self.host(host).pause(wait);
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

    pub fn contest(&self) -> Duration {
        self.options.contest
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
                .clients
                .of(&call.url, false)
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
}

pub(super) struct Tries {
    done: u32,
    next: Duration,
}

pub(super) fn unreachable(attempt: &Attempt, url: &Url, error: reqwest::Error) -> Error {
    let (reason, temporary) = reason_of(error);
    Error::Unreachable {
        attempt: attempt.clone(),
        server: url.authority().to_owned(),
        reason,
        temporary,
    }
}
