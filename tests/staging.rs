//! Documents in staging that several runs change at one moment.

use std::collections::BTreeMap;

use crate::support::channel::{options, repository};
use crate::support::fake::Fake;
use laminate::evidence::{Evidence, Verdict};
use laminate::name::Digest;
use laminate::registry::Registry;
use laminate::staging::{Built, Staging};

fn staging(fake: &Fake) -> Staging {
    let registry = Registry::new(options()).expect("a client");
    Staging::new(&registry, &repository(fake, "ns/staging"))
}

#[tokio::test]
async fn what_runs_remember_at_one_moment_is_added_up() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let runs = (0..6).map(|number| {
        let staging = &staging;
        async move {
            let name = format!("own-{number}");
            let time = format!("2026-11-24T12:00:0{number}Z");
            let one = Built {
                key: Digest::of(name.as_bytes()),
                digest: Digest::of(b"image"),
                time: Some(time.parse().expect("a time")),
                size: 7,
                components: Vec::new(),
            };
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
    let state = staging.state().await.expect("read");
    let mut records = state.records();
    let shared = records.remove("shared").expect("there");
    assert_eq!(shared.key, Digest::of(b"own-5"), "the latest run's");
    assert_eq!((records.len(), state.refreshed.len()), (6, 6));
    assert_eq!(state.sizes()[&Digest::of(b"image")], 7);
    let before = fake.state().log.len();
    let (built, marks) = (BTreeMap::new(), BTreeMap::new());
    let nothing = staging.add_to_state(&built, &marks).await;
    nothing.expect("nothing new");
    assert_eq!(fake.state().log.len() - before, 2, "read, and not written");
}

#[tokio::test]
async fn what_runs_prove_at_one_moment_is_added_up() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let (key, digest) = (Digest::of(b"key"), Digest::of(b"image"));
    let news = |number: usize| {
        let mut news = Evidence::new("image", key.clone(), digest.clone());
        let verdict = Verdict {
            key: Digest::of(format!("suite {number}").as_bytes()),
            from: None,
            passed: true,
            reason: None,
            tests: 1,
            failed: 0,
            skipped: 0,
            seconds: 0.1,
            time: format!("2026-11-24T12:00:0{number}Z")
                .parse()
                .expect("a time"),
            cases: Vec::new(),
            log: String::new(),
        };
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
