//! Tokens: fetched once, replaced and reported, against a registry in this process.

use std::time::Duration;

use crate::support::client::{manifest, options, registry, repository, tag, text};
use crate::support::fake::{Auth, Effect, Fake};
use laminate::testing::name::Digest;
use laminate::testing::registry::{Mount, Options, Registry};

#[tokio::test]
async fn one_token_serves_all_who_wait() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth::default());
    let (registry, r) = (registry(), repository(&fake, "a"));
    fake.fault(1, "GET", "/token", Effect::Slow(Duration::from_millis(100)));
    let asks = (0..10).map(|_| async {
        registry
            .head_manifest(&r, &tag("t"))
            .await
            .expect("the call succeeds")
    });
    futures_util::future::join_all(asks).await;
    registry
        .head_manifest(&r, &tag("t"))
        .await
        .expect("the call succeeds");
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
        .expect("the call succeeds");
    fake.state().expire_tokens();
    registry
        .put_manifest(&r, &tag("u"), &manifest("x"))
        .await
        .expect("the call succeeds");
    assert_eq!(fake.count("GET", "/token"), 2);

    let fake = Fake::start().await;
    fake.state().auth = Some(Auth {
        first_scope_only: true,
        ..Auth::default()
    });
    let blob = Digest::parse(&fake.add_blob("from", b"x")).expect("valid in this test");
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    let refused = registry
        .mount(&to, &from, &blob)
        .await
        .expect("the call succeeds");
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
    let blob = Digest::parse(&fake.add_blob("from", b"x")).expect("valid in this test");
    let registry = registry();
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    assert_eq!(
        registry
            .mount(&to, &from, &blob)
            .await
            .expect("the call succeeds"),
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
    registry.tags(&r).await.expect("the call succeeds");
    tokio::time::sleep(Duration::from_millis(950)).await;
    registry.tags(&r).await.expect("the call succeeds");
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
    registry.tags(&r).await.expect("the call succeeds");
    fake.state().expire_tokens();
    fake.answer(99, "GET", "/token", 503, "busy");
    let error = registry.tags(&r).await.expect_err("the call fails");
    assert_eq!(
        text(&fake, &error),
        "cannot list the tags of `HOST/a`: the token server `HOST` answered 503 busy"
    );
}

#[tokio::test]
async fn a_dropped_call_leaves_nothing_behind() {
    let fake = Fake::start().await;
    fake.state().auth = Some(Auth::default());
    let registry = Registry::new(Options {
        concurrency: 1,
        ..options()
    })
    .expect("valid in this test");
    let (r, at) = (repository(&fake, "a"), tag("t"));
    fake.fault(1, "GET", "/token", Effect::Slow(Duration::from_secs(30)));
    fake.fault(1, "HEAD", "", Effect::Slow(Duration::from_millis(1)));
    let short = Duration::from_millis(200);
    let dropped = tokio::time::timeout(short, registry.head_manifest(&r, &at)).await;
    assert!(dropped.is_err(), "it waited for the token");
    // Far less than the slow token takes, and far more than a busy machine does.
    let long = Duration::from_secs(15);
    let next = tokio::time::timeout(long, registry.head_manifest(&r, &at)).await;
    assert_eq!(next.expect("neither permit nor token is held"), Ok(None));
}
