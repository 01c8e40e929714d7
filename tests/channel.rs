//! A channel moves whole: whatever breaks at whichever request, its tags are afterwards all old or all
//! new, or it is said that they are between, and `resume` and `abort` each end it.

#[path = "support/registry.rs"]
mod fake;

use std::time::Duration;

use fake::Effect::OtherWriter;
use fake::{Effect, Fake};
use laminate::name::{Digest, Repository, Tag};
use laminate::registry::{Options, Registry};
use laminate::release::channel::{Channel, Order, Target};
use laminate::release::{Error, Kind};
use proptest::prelude::*;

fn registry() -> Registry {
    Registry::new(Options {
        backoff: Duration::from_millis(1),
        timeout: Duration::from_secs(2),
        settling: Duration::from_millis(200),
        ..Options::default()
    })
    .expect("a client")
}

/// A registry and the ledger in it.
struct World {
    fake: Fake,
    registry: Registry,
    staging: Repository,
}

impl World {
    async fn start() -> Self {
        let fake = Fake::start().await;
        let staging = repository(&fake, "ns/staging");
        Self {
            fake,
            registry: registry(),
            staging,
        }
    }

    fn channel(&self) -> Channel<'_> {
        Channel {
            registry: &self.registry,
            staging: &self.staging,
            name: "stable",
        }
    }
}

const IMAGES: [&str; 3] = ["base", "left", "right"];

fn repository(fake: &Fake, path: &str) -> Repository {
    Repository::parse(&format!("{}/{path}", fake.host)).expect("a repository")
}

/// The images of a release, in their own repositories.
fn release(fake: &Fake, version: &str) -> Vec<Target> {
    IMAGES
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let text =
                format!(r#"{{"schemaVersion": 2, "annotations": {{"is": "{name} {version}"}}}}"#);
            fake.add_manifest(
                &format!("ns/{name}"),
                &format!("r-{version}"),
                text.as_bytes(),
            );
            Target {
                label: (*name).to_owned(),
                repository: repository(fake, &format!("ns/{name}")),
                tag: Tag::parse("stable").expect("a tag"),
                digest: Digest::of(text.as_bytes()),
                depth: number.min(1),
            }
        })
        .collect()
}

fn order(version: &str) -> Order {
    Order {
        kind: Kind::Promote,
        release: Digest::of(version.as_bytes()),
        commit: version.to_owned(),
        actor: "a test".to_owned(),
        time: "2026-11-24T12:00:00Z".to_owned(),
        reason: None,
        waived: Vec::new(),
        required: Vec::new(),
        accept_drift: false,
        dry_run: false,
    }
}

fn at(fake: &Fake, targets: &[Target]) -> Vec<bool> {
    let there = |target: &Target| fake.tag(target.repository.path(), "stable");
    targets
        .iter()
        .map(|target| there(target).as_deref() == Some(target.digest.as_str()))
        .collect()
}

#[tokio::test]
async fn forward_back_and_forward_again() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let (one, two) = (release(fake, "1"), release(fake, "2"));
    let dry = Order {
        dry_run: true,
        ..order("1")
    };
    channel.go(&one, &dry).await.expect("planned");
    assert_eq!(
        fake.count("PUT", "") + fake.count("POST", ""),
        0,
        "nothing is written"
    );
    for (number, (targets, version)) in [(&one, "1"), (&two, "2")].into_iter().enumerate() {
        let entry = channel
            .go(targets, &order(version))
            .await
            .expect("promoted");
        assert_eq!(entry.expect("moved").seq, number as u64 + 1);
        assert_eq!(at(fake, targets), [true; 3]);
    }
    assert_eq!(
        channel.go(&two, &order("2")).await.expect("there already"),
        None
    );
    let before = channel.before(None).await.expect("an earlier one");
    let back = laminate::release::channel::targets(&before).expect("names");
    let revert = Order {
        kind: Kind::Revert,
        ..order("1")
    };
    channel.go(&back, &revert).await.expect("reverted");
    assert_eq!(at(fake, &one), [true; 3]);
    channel.go(&two, &order("2")).await.expect("promoted");
    assert_eq!(at(fake, &two), [true; 3]);
    let kinds: Vec<(u64, Kind)> = channel
        .history()
        .await
        .expect("read")
        .iter()
        .map(|(_, entry)| (entry.seq, entry.kind))
        .collect();
    let (p, r) = (Kind::Promote, Kind::Revert);
    assert_eq!(kinds, [(4, p), (3, r), (2, p), (1, p)]);
}

#[tokio::test]
async fn a_tag_moved_by_hand_is_seen_and_not_run_over() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let (one, two) = (release(fake, "1"), release(fake, "2"));
    channel.go(&one, &order("1")).await.expect("promoted");
    fake.add_manifest("ns/left", "stable", br#"{"schemaVersion": 2}"#);
    let (_, now) = channel.current().await.expect("read").expect("one");
    assert_eq!(channel.drift(&now).await.expect("read").len(), 1);
    let refused = channel.go(&two, &order("2")).await;
    assert!(matches!(refused, Err(Error::Drift { .. })), "{refused:?}");
    assert_eq!(at(fake, &one), [true, false, true], "nothing moved");
    let accept = Order {
        accept_drift: true,
        ..order("2")
    };
    let entry = channel
        .go(&two, &accept)
        .await
        .expect("promoted")
        .expect("moved");
    assert_eq!(entry.drift.len(), 1);
    assert_eq!(at(fake, &two), [true; 3]);
}

#[tokio::test]
async fn of_two_promoters_one_wins_whole() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let (one, two) = (release(fake, "1"), release(fake, "2"));
    channel.go(&one, &order("1")).await.expect("promoted");
    // Another takes the next number at the same moment.
    let theirs = br#"{"schemaVersion": 2, "annotations": {"is": "theirs"}}"#;
    let theirs = OtherWriter {
        repository: "ns/staging",
        tag: "stable-000002",
        digest: fake.add_manifest("ns/staging", "theirs", theirs),
    };
    fake.fault(1, "PUT", "ns/staging/manifests/stable-000002", theirs);
    let lost = channel.go(&two, &order("2")).await;
    assert!(matches!(lost, Err(Error::Lost { .. })), "{lost:?}");
    assert_eq!(at(fake, &one), [true; 3], "nothing moved");
}

/// One fault at one request of a promotion, then `resume` or `abort`.
async fn broken(method: &'static str, part: &str, skip: usize, effect: Effect, resume: bool) {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let (one, two) = (release(fake, "1"), release(fake, "2"));
    channel.go(&one, &order("1")).await.expect("promoted");
    let image = IMAGES[skip % IMAGES.len()];
    let part = part.replace("IMAGE", image);
    fake.fault(1, method, &part, effect);
    let ended = channel.go(&two, &order("2")).await;
    let open = channel.open().await.expect("read");
    let (old, new) = (at(fake, &one), at(fake, &two));
    match (&ended, &open) {
        (Ok(_), None) => assert_eq!(new, [true; 3]),
        // An answer that lied about the last write, too: then it was done.
        (Err(_), None) => assert!(old == [true; 3] || new == [true; 3], "{ended:?}"),
        (_, Some(_)) => {
            let each = old.iter().zip(&new).all(|(old, new)| old != new);
            assert!(each, "each tag is old or new: {old:?} {new:?}");
            let again = channel.go(&two, &order("2")).await;
            assert!(matches!(again, Err(Error::Pending { .. })), "{again:?}");
            if resume {
                channel.resume().await.expect("resumed");
                assert_eq!(at(fake, &two), [true; 3]);
            } else {
                channel.abort().await.expect("aborted");
                assert_eq!(at(fake, &one), [true; 3]);
            }
            assert!(channel.open().await.expect("read").is_none());
        }
    }
    // Whatever happened, the chain is whole and the channel can go on.
    channel.go(&two, &order("2")).await.expect("goes on");
    assert_eq!(at(fake, &two), [true; 3]);
    let history = channel.history().await.expect("the chain is whole");
    assert_eq!(history.last().map(|(_, entry)| entry.seq), Some(1));
}

fn effects() -> impl Strategy<Value = Effect> {
    prop_oneof![
        prop::sample::select(vec![400_u16, 401, 403, 404, 409, 412, 429, 500, 503])
            .prop_map(|status| Effect::Answer(status, Vec::new(), "no".to_owned())),
        Just(Effect::BreakBefore),
        Just(Effect::BreakAfter),
        Just(Effect::Without("docker-content-digest")),
        Just(Effect::With(
            "docker-content-digest",
            format!("sha256:{}", "0".repeat(64))
        )),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn whatever_breaks_the_tags_are_old_or_new_and_it_can_be_ended(
        (method, part) in prop::sample::select(vec![
            ("PUT", "ns/IMAGE/manifests/stable"),
            ("HEAD", "ns/IMAGE/manifests/stable"),
            ("HEAD", "ns/IMAGE/manifests/sha256"),
            ("GET", "ns/IMAGE/manifests/sha256"),
            ("PUT", "ns/staging/manifests/stable-000002"),
            ("HEAD", "ns/staging/manifests/stable-000002"),
            ("GET", "ns/staging/manifests/stable-aborted"),
            ("GET", "ns/staging/manifests/stable-000002"),
            ("PUT", "ns/staging/manifests/stable-current"),
            ("HEAD", "ns/staging/manifests/stable-current"),
            ("GET", "ns/staging/manifests/stable-current"),
            ("GET", "ns/staging/blobs"),
            ("POST", "ns/staging/blobs"),
        ]),
        skip in 0..3_usize,
        effect in effects(),
        resume: bool,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(broken(method, part, skip, effect, resume));
    }
}
