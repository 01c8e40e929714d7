//! A channel moves whole, forward and back; what others did to it is seen, and of two promoters one
//! wins. What may break on the way is in `channel_faults`.

use crate::support::channel::{IMAGES, World, at, order, release};
use crate::support::client::text;
use crate::support::fake::Effect::{self, OtherWriter};
use crate::support::fake::{Auth, Fake};
use crate::support::laminate::Laminate;
use laminate::testing::record::MoveKind;
use laminate::testing::release::{Error, Order};

#[tokio::test]
async fn forward_back_and_forward_again() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let (one, two) = (release(fake, "1"), release(fake, "2"));
    let dry = Order {
        dry_run: true,
        ..order("1")
    };
    channel.move_to(&one, &dry).await.expect("planned");
    assert_eq!(
        fake.count("PUT", "") + fake.count("POST", ""),
        0,
        "nothing is written"
    );
    for (number, (targets, version)) in [(&one, "1"), (&two, "2")].into_iter().enumerate() {
        let entry = channel
            .move_to(targets, &order(version))
            .await
            .expect("promoted");
        assert_eq!(entry.expect("moved").seq, number as u64 + 1);
        assert_eq!(at(fake, targets), [true; 3]);
    }
    assert_eq!(
        channel
            .move_to(&two, &order("2"))
            .await
            .expect("there already"),
        None
    );
    let ledger = channel.look().await.expect("read");
    let before = channel
        .revert_target(&ledger, None)
        .await
        .expect("an earlier one");
    let back = laminate::testing::release::targets(&before);
    let revert = Order {
        kind: MoveKind::Revert,
        ..order("1")
    };
    channel.move_to(&back, &revert).await.expect("reverted");
    assert_eq!(at(fake, &one), [true; 3]);
    channel.move_to(&two, &order("2")).await.expect("promoted");
    assert_eq!(at(fake, &two), [true; 3]);
    let kinds: Vec<(u64, MoveKind)> = channel
        .history()
        .await
        .expect("read")
        .iter()
        .map(|(_, entry)| (entry.seq, entry.kind))
        .collect();
    let (p, r) = (MoveKind::Promote, MoveKind::Revert);
    assert_eq!(kinds, [(4, p), (3, r), (2, p), (1, p)]);
}

#[tokio::test]
async fn a_move_asks_of_each_tag_what_it_must_and_no_more() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let (one, mut two) = (release(fake, "1"), release(fake, "2"));
    two[2] = one[2].clone();
    channel.move_to(&one, &order("1")).await.expect("promoted");
    let before = fake.state().log.len();
    channel.move_to(&two, &order("2")).await.expect("promoted");
    let asked = |name: &str| -> Vec<String> {
        let log = &fake.state().log[before..];
        let here = log
            .iter()
            .filter(|line| line.contains(&format!("/ns/{name}/")));
        let short = |line: &String| {
            let method = line.split(' ').next().unwrap_or_default();
            let by = if line.ends_with("/stable") {
                "tag"
            } else {
                "digest"
            };
            format!("{method} {by}")
        };
        here.map(short).collect()
    };
    assert_eq!(
        asked("left"),
        [
            "HEAD tag",   // is it where the ledger says
            "GET digest", // is there what it is to be
            "HEAD tag",   // is it still there
            "PUT tag",
            "HEAD tag", // are all of them written
        ]
    );
    assert_eq!(asked("right"), ["HEAD tag"; 3], "it does not move");
}

#[tokio::test]
async fn a_revert_reads_no_further_back_than_it_goes() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    for version in ["1", "2", "3", "4"] {
        let targets = release(fake, version);
        channel
            .move_to(&targets, &order(version))
            .await
            .expect("promoted");
    }
    let before = fake.count("GET", "ns/staging");
    let ledger = channel.look().await.expect("read");
    let entry = channel
        .revert_target(&ledger, None)
        .await
        .expect("an earlier one");
    assert_eq!(entry.commit, order("3").commit);
    let read = fake.count("GET", "ns/staging") - before;
    assert_eq!(
        read, 4,
        "two entries, and whether a move was begun or taken back"
    );
    let first = channel
        .revert_target(&ledger, Some(&order("1").release))
        .await;
    assert_eq!(first.expect("the first").commit, order("1").commit);
    let never = channel
        .revert_target(&ledger, Some(&order("5").release))
        .await;
    assert!(matches!(never, Err(Error::NoRelease { .. })), "{never:?}");
}

#[tokio::test]
async fn a_tag_moved_by_hand_is_seen_and_not_run_over() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let (one, two) = (release(fake, "1"), release(fake, "2"));
    channel.move_to(&one, &order("1")).await.expect("promoted");
    fake.add_manifest("ns/left", "stable", br#"{"schemaVersion": 2}"#);
    let (_, now) = channel.current().await.expect("read").expect("one");
    assert_eq!(channel.drift(&now).await.expect("read").len(), 1);
    let refused = channel.move_to(&two, &order("2")).await;
    assert!(matches!(refused, Err(Error::Drift { .. })), "{refused:?}");
    assert_eq!(at(fake, &one), [true, false, true], "nothing moved");
    let accept = Order {
        accept_drift: true,
        ..order("2")
    };
    let entry = channel
        .move_to(&two, &accept)
        .await
        .expect("promoted")
        .expect("moved");
    assert_eq!(entry.drift.len(), 1);
    assert_eq!(at(fake, &two), [true; 3]);
}

#[tokio::test]
async fn a_tag_that_a_release_left_where_it_was_is_still_the_channels() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let (one, two) = (release(fake, "1"), release(fake, "2"));
    channel.move_to(&one, &order("1")).await.expect("promoted");
    // The release has no image for the last tag.
    let some = &two[..2];
    channel.move_to(some, &order("2")).await.expect("promoted");
    let three = release(fake, "3");
    let all = channel.move_to(&three, &order("3")).await;
    all.expect("the channel has put the tag there");
    channel.move_to(some, &order("2")).await.expect("promoted");
    let last = &three[2];
    let name = format!("ns/{}", IMAGES[2]);
    fake.add_manifest(&name, "stable", br#"{"schemaVersion": 2}"#);
    for kind in [MoveKind::Promote, MoveKind::Revert] {
        let order = Order { kind, ..order("3") };
        let refused = channel.move_to(&three, &order).await;
        let Err(Error::Drift { drift, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(drift[0].expected.as_ref(), Some(&last.digest));
        assert_ne!(drift[0].found, drift[0].expected);
    }
    let accepted = Order {
        kind: MoveKind::Revert,
        accept_drift: true,
        ..order("3")
    };
    let entry = channel.move_to(&three, &accepted).await.expect("moved");
    assert_eq!(entry.expect("moved").drift.len(), 1);
    assert_eq!(at(fake, &three), [true; 3]);
}

#[tokio::test]
async fn a_move_that_breaks_says_which_tags_are_not_moved() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let one = release(fake, "1");
    fake.answer(1, "PUT", "ns/base/manifests/stable", 403, "no");
    let broken = channel
        .move_to(&one, &order("1"))
        .await
        .expect_err("refused");
    insta::assert_snapshot!(text(fake, &broken), @"
    channel `stable` is between two releases: 0 of 3 tags are at the new release; not confirmed:
      HOST/ns/base:stable: cannot write the manifest `HOST/ns/base:stable`: access denied (403 no); give the account of `docker login HOST` access, or log in with another
      HOST/ns/left:stable: not moved
      HOST/ns/right:stable: not moved
    ");
    channel.abort(false).await.expect("taken back");
    channel.move_to(&one, &order("1")).await.expect("promoted");
    let two = release(fake, "2");
    fake.answer(1, "PUT", "ns/right/manifests/stable", 403, "no");
    let broken = channel
        .move_to(&two, &order("2"))
        .await
        .expect_err("refused");
    insta::assert_snapshot!(text(fake, &broken), @"
    channel `stable` is between two releases: 2 of 3 tags are at the new release; not confirmed:
      HOST/ns/right:stable: cannot write the manifest `HOST/ns/right:stable`: access denied (403 no); give the account of `docker login HOST` access, or log in with another
    ");
    fake.answer(1, "PUT", "ns/staging/manifests/stable-current", 403, "no");
    let broken = channel.resume(false).await.expect_err("refused");
    insta::assert_snapshot!(text(fake, &broken), @"all tags of channel `stable` are at the new release, but this could not be recorded: cannot write the manifest `HOST/ns/staging:stable-current`: access denied (403 no); give the account of `docker login HOST` access, or log in with another");
    channel.resume(false).await.expect("ended");
}

#[tokio::test]
async fn an_aborted_first_promotion_takes_its_tags_away_where_that_can_be() {
    for keeps_tags in [None, Some(400), Some(403), Some(405)] {
        let world = World::start().await;
        let (fake, channel) = (&world.fake, world.channel());
        fake.state().auth = Some(Auth::default());
        fake.state().keeps_tags = keeps_tags;
        let one = release(fake, "1");
        fake.answer(1, "PUT", "ns/right/manifests/stable", 403, "no");
        let broken = channel.move_to(&one, &order("1")).await;
        assert!(matches!(broken, Err(Error::Between { .. })), "{broken:?}");
        assert_eq!(at(fake, &one), [true, true, false]);
        let ended = channel.abort(false).await;
        let there = IMAGES.map(|name| fake.tag(&format!("ns/{name}"), "stable").is_some());
        match keeps_tags {
            None => {
                assert_eq!(ended.expect("taken back").kind, MoveKind::Abort);
                assert_eq!(there, [false; 3]);
            }
            Some(status) => {
                let left = text(fake, &ended.expect_err("they are left"));
                assert_eq!(
                    left,
                    "all tags are as they were, except new ones that the registry did not delete:\n  \
                     HOST/ns/base:stable\n  HOST/ns/left:stable",
                    "{status}"
                );
                assert_eq!(there, [true, true, false]);
            }
        }
        assert_eq!(channel.open().await.expect("read"), None);
        assert_eq!(fake.count("DELETE", "manifests/sha256"), 0);
        for target in &one {
            let fixed = fake.tag(target.repository.path(), "r-1");
            assert_eq!(fixed.as_deref(), Some(target.digest.as_str()));
        }
        channel.move_to(&one, &order("1")).await.expect("promoted");
        assert_eq!(at(fake, &one), [true; 3]);
    }
}

#[tokio::test]
async fn one_wrong_header_is_not_what_an_abort_writes() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let one = release(fake, "1");
    fake.add_manifest("ns/left", "stable", br#"{"schemaVersion": 2}"#);
    let wrong = format!("sha256:{}", "0".repeat(64));
    let lie = Effect::With("docker-content-digest", wrong.clone());
    fake.fault(1, "HEAD", "ns/left/manifests/stable", lie);
    let dry = Order {
        dry_run: true,
        accept_drift: true,
        ..order("1")
    };
    let entry = channel
        .move_to(&one, &dry)
        .await
        .expect("planned")
        .expect("moves");
    let old = entry.images[1].old.as_ref().map(ToString::to_string);
    assert_ne!(old.as_ref(), Some(&wrong));
    assert_eq!(old, fake.tag("ns/left", "stable"));
}

#[tokio::test]
async fn what_broke_with_another_writer_is_ended_when_that_is_accepted() {
    for resume in [true, false] {
        let world = World::start().await;
        let (fake, channel) = (&world.fake, world.channel());
        let (one, two) = (release(fake, "1"), release(fake, "2"));
        channel.move_to(&one, &order("1")).await.expect("promoted");
        let theirs = OtherWriter {
            repository: "ns/left",
            tag: "stable",
            digest: fake.add_manifest("ns/left", "theirs", br#"{"schemaVersion": 2}"#),
        };
        fake.fault(1, "PUT", "ns/base/manifests/stable", theirs);
        let broken = channel.move_to(&two, &order("2")).await;
        assert!(matches!(broken, Err(Error::Between { .. })), "{broken:?}");
        let end = async |accept| {
            if resume {
                channel.resume(accept).await
            } else {
                channel.abort(accept).await
            }
        };
        let refused = end(false).await;
        assert!(matches!(refused, Err(Error::Between { .. })), "{refused:?}");
        let ended = end(true).await.expect("ended");
        assert_eq!(ended.drift.len(), 1, "it is recorded");
        assert_eq!(at(fake, if resume { &two } else { &one }), [true; 3]);
    }
}

#[tokio::test]
async fn status_shows_a_first_promotion_that_broke() {
    let world = World::start().await;
    let (fake, channel) = (&world.fake, world.channel());
    let one = release(fake, "1");
    let laminate = Laminate::new().spec(&format!(
        "stack: s\nregistry: {host}/ns\nstaging: {host}/ns/staging\nchannels: {{ stable: {{ tag: stable }} }}\n\
         images: {{ base: {{ base: \"{host}/ns/base:r-1\" }} }}\n",
        host = fake.host
    ));
    let answer = laminate.run(&["status", "--json"]).await;
    assert_eq!(answer.code, 0, "{answer:?}");
    fake.answer(1, "PUT", "ns/left/manifests/stable", 403, "no");
    channel
        .move_to(&one, &order("1"))
        .await
        .expect_err("refused");
    let answer = laminate.run(&["status", "--json"]).await;
    assert_eq!(answer.code, 10, "{answer:?}");
    let json = answer.json();
    let release = order("1").release;
    assert_eq!(json["channels"][0]["pending"], release.as_str());
    assert_eq!(json["channels"][0]["release"], serde_json::Value::Null);
}

/// Takes the pointer of the channel away, as a rule that cleans up tags may.
fn lose_pointer(fake: &Fake) {
    let mut state = fake.state();
    let staging = state.repositories.get_mut("ns/staging").expect("there");
    staging.tags.remove("stable-current").expect("a pointer");
}

#[tokio::test]
async fn a_lost_pointer_is_found_by_the_tags_of_the_channel() {
    let world = World::start().await;
    let channel = world.channel();
    let releases: Vec<_> = ["1", "2", "3"]
        .iter()
        .map(|v| release(&world.fake, v))
        .collect();
    for (targets, version) in releases.iter().zip(["1", "2", "3"]) {
        channel
            .move_to(targets, &order(version))
            .await
            .expect("moved");
    }
    lose_pointer(&world.fake);
    let ledger = channel.look().await.expect("read");
    let (_, current) = ledger.current.expect("found");
    assert_eq!((current.seq, ledger.open.is_some()), (3, false));
    assert_eq!(channel.history().await.expect("read").len(), 3);
    // Never back to the first release.
    let nothing = channel.resume(true).await;
    assert!(
        matches!(nothing, Err(Error::NothingPending { .. })),
        "{nothing:?}"
    );
    assert_eq!(at(&world.fake, &releases[2]), [true; 3]);
    // The next move writes the pointer again.
    channel
        .move_to(&releases[0], &order("1"))
        .await
        .expect("moved");
    assert!(world.fake.tag("ns/staging", "stable-current").is_some());
    assert_eq!(channel.history().await.expect("read").len(), 4);
}

#[tokio::test]
async fn a_move_that_broke_without_its_pointer_is_still_open() {
    let world = World::start().await;
    let channel = world.channel();
    let releases: Vec<_> = ["1", "2", "3"]
        .iter()
        .map(|v| release(&world.fake, v))
        .collect();
    for (targets, version) in releases[..2].iter().zip(["1", "2"]) {
        channel
            .move_to(targets, &order(version))
            .await
            .expect("moved");
    }
    world
        .fake
        .answer(1, "PUT", "ns/base/manifests/stable", 403, "no");
    channel
        .move_to(&releases[2], &order("3"))
        .await
        .expect_err("broken");
    lose_pointer(&world.fake);
    let ledger = channel.look().await.expect("read");
    let numbers = [ledger.current, ledger.open].map(|entry| entry.expect("found").1.seq);
    assert_eq!(numbers, [2, 3]);
    channel.resume(false).await.expect("ended");
    let (_, current) = channel.current().await.expect("read").expect("one");
    assert_eq!(current.seq, 3);
}

#[tokio::test]
async fn without_pointer_and_tags_nothing_is_guessed() {
    let world = World::start().await;
    let channel = world.channel();
    for version in ["1", "2"] {
        let targets = release(&world.fake, version);
        channel
            .move_to(&targets, &order(version))
            .await
            .expect("moved");
    }
    lose_pointer(&world.fake);
    world.fake.add_manifest("ns/base", "stable", b"{}");
    let lost = channel.look().await.expect_err("lost");
    insta::assert_snapshot!(text(&world.fake, &lost), @"the ledger of channel `stable` has lost its tag stable-current, and the tags of the channel are at none of its entries up to stable-000002");
    let targets = release(&world.fake, "3");
    let refused = channel.move_to(&targets, &order("3")).await;
    assert!(
        matches!(refused, Err(Error::PointerLost { .. })),
        "{refused:?}"
    );
}
