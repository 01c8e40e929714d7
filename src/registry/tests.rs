//! Against a registry in this process that can be told to misbehave.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};

use super::*;

/// What the registry holds, what it was asked, and what it does wrong.
#[derive(Default)]
struct Store {
    manifests: BTreeMap<(String, String), (Bytes, String)>,
    blobs: BTreeMap<(String, Digest), Bytes>,
    log: Vec<String>,
    /// Answers given before the right one: status and `Retry-After`.
    faults: Vec<(u16, Option<&'static str>)>,
    /// A token is wanted; tokens that are good.
    tokens: Option<Vec<String>>,
    no_mounts: bool,
    other_digest: bool,
    no_digest: bool,
}

type Shared = Arc<Mutex<Store>>;

struct Fake {
    store: Shared,
    host: String,
}

impl Fake {
    async fn start(store: Store) -> Self {
        let store: Shared = Arc::new(Mutex::new(store));
        let app = Router::new().fallback(answer).with_state(store.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let host = listener.local_addr().expect("bound").to_string();
        // It ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { store, host }
    }

    fn repository(&self, path: &str) -> Repository {
        Repository::parse(&format!("{}/{path}", self.host)).expect("a repository")
    }

    fn log(&self) -> Vec<String> {
        self.store.lock().expect("unpoisoned").log.clone()
    }
}

fn reply(status: u16, headers: &[(&str, String)], body: impl Into<Body>) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, value);
    }
    response.body(body.into()).expect("a legal answer")
}

async fn answer(State(store): State<Shared>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("read");
    let mut store = store.lock().expect("unpoisoned");
    let path = parts.uri.path().to_owned();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    store.log.push(format!("{} {path}", parts.method));
    if path == "/token" {
        let name = format!("token-{}", store.log.len());
        if let Some(tokens) = &mut store.tokens {
            tokens.push(name.clone());
        }
        return reply(
            200,
            &[],
            format!("{{\"token\":\"{name}\",\"expires_in\":300}}"),
        );
    }
    if let Some(tokens) = &store.tokens {
        let header = parts.headers.get("authorization");
        let given = header.and_then(|h| h.to_str().ok()).unwrap_or_default();
        if !tokens
            .iter()
            .any(|token| given == format!("Bearer {token}"))
        {
            let host = parts.headers["host"].to_str().expect("ASCII");
            let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"fake\"");
            return reply(401, &[("www-authenticate", challenge)], "");
        }
    }
    if !store.faults.is_empty() {
        let (status, retry) = store.faults.remove(0);
        let headers: Vec<_> = retry
            .map(|r| ("retry-after", r.to_owned()))
            .into_iter()
            .collect();
        return reply(status, &headers, "<html>busy</html>");
    }
    route(&mut store, &parts, &path, &query, body)
}

fn route(
    store: &mut Store,
    parts: &axum::http::request::Parts,
    path: &str,
    query: &str,
    body: Bytes,
) -> Response<Body> {
    let rest = path.strip_prefix("/v2/").unwrap_or_default();
    let argument = |name: &str| {
        let prefix = format!("{name}=");
        query
            .split('&')
            .find_map(|part| part.strip_prefix(&prefix))
            .map(str::to_owned)
    };
    if let Some((repository, name)) = rest.split_once("/manifests/") {
        let accept = parts.headers.get("accept").is_some();
        if parts.method == Method::PUT {
            let media_type = parts.headers["content-type"].to_str().expect("ASCII");
            let digest = match store.other_digest {
                true => Digest::of(b"other"),
                false => Digest::of(&body),
            };
            for name in [name.to_owned(), Digest::of(&body).as_str().to_owned()] {
                let value = (body.clone(), media_type.to_owned());
                store.manifests.insert((repository.to_owned(), name), value);
            }
            return reply(
                201,
                &[("docker-content-digest", digest.as_str().to_owned())],
                "",
            );
        }
        return match store
            .manifests
            .get(&(repository.to_owned(), name.to_owned()))
        {
            Some((bytes, media_type)) if accept => {
                let mut headers = vec![("content-type", media_type.clone())];
                if !store.no_digest {
                    let digest = Digest::of(bytes).as_str().to_owned();
                    headers.push(("docker-content-digest", digest));
                }
                reply(200, &headers, bytes.clone())
            }
            _ => reply(404, &[], "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}"),
        };
    }
    if let Some((repository, tail)) = rest.split_once("/blobs/") {
        if parts.method == Method::POST {
            if let (Some(mount), Some(from)) = (argument("mount"), argument("from")) {
                let digest = Digest::parse(&mount).expect("a digest");
                let found = store.blobs.get(&(from, digest.clone())).cloned();
                if let Some(bytes) = found.filter(|_| !store.no_mounts) {
                    store.blobs.insert((repository.to_owned(), digest), bytes);
                    return reply(201, &[], "");
                }
            }
            let location = format!("/v2/{repository}/blobs/uploads/1?_state=x");
            return reply(202, &[("location", location)], "");
        }
        if parts.method == Method::PUT {
            let digest = Digest::parse(&argument("digest").expect("one")).expect("a digest");
            store.blobs.insert((repository.to_owned(), digest), body);
            return reply(201, &[], "");
        }
        if parts.method == Method::DELETE {
            return reply(204, &[], "");
        }
        let digest = Digest::parse(tail).expect("a digest");
        return match store.blobs.get(&(repository.to_owned(), digest)) {
            Some(bytes) => reply(200, &[], bytes.clone()),
            None => reply(404, &[], ""),
        };
    }
    if let Some(repository) = rest.strip_suffix("/tags/list") {
        let is_tag = |name: &&str| !name.starts_with("sha256:");
        let keys = store.manifests.keys().filter(|(r, _)| r == repository);
        let tags: Vec<&str> = keys.map(|(_, name)| name.as_str()).filter(is_tag).collect();
        if tags.is_empty() {
            return reply(404, &[], "{\"errors\":[{\"code\":\"NAME_UNKNOWN\"}]}");
        }
        // One a page.
        let last = argument("last");
        let next = tags
            .iter()
            .find(|tag| last.as_deref().is_none_or(|last| **tag > last));
        let Some(tag) = next else {
            return reply(200, &[], "{\"tags\":null}");
        };
        let link = format!("</v2/{repository}/tags/list?last={tag}>; rel=\"next\"");
        return reply(200, &[("link", link)], format!("{{\"tags\":[\"{tag}\"]}}"));
    }
    reply(404, &[], "404 page not found")
}

fn registry() -> Registry {
    Registry::new(Options::default()).expect("a client")
}

fn manifest(text: &str) -> Manifest {
    Manifest::new(text.as_bytes().to_vec(), MANIFEST_TYPES[0])
}

fn tag(text: &str) -> Locator {
    Locator::Tag(Tag::parse(text).expect("a tag"))
}

#[tokio::test]
async fn a_manifest_is_the_same_bytes_under_every_name() {
    let fake = Fake::start(Store::default()).await;
    let (registry, repository) = (registry(), fake.repository("a/b"));
    let manifest = manifest("{ \"x\" :1}\n");
    assert_eq!(
        registry
            .head_manifest(&repository, &tag("t"))
            .await
            .expect("asked"),
        None
    );
    registry
        .put_manifest(&repository, &tag("t"), &manifest)
        .await
        .expect("put");
    registry
        .put_manifest(&repository, &tag("u"), &manifest)
        .await
        .expect("put");
    let read = registry
        .manifest(&repository, &tag("u"))
        .await
        .expect("asked");
    assert_eq!(read.as_ref(), Some(&manifest));
    let at = Locator::Digest(manifest.digest.clone());
    let read = registry.manifest(&repository, &at).await.expect("asked");
    assert_eq!(read, Some(manifest));
    let tags = registry.tags(&repository).await.expect("asked");
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["t", "u"]);
    let none = registry
        .tags(&fake.repository("none"))
        .await
        .expect("asked");
    assert_eq!(none, []);
}

#[tokio::test]
async fn no_request_is_sent_only_to_ask_who_may() {
    let fake = Fake::start(Store::default()).await;
    let (registry, repository) = (registry(), fake.repository("a"));
    for _ in 0..3 {
        registry
            .head_manifest(&repository, &tag("t"))
            .await
            .expect("asked");
    }
    assert_eq!(fake.log(), ["HEAD /v2/a/manifests/t"; 3]);
    assert_eq!(registry.counts().requests, 3);
}

#[tokio::test]
async fn a_token_is_fetched_once_and_again_when_it_is_refused() {
    let fake = Fake::start(Store {
        tokens: Some(Vec::new()),
        ..Store::default()
    })
    .await;
    let (registry, repository) = (registry(), fake.repository("a"));
    let head = "HEAD /v2/a/manifests/t";
    registry
        .head_manifest(&repository, &tag("t"))
        .await
        .expect("asked");
    registry
        .head_manifest(&repository, &tag("t"))
        .await
        .expect("asked");
    assert_eq!(fake.log(), [head, "GET /token", head, head]);
    // The token ends before its time.
    fake.store.lock().expect("unpoisoned").tokens = Some(Vec::new());
    registry
        .head_manifest(&repository, &tag("t"))
        .await
        .expect("asked");
    assert_eq!(fake.log()[4..], [head, "GET /token", head]);
}

#[tokio::test]
async fn what_is_temporary_is_tried_again_and_what_is_not_is_told() {
    let fake = Fake::start(Store {
        faults: vec![(503, Some("0")), (500, None)],
        ..Store::default()
    })
    .await;
    let (registry, repository) = (registry(), fake.repository("a"));
    let manifest = manifest("{}");
    registry
        .put_manifest(&repository, &tag("t"), &manifest)
        .await
        .expect("put");
    let put = "PUT /v2/a/manifests/t";
    assert_eq!(fake.log(), [put, put, put, "HEAD /v2/a/manifests/t"]);
    let told = |faults: Vec<(u16, Option<&'static str>)>| {
        fake.store.lock().expect("unpoisoned").faults = faults;
        let (registry, repository, manifest) = (&registry, &repository, &manifest);
        async move {
            let result = registry.put_manifest(repository, &tag("t"), manifest).await;
            result
                .expect_err("refused")
                .to_string()
                .replace(repository.host(), "HOST")
        }
    };
    assert_eq!(
        told(vec![(403, None)]).await,
        "writing HOST/a:t: HOST refuses: <html>busy</html>; the credentials in use may not do this"
    );
    assert_eq!(
        told(vec![(412, None)]).await,
        "writing HOST/a:t: the tag is immutable and on another digest: <html>busy</html>"
    );
    assert_eq!(
        told(vec![(413, None)]).await,
        "writing HOST/a:t: the registry answered 413: <html>busy</html>"
    );
    assert_eq!(
        told(vec![(503, Some("0")); 5]).await,
        "writing HOST/a:t: the registry answered 503: <html>busy</html>"
    );
}

#[tokio::test]
async fn a_wrong_digest_in_the_answer_is_no_success() {
    let fake = Fake::start(Store {
        other_digest: true,
        ..Store::default()
    })
    .await;
    let result = registry()
        .put_manifest(&fake.repository("a"), &tag("t"), &manifest("{}"))
        .await;
    assert!(matches!(result, Err(Error::Corrupt { .. })), "{result:?}");
}

#[tokio::test]
async fn a_registry_that_hides_the_digest_is_asked_for_the_bytes() {
    let fake = Fake::start(Store {
        no_digest: true,
        ..Store::default()
    })
    .await;
    let (registry, repository) = (registry(), fake.repository("a"));
    let manifest = manifest("{}");
    registry
        .put_manifest(&repository, &tag("t"), &manifest)
        .await
        .expect("put");
    let found = registry
        .head_manifest(&repository, &tag("t"))
        .await
        .expect("asked");
    assert_eq!(found, Some(manifest.digest));
}

#[tokio::test]
async fn blobs_move_once_and_are_mounted_without_their_bytes() {
    let fake = Fake::start(Store::default()).await;
    let registry = registry();
    let (from, to) = (fake.repository("staging"), fake.repository("image"));
    let bytes = Bytes::from_static(b"layer");
    let digest = registry
        .push_blob(&from, bytes.clone())
        .await
        .expect("pushed");
    assert_eq!(
        registry
            .push_blob(&from, bytes.clone())
            .await
            .expect("there"),
        digest
    );
    assert_eq!(registry.counts().uploaded, 5);
    assert_eq!(
        registry.mount(&to, &from, &digest).await.expect("asked"),
        Mount::Mounted
    );
    assert_eq!(
        registry.blob(&to, &digest).await.expect("asked"),
        Some(bytes)
    );
    assert_eq!(registry.counts().uploaded, 5);
    fake.store.lock().expect("unpoisoned").no_mounts = true;
    let other = fake.repository("other");
    assert_eq!(
        registry.mount(&other, &from, &digest).await.expect("asked"),
        Mount::Refused("the registry does not mount it".to_owned())
    );
    let last = fake.log().pop();
    assert_eq!(last.as_deref(), Some("DELETE /v2/other/blobs/uploads/1"));
    assert!(!registry.has_blob(&other, &digest).await.expect("asked"));
}

#[tokio::test]
async fn bytes_that_are_not_what_was_asked_for_are_refused() {
    let fake = Fake::start(Store::default()).await;
    let digest = Digest::of(b"right");
    let key = ("a".to_owned(), digest.clone());
    fake.store
        .lock()
        .expect("unpoisoned")
        .blobs
        .insert(key, Bytes::from_static(b"wrong"));
    let result = registry().blob(&fake.repository("a"), &digest).await;
    assert!(matches!(result, Err(Error::Corrupt { .. })), "{result:?}");
}

#[tokio::test]
async fn a_host_that_is_not_there_is_named() {
    let host = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("bound").to_string()
    };
    let repository = Repository::parse(&format!("{host}/a")).expect("a repository");
    let error = registry()
        .head_manifest(&repository, &tag("t"))
        .await
        .expect_err("nobody is there");
    assert!(error.is_temporary());
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("looking up {host}/a:t: cannot reach {host}: ")),
        "{text}"
    );
}

#[test]
fn waiting_is_bounded() {
    assert_eq!(retry_after("7"), Some(Duration::from_secs(7)));
    assert_eq!(retry_after("99999"), Some(Duration::from_secs(300)));
    assert_eq!(
        retry_after("Wed, 21 Oct 2015 07:28:00 GMT"),
        Some(Duration::ZERO)
    );
    assert_eq!(retry_after("soon"), None);
    for tries in 1..9 {
        let wait = backoff(tries);
        assert!(wait >= Duration::from_millis(250) && wait <= Duration::from_secs(30));
    }
}

#[test]
fn only_this_machine_is_spoken_to_without_tls() {
    for (host, plain) in [
        ("localhost:5000", true),
        ("127.0.0.1:5000", true),
        ("[::1]:5000", true),
        ("ghcr.io", false),
        ("localhost.example.org", false),
    ] {
        assert_eq!(is_plain(host), plain, "{host}");
    }
}
