//! Differences of small releases, as a reader sees them.

mod whole;

use serde_json::{Value, json};

use super::*;
use crate::evidence::{Info, Package};

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// A release of a base and the images based on it, and what is stored beside it.
struct Recorded {
    digest: Digest,
    release: Release,
    spec: StoredSpec,
    evidence: BTreeMap<String, Evidence>,
}

impl Recorded {
    fn new(commit: &str, images: Value) -> Self {
        let release = json!({
            "stack": "datahub", "commit": commit, "time": "2026-11-24T12:00:00Z", "run": "r",
            "images": images,
        });
        Self {
            digest: digest(commit),
            release: serde_json::from_value(release).expect("a release"),
            spec: StoredSpec::default(),
            evidence: BTreeMap::new(),
        }
    }

    fn stored(mut self, resolved: Value, components: Value) -> Self {
        let stored = json!({ "resolved": resolved, "components": components });
        let stored = serde_json::from_value(stored).expect("a stored image");
        self.spec.images.push(stored);
        self
    }

    /// Lists of `name=version`; a text without `=` is not a list.
    fn listed(mut self, image: &str, infos: &[(&str, &str)]) -> Self {
        let mut evidence = Evidence::new(image, digest("key"), digest("image"));
        for (name, text) in infos {
            let packages = text.contains('=').then(|| {
                let items = text.split_whitespace().filter_map(|item| {
                    let (name, version) = item.split_once('=')?;
                    Some(Package {
                        name: name.to_owned(),
                        version: version.to_owned(),
                    })
                });
                items.collect()
            });
            let info = Info {
                key: digest(name),
                title: format!("{name} packages"),
                time: None,
                exit: 0,
                text: packages
                    .as_ref()
                    .map_or(text.to_string(), |_| String::new()),
                error: String::new(),
                packages,
            };
            evidence.info.insert((*name).to_owned(), info);
        }
        self.evidence.insert(image.to_owned(), evidence);
        self
    }

    fn snapshot(&self) -> Snapshot<'_> {
        Snapshot {
            digest: &self.digest,
            release: &self.release,
            spec: Some(&self.spec),
            evidence: self.evidence.clone(),
        }
    }
}

/// An image of depth 0 is based on Debian, one of depth 1 on `base`.
fn image(name: &str, version: &str, depth: usize) -> Value {
    let base = if depth == 0 {
        "debian:bookworm"
    } else {
        "base"
    };
    json!({
        "image": name, "variant": null, "depth": depth, "size": 1_000_000 + version.len(),
        "repository": format!("ghcr.io/campus/{name}"), "tags": [],
        "digest": digest(&format!("{name} {version}")), "key": digest(&format!("{name} {version}")),
        "base": base, "base_digest": (depth == 0).then(|| digest("debian")),
    })
}

fn with(mut image: Value, more: Value) -> Value {
    for (name, value) in more.as_object().expect("a mapping") {
        image[name] = value.clone();
    }
    image
}

fn suite(name: &str, passed: bool) -> Value {
    let failed = u32::from(!passed);
    json!({ "suite": name, "digest": digest(name), "passed": passed, "tests": 12, "failed": failed })
}

fn component(kind: &str, what: &str, value: &str) -> Value {
    json!({ "kind": kind, "what": what, "value": value })
}

fn old() -> Recorded {
    let leaf = json!({ "checks": true, "verdicts": [suite("common", true), suite("own", true)] });
    let images = json!([
        image("base", "1", 0),
        with(image("leaf", "1", 1), leaf),
        image("gone", "1", 1),
        image("same", "1", 0)
    ]);
    Recorded::new("a021570", images)
        .stored(
            json!({ "image": "base", "variant": null, "base": "x", "env": { "LANG": "C" }, "user": null,
                    "config.cmd": ["start"], "steps": [] }),
            json!([
                component("base", "debian:bookworm", digest("debian").as_str()),
                component("file", "images/base/requirements.txt", "0644 1"),
                component("config", "env", "1"),
                component("step", "pip: requirements.txt", "1"),
            ]),
        )
        .stored(
            json!({ "image": "leaf", "variant": null }),
            json!([component("parent", "base", "1"), component("var", "cuda", "126")]),
        )
        .listed(
            "base",
            &[
                ("pip", "numpy=2.2.0 six=1.16.0 torch=2.5"),
                ("apt", "git=1 jq=1"),
                ("python", "Python 3.11.8\n"),
                ("r", "a=1"),
            ],
        )
        .listed("leaf", &[("pip", "numpy=2.2.0 six=1.16.0 torch=2.5 keras=3.0")])
}

fn new() -> Recorded {
    let base = json!({ "base_digest": digest("newer debian"), "size": 2_500_000 });
    let leaf = json!({ "checks": false, "verdicts": [suite("common", false), suite("gpu", true)],
                       "dropped": [{ "suite": "own", "reason": "moved to common" }] });
    let images = json!([
        with(image("base", "2", 0), base),
        with(image("leaf", "2", 1), leaf),
        image("come", "1", 1),
        image("same", "1", 0)
    ]);
    Recorded::new("b021570", images)
        .stored(
            json!({ "image": "base", "variant": null, "base": "x", "env": { "LANG": "C.UTF-8" }, "user": "1000",
                    "steps": [] }),
            json!([
                component("base", "debian:bookworm", digest("newer debian").as_str()),
                component("file", "images/base/requirements.txt", "0644 2"),
                component("config", "env", "2"),
                component("config", "user", "1"),
                component("step", "pip: requirements.txt", "1"),
            ]),
        )
        .stored(
            json!({ "image": "leaf", "variant": null }),
            json!([component("parent", "base", "2"), component("var", "cuda", "128")]),
        )
        .listed(
            "base",
            &[
                ("pip", "einops=0.8.0 numpy=2.2.1 torch=2.5"),
                ("apt", "git=1 jq=1"),
                ("python", "Python 3.11.9\n"),
            ],
        )
        .listed("leaf", &[("pip", "einops=0.8.0 numpy=2.2.1 torch=2.5 keras=3.1")])
}

#[test]
fn missing_records_are_reported() {
    let (mut old, mut new) = (old(), new());
    old.evidence.clear();
    new.evidence.clear();
    old.spec.images.clear();
    let difference = difference(&old.snapshot(), &new.snapshot());
    insta::assert_snapshot!(text(&difference), @r"
    from release d758d42c2b99, commit a021570, 2026-11-24T12:00:00Z
    to   release a270cec60222, commit b021570, 2026-11-24T12:00:00Z

    added
      come@752e6a8dfa64

    removed
      gone@b78e1f78dab4

    base  1e9bcb9dd6c0 → caddd7716fba (1.0 MB → 2.5 MB)
      base
        - debian:bookworm@sha256:81d93757457f988523814ae0009837ae893f38d3fe123f2c37896f118b4c7804
        + debian:bookworm@sha256:96f63dbb16f5f61f8e578e11486341a1ee5c2c508984df5d0efc6f8d88058590

    leaf  ccbf76d20974 → bac57df66fe6
      base
        base 1e9bcb9dd6c0 → caddd7716fba
      proven
        checks: passed → failed
        common: passed (12 tests) → failed (1 of 12)
        gpu: not run → passed (12 tests)
        own: passed (12 tests) → dropped (moved to common)

    2 images changed, 1 added, 1 removed, 1 unchanged
    packages are not known of both releases, for base, leaf: set info in specs.yml to list them
    ");
    insta::assert_snapshot!(markdown(&difference), @r"
    From release `d758d42c2b99` (commit `a021570`, 2026-11-24T12:00:00Z) to release `a270cec60222` (commit `b021570`, 2026-11-24T12:00:00Z): 2 images changed, 1 added, 1 removed, 1 unchanged.

    Added: `come`

    Removed: `gone`

    ### base

    1e9bcb9dd6c0 → caddd7716fba (1.0 MB → 2.5 MB)

    **base**

    - `- debian:bookworm@sha256:81d93757457f988523814ae0009837ae893f38d3fe123f2c37896f118b4c7804`
    - `+ debian:bookworm@sha256:96f63dbb16f5f61f8e578e11486341a1ee5c2c508984df5d0efc6f8d88058590`

    ### leaf

    ccbf76d20974 → bac57df66fe6

    **base**

    - `base 1e9bcb9dd6c0 → caddd7716fba`

    **proven**

    - `checks: passed → failed`
    - `common: passed (12 tests) → failed (1 of 12)`
    - `gpu: not run → passed (12 tests)`
    - `own: passed (12 tests) → dropped (moved to common)`

    packages are not known of both releases, for base, leaf: set info in specs.yml to list them
    ");
}

#[test]
fn a_release_does_not_differ_from_itself() {
    let recorded = new();
    let difference = difference(&recorded.snapshot(), &recorded.snapshot());
    assert!(difference.is_empty());
    insta::assert_snapshot!(text(&difference), @r"
    from release a270cec60222, commit b021570, 2026-11-24T12:00:00Z
    to   release a270cec60222, commit b021570, 2026-11-24T12:00:00Z

    0 images changed, 4 unchanged
    ");
}

#[test]
fn an_image_with_new_results_alone_did_not_change() {
    let (before, mut after) = (new(), new());
    after.release.images[0].checks = Some(false);
    let difference = difference(&before.snapshot(), &after.snapshot());
    let text = text(&difference);
    let last = text.lines().last();
    assert_eq!(
        last,
        Some("0 images changed, 1 with other results, 3 unchanged")
    );
}

fn point<'a>(recorded: &'a Recorded, label: &str) -> Point<'a> {
    Point {
        digest: &recorded.digest,
        release: &recorded.release,
        image: recorded.release.image(label).expect("it is there"),
    }
}

#[test]
fn why_an_image_has_another_digest() {
    let (old, new) = (old(), new());
    let shown = |before: Option<(&Recorded, &str)>, now: &Recorded, label: &str| -> String {
        let before = before.map(|(recorded, label)| (point(recorded, label), Some(&recorded.spec)));
        let before = before.as_ref().map(|(point, spec)| (point, *spec));
        let list = reasons(before, (&point(now, label), Some(&now.spec)));
        let texts: Vec<String> = list.into_iter().map(|reason| reason.text).collect();
        texts.join("\n")
    };
    insta::assert_snapshot!(shown(Some((&old, "leaf")), &new, "leaf"), @r"
    variable cuda changed from `126` to `128`
    its base base is rebuilt
    base: images/base/requirements.txt changed
    base: debian:bookworm is now 96f63dbb16f5, it was 81d93757457f
    base: `env` changed
    base: `user` is new
    ");
    assert_eq!(shown(None, &new, "come"), "this is its first release");
    let again = shown(Some((&new, "leaf")), &new, "leaf");
    assert_eq!(
        again,
        "it was rebuilt from the same inputs, with another result"
    );
    let unknown = reasons(
        Some((&point(&old, "leaf"), None)),
        (&point(&new, "leaf"), Some(&new.spec)),
    );
    assert_eq!(unknown.len(), 1);
}
