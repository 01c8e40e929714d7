//! Manifests, retries and limits of the registry client, against a registry in this process that fails on
//! purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::support::client::{manifest, options, registry, repository, tag, text};
use crate::support::fake::{Effect, Fake};
use laminate::testing::name::{Digest, Repository, Tag};
use laminate::testing::registry::{Error, Manifest, Options, Registry};

#[tokio::test]
async fn manifests_are_written_and_read_as_they_are() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a/b/c/d"));
    let m = manifest("x");
    assert_eq!(
        registry
            .head_manifest(&r, &tag("t"))
            .await
            .expect("the call succeeds"),
        None
    );
    assert_eq!(
        registry
            .manifest(&r, &tag("t"))
            .await
            .expect("the call succeeds"),
        None
    );
    registry
        .put_manifest(&r, &tag("t"), &m)
        .await
        .expect("the call succeeds");
    registry
        .put_manifest(&r, &m.digest.clone().into(), &m)
        .await
        .expect("the call succeeds");
    assert_eq!(
        registry
            .head_manifest(&r, &tag("t"))
            .await
            .expect("the call succeeds"),
        Some(m.descriptor())
    );
    assert_eq!(
        registry
            .manifest(&r, &tag("t"))
            .await
            .expect("the call succeeds"),
        Some(m.clone())
    );
    let by_digest = registry
        .manifest(&r, &m.digest.clone().into())
        .await
        .expect("the call succeeds");
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
        registry
            .head_manifest(&r, &tag("t"))
            .await
            .expect("the call succeeds"),
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
    let error = registry
        .manifest(&r, &tag("t"))
        .await
        .expect_err("the call fails");
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
    let error = registry
        .put_manifest(&r, &tag("u"), &m)
        .await
        .expect_err("the call fails");
    assert_eq!(
        text(&fake, error),
        format!(
            "cannot write the manifest `HOST/a:u`: wrong digest: expected {}, found {wrong}",
            m.digest
        )
    );
    let lying = Manifest {
        digest: Digest::parse(&wrong).expect("valid"),
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
            registry
                .manifest(&r, &tag("t"))
                .await
                .expect("the call succeeds"),
            Some(m),
            "{status}"
        );
        assert_eq!(fake.count("GET", ""), 6);
    }
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    fake.answer(6, "GET", "", 503, "<html>no</html>");
    let error = registry
        .manifest(&r, &tag("t"))
        .await
        .expect_err("the call fails");
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
            .expect_err("the call fails");
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
        .expect_err("the call fails");
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
        other
            .head_manifest(&r, &at)
            .await
            .expect("the call succeeds");
        start.elapsed()
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.expect("valid in this test"), None);
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
    let error = registry()
        .tags(&repository(&fake, "a"))
        .await
        .expect_err("the call fails");
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
    registry
        .put_manifest(&r, &tag("t"), &m)
        .await
        .expect("the call succeeds");
    assert_eq!(fake.tag("a", "t").as_deref(), Some(m.digest.as_str()));
    assert_eq!(fake.count("PUT", ""), 1);

    fake.fault(1, "PUT", "", Effect::BreakBefore);
    registry
        .put_manifest(&r, &tag("u"), &m)
        .await
        .expect("the call succeeds");
    assert_eq!(fake.tag("a", "u").as_deref(), Some(m.digest.as_str()));
    assert_eq!(fake.count("PUT", "manifests/u"), 2);

    fake.fault(1, "GET", "", Effect::BreakBefore);
    assert_eq!(
        registry
            .manifest(&r, &tag("t"))
            .await
            .expect("the call succeeds"),
        Some(m.clone())
    );
    fake.fault(1, "GET", "", Effect::BreakAfter);
    assert_eq!(
        registry
            .manifest(&r, &tag("t"))
            .await
            .expect("the call succeeds"),
        Some(m)
    );
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
    .expect("valid in this test");
    let m = manifest("x");
    fake.fault(1, "PUT", "", Effect::Slow(Duration::from_secs(30)));
    registry
        .put_manifest(&repository(&fake, "a"), &tag("t"), &m)
        .await
        .expect("the call succeeds");
    assert_eq!(fake.tag("a", "t").as_deref(), Some(m.digest.as_str()));
    fake.fault(9, "HEAD", "", Effect::Slow(Duration::from_secs(30)));
    let error = registry
        .head_manifest(&repository(&fake, "a"), &tag("t"))
        .await
        .expect_err("the call fails");
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
            .expect("the same digest changes nothing");
        let error = registry
            .put_manifest(&r, &tag("t"), &new)
            .await
            .expect_err("the call fails");
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
        .expect_err("the call fails");
    assert_eq!(
        text(&fake, error),
        format!(
            "cannot write the manifest `HOST/a:t`: another writer moved the tag to {} just after it was written as {}",
            old.digest, new.digest
        )
    );
}

#[tokio::test]
async fn the_number_of_requests_at_once_is_limited() {
    let fake = Fake::start().await;
    let registry = Registry::new(Options {
        concurrency: 3,
        ..options()
    })
    .expect("valid in this test");
    fake.fault(30, "HEAD", "", Effect::Slow(Duration::from_millis(10)));
    let r = repository(&fake, "a");
    let asks = (0..30).map(|n| {
        let (registry, r) = (registry.clone(), r.clone());
        async move {
            registry
                .head_manifest(&r, &tag(&format!("t{n}")))
                .await
                .expect("the call succeeds")
        }
    });
    futures_util::future::join_all(asks).await;
    assert_eq!(fake.state().most_at_once, 3);
}

#[tokio::test]
async fn all_pages_of_tags_are_read() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    assert_eq!(
        registry.tags(&r).await.expect("the call succeeds"),
        Vec::new()
    );
    fake.add_blob("a", b"no tags yet");
    assert_eq!(
        registry.tags(&r).await.expect("the call succeeds"),
        Vec::new()
    );
    for n in 0..7 {
        fake.add_manifest("a", &format!("t{n}"), b"{}");
    }
    fake.state().page = Some(3);
    let tags = registry.tags(&r).await.expect("the call succeeds");
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["t0", "t1", "t2", "t3", "t4", "t5", "t6"]);
    assert_eq!(fake.count("GET", "/tags/list"), 2 + 3);
}

#[tokio::test]
async fn a_missing_page_of_tags_is_not_the_end() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    for n in 0..7 {
        fake.add_manifest("a", &format!("t{n}"), b"{}");
    }
    fake.state().page = Some(3);
    // The link leads nowhere, and the list goes on by the last tag.
    let broken = "</v2/a/tags/list/nowhere>; rel=\"next\"".to_owned();
    fake.fault(1, "GET", "tags/list?n=1000", Effect::With("link", broken));
    fake.answer(1, "GET", "nowhere", 404, "");
    let tags = registry.tags(&r).await.expect("all pages");
    assert_eq!(tags.len(), 7);
    // It cannot.
    fake.answer(9, "GET", "last=", 404, "");
    let error = registry.tags(&r).await.expect_err("a page is missing");
    assert_eq!(
        text(&fake, error),
        "cannot list the tags of `HOST/a`: the registry has no next page of tags, although it refers to one"
    );
}

#[tokio::test]
async fn a_list_of_tags_without_an_end_is_an_error() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    fake.add_manifest("a", "t", b"{}");
    for n in 0..30 {
        let link = format!("</v2/a/tags/list?n=1000&page={n}>; rel=\"next\"");
        fake.fault(1, "GET", "tags/list", Effect::With("link", link));
    }
    let error = registry.tags(&r).await.expect_err("no end");
    assert!(
        error.to_string().ends_with("the list of tags does not end"),
        "{error}"
    );
}

#[tokio::test]
async fn the_type_a_registry_reports_is_the_manifests() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    let index = "application/vnd.oci.image.index.v1+json";
    let bytes = format!(r#"{{"schemaVersion": 2, "mediaType": "{index}", "manifests": []}}"#);
    fake.add_manifest("a", "t", bytes.as_bytes());
    let other = "application/vnd.oci.image.manifest.v1+json".to_owned();
    fake.fault(1, "GET", "manifests/t", Effect::With("content-type", other));
    let error = registry
        .manifest(&r, &tag("t"))
        .await
        .expect_err("another type");
    assert!(error.to_string().contains("reports media type"), "{error}");
    let json = Effect::With("content-type", "application/json".to_owned());
    fake.fault(1, "GET", "manifests/t", json);
    let found = registry.manifest(&r, &tag("t")).await;
    assert_eq!(found.expect("read").expect("there").media_type, index);
}

#[tokio::test]
async fn a_registry_that_does_not_listen_is_unreachable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("valid in this test");
    let host = listener
        .local_addr()
        .expect("valid in this test")
        .to_string();
    drop(listener);
    let r = Repository::parse(&format!("{host}/a")).expect("valid in this test");
    let start = Instant::now();
    let error = registry().tags(&r).await.expect_err("the call fails");
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
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("the call succeeds");
    let host = listener
        .local_addr()
        .expect("valid in this test")
        .to_string();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&accepted);
    let closing = tokio::spawn(async move {
        loop {
            drop(listener.accept().await.expect("the call succeeds"));
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let (registry, r) = (
        registry(),
        Repository::parse(&format!("{host}/a")).expect("valid in this test"),
    );
    let error = registry.tags(&r).await.expect_err("the call fails");
    assert!(error.is_temporary(), "{error}");
    // Later connections would come within the delay before a sixth retry, 160 ms.
    tokio::time::sleep(Duration::from_millis(200)).await;
    closing.abort();
    assert_eq!(accepted.load(Ordering::SeqCst), 1 + 5, "five retries");
}

#[tokio::test]
async fn a_stop_ends_pauses_and_requests() {
    let asked = vec![("retry-after", "100".to_owned())];
    let busy = Effect::Answer(429, asked, String::new());
    for effect in [busy, Effect::Hang { done: false }] {
        let fake = Fake::start().await;
        fake.fault(9, "HEAD", "manifests/", effect);
        let stop = CancellationToken::new();
        let registry = Registry::new(Options {
            stop: stop.clone(),
            ..options()
        });
        let (registry, repository) = (registry.expect("a client"), repository(&fake, "a"));
        let start = Instant::now();
        let name = tag("t");
        let asking = registry.head_manifest(&repository, &name);
        let stopping = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            stop.cancel();
        };
        let (answer, ()) = tokio::join!(asking, stopping);
        assert!(
            matches!(answer, Err(Error::Interrupted { .. })),
            "{answer:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(1), "it waited");
    }
}
