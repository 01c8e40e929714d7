//! Reports, lists, output and names that programs and registries write.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::records::is_same;
use crate::compile::{BaseConfig, Compiler, StepEnvironment};
use crate::docs::Stored;
use crate::evidence::{Evidence, SuiteOutput, SuiteRun, Verdict, junit, packages};
use crate::llb::{Graph, Platform};
use crate::mask::{Held, Mask};
use crate::name::{Commit, Digest, Reference, Repository, Tag};
use crate::nodes::reported;
use crate::oci::{Image, Index, media_type};
use crate::shown;
use crate::stack::{ImageId, Overrides};
use crate::tail::{Stream, Tail};

/// A JUnit report: it gives a verdict, which is stored and reported again without a change.
pub fn junit(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let run = SuiteRun {
        key: Digest::of(b"suite"),
        from: None,
        timeout: Duration::from_secs(1),
        reports: true,
        seconds: 0.5,
        time: Timestamp::UNIX_EPOCH,
    };
    let output = SuiteOutput {
        exit: Some(0),
        log: String::new(),
        reason: None,
        junit: Some(text.clone()),
        overdue: false,
        running: None,
    };
    let verdict = Verdict::from_output(run, output);
    assert!(!verdict.summary().is_empty());
    let failed = verdict.cases.iter().any(|case| case.has_failed());
    assert!(!(verdict.passed && failed), "passed with a failed test");
    let mut evidence = Evidence::new("a", Digest::of(b"key"), Digest::of(b"image"));
    evidence.suites.insert("own".to_owned(), verdict.clone());
    let written = serde_json::to_string(&evidence).expect("plain data");
    let read: Evidence = serde_json::from_str(&written).expect("it was written");
    assert!(is_same(&read, &evidence), "{written}");
    let report = junit::report("t", [("a own".to_owned(), &verdict)]);
    let cases = junit::parse(&report).unwrap_or_else(|error| panic!("{error}: {report}"));
    for (read, case) in cases.iter().zip(&verdict.cases) {
        assert_eq!(read.outcome, case.outcome, "{report}");
    }
}

/// Lists of packages, of the images on nodes, and of files in an index of packages; certificates.
pub fn lists(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(list) = packages::parse(&text) {
        assert!(!list.is_empty() && list.is_sorted());
    }
    if let Ok(nodes) = reported::nodes("node", &text) {
        assert!(
            nodes
                .iter()
                .all(|node| !node.name.is_empty() || text.contains("\"\""))
        );
    }
    crate::tool::fuzz::index(&text);
    crate::cli::fuzz::certificates_alone(bytes);
}

/// Manifests, indexes and configs: read leniently, and every config gives a config.
pub fn manifests(bytes: &[u8]) {
    let _type = media_type(bytes);
    if let Ok(index) = Index::parse(bytes) {
        assert!(index.by_variant().len() <= index.entries.len());
    }
    crate::gather::fuzz::indexes(bytes);
    let image = Image::parse(bytes);
    if let Ok(image) = &image {
        assert!(image.blobs().len() <= image.layers.len() + 1);
        let _size = image.size();
        let stored = Stored::parse(image, br#"{"history":[{"created_by":"x"}]}"#);
        assert_eq!(stored.expect("JSON").layers.len(), image.layers.len());
    }
    let Ok(config) = BaseConfig::parse(bytes) else {
        return;
    };
    let config = config.with_platform("linux", "amd64");
    if let Ok(image) = Image::parse(&manifest_of_layers(3)) {
        let _stored = Stored::parse(&image, bytes).expect("it is JSON");
    }
    on_base(config);
}

fn manifest_of_layers(count: usize) -> Vec<u8> {
    let blob = json!({ "digest": Digest::of(b"x").as_str(), "size": 1 });
    json!({ "config": blob, "layers": vec![blob.clone(); count] })
        .to_string()
        .into_bytes()
}

/// Compiles an image on a base with this config, or refuses it with a place.
fn on_base(config: BaseConfig) {
    let spec = "stack: t\nimages:\n  a:\n    base: debian:12\n    env: { A: { append: x }, PATH: \"/x:${env:PATH}\" }\n    \
        steps: [{ run: x }, { group: [{ run: x }, { run: y }] }]\n    tests: { own: { serve: 80, ready: /, then: { run: x } } }\n";
    let Ok(stack) = crate::testing::parse(spec, &[], &Overrides::default()) else {
        unreachable!("the spec is valid");
    };
    let environment = StepEnvironment::default();
    let mut compiler = Compiler::new(&stack, &environment, Graph::new(Platform::linux("amd64")));
    let reference = Reference::parse("debian:12").expect("valid");
    let output = compiler.reference(&reference, "a");
    let base = crate::compile::BaseState { output, config };
    if let Ok(made) = compiler.image(ImageId(0), base) {
        let state = made.state();
        for suite in &stack[ImageId(0)].proof.suites {
            let _made = compiler.suite(ImageId(0), &state, suite);
        }
        let written = made.config.0.to_string();
        let read: Value = serde_json::from_str(&written).expect("it was written");
        assert_eq!(read, made.config.0);
    }
}

/// What names can be written as: what parses is shown as a text that parses to the same.
pub fn names(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for text in text.lines() {
        if let Ok(name) = Reference::parse(text) {
            let shown = name.to_string();
            assert_eq!(Reference::parse(&shown).as_ref(), Ok(&name), "{shown}");
            let pinned = name.pinned(Digest::of(b"x"));
            assert_eq!(Reference::parse(&pinned.to_string()).as_ref(), Ok(&pinned));
        }
        if let Ok(name) = Repository::parse(text) {
            assert_eq!(Repository::parse(&name.to_string()).as_ref(), Ok(&name));
            assert!(!name.host().is_empty() && !name.path().is_empty(), "{name}");
        }
        if let Ok(tag) = Tag::parse(text) {
            assert_eq!(tag.as_str(), text);
        }
        if let Ok(digest) = Digest::parse(text) {
            assert_eq!((digest.as_str(), digest.hex().len()), (text, 64));
        }
        if let Ok(commit) = Commit::parse(text) {
            assert!(commit.as_str().starts_with(commit.short()));
        }
    }
    let stack = crate::testing::stack(
        "stack: t\nimages:\n  a: { base: \"debian:12\" }\n  b: { base: a }\n",
    );
    let words: Vec<String> = text.lines().map(str::to_owned).collect();
    if let Err(error) = crate::plan::select(&stack, &words) {
        assert!(!error.to_string().is_empty());
    }
}

/// Output of programs, cut anywhere: it keeps no command of a terminal and no secret.
pub fn output(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let shown = shown::text(&text, true);
    assert!(!shown.contains("##["));
    assert!(
        !shown
            .lines()
            .any(|line| line.trim_start().starts_with("::"))
    );
    assert!(!shown.contains(['\r', '\u{9b}', '\u{7}', '\0', '\u{202e}']));
    assert_eq!(shown::text(&shown, true), shown);
    let document = json!({ text.as_ref(): text }).to_string();
    let read: Value = serde_json::from_str(&shown::json(&document)).expect("JSON");
    assert_eq!(read, json!({ text.as_ref(): text }));

    let cut = bytes
        .first()
        .map_or(0, |first| usize::from(*first) * bytes.len() / 256);
    let (first, second) = bytes.split_at(cut);
    let lines = |pieces: &[&[u8]]| {
        let mut tail = Tail::new(20);
        for piece in pieces {
            tail.push(Stream::Output, piece);
        }
        (tail.last(), tail.end(), tail.lines())
    };
    let whole = lines(&[bytes]);
    assert!(whole.2.len() <= 20);
    assert_eq!(lines(&[first, second]), whole);

    let secret = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let mask = Mask::new([secret, b"hunter22"]);
    let mut held = Held::default();
    let mut masked = mask.push(&mut held, first);
    masked.extend(mask.push(&mut held, second));
    masked.extend(mask.end(&mut held));
    assert!(!masked.windows(8).any(|part| part == b"hunter22"));
    if let Ok(mut text) = String::from_utf8(bytes.to_vec()) {
        mask.text(&mut text);
        assert_eq!(String::from_utf8_lossy(&masked), text);
    }
}
