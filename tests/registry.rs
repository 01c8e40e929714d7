//! The registry client against a registry in this process that fails on purpose.

use std::time::{Duration, Instant};

use crate::support::fake::{Auth, Effect, Fake, Mounts};
use futures_util::StreamExt as _;
use laminate::name::{Digest, Repository, Tag};
use laminate::registry::{
    Content, Descriptor, Error, Locator, Manifest, Mount, MountRefusal, Options, Pushed, Registry,
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
    let counts = ["HEAD", "GET", "PUT"].map(|method| fake.count(method, "/manifests/"));
    assert_eq!(counts, [4, 3, 2]);
    assert_eq!(fake.state().log.len(), 9, "no other request was sent");
}

#[tokio::test]
async fn a_digest_the_registry_does_not_report_is_computed() {
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
            "cannot read the manifest `HOST/a:t`: wrong digest: expected {wrong}, found {}",
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
            "cannot write the manifest `HOST/a:u`: wrong digest: expected {}, found {wrong}",
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
async fn temporary_answers_are_retried() {
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
        assert_eq!(fake.count("GET", ""), 6);
    }
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    fake.answer(6, "GET", "", 503, "<html>no</html>");
    let error = registry.manifest(&r, &tag("t")).await.unwrap_err();
    assert!(error.is_temporary());
    assert_eq!(
        text(&fake, error),
        "cannot read the manifest `HOST/a:t`: the registry answered 503 an HTML page instead of a registry's answer"
    );
}

#[tokio::test]
async fn final_answers_are_not_retried() {
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
        "cannot read the manifest `HOST/a:t`: access denied (403 DENIED: not you); give the account \
         of `docker login HOST` access, or log in with another"
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
async fn a_registry_that_asks_for_an_hour_is_not_waited_for() {
    let fake = Fake::start().await;
    let headers = vec![("retry-after", "3600".to_owned())];
    fake.fault(9, "GET", "", Effect::Answer(429, headers, String::new()));
    let error = registry().tags(&repository(&fake, "a")).await.unwrap_err();
    assert_eq!(
        text(&fake, error),
        "cannot list the tags of `HOST/a`: the registry answered 429, retry after 3600 s"
    );
}

#[tokio::test]
async fn a_write_without_an_answer_is_looked_up_not_repeated() {
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
async fn a_request_without_an_answer_times_out() {
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
        "cannot look up the manifest `HOST/a:t`: cannot reach `HOST`: no answer within 0.1 s"
    );
}

#[tokio::test]
async fn an_immutable_tag_is_an_error_of_its_own() {
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
                "cannot write the manifest `HOST/a:t`: the tag is immutable in this registry \
                 ({status} TAG_INVALID: {message})"
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
        .expect("a registry may show a write late");
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
            "cannot write the manifest `HOST/a:t`: another writer moved the tag to {} just after it was written as {}",
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
    assert_eq!(fake.count("POST", "mount="), 2);
    assert_eq!(fake.state().log.len(), 2, "no other request was sent");

    let other = Repository::parse("other.example/to").unwrap();
    let refused = registry.mount(&other, &from, &blob).await.unwrap();
    let reason = MountRefusal::OtherRegistry {
        from: fake.host.clone(),
        to: "other.example".to_owned(),
    };
    assert_eq!(refused, Mount::Refused(reason));
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
        let pushed = registry.copy_blob(&to, &from, &descriptor).await.unwrap();
        assert_eq!(pushed, Pushed::AlreadyThere);
        let moved = (fake.count("GET", "/blobs/"), fake.count("PUT", "/blobs/"));
        assert_eq!(moved, (1, 1), "the bytes move once");
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
async fn the_number_of_requests_at_once_is_limited() {
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
async fn the_digest_of_a_blob_is_checked() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    let digest = Digest::parse(&fake.add_blob("a", b"content")).unwrap();
    assert_eq!(registry.blob(&r, &digest, 7).await.unwrap(), "content");
    let error = registry.blob(&r, &digest, 6).await.unwrap_err();
    assert_eq!(
        text(&fake, error),
        format!("cannot read the blob `HOST/a@{digest}`: larger than the limit of 6 bytes")
    );
    fake.answer(2, "GET", "", 200, "other");
    let wrong = format!(
        "cannot read the blob `HOST/a@{digest}`: wrong digest: expected {digest}, found {}",
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
            "cannot read the blob `HOST/a@{absent}`: not found (404 BLOB_UNKNOWN: blob unknown to registry)"
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
async fn one_token_serves_all_who_wait() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth::default());
    let (registry, r) = (registry(), repository(&fake, "a"));
    fake.fault(1, "GET", "/token", Effect::Slow(Duration::from_millis(100)));
    let asks = (0..10).map(|_| async { registry.head_manifest(&r, &tag("t")).await.unwrap() });
    futures_util::future::join_all(asks).await;
    registry.head_manifest(&r, &tag("t")).await.unwrap();
    assert_eq!(fake.count("GET", "/token"), 1);
    assert_eq!(
        fake.count("HEAD", ""),
        21,
        "each of the ten is challenged once"
    );
}

#[tokio::test]
async fn a_rejected_token_is_replaced_once() {
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
    assert_eq!(fake.count("GET", "/token"), 2);

    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        first_scope_only: true,
        ..Auth::default()
    });
    let blob = Digest::parse(&fake.add_blob("from", b"x")).unwrap();
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    let refused = registry.mount(&to, &from, &blob).await.unwrap();
    let Mount::Refused(reason) = refused else {
        panic!("mounted")
    };
    assert_eq!(
        reason.to_string().replace(&fake.host, "HOST"),
        format!(
            "cannot mount the blob `HOST/to@{blob}`: `HOST` requires credentials; log in with `docker login HOST` (401 UNAUTHORIZED: authentication required)"
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
async fn an_expired_token_is_not_used() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        expires_in: Some(1),
        ..Auth::default()
    });
    let (registry, r) = (registry(), repository(&fake, "a"));
    registry.tags(&r).await.unwrap();
    tokio::time::sleep(Duration::from_millis(950)).await;
    registry.tags(&r).await.unwrap();
    assert_eq!(fake.count("GET", "/token"), 2);
    assert_eq!(
        fake.count("GET", "/tags/list"),
        3,
        "no 401 is needed to see that a token is old"
    );
}

#[tokio::test]
async fn a_failing_token_server_is_reported_and_retried() {
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
        "cannot list the tags of `HOST/a`: the token server `HOST` answered 503 busy"
    );
}

#[tokio::test]
async fn all_pages_of_tags_are_read() {
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
    assert_eq!(fake.count("GET", "/tags/list"), 2 + 3);
}

#[tokio::test]
async fn a_registry_that_does_not_listen_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let r = Repository::parse(&format!("{host}/a")).unwrap();
    let start = Instant::now();
    let error = registry().tags(&r).await.unwrap_err();
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
    // Five retries wait at least half of 5, 10, 20, 40 and 80 ms.
    assert!(start.elapsed() >= Duration::from_millis(75));
    let expected = format!("cannot list the tags of `{host}/a`: cannot reach `{host}`: ");
    assert!(error.to_string().starts_with(&expected), "{error}");
}

#[tokio::test]
async fn a_connection_that_closes_without_an_answer_is_retried() {
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
    assert_eq!(taken, 6);
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

#[tokio::test]
async fn publishing_moves_no_bytes_and_sends_nothing_twice() {
    let fake = Fake::start().await;
    let (registry, m) = (registry(), manifest("x"));
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    for content in ["config", "layer"] {
        let blob = Digest::parse(&fake.add_blob("from", content.as_bytes())).unwrap();
        let mounted = registry.mount(&to, &from, &blob).await.unwrap();
        assert_eq!(mounted, Mount::Mounted);
    }
    let digest = Locator::from(m.digest.clone());
    for at in [digest, tag("t"), tag("stable"), tag("2021.2-abc")] {
        registry.put_manifest(&to, &at, &m).await.unwrap();
    }
    let state = fake.state();
    let methods: Vec<&str> = (state.log.iter())
        .filter_map(|request| request.split(' ').next())
        .collect();
    let expected = [
        "POST", "POST", "PUT", "HEAD", "PUT", "HEAD", "PUT", "HEAD", "PUT", "HEAD",
    ];
    assert_eq!(methods, expected);
}
