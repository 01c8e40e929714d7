//! Version numbers of releases: each is given once, whoever asks for one at the same moment.

use std::time::Duration;

use crate::support::channel::{World, options};
use crate::support::fake::Effect::OtherWriter;
use futures_util::StreamExt as _;
use laminate::testing::name::Digest;
use laminate::testing::registry::{Options, Registry};
use laminate::testing::release::number::{assign, known, next};

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
    let _: Vec<()> = results.buffer_unordered(12).collect().await;
}
