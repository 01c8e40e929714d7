//! The client with credentials, against a registry in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;

use super::{Content, Credentials, Options, Pushed, Registry};
use crate::name::{Digest, Repository};
use crate::testing::fake::{Auth, Effect, Fake};

fn registry(credentials: Credentials) -> Registry {
    let options = Options {
        backoff: Duration::from_millis(5),
        timeout: Duration::from_secs(2),
        credentials,
        ..Options::default()
    };
    Registry::new(options).expect("a client")
}

/// A client with one entry of a docker config.
fn logged_in(host: &str, entry: &str) -> Registry {
    let config = format!(r#"{{"auths": {{"{host}": {entry}}}}}"#);
    registry(Credentials::from_text(config))
}

/// `user:secret`
const USER: &str = r#"{"auth": "dXNlcjpzZWNyZXQ="}"#;
/// `user:wrong`
const WRONG: &str = r#"{"auth": "dXNlcjp3cm9uZw=="}"#;

fn repository(fake: &Fake) -> Repository {
    Repository::parse(&format!("{}/a", fake.host)).expect("a repository")
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let (fake, storage) = (Fake::start().await, Fake::start().await);
    fake.state().auth = Some(Auth {
        basic: true,
        ..Auth::default()
    });
    let digest = Digest::parse(&storage.add_blob("s", b"content")).expect("answered");
    let registry = logged_in(&fake.host, USER);
    let r = repository(&fake);
    registry.tags(&r).await.expect("answered");
    let location = format!("http://{}/v2/s/blobs/{digest}", storage.host);
    let redirect = Effect::Answer(307, vec![("location", location)], String::new());
    fake.fault(1, "GET", "/blobs/", redirect.clone());
    assert_eq!(
        registry.blob(&r, &digest, 100).await.expect("answered"),
        "content"
    );
    assert_eq!(storage.state().authorizations, vec![None]);

    // Nor when the other host asks for them.
    storage.state().auth = Some(Auth {
        basic: true,
        ..Auth::default()
    });
    fake.fault(1, "GET", "/blobs/", redirect);
    assert_eq!(
        registry
            .blob(&r, &digest, 100)
            .await
            .expect_err("refused")
            .status(),
        Some(401)
    );
    assert_eq!(storage.state().authorizations, vec![None, None]);
}

#[tokio::test]
async fn identity_tokens_are_exchanged() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        refresh_only: true,
        ..Auth::default()
    });
    let registry = logged_in(&fake.host, r#"{"identitytoken": "refresh"}"#);
    registry.tags(&repository(&fake)).await.expect("answered");
    assert_eq!(fake.count("POST", "/token"), 1);
}

#[tokio::test]
async fn missing_and_wrong_credentials_lead_to_a_login() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        no_anonymous: true,
        ..Auth::default()
    });
    let r = repository(&fake);
    logged_in(&fake.host, USER)
        .tags(&r)
        .await
        .expect("answered");
    let error = registry(Credentials::none())
        .tags(&r)
        .await
        .expect_err("refused");
    assert_eq!(
        error.to_string().replace(&fake.host, "HOST"),
        "cannot list the tags of `HOST/a`: `HOST` requires credentials; log in with `docker login HOST` \
         (401 UNAUTHORIZED: incorrect username or password)"
    );
    let wrong = logged_in(&fake.host, WRONG);
    let error = wrong.tags(&r).await.expect_err("refused");
    assert_eq!(
        error.to_string().replace(&fake.host, "HOST"),
        "cannot list the tags of `HOST/a`: `HOST` rejects the credentials; log in again with `docker \
         login HOST`, or with an account that has access (401 UNAUTHORIZED: incorrect username or password)"
    );
}

#[tokio::test]
async fn an_upload_on_another_host_gets_the_bytes_and_no_credentials() {
    let (fake, storage) = (Fake::start().await, Fake::start().await);
    fake.state().auth = Some(Auth {
        basic: true,
        ..Auth::default()
    });
    storage.state().open_uploads.push("1".to_owned());
    let location = format!("http://{}/v2/s/blobs/uploads/1?a=b", storage.host);
    let elsewhere = Effect::Answer(202, vec![("location", location)], String::new());
    fake.fault(1, "POST", "", elsewhere);
    let digest = Digest::of(b"content");
    let content = Content::Bytes("content".into());
    let registry = logged_in(&fake.host, USER);
    let r = repository(&fake);
    assert_eq!(
        registry.push_blob(&r, &digest, 7, &content).await,
        Ok(Pushed::Uploaded)
    );
    assert!(storage.has_blob("s", digest.as_str()));
    assert_eq!(storage.state().authorizations, vec![None]);
    let asked = format!(
        "PUT /v2/s/blobs/uploads/1?a=b&digest={}",
        digest.as_str().replace(':', "%3A")
    );
    assert_eq!(storage.state().log, vec![asked]);
}

/// A registry that accepts connections and answers each with these bytes, whatever is asked. Also counts the connections.
fn speaking(bytes: &'static [u8]) -> (String, Arc<AtomicUsize>) {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let host = listener.local_addr().expect("an address").to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            counted.fetch_add(1, Ordering::Relaxed);
            let _read = stream.read(&mut [0; 1024]);
            let _written = stream.write_all(bytes);
        }
    });
    (host, count)
}

#[tokio::test]
async fn a_registry_with_the_other_protocol_is_known_at_once() {
    let (http, http_count) = speaking(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
    // A TLS alert.
    let (tls, tls_count) = speaking(b"\x15\x03\x01\x00\x02\x02\x46");
    let options = Options {
        tls: vec![http.clone()],
        ..Options::default()
    };
    let registry = Registry::new(options).expect("a client");
    for (host, expected) in [
        (&http, format!("set LAMINATE_HTTP_REGISTRIES={http}")),
        (&tls, format!("set LAMINATE_TLS_REGISTRIES={tls}")),
    ] {
        let repository = Repository::parse(&format!("{host}/a")).expect("a repository");
        let error = registry.tags(&repository).await.expect_err("refused");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
    // A request that is tried again connects six times.
    for count in [http_count, tls_count] {
        assert!(count.load(Ordering::Relaxed) <= 2, "it is tried again");
    }
}

#[tokio::test]
async fn a_missing_helper_matters_only_where_a_credential_is_needed() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth::default());
    let (events, received) = crate::event::Events::channel();
    let config = r#"{"credsStore": "laminate-absent"}"#;
    let registry = Registry::new(Options {
        backoff: Duration::from_millis(5),
        events,
        credentials: Credentials::from_text(config),
        ..Options::default()
    });
    let registry = registry.expect("a client");
    let r = repository(&fake);
    assert_eq!(registry.tags(&r).await.expect("anonymous"), Vec::new());
    let warned: Vec<_> = received.try_iter().collect();
    let [crate::event::Event::Warning { text }] = warned.as_slice() else {
        panic!("{warned:?}");
    };
    assert!(
        text.contains("`docker-credential-laminate-absent`"),
        "{text}"
    );
    fake.state().auth = Some(Auth {
        no_anonymous: true,
        ..Auth::default()
    });
    fake.state().expire_tokens();
    let error = registry.tags(&r).await.expect_err("refused").to_string();
    assert!(error.contains("is not on PATH"), "{error}");
}

#[tokio::test]
async fn each_repository_gets_the_credential_of_its_path() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        basic: true,
        ..Auth::default()
    });
    let host = &fake.host;
    let config = format!(r#"{{"auths": {{"{host}/orga": {WRONG}, "{host}/orgb": {USER}}}}}"#);
    let registry = registry(Credentials::from_text(config));
    let tags = async |path: &str| {
        let repository = Repository::parse(&format!("{host}/{path}"));
        registry.tags(&repository.expect("a repository")).await
    };
    assert!(tags("orga/x").await.is_err());
    assert!(tags("orgb/x").await.is_ok());
}

#[tokio::test]
async fn a_silent_host_is_reported_before_the_next_try() {
    let fake = Fake::start().await;
    let (events, received) = crate::event::Events::channel();
    let registry = Registry::new(Options {
        backoff: Duration::from_millis(1),
        timeout: Duration::from_millis(100),
        events,
        ..Options::default()
    });
    fake.fault(1, "GET", "tags", Effect::Hang { done: false });
    let tags = registry.expect("a client").tags(&repository(&fake)).await;
    assert_eq!(tags.expect("answered"), Vec::new());
    let notes: Vec<_> = received.try_iter().collect();
    let [crate::event::Event::Note { text }] = notes.as_slice() else {
        panic!("{notes:?}");
    };
    let expected = format!(
        "`{}`: no answer within 0.1 s; trying again (2 of 6)",
        fake.host
    );
    assert_eq!(*text, expected);
}

#[tokio::test]
async fn requests_are_prepared_when_they_are_sent_soon() {
    let options = Options {
        concurrency: 2,
        ..Options::default()
    };
    let registry = Registry::new(options).expect("a client");
    let turn = || registry.transport.turn("one.example");
    let mut turns = Vec::new();
    for _ in 0..4 {
        turns.push(turn().await);
    }
    assert!(turn().now_or_never().is_none(), "two are sent, two wait");
    let other = registry.transport.turn("two.example").now_or_never();
    assert!(other.is_some(), "each host has its own");
    turns.pop();
    assert!(turn().now_or_never().is_some());
}
