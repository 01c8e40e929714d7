//! Checks before a build begins.

use super::*;
use crate::checkout::{Change, ChangeKind};

#[tokio::test]
async fn a_push_requires_a_registry_and_a_build_one_or_an_archive() {
    let yaml = PAIR.replace("registry: HOST/ns\n", "");
    let mut world = World::start(&yaml).await;
    let check = |world: &World| world.options.check(&world.stack);
    assert!(matches!(check(&world), Err(Error::NoRegistry)));
    world.options.archive = Some("out.tar".into());
    assert!(check(&world).is_ok());
    world.options.push = true;
    assert!(matches!(check(&world), Err(Error::PushWithoutRegistry)));
}

#[tokio::test]
async fn offline_a_build_requires_an_archive() {
    let mut world = World::start(PAIR).await;
    world.options.offline = true;
    assert!(matches!(
        world.options.check(&world.stack),
        Err(Error::NoRegistry)
    ));
}

#[tokio::test]
async fn an_image_whose_base_has_no_digest_cannot_be_built() {
    let world = World::start(&PAIR.replace("BASE", "example.org/debian:13")).await;
    let error = world.refusal().to_string();
    let expected =
        "image `base` cannot be built offline: no digest known for example.org/debian:13";
    assert_eq!(error, expected);
}

#[tokio::test]
async fn only_images_asked_for_need_a_base() {
    let two = format!("{PAIR}  other: {{ base: \"example.org/debian:13\" }}\n");
    let mut world = World::start(&two).await;
    world.options.request.selected = Some(BTreeSet::from([world.id("base")]));
    let (gathered, plan) = world.gathered();
    assert!(Prepared::new(world.job(&gathered, &plan)).is_ok());
}

#[tokio::test]
async fn without_a_commit_nothing_is_published() {
    let mut world = World::start(PAIR).await;
    world.facts.checkout = None;
    world.options.push = true;
    assert!(matches!(world.refusal(), Error::NoCommit));
    world.facts.git_missing = true;
    assert!(matches!(world.refusal(), Error::NoGit));
}

#[tokio::test]
async fn a_dirty_tree_is_published_only_if_that_is_allowed() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    let commit = world.facts.checkout.as_mut().expect("a commit");
    commit.changes = vec![Change {
        path: "images/a/x".to_owned(),
        kind: ChangeKind::Untracked,
    }];
    assert!(matches!(world.refusal(), Error::Dirty { .. }));
    world.options.allow_dirty = true;
    let (gathered, plan) = world.gathered();
    assert!(Prepared::new(world.job(&gathered, &plan)).is_ok());
}

#[tokio::test]
async fn a_ref_that_may_not_publish_can_still_try_it_dry() {
    let yaml = format!("{PAIR}policy: {{ refs: {{ publish: [main] }} }}\n");
    let mut world = World::start(&yaml).await;
    world.options.push = true;
    world.environment.caller.git_ref = Some("refs/heads/feature".to_owned());
    let denied = world.refusal();
    assert!(
        matches!(denied, Error::Denied(Denied::Ref { .. })),
        "{denied}"
    );
    world.options.dry_run = true;
    let (gathered, plan) = world.gathered();
    assert!(Prepared::new(world.job(&gathered, &plan)).is_ok());
}

#[tokio::test]
async fn a_pull_request_never_publishes() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world.environment.caller.is_request = true;
    assert!(matches!(world.refusal(), Error::Denied(Denied::Request(_))));
    world.options.push = false;
    let (gathered, plan) = world.gathered();
    assert!(Prepared::new(world.job(&gathered, &plan)).is_ok());
}

#[tokio::test]
async fn only_refs_that_may_publish_share_caches() {
    let yaml = format!("{PAIR}policy: {{ refs: {{ publish: [main] }} }}\n");
    let mut world = World::start(&yaml).await;
    let (gathered, plan) = world.gathered();
    let mut scopes = Vec::new();
    for (git_ref, is_request) in [
        ("refs/heads/main", false),
        ("refs/heads/main", true),
        ("refs/pull/1/merge", true),
        ("refs/heads/feature", false),
    ] {
        world.environment.caller = Caller {
            is_request,
            git_ref: Some(git_ref.to_owned()),
        };
        let prepared = Prepared::new(world.job(&gathered, &plan)).expect("valid");
        let options = prepared.run_options(None).expect("valid");
        scopes.push(options.environment.cache_scope);
    }
    assert_eq!(scopes[0], "demo");
    let different: BTreeSet<&String> = scopes.iter().collect();
    assert_eq!(different.len(), 4, "{scopes:?}");
}

#[tokio::test]
async fn images_to_test_must_be_built() {
    let mut world = World::start(PAIR).await;
    world.options.goal = Goal::Test;
    world.options.request.prove_selected = true;
    world.store("base");
    assert_eq!(world.refusal().to_string(), "images not built yet: child");
    world.options.request.selected = Some(BTreeSet::from([world.id("base")]));
    let (gathered, plan) = world.gathered();
    assert!(Prepared::new(world.job(&gathered, &plan)).is_ok());
}

#[tokio::test]
async fn secrets_of_what_runs_need_values() {
    let yaml = PAIR
        .replace("[{ run: make }]", "[{ run: make, secrets: [b, a] }]")
        .replace("run: \"true\"", "run: \"true\", secrets: [c]");
    let mut world = World::start(&yaml).await;
    let secret = ("a".to_owned(), b"value".to_vec());
    world.options.secrets = BTreeMap::from([secret]);
    let engine = Pushing::new(&world.fake);
    let error = world.build(&engine).await.expect_err("missing");
    assert_eq!(error.to_string(), "missing values for secrets: b, c");
    assert_eq!(engine.calls.get(), 0);
    // A step that does not run needs none.
    world.store("base");
    let error = world.build(&Pushing::new(&world.fake)).await;
    let error = error.expect_err("missing").to_string();
    assert_eq!(error, "missing values for secrets: c");
}

#[tokio::test]
async fn an_agent_that_a_dockerfile_needs_must_be_forwarded() {
    let text = format!("FROM {BASE}\nRUN --mount=type=ssh,required=true x\n");
    let mut world = World::start("stack: demo\nimages: { base: { base: debian:12 } }\n").await;
    let yaml = format!(
        "stack: demo\nregistry: {}/ns\nimages: {{ base: {{ dockerfile: Dockerfile }} }}\n",
        world.fake.host
    );
    world.stack = crate::testing::stack_with(&yaml, &[("images/base/Dockerfile", &text)]);
    let error = world.build(&Pushing::new(&world.fake)).await;
    let error = error.expect_err("refused").to_string();
    assert_eq!(error, "missing SSH agents: default");
    world
        .options
        .agents
        .insert("default".to_owned(), "/agent".into());
    let built = world.build(&Pushing::new(&world.fake)).await;
    built.expect("built");
}

#[tokio::test]
async fn the_epoch_is_the_variable_or_the_time_of_the_commit() {
    let mut world = World::start(PAIR).await;
    let epoch = |world: &World| {
        let (gathered, plan) = world.gathered();
        let prepared = Prepared::new(world.job(&gathered, &plan)).expect("allowed");
        prepared.epoch().map_err(|error| error.to_string())
    };
    assert_eq!(epoch(&world), Ok(Some(1_700_000_000)));
    world.environment.source_date_epoch = Some("7".to_owned());
    assert_eq!(epoch(&world), Ok(Some(7)));
    world.environment.source_date_epoch = Some("noon".to_owned());
    let invalid = "invalid SOURCE_DATE_EPOCH `noon`: expected seconds since 1970";
    assert_eq!(epoch(&world), Err(invalid.to_owned()));
}

#[tokio::test]
async fn an_archive_alone_is_not_pushed() {
    let mut world = World::start(PAIR).await;
    let staging = |world: &World| {
        let (gathered, plan) = world.gathered();
        let prepared = Prepared::new(world.job(&gathered, &plan)).expect("allowed");
        prepared.staging
    };
    assert_eq!(staging(&world), world.stack.staging().cloned());
    world.options.archive = Some("out.tar".into());
    assert_eq!(staging(&world), None);
    world.options.push = true;
    assert_eq!(staging(&world), world.stack.staging().cloned());
}
