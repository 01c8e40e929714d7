//! The record of a published build.

use super::*;

#[tokio::test]
async fn it_records_what_was_published_together() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world.options.vars = BTreeMap::from([("python".to_owned(), "3.13".to_owned())]);
    world.environment.caller.git_ref = Some("refs/heads/main".to_owned());
    world.environment.now = later;
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    let mut release = world.release("release-0123456");
    assert_eq!(release["run"], built.run.as_str());
    let child = release["images"][1].take();
    assert_eq!(child["digest"], built.digests["child"].as_str());
    assert_eq!(child["size"], 15 + 10);
    assert_eq!(
        (&child["base"], &child["depth"]),
        (&json!("base"), &json!(1))
    );
    assert_eq!(child["tags"], json!(["r-0123456"]));
    assert_eq!(child["verdicts"][0]["suite"], "common");
    assert_eq!(child["verdicts"][0]["cached"], false);
    assert!(child["evidence"].is_string() && release["spec"].is_string());
    let base = release["images"][0].take();
    assert_eq!(
        base["base_digest"],
        BASE.split_once('@').expect("a digest").1
    );
    let head = ["stack", "commit", "time", "git_ref"].map(|name| release[name].take());
    let expected = ["demo", COMMIT, "2026-11-26T12:30:00Z", "refs/heads/main"];
    assert_eq!(head, expected.map(|text| json!(text)));
}

#[tokio::test]
async fn the_spec_is_stored_with_pinned_bases_and_variables() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world.options.vars = BTreeMap::from([("python".to_owned(), "3.13".to_owned())]);
    world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    let release = world.release("release-0123456");
    let digest = release["spec"].as_str().expect("a digest");
    let state = world.fake.state();
    let blob = &state.repositories["ns/demo"].blobs[digest];
    let spec: serde_json::Value = serde_json::from_slice(blob).expect("JSON");
    assert_eq!(spec["vars"], json!({ "python": "3.13" }));
    assert_eq!(spec["images"][0]["resolved"]["base"], BASE);
    assert_eq!(spec["images"][1]["resolved"]["base"], "base");
    assert!(
        spec["files"]["specs.yml"]
            .as_str()
            .expect("text")
            .contains("stack: demo")
    );
    assert!(spec["lock"].as_str().expect("text").contains("sha256:1111"));
}

#[tokio::test]
async fn a_part_of_a_stack_is_no_release() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world.options.request.selected = Some(BTreeSet::from([world.id("base")]));
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert_eq!((built.ending, built.published), (Ending::Complete, true));
    assert_eq!(world.tags().map(|tag| tag.is_some()), [true, false]);
    assert_eq!(world.tag("demo", "release-0123456"), None);
}

#[tokio::test]
async fn a_taken_tag_gives_the_whole_release_the_next_suffix() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    let other = world.fake.add_manifest("ns/base", "r-0123456", b"{}");
    let other = Digest::parse(&other).expect("a digest");
    let repository = format!("{}/ns/base", world.fake.host);
    let name = (
        Repository::parse(&repository).expect("a repository"),
        Tag::parse("r-0123456").expect("a tag"),
    );
    world.facts.tags = TagDigests::from([(name, Some(other))]);
    let built = world
        .build(&Pushing::new(&world.fake))
        .await
        .expect("a build");
    assert!(built.published);
    for image in ["base", "child"] {
        assert!(world.tag(image, "r-0123456.2").is_some(), "{image}");
    }
    assert!(world.tag("demo", "release-0123456.2").is_some());
    assert_eq!(world.tag("demo", "release-0123456"), None);
}
