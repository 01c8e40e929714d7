//! A registry in the test's own process that fails on purpose.
//!
//! Main type: [`Fake`]. Integration tests and unit tests include this file with `#[path]`; it
//! imports nothing of the crate.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

#[path = "registry_answers.rs"]
mod answers;
#[path = "registry_rounds.rs"]
mod rounds;

pub use rounds::Rounds;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::http::StatusCode;
use axum::response::Response;

pub fn digest(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    let hex: String = (sha2::Sha256::digest(bytes).iter())
        .map(|b| format!("{b:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// What happens to a request instead of, or after, its work.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Answered so, with nothing done.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Nothing done, and the connection breaks.
    BreakBefore,
    /// Done, and the connection breaks within the answer.
    BreakAfter,
    /// The connection is closed without an answer; `done` says whether the work was done before.
    Reset { done: bool },
    /// Never answered: whoever waits may be killed here ([`Fake::hung`]).
    Hang { done: bool },
    /// Done after a while.
    Slow(Duration),
    /// Done, and answered with this status.
    Status(u16),
    /// Another writer sets the tag just before this request.
    SetTag {
        repository: &'static str,
        tag: &'static str,
        digest: String,
    },
    /// Done, and the answer lacks this header.
    Without(&'static str),
    /// Done, and this header is put into the answer.
    With(&'static str, String),
    /// All tokens die before the work.
    ExpireTokens,
    /// Another writer sets the tag just after this write.
    OtherWriter {
        repository: &'static str,
        tag: &'static str,
        digest: String,
    },
}

struct Rule {
    /// So many requests that fit go well first.
    skip: usize,
    times: usize,
    /// Any when empty.
    method: &'static str,
    part: String,
    effect: Effect,
}

impl Rule {
    fn is_in(&self, uri: &str) -> bool {
        match self.part.strip_suffix('$') {
            Some(end) => uri.ends_with(end),
            None => uri.contains(&self.part),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Mounts {
    #[default]
    Work,
    /// 202, whatever is asked.
    Never,
    /// This status, whatever is asked.
    Status(u16),
}

/// How the fake wants to be asked for tokens.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    /// Absent in the answer when `None`.
    pub expires_in: Option<u64>,
    pub first_scope_only: bool,
    /// Only a refresh token (`refresh`) is accepted, by POST.
    pub refresh_only: bool,
    /// Basic authorisation, no tokens.
    pub basic: bool,
    /// No request is allowed without `user:secret`.
    pub no_anonymous: bool,
}

#[derive(Default)]
pub struct Repository {
    pub blobs: HashMap<String, Bytes>,
    pub manifests: HashMap<String, (String, Bytes)>,
    pub tags: BTreeMap<String, String>,
    /// What a tag was, and until when it is still shown.
    stale: HashMap<String, (Option<String>, Instant)>,
}

#[derive(Default)]
pub struct State {
    pub repositories: HashMap<String, Repository>,
    pub auth: Option<Auth>,
    pub mounts: Mounts,
    /// The status for writing a tag that exists, whatever the digest.
    pub immutable: Option<(u16, String)>,
    /// Only tags that begin so are immutable then.
    pub immutable_prefix: &'static str,
    /// A manifest that contains this is refused with 400.
    pub refuses: Option<&'static str>,
    /// How long a HEAD shows what a tag was.
    pub stale_for: Duration,
    /// The answer to taking a tag away; when `None` it is done (202).
    pub keeps_tags: Option<u16>,
    /// Each request waits up to so long before its work and as long after it, in an order that
    /// follows from the number.
    pub delays: Option<(Duration, u64)>,
    pub page: Option<usize>,
    /// `METHOD /path?query`, in order.
    pub log: Vec<String>,
    /// The `Authorization` of each request of the log.
    pub authorizations: Vec<Option<String>>,
    pub open_uploads: Vec<String>,
    /// If there are any, requests are answered in rounds.
    pub rounds: Option<Rounds>,
    /// How many requests were in work at once, at most.
    pub most_at_once: usize,
    at_once: usize,
    rules: Vec<Rule>,
    tokens: HashMap<String, Vec<String>>,
    uploads: usize,
    base: String,
    hung: Arc<tokio::sync::Notify>,
}

/// Stops when dropped.
pub struct Fake {
    pub host: String,
    state: Arc<Mutex<State>>,
    hung: Arc<tokio::sync::Notify>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Fake {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("the call succeeds");
        let host = listener
            .local_addr()
            .expect("valid in this test")
            .to_string();
        let hung = Arc::new(tokio::sync::Notify::new());
        let state = State {
            base: format!("http://{host}"),
            hung: hung.clone(),
            ..State::default()
        };
        let state = Arc::new(Mutex::new(state));
        let router = axum::Router::new()
            .fallback(serve)
            .with_state(state.clone());
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        let server = tokio::spawn(async move {
            axum::serve(listener, router)
                .await
                .expect("the call succeeds");
        });
        Self {
            host,
            state,
            hung,
            server,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panicked")
    }

    /// Lets the next `times` requests with this method and part of the path go wrong; with `$` behind it, it is the end.
    pub fn fault(&self, times: usize, method: &'static str, part: &str, effect: Effect) {
        let part = part.to_owned();
        self.state().rules.push(Rule {
            skip: 0,
            times,
            method,
            part,
            effect,
        });
    }

    /// Lets `times` requests from the `nth` on, counted from 0 and from now, go wrong, whatever
    /// they are.
    pub fn fault_from(&self, nth: usize, times: usize, effect: Effect) {
        self.state().rules.push(Rule {
            skip: nth,
            times,
            method: "",
            part: String::new(),
            effect,
        });
    }

    /// Lets everything go well again.
    pub fn heal(&self) {
        self.state().rules.clear();
    }

    /// Waits for a request that is never answered.
    pub async fn hung(&self) {
        self.hung.notified().await;
    }

    pub fn answer(&self, times: usize, method: &'static str, part: &str, status: u16, body: &str) {
        self.fault(
            times,
            method,
            part,
            Effect::Answer(status, Vec::new(), body.to_owned()),
        );
    }

    pub fn add_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let name = digest(bytes);
        let mut state = self.state();
        let repository = state.repositories.entry(repository.to_owned()).or_default();
        repository
            .blobs
            .insert(name.clone(), Bytes::copy_from_slice(bytes));
        name
    }

    pub fn add_manifest(&self, repository: &str, tag: &str, bytes: &[u8]) -> String {
        let name = digest(bytes);
        let mut state = self.state();
        let repository = state.repositories.entry(repository.to_owned()).or_default();
        let parsed: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
        let kind = parsed["mediaType"].as_str();
        let kind = kind.unwrap_or("application/vnd.oci.image.manifest.v1+json");
        let kind = kind.to_owned();
        repository
            .manifests
            .insert(name.clone(), (kind, Bytes::copy_from_slice(bytes)));
        repository.tags.insert(tag.to_owned(), name.clone());
        name
    }

    pub fn tag(&self, repository: &str, tag: &str) -> Option<String> {
        self.state()
            .repositories
            .get(repository)?
            .tags
            .get(tag)
            .cloned()
    }

    pub fn has_blob(&self, repository: &str, digest: &str) -> bool {
        let state = self.state();
        state
            .repositories
            .get(repository)
            .is_some_and(|r| r.blobs.contains_key(digest))
    }

    /// Returns the rounds that a task takes, and its result. The task must be the only client.
    pub async fn in_rounds<T>(&self, task: impl Future<Output = T>) -> (Rounds, T) {
        self.state().rounds = Some(Rounds::default());
        let done = task.await;
        (self.state().rounds.take().expect("they were on"), done)
    }

    /// How many requests of the log begin so and contain that.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let wanted = |line: &&String| line.starts_with(method) && line.contains(part);
        self.state().log.iter().filter(wanted).count()
    }
}

fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).expect("valid in this test")
}

fn refusal(status: u16, code: &str, message: &str) -> Response {
    let body = serde_json::json!({"errors": [{"code": code, "message": message}]});
    answer(
        status,
        &[("content-type", "application/json")],
        body.to_string(),
    )
}

/// An answer that breaks off after its headers.
fn broken(status: u16) -> Response {
    let error = std::io::Error::other("broken on purpose");
    let pieces = futures_util::stream::iter([Ok(Bytes::from_static(b"{")), Err(error)]);
    answer(
        status,
        &[("content-length", "1000")],
        Body::from_stream(pieces),
    )
}

async fn serve(Extract(shared): Extract<Arc<Mutex<State>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let uri = parts.uri.to_string();
    let method = parts.method.to_string();
    let (effect, before, after) = {
        let mut state = shared.lock().expect("no thread panicked");
        state.log.push(format!("{method} {uri}"));
        let authorization = parts.headers.get("authorization");
        let authorization =
            authorization.map(|v| v.to_str().expect("valid in this test").to_owned());
        state.authorizations.push(authorization);
        state.at_once += 1;
        state.most_at_once = state.most_at_once.max(state.at_once);
        let mut effect = None;
        for rule in &mut state.rules {
            let method_fits = rule.method.is_empty() || rule.method == method;
            if rule.times == 0 || !method_fits || !rule.is_in(&uri) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            rule.times -= 1;
            effect = Some(rule.effect.clone());
            break;
        }
        (effect, state.delay(), state.delay())
    };
    rounds::wait(&shared, &method, &uri).await;
    if let Some(time) = before {
        tokio::time::sleep(time).await;
    }
    if let Some(Effect::Slow(time)) = effect {
        tokio::time::sleep(time).await;
    }
    let body = axum::body::to_bytes(body, usize::MAX).await;
    let (hangs, resets) = (
        matches!(effect, Some(Effect::Hang { .. })),
        matches!(effect, Some(Effect::Reset { .. })),
    );
    let response = respond(&shared, &parts, body.ok(), effect);
    if resets {
        // The end of the connection's task is the end of the connection, also within a HEAD.
        std::panic::resume_unwind(Box::new("reset on purpose"));
    }
    if hangs {
        shared.lock().expect("no thread panicked").hung.notify_one();
        std::future::pending::<()>().await;
    }
    if let Some(time) = after {
        tokio::time::sleep(time).await;
    }
    response
}

/// What is done and answered once a request is there.
fn respond(
    shared: &Mutex<State>,
    parts: &axum::http::request::Parts,
    body: Option<Bytes>,
    effect: Option<Effect>,
) -> Response {
    let (method, uri) = (parts.method.to_string(), parts.uri.to_string());
    let mut state = shared.lock().expect("no thread panicked");
    state.at_once -= 1;
    let Some(body) = body else {
        return answer(400, &[], "half a body");
    };
    match &effect {
        Some(Effect::Answer(status, headers, text)) => {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_str())).collect();
            return answer(*status, &headers, text.clone());
        }
        Some(Effect::BreakBefore) => return broken(500),
        Some(Effect::Reset { done: false } | Effect::Hang { done: false }) => {
            return answer(500, &[], "");
        }
        _ => {}
    }
    if matches!(effect, Some(Effect::ExpireTokens)) {
        state.expire_tokens();
    }
    if let Some(Effect::SetTag {
        repository,
        tag,
        digest,
    }) = &effect
    {
        let repository = state.repositories.get_mut(*repository);
        let repository = repository.expect("valid in this test");
        repository.tags.insert((*tag).to_owned(), digest.clone());
    }
    let mut response = state.work(&method, &uri, &parts.headers, body);
    match effect {
        Some(Effect::BreakAfter) => return broken(response.status().as_u16()),
        Some(Effect::Status(status)) => {
            *response.status_mut() = StatusCode::from_u16(status).expect("valid in this test");
        }
        Some(Effect::Without(name)) => {
            response.headers_mut().remove(name);
        }
        Some(Effect::With(name, value)) => {
            response
                .headers_mut()
                .insert(name, value.parse().expect("valid"));
        }
        Some(Effect::OtherWriter {
            repository,
            tag,
            digest,
        }) => {
            let repository = state
                .repositories
                .get_mut(repository)
                .expect("valid in this test");
            repository.tags.insert(tag.to_owned(), digest);
        }
        _ => {}
    }
    if method == "HEAD" && response.status() == StatusCode::OK {
        // hyper takes the length from the header of a HEAD's answer, not from its body.
        *response.body_mut() = Body::empty();
    }
    response
}

impl State {
    fn delay(&mut self) -> Option<Duration> {
        let (most, seed) = self.delays.as_mut()?;
        // Knuth's multiplier for 64 bits; the upper bits are the random ones.
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Most are short and a few are long: that is what lets one overtake another.
        Some(most.mul_f64(((*seed >> 32) as f64 / f64::from(u32::MAX)).powi(3)))
    }

    /// Lets every token die.
    pub fn expire_tokens(&mut self) {
        for scopes in self.tokens.values_mut() {
            scopes.clear();
        }
    }
}
