//! Retries and timeouts of the registry client.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::support::client::{manifest, options, registry, repository, tag, text};
use crate::support::fake::{Effect, Fake};
use laminate::testing::name::Repository;
use laminate::testing::registry::{Error, Options, Registry};

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
        text(&fake, &error),
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
        text(&fake, &error),
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
        text(&fake, &error),
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
        text(&fake, &error),
        "cannot look up the manifest `HOST/a:t`: cannot reach `HOST`: no answer within 0.1 s"
    );
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
