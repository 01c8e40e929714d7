//! Every key of an image and of its steps is in the cache key, or listed with the reason why it is not.

use std::collections::BTreeSet;

use super::conda_cases::CONDA;
use super::dockerfile_cases::DOCKERFILES;
use super::key_cases::{Case, IN_KEY, NOT_IN_KEY};
use super::mount_cases::MOUNTS_AND_TEXTS;
use super::*;
use crate::stack::schema;

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

fn key_of(settings: &str) -> Digest {
    let base = if settings.starts_with("base:") || settings.starts_with("dockerfile:") {
        ""
    } else {
        "base: debian:12\n"
    };
    let settings = format!("{base}{settings}").replace('\n', "\n    ");
    let spec = format!(
        "stack: s\nregistry: localhost/x\nwritable: {{ gid: 100, paths: [/w] }}\nimages:\n  i:\n    {settings}\n"
    );
    let stack = crate::testing::stack_with(&spec, &FILES);
    let digest = |reference: &&Reference| ((*reference).clone(), Digest::of(b"one for all"));
    let periods = Periods {
        day: "day".to_owned(),
        week: "week".to_owned(),
        month: "month".to_owned(),
    };
    let facts = KeyFacts {
        external: stack.external_images().iter().map(digest).collect(),
        periods,
        ..KeyFacts::default()
    };
    let keys = Keys::new(&stack, &facts);
    keys.get(ImageId(0)).expect("all is known").key.clone()
}

#[test]
fn every_key_of_an_image_is_in_its_cache_key_or_exempt() {
    for (cases, is_in_key) in [
        (IN_KEY, true),
        (CONDA, true),
        (DOCKERFILES, true),
        (MOUNTS_AND_TEXTS, true),
        (NOT_IN_KEY, false),
    ] {
        for Case { key, one, other } in cases {
            let differs = key_of(one) != key_of(other);
            assert_eq!(differs, is_in_key, "{key}: `{one}` and `{other}`");
        }
    }
    let of_image = |key: &&String| {
        // Those of the spec, of suites and of policies have tests of their own.
        let others = [
            "the spec",
            "suite ",
            "info ",
            "variant ",
            "`policy`",
            "`build`",
            "`compression`",
        ];
        !others.iter().any(|other| key.starts_with(other))
    };
    let noted = schema::noted();
    let noted: BTreeSet<&str> = noted.iter().filter(of_image).map(String::as_str).collect();
    let listed = IN_KEY
        .iter()
        .chain(CONDA)
        .chain(DOCKERFILES)
        .chain(MOUNTS_AND_TEXTS)
        .chain(NOT_IN_KEY)
        .map(|case| case.key);
    assert_eq!(noted, listed.collect(), "a key of the spec without a case");
}

#[test]
fn layers_of_another_compression_have_another_key() {
    let key = |compression: &str| {
        let spec = format!("stack: s\n{compression}\nimages: {{ a: {{ base: \"debian:12\" }} }}");
        let stack = crate::testing::stack(&spec);
        let debian = Reference::parse("debian:12").expect("a reference");
        let facts = KeyFacts {
            external: BTreeMap::from([(debian, Digest::of(b"debian"))]),
            ..KeyFacts::default()
        };
        let keys = Keys::new(&stack, &facts);
        keys.get(ImageId(0)).expect("it is known").key.clone()
    };
    let all = [
        "",
        "compression: { type: zstd, level: 9 }",
        "compression: gzip",
        "compression: { type: gzip, level: 9 }",
        "compression: estargz",
        "compression: uncompressed",
    ];
    let keys: BTreeSet<Digest> = all.iter().map(|text| key(text)).collect();
    assert_eq!(keys.len(), all.len());
    for default in ["compression: zstd", "compression: { type: zstd, level: 3 }"] {
        assert_eq!(key(default), key(""), "{default}");
    }
}

#[test]
fn the_bytes_and_the_executable_bit_of_a_used_file_are_in_the_key() {
    let key = |content: &str, executable: bool| {
        let mut stack = crate::testing::stack_with(
            "stack: s\nimages: { i: { base: \"debian:12\", copy: { /x: x } } }",
            &FILES,
        );
        let file = crate::stack::File::Regular {
            content: content.as_bytes().into(),
            executable,
        };
        stack.files_mut().insert("images/i/x", file);
        let debian = Reference::parse("debian:12").expect("a reference");
        let facts = KeyFacts {
            external: BTreeMap::from([(debian, Digest::of(b"debian"))]),
            ..KeyFacts::default()
        };
        let keys = Keys::new(&stack, &facts);
        keys.get(ImageId(0)).expect("it is known").key.clone()
    };
    assert_ne!(key("a", false), key("b", false));
    assert_ne!(key("a", false), key("a", true));
    assert_eq!(key("a", false), key("a", false));
}

/// How sources are written does not count: a list of one is that one, and the path of a mounted folder can
/// end in `/`.
#[test]
fn two_ways_to_write_one_thing_have_one_key() {
    for (one, other) in [
        ("copy: { /d/: x }", "copy: { /d/: [x] }"),
        ("copy: { /d/: [x, y] }", "copy: { /d/: { from: [y, x] } }"),
        (
            "steps: [{ run: a, mounts: { /m: { bind: d } } }]",
            "steps: [{ run: a, mounts: { /m/: { bind: d/ } } }]",
        ),
    ] {
        assert_eq!(key_of(one), key_of(other), "{one}");
    }
}
