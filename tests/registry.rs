//! Manifests, retries and limits of the registry client, against a registry in this process that fails on
//! purpose.

use std::time::{Duration, Instant};

use crate::support::client::{manifest, options, registry, repository, tag, text};
use crate::support::fake::{Effect, Fake};
use laminate::testing::name::{Digest, Tag};
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
        text(&fake, &error),
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
        text(&fake, &error),
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
            text(&fake, &error),
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
        text(&fake, &error),
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
        text(&fake, &error),
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
