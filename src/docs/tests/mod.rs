//! Whole pages.

mod hostile;
mod links;

use std::collections::BTreeSet;

use proptest::prelude::*;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use serde_json::json;

use super::*;
use crate::evidence::{Allowed, Case, Checks, Finding, Info, Outcome, Package, Rule, Verdict};
use crate::name::{Commit, Repository, Tag as ImageTag};
use crate::record::{
    DroppedSuite, MoveKind, Release, ReleaseImage, ReleaseVerdict, StoredRelease, TagMove,
};

/// Texts that images, registries and people bring in.
#[derive(Clone, Debug)]
struct Words {
    /// A name: images, tags, suites.
    name: String,
    /// A line: reasons, messages.
    line: String,
    /// Several lines: logs.
    text: String,
}

impl Words {
    fn tame() -> Self {
        Self {
            name: "gpu".to_owned(),
            line: "as it is".to_owned(),
            text: "one\ntwo".to_owned(),
        }
    }
}

/// The repository of an image; a hostile name of an image is not part of it.
fn repository(name: &str) -> Repository {
    let own = Repository::parse(&format!("ghcr.io/campus/{name}"));
    own.unwrap_or_else(|_| Repository::parse("ghcr.io/campus/image").expect("a repository"))
}

fn time(text: &str) -> jiff::Timestamp {
    text.parse().expect("a time")
}

fn image(words: &Words, number: usize, name: &str, variant: Option<&str>) -> ReleaseImage {
    let tag = format!("{}-{number:07}", variant.unwrap_or("1"));
    ReleaseImage {
        image: name.to_owned(),
        variant: variant.map(str::to_owned),
        repository: repository(name),
        digest: Digest::of(format!("{name} {tag}").as_bytes()),
        key: Some(Digest::of(b"key")),
        adopted_from: None,
        tags: vec![ImageTag::parse(&tag).expect("a tag")],
        depth: 0,
        base: Some("docker.io/library/debian:bookworm".to_owned()),
        base_digest: Some(Digest::of(b"debian")),
        copies: Vec::new(),
        size: 1_234_567_890,
        verdicts: vec![ReleaseVerdict {
            suite: words.name.clone(),
            from: None,
            key: None,
            digest: Digest::of(b"it"),
            passed: false,
            tests: 3,
            failed: 1,
            cached: true,
        }],
        dropped: vec![DroppedSuite {
            suite: words.name.clone(),
            reason: words.line.clone(),
        }],
        checks: Some(true),
        checks_key: None,
        evidence: None,
    }
}

/// The images of one variant: `name` and two above it.
fn images(words: &Words, number: usize, name: &str, variant: Option<&str>) -> Vec<ReleaseImage> {
    let ground = image(words, number, name, variant);
    let on = |name: &str, base: &str, depth: usize| ReleaseImage {
        base: Some(base.to_owned()),
        base_digest: None,
        depth,
        ..image(words, number, name, variant)
    };
    vec![ground, on("side", name, 1), on("leaf-notebook", "side", 2)]
}

fn release(words: &Words, number: usize, name: &str) -> StoredRelease {
    let mut all = images(words, number, name, Some("1"));
    all.extend(images(words, number, name, Some("2")));
    let release = Release {
        stack: "datahub".to_owned(),
        version: 1,
        commit: Commit::parse(&format!("{number:07}{number:033}")).ok(),
        time: time(&format!("2026-11-{:02}T10:20:30Z", number + 1)),
        run: format!("run-{number}"),
        git_ref: Some("refs/heads/main".to_owned()),
        spec: None,
        manifests: None,
        images: all,
    };
    StoredRelease {
        digest: Digest::of(format!("release {number}").as_bytes()),
        release,
    }
}

fn evidence(words: &Words, image: &ReleaseImage) -> Evidence {
    let digest = image.digest.clone();
    let mut evidence = Evidence::new(image.label(), Digest::of(b"key"), digest);
    evidence.suites.insert(
        words.name.clone(),
        Verdict {
            key: Digest::of(b"suite"),
            from: Some("side".to_owned()),
            passed: false,
            reason: Some(words.line.clone()),
            tests: 3,
            failed: 1,
            skipped: 1,
            seconds: 1.25,
            time: time("2026-11-24T21:57:28Z"),
            cases: vec![Case {
                name: format!("test_{}", words.name),
                class: "test_it".to_owned(),
                seconds: 0.1,
                outcome: Outcome::Failed,
                message: Some(words.line.clone()),
                text: Some(words.text.clone()),
            }],
            log: words.text.clone(),
        },
    );
    let finding = Finding {
        rule: Rule::Writable,
        path: format!("/opt/{}", words.name),
        text: format!("is writable for everybody {}", words.line),
        elsewhere: 0,
        below: 2,
        step: Some(0),
        inherited: Some("side".to_owned()),
        limit: None,
    };
    evidence.checks = Some(Checks {
        key: Digest::of(b"policy"),
        passed: true,
        time: time("2026-11-24T21:57:28Z"),
        findings: vec![finding.clone()],
        allowed: vec![Allowed {
            finding,
            reason: words.line.clone(),
        }],
        unused: vec![format!("/usr/{}", words.name)],
    });
    let info = |title: &str, text: &str, packages: Option<Vec<Package>>| Info {
        key: Digest::of(b"command"),
        title: title.to_owned(),
        time: None,
        exit: 3,
        text: text.to_owned(),
        error: words.text.clone(),
        packages,
    };
    let package = |name: &str, version: &str| Package {
        name: name.to_owned(),
        version: version.to_owned(),
    };
    let packages = vec![
        package("numpy", "2.2.0"),
        package(&format!("x{}", words.name), &words.line),
    ];
    let pip = info(&format!("pip {}", words.name), "", Some(packages));
    evidence.info.insert("pip".to_owned(), pip);
    let python = info("Python", &words.text, None);
    evidence.info.insert("python".to_owned(), python);
    evidence
}

fn stored(words: &Words, depth: usize) -> Stored {
    let layer = |number: usize, step: String, is_ours: bool| Layer {
        digest: Digest::of(format!("layer {number}").as_bytes()),
        size: 1000 * (number as u64 + 1),
        step,
        is_ours,
    };
    let mut layers = vec![layer(0, format!("ADD {}", words.line), false)];
    layers.extend((0..=depth).map(|n| layer(n + 1, format!("apt git {}", words.line), true)));
    let config = json!({
        "User": format!("u{}", words.name), "Cmd": ["bash", words.line], "ExposedPorts": { "8888/tcp": {} },
        "Env": ["PATH=/bin", format!("X={}", words.text)], "Labels": { "a": words.line },
    });
    Stored {
        layers,
        config: json!({ "config": config }),
    }
}

fn details_of(words: &Words, release: &Release) -> Vec<ImageDetails> {
    let images = release.images.iter();
    images
        .map(|image| ImageDetails {
            evidence: Some(evidence(words, image)),
            outside: vec![GateVerdict {
                gate: words.name.clone(),
                image: image.label(),
                digest: image.digest.clone(),
                passed: true,
                note: Some(words.line.clone()),
                by: words.line.clone(),
                time: time("2026-11-25T10:20:30Z"),
                tests: 0,
                failed: 0,
                cases: Vec::new(),
            }],
            resolved: Some(json!({ "image": image.image, "steps": [words.text] })),
            stored: Some(stored(words, image.depth)),
            dockerfile: (image.depth < 2).then(|| Dockerfile {
                text: format!("FROM x\n# {}\n", words.text),
                differences: vec![words.line.clone()],
            }),
        })
        .collect()
}

fn entry(
    words: &Words,
    seq: u64,
    kind: MoveKind,
    StoredRelease { digest, release }: &StoredRelease,
) -> LedgerEntry {
    let images = release.images.iter();
    let images = images.filter(|image| image.variant.as_deref() == Some("1"));
    LedgerEntry {
        version: 1,
        kind,
        channel: "quarter".to_owned(),
        seq,
        previous: None,
        release: digest.clone(),
        commit: release.commit.clone(),
        actor: format!("a{}", words.name),
        time: time(&format!("2026-11-2{seq}T10:20:30Z")),
        reason: Some(words.line.clone()),
        waived: vec![words.name.clone()],
        required: Vec::new(),
        drift: Vec::new(),
        images: images
            .map(|image| TagMove {
                label: image.label(),
                repository: image.repository.clone(),
                tag: ImageTag::parse("1-stable").expect("a tag"),
                old: None,
                new: image.digest.clone(),
                depth: image.depth,
            })
            .collect(),
    }
}

/// Three releases with two variants; the newest has details, and the first has been written before.
fn wiki(words: &Words, name: &str) -> Wiki {
    let releases: Vec<_> = (0..3).rev().map(|n| release(words, n, name)).collect();
    let StoredRelease {
        digest: shown,
        release: newest,
    } = &releases[0];
    let channel = Channel {
        name: "quarter".to_owned(),
        entries: vec![
            entry(words, 2, MoveKind::Revert, &releases[0]),
            entry(words, 1, MoveKind::Promote, &releases[1]),
        ],
    };
    let never = Channel {
        name: "stable".to_owned(),
        entries: Vec::new(),
    };
    let names = Names::new(releases.iter());
    let StoredRelease {
        digest: first,
        release: old,
    } = &releases[2];
    let written = old.images.iter().map(|image| {
        let page = names.release(first, image).expect("it has a name");
        names::file(page)
    });
    Wiki {
        stack: "datahub".to_owned(),
        links: Links::Wiki,
        shown: shown.clone(),
        details: BTreeMap::from([(shown.clone(), details_of(words, newest))]),
        channels: vec![channel, never],
        written: written.collect(),
        releases,
    }
}

fn page(file: &str) -> String {
    let made = pages(&wiki(&Words::tame(), "ground"));
    made.pages[file].clone()
}

#[test]
fn home() {
    insta::assert_snapshot!(page("Home.md"));
}

#[test]
fn stable() {
    insta::assert_snapshot!(page("Stable.md"));
}

#[test]
fn lineage() {
    insta::assert_snapshot!(page("Lineage.md"));
}

#[test]
fn sidebar() {
    insta::assert_snapshot!(page("_Sidebar.md"));
}

#[test]
fn an_image() {
    insta::assert_snapshot!(page("side.md"));
}

#[test]
fn an_image_of_a_release() {
    insta::assert_snapshot!(page("side--1-0000002.md"));
}

#[test]
fn with_a_record_alone_a_page_is_short() {
    let mut wiki = wiki(&Words::tame(), "ground");
    for StoredRelease { release, .. } in &mut wiki.releases {
        for image in &mut release.images {
            image.variant = None;
            image.verdicts.clear();
            image.dropped.clear();
            image.checks = None;
            image.base_digest = None;
            image.size = 0;
        }
        release.images.truncate(1);
    }
    wiki.details = BTreeMap::from([(wiki.shown.clone(), vec![ImageDetails::default()])]);
    let made = pages(&wiki);
    insta::assert_snapshot!(made.pages["ground--1-0000002.md"]);
    insta::assert_snapshot!(made.pages["Home.md"]);
}

#[test]
fn pages_of_earlier_releases_stay_and_others_go() {
    let mut wiki = wiki(&Words::tame(), "ground");
    for file in ["gone.md", "gone--1-x.md", "../x.md", ".git/config"] {
        wiki.written.insert(file.to_owned());
    }
    let made = pages(&wiki);
    assert!(made.kept.contains("leaf-notebook--2-0000000.md"));
    assert!(!made.pages.contains_key("leaf-notebook--2-0000000.md"));
    let stale: Vec<_> = made.stale(&wiki.written).collect();
    assert_eq!(stale, ["gone--1-x.md", "gone.md"]);
}
