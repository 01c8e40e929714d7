//! Tags that only their first writer gets, tags that are deleted, and writes to a registry that fails.

use std::time::{Duration, Instant};

use crate::support::fake::{Auth, Effect, Fake};
use laminate::testing::name::{Repository, Tag};
use laminate::testing::registry::{Error, Manifest, Options, Registry};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

fn registry() -> Registry {
    Registry::new(Options {
        backoff: Duration::from_millis(1),
        timeout: Duration::from_millis(500),
        settling: Duration::from_secs(1),
        contest: Duration::from_millis(50),
        ..Options::default()
    })
    .expect("a client")
}

fn place(fake: &Fake) -> (Repository, Tag) {
    let repository = Repository::parse(&format!("{}/a", fake.host)).expect("a repository");
    (repository, Tag::parse("t").expect("a tag"))
}

fn manifest(text: &str) -> Manifest {
    Manifest::new(format!(r#"{{"annotations": {{"a": "{text}"}}}}"#), OCI)
}

#[tokio::test]
async fn a_tag_is_claimed_once() {
    let fake = Fake::start().await;
    let (registry, (r, tag)) = (registry(), place(&fake));
    let claim = async |text: &str| registry.claim_tag(&r, &tag, &manifest(text)).await;
    assert!(claim("ours").await.expect("answered"));
    assert!(!claim("another's").await.expect("answered"));
    assert_eq!(
        fake.tag("a", "t"),
        Some(manifest("ours").digest.to_string())
    );
}

#[tokio::test]
async fn the_last_writer_of_those_that_saw_a_tag_free_has_it() {
    // At once after our write, and while we wait for others.
    for late in [false, true] {
        let fake = Fake::start().await;
        let (registry, (r, tag)) = (registry(), place(&fake));
        let digest = fake.add_manifest("a", "other", b"{}");
        if !late {
            let theirs = Effect::OtherWriter {
                repository: "a",
                tag: "t",
                digest: digest.clone(),
            };
            fake.fault(1, "PUT", "manifests/t", theirs);
        }
        let start = Instant::now();
        let other = async {
            while late && fake.tag("a", "t").is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if late {
                let mut state = fake.state();
                let repository = state.repositories.get_mut("a").expect("there");
                repository.tags.insert("t".to_owned(), digest.clone());
            }
        };
        let ours = manifest("ours");
        let (claimed, ()) = tokio::join!(registry.claim_tag(&r, &tag, &ours), other);
        assert!(!claimed.expect("answered"), "late: {late}");
        assert!(
            start.elapsed() < Duration::from_millis(900),
            "it is known at once"
        );
    }
}

#[tokio::test]
async fn a_claim_without_an_answer_is_not_repeated_over_another_writers() {
    let refused = Effect::Answer(503, Vec::new(), "busy".to_owned());
    for effect in [refused, Effect::Reset { done: false }, Effect::BreakBefore] {
        let fake = Fake::start().await;
        let (registry, (r, tag)) = (registry(), place(&fake));
        let theirs = fake.add_manifest("a", "other", b"{}");
        fake.fault(1, "PUT", "manifests/t", effect);
        // Between our write and our look.
        fake.fault(1, "HEAD", "manifests/t", Effect::Slow(Duration::ZERO));
        let writer = Effect::SetTag {
            repository: "a",
            tag: "t",
            digest: theirs.clone(),
        };
        fake.fault(1, "HEAD", "manifests/t", writer);
        let claimed = registry.claim_tag(&r, &tag, &manifest("ours")).await;
        assert!(!claimed.expect("answered"));
        assert_eq!(fake.tag("a", "t"), Some(theirs));
        assert_eq!(fake.count("PUT", "manifests/t"), 1);
    }
}

#[tokio::test]
async fn where_tags_are_immutable_the_second_writer_is_refused() {
    for status in [400, 409, 412] {
        let fake = Fake::start().await;
        let (registry, (r, tag)) = (registry(), place(&fake));
        // It is written between our look and our write.
        let refusal = Effect::Answer(status, Vec::new(), "the tag is immutable".to_owned());
        fake.fault(1, "PUT", "manifests/t", refusal);
        let claimed = registry.claim_tag(&r, &tag, &manifest("ours")).await;
        assert!(!claimed.expect("answered"), "{status}");
    }
}

#[tokio::test]
async fn a_tag_is_deleted_and_nothing_else() {
    for tokens in [false, true] {
        let fake = Fake::start().await;
        let (registry, (r, tag)) = (registry(), place(&fake));
        fake.state().auth = tokens.then(Auth::default);
        // A HEAD may show it a little longer.
        fake.state().stale_for = Duration::from_millis(200);
        let digest = fake.add_manifest("a", "t", b"{}");
        fake.add_manifest("a", "fixed", b"{}");
        assert!(registry.delete_tag(&r, &tag).await.expect("answered"));
        assert_eq!(fake.tag("a", "t"), None);
        assert_eq!(fake.tag("a", "fixed"), Some(digest));
        assert!(registry.delete_tag(&r, &tag).await.expect("it is gone"));
    }
}

#[tokio::test]
async fn a_registry_that_keeps_its_tags_is_not_an_error() {
    for status in [400, 401, 403, 405] {
        let fake = Fake::start().await;
        let (registry, (r, tag)) = (registry(), place(&fake));
        fake.state().keeps_tags = Some(status);
        fake.add_manifest("a", "t", b"{}");
        let gone = registry.delete_tag(&r, &tag).await;
        assert!(!gone.expect("answered"), "{status}");
        assert_eq!(fake.count("DELETE", ""), 1);
    }
    let fake = Fake::start().await;
    let (registry, (r, tag)) = (registry(), place(&fake));
    fake.answer(usize::MAX, "DELETE", "", 503, "no");
    let error = registry.delete_tag(&r, &tag).await.expect_err("it is ill");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn a_write_to_a_dead_registry_sends_twelve_requests() {
    let fake = Fake::start().await;
    let (registry, (r, tag)) = (registry(), place(&fake));
    fake.fault_from(0, usize::MAX, Effect::Reset { done: false });
    let error = registry.put_manifest(&r, &tag.into(), &manifest("x")).await;
    assert!(error.expect_err("it is dead").is_temporary());
    assert_eq!((fake.count("PUT", ""), fake.count("HEAD", "")), (6, 6));
}

#[tokio::test]
async fn a_pause_of_an_hour_does_not_delay_other_requests() {
    let fake = Fake::start().await;
    let (registry, (r, tag)) = (registry(), place(&fake));
    let wait = vec![("retry-after", "3600".to_owned())];
    fake.fault(1, "HEAD", "", Effect::Answer(429, wait, String::new()));
    let refused = registry.head_manifest(&r, &tag.clone().into()).await;
    assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
    let start = Instant::now();
    let found = registry.head_manifest(&r, &tag.into()).await;
    assert_eq!(found.expect("answered"), None);
    assert!(start.elapsed() < Duration::from_secs(1));
}

/// Stops this process, as one that is suspended, once the registry was asked so; then something happens there.
async fn stopped_at(fake: &Fake, (method, part): (&str, &str), then: impl FnOnce()) {
    while fake.count(method, part) == 0 {
        tokio::task::yield_now().await;
    }
    std::thread::sleep(Duration::from_millis(400));
    then();
}

#[tokio::test]
async fn an_answer_that_was_read_late_does_not_prove_that_a_write_is_lost() {
    let registry = Registry::new(Options {
        settling: Duration::from_millis(300),
        timeout: Duration::from_secs(5),
        ..Options::default()
    });
    let (registry, ours) = (registry.expect("a client"), manifest("ours"));
    let start = async || {
        let fake = Fake::start().await;
        fake.add_manifest("a", "t", b"{}");
        fake.state().stale_for = Duration::from_millis(200);
        fake
    };
    let head = ("HEAD", "manifests/t");

    let fake = start().await;
    let (r, tag) = place(&fake);
    let at = tag.clone().into();
    let put = registry.put_manifest(&r, &at, &ours);
    let (put, ()) = tokio::join!(put, stopped_at(&fake, head, || ()));
    put.expect("it is read again");

    let fake = start().await;
    let (r, tag) = place(&fake);
    let put = registry.put_tag_unread(&r, &tag, &ours);
    put.await.expect("written");
    let settled = registry.settled_tag(&r, &tag, &ours.digest, None);
    let (settled, ()) = tokio::join!(settled, stopped_at(&fake, head, || ()));
    assert_eq!(settled.expect("read"), Some(ours.digest.clone()));

    let fake = Fake::start().await;
    let (r, tag) = place(&fake);
    let at = tag.into();
    let added = || drop(fake.add_manifest("a", "t", b"{}"));
    let found = registry.new_manifest(&r, &at);
    let (found, ()) = tokio::join!(found, stopped_at(&fake, ("GET", "manifests/t"), added));
    assert!(found.expect("read").is_some());
}
