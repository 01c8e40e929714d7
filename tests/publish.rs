//! Tagging images when the registry misbehaves: an immutable tag never moves, a fault leaves no tag on half an
//! image, and the same command completes what was begun.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::support::fake::{Effect, Fake, Mounts};
use laminate::testing::name::{Digest, Repository, Tag};
use laminate::testing::plan::TagDigests;
use laminate::testing::publish::{Error, ImageTags, publish, read, stage};
use laminate::testing::registry::{Locator, Manifest, Options, Registry};
use laminate::testing::spec::ImageId;
use laminate::testing::{Event, Events};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn registry() -> Registry {
    Registry::new(Options {
        backoff: Duration::from_millis(5),
        timeout: Duration::from_secs(2),
        settling: Duration::from_secs(1),
        contest: Duration::from_millis(10),
        ..Options::default()
    })
    .expect("a client")
}

fn repository(fake: &Fake, path: &str) -> Repository {
    Repository::parse(&format!("{}/{path}", fake.host)).expect("a repository")
}

fn tag(text: &str) -> Tag {
    Tag::parse(text).expect("a tag")
}

/// Puts an image into staging; the layer is shared by all.
fn image(fake: &Fake, name: &str) -> (Digest, Vec<u8>) {
    let blob = |bytes: &[u8]| {
        let digest = fake.add_blob("ns/staging", bytes);
        serde_json::json!({ "mediaType": "x", "digest": digest, "size": bytes.len() })
    };
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI,
        "config": blob(format!("config of {name}").as_bytes()),
        "layers": [blob(b"a layer of all"), blob(format!("layer of {name}").as_bytes())],
    });
    let bytes = manifest.to_string().into_bytes();
    fake.add_manifest("ns/staging", &format!("made-{name}"), &bytes);
    (Digest::of(&bytes), bytes)
}

fn items(fake: &Fake, names: &[&str]) -> Vec<ImageTags> {
    names
        .iter()
        .map(|name| ImageTags {
            label: (*name).to_owned(),
            repository: repository(fake, &format!("ns/{name}")),
            digest: image(fake, name).0,
            tags: vec![tag("r-1")],
            manifest: None,
            is_placed: None,
            in_place: BTreeSet::new(),
        })
        .collect()
}

async fn run(fake: &Fake, items: &[ImageTags]) -> Result<(), String> {
    let staging = repository(fake, "ns/staging");
    let known = TagDigests::new();
    publish(
        &registry(),
        &staging,
        items,
        (&known, false),
        &Events::none(),
    )
    .await
    .map_err(|error| error.to_string().replace(&fake.host, "HOST"))
}

fn tagged(fake: &Fake, items: &[ImageTags]) -> Vec<bool> {
    let at = |item: &ImageTags| fake.tag(item.repository.path(), "r-1");
    items
        .iter()
        .map(|item| at(item).as_deref() == Some(item.digest.as_str()))
        .collect()
}

#[tokio::test]
async fn images_are_mounted_and_tagged_without_a_byte() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one", "two"]);
    run(&fake, &items).await.expect("published");
    assert_eq!(tagged(&fake, &items), [true, true]);
    assert_eq!(fake.count("PUT", "/blobs/"), 0);
    assert_eq!(fake.count("PATCH", ""), 0);
    let before = fake.state().log.len();
    run(&fake, &items).await.expect("nothing to do");
    assert_eq!(fake.state().log.len() - before, 2, "one HEAD a tag");
}

#[tokio::test]
async fn tags_known_to_be_right_are_looked_up_at_the_end_only() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one", "two"]);
    let known: TagDigests = items
        .iter()
        .map(|item| {
            let name = (item.repository.clone(), tag("r-1"));
            (name, Some(item.digest.clone()))
        })
        .collect();
    run(&fake, &items).await.expect("published");
    let before = fake.state().log.len();
    let staging = repository(&fake, "ns/staging");
    publish(
        &registry(),
        &staging,
        &items,
        (&known, false),
        &Events::none(),
    )
    .await
    .expect("nothing to do");
    let sent = fake.state().log.len() - before;
    assert_eq!(sent, 2, "one HEAD a tag");
    // Known before the build, and moved since.
    fake.add_manifest("ns/two", "r-1", br#"{"schemaVersion": 2}"#);
    let moved = publish(
        &registry(),
        &staging,
        &items,
        (&known, false),
        &Events::none(),
    )
    .await;
    assert!(matches!(moved, Err(Error::Changed { .. })), "{moved:?}");
}

/// Another writer sets the tag of an image right after a request of ours.
fn other_writer(fake: &Fake, image: &'static str) -> Effect {
    let digest = fake.add_manifest("ns/staging", "other", br#"{"schemaVersion": 2}"#);
    fake.add_manifest(image, "other", br#"{"schemaVersion": 2}"#);
    Effect::OtherWriter {
        repository: image,
        tag: "r-1",
        digest,
    }
}

#[tokio::test]
async fn a_tag_that_others_wrote_while_bytes_were_placed_is_not_written_over() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one", "two"]);
    let theirs = other_writer(&fake, "ns/two");
    fake.fault(1, "POST", "ns/two/blobs/uploads", theirs);
    let message = run(&fake, &items).await.expect_err("taken");
    assert!(
        message.contains("immutable tag HOST/ns/two:r-1 points at"),
        "{message}"
    );
    assert_eq!(tagged(&fake, &items), [false, false]);
    assert_eq!(fake.count("PUT", "manifests/r-1"), 0);
}

#[tokio::test]
async fn a_run_that_is_second_on_the_first_tag_tags_nothing() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one", "two"]);
    // They saw it free as well, and wrote last.
    let theirs = other_writer(&fake, "ns/one");
    fake.fault(1, "PUT", "ns/one/manifests/r-1", theirs);
    let message = run(&fake, &items).await.expect_err("taken");
    assert!(
        message.starts_with("immutable tag HOST/ns/one:r-1 points at"),
        "{message}"
    );
    assert_eq!(fake.tag("ns/two", "r-1"), None);
}

#[tokio::test]
async fn a_tag_that_others_write_over_ours_is_found_at_the_end() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one", "two"]);
    let theirs = other_writer(&fake, "ns/two");
    fake.fault(1, "PUT", "ns/two/manifests/r-1", theirs);
    let message = run(&fake, &items).await.expect_err("changed");
    let expected = "another writer changed immutable tag HOST/ns/two:r-1: it points at";
    assert!(message.starts_with(expected), "{message}");
}

#[tokio::test]
async fn any_success_counts_for_a_tag_that_reads_back() {
    for status in [200, 202, 204] {
        let fake = Fake::start().await;
        let items = items(&fake, &["one"]);
        fake.fault(2, "PUT", "manifests/", Effect::Status(status));
        run(&fake, &items).await.expect("published");
        assert_eq!(tagged(&fake, &items), [true], "{status}");
    }
}

#[tokio::test]
async fn a_tag_on_other_bytes_stops_all_before_the_first_write() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one", "two"]);
    fake.add_manifest("ns/two", "r-1", br#"{"schemaVersion": 2}"#);
    let other = fake.tag("ns/two", "r-1");
    let message = run(&fake, &items).await.expect_err("taken");
    assert!(
        message.starts_with("immutable tag HOST/ns/two:r-1 points at "),
        "{message}"
    );
    assert_eq!(fake.tag("ns/two", "r-1"), other, "it did not move");
    assert_eq!(fake.tag("ns/one", "r-1"), None, "nothing was tagged");
    assert_eq!(fake.count("PUT", ""), 0);
    assert_eq!(fake.count("POST", ""), 0);
}

#[tokio::test]
async fn a_registry_that_does_not_mount_gets_each_blob_once() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one"]);
    fake.state().mounts = Mounts::Never;
    let staging = repository(&fake, "ns/staging");
    let (events, received) = Events::channel();
    publish(
        &registry(),
        &staging,
        &items,
        (&TagDigests::new(), false),
        &events,
    )
    .await
    .expect("published");
    assert_eq!(tagged(&fake, &items), [true]);
    assert_eq!(fake.count("PUT", "/blobs/uploads/"), 3);
    let copied = received.try_iter().find_map(|event| match event {
        Event::BlobsCopied {
            image,
            blobs,
            bytes,
            reason,
            ..
        } => Some((image, blobs, bytes, reason)),
        _ => None,
    });
    let (image, blobs, bytes, reason) = copied.expect("it is reported");
    assert_eq!((image.as_str(), blobs, bytes), ("one", 3, 13 + 14 + 12));
    assert!(reason.contains("asks for an upload instead"), "{reason}");
}

#[tokio::test]
async fn nothing_is_reported_as_copied_where_blobs_are_mounted() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one"]);
    let staging = repository(&fake, "ns/staging");
    let (events, received) = Events::channel();
    publish(
        &registry(),
        &staging,
        &items,
        (&TagDigests::new(), false),
        &events,
    )
    .await
    .expect("published");
    let events: Vec<Event> = received.try_iter().collect();
    let [Event::Published { image, tags, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    assert_eq!(
        (image.as_str(), tags.as_slice()),
        ("one", &["r-1".to_owned()][..])
    );
}

#[tokio::test]
async fn faults_that_pass_are_not_seen() {
    let faults = [Effect::BreakBefore, Effect::BreakAfter];
    for effect in faults {
        let fake = Fake::start().await;
        let items = items(&fake, &["one", "two"]);
        fake.fault(1, "PUT", "manifests/r-1", effect);
        fake.answer(1, "POST", "mount=", 503, "busy");
        fake.answer(1, "HEAD", "manifests/", 500, "");
        run(&fake, &items).await.expect("published");
        assert_eq!(tagged(&fake, &items), [true, true]);
    }
}

#[tokio::test]
async fn an_image_that_cannot_be_tagged_is_reported_and_the_next_run_tags_it() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one", "two", "three"]);
    fake.answer(1, "PUT", "ns/two/manifests/r-1", 403, "not you");
    let message = run(&fake, &items).await.expect_err("denied");
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(
        lines[0],
        "2 of 3 images are tagged (one, three); these are not, or not completely:"
    );
    assert!(lines[1].starts_with("two: "), "{message}");
    assert_eq!(tagged(&fake, &items), [true, false, true]);
    run(&fake, &items).await.expect("published");
    assert_eq!(tagged(&fake, &items), [true, true, true]);
}

#[tokio::test]
async fn a_stop_between_tags_reports_those_that_are_set() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one", "two", "three"]);
    let stop = CancellationToken::new();
    let registry = Registry::new(Options {
        contest: Duration::from_millis(10),
        stop: stop.clone(),
        ..Options::default()
    });
    fake.fault(
        9,
        "PUT",
        "ns/two/manifests/r-1",
        Effect::Hang { done: true },
    );
    let (registry, staging) = (registry.expect("a client"), repository(&fake, "ns/staging"));
    let (known, events) = (TagDigests::new(), Events::none());
    let publishing = publish(&registry, &staging, &items, (&known, false), &events);
    let stopping = async {
        while fake.tag("ns/three", "r-1").is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        fake.hung().await;
        // The third one is read back.
        tokio::time::sleep(Duration::from_millis(200)).await;
        stop.cancel();
    };
    let (published, ()) = tokio::join!(publishing, stopping);
    let message = published.expect_err("stopped").to_string();
    let lines: Vec<&str> = message.lines().collect();
    assert_eq!(
        lines[0],
        "2 of 3 images are tagged (one, three); these are not, or not completely:"
    );
    assert!(lines[1].starts_with("two: "), "{message}");
    assert!(lines[1].ends_with(": interrupted"), "{message}");
    let log: Vec<String> = registry
        .log()
        .tags()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        log,
        ["one", "three"].map(|name| format!("{}/ns/{name}:r-1", fake.host))
    );
}

#[tokio::test]
async fn no_tag_is_written_while_the_bytes_of_one_image_are_missing() {
    let fake = Fake::start().await;
    let items = items(&fake, &["one", "two"]);
    fake.answer(100, "POST", "ns/two/blobs", 403, "not you");
    run(&fake, &items).await.expect_err("denied");
    assert_eq!(tagged(&fake, &items), [false, false]);
}

#[tokio::test]
async fn a_run_is_found_again_by_its_keys() {
    let fake = Fake::start().await;
    let staging = repository(&fake, "ns/staging");
    let (digest, bytes) = image(&fake, "one");
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [{
            "mediaType": OCI, "digest": digest.as_str(), "size": bytes.len(),
            "platform": { "os": "linux", "architecture": "amd64", "variant": "x0" },
        }],
    });
    let index = Manifest::new(index.to_string(), INDEX);
    let registry = registry();
    registry
        .put_manifest(&staging, &Locator::Digest(index.digest.clone()), &index)
        .await
        .expect("put");
    let key = Digest::of(b"a key");
    let wanted = BTreeMap::from([("x0".to_owned(), (ImageId(0), key.clone()))]);
    // A registry may show late what the engine pushed.
    fake.answer(3, "GET", "ns/staging/manifests/sha256:", 404, "");
    let run = tag("run-1");
    let exported = read(&registry, &staging, &run, &index.digest, &wanted).await;
    let exported = exported.expect("read");
    let staged = stage(&registry, &staging, &run, exported, &Events::none());
    let (staged, tagging) = staged.expect("staged");
    tagging.await.expect("tagged");
    assert_eq!(staged[&ImageId(0)].digest, digest);
    assert_eq!(staged[&ImageId(0)].size, 13 + 14 + 12, "config and layers");
    let key_tag = format!("key-{}", &key.hex()[..40]);
    assert_eq!(
        fake.tag("ns/staging", &key_tag).as_deref(),
        Some(digest.as_str())
    );
    assert_eq!(
        fake.tag("ns/staging", "run-1").as_deref(),
        Some(index.digest.as_str())
    );
    // An index that lacks what was built is not taken for done.
    let wanted = BTreeMap::from([("x1".to_owned(), (ImageId(1), key))]);
    let run = tag("run-2");
    let lacks = read(&registry, &staging, &run, &index.digest, &wanted).await;
    let lacks = lacks.map(|exported| exported.index);
    assert!(matches!(lacks, Err(Error::NotInIndex { .. })), "{lacks:?}");
}
