//! A run that is stopped keeps the results that it has.

use super::*;
use crate::buildkit;
use crate::evidence::Info;
use crate::run::Proven;

const SUITES: &str = r#"
stack: demo
registry: HOST/ns
tags: ["r-${commit7}"]
images:
  base:
    base: BASE
    steps: [{ run: make }]
    tests: { quick: { run: "true" }, broken: { run: "false" }, slow: { run: sleep 100 } }
"#;

/// An engine that ends when two of the three suites of each image have ended: with an error, or well if there is none.
struct Stopped<'a> {
    world: &'a World,
    error: Option<fn() -> Error>,
    /// Whether checks pass.
    passes: bool,
}

impl Engine for Stopped<'_> {
    async fn run(
        &self,
        _stack: &Stack,
        plan: &Plan,
        options: &run::Options,
        _cancel: &CancellationToken,
    ) -> Result<Report, Error> {
        for planned in &plan.images {
            options.results.add(planned.id, |proven: &mut Proven| {
                for suite in &planned.proofs.suites {
                    if suite.name != "slow" {
                        let verdict = verdict(&suite.verdict.key, suite.name == "quick");
                        proven.suites.insert(suite.name.clone(), verdict);
                    }
                }
                let expected = planned.proofs.checks.as_ref();
                proven.checks = expected.map(|planned| checks_of(&planned.key, self.passes));
                proven.info = [("good", 0), ("bad", 143), ("not-run", -1)]
                    .map(|(name, exit)| (name.to_owned(), info(exit)))
                    .into();
            });
        }
        self.world.interrupt.signal();
        let report = Report {
            solves: 1,
            ..Report::default()
        };
        self.error.map_or(Ok(report), |error| Err(error()))
    }
}

fn info(exit: i32) -> Info {
    Info {
        key: Digest::of(b"info"),
        title: "Packages".to_owned(),
        time: Some(now()),
        exit,
        text: String::new(),
        error: String::new(),
        packages: None,
    }
}

fn cancelled() -> Error {
    Error::Buildkit(buildkit::Error::Cancelled)
}

fn lost() -> Error {
    Error::Buildkit(buildkit::Error::Lost {
        reason: "it was killed".to_owned(),
    })
}

/// Stops a run whose checks pass, and returns the evidence that staging has of the base then.
async fn stop(world: &World, error: fn() -> Error) -> Option<serde_json::Value> {
    let engine = Stopped {
        world,
        error: Some(error),
        passes: true,
    };
    let ended = world.build(&engine).await.expect_err("it was stopped");
    assert_eq!(ended.to_string(), error().to_string());
    evidence(world, "base")
}

/// Returns the evidence that staging has of an image.
fn evidence(world: &World, name: &str) -> Option<serde_json::Value> {
    let tag = crate::tags::evidence(&world.key(name));
    world.tag("demo", tag.as_str())?;
    Some(world.release(tag.as_str()))
}

fn suites(evidence: &serde_json::Value) -> Vec<&str> {
    let suites = evidence["suites"].as_object().expect("suites");
    suites.keys().map(String::as_str).collect()
}

#[tokio::test]
async fn an_interrupted_run_keeps_the_results_of_suites_that_have_ended() {
    let mut world = World::start(SUITES).await;
    world.store("base");
    let evidence = stop(&world, cancelled).await.expect("evidence");
    assert_eq!(suites(&evidence), ["broken", "quick"]);
    assert_eq!(evidence["suites"]["broken"]["passed"], false);
}

#[tokio::test]
async fn a_suite_that_failed_before_the_engine_was_lost_counts_until_it_runs_again() {
    let mut world = World::start(SUITES).await;
    world.store("base");
    let evidence = stop(&world, lost).await.expect("evidence");
    assert_eq!(suites(&evidence), ["broken", "quick"]);
}

#[tokio::test]
async fn results_are_kept_if_the_interruption_comes_when_all_have_ended() {
    let mut world = World::start(SUITES).await;
    world.store("base");
    let engine = Stopped {
        world: &world,
        error: None,
        passes: true,
    };
    let ended = world.build(&engine).await;
    assert!(matches!(ended, Err(Error::Cancelled)), "{ended:?}");
    let evidence = evidence(&world, "base").expect("evidence");
    assert_eq!(suites(&evidence), ["broken", "quick"]);
}

#[tokio::test]
async fn checks_and_info_that_failed_are_not_kept() {
    for (passes, kept) in [(true, true), (false, false)] {
        let policy = "policy: { layers: { count: 100 } }\n";
        let mut world = World::start(&format!("{SUITES}{policy}")).await;
        world.store("base");
        let engine = Stopped {
            world: &world,
            error: Some(cancelled),
            passes,
        };
        world.build(&engine).await.expect_err("it was stopped");
        let evidence = evidence(&world, "base").expect("evidence");
        assert_eq!(evidence.get("checks").is_some(), kept);
        let info = evidence["info"].as_object().expect("info");
        assert_eq!(info.keys().collect::<Vec<_>>(), ["good"]);
    }
}

#[tokio::test]
async fn results_of_other_images_are_kept_if_those_of_one_cannot_be() {
    let child = "  child: { base: base, steps: [{ run: make more }] }\n";
    let mut world = World::start(&format!("{SUITES}{child}")).await;
    for name in ["base", "child"] {
        world.store(name);
    }
    let tag = crate::tags::evidence(&world.key("base"));
    world
        .fake
        .answer(100, "PUT", &format!("manifests/{tag}"), 403, "no");
    assert_eq!(stop(&world, cancelled).await, None);
    let evidence = evidence(&world, "child").expect("evidence");
    assert_eq!(suites(&evidence), ["broken", "quick"]);
}

#[tokio::test]
async fn checks_are_kept_unless_the_size_is_to_be_checked_later() {
    for (limits, kept) in [("count: 100", true), ("count: 100, size: 20", false)] {
        let policy = format!("policy: {{ layers: {{ {limits} }} }}\n");
        let mut world = World::start(&format!("{SUITES}{policy}")).await;
        world.store("base");
        let evidence = stop(&world, cancelled).await.expect("evidence");
        assert_eq!(evidence.get("checks").is_some(), kept, "{limits}");
    }
}

#[tokio::test]
async fn an_image_that_is_not_in_staging_keeps_no_results() {
    let world = World::start(SUITES).await;
    assert_eq!(stop(&world, cancelled).await, None);
    let mut world = World::start(SUITES).await;
    world.store("base");
    world.options.archive = Some(std::env::temp_dir().join("never-written.tar"));
    assert_eq!(stop(&world, cancelled).await, None);
}

#[tokio::test]
async fn results_that_cannot_be_stored_are_a_warning() {
    let mut world = World::start(SUITES).await;
    world.store("base");
    world
        .fake
        .answer(100, "PUT", "manifests/evidence-", 403, "no");
    assert_eq!(stop(&world, cancelled).await, None);
    let warned = world.received.try_iter().any(|event| match event {
        Event::Warning { text } => text.starts_with("some results of suites"),
        _ => false,
    });
    assert!(warned);
}
