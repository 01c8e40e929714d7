//! Documents in staging: those of earlier versions are read.
//!
//! `fixtures/documents` has documents as laminate e94442c wrote them into a registry, with fewer images
//! and packages, and with another host.

use std::collections::BTreeMap;

use crate::support::channel::{options, repository};
use crate::support::fake::Fake;
use laminate::testing::evidence::Evidence;
use laminate::testing::name::{Commit, Digest, Tag};
use laminate::testing::record::{GateVerdict, LedgerEntry, MoveKind, Release, StoredSpec};
use laminate::testing::registry::{Locator, Manifest, Registry};
use laminate::testing::release::find;
use laminate::testing::staging::{
    Document, EntryPosition, NumberTag, Staging, State, VersionNumber,
};
use serde_json::{Value, json};

/// The staging repository of a registry in this process.
pub fn staging(fake: &Fake) -> Staging {
    let registry = Registry::new(options()).expect("a client");
    Staging::new(&registry, &repository(fake, "ns/staging"))
}

/// The text of a document as an earlier version wrote it.
pub fn old(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/documents");
    std::fs::read_to_string(format!("{folder}/{name}.json")).expect("a fixture")
}

/// Puts a document under a tag in the form that earlier versions wrote: as the first layer, before the attached ones.
fn put_old(fake: &Fake, tag: &str, kind: &str, text: &str, attached: &[&str]) -> Digest {
    let blob = |kind: &str, text: &str| {
        let digest = fake.add_blob("ns/staging", text.as_bytes());
        json!({ "mediaType": kind, "digest": digest, "size": text.len() })
    };
    let attached = attached.iter().map(|text| blob("application/json", text));
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": kind,
        "config": blob("application/vnd.oci.empty.v1+json", "{}"),
        "layers": std::iter::once(blob(kind, text)).chain(attached).collect::<Vec<_>>(),
    });
    let bytes = manifest.to_string().into_bytes();
    fake.add_manifest("ns/staging", tag, &bytes);
    Digest::of(&bytes)
}

/// Puts an old document under the tag it has, reads it, and returns it. Written again it is the same,
/// but for `changed`.
async fn read_old<D: Document>(name: &str, tag: &str, id: D::Id<'_>, changed: &[&str]) -> D {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let text = old(name);
    put_old(&fake, tag, D::MEDIA_TYPE, &text, &[]);
    let (_, document) = staging.read::<D>(id).await.expect("read").expect("there");
    let mut before: Value = serde_json::from_str(&text).expect("JSON");
    let mut after = serde_json::to_value(&document).expect("plain data");
    for key in changed {
        before[key] = Value::Null;
        after[key] = Value::Null;
    }
    assert_eq!(before, after, "{name}");
    document
}

async fn old_entry(
    name: &str,
    tag: &str,
    id: (&str, EntryPosition),
    changed: &[&str],
) -> LedgerEntry {
    read_old::<LedgerEntry>(name, tag, id, changed).await
}

#[tokio::test]
async fn an_old_entry_is_read_with_its_drift() {
    let id = ("quarter", EntryPosition::Number(4));
    let entry = old_entry("entry-drift", "quarter-000004", id, &["drift"]).await;
    let [drift] = &entry.drift[..] else {
        panic!("{:?}", entry.drift);
    };
    assert_eq!(
        serde_json::to_value(drift).expect("plain data"),
        json!({
            "repository": "registry.example/kept/side", "tag": "1-stable",
            "expected": "sha256:0c7f0276be30e3af476a56c28ce1ef62900f484f82c4a2195de38c59bb2ea06b",
            "found": "sha256:f08649a4693fa59dc6a7b0fc497baa60ccf554833685ba8d09d22072c4fd4fec",
        })
    );
    let changes: Vec<bool> = entry.images.iter().map(|step| step.is_change()).collect();
    assert_eq!(changes, [true, false]);
}

#[tokio::test]
async fn old_entries_of_every_kind_are_read() {
    let id = ("quarter", EntryPosition::Aborted);
    let aborted = old_entry("entry-abort", "quarter-aborted", id, &[]).await;
    assert_eq!((aborted.kind, aborted.seq), (MoveKind::Abort, 6));
    let id = ("stable", EntryPosition::Current);
    let first = old_entry("entry-waived", "stable-current", id, &[]).await;
    assert_eq!(first.waived, ["gpu"]);
    assert_eq!(first.previous, None);
    assert_eq!(first.images[0].old, None);
    assert!(first.time < aborted.time);
}

#[tokio::test]
async fn an_old_state_is_read() {
    let state = read_old::<State>("state", "state", (), &[]).await;
    let records = state.records();
    let labels: Vec<&String> = records.keys().collect();
    assert_eq!(labels, ["1/ground", "1/leaf"]);
    assert_eq!(state.refreshed["2/ground"], "2026-11-26T13:46:39.89285852Z");
    assert_eq!(state.sizes()[&records["1/leaf"].digest], 64_919_398);
}

#[tokio::test]
async fn old_evidence_is_read() {
    let tag = "evidence-ed004e58828aff19d76fd2a04157e6866032f4e8";
    let key = "sha256:ed004e58828aff19d76fd2a04157e6866032f4e8e7272e746ebdf50981959bd1";
    let key = Digest::parse(key).expect("a digest");
    let evidence = read_old::<Evidence>("evidence", tag, &key, &[]).await;
    assert_eq!(
        evidence.suites["own"].reason.as_deref(),
        Some("exit code 1")
    );
    let older = &evidence.older[0].verdict;
    assert!(older.passed && older.time < evidence.suites["own"].time);
    let packages = evidence.info["packages"].packages.as_ref();
    assert_eq!(packages.map(Vec::len), Some(3));
}

#[tokio::test]
async fn an_old_verdict_on_a_gate_is_read() {
    let digest = "sha256:0c7f0276be30e3af476a56c28ce1ef62900f484f82c4a2195de38c59bb2ea06b";
    let digest = Digest::parse(digest).expect("a digest");
    let tag = "gate-ec5aca995886f0e8a6842d41e86356e0e46a37ad";
    let verdict = read_old::<GateVerdict>("verdict", tag, ("gpu", &digest), &[]).await;
    assert_eq!(
        (verdict.passed, verdict.tests, verdict.failed),
        (false, 2, 1)
    );
    assert_eq!(verdict.cases.len(), 2);
}

#[tokio::test]
async fn an_old_version_number_is_read_by_number_and_by_release() {
    let release = "sha256:09e4327254edb76e67f8a839a7af5a569eaf45ebd9a5d98e857f336229110a65";
    let release = Digest::parse(release).expect("a digest");
    for (tag, id) in [
        ("number-000001", NumberTag::Number(1)),
        (
            "numbered-09e4327254edb76e67f8a839a7af5a569eaf45eb",
            NumberTag::Release(&release),
        ),
    ] {
        let found = read_old::<VersionNumber>("number", tag, id, &[]).await;
        assert_eq!((found.number, &found.release), (1, &release));
    }
}

#[tokio::test]
async fn an_old_release_is_read_with_its_evidence_and_spec() {
    let commit = "1b526fd2dc94a4423a990607d66aef906180ab32";
    let commit = Commit::parse(commit).expect("a commit");
    let id = (&commit, 1);
    let release = read_old::<Release>("release", "release-1b526fd", id, &[]).await;
    let side = release.image("1/side").expect("it has it");
    assert_eq!(side.repository.to_string(), "registry.example/kept/side");
    let base = release.parent(side).expect("the base is in the release");
    assert_eq!(base.label(), "1/ground");

    let fake = Fake::start().await;
    let staging = staging(&fake);
    let blobs = [&*old("release.spec"), &*old("release.evidence")];
    let digest = put_old(&fake, "release-1b526fd", "x", &old("release"), &blobs);
    let all = staging.releases().await.expect("read").found;
    let [stored] = all.list.as_slice() else {
        panic!("one release expected: {:?}", all.list);
    };
    assert_eq!((&stored.digest, &stored.release), (&digest, &release));
    assert!(all.find("1-1b526fd").is_some(), "by its tag");
    let spec = staging.spec_of(&release).await.expect("read");
    let spec = spec.expect("it has one");
    assert_eq!(spec.image("1/side").map(|i| i.components.len()), Some(6));
    let evidence = staging.evidence_of(side).await.expect("read");
    assert_eq!(
        evidence.map(|known| known.digest),
        Some(side.digest.clone())
    );
    let by_digest = staging.read_at::<Release>(&Locator::Digest(digest)).await;
    assert!(by_digest.expect("read").is_some());
}

#[tokio::test]
async fn a_manifest_that_a_release_stores_must_have_its_digest() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let mut release: Release = serde_json::from_str(&old("release")).expect("a release");
    let (right, wrong) = (Manifest::new("{}", "m"), Manifest::new(r#"{"a":1}"#, "m"));
    release.images[0].digest = right.digest.clone();
    let other = Manifest {
        digest: release.images[1].digest.clone(),
        ..wrong
    };
    let stored = [right.clone(), other].map(|manifest| (manifest.digest.clone(), manifest));
    let stored = BTreeMap::from(stored);
    let (evidence, spec) = (BTreeMap::new(), StoredSpec::default());
    let sent = staging.send_parts(release, &evidence, &spec, &stored);
    let written = staging.write_release(1, sent.await.expect("sent"), None);
    let digest = written.await.expect("written");
    let read = staging
        .release(&digest)
        .await
        .expect("read")
        .expect("there");
    let manifests = staging.manifests_of(&read.release).await.expect("read");
    assert_eq!(manifests, [(right.digest.clone(), right)].into());
}

#[tokio::test]
async fn a_document_of_a_newer_version_is_refused() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let newer = old("state").replacen("\"version\": 1", "\"version\": 2", 1);
    let tag = Tag::parse("state").expect("a tag");
    (staging.registry)
        .put_document(&staging.repository, &tag, State::MEDIA_TYPE, newer)
        .await
        .expect("written");
    let refused = staging.state().await.expect_err("it is newer").to_string();
    insta::assert_snapshot!(
        refused.replace(&fake.host, "HOST"),
        @"unsupported version 2 of the document HOST/ns/staging:state: this laminate supports version 1, use a newer one"
    );
}

#[tokio::test]
async fn a_document_that_is_not_of_its_kind_is_refused() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let tag = Tag::parse("stable-current").expect("a tag");
    (staging.registry)
        .put_document(&staging.repository, &tag, "x", old("number"))
        .await
        .expect("written");
    let found = staging
        .read::<LedgerEntry>(("stable", EntryPosition::Current))
        .await;
    let refused = found.expect_err("no entry").to_string();
    let refused = refused.replace(&fake.host, "HOST");
    let place = "invalid document HOST/ns/staging:stable-current: missing field `kind`";
    assert!(refused.starts_with(place), "{refused}");
}

#[tokio::test]
async fn an_entry_with_the_tag_of_another_channel_is_refused() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let id = ("quarter", EntryPosition::Number(4));
    let entry = old_entry("entry-drift", "quarter-000004", id, &["drift"]).await;
    let long = "a".repeat(200);
    for channel in ["", "a:b", "../x", &long, "beta"] {
        let entry = LedgerEntry {
            channel: channel.to_owned(),
            ..entry.clone()
        };
        let id = ("stable", EntryPosition::Current);
        staging.put(id, &entry).await.expect("written");
        let read = staging.read::<LedgerEntry>(id).await;
        let refused = read.expect_err("it is of another channel").to_string();
        assert!(
            refused.ends_with(":stable-current: it belongs to another tag"),
            "{refused}"
        );
        let listed = staging.releases().await.expect("read");
        assert_eq!(listed.unreadable.len(), 1, "{channel}");
    }
}

#[tokio::test]
async fn documents_that_cannot_be_read_are_passed_over_unless_they_are_meant() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let (registry, repository) = (&staging.registry, &staging.repository);
    let put = async |tag: &str, text: String| {
        let tag = Tag::parse(tag).expect("a tag");
        let put = registry.put_document(repository, &tag, "x", text);
        put.await.expect("written")
    };
    let digest = put("release-1b526fd", old("release")).await;
    put("release-ccccccc", r#"{"what": 1}"#.to_owned()).await;
    // One whose blob was collected, an image of another tool, and an index.
    let other = old("release").replace("1b526fd", "ddddddd");
    let lost = put_old(&fake, "release-ddddddd", "x", &other, &[]);
    let manifest = registry.manifest(repository, &Locator::Digest(lost)).await;
    let manifest = manifest.expect("read").expect("there");
    let manifest: Value = serde_json::from_slice(&manifest.bytes).expect("JSON");
    let blob = manifest["layers"][0]["digest"]
        .as_str()
        .expect("a digest")
        .to_owned();
    {
        let mut state = fake.state();
        let staging = state.repositories.get_mut("ns/staging");
        let blobs = &mut staging.expect("there").blobs;
        blobs.remove(&blob).expect("a blob");
    }
    fake.add_manifest(
        "ns/staging",
        "foo-current",
        br#"{"schemaVersion": 2, "layers": []}"#,
    );
    let index = br#"{"schemaVersion": 2, "manifests": []}"#;
    fake.add_manifest("ns/staging", "bar-current", index);

    let listed = staging.releases().await.expect("read");
    assert_eq!(listed.found.list.len(), 1);
    assert_eq!(listed.unreadable.len(), 4, "{:?}", listed.unreadable);
    for name in ["1b526fd", "1-1b526fd"] {
        let found = find(&staging, name).await.expect("found");
        assert_eq!(found.digest, digest, "{name}");
    }
    for name in ["ccccccc", "ddddddd"] {
        let error = find(&staging, name)
            .await
            .expect_err("unreadable")
            .to_string();
        assert!(!error.contains("unknown release"), "{error}");
    }
}

#[tokio::test]
async fn the_release_of_a_commit_is_read_alone() {
    let fake = Fake::start().await;
    let staging = staging(&fake);
    let (registry, repository) = (&staging.registry, &staging.repository);
    for number in 0..40 {
        let short = format!("{number:07x}");
        let text = old("release").replace("1b526fd", &short);
        let tag = Tag::parse(&format!("release-{short}")).expect("a tag");
        let put = registry.put_document(repository, &tag, "x", text);
        put.await.expect("written");
    }
    let before = fake.state().log.len();
    let found = find(&staging, "0000011").await.expect("found");
    let commit = found.release.commit.expect("it was built");
    assert!(commit.as_str().starts_with("0000011"));
    assert_eq!(fake.state().log.len() - before, 2, "tags, manifest");
}
