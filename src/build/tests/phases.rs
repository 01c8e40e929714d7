//! From the engine to the tags.

use super::*;

#[tokio::test]
async fn with_nothing_to_build_or_prove_no_engine_is_needed() {
    let mut world = World::start(&PAIR.replace("    tests: {", "    vars: {}\n    #")).await;
    let digest = world.store("base");
    world.store("child");
    let engine = Pushing::new(&world.fake);
    let built = world.build(&engine).await.expect("a build");
    assert_eq!((engine.calls.get(), built.solves), (0, 0));
    assert_eq!(built.ending, Ending::Complete);
    assert_eq!(built.digests["base"], digest);
    assert_eq!(world.fake.count("PUT", ""), 0);
}

#[tokio::test]
async fn without_push_images_are_staged_and_not_tagged() {
    let world = World::start(PAIR).await;
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Complete, false));
    assert_eq!(world.tags(), [None, None]);
    let key = format!("key-{}", &world.key("base").hex()[..40]);
    assert_eq!(
        world.tag("demo", &key).as_deref(),
        Some(built.digests["base"].as_str())
    );
    assert!(world.tag("demo", &format!("run-{}", built.run)).is_some());
}

#[tokio::test]
async fn a_build_that_passed_is_tagged_and_recorded() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Complete, true));
    let digests = ["base", "child"].map(|name| Some(built.digests[name].to_string()));
    assert_eq!(world.tags(), digests);
    assert!(world.tag("demo", "release-0123456").is_some());
}

#[tokio::test]
async fn a_first_build_sends_few_requests_one_after_the_other() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    let engine = Pushing::new(&world.fake);
    let (rounds, built) = world.fake.in_rounds(world.build(&engine)).await;
    assert_eq!(built.expect("a build").ending, Ending::Complete);
    let shown = rounds.shown();
    assert!(rounds.chain() <= 15, "{}:\n{shown}", rounds.chain());
    assert!(
        rounds.requests.len() <= 55,
        "{}:\n{shown}",
        rounds.requests.len()
    );
}

#[tokio::test]
async fn the_id_of_a_run_is_its_time_and_commit() {
    let world = World::start(PAIR).await;
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    let run = built.run.as_str();
    assert!(run.starts_with("20261126T120000-0123456-"), "{run}");
    assert_eq!(run.len(), "20261126T120000-0123456-".len() + 6);
}

#[tokio::test]
async fn a_failed_suite_blocks_all_tags_and_is_kept() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    let engine = Pushing {
        failing_suites: vec!["common"],
        ..Pushing::new(&world.fake)
    };
    let built = world.build(&engine).await.expect("a build");
    assert_eq!(
        (built.ending, built.published),
        (Ending::ProofFailed, false)
    );
    assert_eq!(world.tags(), [None, None]);
    assert_eq!(world.tag("demo", "release-0123456"), None);
    let evidence = format!("evidence-{}", &world.key("child").hex()[..40]);
    assert!(world.tag("demo", &evidence).is_some());
}

#[tokio::test]
async fn a_suite_that_was_not_run_has_not_passed() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    let engine = Pushing {
        skips_proofs: true,
        ..Pushing::new(&world.fake)
    };
    let built = world.build(&engine).await.expect("a build");
    assert_eq!(
        (built.ending, built.published),
        (Ending::ProofFailed, false)
    );
}

#[tokio::test]
async fn one_failed_image_blocks_all_tags_and_the_others_are_kept() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    let engine = Pushing {
        failing_images: vec!["child"],
        ..Pushing::new(&world.fake)
    };
    let built = world.build(&engine).await.expect("a build");
    assert_eq!(
        (built.ending, built.published),
        (Ending::BuildFailed, false)
    );
    assert_eq!(built.digests.keys().collect::<Vec<_>>(), ["base"]);
    assert_eq!(world.tags(), [None, None]);
    let key = format!("key-{}", &world.key("base").hex()[..40]);
    assert!(world.tag("demo", &key).is_some());
}

#[tokio::test]
async fn a_tag_that_was_taken_meanwhile_stops_the_release() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    let other = world.fake.add_manifest("ns/child", "r-0123456", b"{}");
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Faulty, false));
    let taken = matches!(
        built.fault,
        Some(Error::Publish(crate::publish::Error::Taken { .. }))
    );
    assert!(taken, "{:?}", built.fault);
    assert_eq!(world.tags(), [None, Some(other)]);
}

#[tokio::test]
async fn what_got_no_tag_gets_it_from_the_next_run() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world
        .fake
        .answer(1, "PUT", "ns/child/manifests/r-0123456", 403, "denied");
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Faulty, false));
    assert_eq!(world.tags().map(|tag| tag.is_some()), [true, false]);
    world.store("base");
    world.store("child");
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Complete, true));
    assert_eq!(world.tags().map(|tag| tag.is_some()), [true, true]);
}

#[tokio::test]
async fn a_release_that_cannot_be_written_is_a_fault_of_a_published_build() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world
        .fake
        .answer(9, "PUT", "manifests/release-0123456$", 403, "denied");
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Faulty, true));
    assert!(
        matches!(built.fault, Some(Error::Unrecorded(_))),
        "{:?}",
        built.fault
    );
}

#[tokio::test]
async fn evidence_that_cannot_be_stored_blocks_all_tags() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world
        .fake
        .answer(9, "PUT", "manifests/evidence-", 403, "denied");
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Faulty, false));
    assert_eq!(world.tags(), [None, None]);
}

#[tokio::test]
async fn images_that_cannot_be_tagged_in_staging_block_all_tags() {
    for tag in ["key-", "run-"] {
        let mut world = World::start(PAIR).await;
        world.options.push = true;
        let part = format!("manifests/{tag}");
        world.fake.answer(9, "PUT", &part, 403, "denied");
        let built = world.build(&Pushing::new(&world.fake)).await;
        let built = built.expect("a build");
        assert_eq!((built.ending, built.published), (Ending::Faulty, false));
        assert!(matches!(built.fault, Some(Error::Publish(_))), "{built:?}");
        assert_eq!(world.tags(), [None, None]);
    }
}

#[tokio::test]
async fn images_that_staging_does_not_show_end_the_build() {
    let world = World::start(PAIR).await;
    let images = "ns/demo/manifests/sha256:";
    world.fake.answer(usize::MAX, "GET", images, 404, "");
    let engine = Pushing {
        pushes_manifests: true,
        ..Pushing::new(&world.fake)
    };
    let error = world.build(&engine).await;
    assert!(matches!(error, Err(Error::Publish(_))), "{error:?}");
}

#[tokio::test]
async fn a_report_that_cannot_be_written_blocks_all_tags() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world.options.junit = Some("/nonexistent/junit.xml".into());
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Faulty, false));
    assert!(
        matches!(built.fault, Some(Error::Junit { .. })),
        "{:?}",
        built.fault
    );
}

#[tokio::test]
async fn the_report_has_every_verdict_also_known_ones() {
    let mut world = World::start(PAIR).await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("junit.xml");
    world.options.junit = camino::Utf8PathBuf::from_path_buf(path.clone()).ok();
    world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    let xml = std::fs::read_to_string(path).expect("written");
    assert!(xml.contains("child common"), "{xml}");
}

#[tokio::test]
async fn variants_of_one_key_are_built_once_and_all_staged() {
    let variants = "variants: { one: { series: \"1\" }, two: { series: \"2\" } }\nimages:\n";
    let yaml = PAIR
        .replace("images:\n", variants)
        .replace("r-${commit7}", "r-${series}-${commit7}");
    let mut world = World::start(&yaml).await;
    world.options.push = true;
    let built = world.build(&Pushing::new(&world.fake)).await;
    let digests = built.expect("a build").digests;
    assert_eq!(digests["one/base"], digests["two/base"]);
    for tag in ["r-1-0123456", "r-2-0123456"] {
        let found = world.tag("base", tag);
        assert_eq!(found.as_deref(), Some(digests["one/base"].as_str()));
    }
    assert_eq!(
        world.fake.count("PUT", "manifests/key-"),
        2,
        "base and child"
    );
}

#[tokio::test]
async fn allowances_no_image_needs_are_reported_once_all_were_checked() {
    let policy = "policy: { root: locked, allow: { /nothing: unused } }\n";
    let world = World::start(&format!("{PAIR}{policy}")).await;
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!(built.unused, 1);
    let engine = Pushing {
        failing_images: vec!["child"],
        ..Pushing::new(&world.fake)
    };
    let built = world.build(&engine).await.expect("a build");
    assert_eq!(built.unused, 0);
}

#[tokio::test]
async fn progress_reports_what_is_built_and_what_is_reused() {
    let mut world = World::start(PAIR).await;
    world.store("base");
    world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    let planned = world.received.try_iter().find_map(|event| match event {
        Event::Planned { build, reuse } => Some((build, reuse)),
        _ => None,
    });
    let expected = (vec!["child".to_owned()], vec!["base".to_owned()]);
    assert_eq!(planned, Some(expected));
}
