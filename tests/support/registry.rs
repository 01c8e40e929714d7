//! A registry in the test's own process that can be told to misbehave.
//!
//! Main type: [`Fake`]. Integration tests and unit tests include this file with `#[path]`; it
//! imports nothing of the crate.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State as Extract};
use axum::http::{HeaderMap, StatusCode};
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
    /// Nobody gets anything without `user:secret`.
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
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
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
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            host,
            state,
            hung,
            server,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets the next `times` requests with this method and part of the path go wrong.
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
        let kind = "application/vnd.oci.image.manifest.v1+json".to_owned();
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
    response.body(body.into()).unwrap()
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
        let mut state = shared.lock().unwrap();
        state.log.push(format!("{method} {uri}"));
        let authorization = parts.headers.get("authorization");
        let authorization = authorization.map(|v| v.to_str().unwrap().to_owned());
        state.authorizations.push(authorization);
        state.at_once += 1;
        state.most_at_once = state.most_at_once.max(state.at_once);
        let mut effect = None;
        for rule in &mut state.rules {
            let method_fits = rule.method.is_empty() || rule.method == method;
            if rule.times == 0 || !method_fits || !uri.contains(&rule.part) {
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
        shared.lock().unwrap().hung.notify_one();
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
    let mut state = shared.lock().unwrap();
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
    let mut response = state.work(&method, &uri, &parts.headers, body);
    match effect {
        Some(Effect::BreakAfter) => return broken(response.status().as_u16()),
        Some(Effect::Without(name)) => {
            response.headers_mut().remove(name);
        }
        Some(Effect::With(name, value)) => {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        Some(Effect::OtherWriter {
            repository,
            tag,
            digest,
        }) => {
            let repository = state.repositories.get_mut(repository).unwrap();
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
    fn work(&mut self, method: &str, uri: &str, headers: &HeaderMap, body: Bytes) -> Response {
        let url: axum::http::Uri = uri.parse().unwrap();
        let query: Vec<(String, String)> = pairs(url.query().unwrap_or_default());
        let get = |name: &str| {
            query
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
        };
        if url.path() == "/token" {
            return self.token(method, &query, headers, &body);
        }
        let Some(rest) = url.path().strip_prefix("/v2/") else {
            return answer(404, &[], "404 page not found");
        };
        let Some((name, what, at)) = ["/manifests/", "/blobs/uploads/", "/blobs/", "/tags/list"]
            .iter()
            .find_map(|what| rest.split_once(what).map(|(name, at)| (name, *what, at)))
        else {
            return answer(404, &[], "404 page not found");
        };
        let action = match (method, what) {
            ("GET" | "HEAD", _) => "pull",
            ("DELETE", "/manifests/") => "delete",
            _ => "push",
        };
        if let Some(refused) = self.unauthorized(action, name, get("from"), headers) {
            return refused;
        }
        let base = self.base.clone();
        match (method, what) {
            ("GET" | "HEAD", "/manifests/") => self.read_manifest(method, name, at, headers),
            ("PUT", "/manifests/") => self.write_manifest(name, at, headers, body),
            ("DELETE", "/manifests/") => self.delete_manifest(name, at),
            ("GET" | "HEAD", "/blobs/") => {
                let Some(bytes) = self.repositories.get(name).and_then(|r| r.blobs.get(at)) else {
                    return refusal(404, "BLOB_UNKNOWN", "blob unknown to registry");
                };
                answer(
                    200,
                    &[("content-length", &bytes.len().to_string())],
                    bytes.clone(),
                )
            }
            ("POST", "/blobs/uploads/") => {
                if let (Some(mount), Some(from)) = (get("mount"), get("from")) {
                    if let Mounts::Status(status) = self.mounts {
                        return refusal(status, "DENIED", "mounting is not allowed");
                    }
                    let bytes = self
                        .repositories
                        .get(&from)
                        .and_then(|r| r.blobs.get(&mount));
                    if let (Some(bytes), Mounts::Work) = (bytes.cloned(), self.mounts) {
                        let to = self.repositories.entry(name.to_owned()).or_default();
                        to.blobs.insert(mount.clone(), bytes);
                        return answer(201, &[("docker-content-digest", &mount)], "");
                    }
                }
                self.uploads += 1;
                let upload = format!("/v2/{name}/blobs/uploads/{}?_state=x", self.uploads);
                self.open_uploads.push(self.uploads.to_string());
                // Every other address is relative: both are legal.
                let base = if self.uploads.is_multiple_of(2) {
                    base
                } else {
                    String::new()
                };
                answer(202, &[("location", &format!("{base}{upload}"))], "")
            }
            ("PUT", "/blobs/uploads/") => {
                let Some(open) = self.open_uploads.iter().position(|u| u == at) else {
                    return refusal(404, "BLOB_UPLOAD_UNKNOWN", "no such upload");
                };
                self.open_uploads.remove(open);
                let found = digest(&body);
                if get("digest").as_deref() != Some(&found) {
                    return refusal(400, "DIGEST_INVALID", "digest does not match");
                }
                let to = self.repositories.entry(name.to_owned()).or_default();
                to.blobs.insert(found.clone(), body);
                answer(201, &[("docker-content-digest", &found)], "")
            }
            ("DELETE", "/blobs/uploads/") => {
                self.open_uploads.retain(|u| u != at);
                answer(204, &[], "")
            }
            ("GET", "/tags/list") => self.list(name, get("last")),
            _ => refusal(405, "UNSUPPORTED", "not supported"),
        }
    }

    fn read_manifest(&self, method: &str, name: &str, at: &str, headers: &HeaderMap) -> Response {
        let unknown = || refusal(404, "MANIFEST_UNKNOWN", "manifest unknown");
        let Some(repository) = self.repositories.get(name) else {
            return unknown();
        };
        let stale = repository
            .stale
            .get(at)
            .filter(|(_, until)| *until > Instant::now());
        let digest = match stale {
            Some((old, _)) if method == "HEAD" => old.clone(),
            _ if at.starts_with("sha256:") => Some(at.to_owned()),
            _ => repository.tags.get(at).cloned(),
        };
        let found = digest.and_then(|d| repository.manifests.get(&d).map(|m| (d, m)));
        let Some((digest, (kind, bytes))) = found else {
            return unknown();
        };
        let accepted = headers
            .get("accept")
            .is_some_and(|a| a.to_str().unwrap().contains(kind));
        if !accepted {
            return refusal(404, "MANIFEST_UNKNOWN", "accept header does not support it");
        }
        let length = bytes.len().to_string();
        let headers = [
            ("content-type", kind.as_str()),
            ("content-length", &length),
            ("docker-content-digest", &digest),
        ];
        answer(200, &headers, bytes.clone())
    }

    fn write_manifest(
        &mut self,
        name: &str,
        at: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Response {
        let found = digest(&body);
        let immutable = self.immutable.clone();
        let immutable = immutable.filter(|_| at.starts_with(self.immutable_prefix));
        let until = Instant::now() + self.stale_for;
        let repository = self.repositories.entry(name.to_owned()).or_default();
        let kind = headers
            .get("content-type")
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if at.starts_with("sha256:") {
            if at != found {
                return refusal(400, "DIGEST_INVALID", "digest does not match");
            }
        } else {
            let old = repository.tags.get(at).cloned();
            if let (Some((status, message)), Some(_)) = (immutable, &old) {
                return refusal(status, "TAG_INVALID", &message);
            }
            repository.stale.insert(at.to_owned(), (old, until));
            repository.tags.insert(at.to_owned(), found.clone());
        }
        repository.manifests.insert(found.clone(), (kind, body));
        let location = format!("/v2/{name}/manifests/{found}");
        let headers = [("docker-content-digest", &*found), ("location", &location)];
        answer(201, &headers, "")
    }

    /// By digest every tag on it vanishes, too; by tag it is the tag alone.
    fn delete_manifest(&mut self, name: &str, at: &str) -> Response {
        if let Some(status) = self.keeps_tags {
            return refusal(status, "UNSUPPORTED", "not supported");
        }
        let Some(repository) = self.repositories.get_mut(name) else {
            return refusal(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let gone = match at.starts_with("sha256:") {
            true => {
                repository.tags.retain(|_, digest| digest != at);
                repository.manifests.remove(at).is_some()
            }
            false => {
                let old = repository.tags.remove(at);
                let until = Instant::now() + self.stale_for;
                let gone = old.is_some();
                repository.stale.insert(at.to_owned(), (old, until));
                gone
            }
        };
        match gone {
            true => answer(202, &[], ""),
            false => refusal(404, "MANIFEST_UNKNOWN", "manifest unknown"),
        }
    }

    fn delay(&mut self) -> Option<Duration> {
        let (most, seed) = self.delays.as_mut()?;
        // Knuth's multiplier for 64 bits; the upper bits are the random ones.
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Most are short and a few are long: that is what lets one overtake another.
        Some(most.mul_f64(((*seed >> 32) as f64 / f64::from(u32::MAX)).powi(3)))
    }

    fn list(&self, name: &str, last: Option<String>) -> Response {
        let Some(repository) = self.repositories.get(name) else {
            return refusal(404, "NAME_UNKNOWN", "repository name not known to registry");
        };
        let after = |tag: &&String| last.as_ref().is_none_or(|last| *tag > last);
        let rest: Vec<&String> = repository.tags.keys().filter(after).collect();
        let page: Vec<&String> = rest
            .iter()
            .take(self.page.unwrap_or(usize::MAX))
            .copied()
            .collect();
        let link = format!(
            "</v2/{name}/tags/list?n=1000&last={}>; rel=\"next\"",
            page.last().map_or("", |tag| tag)
        );
        let tags = if rest.is_empty() {
            serde_json::Value::Null
        } else {
            serde_json::json!(page)
        };
        let body = serde_json::json!({"name": name, "tags": tags}).to_string();
        let headers: &[(&str, &str)] = if page.len() < rest.len() {
            &[("link", &link)]
        } else {
            &[]
        };
        answer(200, headers, body)
    }

    fn token(
        &mut self,
        method: &str,
        query: &[(String, String)],
        headers: &HeaderMap,
        body: &[u8],
    ) -> Response {
        let auth = self.auth.clone().unwrap_or_default();
        let form = pairs(std::str::from_utf8(body).unwrap());
        let form_of = |name: &str| {
            form.iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.as_str())
        };
        let mut scopes: Vec<String> = match method {
            "POST" => form_of("scope")
                .unwrap_or_default()
                .split(' ')
                .map(str::to_owned)
                .collect(),
            _ => query
                .iter()
                .filter(|(n, _)| n == "scope")
                .map(|(_, v)| v.clone())
                .collect(),
        };
        let good = match auth.refresh_only {
            true => method == "POST" && form_of("refresh_token") == Some("refresh"),
            // user:secret
            false => match headers.get("authorization") {
                Some(value) => value == "Basic dXNlcjpzZWNyZXQ=",
                None => !auth.no_anonymous,
            },
        };
        if !good {
            return refusal(401, "UNAUTHORIZED", "incorrect username or password");
        }
        if auth.first_scope_only {
            scopes.truncate(1);
        }
        let token = format!("token-{}", self.tokens.len());
        self.tokens.insert(token.clone(), scopes);
        let mut body = serde_json::json!({"token": token});
        if let Some(seconds) = auth.expires_in {
            body["expires_in"] = seconds.into();
        }
        answer(200, &[], body.to_string())
    }

    /// Lets every token die.
    pub fn expire_tokens(&mut self) {
        for scopes in self.tokens.values_mut() {
            scopes.clear();
        }
    }

    fn unauthorized(
        &self,
        action: &str,
        name: &str,
        from: Option<String>,
        headers: &HeaderMap,
    ) -> Option<Response> {
        let auth = self.auth.as_ref()?;
        let mut needed = vec![(name.to_owned(), action)];
        needed.extend(from.map(|from| (from, "pull")));
        let given = headers.get("authorization").map(|v| v.to_str().unwrap());
        if auth.basic {
            let good = given == Some("Basic dXNlcjpzZWNyZXQ=");
            let challenge = [("www-authenticate", "Basic realm=\"fake\"")];
            return (!good).then(|| answer(401, &challenge, ""));
        }
        let scopes = given.and_then(|g| self.tokens.get(g.strip_prefix("Bearer ")?));
        let has = |(name, action): &(String, &str)| {
            scopes.into_iter().flatten().any(|scope| {
                scope
                    .strip_prefix(&format!("repository:{name}:"))
                    .is_some_and(|actions| actions.split(',').any(|a| a == *action))
            })
        };
        if needed.iter().all(has) {
            return None;
        }
        let challenge = format!(
            "Bearer realm=\"{}/token\",service=\"fake\",scope=\"repository:{name}:{action}\"",
            self.base
        );
        let body = r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#;
        Some(answer(401, &[("www-authenticate", &challenge)], body))
    }
}

/// The pairs of a query or form.
fn pairs(text: &str) -> Vec<(String, String)> {
    let url = reqwest::Url::parse(&format!("form:/?{text}")).unwrap();
    url.query_pairs()
        .map(|(n, v)| (n.into_owned(), v.into_owned()))
        .collect()
}
