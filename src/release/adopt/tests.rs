//! Adoptions against a registry in this process.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::diagnostic::render;
use crate::record::StoredRelease;
use crate::registry::{self, Registry};
use crate::release::{find, targets};
use crate::source::Sources;
use crate::testing::fake::{Effect, Fake};

const SPEC: &str = r#"
stack: demo
registry: HOST/ns
tags: ["r-${commit7}"]
channels: { stable: { tag: stable } }
images:
  base: { base: "example.org/debian:13" }
  child: { base: base }
"#;

const VARIANTS: &str = r#"
stack: demo
registry: HOST/ns
tags: ["r-${series}-${commit7}"]
variants: { one: { series: "1" }, two: { series: "2" } }
channels: { stable: { tag: "stable-${series}" }, first: { tag: first, variant: one } }
images: { base: { base: "example.org/debian:13" }, child: { base: base } }
"#;

/// A stack, a registry, and the digests that other tools pushed.
struct World {
    fake: Fake,
    staging: Staging,
    stack: Stack,
}

impl World {
    /// A stack without any image in its registry.
    async fn empty(yaml: &str) -> Self {
        let fake = Fake::start().await;
        let stack = crate::testing::stack(&yaml.replace("HOST", &fake.host));
        let registry = Registry::new(registry::Options {
            backoff: Duration::from_millis(1),
            timeout: Duration::from_secs(1),
            settling: Duration::from_secs(1),
            contest: Duration::ZERO,
            ..registry::Options::default()
        });
        let repository = stack.staging().cloned().expect("it has a registry");
        let staging = Staging::new(&registry.expect("a client"), &repository);
        Self {
            fake,
            staging,
            stack,
        }
    }

    /// With `stable` of both images: `base` is an index of two images, `child` an image.
    async fn with_tags() -> Self {
        let world = Self::empty(SPEC).await;
        index(&world.fake, "ns/base", "stable");
        image(&world.fake, "ns/child", "stable", "child");
        world
    }

    fn adopter(&self) -> Adopter<'_> {
        Adopter {
            stack: &self.stack,
            staging: &self.staging,
            channel: &self.stack.channels()[0],
            is_partial: false,
            actor: "somebody".to_owned(),
            time: "2026-11-27T12:00:00Z".parse().expect("a time"),
            reason: None,
        }
    }

    fn channel(&self) -> Channel<'_> {
        Channel {
            staging: &self.staging,
            name: "stable",
        }
    }

    async fn adopt(
        &self,
        adopter: &Adopter<'_>,
        wanted: Vec<Wanted>,
    ) -> Result<LedgerEntry, Error> {
        let adoption = adopter.check(wanted).await?;
        if adoption.standing == Standing::Done {
            let current = self.channel().current().await?;
            return Ok(current.expect("it is adopted").1);
        }
        let release = adoption.keep(&Events::none()).await?;
        adoption.record(&release).await
    }

    async fn adopt_tags(&self) -> Result<LedgerEntry, Error> {
        let adopter = self.adopter();
        let wanted = from_tags(&self.stack, adopter.channel);
        self.adopt(&adopter, wanted).await
    }

    fn list(&self, text: &str) -> Result<Vec<Wanted>, String> {
        let mut sources = Sources::default();
        let source = sources.add("tags.yml", text.replace("HOST", &self.fake.host));
        let channel = &self.stack.channels()[0];
        from_list(&self.stack, channel, &sources, source)
            .map_err(|problems| render(&problems, &sources, false))
    }

    fn tags(&self, tag: &str) -> [Option<String>; 2] {
        ["base", "child"].map(|image| self.fake.tag(&format!("ns/{image}"), tag))
    }

    fn text(&self, error: &Error) -> String {
        error.to_string().replace(&self.fake.host, "HOST")
    }

    /// Promotes to a release that was built, and reverts that.
    async fn promote_and_revert(&self) {
        let new: Vec<Target> = ["base", "child"]
            .iter()
            .enumerate()
            .map(|(depth, name)| {
                let repository = format!("ns/{name}");
                let digest = image(&self.fake, &repository, "r-2222222", "built");
                Target {
                    label: (*name).to_owned(),
                    repository: self.stack.images()[depth]
                        .repository
                        .clone()
                        .expect("it has one"),
                    tag: Tag::parse("stable").expect("a tag"),
                    digest,
                    depth,
                }
            })
            .collect();
        let order = |kind, release: Digest| Order {
            kind,
            release,
            commit: crate::name::Commit::parse(&"2".repeat(40)).ok(),
            actor: "somebody".to_owned(),
            time: "2026-11-28T12:00:00Z".parse().expect("a time"),
            reason: None,
            waived: Vec::new(),
            required: Vec::new(),
            accept_drift: false,
            dry_run: false,
        };
        let channel = self.channel();
        let promote = order(MoveKind::Promote, Digest::of(b"built"));
        let moved = channel.move_to(&new, &promote).await;
        moved.expect("promoted").expect("moved");
        assert_eq!(self.tags("stable"), self.tags("r-2222222"));
        let ledger = channel.look().await.expect("read");
        let before = channel.revert_target(&ledger, None).await;
        let before = before.expect("what was adopted");
        assert_eq!(before.kind, MoveKind::Adopt);
        let revert = order(MoveKind::Revert, before.release.clone());
        let revert = Order {
            commit: before.commit.clone(),
            ..revert
        };
        let moved = channel.move_from(ledger, &targets(&before), &revert).await;
        moved.expect("reverted").expect("moved");
    }
}

fn manifest(fake: &Fake, repository: &str, name: &str) -> Vec<u8> {
    let config = fake.add_blob(repository, name.as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "c", "digest": config, "size": name.len() }, "layers": [],
    });
    manifest.to_string().into_bytes()
}

fn image(fake: &Fake, repository: &str, tag: &str, name: &str) -> Digest {
    let bytes = manifest(fake, repository, name);
    fake.add_manifest(repository, tag, &bytes);
    Digest::of(&bytes)
}

/// An index of images for two platforms.
fn index(fake: &Fake, repository: &str, tag: &str) -> Digest {
    let children = ["amd64", "arm64"].map(|architecture| {
        let bytes = manifest(fake, repository, architecture);
        fake.add_manifest(repository, architecture, &bytes);
        json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": bytes.len(),
            "digest": Digest::of(&bytes), "platform": { "os": "linux", "architecture": architecture },
        })
    });
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": children,
    });
    let bytes = index.to_string().into_bytes();
    fake.add_manifest(repository, tag, &bytes);
    Digest::of(&bytes)
}

#[tokio::test]
async fn a_promotion_after_an_adoption_is_reverted_to_what_was_there() {
    let world = World::with_tags().await;
    let before = world.tags("stable");
    let entry = world.adopt_tags().await.expect("adopted");
    assert_eq!(
        (entry.kind, entry.seq, &entry.commit),
        (MoveKind::Adopt, 1, &None)
    );
    assert!(entry.images.iter().all(|step| !step.is_change()));
    for image in ["base", "child"] {
        let moves = world
            .fake
            .count("PUT", &format!("ns/{image}/manifests/stable"));
        assert_eq!(moves, 0, "no tag is moved");
    }
    let StoredRelease { digest, release } = find(&world.staging, "stable").await.expect("found");
    assert_eq!(digest, entry.release);
    for (image, before) in release.images.iter().zip(&before) {
        let kept = world
            .fake
            .tag(image.repository.path(), image.tags[0].as_str());
        assert_eq!((&kept, image.key.as_ref()), (before, None));
    }
    assert_eq!(world.adopt_tags().await.expect("adopted already"), entry);
    world.promote_and_revert().await;
    assert_eq!(world.tags("stable"), before);
    let refused = world.adopt_tags().await.expect_err("it was moved");
    let text = "channel `stable` has been moved before (number 3)";
    assert_eq!(refused.to_string(), text);
}

#[tokio::test]
async fn a_part_of_a_channel_is_adopted_only_if_that_is_asked_for() {
    let world = World::empty(SPEC).await;
    let nothing = world.adopt_tags().await.expect_err("no tag exists");
    insta::assert_snapshot!(world.text(&nothing), @"nothing to adopt for channel `stable`: HOST/ns/base:stable does not exist, HOST/ns/child:stable does not exist");
    image(&world.fake, "ns/child", "stable", "child");
    let partial = world.adopt_tags().await.expect_err("a part");
    insta::assert_snapshot!(world.text(&partial), @"channel `stable` cannot be adopted as a whole: HOST/ns/base:stable does not exist");
    let writes = ["PUT", "POST"].map(|method| world.fake.count(method, ""));
    assert_eq!(writes, [0, 0], "nothing is written");
    let adopter = Adopter {
        is_partial: true,
        ..world.adopter()
    };
    let wanted = from_tags(&world.stack, adopter.channel);
    let adoption = adopter.check(wanted.clone()).await.expect("a part");
    assert_eq!(adoption.missing, ["base"]);
    let entry = world.adopt(&adopter, wanted).await.expect("adopted");
    assert_eq!(entry.images.len(), 1);
}

#[tokio::test]
async fn a_list_names_images_elsewhere_which_are_copied() {
    let world = World::empty(SPEC).await;
    let base = index(&world.fake, "old/base", "2025");
    let child = image(&world.fake, "old/child", "now", "child");
    let text = format!("base: HOST/old/base:2025\nchild: HOST/old/child@{child}\n");
    let wanted = world.list(&text).expect("a list");
    let entry = world.adopt(&world.adopter(), wanted.clone()).await;
    let entry = entry.expect("adopted");
    assert!(entry.images.iter().all(|step| step.old.is_none()));
    let there = [base, child].map(|digest| Some(digest.to_string()));
    assert_eq!(world.tags("stable"), there);
    world.promote_and_revert().await;
    assert_eq!(world.tags("stable"), there);
    let staging = world.fake.count("PUT", "ns/demo/");
    let refused = world.adopt(&world.adopter(), wanted).await;
    assert!(
        matches!(refused, Err(Error::Moved { seq: 3, .. })),
        "{refused:?}"
    );
    assert_eq!(world.fake.count("PUT", "ns/demo/"), staging);
}

#[tokio::test]
async fn images_of_another_registry_are_copied_whole() {
    let (world, old) = (World::empty(SPEC).await, Fake::start().await);
    let base = index(&old, "campus/base", "fall");
    let child = image(&old, "campus/child", "fall", "child");
    let list = "base: OLD/campus/base:fall\nchild: OLD/campus/child:fall\n";
    let wanted = world.list(&list.replace("OLD", &old.host)).expect("a list");
    let adopted = world.adopt(&world.adopter(), wanted).await;
    adopted.expect("adopted");
    let there = [base, child].map(|digest| Some(digest.to_string()));
    assert_eq!(world.tags("stable"), there);
    for architecture in ["amd64", "arm64"] {
        let config = Digest::of(architecture.as_bytes());
        assert!(world.fake.has_blob("ns/base", config.as_str()));
    }
    let writes = ["PUT", "POST"].map(|method| old.count(method, ""));
    assert_eq!(writes, [0, 0], "the other registry is read only");
}

#[tokio::test]
async fn a_list_moves_no_tag_and_names_what_exists() {
    let world = World::with_tags().await;
    let old = image(&world.fake, "old/child", "now", "another");
    let wanted =
        world.list("{\"child\": \"HOST/old/child:now\", \"base\": \"HOST/ns/base:stable\"}");
    let refused = world.adopt(&world.adopter(), wanted.expect("JSON")).await;
    let text = world.text(&refused.expect_err("it is at another image"));
    let [_, child] = world.tags("stable");
    let child = child.expect("it is there");
    assert_eq!(
        text,
        format!(
            "tags of channel `stable` are at other images than the list has:\n  HOST/ns/child:stable is at {child}, not at {old}"
        )
    );
    let wanted = world.list("child: HOST/old/child:gone\nbase: HOST/old/gone:1\n");
    let refused = world.adopt(&world.adopter(), wanted.expect("a list")).await;
    insta::assert_snapshot!(world.text(&refused.expect_err("missing")), @"not found in the registry: HOST/old/gone:1, HOST/old/child:gone");
    let wanted = world.list("base: HOST/ns/base:stable\n");
    let refused = world.adopt(&world.adopter(), wanted.expect("a list")).await;
    insta::assert_snapshot!(world.text(&refused.expect_err("a part")), @"channel `stable` cannot be adopted as a whole: image `child` is not in the list");
    let writes = ["PUT", "POST"].map(|method| world.fake.count(method, ""));
    assert_eq!(writes, [0, 0], "nothing is written");
}

#[tokio::test]
async fn a_tag_that_moves_meanwhile_is_seen_before_the_entry_is_written() {
    for is_gone in [false, true] {
        let world = World::with_tags().await;
        let adopter = world.adopter();
        let wanted = from_tags(&world.stack, adopter.channel);
        let adoption = adopter.check(wanted).await.expect("checked");
        let release = adoption.keep(&Events::none()).await.expect("kept");
        if is_gone {
            let mut state = world.fake.state();
            let repository = state.repositories.get_mut("ns/child").expect("it is there");
            repository.tags.remove("stable");
        } else {
            image(&world.fake, "ns/child", "stable", "newer");
        }
        let refused = adoption.record(&release).await;
        assert!(
            matches!(&refused, Err(Error::Changed { tags, .. }) if tags.len() == 1),
            "{refused:?}"
        );
        let ledger = world.channel().look().await.expect("read");
        assert!(ledger.current.is_none() && ledger.open.is_none());
    }
}

#[tokio::test]
async fn an_aborted_adoption_leaves_tags_where_others_moved_them() {
    let world = World::with_tags().await;
    world
        .fake
        .answer(9, "PUT", "manifests/stable-current", 403, "no");
    let broken = world.adopt_tags().await;
    assert!(
        matches!(broken, Err(Error::Release(ReleaseError::Unrecorded { .. }))),
        "{broken:?}"
    );
    world.fake.heal();
    image(&world.fake, "ns/child", "stable", "newer");
    let tags = world.tags("stable");
    let pending = world.adopt_tags().await;
    assert!(
        matches!(pending, Err(Error::Release(ReleaseError::Pending { .. }))),
        "{pending:?}"
    );
    let ended = world.channel().abort(false).await.expect("taken back");
    assert_eq!(
        (ended.kind, world.tags("stable")),
        (MoveKind::Abort, tags.clone())
    );
    let entry = world.adopt_tags().await.expect("adopted as it is now");
    assert_eq!((entry.seq, world.tags("stable")), (2, tags));
}

/// What breaks at a request of an adoption.
fn faults() -> [Effect; 5] {
    [
        Effect::Hang { done: false },
        Effect::Hang { done: true },
        Effect::Answer(403, Vec::new(), "no".to_owned()),
        Effect::Answer(503, Vec::new(), "no".to_owned()),
        Effect::Reset { done: true },
    ]
}

/// Runs an adoption of a list that copies and of tags that are there, broken at one request; then again.
async fn broken_at(nth: usize, effect: Effect) -> (bool, String) {
    let shown = format!("request {nth}, {effect:?}");
    let world = World::empty(SPEC).await;
    index(&world.fake, "ns/base", "stable");
    image(&world.fake, "old/child", "now", "child");
    let text = "base: HOST/ns/base:stable\nchild: HOST/old/child:now\n";
    let wanted = world.list(text).expect("a list");
    let before = world.tags("stable");
    world.fake.fault_from(nth, 1, effect);
    let adopter = world.adopter();
    let work = world.adopt(&adopter, wanted.clone());
    let ended = tokio::select! {
        ended = work => Some(ended),
        () = world.fake.hung() => None,
    };
    // Rules that were not reached: there are no further requests.
    let is_over = world.fake.state().log.len() <= nth;
    world.fake.heal();
    let ledger = world.channel().look().await.expect("read");
    let [base, child] = world.tags("stable");
    assert_eq!(base, before[0], "{shown}: no tag is moved");
    let is_adopted = ledger.current.is_some();
    assert!(!matches!(ended, Some(Ok(_))) || is_adopted, "{shown}");
    let has_entry = is_adopted || ledger.open.is_some();
    assert!(
        child.is_none() || has_entry,
        "{shown}: a tag without an entry"
    );
    assert!(
        !is_adopted || child.is_some(),
        "{shown}: an entry without its tag"
    );
    let again = world.adopt(&adopter, wanted).await;
    assert_eq!(again.expect("adopted").seq, 1, "{shown}");
    let adopted = world.tags("stable");
    world.promote_and_revert().await;
    assert_eq!(world.tags("stable"), adopted, "{shown}");
    (is_over, shown)
}

#[tokio::test]
async fn broken_at_any_request_it_is_adopted_or_not_and_can_be_done_again() {
    let mut nth = 0;
    loop {
        let broken = faults().map(|effect| broken_at(nth, effect));
        let ended = join_all(broken).await;
        if ended.iter().all(|(is_over, _)| *is_over) {
            break;
        }
        nth += 1;
    }
    assert!((20..80).contains(&nth), "{nth} requests");
}

#[tokio::test]
async fn a_list_has_images_of_the_channel_once_and_whole_references() {
    let world = World::empty(VARIANTS).await;
    let digest = Digest::of(b"image");
    let wanted = world.list(&format!(
        "one/base: HOST/old/base:1\ntwo/child: campus/child@{digest}\n"
    ));
    let wanted = wanted.expect("a list").into_iter();
    let wanted: BTreeMap<String, String> = wanted
        .map(|wanted| {
            (
                format!("{}:{}", wanted.label, wanted.tag),
                wanted.from.to_string(),
            )
        })
        .collect();
    assert_eq!(
        wanted["one/base:stable-1"],
        format!("{}/old/base:1", world.fake.host)
    );
    assert_eq!(
        wanted["two/child:stable-2"],
        format!("docker.io/campus/child@{digest}")
    );
    let wrong = "base: x/y:1\none/base: x/y\none/child: x/y:1\none/child: x/y:2\none/childx: x/y:1\ntwo/child: [a]\ntwo/base: 'A b:1'\n";
    insta::assert_snapshot!(world.list(wrong).expect_err("wrong"));
    insta::assert_snapshot!(world.list("- base\n").expect_err("wrong"));
    let channel = &world.stack.channels()[1];
    let mut sources = Sources::default();
    let source = sources.add(
        "tags.yml",
        "two/base: x/y:1\nbase: x/y:1\none/base: x/y:2\n".to_owned(),
    );
    let problems = from_list(&world.stack, channel, &sources, source).expect_err("wrong");
    insta::assert_snapshot!(render(&problems, &sources, false));
}
