//! Files that are there and left out, and declarations of images that cannot be read: each is named as what
//! it is.

use super::{image, labels};
use crate::spec::tree::LeftOut;
use crate::stack::{Overrides, Stack};
use crate::testing::{stack_with, text_files};

/// Returns the diagnostics of a spec with text files, and with files that are left out.
fn messages(yaml: &str, files: &[(&str, &str)], left_out: &[(&str, LeftOut)]) -> String {
    let mut files = text_files(files);
    for (path, reason) in left_out {
        files.leave_out(*path, *reason);
    }
    let spec = crate::spec::parse("specs.yml", yaml, files);
    let faults = Stack::new(&spec, &Overrides::default()).expect_err("it is invalid");
    crate::diagnostic::render(&faults.problems, &faults.sources, false)
}

/// Returns the first lines of the errors of one image with these settings and files. All files whose names
/// begin with `no` are ignored.
fn errors(settings: &str, files: &[(&str, &str)]) -> Vec<String> {
    let yaml = format!("stack: x\nimages:\n  a:\n    base: debian:12\n{settings}\n");
    let names = ["no.txt", "no.yml", "no.sh", "no.asc", "no", "nodes.log"];
    let paths = names.map(|name| format!("images/a/{name}"));
    let left_out = paths
        .each_ref()
        .map(|path| (path.as_str(), LeftOut::Ignored));
    let found = messages(&yaml, files, &left_out);
    let errors = found
        .lines()
        .filter_map(|line| line.strip_prefix("error: "));
    errors.map(str::to_owned).collect()
}

#[test]
fn a_declaration_that_is_left_out_is_named_as_such() {
    let files = [
        ("images/a/x", ""),
        ("images/c/image.yml", "-> ../shared/no.yml"),
    ];
    let left_out = [
        ("images/a/image.yml", LeftOut::Ignored),
        ("images/b", LeftOut::Ignored),
        ("images/shared", LeftOut::LeftBehind),
        ("images/d", LeftOut::Empty),
    ];
    let yaml = "stack: x\nimages:\n  a:\n  b:\n  c:\n  d:\n";
    insta::assert_snapshot!(messages(yaml, &files, &left_out));
}

#[test]
fn a_declaration_that_cannot_be_read_is_one_fault() {
    let files = [
        ("images/dangling/image.yml", "-> gone.yml"),
        ("images/outside/image.yml", "-> ../../image.yml"),
        ("images/loop/image.yml", "-> image.yml"),
        ("images/folder/image.yml/x", "x"),
        ("images/yaml/image.yaml", "base: debian:12"),
        ("images/broken/image.yml", "[1"),
        ("images/both/image.yml", "base: debian:12"),
        ("images/beside/image.yml", "-> gone.yml"),
    ];
    let yaml = "stack: x\nimages:\n  dangling:\n  outside:\n  loop:\n  folder:\n  yaml:\n  broken:\n  \
                both: { base: debian:12 }\n  beside: { base: debian:12 }\n  missing:\n";
    insta::assert_snapshot!(messages(yaml, &files, &[]));
}

#[test]
fn a_declaration_can_be_a_link_or_in_a_linked_folder() {
    let files = [
        ("images/a/image.yml", "base: debian:12\n"),
        ("images/b/image.yml", "-> ../a/image.yml"),
        ("images/c", "-> a"),
        ("images/d/image.yml/x", "x"),
    ];
    let yaml = "stack: x\nimages:\n  a:\n  b:\n  c:\n  d: { base: a, copy: { /x: image.yml } }\n";
    let stack = stack_with(yaml, &files);
    assert_eq!(labels(&stack), ["a", "b", "c", "d"]);
    assert_eq!(image(&stack, "d").steps.len(), 1);
}

#[test]
fn every_file_that_is_named_and_ignored_is_named_as_such() {
    let requirements = |text| [("images/a/r.txt", text)];
    for (settings, files, path) in [
        ("    pip: no.txt", &[][..], "no.txt"),
        ("    pip: r.txt", &requirements("-r no.txt"), "no.txt"),
        ("    pip: r.txt", &requirements("-c no/c.txt"), "no"),
        ("    pip: r.txt", &requirements("./no/project"), "no"),
        (
            "    pip: deep/r.txt",
            &[("images/a/deep/r.txt", "./no/project")],
            "no",
        ),
        ("    conda: no.yml", &[], "no.yml"),
        ("    apt: no.txt", &[], "no.txt"),
        (
            "    apt: { packages: [git], sources: [{ uri: 'http://h/d', suite: s, components: [main], key: no.asc }] }",
            &[],
            "no.asc",
        ),
        ("    copy: { /x: no.txt }", &[], "no.txt"),
        ("    copy: { /x/: ['no.txt'] }", &[], "no.txt"),
        ("    copy: { /x/: 'no/*.py' }", &[], "no"),
        ("    copy: { /x/: '*.log' }", &[], "nodes.log"),
        ("    steps: [script: no.sh]", &[], "no.sh"),
        (
            "    steps: [{ append: { /x: { from: no.txt } } }]",
            &[],
            "no.txt",
        ),
        (
            "    steps: [{ group: [{ copy: { /x: no.txt } }] }]",
            &[],
            "no.txt",
        ),
        (
            "    steps: [{ run: ls, mounts: { /x: { bind: no } } }]",
            &[],
            "no",
        ),
        ("    tests: { own: { pytest: no } }", &[], "no"),
        ("    tests: { own: { script: no.sh } }", &[], "no.sh"),
        (
            "    tests: { own: { pytest: t, requirements: no.txt } }",
            &[("images/a/t/test_x.py", "")],
            "no.txt",
        ),
        (
            "    tests: { own: { serve: 80, then: { pytest: no } } }",
            &[],
            "no",
        ),
    ] {
        let expected = format!("`images/a/{path}` is ignored by git");
        assert_eq!(errors(settings, files), [expected], "{settings}");
    }
}

#[test]
fn an_empty_folder_of_a_repository_is_named_as_such() {
    let yaml =
        "stack: x\nimages:\n  a:\n    base: debian:12\n    copy: { /x: sub/x, /y: cache/ }\n";
    let left_out = [
        ("images/a/sub", LeftOut::Empty),
        ("images/a/cache", LeftOut::LeftBehind),
    ];
    insta::assert_snapshot!(messages(yaml, &[("images/a/x", "")], &left_out));
}
