//! Version numbers of releases: each is given once, whoever asks for one at the same moment.

use std::time::Duration;

use crate::support::channel::{World, options, repository};
use crate::support::fake::Effect::{OtherWriter, SetTag};
use crate::support::fake::Fake;
use futures_util::StreamExt as _;
use laminate::testing::name::{Digest, Tag};
use laminate::testing::registry::{Options, Registry};
use laminate::testing::release::Error;
use laminate::testing::release::number::{assign, known, next, put_tag};
use laminate::testing::staging::Staging;

fn of(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

#[tokio::test]
async fn numbers_grow_and_a_lost_one_is_not_given_again() {
    let World { staging, fake, .. } = &World::start().await;
    assert_eq!(assign(staging, &of("a")).await.expect("one"), 1);
    assert_eq!(assign(staging, &of("a")).await.expect("again"), 1);
    // It was claimed, and then that was all.
    fake.answer(1, "PUT", "ns/staging/manifests/numbered-", 403, "no");
    assert!(assign(staging, &of("b")).await.is_err());
    assert_eq!(known(staging, &of("b")).await.expect("read"), None);
    assert_eq!(assign(staging, &of("b")).await.expect("one"), 3);
    assert_eq!(next(staging).await.expect("read"), 4);
}

#[tokio::test]
async fn who_finds_his_number_taken_over_gets_another() {
    let World { staging, fake, .. } = &World::start().await;
    let theirs = br#"{"schemaVersion": 2, "annotations": {"is": "theirs"}}"#;
    let theirs = OtherWriter {
        repository: "ns/staging",
        tag: "number-000001",
        digest: fake.add_manifest("ns/staging", "theirs", theirs),
    };
    fake.fault(1, "PUT", "ns/staging/manifests/number-000001", theirs);
    assert_eq!(assign(staging, &of("a")).await.expect("one"), 2);
}

#[tokio::test]
async fn there_is_no_number_after_the_largest() {
    let World { staging, fake, .. } = &World::start().await;
    fake.add_manifest("ns/staging", &format!("number-{}", u64::MAX), b"{}");
    let error = assign(staging, &of("a")).await.expect_err("none is left");
    let expected = format!("no number is left after number-{}", u64::MAX);
    assert!(error.to_string().starts_with(&expected), "{error}");
    // One that is nearly the largest does not wrap either.
    let fake = Fake::start().await;
    let staging = Staging::new(&staging.registry, &repository(&fake, "ns/staging"));
    fake.add_manifest("ns/staging", &format!("number-{}", u64::MAX - 1), b"{}");
    assert_eq!(assign(&staging, &of("a")).await.expect("one"), u64::MAX);
}

#[tokio::test]
async fn a_numbered_tag_that_others_set_meanwhile_is_not_written_over() {
    let fake = Fake::start().await;
    let registry = Registry::new(options()).expect("a client");
    let image = repository(&fake, "ns/image");
    let ours = fake.add_manifest("ns/image", "ours", br#"{"schemaVersion": 2}"#);
    let theirs = fake.add_manifest("ns/image", "theirs", b"{}");
    // Between the look-up of the tag and its write.
    let writer = SetTag {
        repository: "ns/image",
        tag: "v1",
        digest: theirs.clone(),
    };
    fake.fault(1, "GET", "ns/image/manifests/sha256:", writer);
    let (tag, digest) = (Tag::parse("v1"), Digest::parse(&ours));
    let (tag, digest) = (tag.expect("a tag"), digest.expect("a digest"));
    let error = put_tag(&registry, &image, &tag, &digest).await;
    assert!(matches!(error, Err(Error::Taken { .. })), "{error:?}");
    assert_eq!(fake.tag("ns/image", "v1"), Some(theirs));
}

/// Two channels that are moved at once, to one release or to two.
#[tokio::test]
async fn two_at_once_get_one_number_a_release() {
    let registry = || {
        let options = Options {
            contest: Options::default().contest,
            ..options()
        };
        Registry::new(options).expect("a client")
    };
    let (one_process, another) = (registry(), registry());
    let results = futures_util::stream::iter(0..60).map(async |case: u64| {
        let world = World::with_two(one_process.clone(), another.clone()).await;
        world.fake.state().delays = Some((Duration::from_millis(30), case));
        let (a, b) = match case % 2 {
            0 => (of("same"), of("same")),
            _ => (of("one"), of("other")),
        };
        let (one, two) = tokio::join!(assign(&world.staging, &a), async {
            tokio::time::sleep(Duration::from_millis(case % 10)).await;
            assign(&world.other, &b).await
        });
        let (one, two) = (one.expect("a number"), two.expect("a number"));
        assert_eq!(one == two, a == b, "case {case}: {one} {two}");
        for (release, number) in [(a, one), (b, two)] {
            let known = known(&world.staging, &release).await;
            assert_eq!(known.expect("read"), Some(number), "case {case}");
        }
    });
    let _: Vec<()> = results.buffer_unordered(30).collect().await;
}
