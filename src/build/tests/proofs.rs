//! What counts as passed, and what is asked for a size.

use super::*;

#[tokio::test]
async fn known_verdicts_count_only_in_the_planned_edition() {
    let mut world = World::start(PAIR).await;
    let digest = world.store("child");
    world.store("base");
    let (_, plan) = world.gathered();
    let planned = &plan.images[world.id("child").0];
    let key = planned.proofs.suites[0].verdict.key.clone();
    let mut known = Evidence::new("child", world.key("child"), digest);
    assert!(!crate::build::proven::has_passed(planned, None));
    known
        .suites
        .insert("common".to_owned(), verdict(&key, true));
    assert!(crate::build::proven::has_passed(planned, Some(&known)));
    known
        .suites
        .insert("common".to_owned(), verdict(&Digest::of(b"old"), true));
    assert!(!crate::build::proven::has_passed(planned, Some(&known)));
}

#[tokio::test]
async fn known_verdicts_are_enough_to_publish_without_an_engine() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world.store("base");
    let digest = world.store("child");
    let (_, plan) = world.gathered();
    let key = &plan.images[world.id("child").0].proofs.suites[0]
        .verdict
        .key;
    let mut known = Evidence::new("child", world.key("child"), digest);
    known.suites.insert("common".to_owned(), verdict(key, true));
    world.facts.evidence.insert(world.key("child"), known);
    let engine = Pushing::new(&world.fake);
    let built = world.build(&engine).await.expect("a build");
    assert_eq!((engine.calls.get(), built.published), (0, true));
    let release = world.release("release-0123456");
    assert_eq!(release["images"][1]["verdicts"][0]["cached"], true);
}

#[tokio::test]
async fn an_image_over_its_limit_fails_once_its_size_is_known() {
    let policy = "policy: { layers: { size: 20 } }\n";
    let mut world = World::start(&format!("{PAIR}{policy}")).await;
    world.options.push = true;
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    // A config of 14 bytes and a layer of 10.
    assert_eq!(
        (built.ending, built.published),
        (Ending::ProofFailed, false)
    );
}

#[tokio::test]
async fn a_size_nobody_remembers_is_asked_of_the_registry() {
    let policy = "policy: { layers: { size: 20 } }\n";
    let yaml = PAIR.replace("    tests: {", "    vars: {}\n    #");
    let mut world = World::start(&format!("{yaml}{policy}")).await;
    for name in ["base", "child"] {
        let digest = world.store(name);
        let (_, plan) = world.gathered();
        let planned = &plan.images[world.id(name).0];
        let checks = planned.proofs.checks.as_ref().expect("a policy");
        let mut known = Evidence::new(name, world.key(name), digest.clone());
        known.checks = Some(checks_of(&checks.key, true));
        world.facts.evidence.insert(world.key(name), known);
        world
            .sizes
            .insert(digest, if name == "base" { 0 } else { 12 });
    }
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!(built.ending, Ending::ProofFailed);
    assert_eq!(world.fake.count("GET", "/manifests/"), 1, "only the base's");
}

#[tokio::test]
async fn a_finding_about_the_size_is_added_once() {
    let world = World::start(&format!("{PAIR}policy: {{ layers: {{ size: 20 }} }}\n")).await;
    let image = &world.stack.images()[0];
    let mut checks = checks_of(&Digest::of(b"policy"), true);
    crate::build::proven::check_size(&mut checks, image, 20);
    assert!(checks.passed && checks.findings.is_empty());
    crate::build::proven::check_size(&mut checks, image, 21);
    crate::build::proven::check_size(&mut checks, image, 21);
    assert!(!checks.passed);
    assert_eq!(checks.findings.len(), 1);
    // Whatever the finding of an earlier run reads like.
    checks.findings[0].text = "is 21 bytes".to_owned();
    crate::build::proven::check_size(&mut checks, image, 21);
    assert_eq!(checks.findings.len(), 1);
}
