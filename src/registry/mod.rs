//! A client of the OCI distribution API: [`Registry`]. Manifests are bytes; nothing is encoded again.
//!
//! `gather` reads with it, `publish` mounts and names. It sends a request without asking first who
//! may, reacts to what the registry says, and tries again what is temporary.

mod auth;
mod credentials;
mod error;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, LINK, LOCATION, RETRY_AFTER,
};
use reqwest::{Method, StatusCode};
use tokio::sync::Semaphore;

use auth::Auth;
pub use credentials::{Credential, Credentials};
pub use error::Error;

use crate::name::{Digest, Repository, Tag};

/// Without all of these a registry says that a manifest is not there.
const MANIFEST_TYPES: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// A request is sent this often before its error counts.
const TRIES: u32 = 5;

/// Where a manifest is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Locator {
    Tag(Tag),
    Digest(Digest),
}

impl Locator {
    fn as_str(&self) -> &str {
        match self {
            Self::Tag(tag) => tag.as_str(),
            Self::Digest(digest) => digest.as_str(),
        }
    }
}

/// A manifest or an index, byte for byte as the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    pub bytes: Bytes,
    pub media_type: String,
    pub digest: Digest,
}

impl Manifest {
    pub fn new(bytes: impl Into<Bytes>, media_type: impl Into<String>) -> Self {
        let bytes = bytes.into();
        Self {
            digest: Digest::of(&bytes),
            bytes,
            media_type: media_type.into(),
        }
    }
}

/// What became of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    Mounted,
    /// The registry wants the bytes; why, in its words.
    Refused(String),
}

/// How the client behaves.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Requests at once to one host; 0: 16, and 4 to hosts known to be strict.
    pub concurrency: usize,
    /// More certificates to trust (PEM), beside the system's.
    pub certificates: Option<Vec<u8>>,
}

/// What was sent and received since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub requests: u64,
    /// Bytes of blobs.
    pub uploaded: u64,
    pub downloaded: u64,
}

#[derive(Debug, Default)]
struct Counters {
    requests: AtomicU64,
    uploaded: AtomicU64,
    downloaded: AtomicU64,
}

#[derive(Debug)]
struct Host {
    permits: Semaphore,
    /// Nothing is sent before this time: the host has asked for it.
    pause: Mutex<Option<Instant>>,
}

/// A client for all registries; cheap to clone.
#[derive(Clone, Debug)]
pub struct Registry {
    http: reqwest::Client,
    auth: Auth,
    concurrency: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Host>>>>,
    counters: Arc<Counters>,
}

/// An answer, read whole.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn header(&self, name: impl reqwest::header::AsHeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn digest(&self) -> Option<Digest> {
        let text = self.header("docker-content-digest")?;
        Digest::parse(text).ok()
    }
}

/// A request that can be sent again.
struct Ask<'a> {
    what: String,
    method: Method,
    url: String,
    host: &'a str,
    scopes: Vec<String>,
    accept: bool,
    body: Option<(Bytes, String)>,
}

fn cause(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

/// Whether a host is spoken to without TLS: this machine, as Docker and BuildKit do.
fn is_plain(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, _)) if !host.ends_with(']') => name,
        _ => host,
    };
    name == "localhost" || name == "[::1]" || name.starts_with("127.")
}

fn api(host: &str) -> String {
    match host {
        "docker.io" => "https://registry-1.docker.io/v2".to_owned(),
        host if is_plain(host) => format!("http://{host}/v2"),
        host => format!("https://{host}/v2"),
    }
}

fn scope(repository: &Repository, actions: &str) -> String {
    format!("repository:{}:{actions}", repository.path())
}

impl Registry {
    pub fn new(options: Options) -> Result<Self, Error> {
        let failed = |error: reqwest::Error| Error::Client(cause(&error));
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("laminate/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(20))
            .read_timeout(Duration::from_secs(120));
        if let Some(pem) = &options.certificates {
            for certificate in reqwest::Certificate::from_pem_bundle(pem).map_err(failed)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        Ok(Self {
            http: builder.build().map_err(failed)?,
            auth: Auth::default(),
            concurrency: options.concurrency,
            hosts: Arc::default(),
            counters: Arc::default(),
        })
    }

    /// The credentials it uses, for others that speak to the same registries.
    pub fn credentials(&self) -> Credentials {
        self.auth.credentials.clone()
    }

    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            requests: get(&self.counters.requests),
            uploaded: get(&self.counters.uploaded),
            downloaded: get(&self.counters.downloaded),
        }
    }

    /// The digest of what is there; `None` if nothing is.
    pub async fn head_manifest(
        &self,
        repository: &Repository,
        at: &Locator,
    ) -> Result<Option<Digest>, Error> {
        let ask = self.ask_manifest(Method::HEAD, "looking up", repository, at);
        let answer = self.send(&ask).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::OK => match answer.digest() {
                Some(digest) => Ok(Some(digest)),
                // Some registries say it only with the bytes.
                None => Ok(self.manifest(repository, at).await?.map(|m| m.digest)),
            },
            _ => Err(failure(&ask, &answer)),
        }
    }

    /// What is there, its bytes checked against the digest asked for or told.
    pub async fn manifest(
        &self,
        repository: &Repository,
        at: &Locator,
    ) -> Result<Option<Manifest>, Error> {
        let ask = self.ask_manifest(Method::GET, "reading", repository, at);
        let answer = self.send(&ask).await?;
        match answer.status {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::OK => {}
            _ => return Err(failure(&ask, &answer)),
        }
        let media_type = answer.header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let told = answer.digest();
        let manifest = Manifest::new(answer.body, media_type);
        let expected = match at {
            Locator::Digest(digest) => Some(digest.clone()),
            Locator::Tag(_) => told,
        };
        match expected {
            Some(expected) if expected != manifest.digest => Err(Error::Corrupt {
                what: ask.what,
                expected,
                found: manifest.digest,
            }),
            _ => Ok(Some(manifest)),
        }
    }

    /// Puts a manifest there and reads back that it is.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        at: &Locator,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let mut ask = self.ask_manifest(Method::PUT, "writing", repository, at);
        ask.scopes = vec![scope(repository, "pull,push")];
        ask.accept = false;
        ask.body = Some((manifest.bytes.clone(), manifest.media_type.clone()));
        // Sending the same bytes again is safe, so a lost answer is simply asked for again.
        let answer = self.send(&ask).await?;
        if answer.status != StatusCode::CREATED {
            return Err(failure(&ask, &answer));
        }
        let wrong = |found: Digest| Error::Corrupt {
            what: ask.what.clone(),
            expected: manifest.digest.clone(),
            found,
        };
        if let Some(found) = answer.digest().filter(|found| *found != manifest.digest) {
            return Err(wrong(found));
        }
        match self.head_manifest(repository, at).await? {
            Some(found) if found == manifest.digest => Ok(()),
            Some(found) => Err(wrong(found)),
            None => Err(Error::Protocol {
                what: ask.what,
                reason: "it was accepted and is not there".to_owned(),
            }),
        }
    }

    /// Makes a blob of another repository of the same registry known in `to`; no bytes move.
    pub async fn mount(
        &self,
        to: &Repository,
        from: &Repository,
        blob: &Digest,
    ) -> Result<Mount, Error> {
        if to.host() != from.host() {
            return Ok(Mount::Refused("another registry has it".to_owned()));
        }
        let ask = Ask {
            what: format!("mounting {blob} from {from} in {to}"),
            method: Method::POST,
            url: format!(
                "{}/{}/blobs/uploads/?mount={blob}&from={}",
                api(to.host()),
                to.path(),
                from.path()
            ),
            host: to.host(),
            scopes: vec![scope(to, "pull,push"), scope(from, "pull")],
            accept: false,
            body: None,
        };
        let answer = self.send(&ask).await?;
        match answer.status {
            StatusCode::CREATED => Ok(Mount::Mounted),
            StatusCode::ACCEPTED => {
                self.cancel(&ask, &answer).await;
                Ok(Mount::Refused("the registry does not mount it".to_owned()))
            }
            status if status.is_client_error() => {
                Ok(Mount::Refused(failure(&ask, &answer).to_string()))
            }
            _ => Err(failure(&ask, &answer)),
        }
    }

    /// Ends an upload nobody wants; if that fails the registry forgets it some day.
    async fn cancel(&self, ask: &Ask<'_>, answer: &Answer) {
        if let Some(url) = answer.header(LOCATION).and_then(|l| resolve(&ask.url, l)) {
            let cancel = Ask {
                what: "ending an upload".to_owned(),
                method: Method::DELETE,
                url,
                host: ask.host,
                scopes: ask.scopes.clone(),
                accept: false,
                body: None,
            };
            let _ = self.send_once(&cancel).await;
        }
    }

    /// Whether a blob is there.
    pub async fn has_blob(&self, repository: &Repository, blob: &Digest) -> Result<bool, Error> {
        let ask = self.ask_blob(Method::HEAD, "looking up", repository, blob);
        let answer = self.send(&ask).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(failure(&ask, &answer)),
        }
    }

    /// A blob's bytes, checked; for configs and records, not for layers: it is held in memory.
    pub async fn blob(
        &self,
        repository: &Repository,
        blob: &Digest,
    ) -> Result<Option<Bytes>, Error> {
        let ask = self.ask_blob(Method::GET, "reading", repository, blob);
        let answer = self.send(&ask).await?;
        match answer.status {
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::OK => {}
            _ => return Err(failure(&ask, &answer)),
        }
        let size = answer.body.len() as u64;
        self.counters.downloaded.fetch_add(size, Ordering::Relaxed);
        let found = Digest::of(&answer.body);
        match found == *blob {
            true => Ok(Some(answer.body)),
            false => Err(Error::Corrupt {
                what: ask.what,
                expected: blob.clone(),
                found,
            }),
        }
    }

    /// Uploads bytes unless they are there, and returns their digest.
    pub async fn push_blob(&self, repository: &Repository, bytes: Bytes) -> Result<Digest, Error> {
        let digest = Digest::of(&bytes);
        if self.has_blob(repository, &digest).await? {
            return Ok(digest);
        }
        let mut ask = self.ask_blob(Method::POST, "uploading", repository, &digest);
        ask.url = format!("{}/{}/blobs/uploads/", api(ask.host), repository.path());
        ask.scopes = vec![scope(repository, "pull,push")];
        let answer = self.send(&ask).await?;
        if answer.status != StatusCode::ACCEPTED {
            return Err(failure(&ask, &answer));
        }
        let location = answer.header(LOCATION).and_then(|l| resolve(&ask.url, l));
        let Some(location) = location else {
            return Err(Error::Protocol {
                what: ask.what,
                reason: "the registry does not say where to send the bytes".to_owned(),
            });
        };
        let separator = if location.contains('?') { '&' } else { '?' };
        let size = bytes.len() as u64;
        let put = Ask {
            method: Method::PUT,
            url: format!("{location}{separator}digest={digest}"),
            body: Some((bytes, "application/octet-stream".to_owned())),
            ..ask
        };
        let answer = self.send(&put).await?;
        if answer.status != StatusCode::CREATED {
            return Err(failure(&put, &answer));
        }
        self.counters.uploaded.fetch_add(size, Ordering::Relaxed);
        Ok(digest)
    }

    /// All tags, sorted; none for a repository that is not there.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        #[derive(serde::Deserialize)]
        struct List {
            tags: Option<Vec<String>>,
        }
        let mut tags = Vec::new();
        let mut url = format!(
            "{}/{}/tags/list?n=1000",
            api(repository.host()),
            repository.path()
        );
        loop {
            let ask = Ask {
                what: format!("listing the tags of {repository}"),
                method: Method::GET,
                url,
                host: repository.host(),
                scopes: vec![scope(repository, "pull")],
                accept: false,
                body: None,
            };
            let answer = self.send(&ask).await?;
            match answer.status {
                StatusCode::NOT_FOUND => return Ok(Vec::new()),
                StatusCode::OK => {}
                _ => return Err(failure(&ask, &answer)),
            }
            let list: List =
                serde_json::from_slice(&answer.body).map_err(|error| Error::Protocol {
                    what: ask.what.clone(),
                    reason: error.to_string(),
                })?;
            // What is no legal tag is none of ours.
            let legal = list.tags.unwrap_or_default();
            tags.extend(legal.iter().filter_map(|tag| Tag::parse(tag).ok()));
            let next = answer.header(LINK).and_then(next_page);
            match next.and_then(|next| resolve(&ask.url, next)) {
                Some(next) if next != ask.url => url = next,
                _ => break,
            }
        }
        tags.sort();
        tags.dedup();
        Ok(tags)
    }

    fn ask_manifest<'a>(
        &self,
        method: Method,
        verb: &str,
        repository: &'a Repository,
        at: &Locator,
    ) -> Ask<'a> {
        let name = at.as_str();
        let sign = match at {
            Locator::Tag(_) => ':',
            Locator::Digest(_) => '@',
        };
        Ask {
            what: format!("{verb} {repository}{sign}{name}"),
            method,
            url: format!(
                "{}/{}/manifests/{name}",
                api(repository.host()),
                repository.path()
            ),
            host: repository.host(),
            scopes: vec![scope(repository, "pull")],
            accept: true,
            body: None,
        }
    }

    fn ask_blob<'a>(
        &self,
        method: Method,
        verb: &str,
        repository: &'a Repository,
        blob: &Digest,
    ) -> Ask<'a> {
        Ask {
            what: format!("{verb} blob {blob} of {repository}"),
            method,
            url: format!(
                "{}/{}/blobs/{blob}",
                api(repository.host()),
                repository.path()
            ),
            host: repository.host(),
            scopes: vec![scope(repository, "pull")],
            accept: false,
            body: None,
        }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut hosts = self.hosts.lock().expect("nobody panics with the lock");
        let strict = matches!(name, "docker.io" | "ghcr.io") || name.ends_with(".amazonaws.com");
        let permits = match (self.concurrency, strict) {
            (0, true) => 4,
            (0, false) => 16,
            (n, _) => n,
        };
        let make = || {
            Arc::new(Host {
                permits: Semaphore::new(permits),
                pause: Mutex::new(None),
            })
        };
        hosts.entry(name.to_owned()).or_insert_with(make).clone()
    }

    /// Sends a request until it gives an answer that will not change, with a new token once.
    async fn send(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let host = self.host(ask.host);
        let mut asked_for_token = false;
        let mut tries = 0;
        loop {
            let pause = *host.pause.lock().expect("nobody panics with the lock");
            if let Some(until) = pause {
                tokio::time::sleep_until(until.into()).await;
            }
            let sent = {
                let _permit = host.permits.acquire().await.expect("it is never closed");
                self.send_once(ask).await
            };
            tries += 1;
            let last = tries >= TRIES;
            match sent {
                Ok(answer) if answer.status == StatusCode::UNAUTHORIZED && !asked_for_token => {
                    asked_for_token = true;
                    tries -= 1;
                    let header = answer.header("www-authenticate").unwrap_or_default();
                    match auth::challenge(header) {
                        Some(challenge) => {
                            self.auth.learn(ask.host, challenge, &ask.scopes).await;
                        }
                        None => return Ok(answer),
                    }
                }
                Ok(answer) if error::is_temporary(answer.status.as_u16()) && !last => {
                    let wait = answer.header(RETRY_AFTER).and_then(retry_after);
                    let until = Instant::now() + wait.unwrap_or_else(|| backoff(tries));
                    if wait.is_some() {
                        // The host is asked for nothing else meanwhile.
                        *host.pause.lock().expect("nobody panics with the lock") = Some(until);
                    } else {
                        tokio::time::sleep_until(until.into()).await;
                    }
                }
                Ok(answer) => return Ok(answer),
                Err(error) if error.is_temporary() && !last => {
                    tokio::time::sleep(backoff(tries)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn send_once(&self, ask: &Ask<'_>) -> Result<Answer, Error> {
        let header = self.auth.header(&self.http, ask.host, &ask.scopes).await?;
        let mut request = self.http.request(ask.method.clone(), &ask.url);
        if ask.accept {
            request = request.header(ACCEPT, MANIFEST_TYPES.join(", "));
        }
        if let Some(header) = header {
            request = request.header(AUTHORIZATION, header);
        }
        if let Some((bytes, media_type)) = &ask.body {
            request = request.header(CONTENT_TYPE, media_type).body(bytes.clone());
        } else if ask.method == Method::POST {
            request = request.header("content-length", "0");
        }
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        let unreachable = |error: reqwest::Error| Error::Unreachable {
            what: ask.what.clone(),
            host: ask.host.to_owned(),
            reason: cause(&error),
        };
        let answer = request.send().await.map_err(unreachable)?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let body = answer.bytes().await.map_err(unreachable)?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}

fn failure(ask: &Ask<'_>, answer: &Answer) -> Error {
    let what = ask.what.clone();
    let host = ask.host.to_owned();
    let reason = error::reason(&answer.body);
    let status = answer.status.as_u16();
    let immutable = reason.to_ascii_lowercase().contains("immutable")
        || (ask.method == Method::PUT && matches!(status, 409 | 412));
    match status {
        401 => Error::Unauthorized { what, host, reason },
        403 => Error::Denied { what, host, reason },
        400 | 409 | 412 if immutable => Error::Immutable { what, reason },
        _ => Error::Status {
            what,
            status,
            reason,
        },
    }
}

/// Half a second, twice as long each time, at most 30 seconds, never the same for two clients.
fn backoff(tries: u32) -> Duration {
    let whole = Duration::from_millis(500 << tries.clamp(1, 7).saturating_sub(1));
    let nanos = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |time| time.subsec_nanos());
    let jitter = f64::from(nanos % 1000) / 1000.0;
    whole
        .min(Duration::from_secs(30))
        .mul_f64(0.5 + jitter / 2.0)
}

/// Seconds, or a date (RFC 9110 §10.2.3); at most five minutes are waited.
fn retry_after(text: &str) -> Option<Duration> {
    let wait = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
            let now = jiff::Timestamp::now();
            let seconds = date.timestamp().as_second() - now.as_second();
            Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
        }
    };
    Some(wait.min(Duration::from_secs(300)))
}

/// A `Location` or `Link` relative to the request it answers.
fn resolve(base: &str, location: &str) -> Option<String> {
    let base = reqwest::Url::parse(base).ok()?;
    base.join(location).ok().map(String::from)
}

/// The target of `<…>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    link.split(',').find_map(|entry| {
        let (target, rest) = entry.split_once(';')?;
        let is_next = rest.replace(['"', ' '], "").contains("rel=next");
        let target = target.trim().strip_prefix('<')?.strip_suffix('>')?;
        is_next.then_some(target)
    })
}

#[cfg(test)]
mod tests;
