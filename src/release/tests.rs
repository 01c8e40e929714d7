//! Promotions against a registry in this process.

use std::collections::BTreeMap;
use std::time::Duration;

use super::gates::{GateState, Source};
use super::promote::Promoted;
use super::*;
use crate::name::{Commit, Repository, Tag};
use crate::record::{MoveKind, Release, ReleaseImage};
use crate::registry::{self, Registry};
use crate::stack::Stack;
use crate::testing::fake::Fake;

const SPEC: &str = r#"
stack: demo
registry: HOST/ns
tags: ["r-${commit7}"]
channels:
  edge: { tag: edge, auto: true }
  stable: { tag: stable, auto: true, from: edge, gates: [gpu] }
images:
  base: { base: "example.org/debian:13" }
  child: { base: base }
"#;

/// A stack with a release in its staging repository.
struct World {
    fake: Fake,
    staging: Staging,
    stack: Stack,
    digest: Digest,
    release: Release,
}

impl World {
    async fn start(yaml: &str) -> Self {
        let fake = Fake::start().await;
        let stack = crate::testing::stack(&yaml.replace("HOST", &fake.host));
        let registry = Registry::new(registry::Options {
            backoff: Duration::from_millis(1),
            timeout: Duration::from_secs(5),
            settling: Duration::from_secs(1),
            contest: Duration::ZERO,
            ..registry::Options::default()
        });
        let repository = stack.staging().cloned().expect("it has a registry");
        let staging = Staging::new(&registry.expect("a client"), &repository);
        let images = ["base", "child"].map(|name| image(&fake, name));
        let release = Release {
            stack: "demo".to_owned(),
            version: 1,
            commit: Commit::parse(&"1".repeat(40)).ok(),
            time: "2026-11-26T12:00:00Z".parse().expect("a time"),
            run: "run".to_owned(),
            git_ref: None,
            spec: None,
            manifests: None,
            images: images.to_vec(),
        };
        let (evidence, spec) = (BTreeMap::new(), Default::default());
        let none = BTreeMap::new();
        let sent = staging.send_parts(release.clone(), &evidence, &spec, &none);
        let written = staging.write_release(1, sent.await.expect("sent"), None);
        let digest = written.await.expect("a release");
        Self {
            digest,
            fake,
            staging,
            stack,
            release,
        }
    }

    fn promoter(&self) -> Promoter<'_> {
        Promoter {
            stack: &self.stack,
            staging: &self.staging,
            release: &self.release,
            order: Order {
                kind: MoveKind::Promote,
                release: self.digest.clone(),
                commit: self.release.commit.clone(),
                actor: "somebody".to_owned(),
                time: self.release.time,
                reason: None,
                waived: Vec::new(),
                required: Vec::new(),
                accept_drift: false,
                dry_run: false,
            },
            waive: Vec::new(),
            require: Vec::new(),
            is_auto: false,
        }
    }

    fn channel(&self, name: &str) -> &crate::stack::Channel {
        let mut channels = self.stack.channels().iter();
        channels
            .find(|channel| channel.name == name)
            .expect("a channel")
    }

    async fn promote(&self, promoter: &Promoter<'_>, name: &str) -> Result<Promoted, Refusal> {
        promoter.check(self.channel(name)).await?.carry_out().await
    }

    fn tags(&self, tag: &str) -> [Option<String>; 2] {
        ["base", "child"].map(|image| self.fake.tag(&format!("ns/{image}"), tag))
    }

    fn digests(&self) -> [Option<String>; 2] {
        [0, 1].map(|index| Some(self.release.images[index].digest.to_string()))
    }
}

fn image(fake: &Fake, name: &str) -> ReleaseImage {
    let repository = format!("ns/{name}");
    let config = fake.add_blob(&repository, name.as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "c", "digest": config, "size": name.len() }, "layers": [],
    });
    let bytes = manifest.to_string().into_bytes();
    fake.add_manifest(&repository, "r-1111111", &bytes);
    ReleaseImage {
        image: name.to_owned(),
        variant: None,
        repository: Repository::parse(&format!("{}/{repository}", fake.host)).expect("valid"),
        digest: Digest::of(&bytes),
        key: Some(Digest::of(name.as_bytes())),
        adopted_from: None,
        tags: vec![Tag::parse("r-1111111").expect("a tag")],
        depth: usize::from(name == "child"),
        base: None,
        base_digest: None,
        copies: Vec::new(),
        size: 0,
        verdicts: Vec::new(),
        dropped: Vec::new(),
        checks: None,
        checks_key: None,
        evidence: None,
    }
}

#[tokio::test]
async fn a_channel_without_gates_moves() {
    let world = World::start(SPEC).await;
    let promoted = world
        .promote(&world.promoter(), "edge")
        .await
        .expect("moved");
    assert_eq!((promoted.before, promoted.numbered.len()), (None, 0));
    assert_eq!(promoted.entry.expect("an entry").seq, 1);
    assert_eq!(world.tags("edge"), world.digests());
    let again = world
        .promote(&world.promoter(), "edge")
        .await
        .expect("there");
    let before = again.before.map(|entry| entry.release);
    assert_eq!((before, again.entry), (Some(world.digest.clone()), None));
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let world = World::start(SPEC).await;
    let mut promoter = world.promoter();
    promoter.order.dry_run = true;
    let before = world.fake.count("PUT", "");
    let promoted = world
        .promote(&promoter, "edge")
        .await
        .expect("it could move");
    assert!(promoted.entry.is_some());
    assert_eq!(world.fake.count("PUT", ""), before);
    assert_eq!(world.tags("edge"), [None, None]);
}

#[tokio::test]
async fn a_gate_without_evidence_refuses_the_move() {
    let world = World::start(SPEC).await;
    world
        .promote(&world.promoter(), "edge")
        .await
        .expect("moved");
    let refused = world.promote(&world.promoter(), "stable").await;
    let text = refused.expect_err("refused").to_string();
    let expected = "channel `stable` is not moved: gate `gpu` is not proven for base, child";
    assert_eq!(text, expected);
    assert_eq!(world.tags("stable"), [None, None]);
}

#[tokio::test]
async fn a_waived_gate_is_recorded_only_if_it_was_not_proven() {
    let world = World::start(SPEC).await;
    let mut promoter = world.promoter();
    promoter.waive = vec!["gpu".to_owned()];
    let error = world
        .promote(&promoter, "edge")
        .await
        .expect_err("it has none");
    assert!(matches!(error, Refusal::UnknownGate { .. }), "{error}");
    promoter.is_auto = true;
    world
        .promote(&promoter, "edge")
        .await
        .expect("another channel has it");
    let promoted = world.promote(&promoter, "stable").await.expect("moved");
    assert_eq!(promoted.entry.expect("an entry").waived, ["gpu"]);
}

#[tokio::test]
async fn a_required_gate_counts_like_one_of_the_channel() {
    let world = World::start(SPEC).await;
    let mut promoter = world.promoter();
    promoter.require = vec!["audit".to_owned()];
    let error = world.promote(&promoter, "edge").await.expect_err("refused");
    assert!(
        error.to_string().contains("gate `audit` is not proven"),
        "{error}"
    );
    promoter.waive = vec!["audit".to_owned()];
    let promoted = world.promote(&promoter, "edge").await.expect("moved");
    assert_eq!(promoted.entry.expect("an entry").required, ["audit"]);
}

#[tokio::test]
async fn a_channel_waits_for_the_one_it_takes_from() {
    let world = World::start(SPEC).await;
    let mut promoter = world.promoter();
    promoter.waive = vec!["gpu".to_owned()];
    let error = world
        .promote(&promoter, "stable")
        .await
        .expect_err("refused");
    assert!(matches!(error, Refusal::NotAtSource { .. }), "{error}");
    // A dry run of all channels would have moved it.
    promoter.is_auto = true;
    promoter.order.dry_run = true;
    world
        .promote(&promoter, "stable")
        .await
        .expect("it would be its turn");
}

#[tokio::test]
async fn it_is_the_turn_of_a_channel_whose_source_is_at_the_release() {
    let world = World::start(SPEC).await;
    let promoter = world.promoter();
    let folder = camino::Utf8Path::new(".");
    let turn = async |name: &str, moved: &[&str]| {
        let turn = promoter.turn(world.channel(name), moved, folder).await;
        turn.expect("it can be read")
    };
    assert_eq!(turn("edge", &[]).await, Turn::Due);
    let from = "edge".to_owned();
    assert_eq!(turn("stable", &[]).await, Turn::Waits { from });
    assert_eq!(turn("stable", &["edge"]).await, Turn::Due);
    world.promote(&promoter, "edge").await.expect("moved");
    assert_eq!(turn("stable", &[]).await, Turn::Due);
}

#[tokio::test]
async fn a_channel_at_a_newer_release_stays() {
    let world = World::start(SPEC).await;
    world
        .promote(&world.promoter(), "edge")
        .await
        .expect("moved");
    let mut older = world.release.clone();
    older.time = "2026-11-20T12:00:00Z".parse().expect("a time");
    let mut promoter = world.promoter();
    promoter.release = &older;
    promoter.order.release = Digest::of(b"older");
    let folder = camino::Utf8Path::new("/nonexistent");
    let turn = promoter.turn(world.channel("edge"), &[], folder).await;
    assert_eq!(
        turn.expect("read"),
        Turn::AtNewer(world.release.commit.clone().expect("it has one"))
    );
}

#[tokio::test]
async fn a_release_gets_its_number_once_and_moves_once() {
    let spec = SPEC.replace("\"r-${commit7}\"", "\"r-${commit7}\", \"v${n}\"");
    let world = World::start(&spec).await;
    let before = world.fake.state().log.len();
    let promoted = world
        .promote(&world.promoter(), "edge")
        .await
        .expect("moved");
    let names = ["base", "child"].map(|name| format!("{}/ns/{name}:v1", world.fake.host));
    assert_eq!(promoted.numbered, names);
    assert_eq!(world.tags("v1"), world.digests());
    let log = world.fake.state().log.split_off(before);
    let looks = log
        .iter()
        .filter(|line| line.starts_with("GET") && line.ends_with("manifests/edge-000001"));
    assert_eq!(looks.count(), 1, "before the move: {log:#?}");
    let again = world
        .promote(&world.promoter(), "edge")
        .await
        .expect("there");
    assert_eq!(again.numbered, names);
}

#[tokio::test]
async fn tags_that_the_channel_never_moved_are_not_overwritten() {
    let world = World::start(SPEC).await;
    let foreign = br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;
    world.fake.add_manifest("ns/child", "edge", foreign);
    let before = world.tags("edge");
    assert!(before[0].is_none() && before[1].is_some());
    let mut promoter = world.promoter();
    let refused = world.promote(&promoter, "edge").await;
    let text = refused.expect_err("refused").to_string();
    assert!(text.starts_with("tags of channel `edge` exist"), "{text}");
    assert_eq!(world.tags("edge"), before);

    promoter.order.accept_drift = true;
    let promoted = world.promote(&promoter, "edge").await.expect("accepted");
    assert_eq!(world.tags("edge"), world.digests());
    let drift = promoted.entry.expect("an entry").drift;
    let found = drift[0].found.as_ref().map(Digest::to_string);
    assert_eq!((drift.len(), found), (1, before[1].clone()));
}

#[tokio::test]
async fn a_number_is_not_given_if_the_move_is_refused() {
    let spec = SPEC.replace("\"r-${commit7}\"", "\"r-${commit7}\", \"v${n}\"");
    let world = World::start(&spec).await;
    world
        .promote(&world.promoter(), "edge")
        .await
        .expect("moved");
    world.fake.add_manifest("ns/base", "edge", b"{}");
    let mut promoter = world.promoter();
    promoter.order.release = Digest::of(b"another");
    let error = world.promote(&promoter, "edge").await.expect_err("drift");
    assert!(
        matches!(error, Refusal::Release(Error::Drift { .. })),
        "{error}"
    );
    assert_eq!(world.tags("v2"), [None, None]);
}

#[test]
fn targets_are_the_images_of_variants_the_channel_has_tags_for() {
    let stack = crate::testing::stack(
        r#"
stack: demo
registry: example.org/ns
tags: ["r-${series}-${commit7}"]
variants: { one: { series: "1" }, two: { series: "2" } }
channels: { edge: { tag: "edge-${series}" } }
images: { base: { base: "example.org/debian:13" } }
"#,
    );
    let image = |variant: Option<&str>| ReleaseImage {
        variant: variant.map(str::to_owned),
        ..serde_json::from_value(serde_json::json!({
            "image": "base", "variant": null, "repository": "example.org/ns/base",
            "digest": Digest::of(b"image"), "key": Digest::of(b"key"), "tags": [], "depth": 0,
            "base": null, "base_digest": null,
        }))
        .expect("an image")
    };
    let mut release = Release {
        stack: "demo".to_owned(),
        version: 1,
        commit: Commit::parse(&"1".repeat(40)).ok(),
        time: "2026-11-26T12:00:00Z".parse().expect("a time"),
        run: "run".to_owned(),
        git_ref: None,
        spec: None,
        manifests: None,
        images: vec![image(Some("one")), image(Some("two")), image(Some("gone"))],
    };
    let targets = channel_targets(&stack, &stack.channels()[0], &release).expect("targets");
    let tags: Vec<&str> = targets.iter().map(|target| target.tag.as_str()).collect();
    assert_eq!(tags, ["edge-1", "edge-2"]);
    promote::ensure_whole(&stack, &stack.channels()[0], &targets).expect("all variants");
    let error = promote::ensure_whole(&stack, &stack.channels()[0], &targets[..1]);
    let error = error.expect_err("a part");
    assert_eq!(
        error.to_string(),
        "the release lacks images that channel `edge` has a tag for: two/base"
    );
    release.images.truncate(0);
    let error = channel_targets(&stack, &stack.channels()[0], &release).expect_err("none");
    assert_eq!(
        error.to_string(),
        "the release has no image for channel `edge`"
    );
}

#[test]
fn a_waived_gate_of_auto_channels_must_exist_or_be_required() {
    let stack = crate::testing::stack(&SPEC.replace("HOST", "example.org"));
    let names = |names: &[&str]| -> Vec<String> { names.iter().map(|n| (*n).to_owned()).collect() };
    assert!(check_waived(&stack, &names(&["gpu"]), &[]).is_ok());
    assert!(check_waived(&stack, &names(&["audit"]), &names(&["audit"])).is_ok());
    let error = check_waived(&stack, &names(&["audit"]), &[]).expect_err("unknown");
    let expected = "no channel with `auto: true` has a gate `audit` to waive";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_refusal_lists_every_gate_and_why() {
    let state = |name: &str, failed: &[&str], open: &[&str]| GateState {
        name: name.to_owned(),
        source: Source::Evidence,
        passed: Vec::new(),
        failed: failed.iter().map(|image| (*image).to_owned()).collect(),
        open: open.iter().map(|image| (*image).to_owned()).collect(),
        uncovered: Vec::new(),
        verdicts: Vec::new(),
    };
    let gates = [
        state("gpu", &["a"], &["b", "c"]),
        state("audit", &[], &[]),
        state("waived", &["a"], &[]),
    ];
    let refused = promote::check_gates("edge", &gates, &["waived".to_owned()]);
    insta::assert_snapshot!(refused.expect_err("refused"), @"channel `edge` is not moved: gate `gpu` failed for a and is not proven for b, c; gate `audit` covers no image");
}
