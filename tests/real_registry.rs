//! The registry client against real registries: distribution 3 and Debian's 2.8, where found.
//!
//! `LAMINATE_TEST_REGISTRY_BIN` names a binary that serves with `BINARY serve CONFIG`; else
//! `registry` and `docker-registry` on PATH are taken, both if both are there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::needed;
use laminate::testing::name::{Digest, Repository, Tag};
use laminate::testing::registry::{
    Content, Descriptor, Locator, Manifest, Mount, Options, Pushed, Registry,
};

struct Served {
    process: Child,
    host: String,
    /// The access log: a line for each request, in the combined form of Apache.
    log: PathBuf,
    _folder: tempfile::TempDir,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

impl Served {
    /// Returns how much of the log there is, bytes, once all earlier requests are in it.
    async fn logged(&self) -> usize {
        let length = || std::fs::read(&self.log).expect("valid in this test").len();
        let mut before = length();
        loop {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = length();
            if now == before {
                return now;
            }
            before = now;
        }
    }

    /// Returns the numbers of requests since byte `start` of the log, by method and kind, as soon as
    /// there are `expected`: a line is written after its answer.
    async fn requests(&self, start: usize, expected: usize) -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for _ in 0..100 {
            let text = std::fs::read_to_string(&self.log).expect("valid in this test");
            let requests = text[start..].lines().filter_map(request);
            found.clear();
            for request in requests {
                *found.entry(request).or_default() += 1;
            }
            if found.values().sum::<usize>() >= expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        found
    }
}

/// Reads `… "POST /v2/a/blobs/uploads/?mount=… HTTP/1.1" …`, a line of the access log: `POST mount`.
fn request(line: &str) -> Option<String> {
    let (_, request) = line.split_once(" \"")?;
    let mut words = request.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    let kinds = [
        "mount=",
        "/blobs/uploads/",
        "/blobs/",
        "/manifests/",
        "/tags/",
    ];
    let kind = kinds.iter().find(|kind| path.contains(**kind))?;
    let kind = kind.trim_matches(['/', '=']);
    Some(format!("{method} {kind}"))
}

fn serve(binary: &Path) -> Served {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("valid in this test");
    let host = free.local_addr().expect("valid in this test").to_string();
    drop(free);
    let folder = tempfile::tempdir().expect("valid in this test");
    let config = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: false}}}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '{host}'}}\n",
        folder.path().join("data").display()
    );
    std::fs::write(folder.path().join("config.yml"), config).expect("valid in this test");
    let log = folder.path().join("access.log");
    let output = std::fs::File::create(&log).expect("valid in this test");
    let process = Command::new(binary)
        .arg("serve")
        .arg(folder.path().join("config.yml"))
        .env("OTEL_TRACES_EXPORTER", "none")
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .expect("valid in this test");
    let served = Served {
        process,
        host,
        log,
        _folder: folder,
    };
    for _ in 0..200 {
        if std::net::TcpStream::connect(&served.host).is_ok() {
            return served;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{} does not listen on {}", binary.display(), served.host);
}

fn binaries() -> Option<Vec<PathBuf>> {
    let given = std::env::var_os("LAMINATE_TEST_REGISTRY_BIN").map(PathBuf::from);
    let found: Vec<PathBuf> = match given {
        Some(given) => vec![given],
        None => ["registry", "docker-registry"]
            .iter()
            .filter_map(|n| needed::program(n))
            .collect(),
    };
    (!found.is_empty()).then_some(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pushed_mounted_tagged_and_read() {
    let test = "an_image_is_pushed_mounted_tagged_and_read";
    let Some(binaries) = needed::needed(test, "a registry (distribution)", binaries()) else {
        return;
    };
    for binary in binaries {
        let served = serve(&binary);
        publish(&served).await;
    }
}

#[expect(clippy::too_many_lines, reason = "one publication, step by step")]
async fn publish(served: &Served) {
    let host = &served.host;
    let registry = Registry::new(Options::default()).expect("valid in this test");
    let named =
        |path: &str| Repository::parse(&format!("{host}/{path}")).expect("valid in this test");
    let (staging, public, copied) = (named("a/staging"), named("a/b/image"), named("copied"));
    let tag = |text: &str| Locator::Tag(Tag::parse(text).expect("valid"));

    let config = b"{\"architecture\":\"amd64\",\"os\":\"linux\"}".to_vec();
    let layer: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let mut parts = Vec::new();
    for (media_type, bytes) in [
        ("application/vnd.oci.image.config.v1+json", config),
        ("application/vnd.oci.image.layer.v1.tar", layer),
    ] {
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        let content = Content::Bytes(bytes.into());
        let pushed = registry
            .push_blob(&staging, &digest, size, &content)
            .await
            .expect("the call succeeds");
        assert_eq!(pushed, Pushed::Uploaded);
        let pushed = registry
            .push_blob(&staging, &digest, size, &content)
            .await
            .expect("the call succeeds");
        assert_eq!(pushed, Pushed::AlreadyThere);
        parts.push(Descriptor {
            media_type: media_type.to_owned(),
            digest,
            size,
        });
    }
    let entry = |d: &Descriptor| serde_json::json!({"mediaType": d.media_type, "digest": d.digest.as_str(), "size": d.size});
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let text = serde_json::json!({
        "schemaVersion": 2, "mediaType": kind,
        "config": entry(&parts[0]), "layers": [entry(&parts[1])],
    });
    let manifest = Manifest::new(text.to_string(), kind);
    let at_digest = Locator::from(manifest.digest.clone());

    // Without its blobs it is refused, and the missing ones are named.
    let error = registry
        .put_manifest(&public, &tag("t"), &manifest)
        .await
        .expect_err("the call fails");
    assert!(
        error
            .answer()
            .is_some_and(|a| a.has_code("MANIFEST_BLOB_UNKNOWN")),
        "{error}"
    );
    assert_eq!(
        registry
            .head_manifest(&public, &tag("t"))
            .await
            .expect("the call succeeds"),
        None
    );
    assert_eq!(
        registry.tags(&public).await.expect("the call succeeds"),
        Vec::new()
    );

    let start = served.logged().await;
    for part in &parts {
        let mounted = registry
            .mount(&public, &staging, &part.digest)
            .await
            .expect("the call succeeds");
        assert_eq!(mounted, Mount::Mounted);
    }
    registry
        .put_manifest(&public, &at_digest, &manifest)
        .await
        .expect("the call succeeds");
    for name in ["t", "stable", "2021.2-abc"] {
        registry
            .put_manifest(&public, &tag(name), &manifest)
            .await
            .expect("the call succeeds");
    }

    let sent = served.requests(start, 10).await;
    let expected = [
        ("HEAD manifests", 4),
        ("POST mount", 2),
        ("PUT manifests", 4),
    ];
    let expected = expected.map(|(request, count)| (request.to_owned(), count));
    assert_eq!(
        sent,
        BTreeMap::from(expected),
        "publishing moves no byte and asks nothing twice"
    );

    let found = registry
        .head_manifest(&public, &tag("stable"))
        .await
        .expect("the call succeeds");
    assert_eq!(found, Some(manifest.descriptor()));
    assert_eq!(
        registry
            .manifest(&public, &at_digest)
            .await
            .expect("the call succeeds"),
        Some(manifest.clone())
    );
    let tags = registry.tags(&public).await.expect("the call succeeds");
    let tags: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    assert_eq!(tags, ["2021.2-abc", "stable", "t"]);

    // A blob the source does not have cannot be mounted, and is copied from where it is.
    let refused = registry
        .mount(&copied, &named("nowhere"), &parts[1].digest)
        .await
        .expect("the call succeeds");
    assert!(matches!(refused, Mount::Refused(_)), "{refused:?}");
    let pushed = registry
        .copy_blob(&copied, &public, &parts[1])
        .await
        .expect("the call succeeds");
    assert_eq!(pushed, Pushed::Uploaded);
    let bytes = registry
        .blob(&copied, &parts[1].digest, parts[1].size)
        .await
        .expect("the call succeeds");
    assert_eq!(Digest::of(&bytes), parts[1].digest);
}
