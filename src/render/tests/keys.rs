//! Every key of the spec is in what is rendered, or listed with the reason why it is not: no setting is lost silently.
//!
//! The cases are those of cache keys: two images that differ in one key alone.
#![expect(clippy::duplicate_mod, reason = "rooms share no tests")]

#[path = "../../plan/tests/conda_cases.rs"]
mod conda_cases;
#[path = "../../plan/tests/dockerfile_cases.rs"]
mod dockerfile_cases;
#[path = "../../plan/tests/key_cases.rs"]
mod key_cases;
#[path = "../../plan/tests/mount_cases.rs"]
mod mount_cases;

use std::collections::BTreeSet;

use conda_cases::CONDA;
use dockerfile_cases::DOCKERFILES;
use key_cases::{Case, IN_KEY, NOT_IN_KEY, case};
use mount_cases::MOUNTS_AND_TEXTS;

use super::*;
use crate::stack::schema;
use crate::testing::stack_with;

/// Files that the cases use.
const FILES: [(&str, &str); 9] = [
    ("images/i/d/z", "z"),
    (
        "images/i/Dockerfile",
        "ARG A\nFROM c AS one\nCOPY . /\nFROM one AS two\n",
    ),
    ("images/i/Other", "FROM debian:13\n"),
    ("images/i/x", "x"),
    ("images/i/y", "y"),
    ("images/i/a.sh", "#!/bin/sh\n"),
    ("images/i/b.sh", "#!/bin/sh\n"),
    ("images/i/a.yml", "name: a\n"),
    ("images/i/b.yml", "name: a\n"),
];

/// Keys of an image that are the same with two values: a note says that they are left out, or nothing of the files
/// depends on them.
const SAME: &[&str] = &[
    // A note for any period.
    "an image: refresh",
    // A note if the base has triggers.
    "`config`: onbuild",
];

/// Keys of the whole spec.
const OF_SPEC: &[Case] = &[
    case("the spec: stack", "stack: s", "stack: t"),
    case("the spec: registry", "registry: r.io/a", "registry: r.io/b"),
    case(
        "the spec: channels",
        "tags: [\"${commit}\"]",
        "tags: [\"${commit}\"]\nchannels: { stable: { tag: stable } }",
    ),
    case(
        "the spec: writable",
        "shell: [/bin/sh, -c]",
        "writable: { gid: 1, paths: [/x] }",
    ),
    case(
        "the spec: policy",
        "shell: [/bin/sh, -c]",
        "policy: { user: not-root }",
    ),
    case(
        "the spec: info",
        "shell: [/bin/sh, -c]",
        "info: { t: { run: a } }",
    ),
    case(
        "the spec: tests",
        "shell: [/bin/sh, -c]",
        "tests: { t: { run: a } }",
    ),
    case(
        "the spec: build",
        "shell: [/bin/sh, -c]",
        "build: { ca: ca.pem }",
    ),
    case(
        "the spec: shell",
        "shell: [/bin/sh, -c]",
        "shell: [/bin/bash, -c]",
    ),
    case(
        "the spec: compression",
        "shell: [/bin/sh, -c]",
        "compression: gzip",
    ),
    case(
        "the spec: series",
        "series: a\nimages: { i: { base: \"debian:12\", user: \"${series}\" } }",
        "series: b\nimages: { i: { base: \"debian:12\", user: \"${series}\" } }",
    ),
    case(
        "the spec: vars",
        "vars: { v: a }\nimages: { i: { base: \"debian:12\", user: \"${v}\" } }",
        "vars: { v: b }\nimages: { i: { base: \"debian:12\", user: \"${v}\" } }",
    ),
    case(
        "the spec: variants",
        "shell: [/bin/sh, -c]",
        "variants: { a: {}, b: {} }",
    ),
    case(
        "the spec: images",
        "images: { i: { base: \"debian:12\" } }",
        "images: { j: { base: \"debian:12\" } }",
    ),
];

/// Keys of the whole spec that nothing is rendered of.
const NOT_OF_SPEC: &[&str] = &[
    // `TAG` of the bake file is set at the build.
    "the spec: tags",
    // What is built without laminate is in no staging repository.
    "the spec: staging",
];

/// Returns all files and notes of a spec as text.
fn whole(spec: &str, files: &[(&str, &str)]) -> String {
    let stack = stack_with(spec, files);
    let config =
        BaseConfig::parse(br#"{"config":{"Env":["PATH=/bin","A=0"]}}"#).expect("an object");
    let external = stack.external_images().into_iter();
    let digest = Digest::of(b"one for all");
    let external: BTreeMap<_, _> = external.map(|it| (it.clone(), digest.clone())).collect();
    let facts = Facts {
        bases: external
            .keys()
            .map(|it| (it.clone(), config.clone()))
            .collect(),
        dockerfiles: stack.ids().map(|id| (id, config.clone())).collect(),
        external,
    };
    let made = render(&stack, &facts).unwrap_or_else(|problems| panic!("{spec}: {problems:?}"));
    format!("{:?}\n{:?}", made.files, made.notes)
}

/// Returns the spec of an image with some settings.
fn of_image(settings: &str) -> String {
    let has_base = settings.starts_with("base:") || settings.starts_with("dockerfile:");
    let base = if has_base { "" } else { "base: debian:12\n" };
    let is_unused = !has_base && !settings.contains("steps:");
    let step = if is_unused {
        "\nsteps: [{ run: a }]"
    } else {
        ""
    };
    let settings = format!("{base}{settings}{step}").replace('\n', "\n    ");
    format!(
        "stack: s\nregistry: localhost/x\nwritable: {{ gid: 100, paths: [/w] }}\nimages:\n  i:\n    {settings}\n"
    )
}

/// Returns a spec with some settings.
fn of_spec(settings: &str) -> String {
    let mut text = settings.to_owned();
    if !settings.contains("stack:") {
        text.push_str("\nstack: s");
    }
    if !settings.contains("registry:") {
        text.push_str("\nregistry: localhost/x");
    }
    if !settings.contains("images:") {
        text.push_str("\nimages: { i: { base: \"debian:12\", steps: [{ run: a }] } }");
    }
    format!("{text}\n")
}

#[test]
fn every_key_is_in_what_is_rendered_or_exempt() {
    let mut same = BTreeSet::new();
    for cases in [IN_KEY, CONDA, DOCKERFILES, MOUNTS_AND_TEXTS, NOT_IN_KEY] {
        for Case { key, one, other } in cases {
            if whole(&of_image(one), &FILES) == whole(&of_image(other), &FILES) {
                same.insert(*key);
            }
        }
    }
    assert_eq!(same, SAME.iter().copied().collect());
    for Case { key, one, other } in OF_SPEC {
        assert_ne!(
            whole(&of_spec(one), &[]),
            whole(&of_spec(other), &[]),
            "{key}"
        );
    }
    let noted = schema::noted();
    let noted = noted.iter().map(String::as_str);
    let noted: BTreeSet<&str> = noted.filter(|key| key.starts_with("the spec: ")).collect();
    let listed = OF_SPEC.iter().map(|case| case.key);
    let listed: BTreeSet<&str> = listed.chain(NOT_OF_SPEC.iter().copied()).collect();
    assert_eq!(noted, listed, "a key of the spec without a case");
}
