//! Sends one request until it is answered: authorization, retries, pauses, limits.
//!
//! Main type: [`Transport`], used by the operations of `Registry`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use tokio::sync::OwnedSemaphorePermit;

use super::answer::Answer;
use super::auth::{self, Authorization, Challenge};
use super::authorize::{Authorizer, covered};
use super::clients::same_origin;
use super::error::{Attempt, Error, unreachable};
use super::host::{Host, jittered, retry_after};
use super::options::Options;
use super::retry::Retries;
use crate::event::Event;
use crate::name::Repository;
use crate::trace::{self, Track};

/// Enough for every valid manifest (4 MiB), and a limit for other answers, bytes.
pub(super) const ANSWER_LIMIT: u64 = 8 << 20;
/// The most that is read of an answer that is an error, bytes.
const ERROR_LIMIT: u64 = 64 << 10;
/// The slowest upload that is waited for, bytes a second.
const SLOWEST_UPLOAD: u64 = 64 << 10;

/// One request, sent as often as needed.
pub(super) struct Call {
    /// The operation, for errors.
    pub attempt: Attempt,
    /// The HTTP method.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// The rights the request needs, as scopes of a token.
    pub scopes: Vec<String>,
    /// The headers besides `Authorization`.
    pub headers: HeaderMap,
    /// The body; not sent with GET and HEAD.
    pub body: Bytes,
    /// The statuses that are not errors.
    pub expected: &'static [u16],
    /// The largest body that is read, bytes.
    pub limit: u64,
}

/// A whole answer.
pub(super) struct Reply {
    /// The HTTP status, one of the expected ones.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The URL that answered, after redirects.
    pub url: Url,
}

impl Reply {
    /// Returns a header; `None` if it is missing or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A body that can be sent only once.
pub(super) struct Upload {
    /// The body.
    pub body: reqwest::Body,
    /// Its size, bytes.
    pub size: u64,
}

/// Sends requests to all registries.
pub(super) struct Transport {
    /// The times to wait.
    pub options: Options,
    authorizer: Authorizer,
}

impl Transport {
    /// Returns a transport; nothing is contacted. Fails if the certificates cannot be read.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Self {
            authorizer: Authorizer::new(&options)?,
            options,
        })
    }

    /// Returns the URL of `/v2/<repository>/<rest>`.
    pub fn url(&self, repository: &Repository, rest: &str) -> Url {
        self.authorizer.hosts.url(repository, rest)
    }

    /// Waits until a request to a host is sent soon. One of thousands that are to be sent begins with this, so that those that
    /// wait take no memory.
    pub async fn turn(&self, host: &str) -> OwnedSemaphorePermit {
        let prepared = Arc::clone(&self.authorizer.hosts.get(host).prepared);
        prepared.acquire_owned().await.expect("it is never closed")
    }

    /// Returns the retries of something that is not sent by [`send`](Self::send).
    pub fn retries(&self) -> Retries {
        Retries::new(self.options.backoff)
    }

    /// Pauses the host if it asked for that, and waits before the next try; returns false if there
    /// is none.
    pub async fn wait_for_retry(&self, retries: &mut Retries, host: &str, error: &Error) -> bool {
        let decision = retries.decide(error);
        if let Some(pause) = decision.pause {
            self.authorizer.hosts.get(host).pause(pause);
        }
        let Some(wait) = decision.retry_after else {
            return false;
        };
        if let Error::Unreachable { server, reason, .. } = error {
            let (next, of) = retries.next_try();
            let reason = if next == 2 {
                format!("{reason}; ")
            } else {
                String::new()
            };
            let text = format!("`{server}`: {reason}trying again ({next} of {of})");
            if self.authorizer.hosts.get(host).is_news(&text) {
                self.options.events.send(Event::Note { text });
            }
        }
        if !wait.is_zero() {
            // The next request notices that it must not be sent.
            let stop = &self.options.stop;
            let _span = trace::span(Track::Pauses, || format!("before the next try on {host}"));
            let wait = tokio::time::sleep(jittered(wait));
            let _stopped = stop.run_until_cancelled(wait).await;
        }
        true
    }

    /// Waits for a request, or ends it when the user stops the command.
    async fn unless_stopped<T>(
        &self,
        call: &Call,
        request: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        tokio::select! {
            biased;
            () = self.options.stop.cancelled() => Err(Error::Interrupted {
                attempt: call.attempt.clone(),
            }),
            answer = request => answer,
        }
    }

    /// Sends a request until it is answered or cannot be.
    pub async fn send(&self, call: &Call) -> Result<Reply, Error> {
        let mut retries = self.retries();
        loop {
            let error = match self.send_once(call, None).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let host = &call.attempt.host;
            if !self.wait_for_retry(&mut retries, host, &error).await {
                return Err(error);
            }
        }
    }

    /// Sends a request once (twice where a token had to be fetched first) and reads the whole answer.
    pub async fn send_once(&self, call: &Call, upload: Option<Upload>) -> Result<Reply, Error> {
        self.unless_stopped(call, self.attempt(call, upload)).await
    }

    async fn attempt(&self, call: &Call, upload: Option<Upload>) -> Result<Reply, Error> {
        let host = self.authorizer.hosts.get(&call.attempt.host);
        host.wait().await;
        let size = upload.as_ref().map_or(call.body.len() as u64, |u| u.size);
        let timeout = self.options.timeout + Duration::from_secs(size / SLOWEST_UPLOAD);
        let _lane = host.lanes.enter().await;
        let begun = Instant::now();
        let mut span = request_span(call);
        // On the heap: thousands of requests wait for a lane, and this is most of the size of one.
        let whole = Box::pin(async {
            let (response, with_credentials) = self.exchange(&host, call, upload).await?;
            let status = response.status().as_u16();
            span.note("status", status);
            let (headers, url) = (response.headers().clone(), response.url().clone());
            if call.expected.contains(&status) {
                let body = read_body(call, response).await?;
                return Ok(Reply {
                    status,
                    headers,
                    body,
                    url,
                });
            }
            let body = read_error_body(response).await;
            let answer = Answer::read(status, retry_after(&headers), &body);
            Err(host.explain(Error::of(call.attempt.clone(), answer, with_credentials)))
        });
        let result = match tokio::time::timeout(timeout, whole).await {
            Ok(result) => result,
            Err(_) => Err(self.timed_out(call)),
        };
        match &result {
            Ok(_) => host.lanes.answered(begun.elapsed()),
            Err(error) if error.is_temporary() => host.lanes.overloaded(),
            Err(_) => {}
        }
        result
    }

    /// Opens a download: the answer's headers, its body still to come, and the permit to read it.
    pub async fn open(
        &self,
        call: &Call,
    ) -> Result<(reqwest::Response, OwnedSemaphorePermit), Error> {
        self.unless_stopped(call, self.open_many(call)).await
    }

    async fn open_many(
        &self,
        call: &Call,
    ) -> Result<(reqwest::Response, OwnedSemaphorePermit), Error> {
        let host = self.authorizer.hosts.get(&call.attempt.host);
        let permit = host.downloads.clone().acquire_owned().await;
        let permit = permit.expect("the semaphore of a host is never closed");
        let mut retries = self.retries();
        loop {
            host.wait().await;
            let opening = Box::pin(self.open_once(&host, call));
            let result = tokio::time::timeout(self.options.timeout, opening).await;
            let error = match result.unwrap_or_else(|_| Err(self.timed_out(call))) {
                Ok(response) => return Ok((response, permit)),
                Err(error) => error,
            };
            let host = &call.attempt.host;
            if !self.wait_for_retry(&mut retries, host, &error).await {
                return Err(error);
            }
        }
    }

    async fn open_once(&self, host: &Host, call: &Call) -> Result<reqwest::Response, Error> {
        let mut span = request_span(call);
        let (response, with_credentials) = self.exchange(host, call, None).await?;
        let status = response.status().as_u16();
        span.note("status", status);
        if call.expected.contains(&status) {
            return Ok(response);
        }
        let wait = retry_after(response.headers());
        let body = read_error_body(response).await;
        let answer = Answer::read(status, wait, &body);
        Err(host.explain(Error::of(call.attempt.clone(), answer, with_credentials)))
    }

    fn timed_out(&self, call: &Call) -> Error {
        Error::Unreachable {
            attempt: call.attempt.clone(),
            server: call.url.authority().to_owned(),
            reason: format!("no answer within {} s", self.options.timeout.as_secs_f32()),
            temporary: true,
        }
    }

    /// Sends a request, and once more if it is refused for want of a (new) token. Returns the answer
    /// and whether the user's credentials were sent.
    async fn exchange(
        &self,
        host: &Host,
        call: &Call,
        mut upload: Option<Upload>,
    ) -> Result<(reqwest::Response, bool), Error> {
        // An upload's URL may be another host's; credentials are sent to the registry alone.
        let base = self.authorizer.hosts.base(&call.attempt.host);
        let is_registry = |url: &Url| same_origin(url, &base);
        let mut authorization = None;
        let mut scopes = call.scopes.clone();
        if is_registry(&call.url) {
            let authorizer = &self.authorizer;
            authorization = authorizer.authorize(host, &call.attempt, &scopes).await?;
        }
        let mut second = false;
        loop {
            let once_only = upload.is_some();
            let request = self.request(call, authorization.as_ref(), upload.take())?;
            let response = request.send().await;
            let response =
                response.map_err(|error| unreachable(&call.attempt, &call.url, error))?;
            let with_credentials = authorization.as_ref().is_some_and(|a| a.with_credentials);
            // A host that a redirect leads to must not get secrets by a challenge.
            if response.status() != 401 || second || !is_registry(response.url()) {
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
            let authorizer = &self.authorizer;
            authorization = authorizer.authorize(host, &call.attempt, &scopes).await?;
            second = true;
        }
    }

    fn request(
        &self,
        call: &Call,
        authorization: Option<&Authorization>,
        upload: Option<Upload>,
    ) -> Result<reqwest::RequestBuilder, Error> {
        let client = self.authorizer.clients.registry(&call.url)?;
        let mut request = client
            .request(call.method.clone(), call.url.clone())
            .headers(call.headers.clone());
        if let Some(Authorization { value, .. }) = authorization
            && let Ok(mut value) = HeaderValue::from_str(value)
        {
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        Ok(match upload {
            Some(Upload { body, size }) => request.header(CONTENT_LENGTH, size).body(body),
            None if call.method == Method::GET || call.method == Method::HEAD => request,
            None => request.body(call.body.clone()),
        })
    }
}

/// Begins the span of a request. The query of the URL is left out: it can have a signature.
fn request_span(call: &Call) -> trace::Span {
    trace::span(Track::Registry, || {
        format!(
            "{} {}{}",
            call.method,
            call.url.authority(),
            call.url.path()
        )
    })
}

/// Reads the body of an expected answer, up to the limit of the request.
async fn read_body(call: &Call, mut response: reqwest::Response) -> Result<Bytes, Error> {
    let mut body = BytesMut::new();
    let broken = |error| unreachable(&call.attempt, &call.url, error);
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() as u64 + chunk.len() as u64 > call.limit {
            return Err(Error::TooLarge {
                attempt: call.attempt.clone(),
                limit: call.limit,
            });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Reads the beginning of the body of an error, as far as it comes.
async fn read_error_body(mut response: reqwest::Response) -> Bytes {
    let mut body = BytesMut::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() as u64 + chunk.len() as u64 > ERROR_LIMIT {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    body.freeze()
}
