//! Mounts, copies, pushes and reads of blobs, against a registry in this process.

use std::time::Duration;

use crate::support::client::{manifest, options, registry, repository, tag, text};
use crate::support::fake::{Effect, Fake, Mounts};
use futures_util::StreamExt as _;
use laminate::testing::name::{Digest, Repository};
use laminate::testing::registry::{
    Content, Descriptor, Locator, Mount, MountRefusal, Options, Pushed, Registry,
};

#[tokio::test]
async fn mounts_move_no_bytes() {
    let fake = Fake::start().await;
    let (registry, from, to) = (
        registry(),
        repository(&fake, "from"),
        repository(&fake, "to"),
    );
    let blob = Digest::parse(&fake.add_blob("from", b"layer")).expect("valid in this test");
    assert_eq!(
        registry
            .mount(&to, &from, &blob)
            .await
            .expect("the call succeeds"),
        Mount::Mounted
    );
    assert_eq!(
        registry
            .mount(&to, &from, &blob)
            .await
            .expect("the call succeeds"),
        Mount::Mounted
    );
    assert!(fake.has_blob("to", blob.as_str()));
    assert_eq!(fake.count("POST", "mount="), 2);
    assert_eq!(fake.state().log.len(), 2, "no other request was sent");

    let other = Repository::parse("other.example/to").expect("valid");
    let refused = registry
        .mount(&other, &from, &blob)
        .await
        .expect("the call succeeds");
    let reason = MountRefusal::OtherRegistry {
        from: fake.host.clone(),
        to: "other.example".to_owned(),
    };
    assert_eq!(refused, Mount::Refused(reason));
}

#[tokio::test]
async fn a_refused_mount_gives_the_upload_back_and_the_blob_can_be_copied() {
    for mounts in [
        Mounts::Never,
        Mounts::Status(401),
        Mounts::Status(403),
        Mounts::Status(405),
    ] {
        let fake = Fake::start().await;
        let (registry, from, to) = (
            registry(),
            repository(&fake, "from"),
            repository(&fake, "to"),
        );
        fake.state().mounts = mounts;
        let bytes = vec![7; 3 << 20];
        let blob = Digest::parse(&fake.add_blob("from", &bytes)).expect("valid in this test");
        let refused = registry
            .mount(&to, &from, &blob)
            .await
            .expect("the call succeeds");
        assert!(matches!(refused, Mount::Refused(_)), "{mounts:?}");
        assert_eq!(fake.state().open_uploads, Vec::<String>::new());
        let descriptor = Descriptor {
            media_type: String::new(),
            digest: blob.clone(),
            size: bytes.len() as u64,
        };
        let pushed = registry
            .copy_blob(&to, &from, &descriptor)
            .await
            .expect("the call succeeds");
        assert_eq!(pushed, Pushed::Uploaded);
        assert!(fake.has_blob("to", blob.as_str()));
        let pushed = registry
            .copy_blob(&to, &from, &descriptor)
            .await
            .expect("the call succeeds");
        assert_eq!(pushed, Pushed::AlreadyThere);
        let moved = (fake.count("GET", "/blobs/"), fake.count("PUT", "/blobs/"));
        assert_eq!(moved, (1, 1), "the bytes move once");
    }
}

#[tokio::test]
async fn a_server_that_fails_a_mount_is_an_error() {
    let fake = Fake::start().await;
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    fake.answer(9, "POST", "mount", 502, "");
    let error = registry()
        .mount(&to, &from, &Digest::of(b""))
        .await
        .expect_err("the call fails");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn copies_of_many_blobs_at_once_do_not_block_each_other() {
    let fake = Fake::start().await;
    let registry = Registry::new(Options {
        concurrency: 2,
        ..options()
    })
    .expect("valid in this test");
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    let mut copies = tokio::task::JoinSet::new();
    for n in 0..20_u8 {
        let digest =
            Digest::parse(&fake.add_blob("from", &[n; 100_000])).expect("valid in this test");
        let (registry, from, to) = (registry.clone(), from.clone(), to.clone());
        copies.spawn(async move {
            let blob = Descriptor {
                media_type: String::new(),
                digest,
                size: 100_000,
            };
            registry.copy_blob(&to, &from, &blob).await
        });
    }
    let all = tokio::time::timeout(Duration::from_secs(20), copies.join_all())
        .await
        .expect("the call succeeds");
    assert!(all.into_iter().all(|pushed| pushed == Ok(Pushed::Uploaded)));
    assert_eq!(fake.state().repositories["to"].blobs.len(), 20);
}

#[tokio::test]
async fn the_digest_of_a_blob_is_checked() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    let digest = Digest::parse(&fake.add_blob("a", b"content")).expect("valid in this test");
    assert_eq!(
        registry
            .blob(&r, &digest, 7)
            .await
            .expect("the call succeeds"),
        "content"
    );
    let error = registry
        .blob(&r, &digest, 6)
        .await
        .expect_err("the call fails");
    assert_eq!(
        text(&fake, &error),
        format!("cannot read the blob `HOST/a@{digest}`: larger than the limit of 6 bytes")
    );
    fake.answer(2, "GET", "", 200, "other");
    let wrong = format!(
        "cannot read the blob `HOST/a@{digest}`: wrong digest: expected {digest}, found {}",
        Digest::of(b"other")
    );
    assert_eq!(
        text(
            &fake,
            &registry
                .blob(&r, &digest, 100)
                .await
                .expect_err("the call fails")
        ),
        wrong
    );
    let mut pieces: Vec<_> = registry
        .blob_stream(&r, &digest)
        .await
        .expect("the call succeeds")
        .collect()
        .await;
    assert_eq!(
        text(
            &fake,
            &pieces
                .pop()
                .expect("valid in this test")
                .expect_err("the call fails")
        ),
        wrong
    );
    let absent = Digest::of(b"absent");
    let error = registry
        .blob(&r, &absent, 9)
        .await
        .expect_err("the call fails");
    assert_eq!(
        text(&fake, &error),
        format!(
            "cannot read the blob `HOST/a@{absent}`: not found (404 BLOB_UNKNOWN: blob unknown to registry)"
        )
    );
}

#[tokio::test]
async fn a_push_survives_a_broken_connection() {
    let fake = Fake::start().await;
    let (registry, r) = (registry(), repository(&fake, "a"));
    for (name, effect) in [
        ("before", Effect::BreakBefore),
        ("after", Effect::BreakAfter),
    ] {
        fake.fault(1, "PUT", "", effect);
        let digest = Digest::of(name.as_bytes());
        let content = Content::Bytes(name.into());
        let size = name.len() as u64;
        registry
            .push_blob(&r, &digest, size, &content)
            .await
            .expect("the call succeeds");
        assert!(fake.has_blob("a", digest.as_str()), "{name}");
    }
    assert_eq!(
        fake.count("PUT", ""),
        3,
        "what was applied is not sent again"
    );
}

#[tokio::test]
async fn publishing_moves_no_bytes_and_sends_nothing_twice() {
    let fake = Fake::start().await;
    let (registry, m) = (registry(), manifest("x"));
    let (from, to) = (repository(&fake, "from"), repository(&fake, "to"));
    for content in ["config", "layer"] {
        let blob =
            Digest::parse(&fake.add_blob("from", content.as_bytes())).expect("valid in this test");
        let mounted = registry
            .mount(&to, &from, &blob)
            .await
            .expect("the call succeeds");
        assert_eq!(mounted, Mount::Mounted);
    }
    let digest = Locator::from(m.digest.clone());
    for at in [digest, tag("t"), tag("stable"), tag("2021.2-abc")] {
        registry
            .put_manifest(&to, &at, &m)
            .await
            .expect("the call succeeds");
    }
    let state = fake.state();
    let methods: Vec<&str> = (state.log.iter())
        .filter_map(|request| request.split(' ').next())
        .collect();
    let expected = [
        "POST", "POST", "PUT", "HEAD", "PUT", "HEAD", "PUT", "HEAD", "PUT", "HEAD",
    ];
    assert_eq!(methods, expected);
}
