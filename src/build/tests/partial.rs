//! A release has all images of the stack, or there is none; what is missing is reported and can be finished.

use super::*;
use crate::testing::fake::Mounts;

async fn pair() -> World {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world
}

fn release(world: &World) -> Option<String> {
    world.tag("demo", "release-0123456")
}

async fn push(world: &World) -> Built {
    let built = world.build(&Pushing::new(&world.fake)).await;
    built.expect("a build")
}

#[tokio::test]
async fn a_tag_that_is_refused_leaves_no_release_and_the_next_run_adds_both() {
    for (status, part) in [
        (403, "ns/child/manifests/r-"),
        (400, "ns/child/manifests/r-"),
        (507, "ns/base/manifests/r-"),
    ] {
        let world = pair().await;
        world.fake.answer(20, "PUT", part, status, "no");
        let first = push(&world).await;
        assert_eq!(first.ending, Ending::Faulty, "{status}");
        assert_eq!(
            (first.published, first.release),
            (false, ReleaseState::NotAsked)
        );
        assert_eq!(release(&world), None, "{status}");
        world.fake.heal();
        let second = push(&world).await;
        assert!(
            matches!(second.release, ReleaseState::Recorded(_)),
            "{second:?}"
        );
        assert_eq!(world.tags().map(|tag| tag.is_some()), [true, true]);
    }
}

#[tokio::test]
async fn a_release_that_cannot_be_written_is_a_fault_although_all_is_tagged() {
    for (method, part) in [
        ("PUT", "manifests/release-0123456$"),
        ("HEAD", "manifests/release-0123456$"),
    ] {
        let world = pair().await;
        world.fake.answer(200, method, part, 403, "no");
        let first = push(&world).await;
        assert_eq!(
            (first.ending, first.published),
            (Ending::Faulty, true),
            "{method}"
        );
        let fault = first.fault.expect("a fault");
        assert!(matches!(fault, Error::Unrecorded(_)), "{fault}");
        world.fake.heal();
        let second = push(&world).await;
        assert!(
            matches!(second.release, ReleaseState::Recorded(_)),
            "{method}"
        );
        assert!(release(&world).is_some());
    }
}

#[tokio::test]
async fn bytes_that_cannot_be_placed_tag_nothing() {
    let world = pair().await;
    world.fake.state().mounts = Mounts::Never;
    world.fake.answer(200, "PUT", "ns/child/blobs", 403, "no");
    let built = push(&world).await;
    assert_eq!((built.ending, built.published), (Ending::Faulty, false));
    assert_eq!(world.tags(), [None, None]);
    assert_eq!(release(&world), None);
}

#[tokio::test]
async fn two_runs_at_once_make_one_release() {
    let world = pair().await;
    let engines = (Pushing::new(&world.fake), Pushing::new(&world.fake));
    let (one, two) = tokio::join!(world.build(&engines.0), world.build(&engines.1));
    let recorded = |built: Result<Built, Error>| match built.expect("built").release {
        ReleaseState::Recorded(digest) => Some(digest),
        ReleaseState::NotAsked | ReleaseState::Incomplete { .. } => None,
    };
    let digests: Vec<_> = [one, two].map(recorded).into_iter().flatten().collect();
    assert!(!digests.is_empty(), "none of them recorded it");
    for digest in digests {
        assert_eq!(release(&world).as_deref(), Some(digest.as_str()));
    }
    assert_eq!(
        world.release("release-0123456")["images"]
            .as_array()
            .map(Vec::len),
        Some(2)
    );
}

#[tokio::test]
async fn an_interruption_before_the_tags_leaves_nothing() {
    let world = pair().await;
    world.interrupt.signal();
    let ended = world.build(&Pushing::new(&world.fake)).await;
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    assert_eq!((world.tags(), release(&world)), ([None, None], None));
}

/// Each image has two tags.
const TWO_TAGS: &str = r#"
stack: demo
registry: HOST/ns
tags: ["r-${commit7}", "s-${commit7}"]
images:
  base: { base: BASE, steps: [{ run: make }] }
  child: { base: base, steps: [{ run: make more }] }
"#;

#[tokio::test]
async fn an_image_of_another_run_counts_only_with_all_its_tags_on_bytes_that_staging_knows() {
    type Change = fn(&World);
    let changes: [(&str, Change); 4] = [
        ("a tag is missing", |world| {
            let mut state = world.fake.state();
            let base = state.repositories.get_mut("ns/base").expect("pushed");
            base.tags.remove("s-0123456");
        }),
        ("a tag is on other bytes", |world| {
            world.fake.add_manifest("ns/base", "s-0123456", b"{}");
        }),
        ("all tags are on bytes that nothing is known of", |world| {
            world.fake.add_manifest("ns/base", "r-0123456", b"{}");
            world.fake.add_manifest("ns/base", "s-0123456", b"{}");
        }),
        ("staging lost all that is known of it", |world| {
            let mut state = world.fake.state();
            let staging = state.repositories.get_mut("ns/demo").expect("staging");
            staging
                .tags
                .retain(|tag, _| !tag.starts_with("key-") && tag != "state");
        }),
    ];
    for (name, change) in changes {
        let mut world = World::start(TWO_TAGS).await;
        world.options.push = true;
        world.options.request.selected = Some(BTreeSet::from([world.id("base")]));
        push(&world).await;
        change(&world);
        // Another run has the child alone: the base is none of its images.
        world.options.request.selected = Some(BTreeSet::from([world.id("child")]));
        world.facts.stored = BTreeMap::new();
        let (gathered, mut plan) = world.gathered();
        for planned in &mut plan.images {
            if planned.id == world.id("base") {
                planned.action = Action::Hold {
                    because: crate::plan::HoldReason::NotSelected,
                };
            }
        }
        let prepared = Prepared::new(world.job(&gathered, &plan)).expect("allowed");
        let engine = Pushing::new(&world.fake);
        let recorded = Box::pin(build(prepared, &engine)).await.expect("built");
        let missing = vec!["base".to_owned()];
        assert_eq!(
            recorded.release(),
            &ReleaseState::Incomplete { missing },
            "{name}"
        );
        assert_eq!(release(&world), None, "{name}");
    }
}
