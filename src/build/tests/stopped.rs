//! A run that is stopped keeps the results that it has.

use super::*;
use crate::buildkit;
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

/// An engine that ends with an error once two of the three suites of an image have ended.
struct Stopped<'a> {
    world: &'a World,
    error: fn() -> Error,
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
                proven.checks = expected.map(|checks| Checks {
                    key: checks.key.clone(),
                    passed: true,
                    time: now(),
                    findings: Vec::new(),
                    allowed: Vec::new(),
                    unused: Vec::new(),
                });
            });
        }
        self.world.interrupt.signal();
        Err((self.error)())
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

/// Stops a run, and returns the evidence that staging has then.
async fn stop(world: &World, error: fn() -> Error) -> Option<serde_json::Value> {
    let ended = world.build(&Stopped { world, error }).await;
    let ended = ended.expect_err("it was stopped");
    assert_eq!(ended.to_string(), error().to_string());
    let tag = crate::tags::evidence(&world.key("base"));
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
async fn what_failed_is_not_kept_if_the_engine_was_lost() {
    let mut world = World::start(SUITES).await;
    world.store("base");
    let evidence = stop(&world, lost).await.expect("evidence");
    assert_eq!(suites(&evidence), ["quick"]);
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
        Event::Warning { text } => text.starts_with("cannot store the results"),
        _ => false,
    });
    assert!(warned);
}
