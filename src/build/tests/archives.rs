//! Which images an archive has, and under which names.

use super::*;
use crate::build::export::names as names_of;
use crate::checkout::{Change, ChangeKind};

fn names(world: &World) -> Vec<Vec<String>> {
    let (gathered, plan) = world.gathered();
    let is_uncommitted = world.job(&gathered, &plan).is_uncommitted();
    let planned = plan.images.iter();
    planned
        .map(|planned| names_of(&world.stack, planned, is_uncommitted))
        .map(|names| {
            names
                .iter()
                .map(|n| n.replace(&world.fake.host, "HOST"))
                .collect()
        })
        .collect()
}

#[tokio::test]
async fn names_are_the_immutable_tags() {
    let world = World::start(PAIR).await;
    let expected = [["HOST/ns/base:r-0123456"], ["HOST/ns/child:r-0123456"]];
    assert_eq!(names(&world), expected);
}

#[tokio::test]
async fn without_a_commit_names_have_the_series_or_latest() {
    let mut world = World::start(PAIR).await;
    world.facts.checkout = None;
    assert_eq!(names(&world)[0], ["HOST/ns/base:latest"]);
    let yaml = PAIR.replace("stack: demo", "stack: demo\nseries: \"2021.2\"");
    let mut world = World::start(&yaml).await;
    world.facts.checkout = None;
    assert_eq!(names(&world)[0], ["HOST/ns/base:2021.2"]);
}

#[tokio::test]
async fn tags_of_a_commit_do_not_name_uncommitted_changes() {
    let long = "r".repeat(120);
    let yaml = PAIR.replace(
        "r-${commit7}",
        &format!("r-${{commit7}}\", \"{long}-${{commit7}}"),
    );
    let mut world = World::start(&yaml).await;
    let commit = world.facts.checkout.as_mut().expect("a commit");
    commit.changes = vec![Change {
        path: "specs.yml".to_owned(),
        kind: ChangeKind::Modified,
    }];
    let shortened = format!("HOST/ns/base:{long}-0-dirty");
    assert_eq!(
        names(&world)[0],
        ["HOST/ns/base:r-0123456-dirty", &*shortened]
    );
    world.options.allow_dirty = true;
    assert_eq!(names(&world)[0][0], "HOST/ns/base:r-0123456");
}

#[tokio::test]
async fn tags_of_a_channel_do_not_name_images_without_a_commit() {
    let channels = "stack: demo\nchannels: { stable: { tag: latest } }";
    let mut world = World::start(&PAIR.replace("stack: demo", channels)).await;
    world.facts.checkout = None;
    assert_eq!(names(&world)[0], ["HOST/ns/base:latest-dirty"]);
}

#[tokio::test]
async fn without_a_registry_names_begin_with_the_stack() {
    let mut world = World::start(&PAIR.replace("registry: HOST/ns\n", "")).await;
    world.facts.checkout = None;
    assert_eq!(names(&world)[0], ["demo/base:latest"]);
}

#[tokio::test]
async fn reused_images_come_from_staging() {
    let mut world = World::start(&PAIR.replace("    tests: {", "    vars: {}\n    #")).await;
    world.store("base");
    world.store("child");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.tar");
    world.options.archive = Some(path.clone());
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Complete, false));
    let named = [("base", "r-0123456"), ("child", "r-0123456")];
    let named = named.map(|(name, tag)| format!("{}/ns/{name}:{tag}", world.fake.host));
    assert_eq!(built.exported, named);
    let file = std::fs::File::open(&path).expect("an archive");
    let mut archive = tar::Archive::new(file);
    let entries = archive.entries().expect("entries");
    let paths: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .path()
                .expect("a path")
                .display()
                .to_string()
        })
        .collect();
    assert!(paths.contains(&"index.json".to_owned()), "{paths:?}");
    let manifest = format!("blobs/sha256/{}", built.digests["child"].hex());
    assert!(paths.contains(&manifest), "{paths:?}");
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 1, "the engine's archive is removed");
}

#[tokio::test]
async fn after_a_failure_no_archive_is_written() {
    let mut world = World::start(PAIR).await;
    let folder = tempfile::tempdir().expect("a folder");
    world.options.archive = Some(folder.path().join("out.tar"));
    world.options.push = true;
    let engine = Pushing {
        failing_suites: vec!["common"],
        ..Pushing::new(&world.fake)
    };
    let built = world.build(&engine).await.expect("a build");
    assert_eq!(built.ending, Ending::ProofFailed);
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        0
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_reported_before_the_engine_runs() {
    let mut world = World::start(PAIR).await;
    world.options.archive = Some("/nonexistent/out.tar".into());
    let engine = Pushing::new(&world.fake);
    let error = world.build(&engine).await;
    assert!(matches!(error, Err(Error::Folder { .. })), "{error:?}");
    assert_eq!(engine.calls.get(), 0);
}
