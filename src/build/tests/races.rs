//! Two runs publish the same commit at the same moment.

use futures_util::StreamExt as _;

use super::*;
use crate::publish;
use crate::tags;
use crate::testing::fake::Effect;

const NAMES: [&str; 2] = ["base", "child"];

/// The stack without anything to run.
fn spec() -> String {
    PAIR.replace("    tests: {", "    vars: {}\n    #")
}

/// A run that publishes what staging has; `bytes` are in the images.
fn run_of(fake: &Arc<Fake>, bytes: &str, contest: Duration) -> World {
    let mut world = World::with(fake.clone(), &spec());
    let registry = Registry::new(registry::Options {
        contest,
        settling: Duration::from_secs(1),
        ..registry::Options::default()
    });
    world.registry = registry.expect("a client");
    world.options.push = true;
    for name in NAMES {
        let digest = push(fake, &format!("{name}{bytes}"));
        world.facts.stored.insert(world.key(name), digest);
    }
    world
}

/// Two runs of one commit with a client each, the second of which begins later. Each request is delayed at random. Returns
/// the registry and how both ended.
async fn race(number: u64, bytes: &str) -> (Arc<Fake>, [Built; 2]) {
    let fake = Arc::new(Fake::start().await);
    let contest = Duration::from_millis(400);
    let first = run_of(&fake, "", contest);
    let mut second = run_of(&fake, bytes, contest);
    // Its release has other bytes.
    second.environment.now = later;
    fake.state().delays = Some((Duration::from_millis(15), number));
    let engine = Pushing::new(&fake);
    let begin_later = async {
        // From the same moment to when the first one has written its release.
        tokio::time::sleep(Duration::from_millis(number % 30 * 7)).await;
        second.build(&engine).await
    };
    let (first, second) = tokio::join!(first.build(&engine), begin_later);
    let built = [first.expect("a build"), second.expect("a build")];
    (fake, built)
}

#[tokio::test]
async fn of_two_runs_with_different_bytes_one_tags_all_its_images() {
    let races = futures_util::stream::iter(0..60).map(async |number| {
        let (fake, built) = race(number, " of another engine").await;
        let (won, lost): (Vec<&Built>, _) = built.iter().partition(|built| built.published);
        let ([won], [lost]) = (won.as_slice(), lost.as_slice()) else {
            panic!("case {number}: {built:?}");
        };
        for name in NAMES {
            let tag = fake.tag(&format!("ns/{name}"), "r-0123456");
            assert_eq!(
                tag.as_deref(),
                Some(won.digests[name].as_str()),
                "case {number}"
            );
        }
        let fault = lost.fault.as_ref();
        let is_taken = matches!(fault, Some(Error::Publish(publish::Error::Taken { .. })));
        assert!(is_taken, "case {number}: {fault:?}");
        // The one that lost has claimed the first tag at most.
        let written = fake.count("PUT", "ns/child/manifests/r-");
        assert_eq!(written, 1, "case {number}");
        let release = fake.tag("ns/demo", "release-0123456");
        let release = Digest::parse(&release.expect("a release")).expect("a digest");
        assert_eq!(
            won.release,
            ReleaseState::Recorded(release),
            "case {number}"
        );
    });
    let _: Vec<()> = races.buffer_unordered(20).collect().await;
}

#[tokio::test]
async fn two_runs_with_the_same_bytes_find_one_release() {
    let races = futures_util::stream::iter(0..60).map(async |number| {
        let (fake, built) = race(number, "").await;
        let release = fake.tag("ns/demo", "release-0123456");
        let release = Digest::parse(&release.expect("a release")).expect("a digest");
        for built in built {
            assert_eq!((built.ending, built.published), (Ending::Complete, true));
            assert_eq!(
                built.release,
                ReleaseState::Recorded(release.clone()),
                "case {number}"
            );
        }
    });
    let _: Vec<()> = races.buffer_unordered(20).collect().await;
}

#[tokio::test]
async fn a_run_waits_unless_it_is_certainly_the_first() {
    let contest = Duration::from_millis(300);
    let waits = async |spoil: fn(&Fake)| {
        let fake = Arc::new(Fake::start().await);
        let world = run_of(&fake, "", contest);
        spoil(&fake);
        let before = std::time::Instant::now();
        let built = world.build(&Pushing::new(&fake)).await;
        assert_eq!(built.expect("a build").ending, Ending::Complete);
        // A wait cannot be shorter.
        before.elapsed() >= contest
    };
    let announced = |fake: &Fake| {
        let tag = "release-0123456_1_00000000000000000000000000000000";
        fake.add_manifest("ns/demo", tag, b"{}");
    };
    assert!(waits(announced).await, "another run announced itself");
    let unlisted = |fake: &Fake| fake.answer(9, "GET", "tags/list", 403, "not for robots");
    assert!(waits(unlisted).await, "tags cannot be listed");
    let paged = |fake: &Fake| fake.state().page = Some(1);
    assert!(waits(paged).await, "one page has not all tags");
}

#[tokio::test]
async fn a_run_that_is_the_first_waits_for_nobody() {
    let fake = Arc::new(Fake::start().await);
    let world = run_of(&fake, "", Duration::from_secs(3600));
    let engine = Pushing::new(&fake);
    let (rounds, built) = fake.in_rounds(world.build(&engine)).await;
    let built = built.expect("a build");
    assert!(
        matches!(built.release, ReleaseState::Recorded(_)),
        "{built:?}"
    );
    let shown = rounds.shown();
    assert!(rounds.chain() <= 9, "{}:\n{shown}", rounds.chain());
}

#[tokio::test]
async fn a_key_that_another_run_builds_as_well_does_not_end_the_build() {
    let image = "  base: { base: BASE, steps: [{ run: make }] }";
    let spec = format!("stack: demo\nregistry: HOST/ns\nimages:\n{image}\n");
    let mut world = World::start(&spec).await;
    world.options.push = true;
    let theirs = push(&world.fake, "theirs");
    let tag = tags::key(&world.key("base"));
    world.fake.fault(
        1,
        "PUT",
        "ns/demo/manifests/key-",
        Effect::OtherWriter {
            repository: "ns/demo",
            tag: tag.to_string().leak(),
            digest: theirs.to_string(),
        },
    );
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Complete, true));
    let warned = world.received.try_iter();
    let warned = warned.filter(|event| matches!(event, Event::Warning { .. }));
    assert_eq!(warned.count(), 1);
}
