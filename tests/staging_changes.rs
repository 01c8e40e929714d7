//! Documents that several runs change at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::staging::staging;
use crate::support::channel::{options, repository};
use crate::support::fake::{Effect, Fake};
use laminate::testing::evidence::{Evidence, Verdict};
use laminate::testing::name::Digest;
use laminate::testing::registry::{Options, Registry};
use laminate::testing::staging::{Built, Staging};

#[tokio::test]
async fn what_runs_remember_at_one_moment_is_added_up() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let runs = (0..6).map(|number| {
        let staging = &staging;
        async move {
            let name = format!("own-{number}");
            let one = built(&name, number);
            // Each has an image of its own, and one that all build.
            let all = [name.clone(), "shared".to_owned()];
            let built = all.map(|label| (label, one.clone())).into();
            let marks = BTreeMap::from([(name, "now".to_owned())]);
            staging.add_to_state(&built, &marks).await
        }
    });
    for done in futures_util::future::join_all(runs).await {
        done.expect("written");
    }
    let state = staging.state().await.expect("read").expect("a state");
    let mut records = state.records();
    let shared = records.remove("shared").expect("there");
    assert_eq!(shared.key, Digest::of(b"own-5"), "the latest run's");
    assert_eq!((records.len(), state.refreshed.len()), (6, 6));
    assert_eq!(state.sizes()[&Digest::of(b"image")], 7);
    let before = fake.state().log.len();
    let (built, marks) = (BTreeMap::new(), BTreeMap::new());
    let nothing = staging.add_to_state(&built, &marks).await;
    nothing.expect("nothing new");
    assert_eq!(fake.state().log.len() - before, 1, "read, and not written");
}

#[tokio::test]
async fn a_change_that_others_keep_overwriting_is_an_error() {
    let fake = Fake::start().await;
    let registry = Registry::new(Options {
        settling: Duration::ZERO,
        ..options()
    });
    let registry = registry.expect("a client");
    let staging = Staging::new(&registry, &repository(&fake, "ns/staging"));
    let (none, mark) = (BTreeMap::new(), |text: &str| {
        BTreeMap::from([(text.to_owned(), "now".to_owned())])
    });
    let written = staging.add_to_state(&none, &mark("theirs")).await;
    written.expect("written");
    let theirs = Effect::OtherWriter {
        repository: "ns/staging",
        tag: "state",
        digest: fake.tag("ns/staging", "state").expect("a state"),
    };
    fake.fault(usize::MAX, "PUT", "manifests/state", theirs);
    let lost = staging.add_to_state(&none, &mark("ours")).await;
    let lost = lost.expect_err("lost").to_string();
    assert!(
        lost.starts_with("gave up after 8 attempts to change"),
        "{lost}"
    );
}

#[tokio::test]
async fn what_fails_at_one_moment_is_added_up() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let (key, digest) = (Digest::of(b"key"), Digest::of(b"image"));
    let news = |number: usize| {
        let mut news = Evidence::new("image", key.clone(), digest.clone());
        let verdict = verdict(number, false);
        // The same test, edited by each commit, and one that only this commit has.
        news.suites.insert("common".to_owned(), verdict.clone());
        news.suites.insert(format!("own-{number}"), verdict);
        news
    };
    let all: Vec<Evidence> = (0..6).map(news).collect();
    let runs = all.iter().map(|news| staging.add_evidence(news));
    for done in futures_util::future::join_all(runs).await {
        done.expect("written");
    }
    let known = staging.evidence([&key]).await.expect("read");
    let known = &known[&key];
    for news in &all {
        for (name, verdict) in &news.suites {
            assert_eq!(known.verdict(name, &verdict.key), Some(verdict), "{name}");
        }
    }
    // Other bytes of the same key are another story.
    let mut other = Evidence::new("image", key.clone(), Digest::of(b"other"));
    other
        .suites
        .insert("common".to_owned(), all[0].suites["common"].clone());
    let whole = staging.add_evidence(&other).await.expect("written");
    assert_eq!(whole.suites.len(), 1);
}

/// The verdict of a suite of a number.
fn verdict(number: usize, passed: bool) -> Verdict {
    Verdict {
        key: Digest::of(format!("suite {number}").as_bytes()),
        from: None,
        passed,
        reason: None,
        tests: 1,
        failed: u32::from(!passed),
        skipped: 0,
        seconds: 0.1,
        time: format!("2026-11-24T12:00:0{number}Z")
            .parse()
            .expect("a time"),
        cases: Vec::new(),
        log: String::new(),
    }
}

#[tokio::test]
async fn what_a_later_run_finds_again_is_not_waited_for() {
    let fake = Fake::start().await;
    // Whoever waits for others does not end.
    let registry = Registry::new(Options {
        contest: Duration::from_secs(3600),
        ..options()
    });
    let registry = registry.expect("a client");
    let staging = Staging::new(&registry, &repository(&fake, "ns/staging"));
    let mut news = Evidence::new("image", Digest::of(b"key"), Digest::of(b"image"));
    news.suites.insert("own".to_owned(), verdict(0, true));
    let whole = staging.add_evidence(&news).await.expect("written");
    assert_eq!(whole, news);
    let built = BTreeMap::from([("a".to_owned(), built("a", 0))]);
    let done = staging.add_to_state(&built, &BTreeMap::new()).await;
    done.expect("written");
    let state = staging.state().await.expect("read").expect("a state");
    assert_eq!(state.records().len(), 1);
    // What others wrote meanwhile is found, and merged.
    let theirs = Effect::OtherWriter {
        repository: "ns/staging",
        tag: "state",
        digest: fake.tag("ns/staging", "state").expect("a state"),
    };
    fake.fault(1, "PUT", "manifests/state", theirs);
    let built = BTreeMap::from([("b".to_owned(), self::built("b", 1))]);
    let done = staging.add_to_state(&built, &BTreeMap::new()).await;
    done.expect("written");
    let state = staging.state().await.expect("read").expect("a state");
    assert_eq!(state.records().len(), 2);
}

/// The last build of an image, in a second.
fn built(key: &str, second: usize) -> Built {
    let time = format!("2026-11-24T12:00:0{second}Z");
    Built {
        key: Digest::of(key.as_bytes()),
        digest: Digest::of(b"image"),
        generation: 1,
        time: Some(time.parse().expect("a time")),
        size: 7,
        components: Vec::new(),
    }
}
