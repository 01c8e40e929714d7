//! Invalid specs: each message whole, on its place; all faults of all files at once; and no text
//! makes the program panic.

use laminate::testing::parse;
use laminate::testing::render;
use laminate::testing::spec::{LoadFailure, Overrides, Stack, load};
use proptest::prelude::*;

pub const GOOD: &str = r#"stack: bad
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

/// Changes of the valid spec: a text of it and its replacement.
pub const BAD: &[(&str, &str)] = &[
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
    ("base: ground", "base: registry.example.org/team/ground2"),
    ("base: ground", "base: localhost:5000/x"),
    ("apt: [git]", "copy: { /x: { image: grund, from: /x } }"),
    ("apt: [git]", "copy: { /x: { image: busybox, from: /x } }"),
    (
        "apt: [git]",
        "copy: { /x: { image: ghcr.io/other/ground, from: /x } }",
    ),
    ("apt: [git]", "copy: { /x: { image: \"a b:1\", from: /x } }"),
    (
        "apt: [git]",
        "steps: [{ group: [{ copy: { /x: { image: child, from: /x } } }] }]",
    ),
    (
        "images:",
        "variants: { a: { skip: [other] } }\nimages:\n  other: { base: ground }\n  third: { base: ground, copy: { /x: { image: other, from: /x } } }",
    ),
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
    ("apt: [git]", "conda: { packages: [x], prefix: opt/x }"),
    ("apt: [git]", "conda: { packages: [x], prefix: / }"),
    ("apt: [git]", "conda: { packages: [x], prefix: /x, env: y }"),
    ("apt: [git]", "conda: { packages: [x], env: ../y }"),
    ("apt: [git]", "conda: { packages: [x], tool: rattle }"),
    ("apt: [git]", "conda: [numpy, dist/x-1-0.conda]"),
    ("apt: [git]", "conda: { packages: [x], channels: [./c] }"),
    (
        "apt: [git]",
        "conda: { packages: [x], channels: [\"https://host/t/word/c\"] }",
    ),
    (
        "apt: [git]",
        "pip: { packages: [six], index: \"https://user:word@host/simple\" }",
    ),
    ("apt: [git]", "pip: [\"git+https://user:word@host/x.git\"]"),
    (
        "apt: [git]",
        "steps: [{ run: curl https://user:word@host/x }]",
    ),
    (
        "vars: { word: one }\nimages:\n  ground:",
        "vars: { word: one }\nimages:\n  ground:\n    vars: { u: user }\n    pip: [\"x @ https://${u}:${word}@host/x.whl\"]",
    ),
    (
        "vars: { word: one }",
        "vars: { word: \"https://user:word@host/\" }",
    ),
    ("apt: [git]", "pip: [./nowhere]"),
    ("apt: [git]", "copy: { /x: ../../outside }"),
    ("apt: [git]", "copy: { /x: /etc/passwd }"),
    ("apt: [git]", "copy: { relative: requirements.txt }"),
    ("apt: [git]", "copy: { /x: \"*.nothing\" }"),
    ("apt: [git]", "copy: { /x: { git: https://example.org/x } }"),
    ("apt: [git]", "dockerfile: Dockerfile"),
    ("apt: [git]", "steps: [{ dockerfile: Dockerfile }]"),
    ("apt: [git]", "cran: [dplyr]"),
    ("apt: [git]", "env: { 'A=B': x }"),
    ("apt: [git]", "env: { A: { append: x, prepend: y } }"),
    ("apt: [git]", "repository: \"${env:USER}\""),
    ("apt: [git]", "config: { ports: [eight] }"),
    ("apt: [git]", "config: { usr: x }"),
    ("apt: [git]", "config: { cmd: { run: this } }"),
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
    ("apt: [git]", "writable: { add: [/x] }"),
    ("apt: [git]", "writable: { add: [/x], gid: 100 }"),
    ("apt: [git]", "refresh: hourly"),
    ("apt: [git]", "repository: ground"),
    ("apt: [git]", "tests: { own: { pytest: nowhere } }"),
    ("apt: [git]", "tests: { own: { skip: because } }"),
    ("apt: [git]", "apt: [git"),
    ("images:", "variants: { a: {}, b: {} }\nimages:"),
    ("images:", "variants: { a: { skip: [ground] } }\nimages:"),
    ("images:", "variants: { a: { only: [absent] } }\nimages:"),
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
    (
        "apt: [git]",
        "tests: { own: { pytest: ., select: [\"test_x.py::test_y\"] } }",
    ),
    (
        "apt: [git]",
        "tests: { own: { serve: 8888, select: x, then: { run: x, marks: y } } }",
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
        "policy: { root: lock }\nchannels: { a: { tag: x, gates: [checks] } }\nimages:",
    ),
    (
        "    apt: [git]",
        "    apt: [git]\n    tests: { web: { port: 80 } }",
    ),
    (
        "images:",
        "channels: { a: { tag: x, gates: [checks] } }\nimages:",
    ),
    (
        "images:",
        "channels: { a: { tag: x, gates: [checks: [child]] } }\nimages:",
    ),
    (
        "    apt: [git]",
        "    apt: [git]\n    tests: { one: { run: 'true' } }\n  bare: { base: 'debian:12' }\nchannels: { a: { tag: x, gates: [one: [bare, child]] } }",
    ),
    (
        "    apt: [git]",
        "    apt: [git]\nchannels: { a: { tag: x, gates: [checks] }, b: { tag: y, gates: [gpu] } }\n",
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
    // A word list as a string, and a string that is a path.
    ("apt: [git]", "config: { shell: bash -lc }"),
    ("apt: [git]", "config: { cmd: \"\" }"),
    (
        "apt: [git]",
        "config: { workdir: work, volumes: [\"${env:HOME}\"] }",
    ),
    ("apt: [git]", "apt: apt.txt"),
    (
        "apt: [git]",
        "steps: [{ append: { /etc/hosts: x } }, { group: [{ write: { /dev/x: x } }] }]",
    ),
    (
        "apt: [git]",
        "pip: { packages: [a], tool: pip, index-strategy: first-index }",
    ),
    (
        "apt: [git]",
        "apt: { packages: [a], sources: [{ uri: \"https://x.org\", suite: stable, key: k }] }",
    ),
    (
        "apt: [git]",
        "steps: [{ run: a, secrets: { k: { mode: \"999\" } } }]",
    ),
    // Mounts, and several sources.
    (
        "apt: [git]",
        "steps: [{ run: a, mounts: { /x: { type: tmpfs }, y: { tmpfs: } } }]",
    ),
    (
        "apt: [git]",
        "steps: [{ run: a, mounts: { /x: { image: grund } } }]",
    ),
    (
        "apt: [git]",
        "steps: [{ run: a, mounts: { /x: { image: child } } }]",
    ),
    (
        "apt: [git]",
        "steps: [{ run: a, secrets: { k: /x }, finish: { /y/z: { mode: g+w } }, mounts: { /x/y: { tmpfs: }, /y: { cache: c } } }]",
    ),
    (
        "apt: [git]",
        "steps: [{ group: [{ run: a, mounts: { /x: { tmpfs: 64q } } }] }]",
    ),
    (
        "apt: [git]",
        "copy: { /x: [requirements.txt, includes.txt] }",
    ),
    ("apt: [git]", "steps: echo x"),
    (r#"["b-${commit7}"]"#, r#""b-${commit7}""#),
    // Keys at the wrong place.
    ("apt: [git]", "workdir: /x"),
    ("apt: [git]", "run: x"),
    ("apt: [git]", "cwd: /x"),
    ("apt: [git]", "channels: { a: { tag: x } }"),
    ("images:", "env: { A: x }\nimages:"),
    ("images:", "cmd: [x]\nimages:"),
    ("apt: [git]", "steps: [{ run: x, user: root, workdir: /x }]"),
    // A misspelt key is one fault.
    ("apt: [git]", "steps: [{ rum: x }]"),
    ("apt: [git]", "steps: [{ perms: { /x: { mod: '755' } } }]"),
    ("apt: [git]", "tests: { own: { pytst: tests } }"),
    ("apt: [git]", "config: { healthcheck: { tst: x } }"),
    ("apt: [git]", "pip: { package: [x] }"),
    ("apt: [git]", "env: { A: { apend: x } }"),
    ("images:", "imges:"),
    // Names.
    ("  child:\n", "  chil:\n"),
    (
        "base: debian:bookworm",
        "base: registry.example.org/Team/x:1",
    ),
    ("stack: bad", "stack: -bad"),
    (
        "apt: [git]",
        "copy: { /x: { image: debian:12, from: etc } }",
    ),
    ("apt: [git]", "steps: [{ link: { x: y } }]"),
    ("base: debian:bookworm", "base: \"10.0.0.256:5000/x:1\""),
    ("registry.example.org/team", "host:+80/team"),
    ("apt: [git]", r#"env: { A: "\néé${x}\L" }"#),
    // The environment.
    ("apt: [git]", r#"env: { PATH: "/opt/x/bin:${PATH}" }"#),
    ("apt: [git]", r#"env: { A: "${wrd}" }"#),
    ("apt: [git]", r#"env: { A: /x, B: "${env:A}/y" }"#),
    (
        "apt: [git]",
        r#"config: { env: { A: /x, B: { prepend: "${env:A}/y" } } }"#,
    ),
    (
        "images:",
        "channels: { a23456789b23456789c23456789d23456789e23456789f23456789g23456789h23456789i23456789j23456789k23456789l23: { tag: x } }\nimages:",
    ),
];

/// Files under `images/` of all specs.
pub const FILES: &[(&str, &str)] = &[
    ("images/child/requirements.txt", "six==1.16.0\n"),
    ("images/child/includes.txt", "-r ../nowhere.txt\n"),
];

fn read(spec: &str) -> Result<Stack, String> {
    parse(spec, FILES, &Overrides::default())
}

#[test]
fn each_message_is_whole_and_on_its_place() {
    read(GOOD).expect("the unchanged spec is valid");
    let mut all = String::new();
    for (old, new) in BAD {
        assert!(GOOD.contains(old), "{old}");
        let found = match read(&GOOD.replacen(old, new, 1)) {
            Ok(_) => "ACCEPTED\n".to_owned(),
            Err(found) => found,
        };
        all.push_str(&format!("=== {old:?} → {new:?}\n{found}\n"));
    }
    assert!(BAD.len() >= 100);
    assert!(!all.contains("ACCEPTED"), "{all}");
    insta::assert_snapshot!(all);
}

/// Valid texts that probably mean something else: changes of the valid spec, each with one warning.
const DOUBTFUL: &[(&str, &str)] = &[
    ("apt: [git]", "env: { PATH: \"/opt/x/bin:$PATH\" }"),
    ("apt: [git]", "config: { labels: { version: $VERSION } }"),
    ("apt: [git]", "user: $NB_UID"),
    (
        "apt: [git]",
        "config: { entrypoint: start.sh, cmd: [--debug] }",
    ),
    ("apt: [git]", "copy: { /home/$NB_USER/x: requirements.txt }"),
];

#[test]
fn a_variable_as_in_a_dockerfile_is_a_warning() {
    let mut all = String::new();
    for (old, new) in DOUBTFUL {
        let text = GOOD.replacen(old, new, 1);
        let stack = read(&text).expect("it is valid");
        all.push_str(&format!("=== {new}\n"));
        all.push_str(&render(stack.warnings(), stack.sources(), false));
    }
    insta::assert_snapshot!(all);
}

#[test]
fn a_dollar_that_is_meant_is_no_warning() {
    for env in [
        r#"{ A: "${env:PATH}", PATH: "/x:${env:PATH}" }"#,
        r#"{ A: "${env:B}", B: { append: x } }"#,
        r#"{ A: "$1 $x $$HOME \\$HOME 5$ $Bar" }"#,
        r#"{ A: "$${HOME}" }"#,
    ] {
        let stack = read(&GOOD.replacen("apt: [git]", &format!("env: {env}"), 1));
        let stack = stack.unwrap_or_else(|found| panic!("{env}: {found}"));
        assert_eq!(stack.warnings(), [], "{env}");
    }
}

#[test]
fn all_faults_of_all_files_are_reported_at_once() {
    let mut files = FILES.to_vec();
    files.push(("images/ground/image.yml", "bse: x\n"));
    files.push(("images/unused/x", ""));
    let spec = GOOD
        .replace("stack: bad", "stack: bad\nfoo: bar")
        .replace(
            "  ground:\n    base: debian:bookworm\n    steps:\n      - run: echo ground\n",
            "  ground:\n",
        )
        .replace("base: ground", "base: grund")
        .replace("apt: [git]", "aptt: [git]");
    let found = parse(&spec, &files, &Overrides::default());
    insta::assert_snapshot!(found.expect_err("it is invalid"));
}

#[test]
fn a_cycle_of_three_is_shown_whole() {
    let spec = "stack: x\nimages:\n  child: { base: b }\n  b: { base: c }\n  c: { base: child }\n";
    insta::assert_snapshot!(read(spec).expect_err("it is invalid"), @r"
    error: dependency cycle: child → b → c → child
     --> specs.yml:3:18
      |
    3 |   child: { base: b }
      |                  ^ `child` depends on `b`
    4 |   b: { base: c }
      |              - `b` depends on `c`
    5 |   c: { base: child }
      |              ----- `c` depends on `child`
    ");
}

/// The disk is read by `load` alone; the messages are those of `parse`.
#[test]
fn faults_of_a_file_on_the_disk_are_reported() {
    let kept = tempfile::tempdir().expect("a folder");
    let folder = camino::Utf8Path::from_path(kept.path()).expect("UTF-8");
    let file = folder.join("stack.yml");
    let failure = load(&file, &Overrides::default());
    assert!(
        matches!(failure, Err(LoadFailure::Files(_))),
        "no such file"
    );
    std::fs::write(&file, "stack: [x]\n").expect("a file");
    let Err(LoadFailure::Spec { sources, problems }) = load(&file, &Overrides::default()) else {
        panic!("it is invalid");
    };
    let found = render(&problems, &sources, false);
    assert!(found.contains("--> stack.yml:1:8"), "{found}");
    std::fs::create_dir_all(folder.join("images/a")).expect("a folder");
    std::fs::write(folder.join("images/a/image.yml"), b"\xff").expect("a file");
    let Err(LoadFailure::Spec { problems, .. }) = load(&file, &Overrides::default()) else {
        panic!("it is unreadable");
    };
    let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
    assert!(
        messages.contains(&"`images/a/image.yml` is not valid UTF-8"),
        "{messages:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_text_makes_it_panic(at in 0..GOOD.len(), cut in 0..40_usize, put in "[ -~\n]{0,12}") {
        let mut spec = GOOD.to_owned();
        let end = (at + cut).min(spec.len());
        spec.replace_range(at..end, &put);
        let _found = read(&spec);
    }
}
