//! The crash matrix: whatever breaks at whichever request of a promotion or a revert, and wherever it
//! is killed, its tags are afterwards all old, or all new, or it is said which are not; `resume` and
//! `abort` each end it, and the chain of records is whole.

use std::sync::OnceLock;
use std::time::Duration;

use crate::support::cases::{Broken, Case, Fault, case};
use crate::support::channel::{IMAGES, World, at, order, release};
use crate::support::fake::{Auth, Effect, Fake};
use futures_util::StreamExt as _;
use laminate::testing::record::{LedgerEntry, MoveKind};
use laminate::testing::registry::{Options, Registry};
use laminate::testing::release::{Channel, Error, Order, TagProblem, Target};
use proptest::prelude::*;

/// The processes before and after the fault have a client each; all cases share them, since a case
/// has a host of its own.
fn client(number: usize) -> &'static Registry {
    static CLIENTS: [OnceLock<Registry>; 2] = [OnceLock::new(), OnceLock::new()];
    CLIENTS[number].get_or_init(|| {
        Registry::new(Options {
            timeout: Duration::from_millis(700),
            settling: Duration::from_secs(2),
            ..crate::support::channel::options()
        })
        .expect("a client")
    })
}

/// What a broken move started from.
struct Stage {
    world: World,
    old: Option<Vec<Target>>,
    new: Vec<Target>,
    order: Order,
}

impl Stage {
    async fn set(broken: Broken, tokens: Option<Option<u64>>) -> Self {
        let world = World::with_two(client(0).clone(), client(1).clone()).await;
        world.fake.state().auth = tokens.map(|expires_in| Auth {
            expires_in,
            ..Auth::default()
        });
        let (one, two) = (release(&world.fake, "1"), release(&world.fake, "2"));
        let channel = world.channel();
        if broken != Broken::First {
            channel.move_to(&one, &order("1")).await.expect("promoted");
        }
        if broken == Broken::Revert {
            channel.move_to(&two, &order("2")).await.expect("promoted");
        }
        let (old, new, version) = match broken {
            Broken::First => (None, one, "1"),
            Broken::Promotion => (Some(one), two, "2"),
            Broken::Revert => (Some(two), one, "1"),
        };
        let kind = match broken {
            Broken::Revert => MoveKind::Revert,
            _ => MoveKind::Promote,
        };
        let order = Order {
            kind,
            ..order(version)
        };
        Self {
            world,
            old,
            new,
            order,
        }
    }

    fn at_new(&self) -> Vec<bool> {
        at(&self.world.fake, &self.new)
    }

    fn at_old(&self) -> Vec<bool> {
        match &self.old {
            Some(old) => at(&self.world.fake, old),
            None => IMAGES
                .iter()
                .map(|name| {
                    self.world
                        .fake
                        .tag(&format!("ns/{name}"), "stable")
                        .is_none()
                })
                .collect(),
        }
    }

    /// The tags that never move, and all bytes.
    fn fixed(&self) -> Vec<(Option<String>, Option<String>, usize)> {
        let fake = &self.world.fake;
        let place = |name: &&str| {
            let path = format!("ns/{name}");
            let manifests = fake.state().repositories[&path].manifests.len();
            (fake.tag(&path, "r-1"), fake.tag(&path, "r-2"), manifests)
        };
        IMAGES.iter().map(place).collect()
    }
}

/// Waits for work, or until the fake lets it hang: then it is dropped, as a killed process drops it.
async fn unless_killed<T>(fake: &Fake, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = fake.hung() => None,
    }
}

/// How many requests the move takes when nothing breaks.
async fn requests(broken: Broken) -> usize {
    let stage = Stage::set(broken, None).await;
    let before = stage.world.fake.state().log.len();
    let moved = stage
        .world
        .channel()
        .move_to(&stage.new, &stage.order)
        .await;
    assert!(moved.expect("moved").is_some());
    stage.world.fake.state().log.len() - before
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

async fn run(case: &Case) -> Result<(), String> {
    let stage = Stage::set(case.broken, case.tokens).await;
    let fixed = stage.fixed();
    let fake = &stage.world.fake;
    let foreign = fake.add_manifest("ns/left", "foreign", br#"{"schemaVersion": 2}"#);
    for name in IMAGES {
        fake.add_manifest(&format!("ns/{name}"), "foreign", br#"{"schemaVersion": 2}"#);
    }
    if case.stale {
        fake.state().stale_for = Duration::from_millis(300);
    }
    fake.state().keeps_tags = case.keeps_tags;
    match &case.fault {
        Fault::Effect(effect, times) => fake.fault_from(case.nth, *times, effect.clone()),
        Fault::Tokens(status, times) => {
            fake.fault_from(case.nth, 1, Effect::ExpireTokens);
            fake.answer(*times, "GET", "/token", *status, "<html>no</html>");
        }
        Fault::OtherWriter(image) => {
            let repository = ["ns/base", "ns/left", "ns/right"][*image];
            let effect = Effect::OtherWriter {
                repository,
                tag: "stable",
                digest: foreign.clone(),
            };
            fake.fault_from(case.nth, 1, effect);
        }
        Fault::Kill(done) => fake.fault_from(case.nth, 1, Effect::Hang { done: *done }),
    }
    let ended = unless_killed(
        fake,
        stage.world.channel().move_to(&stage.new, &stage.order),
    )
    .await;
    fake.heal();

    let channel = stage.world.other_channel();
    let open = channel.open().await.map_err(|error| error.to_string())?;
    let (old, new) = (stage.at_old(), stage.at_new());
    let foreign: Vec<bool> = old
        .iter()
        .zip(&new)
        .map(|(old, new)| !old && !new)
        .collect();
    let shown = || {
        format!(
            "{ended:?}, open {}, old {old:?}, new {new:?}",
            open.is_some()
        )
    };
    ensure(
        !foreign.contains(&true) || matches!(case.fault, Fault::OtherWriter(_)),
        || format!("a tag is neither old nor new: {}", shown()),
    )?;
    let whole = old == [true; 3] || new == [true; 3];
    match &ended {
        // What somebody else did after the end is his.
        Some(Ok(_)) => ensure(
            open.is_none() && (new == [true; 3] || foreign.contains(&true)),
            || format!("it is not done: {}", shown()),
        )?,
        Some(Err(error)) if !whole && open.is_some() => {
            said(error, &new).map_err(|lack| format!("{lack} is not said: {}", shown()))?;
        }
        // Killed: the intent says it.
        _ => ensure(whole || open.is_some() || foreign.contains(&true), || {
            format!("nothing says that it is between: {}", shown())
        })?,
    }
    if open.is_some() {
        let again = channel.move_to(&stage.new, &stage.order).await;
        let pending = matches!(again, Err(Error::Pending { .. }));
        ensure(pending, || format!("it runs over the open move: {again:?}"))?;
        end(&stage, &channel, case, foreign.contains(&true)).await?;
    }
    ensure(fixed == stage.fixed_without_foreign(), || {
        "something under an immutable tag changed".to_owned()
    })?;
    ensure(fake.count("DELETE", "manifests/sha256:") == 0, || {
        "a manifest was deleted".to_owned()
    })?;
    goes_on(&stage, &channel).await
}

impl Stage {
    fn fixed_without_foreign(&self) -> Vec<(Option<String>, Option<String>, usize)> {
        let mut fixed = self.fixed();
        for (_, _, manifests) in &mut fixed {
            *manifests -= 1;
        }
        fixed
    }
}

/// Whether an error names every tag that is not at the new release; else the first it does not.
fn said(error: &Error, new: &[bool]) -> Result<(), String> {
    for (name, there) in IMAGES.iter().zip(new) {
        let tag = format!("/ns/{name}:stable");
        let named = match error {
            Error::Between { problems, .. } => has_line(problems, &tag),
            // Nothing was begun.
            _ => !new.contains(&true),
        };
        if !there && !named {
            return Err(tag);
        }
    }
    Ok(())
}

fn has_line(problems: &[TagProblem], text: &str) -> bool {
    let mut lines = problems.iter().map(ToString::to_string);
    lines.any(|line| line.contains(text))
}

async fn work(channel: &Channel<'_>, case: &Case, accept: bool) -> Result<LedgerEntry, Error> {
    if case.ending.resume {
        channel.resume(accept).await
    } else {
        channel.abort(accept).await
    }
}

/// Ends the open move as the case wants it, killed on the way or not.
async fn end(
    stage: &Stage,
    channel: &Channel<'_>,
    case: &Case,
    foreign: bool,
) -> Result<(), String> {
    let fake = &stage.world.fake;
    if foreign {
        // It is overwritten only if asked for, and the refusal is reported.
        let refused = work(channel, case, false).await;
        let named = matches!(&refused, Err(Error::Between { problems, .. })
            if has_line(problems, ":stable is at "));
        ensure(named, || format!("it runs over another's tag: {refused:?}"))?;
    }
    if let Some((nth, done)) = case.ending.killed {
        fake.fault_from(nth, 1, Effect::Hang { done });
        let ended = unless_killed(fake, work(channel, case, foreign)).await;
        fake.heal();
        if let Some(ended) = ended {
            return finished(stage, channel, case, &ended).await;
        }
        if channel
            .open()
            .await
            .map_err(|error| error.to_string())?
            .is_none()
        {
            return whole(stage, case);
        }
    }
    let ended = work(channel, case, foreign).await;
    finished(stage, channel, case, &ended).await
}

async fn finished(
    stage: &Stage,
    channel: &Channel<'_>,
    case: &Case,
    ended: &Result<LedgerEntry, Error>,
) -> Result<(), String> {
    let open = channel.open().await.map_err(|error| error.to_string())?;
    ensure(open.is_none(), || format!("it is still open: {ended:?}"))?;
    match ended {
        Ok(_) => whole(stage, case),
        Err(Error::Left { tags }) => {
            let there = stage.at_old().iter().filter(|gone| !**gone).count();
            let kept = case.keeps_tags.is_some() && case.broken == Broken::First;
            ensure(kept && tags.len() == there, || format!("{tags:?}"))
        }
        Err(error) => Err(format!("it cannot be ended: {error}")),
    }
}

fn whole(stage: &Stage, case: &Case) -> Result<(), String> {
    let there = if case.ending.resume {
        stage.at_new()
    } else {
        stage.at_old()
    };
    let kept = !case.ending.resume && case.broken == Broken::First && case.keeps_tags.is_some();
    ensure(there == [true; 3] || kept, || {
        format!("it was ended, and the tags are {there:?}")
    })
}

/// Whatever happened, the channel can go on, and its chain of records is whole.
async fn goes_on(stage: &Stage, channel: &Channel<'_>) -> Result<(), String> {
    let order = Order {
        accept_drift: true,
        ..stage.order.clone()
    };
    let went = channel.move_to(&stage.new, &order).await;
    ensure(went.is_ok() && stage.at_new() == [true; 3], || {
        format!("it does not go on: {went:?}")
    })?;
    let history = channel.history().await.map_err(|error| error.to_string())?;
    let fake = &stage.world.fake;
    for pair in history.windows(2) {
        let linked = pair[0].1.previous.as_ref() == Some(&pair[1].0);
        ensure(linked && pair[0].1.seq > pair[1].1.seq, || {
            format!("the chain breaks: {pair:?}")
        })?;
    }
    for (digest, entry) in &history {
        let tag = format!("stable-{:06}", entry.seq);
        ensure(
            fake.tag("ns/staging", &tag).as_deref() == Some(digest.as_str()),
            || format!("{tag} is not the entry of the chain"),
        )?;
    }
    let first = history.last().map(|(_, entry)| entry);
    ensure(first.is_some_and(|first| first.previous.is_none()), || {
        format!("the chain has no beginning: {first:?}")
    })
}

async fn run_one(case: Case) -> String {
    match run(&case).await {
        Ok(()) => String::new(),
        Err(what) => format!("{case:?}\n    {what}\n"),
    }
}

/// Runs cases, 32 at once since most wait most of the time, and shows those that fail.
async fn run_all(cases: Vec<Case>) -> String {
    let results = futures_util::stream::iter(cases).map(run_one);
    results.buffer_unordered(32).collect().await
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

/// So many random cases.
fn matrix(broken: &[Broken], count: usize) {
    let runtime = runtime();
    let with_requests = |broken: &Broken| (*broken, runtime.block_on(requests(*broken)));
    let broken: Vec<_> = broken.iter().map(with_requests).collect();
    let cases = prop::collection::vec(case(broken), count);
    let config = ProptestConfig {
        // The message shows the case; it can be run alone.
        failure_persistence: None,
        max_shrink_iters: 0,
        ..ProptestConfig::with_cases(1)
    };
    proptest!(config, |(cases in cases)| {
        let wrong = runtime.block_on(run_all(cases));
        prop_assert!(wrong.is_empty(), "{wrong}");
    });
}

#[test]
fn whatever_breaks_in_a_promotion_it_is_whole_or_said_and_can_be_ended() {
    matrix(&[Broken::First, Broken::Promotion], 300);
}

#[test]
fn whatever_breaks_in_a_revert_it_is_whole_or_said_and_can_be_ended() {
    matrix(&[Broken::Revert], 260);
}

#[test]
fn killed_at_every_request_it_can_be_ended() {
    let runtime = runtime();
    let mut cases = Vec::new();
    for broken in [Broken::First, Broken::Promotion, Broken::Revert] {
        for nth in 0..runtime.block_on(requests(broken)) {
            for (done, resume) in [(false, false), (false, true), (true, false), (true, true)] {
                cases.push(Case::plain(broken, nth, Fault::Kill(done), resume));
            }
        }
    }
    assert!(cases.len() > 300, "{}", cases.len());
    assert_eq!(runtime.block_on(run_all(cases)), "");
}

/// What a HEAD shows just after the kill is what a tag was; taken back at once, it is not believed.
#[test]
fn killed_and_taken_back_while_the_registry_shows_the_old_it_is_whole() {
    let runtime = runtime();
    let last = runtime.block_on(requests(Broken::Promotion));
    let killed = |nth| Case {
        stale: true,
        ..Case::plain(Broken::Promotion, nth, Fault::Kill(true), false)
    };
    let cases = (last / 2..last).map(killed).collect();
    assert_eq!(runtime.block_on(run_all(cases)), "");
}

#[test]
fn killed_at_every_request_of_the_ending_it_can_be_ended_again() {
    let runtime = runtime();
    // The tag of the base is moved, those of the others are about to be.
    let nth = runtime.block_on(requests(Broken::Promotion)) * 2 / 3;
    let mut cases = Vec::new();
    for killed in 0..45 {
        for (done, resume) in [(false, false), (false, true), (true, false), (true, true)] {
            for broken in [Broken::First, Broken::Promotion] {
                let mut case = Case::plain(broken, nth, Fault::Kill(true), resume);
                case.ending.killed = Some((killed, done));
                cases.push(case);
            }
        }
    }
    assert_eq!(runtime.block_on(run_all(cases)), "");
}

#[tokio::test]
async fn a_stop_between_tags_reports_the_move_and_resume_ends_it() {
    let stop = tokio_util::sync::CancellationToken::new();
    let stoppable = Registry::new(Options {
        stop: stop.clone(),
        ..crate::support::channel::options()
    });
    let world = World::with_two(stoppable.expect("a client"), client(1).clone()).await;
    let one = release(&world.fake, "1");
    let hang = Effect::Hang { done: false };
    world.fake.fault(1, "PUT", "ns/left/manifests/stable", hang);
    let (channel, order) = (world.channel(), order("1"));
    let stopping = async {
        world.fake.hung().await;
        stop.cancel();
    };
    let (moved, ()) = tokio::join!(channel.move_to(&one, &order), stopping);
    let error = moved.expect_err("stopped");
    assert!(matches!(error, Error::Between { .. }), "{error}");
    assert!(error.to_string().contains("left:stable: "), "{error}");
    assert_eq!(at(&world.fake, &one)[..2], [true, false]);
    let log = channel.staging.registry.log().tags();
    let moved = at(&world.fake, &one).iter().filter(|moved| **moved).count();
    // One that was not read back any more may be set as well.
    assert!((1..=moved).contains(&log.len()), "{log:?}");
    world.fake.heal();
    world.other_channel().resume(false).await.expect("resumed");
    assert_eq!(at(&world.fake, &one), [true, true, true]);
}

#[tokio::test]
async fn a_move_that_another_process_ends_keeps_the_form_of_its_entry() {
    let stage = Stage::set(Broken::Promotion, None).await;
    let fake = &stage.world.fake;
    fake.state().refuses = Some("application/vnd.oci.empty.v1+json");
    fake.answer(usize::MAX, "PUT", "ns/right/manifests/stable", 403, "");
    let channel = stage.world.channel();
    let broken = channel.move_to(&stage.new, &stage.order).await;
    assert!(matches!(broken, Err(Error::Between { .. })), "{broken:?}");
    fake.heal();
    fake.state().refuses = None;
    let channel = stage.world.other_channel();
    channel.resume(false).await.expect("resumed");
    goes_on(&stage, &channel).await.expect("the chain is whole");
}
