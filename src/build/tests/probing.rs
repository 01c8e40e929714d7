//! What is found out about registries before the engine runs, and beside it.

use super::*;
use crate::staging::Staging;
use crate::testing::fake::Mounts;

/// Builds with `--push`, and returns the error; the engine must not have been called.
async fn refused_before_the_build(world: &World) -> Error {
    let engine = Pushing::new(&world.fake);
    let error = world.build(&engine).await.expect_err("refused");
    assert_eq!(engine.calls.get(), 0, "it was built: {error}");
    error
}

/// An engine whose solve ends when it is cancelled.
#[derive(Default)]
struct Endless {
    calls: Cell<usize>,
}

impl Engine for Endless {
    async fn run(
        &self,
        _stack: &Stack,
        _plan: &Plan,
        _options: &run::Options,
        cancel: &CancellationToken,
    ) -> Result<Report, Error> {
        self.calls.set(self.calls.get() + 1);
        cancel.cancelled().await;
        Err(Error::Cancelled)
    }
}

/// Builds with `--push`, and returns the error, which must end an engine that runs. Nothing is tagged then.
async fn refused_beside_the_build(world: &World) -> Error {
    let engine = Endless::default();
    let building = tokio::time::timeout(Duration::from_secs(20), world.build(&engine));
    let error = building.await.expect("it ends").expect_err("refused");
    assert_eq!(engine.calls.get(), 1, "{error}");
    assert_eq!(world.fake.count("PUT", "manifests/r-"), 0);
    error
}

async fn pair() -> World {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world
}

#[tokio::test]
async fn a_repository_that_cannot_be_pushed_to_is_reported_before_the_build() {
    for (status, body) in [
        (404, r#"{"errors": [{"code": "NAME_UNKNOWN"}]}"#),
        (403, r#"{"errors": [{"code": "DENIED"}]}"#),
        (401, ""),
        (405, "read only"),
        (400, "<html>project not found</html>"),
    ] {
        let world = pair().await;
        let (child, base) = ("ns/child/blobs/uploads", "ns/base/blobs/uploads");
        world.fake.answer(usize::MAX, "POST", child, status, body);
        world.fake.answer(usize::MAX, "POST", base, status, body);
        let error = refused_before_the_build(&world).await;
        let Error::CannotPush { refused } = &error else {
            panic!("{status}: {error}");
        };
        assert_eq!(refused.len(), 2, "all of them are reported: {error}");
        assert!(error.to_string().contains("ns/child`"), "{error}");
        assert_eq!(world.fake.count("PUT", "manifests"), 0);
    }
}

#[tokio::test]
async fn staging_is_asked_also_without_push_and_nothing_else_is() {
    let mut world = pair().await;
    world.options.push = false;
    world.fake.answer(usize::MAX, "POST", "ns/child/", 403, "");
    let built = world.build(&Pushing::new(&world.fake)).await;
    assert_eq!(built.expect("built").ending, Ending::Complete);
    world.fake.answer(usize::MAX, "POST", "ns/demo/", 403, "");
    let error = refused_before_the_build(&world).await;
    assert!(matches!(error, Error::CannotPush { .. }), "{error}");
}

#[tokio::test]
async fn no_upload_is_left_open_and_each_repository_is_asked_once() {
    for mounts in [Mounts::Work, Mounts::Never] {
        let world = pair().await;
        world.fake.state().mounts = mounts;
        let built = world.build(&Pushing::new(&world.fake)).await;
        assert!(built.expect("built").published);
        assert_eq!(world.fake.state().open_uploads, Vec::<String>::new());
        let log = world.fake.state().log.clone();
        let engine = log
            .iter()
            .position(|line| line.contains("key-"))
            .expect("staged");
        let is_probe = |line: &&String| line.starts_with("POST") && line.ends_with("uploads/");
        let asked = log[..engine].iter().filter(is_probe);
        let repositories = asked.filter(|line| !line.contains("ns/demo"));
        assert_eq!(repositories.count(), 2, "{log:#?}");
    }
}

#[tokio::test]
async fn a_repository_of_the_last_release_is_asked_with_one_request() {
    for (mounts, opened) in [
        (Mounts::Work, 1),
        (Mounts::Never, 3),
        (Mounts::Status(405), 3),
    ] {
        let mut world = pair().await;
        world
            .build(&Pushing::new(&world.fake))
            .await
            .expect("built");
        let commit = Commit::parse(COMMIT).expect("a hash");
        let staging = Staging::new(&world.registry, world.stack.staging().expect("a registry"));
        world.near = staging.near_release(&[commit]).await;
        let next = Commit::parse(&"a".repeat(40)).expect("a hash");
        world.facts.checkout.as_mut().expect("a commit").commit = next;
        world.fake.state().mounts = mounts;
        let before = world.fake.state().log.len();
        let engine = Pushing {
            bytes: " of a new root",
            ..Pushing::new(&world.fake)
        };
        let built = world.build(&engine).await.expect("built");
        assert!(built.published);
        assert_eq!(world.fake.state().open_uploads, Vec::<String>::new());
        let log = world.fake.state().log.split_off(before);
        let staged = log.iter().position(|line| line.contains("/run-"));
        let probes = &log[..staged.expect("staged")];
        let closed = probes.iter().filter(|line| line.starts_with("DELETE"));
        assert_eq!(closed.count(), opened, "{mounts:?}: {probes:#?}");
    }
}

#[tokio::test]
async fn with_nothing_to_push_nothing_is_asked() {
    let mut world = pair().await;
    world.options.push = false;
    world.options.offline = true;
    world.options.archive = Some("x.tar".into());
    let built = world.build(&Pushing::new(&world.fake)).await;
    drop(built);
    assert_eq!(world.fake.count("POST", ""), 0);
    let _removed = std::fs::remove_file("x.tar");
}

#[tokio::test]
async fn immutable_tags_of_a_new_staging_end_the_build() {
    for prefix in ["", "state"] {
        let world = pair().await;
        {
            let mut state = world.fake.state();
            state.immutable = Some((409, "the tag is immutable".to_owned()));
            state.immutable_prefix = prefix;
        }
        let error = refused_beside_the_build(&world).await;
        assert!(matches!(error, Error::Staged(_)), "{error}");
    }
}

#[tokio::test]
async fn all_tags_but_those_of_the_state_may_be_immutable() {
    // The image's own tags, and those that staging has for a key and for evidence.
    for prefix in ["r-", "key-", "evidence-", "run-", "release-"] {
        let world = pair().await;
        let key = format!("key-{}", &world.key("child").hex()[..40]);
        let evidence = format!("evidence-{}", &world.key("child").hex()[..40]);
        if prefix == "key-" {
            world.fake.add_manifest("ns/demo", &key, b"{}");
        }
        {
            let mut state = world.fake.state();
            state.immutable = Some((409, "the tag is immutable".to_owned()));
            state.immutable_prefix = prefix;
        }
        let built = world
            .build(&Pushing::new(&world.fake))
            .await
            .expect("built");
        assert_eq!(
            (built.ending, built.published),
            (Ending::Complete, true),
            "{prefix}"
        );
        assert!(world.tag("demo", &evidence).is_some());
        let warned = world.received.try_iter();
        let warned = warned.filter(|event| matches!(event, Event::Warning { .. }));
        assert_eq!(warned.count(), usize::from(prefix == "key-"), "{prefix}");
    }
}

#[tokio::test]
async fn a_state_that_was_written_over_before_is_not_tried() {
    let world = pair().await;
    world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("built");
    let staging = crate::staging::Staging::new(
        &world.registry,
        world.stack.staging().expect("it has a registry"),
    );
    assert!(
        staging
            .state()
            .await
            .expect("read")
            .expect("a state")
            .is_movable
    );
    let state = staging.state_to_move().await.expect("read");
    assert!(state.is_none(), "{state:?}");
}

#[tokio::test]
async fn a_registry_without_artifacts_gets_documents_as_images() {
    for refuses in [
        "application/vnd.oci.empty.v1+json",
        "application/vnd.laminate",
    ] {
        let world = pair().await;
        world.fake.state().refuses = Some(refuses);
        if refuses.contains("laminate") {
            // The annotation has the type.
            let error = refused_beside_the_build(&world).await;
            assert!(matches!(error, Error::Staged(_)), "{error}");
            continue;
        }
        let built = world
            .build(&Pushing::new(&world.fake))
            .await
            .expect("built");
        assert_eq!(built.ending, Ending::Complete);
        assert!(matches!(built.release, ReleaseState::Recorded(_)));
        let release = world.release("release-0123456");
        assert_eq!(release["images"].as_array().map(Vec::len), Some(2));
        // Two forms are tried once, then the third is known.
        let written = world.fake.count("PUT", "manifests/state");
        assert!(written <= 5, "{written}");
    }
}
