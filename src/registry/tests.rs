//! The client with credentials, against a registry in this process.

use std::time::Duration;

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
