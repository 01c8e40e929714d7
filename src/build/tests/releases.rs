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

/// Two variants, the second without the child.
const VARIANTS: &str = r#"
stack: demo
registry: HOST/ns
tags: ["${series}-${commit7}"]
variants: { one: , two: { skip: [child] } }
images:
  base: { base: BASE, steps: [{ run: "make ${series}" }] }
  child:
    base: base
    steps: [{ run: make more }]
    tests: { common: { run: "true" } }
"#;

fn labels(release: &serde_json::Value) -> Vec<String> {
    let images = release["images"].as_array().expect("images").iter();
    let label = |image: &serde_json::Value| {
        let text = |key: &str| image[key].as_str().unwrap_or("-").to_owned();
        format!("{}/{}", text("variant"), text("image"))
    };
    images.map(label).collect()
}

async fn push(world: &World) -> Built {
    let built = world.build(&Pushing::new(&world.fake)).await;
    built.expect("a build")
}

#[tokio::test]
async fn the_last_run_of_a_matrix_records_all_variants() {
    for order in [["one", "two"], ["two", "one"]] {
        let mut world = World::start(VARIANTS).await;
        world.options.push = true;
        world.select(VARIANTS, order[0]);
        let first = push(&world).await;
        assert_eq!((first.ending, first.published), (Ending::Complete, true));
        let missing = match order[0] {
            "one" => vec!["two/base"],
            _ => vec!["one/base", "one/child"],
        };
        let missing = missing.into_iter().map(str::to_owned).collect();
        assert_eq!(first.release, ReleaseState::Incomplete { missing });
        assert_eq!(world.tag("demo", "release-0123456"), None);
        let notes: Vec<Event> = world.received.try_iter().collect();
        let is_note = |event: &Event| matches!(event, Event::Note { text } if text.starts_with("the release is not recorded"));
        assert!(notes.iter().any(is_note), "{notes:?}");

        world.select(VARIANTS, order[1]);
        let second = push(&world).await;
        assert!(
            matches!(second.release, ReleaseState::Recorded(_)),
            "{second:?}"
        );
        let release = world.release("release-0123456");
        assert_eq!(labels(&release), ["one/base", "one/child", "two/base"]);
        let child = &release["images"][1];
        assert_eq!(child["tags"], json!(["one-0123456"]));
        assert_eq!(child["depth"], 1);
        assert_eq!(child["size"], 15 + 10);
        assert_eq!(child["verdicts"][0]["passed"], true);
        assert!(child["evidence"].is_string());
        let built = [&first, &second].map(|built| built.digests.get("one/child"));
        let built = built.into_iter().flatten().next().expect("it was built");
        assert_eq!(child["digest"], built.as_str());
        let digest = BASE.split_once('@').expect("a digest").1;
        assert_eq!(release["images"][2]["base_digest"], digest);
    }
}

#[tokio::test]
async fn a_part_with_a_suffix_is_reported_and_completed_by_the_whole_stack() {
    let mut world = World::start(VARIANTS).await;
    world.options.push = true;
    let other = world.fake.add_manifest("ns/base", "one-0123456", b"{}");
    let other = Digest::parse(&other).expect("a digest");
    let repository = format!("{}/ns/base", world.fake.host);
    let name = (
        Repository::parse(&repository).expect("a repository"),
        Tag::parse("one-0123456").expect("a tag"),
    );
    world.facts.tags = TagDigests::from([(name, Some(other))]);
    let whole = world.stack.clone();
    world.select(VARIANTS, "one");
    let first = push(&world).await;
    let missing = vec!["two/base".to_owned()];
    assert_eq!(first.release, ReleaseState::Incomplete { missing });
    let warning = |event: Event| match event {
        Event::Warning { text } if text.contains("two/base without tags with the suffix `.2`") => {
            Some(text)
        }
        _ => None,
    };
    assert_eq!(world.received.try_iter().filter_map(warning).count(), 1);
    (world.stack, world.whole) = (whole, None);
    let second = push(&world).await;
    assert!(
        matches!(second.release, ReleaseState::Recorded(_)),
        "{second:?}"
    );
    let release = world.release("release-0123456.2");
    assert_eq!(labels(&release), ["one/base", "one/child", "two/base"]);
}

#[tokio::test]
async fn an_image_whose_base_others_moved_is_recorded_as_it_was_built() {
    let mut world = World::start(VARIANTS).await;
    world.options.push = true;
    world.select(VARIANTS, "one");
    let first = push(&world).await;
    // Its key is another one since, so that staging is asked for its last build.
    let key = format!("key-{}", &world.key("child").hex()[..40]);
    let removed = |world: &World| {
        let mut state = world.fake.state();
        let staging = state.repositories.get_mut("ns/demo").expect("staging");
        staging.tags.remove(&key)
    };
    removed(&world).expect("a tag");
    world.select(VARIANTS, "two");
    let second = push(&world).await;
    assert!(
        matches!(second.release, ReleaseState::Recorded(_)),
        "{second:?}"
    );
    let release = world.release("release-0123456");
    let child = first.digests["one/child"].as_str();
    assert_eq!(release["images"][1]["digest"], child);
}

#[tokio::test]
async fn a_matrix_over_images_is_recorded_by_the_last_run() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    world.options.request.selected = Some(BTreeSet::from([world.id("base")]));
    push(&world).await;
    // As if the run of the child had begun before: it knows nothing of the tags.
    world.options.request.selected = None;
    let built = push(&world).await;
    assert!(
        matches!(built.release, ReleaseState::Recorded(_)),
        "{built:?}"
    );
    // Nothing is left for a run that selects one of them, and it finds the same release.
    world.options.request.selected = Some(BTreeSet::from([world.id("base")]));
    let again = push(&world).await;
    assert_eq!(again.release, built.release);
}

#[tokio::test]
async fn a_release_with_other_images_is_never_taken_for_ours() {
    let mut world = World::start(PAIR).await;
    world.options.push = true;
    push(&world).await;
    let recorded = world.release("release-0123456");
    // Of another commit with the same seven digits, and of other bytes.
    let mut commit = recorded.clone();
    commit["commit"] = json!(format!("0123456{}", "f".repeat(33)));
    let mut bytes = recorded.clone();
    bytes["images"][0]["digest"] = json!(Digest::of(b"other"));
    let mut part = recorded;
    part["images"].as_array_mut().expect("images").pop();
    for (other, expected) in [
        (commit, "of commit 0123456fff"),
        (bytes, "base: "),
        (part, "child: missing, not "),
    ] {
        let registry = &world.registry;
        let repository = Repository::parse(&format!("{}/ns/demo", world.fake.host));
        let tag = Tag::parse("release-0123456").expect("a tag");
        let kind = "application/vnd.laminate.release.v1+json";
        registry
            .put_document(&repository.expect("a name"), &tag, kind, other.to_string())
            .await
            .expect("written");
        let built = push(&world).await;
        assert_eq!((built.ending, built.published), (Ending::Faulty, true));
        let fault = built.fault.expect("a fault").to_string();
        assert!(fault.contains(expected), "{fault}");
    }
}

#[tokio::test]
async fn blobs_that_the_last_release_has_in_a_repository_are_not_mounted_again() {
    for lacks_layer in [false, true] {
        let mut world = World::start(PAIR).await;
        world.options.push = true;
        push(&world).await;
        let staging = crate::staging::Staging::new(
            &world.registry,
            world.stack.staging().expect("it has a registry"),
        );
        let commit = Commit::parse(COMMIT).expect("a hash");
        world.near = staging.near_release(&[commit]).await;
        assert!(world.near.is_some());
        if lacks_layer {
            let body = r#"{"errors": [{"code": "MANIFEST_BLOB_UNKNOWN"}]}"#;
            let part = "ns/child/manifests/r-aaaaaaa";
            world.fake.answer(1, "PUT", part, 400, body);
        }
        let next = Commit::parse(&"a".repeat(40)).expect("a hash");
        world.facts.checkout.as_mut().expect("a commit").commit = next;
        let before = world.fake.count("POST", "mount=");
        let engine = Pushing {
            bytes: " of a new root",
            ..Pushing::new(&world.fake)
        };
        let built = world.build(&engine).await.expect("a build");
        assert_eq!((built.ending, built.published), (Ending::Complete, true));
        // The config of each image is new. If a repository turns out to lack a blob, all are mounted.
        let mounted = world.fake.count("POST", "mount=") - before;
        let probes = 2;
        assert_eq!(mounted, probes + if lacks_layer { 4 } else { 2 });
        let tag = world.tag("child", "r-aaaaaaa");
        assert_eq!(tag.as_deref(), Some(built.digests["child"].as_str()));
    }
}
