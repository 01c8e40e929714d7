//! Specs that are wrong: each message whole, on its place; all of a file at once; and no text makes
//! the program panic.

use camino::Utf8Path;
use laminate::diagnostic::render;
use laminate::stack::{LoadFailure, Overrides, Stack, load};
use proptest::prelude::*;

const GOOD: &str = r#"stack: bad
registry: registry.example.org/team
tags: ["b-${commit7}"]
vars: { word: one }
images:
  ground:
    base: debian:bookworm
    steps:
      - run: echo ground
  child:
    base: ground
    apt: [git]
"#;

/// What is done to the good spec: a text of it and what stands there instead.
const BAD: &[(&str, &str)] = &[
    ("stack: bad", "stak: bad"),
    ("stack: bad", "stack: Bad Name"),
    ("stack: bad\n", "stack: bad\nstack: again\n"),
    ("registry.example.org/team", "team"),
    ("vars: { word: one }", "vars: [word]"),
    ("vars: { word: one }", "vars: { word: one, word: two }"),
    ("vars: { word: one }", "vars: { word: [one] }"),
    ("vars: { word: one }", r#"vars: { word: "${other}" }"#),
    (
        "vars: { word: one }",
        r#"vars: { word: "${second}", second: "${word}" }"#,
    ),
    ("vars: { word: one }", "vars: { series: one }"),
    ("vars: { word: one }", r#"vars: { word: "${a b}" }"#),
    ("${commit7}", "${comit7}"),
    ("b-${commit7}", "b ${commit7}"),
    ("b-${commit7}", "${series}-${commit7}"),
    ("b-${commit7}", "stable"),
    ("b-${commit7}", "1.${n}"),
    (r#"["b-${commit7}"]"#, "[]"),
    (r#"["b-${commit7}"]"#, r#"["b-${commit7}", "b-${commit7}"]"#),
    ("base: ground", "base: grund"),
    ("base: ground", "base: ubuntu"),
    ("base: ground", "base: child"),
    ("base: debian:bookworm", "base: child"),
    ("base: debian:bookworm", "base: [debian]"),
    ("base: debian:bookworm", r#"base: "Upper/CASE:x y""#),
    ("base: debian:bookworm", r#"base: "debian:${comit}""#),
    ("    base: debian:bookworm\n", ""),
    ("  child:\n", "  ground:\n"),
    ("  child:\n", "  Child:\n"),
    ("  child:\n    base: ground\n    apt: [git]\n", "  child:\n"),
    ("apt: [git]", "apt: []"),
    ("apt: [git]", "apt: { package: [git] }"),
    ("apt: [git]", "apt: git"),
    ("apt: [git]", "apt: [--yes]"),
    ("apt: [git]", "aptt: [git]"),
    ("apt: [git]", "pip: missing.txt"),
    ("apt: [git]", "pip: requirement.txt"),
    ("apt: [git]", "pip: includes.txt"),
    ("apt: [git]", "pip: { tool: poetry, packages: [x] }"),
    ("apt: [git]", "conda: { channels: [x] }"),
    ("apt: [git]", "copy: { /x: ../../outside }"),
    ("apt: [git]", "copy: { /x: /etc/passwd }"),
    ("apt: [git]", "copy: { relative: requirements.txt }"),
    ("apt: [git]", "copy: { /x: \"*.nothing\" }"),
    ("apt: [git]", "copy: { /x: { git: https://example.org/x } }"),
    ("apt: [git]", "dockerfile: Dockerfile"),
    ("apt: [git]", "cran: [dplyr]"),
    ("apt: [git]", "env: { 'A=B': x }"),
    ("apt: [git]", "env: { A: { append: x, prepend: y } }"),
    ("apt: [git]", "user: \"${env:USER}\""),
    ("apt: [git]", "config: { ports: [eight] }"),
    ("apt: [git]", "config: { usr: x }"),
    ("apt: [git]", "config: { cmd: run this }"),
    (
        "apt: [git]",
        "config: { healthcheck: { test: x, interval: 3 } }",
    ),
    ("apt: [git]", "steps: [{ run: x, exec: [y] }]"),
    ("apt: [git]", "steps: [{ name: nothing }]"),
    ("apt: [git]", "steps: [run]"),
    ("apt: [git]", "steps: [{ group: [] }]"),
    (
        "apt: [git]",
        "steps: [{ group: [{ group: [{ run: x }] }] }]",
    ),
    ("apt: [git]", "steps: [{ script: none.sh }]"),
    ("apt: [git]", "steps: [{ script: requirements.txt }]"),
    ("apt: [git]", "steps: [{ perms: { /x: { mode: '99' } } }]"),
    (
        "apt: [git]",
        "steps: [{ perms: { /x: { owner: \"a b\" } } }]",
    ),
    ("apt: [git]", "steps: [{ link: { /x: [y] } }]"),
    ("apt: [git]", "steps: [{ run: x, network: host }]"),
    ("apt: [git]", "steps: [{ run: x, when: { wrd: one } }]"),
    ("apt: [git]", "steps: [{ write: { /x/: text } }]"),
    ("apt: [git]", "writable: { gid: many, paths: [/x] }"),
    ("apt: [git]", "writable: { gid: 100, paths: [/] }"),
    ("apt: [git]", "refresh: hourly"),
    ("apt: [git]", "repository: ground"),
    ("apt: [git]", "tests: { own: { pytest: nowhere } }"),
    ("apt: [git]", "tests: { own: { skip: because } }"),
    ("apt: [git]", "apt: [git"),
    ("images:", "variants: { a: {}, b: {} }\nimages:"),
    ("images:", "variants: { a: { skip: [ground] } }\nimages:"),
    ("images:", "variants: { a: { only: [nobody] } }\nimages:"),
    (
        "images:",
        "channels: { stable: { tag: stable, from: quarter } }\nimages:",
    ),
    (
        "images:",
        "channels: { a: { tag: x }, b: { tag: x } }\nimages:",
    ),
    ("images:", "policy: { root: open }\nimages:"),
    ("images:", "info: { python: { title: Python } }\nimages:"),
    ("apt: [git]", "tests: { own: { pytest: ., run: x } }"),
    ("apt: [git]", "tests: { own: { run: x, ready: /api } }"),
    (
        "apt: [git]",
        "tests: { own: { run: x, requirements: requirements.txt } }",
    ),
    ("apt: [git]", "tests: { own: { serve: 8888, ready: api } }"),
    (
        "apt: [git]",
        "tests: { own: { serve: 8888, then: { serve: 1 } } }",
    ),
    ("apt: [git]", "tests: { own: { run: x, timeout: soon } }"),
    ("apt: [git]", "tests: { own: { run: x, timeout: 0s } }"),
    ("apt: [git]", "tests: { own: { serve: 0 } }"),
    (
        "apt: [git]",
        "tests: { own: { serve: 8888, network: default } }",
    ),
    (
        "apt: [git]",
        "tests: { own: { serve: 8888, requirements: requirements.txt } }",
    ),
    (
        "images:",
        "tests: { own: { run: x } }\nimages:\n  other: { base: ground, tests: { own: { skip: because, run: y } } }",
    ),
    ("apt: [git]", "tests: { checks: { run: x } }"),
    ("apt: [git]", "tests: { own: { run: x, replace: true } }"),
    (
        "images:",
        "tests: { own: { run: x } }\nimages:\n  other: { base: ground, tests: { own: { run: y } } }",
    ),
    ("images:", "policy: { writable: [/opt] }\nimages:"),
    ("images:", "policy: { layers: { size: big } }\nimages:"),
    (
        "images:",
        "policy: { refs: { publish: ['[main'] } }\nimages:",
    ),
    ("apt: [git]", "policy: { refs: { publish: [main] } }"),
    (
        "images:",
        "channels: { a: { tag: x, gates: [gpu: [grund]] } }\nimages:",
    ),
    (
        "images:",
        "channels: { a: { tag: x, from: c }, b: { tag: y, from: a }, c: { tag: z, from: b }, d: { tag: d, from: a } }\nimages:",
    ),
    (
        "images:",
        "channels: { a: { tag: x }, b: { tag: y, from: a, auto: true } }\nimages:",
    ),
    ("images:", "channels: { number: { tag: x } }\nimages:"),
    (
        "images:",
        "channels: { a23456789b23456789c23456789d23456789e23456789f23456789g23456789h23456789i23456789j23456789k23456789l23: { tag: x } }\nimages:",
    ),
];

fn files(folder: &Utf8Path) {
    let child = folder.join("images/child");
    std::fs::create_dir_all(&child).expect("a folder");
    for (name, text) in [
        ("requirements.txt", "six==1.16.0\n"),
        ("includes.txt", "-r ../nowhere.txt\n"),
    ] {
        std::fs::write(child.join(name), text).expect("a file");
    }
}

fn read(folder: &Utf8Path, spec: &str) -> Result<Stack, String> {
    let file = folder.join("specs.yml");
    std::fs::write(&file, spec).expect("a file");
    load(&file, &Overrides::default()).map_err(|failure| match failure {
        LoadFailure::Files(error) => error.to_string(),
        LoadFailure::Spec { sources, problems } => render(&problems, &sources, false),
    })
}

fn folder() -> (tempfile::TempDir, camino::Utf8PathBuf) {
    let kept = tempfile::tempdir().expect("a folder");
    let path = Utf8Path::from_path(kept.path()).expect("UTF-8").to_owned();
    files(&path);
    (kept, path)
}

#[test]
fn each_message_is_whole_and_on_its_place() {
    let (_kept, folder) = folder();
    assert!(read(&folder, GOOD).is_ok(), "the good spec is good");
    let mut all = String::new();
    for (old, new) in BAD {
        assert!(GOOD.contains(old), "{old}");
        let said = match read(&folder, &GOOD.replacen(old, new, 1)) {
            Ok(_) => "ACCEPTED\n".to_owned(),
            Err(said) => said,
        };
        all.push_str(&format!("=== {old:?} → {new:?}\n{said}\n"));
    }
    assert!(BAD.len() >= 40);
    assert!(!all.contains("ACCEPTED"), "{all}");
    insta::assert_snapshot!(all);
}

#[test]
fn all_errors_of_all_files_are_said_at_once() {
    let (_kept, folder) = folder();
    for name in ["ground", "nobody"] {
        std::fs::create_dir_all(folder.join("images").join(name)).expect("a folder");
    }
    std::fs::write(folder.join("images/ground/image.yml"), "bse: x\n").expect("a file");
    let spec = GOOD
        .replace("stack: bad", "stack: bad\nfoo: bar")
        .replace(
            "  ground:\n    base: debian:bookworm\n    steps:\n      - run: echo ground\n",
            "  ground:\n",
        )
        .replace("base: ground", "base: grund")
        .replace("apt: [git]", "aptt: [git]");
    insta::assert_snapshot!(read(&folder, &spec).expect_err("wrong"));
}

#[test]
fn a_cycle_of_three_is_shown_whole() {
    let (_kept, folder) = folder();
    let spec = "stack: x\nimages:\n  child: { base: b }\n  b: { base: c }\n  c: { base: child }\n";
    insta::assert_snapshot!(read(&folder, spec).expect_err("wrong"), @r"
    error: images stand on each other: child → b → c → child
     --> specs.yml:3:18
      |
    3 |   child: { base: b }
      |                  ^ `child` stands on `b`
    4 |   b: { base: c }
      |              - `b` stands on `c`
    5 |   c: { base: child }
      |              ----- `c` stands on `child`
    ");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_text_makes_it_panic(at in 0..GOOD.len(), cut in 0..40_usize, put in "[ -~\n]{0,12}") {
        let (_kept, folder) = folder();
        let mut spec = GOOD.to_owned();
        let end = (at + cut).min(spec.len());
        spec.replace_range(at..end, &put);
        // Right or wrong, it is said.
        let _said = read(&folder, &spec);
    }
}
