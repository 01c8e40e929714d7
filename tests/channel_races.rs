//! Of two promoters of one channel, one wins.

use std::time::Duration;

use crate::support::channel::{IMAGES, World, at, options, order, release};
use crate::support::fake::Effect::{self, OtherWriter};
use futures_util::StreamExt as _;
use laminate::testing::registry::{Options, Registry};
use laminate::testing::release::Error;

#[tokio::test]
async fn of_two_promoters_one_wins_whole() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let (one, two) = (release(fake, "1"), release(fake, "2"));
    channel.move_to(&one, &order("1")).await.expect("promoted");
    // Another takes the next number at the same moment.
    let theirs = br#"{"schemaVersion": 2, "annotations": {"is": "theirs"}}"#;
    let theirs = OtherWriter {
        repository: "ns/staging",
        tag: "stable-000002",
        digest: fake.add_manifest("ns/staging", "theirs", theirs),
    };
    fake.fault(1, "PUT", "ns/staging/manifests/stable-000002", theirs);
    let lost = channel.move_to(&two, &order("2")).await;
    assert!(matches!(lost, Err(Error::Lost { .. })), "{lost:?}");
    assert_eq!(at(fake, &one), [true; 3], "nothing moved");
}

/// Two promoters to different releases at once, many times, each request of theirs delayed at random.
async fn race(cases: u64, contest: Duration, immutable_ledger: bool) {
    let registry = || {
        let options = Options {
            contest,
            ..options()
        };
        Registry::new(options).expect("a client")
    };
    let (one_process, another) = (registry(), registry());
    let results = futures_util::stream::iter(0..cases).map(async |number| {
        let world = World::with_two(one_process.clone(), another.clone()).await;
        let fake = &world.fake;
        let [one, two, three] = ["1", "2", "3"].map(|version| release(fake, version));
        let first = world.channel();
        let second = world.other_channel();
        first.move_to(&one, &order("1")).await.expect("promoted");
        let written = IMAGES.map(|name| fake.count("PUT", &format!("ns/{name}/manifests/stable")));
        if immutable_ledger {
            fake.state().immutable = Some((400, "tag is immutable".to_owned()));
            fake.state().immutable_prefix = "stable-0";
        }
        fake.state().delays = Some((Duration::from_millis(30), number));
        let later = Duration::from_millis(number % 10);
        let orders = (order("2"), order("3"));
        let (a, b) = tokio::join!(first.move_to(&two, &orders.0), async {
            tokio::time::sleep(later).await;
            second.move_to(&three, &orders.1).await
        });
        let (won, lost) = match (&a, &b) {
            (Ok(Some(_)), Err(lost)) => (&two, lost),
            (Err(lost), Ok(Some(_))) => (&three, lost),
            _ => panic!("case {number}: {a:?} {b:?}"),
        };
        let said = matches!(
            lost,
            Error::Lost { .. } | Error::Pending { .. } | Error::Drift { .. }
        );
        assert!(said, "case {number}: {lost:?}");
        assert_eq!(at(fake, won), [true; 3], "case {number}");
        let now = IMAGES.map(|name| fake.count("PUT", &format!("ns/{name}/manifests/stable")));
        let once = written.map(|count| count + 1);
        assert_eq!(now, once, "case {number}: the loser wrote a tag");
        let history = first.history().await.expect("the chain is whole");
        assert_eq!(history.len(), 2);
        assert_eq!(first.open().await.expect("read"), None);
    });
    let _: Vec<()> = results.buffer_unordered(24).collect().await;
}

/// Without compare-and-swap this holds as long as no writer takes longer from reading the ledger to
/// writing it (here two delays and what the machine adds) than the others wait.
#[tokio::test]
async fn of_two_promoters_at_once_one_wins_whole() {
    race(120, Options::default().contest, false).await;
}

/// A registry that refuses the second writer of a number needs no waiting.
#[tokio::test]
async fn where_the_ledger_is_immutable_the_registry_decides_the_race() {
    race(120, Duration::ZERO, true).await;
}

/// The window that is left: this one's write of the ledger arrives when the other is long done. It
/// sees that at the ledger and at the tags, and moves nothing.
#[tokio::test]
async fn who_is_slower_than_the_others_wait_moves_nothing() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let [one, two, three] = ["1", "2", "3"].map(|version| release(fake, version));
    channel.move_to(&one, &order("1")).await.expect("promoted");
    let slow = Effect::Slow(Duration::from_millis(600));
    fake.fault(1, "PUT", "ns/staging/manifests/stable-000002", slow);
    let (orders, late) = ((order("2"), order("3")), channel);
    let (slow, quick) = tokio::join!(late.move_to(&two, &orders.0), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        channel.move_to(&three, &orders.1).await
    });
    quick.expect("promoted").expect("moved");
    assert!(matches!(slow, Err(Error::Lost { .. })), "{slow:?}");
    assert_eq!(at(fake, &three), [true; 3]);
    channel.move_to(&two, &order("2")).await.expect("promoted");
    assert_eq!(
        channel.history().await.expect("the chain is whole").len(),
        3
    );
}
