//! Who pushes the manifests of a run: laminate when staging has their blobs, else the engine.

use super::*;

/// Builds and publishes the pair.
async fn published(world: &World, pushes_manifests: bool) -> Built {
    let engine = Pushing {
        pushes_manifests,
        ..Pushing::new(&world.fake)
    };
    let built = world.build(&engine).await.expect("a build");
    assert_eq!(
        (built.ending, built.published),
        (Ending::Complete, true),
        "{:?}",
        built.fault
    );
    let digests = ["base", "child"].map(|name| Some(built.digests[name].to_string()));
    assert_eq!(world.tags(), digests);
    assert!(world.tag("demo", &format!("run-{}", built.run)).is_some());
    built
}

async fn pair() -> World {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world
}

/// The tag of an image's key in staging.
fn key_tag(world: &World, name: &str) -> String {
    format!("key-{}", &world.key(name).hex()[..40])
}

/// The warnings that were sent.
fn warnings(world: &World) -> Vec<String> {
    let texts = world.received.try_iter().filter_map(|event| match event {
        Event::Warning { text } => Some(text),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn laminate_pushes_manifests_once_and_reads_none() {
    let world = pair().await;
    let built = published(&world, false).await;
    for name in ["base", "child"] {
        let tag = key_tag(&world, name);
        let digest = built.digests[name].as_str();
        assert_eq!(world.tag("demo", &tag).as_deref(), Some(digest));
        assert_eq!(world.fake.count("PUT", &tag), 1);
        let read = format!("ns/demo/manifests/{digest}");
        assert_eq!(world.fake.count("GET", &read), 0);
    }
}

#[tokio::test]
async fn manifests_that_the_engine_pushed_are_read() {
    let world = pair().await;
    let built = published(&world, true).await;
    for name in ["base", "child"] {
        let digest = built.digests[name].as_str();
        assert_eq!(
            world.tag("demo", &key_tag(&world, name)).as_deref(),
            Some(digest)
        );
        let read = format!("ns/demo/manifests/{digest}");
        assert_eq!(world.fake.count("GET", &read), 1);
    }
}

#[tokio::test]
async fn the_engine_pushes_what_the_registry_refuses_from_laminate() {
    let world = pair().await;
    let body = r#"{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}"#;
    world
        .fake
        .answer(1, "PUT", &key_tag(&world, "child"), 400, body);
    let built = published(&world, false).await;
    let digest = built.digests["child"].as_str();
    assert_eq!(
        world.tag("demo", &key_tag(&world, "child")).as_deref(),
        Some(digest)
    );
    assert_eq!(warnings(&world), Vec::<String>::new());
}

#[tokio::test]
async fn an_image_on_another_build_of_its_base_is_not_published() {
    for (layer, is_other) in [(LAYER, false), ("9876543210", true)] {
        let mut world = pair().await;
        // The base is built again with the same key, and the child is reused.
        world.store("child");
        let engine = Pushing {
            layer,
            ..Pushing::new(&world.fake)
        };
        let built = world.build(&engine).await.expect("a build");
        let found = matches!(&built.fault, Some(Error::OtherBase { images })
            if *images == [("child".to_owned(), "base".to_owned())]);
        assert_eq!(
            (found, built.published),
            (is_other, !is_other),
            "{:?}",
            built.fault
        );
        assert_eq!(world.tags() == [None, None], is_other);
    }
}

#[tokio::test]
async fn a_key_that_cannot_move_is_a_warning() {
    let world = pair().await;
    let body = r#"{"errors": [{"code": "TAG_IMMUTABLE", "message": "tag is immutable"}]}"#;
    world
        .fake
        .answer(9, "PUT", &key_tag(&world, "base"), 409, body);
    published(&world, false).await;
    let warnings = warnings(&world);
    assert!(
        warnings.len() == 1
            && warnings[0].ends_with("later builds reuse the image that was built before"),
        "{warnings:?}"
    );
}
