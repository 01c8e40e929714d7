//! The registry client against a fake that misbehaves, and against real registries.

use std::time::{Duration, Instant};

use crate::support::fake::{Auth, Effect, Fake, Mounts};
use futures_util::StreamExt as _;
use laminate::name::{Digest, Repository, Tag};
use laminate::registry::{
    Content, Counts, Credentials, Descriptor, Error, Locator, Manifest, Mount, Options, Pushed,
    Registry,
};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

fn options() -> Options {
    Options {
        backoff: Duration::from_millis(5),
        timeout: Duration::from_secs(2),
        settling: Duration::from_secs(1),
        ..Options::default()
    }
}

fn registry() -> Registry {
    Registry::new(options()).unwrap()
}

fn logged_in(host: &str, auth: &str) -> Registry {
    let config = format!(r#"{{"auths": {{"{host}": {auth}}}}}"#);
    let credentials = Credentials::from_text(config);
    Registry::new(Options {
        credentials,
        ..options()
    })
    .unwrap()
}

const USER: &str = r#"{"auth": "dXNlcjpzZWNyZXQ="}"#;

fn repository(fake: &Fake, path: &str) -> Repository {
    Repository::parse(&format!("{}/{path}", fake.host)).unwrap()
}

fn tag(text: &str) -> Locator {
    Locator::Tag(Tag::parse(text).unwrap())
}

fn manifest(text: &str) -> Manifest {
    Manifest::new(
        format!(r#"{{"schemaVersion": 2, "annotations": {{"a": "{text}"}}}}"#),
        OCI,
    )
}

/// The error's text with the fake's port taken out.
fn text(fake: &Fake, error: Error) -> String {
    error.to_string().replace(&fake.host, "HOST")
}

#[tokio::test]
async fn manifests_are_written_and_read_as_they_are() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a/b/c/d"));
    let m = manifest("x");
    assert_eq!(registry.head_manifest(&r, &tag("t")).await.unwrap(), None);
    assert_eq!(registry.manifest(&r, &tag("t")).await.unwrap(), None);
    registry.put_manifest(&r, &tag("t"), &m).await.unwrap();
    registry
        .put_manifest(&r, &m.digest.clone().into(), &m)
        .await
        .unwrap();
    assert_eq!(
        registry.head_manifest(&r, &tag("t")).await.unwrap(),
        Some(m.descriptor())
    );
    assert_eq!(
        registry.manifest(&r, &tag("t")).await.unwrap(),
        Some(m.clone())
    );
    let by_digest = registry
        .manifest(&r, &m.digest.clone().into())
        .await
        .unwrap();
    assert_eq!(by_digest, Some(m));
    let expected = Counts {
        manifest_heads: 4,
        manifest_gets: 3,
        manifest_puts: 2,
        ..Counts::default()
    };
    assert_eq!(registry.counts(), expected);
    assert_eq!(fake.state().log.len(), 9, "no request but the counted ones");
}

#[tokio::test]
async fn a_digest_nobody_told_is_computed() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    let m = manifest("x");
    fake.add_manifest("a", "t", &m.bytes);
    fake.fault(1, "HEAD", "", Effect::Without("docker-content-digest"));
    assert_eq!(
        registry.head_manifest(&r, &tag("t")).await.unwrap(),
        Some(m.descriptor())
    );
}

#[tokio::test]
async fn wrong_bytes_are_refused() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    let m = manifest("x");
    fake.add_manifest("a", "t", &m.bytes);
    let wrong = format!("sha256:{}", "0".repeat(64));
    fake.fault(
        1,
        "GET",
        "",
        Effect::With("docker-content-digest", wrong.clone()),
    );
    let error = registry.manifest(&r, &tag("t")).await.unwrap_err();
    assert_eq!(
        text(&fake, error),
        format!(
            "cannot read the manifest HOST/a:t: its digest is {}, not {wrong}",
            m.digest
        )
    );
    fake.fault(
        1,
        "PUT",
        "",
        Effect::With("docker-content-digest", wrong.clone()),
    );
    let error = registry.put_manifest(&r, &tag("u"), &m).await.unwrap_err();
    assert_eq!(
        text(&fake, error),
        format!(
            "cannot write the manifest HOST/a:u: its digest is {wrong}, not {}",
            m.digest
        )
    );
    let lying = Manifest {
        digest: Digest::parse(&wrong).unwrap(),
        ..m
    };
    assert!(registry.put_manifest(&r, &tag("v"), &lying).await.is_err());
    assert_eq!(fake.tag("a", "v"), None);
}

#[tokio::test]
async fn what_is_temporary_is_tried_again() {
    for status in [408, 429, 499, 500, 502, 503, 504, 522] {
        let fake = Fake::start().await;
        let (registry, r) = (registry(), repository(&fake, "a"));
        let m = manifest("x");
        fake.add_manifest("a", "t", &m.bytes);
        fake.answer(5, "GET", "", status, "<html>no</html>");
        assert_eq!(
            registry.manifest(&r, &tag("t")).await.unwrap(),
            Some(m),
            "{status}"
        );
        assert_eq!(registry.counts().retries, 5);
    }
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    fake.answer(6, "GET", "", 503, "<html>no</html>");
    let error = registry.manifest(&r, &tag("t")).await.unwrap_err();
    assert!(error.is_temporary());
    assert_eq!(
        text(&fake, error),
        "cannot read the manifest HOST/a:t: the registry answered 503 an HTML page, not a registry's answer"
    );
}

#[tokio::test]
async fn what_is_final_is_not_tried_again() {
    for status in [400, 403, 405, 413, 415] {
        let fake = Fake::start().await;
        let (registry, r) = (registry(), repository(&fake, "a"));
        fake.answer(9, "PUT", "", status, "plain words");
        let error = registry
            .put_manifest(&r, &tag("t"), &manifest("x"))
            .await
            .unwrap_err();
        assert!(!error.is_temporary());
        assert_eq!(error.status(), Some(status));
        assert_eq!(fake.state().log.len(), 1, "{status}");
    }
    let fake = Fake::start().await;
    fake.answer(
        1,
        "GET",
        "",
        403,
        r#"{"errors":[{"code":"DENIED","message":"not you","detail":null}]}"#,
    );
    let error = registry()
        .manifest(&repository(&fake, "a"), &tag("t"))
        .await
        .unwrap_err();
    assert_eq!(
        text(&fake, error),
        "cannot read the manifest HOST/a:t: access denied (403 DENIED: not you); give the account \
         used by `docker login HOST` the rights for it, or log in with another"
    );
}

#[tokio::test]
async fn retry_after_pauses_the_host() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    fake.add_manifest("a", "t", b"{}");
    let headers = vec![("retry-after", "1".to_owned())];
    fake.fault(
        1,
        "HEAD",
        "/first",
        Effect::Answer(429, headers, String::new()),
    );
    let start = Instant::now();
    let at_first = tag("first");
    let first = registry.head_manifest(&r, &at_first);
    let (other, at) = (registry.clone(), tag("t"));
    let second = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        other.head_manifest(&r, &at).await.unwrap();
        start.elapsed()
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.unwrap(), None);
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(
        second >= Duration::from_secs(1),
        "another request went out after {second:?}"
    );
}

#[tokio::test]
async fn a_registry_that_wants_an_hour_is_not_waited_for() {
    let fake = Fake::start().await;
    let headers = vec![("retry-after", "3600".to_owned())];
    fake.fault(9, "GET", "", Effect::Answer(429, headers, String::new()));
    let error = registry().tags(&repository(&fake, "a")).await.unwrap_err();
    assert_eq!(
        text(&fake, error),
        "cannot list the tags of HOST/a: the registry answered 429, to be tried again in 3600 s"
    );
}

#[tokio::test]
async fn a_lost_answer_to_a_write_is_looked_up_not_repeated() {
    let fake = Fake::start().await;
    let (registry, r, m) = (registry(), repository(&fake, "a"), manifest("x"));
    fake.fault(1, "PUT", "", Effect::BreakAfter);
    registry.put_manifest(&r, &tag("t"), &m).await.unwrap();
    assert_eq!(fake.tag("a", "t").as_deref(), Some(m.digest.as_str()));
    assert_eq!(fake.count("PUT", ""), 1);

    fake.fault(1, "PUT", "", Effect::BreakBefore);
    registry.put_manifest(&r, &tag("u"), &m).await.unwrap();
    assert_eq!(fake.tag("a", "u").as_deref(), Some(m.digest.as_str()));
    assert_eq!(fake.count("PUT", "manifests/u"), 2);

    fake.fault(1, "GET", "", Effect::BreakBefore);
    assert_eq!(
        registry.manifest(&r, &tag("t")).await.unwrap(),
        Some(m.clone())
    );
    fake.fault(1, "GET", "", Effect::BreakAfter);
    assert_eq!(registry.manifest(&r, &tag("t")).await.unwrap(), Some(m));
    assert_eq!(fake.count("GET", ""), 4, "half a body is asked for again");
}

#[tokio::test]
async fn silence_ends() {
    let fake = Fake::start().await;
    let timeout = Duration::from_millis(100);
    let registry = Registry::new(Options {
        timeout,
        ..options()
    })
    .unwrap();
    let m = manifest("x");
    fake.fault(1, "PUT", "", Effect::Slow(Duration::from_secs(30)));
    registry
        .put_manifest(&repository(&fake, "a"), &tag("t"), &m)
        .await
        .unwrap();
    assert_eq!(fake.tag("a", "t").as_deref(), Some(m.digest.as_str()));
    fake.fault(9, "HEAD", "", Effect::Slow(Duration::from_secs(30)));
    let error = registry
        .head_manifest(&repository(&fake, "a"), &tag("t"))
        .await
        .unwrap_err();
    assert_eq!(
        text(&fake, error),
        "cannot look up the manifest HOST/a:t: HOST cannot be reached: no answer within 0.1 s"
    );
}

#[tokio::test]
async fn immutable_tags_are_told_apart() {
    for (status, message) in [(400, "tag is immutable"), (409, "no"), (412, "no")] {
        let fake = Fake::start().await;
        let (registry, r, old, new) = (
            registry(),
            repository(&fake, "a"),
            manifest("old"),
            manifest("new"),
        );
        fake.add_manifest("a", "t", &old.bytes);
        fake.state().immutable = Some((status, message.to_owned()));
        registry
            .put_manifest(&r, &tag("t"), &old)
            .await
            .expect("the same digest is no change");
        let error = registry
            .put_manifest(&r, &tag("t"), &new)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Immutable { .. }), "{error}");
        assert_eq!(
            text(&fake, error),
            format!(
                "cannot write the manifest HOST/a:t: the tag cannot be written: the registry says \
                 that it is immutable ({status} TAG_INVALID: {message})"
            )
        );
        assert_eq!(fake.tag("a", "t").as_deref(), Some(old.digest.as_str()));
    }
}

#[tokio::test]
async fn writes_are_read_back() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    let (old, new) = (manifest("old"), manifest("new"));
    fake.add_manifest("a", "t", &old.bytes);
    fake.state().stale_for = Duration::from_millis(300);
    let start = Instant::now();
    registry
        .put_manifest(&r, &tag("t"), &new)
        .await
        .expect("a registry may settle late");
    assert!(start.elapsed() >= Duration::from_millis(300));

    fake.state().stale_for = Duration::ZERO;
    let digest = old.digest.to_string();
    let effect = Effect::OtherWriter {
        repository: "a",
        tag: "t",
        digest,
    };
    fake.fault(1, "PUT", "", effect);
    let error = registry
        .put_manifest(&r, &tag("t"), &new)
        .await
        .unwrap_err();
    assert_eq!(
        text(&fake, error),
        format!(
            "cannot write the manifest HOST/a:t: written, but another writer has moved it to {}, and ours is {}",
            old.digest, new.digest
        )
    );
}

#[tokio::test]
async fn mounts_move_no_bytes() {
    let fake = Fake::start().await;
    let (registry, from, to) = (
        registry(),
        repository(&fake, "from"),
        repository(&fake, "to"),
    );
    let blob = Digest::parse(&fake.add_blob("from", b"layer")).unwrap();
    assert_eq!(
        registry.mount(&to, &from, &blob).await.unwrap(),
        Mount::Mounted
    );
    assert_eq!(
        registry.mount(&to, &from, &blob).await.unwrap(),
        Mount::Mounted
    );
    assert!(fake.has_blob("to", blob.as_str()));
    assert_eq!(
        registry.counts(),
        Counts {
            mounts: 2,
            ..Counts::default()
        }
    );

    let other = Repository::parse("other.example/to").unwrap();
    let refused = registry.mount(&other, &from, &blob).await.unwrap();
    let Mount::Refused(why) = refused else {
        panic!("mounted")
    };
    assert_eq!(
        why,
        format!("{} and other.example are different registries", fake.host)
    );
}

#[tokio::test]
async fn a_refused_mount_gives_the_upload_back_and_the_blob_can_be_copied() {
    for mounts in [
        Mounts::Never,
        Mounts::Status(401),
        Mounts::Status(403),
        Mounts::Status(405),
    ] {
        let fake = Fake::start().await;
        let (registry, from, to) = (
            registry(),
            repository(&fake, "from"),
            repository(&fake, "to"),
        );
        fake.state().mounts = mounts;
        let bytes = vec![7; 3 << 20];
        let blob = Digest::parse(&fake.add_blob("from", &bytes)).unwrap();
        let refused = registry.mount(&to, &from, &blob).await.unwrap();
        assert!(matches!(refused, Mount::Refused(_)), "{mounts:?}");
        assert_eq!(fake.state().open_uploads, Vec::<String>::new());
        let descriptor = Descriptor {
            media_type: String::new(),
            digest: blob.clone(),
            size: bytes.len() as u64,
        };
        let pushed = registry.copy_blob(&to, &from, &descriptor).await.unwrap();
        assert_eq!(pushed, Pushed::Uploaded);
        assert!(fake.has_blob("to", blob.as_str()));
        let counts = registry.counts();
        assert_eq!(
            (counts.blob_bytes_down, counts.blob_bytes_up),
            (3 << 20, 3 << 20)
        );
        let pushed = registry.copy_blob(&to, &from, &descriptor).await.unwrap();
        assert_eq!(pushed, Pushed::AlreadyThere);
    }
}

#[tokio::test]
async fn a_server_that_fails_a_mount_is_an_error() {
    let fake = Fake::start().await;
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    fake.answer(9, "POST", "mount", 502, "");
    let error = registry()
        .mount(&to, &from, &Digest::of(b""))
        .await
        .unwrap_err();
    assert!(error.is_temporary());
}

#[tokio::test]
async fn copies_of_many_blobs_at_once_do_not_block_each_other() {
    let fake = Fake::start().await;
    let registry = Registry::new(Options {
        concurrency: 2,
        ..options()
    })
    .unwrap();
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    let mut copies = tokio::task::JoinSet::new();
    for n in 0..20_u8 {
        let digest = Digest::parse(&fake.add_blob("from", &[n; 100_000])).unwrap();
        let (registry, from, to) = (registry.clone(), from.clone(), to.clone());
        copies.spawn(async move {
            let blob = Descriptor {
                media_type: String::new(),
                digest,
                size: 100_000,
            };
            registry.copy_blob(&to, &from, &blob).await
        });
    }
    let all = tokio::time::timeout(Duration::from_secs(20), copies.join_all())
        .await
        .unwrap();
    assert!(all.into_iter().all(|pushed| pushed == Ok(Pushed::Uploaded)));
    assert_eq!(fake.state().repositories["to"].blobs.len(), 20);
}

#[tokio::test]
async fn at_most_so_many_requests_at_once() {
    let fake = Fake::start().await;
    let registry = Registry::new(Options {
        concurrency: 3,
        ..options()
    })
    .unwrap();
    fake.fault(30, "HEAD", "", Effect::Slow(Duration::from_millis(10)));
    let r = repository(&fake, "a");
    let asks = (0..30).map(|n| {
        let (registry, r) = (registry.clone(), r.clone());
        async move {
            registry
                .head_manifest(&r, &tag(&format!("t{n}")))
                .await
                .unwrap()
        }
    });
    futures_util::future::join_all(asks).await;
    assert_eq!(fake.state().most_at_once, 3);
}

#[tokio::test]
async fn blobs_are_proven() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    let digest = Digest::parse(&fake.add_blob("a", b"content")).unwrap();
    assert!(registry.has_blob(&r, &digest).await.unwrap());
    assert_eq!(registry.blob(&r, &digest, 7).await.unwrap(), "content");
    let error = registry.blob(&r, &digest, 6).await.unwrap_err();
    assert_eq!(
        text(&fake, error),
        format!("cannot read the blob HOST/a@{digest}: it is larger than 6 bytes")
    );
    fake.answer(2, "GET", "", 200, "other");
    let wrong = format!(
        "cannot read the blob HOST/a@{digest}: its digest is {}, not {digest}",
        Digest::of(b"other")
    );
    assert_eq!(
        text(&fake, registry.blob(&r, &digest, 100).await.unwrap_err()),
        wrong
    );
    let mut pieces: Vec<_> = registry
        .blob_stream(&r, &digest)
        .await
        .unwrap()
        .collect()
        .await;
    assert_eq!(text(&fake, pieces.pop().unwrap().unwrap_err()), wrong);
    let absent = Digest::of(b"absent");
    let error = registry.blob(&r, &absent, 9).await.unwrap_err();
    assert_eq!(
        text(&fake, error),
        format!(
            "cannot read the blob HOST/a@{absent}: the registry does not have it (404 BLOB_UNKNOWN: blob unknown to registry)"
        )
    );
}

#[tokio::test]
async fn a_push_survives_a_broken_connection() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    for (name, effect) in [
        ("before", Effect::BreakBefore),
        ("after", Effect::BreakAfter),
    ] {
        fake.fault(1, "PUT", "", effect);
        let digest = Digest::of(name.as_bytes());
        let content = Content::Bytes(name.into());
        let size = name.len() as u64;
        registry
            .push_blob(&r, &digest, size, &content)
            .await
            .unwrap();
        assert!(fake.has_blob("a", digest.as_str()), "{name}");
    }
    assert_eq!(
        fake.count("PUT", ""),
        3,
        "what was applied is not sent again"
    );
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let (fake, storage) = (Fake::start().await, Fake::start().await);
    fake.state().auth = Some(Auth {
        basic: true,
        ..Auth::default()
    });
    let digest = Digest::parse(&storage.add_blob("s", b"content")).unwrap();
    let registry = logged_in(&fake.host, USER);
    let r = repository(&fake, "a");
    registry.tags(&r).await.unwrap();
    let location = format!("http://{}/v2/s/blobs/{digest}", storage.host);
    let redirect = Effect::Answer(307, vec![("location", location)], String::new());
    fake.fault(1, "GET", "/blobs/", redirect.clone());
    assert_eq!(registry.blob(&r, &digest, 100).await.unwrap(), "content");
    assert_eq!(storage.state().authorizations, vec![None]);

    // Nor when the other host asks for them.
    storage.state().auth = Some(Auth {
        basic: true,
        ..Auth::default()
    });
    fake.fault(1, "GET", "/blobs/", redirect);
    assert_eq!(
        registry.blob(&r, &digest, 100).await.unwrap_err().status(),
        Some(401)
    );
    assert_eq!(storage.state().authorizations, vec![None, None]);
}

#[tokio::test]
async fn one_token_serves_all_who_wait() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth::default());
    let (registry, r) = (registry(), repository(&fake, "a"));
    fake.fault(1, "GET", "/token", Effect::Slow(Duration::from_millis(100)));
    let asks = (0..10).map(|_| async { registry.head_manifest(&r, &tag("t")).await.unwrap() });
    futures_util::future::join_all(asks).await;
    registry.head_manifest(&r, &tag("t")).await.unwrap();
    assert_eq!(registry.counts().tokens, 1);
    assert_eq!(
        fake.count("HEAD", ""),
        21,
        "ten learn what the host wants, and then no more"
    );
}

#[tokio::test]
async fn a_dead_token_is_replaced_once() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        expires_in: Some(3600),
        ..Auth::default()
    });
    let (registry, r) = (registry(), repository(&fake, "a"));
    registry
        .put_manifest(&r, &tag("t"), &manifest("x"))
        .await
        .unwrap();
    fake.state().expire_tokens();
    registry
        .put_manifest(&r, &tag("u"), &manifest("x"))
        .await
        .unwrap();
    assert_eq!(registry.counts().tokens, 2);

    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        first_scope_only: true,
        ..Auth::default()
    });
    let blob = Digest::parse(&fake.add_blob("from", b"x")).unwrap();
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    let refused = registry.mount(&to, &from, &blob).await.unwrap();
    let Mount::Refused(why) = refused else {
        panic!("mounted")
    };
    assert_eq!(
        why.replace(&fake.host, "HOST"),
        format!(
            "cannot mount the blob HOST/to@{blob}: HOST wants credentials; log in with `docker login HOST` (401 UNAUTHORIZED: authentication required)"
        )
    );
    assert_eq!(fake.count("POST", "mount"), 2);
}

#[tokio::test]
async fn mounts_ask_for_both_scopes_the_target_first() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth::default());
    let blob = Digest::parse(&fake.add_blob("from", b"x")).unwrap();
    let registry = registry();
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    assert_eq!(
        registry.mount(&to, &from, &blob).await.unwrap(),
        Mount::Mounted
    );
    assert_eq!(
        fake.state().log[1],
        "GET /token?service=fake&scope=repository%3Ato%3Apull%2Cpush&scope=repository%3Afrom%3Apull"
    );
}

#[tokio::test]
async fn tokens_end_with_their_time() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        expires_in: Some(1),
        ..Auth::default()
    });
    let (registry, r) = (registry(), repository(&fake, "a"));
    registry.tags(&r).await.unwrap();
    tokio::time::sleep(Duration::from_millis(950)).await;
    registry.tags(&r).await.unwrap();
    assert_eq!(registry.counts().tokens, 2);
    assert_eq!(
        registry.counts().tag_lists,
        3,
        "no 401 is needed to see that a token is old"
    );
}

#[tokio::test]
async fn identity_tokens_are_exchanged() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        refresh_only: true,
        ..Auth::default()
    });
    let registry = logged_in(&fake.host, r#"{"identitytoken": "refresh"}"#);
    registry.tags(&repository(&fake, "a")).await.unwrap();
    assert_eq!(fake.count("POST", "/token"), 1);
}

#[tokio::test]
async fn a_failing_token_server_is_told_and_tried_again() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth::default());
    let (registry, r) = (registry(), repository(&fake, "a"));
    fake.answer(2, "GET", "/token", 503, "");
    registry.tags(&r).await.unwrap();
    fake.state().expire_tokens();
    fake.answer(99, "GET", "/token", 503, "busy");
    let error = registry.tags(&r).await.unwrap_err();
    assert_eq!(
        text(&fake, error),
        "cannot list the tags of HOST/a: the token server HOST answered 503 busy"
    );
}

#[tokio::test]
async fn credentials_that_fail_say_what_to_do() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        no_anonymous: true,
        ..Auth::default()
    });
    let r = repository(&fake, "a");
    logged_in(&fake.host, USER).tags(&r).await.unwrap();
    let error = registry().tags(&r).await.unwrap_err();
    assert_eq!(
        text(&fake, error),
        "cannot list the tags of HOST/a: HOST wants credentials; log in with `docker login HOST` \
         (401 UNAUTHORIZED: incorrect username or password)"
    );
    // user:wrong
    let wrong = logged_in(&fake.host, r#"{"auth": "dXNlcjp3cm9uZw=="}"#);
    let error = wrong.tags(&r).await.unwrap_err();
    assert_eq!(
        text(&fake, error),
        "cannot list the tags of HOST/a: HOST does not accept the credentials for this; log in again \
         with `docker login HOST`, or with an account that has the rights (401 UNAUTHORIZED: incorrect username or password)"
    );
}

#[tokio::test]
async fn tags_come_in_pages_or_not_at_all() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    assert_eq!(registry.tags(&r).await.unwrap(), Vec::new());
    fake.add_blob("a", b"no tags yet");
    assert_eq!(registry.tags(&r).await.unwrap(), Vec::new());
    for n in 0..7 {
        fake.add_manifest("a", &format!("t{n}"), b"{}");
    }
    fake.state().page = Some(3);
    let tags = registry.tags(&r).await.unwrap();
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]);
    assert_eq!(registry.counts().tag_lists, 2 + 3);
}

#[tokio::test]
async fn nobody_there() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let r = Repository::parse(&format!("{host}/a")).unwrap();
    let registry = registry();
    let error = registry.tags(&r).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unreachable {
                temporary: true,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(registry.counts().retries, 5);
    let expected = format!("cannot list the tags of {host}/a: {host} cannot be reached: ");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_connection_that_closes_without_an_answer_is_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let closing = async {
        let mut taken = 0;
        loop {
            drop(listener.accept().await.unwrap());
            taken += 1;
            if taken == 6 {
                return taken;
            }
        }
    };
    let (registry, r) = (registry(), Repository::parse(&format!("{host}/a")).unwrap());
    let (taken, result) = tokio::join!(closing, registry.tags(&r));
    assert_eq!((taken, registry.counts().retries), (6, 5));
    assert!(result.unwrap_err().is_temporary());
}

#[tokio::test]
async fn a_dropped_call_leaves_nothing_behind() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth::default());
    let registry = Registry::new(Options {
        concurrency: 1,
        ..options()
    })
    .unwrap();
    let (r, at) = (repository(&fake, "a"), tag("t"));
    fake.fault(1, "GET", "/token", Effect::Slow(Duration::from_secs(30)));
    fake.fault(1, "HEAD", "", Effect::Slow(Duration::from_millis(1)));
    let short = Duration::from_millis(200);
    let dropped = tokio::time::timeout(short, registry.head_manifest(&r, &at)).await;
    assert!(dropped.is_err(), "it waited for the token");
    let next = tokio::time::timeout(Duration::from_secs(1), registry.head_manifest(&r, &at)).await;
    assert_eq!(next.expect("neither permit nor token is held"), Ok(None));
}

#[test]
fn a_file_of_certificates_must_hold_some() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let error = |path: &std::path::Path| {
        let ca_file = Some(path.to_owned());
        let error = Registry::new(Options {
            ca_file,
            ..options()
        })
        .err()
        .unwrap();
        error
            .to_string()
            .replace(&path.display().to_string(), "FILE")
    };
    assert_eq!(
        error(&path),
        "FILE cannot be read: No such file or directory (os error 2)"
    );
    std::fs::write(&path, "no certificate").unwrap();
    assert_eq!(error(&path), "FILE holds no PEM certificates");
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
    let r = repository(&fake, "a");
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
