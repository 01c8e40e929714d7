//! How many requests commands send to a registry, and how many of them one after the other.
//!
//! The limits are counts, not times: whoever raises one explains why.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;

use crate::support::fake::{Fake, Rounds};
use crate::support::laminate::{Answer, Laminate};
use crate::support::needed::{needed, program};
use laminate::testing::name::{Digest, Repository};
use laminate::testing::registry::{Options, Registry};
use laminate::testing::staging::{Built, Staging};
use serde_json::{Value, json};

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const BASE: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
/// How many images the stack has.
const IMAGES: usize = 10;

/// A stack of a root and its children in a git repository, and the registry it is pushed to.
struct Stack {
    fake: Fake,
    laminate: Laminate,
    folder: tempfile::TempDir,
    git: PathBuf,
}

impl Stack {
    /// Makes a stack whose images staging has; `None` without git.
    async fn start(test: &str) -> Option<Self> {
        let git = needed(test, "git", program("git"))?;
        let fake = Fake::start().await;
        let folder = tempfile::tempdir().expect("a folder");
        let mut spec = format!(
            "stack: demo\nregistry: {}/ns\ntags: [\"r-${{commit7}}\"]\nchannels: {{ stable: {{ tag: stable }} }}\nimages:\n  i0: {{ base: \"example.org/debian@{BASE}\", steps: [{{ run: make }}] }}\n",
            fake.host
        );
        for number in 1..IMAGES {
            spec += &format!("  i{number}: {{ base: i0, steps: [{{ run: make {number} }}] }}\n");
        }
        std::fs::write(folder.path().join("specs.yml"), spec).expect("written");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let laminate = Laminate::new()
            .working_folder(folder.path())
            .variable("PATH", path);
        let stack = Self {
            fake,
            laminate,
            folder,
            git,
        };
        stack.run_git(&["init", "--quiet", "--initial-branch=main"]);
        stack.run_git(&["add", "."]);
        stack.commit();
        stack.push_images().await;
        Some(stack)
    }

    fn run_git(&self, words: &[&str]) {
        let status = std::process::Command::new(&self.git)
            .current_dir(self.folder.path())
            .args(["-c", "user.name=x", "-c", "user.email=x@example.org"])
            .args(words)
            .status();
        assert!(status.expect("git").success(), "{words:?}");
    }

    fn commit(&self) {
        self.run_git(&["commit", "--quiet", "--allow-empty", "-m", "x"]);
    }

    /// Puts the image of each key into staging. Its layers are those of the root, and one of its own for a child.
    async fn push_images(&self) {
        let plan = self.run(&["--json", "plan", "--offline"]).await;
        assert_eq!(plan.code, 10, "{plan:?}");
        let plan = plan.json();
        let mut built = BTreeMap::new();
        for image in plan["images"].as_array().expect("images") {
            let key = image["key"].as_str().expect("a key");
            let blob = |bytes: &str| {
                let digest = self.fake.add_blob("ns/demo", bytes.as_bytes());
                json!({ "mediaType": "application/octet-stream", "digest": digest, "size": bytes.len() })
            };
            let label = image["image"].as_str().expect("a name").to_owned();
            let mut layers = vec![blob("first"), blob("second")];
            if label != "i0" {
                layers.push(blob(&key[10..]));
            }
            let manifest = json!({
                "schemaVersion": 2, "mediaType": OCI, "config": blob(key), "layers": layers,
            });
            let tag = format!("key-{}", &key["sha256:".len()..][..40]);
            let bytes = manifest.to_string().into_bytes();
            self.fake.add_manifest("ns/demo", &tag, &bytes);
            let last = Built {
                key: Digest::parse(key).expect("a digest"),
                digest: Digest::of(&bytes),
                generation: 1,
                time: None,
                size: 7,
                components: Vec::new(),
            };
            built.insert(label, last);
        }
        let registry = Registry::new(Options::default()).expect("a client");
        let staging = Repository::parse(&format!("{}/ns/demo", self.fake.host));
        let staging = Staging::new(&registry, &staging.expect("a repository"));
        let written = staging.add_to_state(&built, &BTreeMap::new()).await;
        written.expect("written");
    }

    async fn run(&self, words: &[&str]) -> Answer {
        self.laminate.run(words).await
    }

    /// Runs a command and returns what it sent.
    async fn counted(&self, words: &[&str]) -> (Rounds, Value) {
        let (rounds, answer) = self.fake.in_rounds(self.run(words)).await;
        assert_eq!(answer.code, 0, "{answer:?}");
        // Not `println!`, which a passing test's harness keeps to itself.
        let mut stderr = std::io::stderr();
        let (kinds, chain) = (rounds.kinds(), rounds.chain());
        let _closed = writeln!(stderr, "{words:?}: {kinds:?}, {chain} in sequence");
        (rounds, answer.json())
    }
}

/// Checks that a command sent at most so many requests for each image and so many others, at most so many of them one
/// after the other.
fn assert_few(rounds: &Rounds, (each, others): (usize, usize), chain: usize) {
    let shown = || format!("{:?}\n{}", rounds.kinds(), rounds.shown());
    let most = each * IMAGES + others;
    let count = rounds.requests.len();
    assert!(count <= most, "{count} requests, not {most}: {}", shown());
    let found = rounds.chain();
    assert!(found <= chain, "{found} rounds, not {chain}: {}", shown());
}

#[tokio::test]
async fn images_that_are_up_to_date_are_tagged_promoted_and_reverted() {
    let Some(stack) = Stack::start("requests").await else {
        return;
    };
    let push = ["--json", "build", "--push"];
    let (first, _) = stack.counted(&push).await;
    let (again, _) = stack.counted(&push).await;
    stack.commit();
    let (new_commit, _) = stack.counted(&push).await;
    assert_eq!(new_commit.kinds().get("HEAD blobs"), None);
    assert_eq!(new_commit.kinds().get("POST mounts"), None);
    let promote = ["--json", "promote", "--to", "stable"];
    let (promoted, _) = stack.counted(&promote).await;
    let (promoted_again, _) = stack.counted(&promote).await;
    let (status, _) = stack.counted(&["--json", "status"]).await;
    let (history, _) = stack.counted(&["--json", "history"]).await;
    let (plan, _) = stack.counted(&["--json", "plan"]).await;
    for (rounds, requests, chain) in [
        (first, (12, 10), 10),
        (again, (1, 6), 4),
        (new_commit, (3, 10), 8),
        (promoted, (5, 18), 17),
        (promoted_again, (1, 6), 6),
        (status, (1, 4), 4),
        (history, (0, 8), 4),
        (plan, (1, 4), 2),
    ] {
        assert_few(&rounds, requests, chain);
    }
}

#[tokio::test]
async fn old_tags_and_releases_are_not_asked_for() {
    let Some(stack) = Stack::start("scale").await else {
        return;
    };
    stack.fake.state().page = Some(100);
    let commands: [&[&str]; 5] = [
        &["build", "--push"],
        &["promote", "--to", "stable"],
        &["status"],
        &["plan"],
        &["revert", "stable"],
    ];
    let counts = async || {
        stack.commit();
        let mut counts = Vec::new();
        for words in commands {
            let before = stack.fake.state().log.len();
            let answer = stack.run(words).await;
            assert_eq!(answer.code, 0, "{words:?}: {answer:?}");
            counts.push(stack.fake.state().log.len() - before);
        }
        counts
    };
    // A run looks for releases of several commits.
    for _ in 0..4 {
        stack.commit();
    }
    // The first promotion of a channel looks for entries without a pointer.
    for words in [&commands[0], &commands[1]] {
        let answer = stack.run(words).await;
        assert_eq!(answer.code, 0, "{answer:?}");
    }
    let few = counts().await;
    for number in 0..3000 {
        let text = format!(r#"{{"schemaVersion": 2, "annotations": {{"a": "{number}"}}}}"#);
        let old = [
            format!("release-{:07x}", number * 7919),
            format!("key-{number:040x}"),
            format!("evidence-{number:040x}"),
            format!("run-20250101T{number:06}"),
        ];
        for tag in old {
            stack.fake.add_manifest("ns/demo", &tag, text.as_bytes());
        }
    }
    assert_eq!(counts().await, few, "of {commands:?}");
}
