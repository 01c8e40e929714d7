//! `copy`, `write`, `append`, `link`, `perms` and `script`.

use super::*;
use crate::spec::tree::{File, Files, LeftOut, Special};
use crate::stack::{Append, AppendFrom, CopyFrom, Kind, Mode};
use crate::testing::text_files;

const FILES: &[(&str, &str)] = &[
    ("images/a/x", "x"),
    ("images/a/tool.sh", "#!/bin/sh\n"),
    ("images/a/tree/y", "y"),
    ("images/a/tree/deep/z", "z"),
];

/// Returns what `copy: { TO: FROM }` takes, as `file → path`.
fn copied(to: &str, from: &str) -> Vec<String> {
    copied_to(to, from, FILES)
}

fn copied_to(to: &str, from: &str, files: &[(&str, &str)]) -> Vec<String> {
    let steps = steps_with(&format!("    copy: {{ {to}: '{from}' }}\n"), files);
    let Kind::Copy(list) = &steps[0].kind else {
        panic!("it is a copy step");
    };
    let CopyFrom::Files { entries, .. } = &list[0].from else {
        panic!("it copies files");
    };
    let show = |path: &str| path.trim_start_matches("images/").to_owned();
    let entries = entries.iter();
    entries
        .map(|entry| format!("{} → {}", show(entry.file.as_str()), entry.to))
        .collect()
}

#[test]
fn a_file_becomes_the_target() {
    assert_eq!(copied("/x", "x"), ["a/x → "]);
}

#[test]
fn a_file_keeps_its_name_in_a_target_folder() {
    assert_eq!(copied("/etc/", "x"), ["a/x → x"]);
}

#[test]
fn a_folder_becomes_the_target() {
    assert_eq!(
        copied("/opt", "tree"),
        [
            "a/tree → ",
            "a/tree/deep → deep",
            "a/tree/deep/z → deep/z",
            "a/tree/y → y"
        ]
    );
}

#[test]
fn a_folder_keeps_its_name_in_a_target_folder() {
    assert_eq!(
        copied("/opt/", "tree"),
        [
            "a/tree → tree",
            "a/tree/deep → tree/deep",
            "a/tree/deep/z → tree/deep/z",
            "a/tree/y → tree/y"
        ]
    );
}

#[test]
fn a_folder_with_a_slash_is_its_contents() {
    let contents = [
        "a/tree/deep → deep",
        "a/tree/deep/z → deep/z",
        "a/tree/y → y",
    ];
    assert_eq!(copied("/opt", "tree/"), contents);
    assert_eq!(copied("/opt/", "tree/"), contents);
}

#[test]
fn a_pattern_does_not_cross_folders() {
    assert_eq!(
        copied("/opt", "*"),
        [
            "a/tool.sh → tool.sh",
            "a/tree → tree",
            "a/tree/deep → tree/deep",
            "a/tree/deep/z → tree/deep/z",
            "a/tree/y → tree/y",
            "a/x → x",
        ]
    );
    assert_eq!(copied("/opt", "*.sh"), ["a/tool.sh → tool.sh"]);
    assert_eq!(copied("/opt", "**/z"), ["a/tree/deep/z → z"]);
}

#[test]
fn what_is_in_a_folder_that_matches_is_copied_with_it() {
    let files = ["t/d/f", "t/f", "t-b/f", "t.c"].map(|path| format!("images/a/{path}"));
    let files: Vec<_> = files.iter().map(|path| (path.as_str(), "x")).collect();
    let whole = [
        "a/t → t",
        "a/t/d → t/d",
        "a/t/d/f → t/d/f",
        "a/t/f → t/f",
        "a/t-b → t-b",
        "a/t-b/f → t-b/f",
        "a/t.c → t.c",
    ];
    assert_eq!(copied_to("/opt/", "t*", &files), whole);
    assert_eq!(copied_to("/opt/", "**", &files), whole);
}

#[test]
fn files_of_a_shared_folder_can_be_copied() {
    let steps = steps_with(
        "    copy: { /s: ../shared/s }\n",
        &[("images/shared/s", "s")],
    );
    assert_eq!(steps[0].files(), ["images/shared/s"]);
}

#[test]
fn copies_are_sorted_by_target() {
    let steps = steps_with("    copy: { /b: x, /a: x }\n", FILES);
    assert_eq!(steps[0].title, "copy /a /b");
}

#[test]
fn a_copy_has_an_owner_and_a_mode() {
    let steps = steps_with(
        "    copy: { /x: { from: x, owner: '1:2', mode: 0755 } }\n",
        FILES,
    );
    let Kind::Copy(list) = &steps[0].kind else {
        panic!("it is a copy step");
    };
    assert_eq!(list[0].owner.as_deref(), Some("1:2"));
    assert_eq!(list[0].mode, Some(Mode::Octal(0o755)));
}

#[test]
fn a_copy_can_take_files_of_another_image() {
    let steps = steps_with(
        "    copy: { /x: { image: 'busybox:1', from: /bin/sh } }\n",
        &[],
    );
    let Kind::Copy(list) = &steps[0].kind else {
        panic!("it is a copy step");
    };
    let CopyFrom::Image { source, path } = &list[0].from else {
        panic!("it copies from an image");
    };
    assert_eq!(
        (source.to_string().as_str(), path.as_str()),
        ("docker.io/library/busybox:1", "/bin/sh")
    );
}

#[test]
fn write_replaces_variables_only_if_asked() {
    let settings = "    vars: { v: x }\n    steps: [{ write: { /a: '${v}', /b: { text: '${v}', vars: true }, /c: '' } }]\n";
    let steps = steps_with(settings, &[]);
    let Kind::Write(list) = &steps[0].kind else {
        panic!("it is a write step");
    };
    let texts: Vec<&str> = list.iter().map(|write| write.text.as_str()).collect();
    assert_eq!(texts, ["${v}", "x", ""]);
}

#[test]
fn append_takes_a_text_or_a_file() {
    let steps = steps_with(
        "    steps: [{ append: { /a: text, /b: { from: x } } }]\n",
        FILES,
    );
    let Kind::Append(list) = &steps[0].kind else {
        panic!("it is an append step");
    };
    let from: Vec<&AppendFrom> = list.iter().map(|Append { from, .. }| from).collect();
    assert_eq!(
        from,
        [
            &AppendFrom::Text("text".to_owned()),
            &AppendFrom::File("images/a/x".into())
        ]
    );
}

#[test]
fn perms_keep_the_order_of_the_file() {
    let steps = steps_with(
        "    steps: [{ perms: { /b: { mode: '700' }, /a: { owner: root, recursive: true } } }]\n",
        &[],
    );
    let Kind::Perms(list) = &steps[0].kind else {
        panic!("it is a perms step");
    };
    let list: Vec<(&str, bool)> = list
        .iter()
        .map(|p| (p.path.as_str(), p.recursive))
        .collect();
    assert_eq!(list, [("/b", false), ("/a", true)]);
}

#[test]
fn a_script_is_a_file_with_an_interpreter() {
    let steps = steps_with("    steps: [{ script: tool.sh }]\n", FILES);
    assert_eq!(steps[0].kind, Kind::Script("images/a/tool.sh".into()));
}

#[test]
fn links_are_sorted_and_kept_as_written() {
    let steps = steps_with("    steps: [{ link: { /b: ../x, /a: /y } }]\n", &[]);
    let Kind::Link(list) = &steps[0].kind else {
        panic!("it is a link step");
    };
    let list: Vec<(&str, &str)> = list
        .iter()
        .map(|l| (l.path.as_str(), l.target.as_str()))
        .collect();
    assert_eq!(list, [("/a", "/y"), ("/b", "../x")]);
}

/// Returns what `copy: { /t: FROM }` takes of these files.
fn copied_of(from: &str, files: &[(&str, &str)]) -> Vec<String> {
    copied_to("/t", from, files)
}

/// Returns the messages about `copy: { /t: FROM }` of a spec that is valid only with warnings, or invalid.
fn messages(from: &str, files: Files) -> String {
    let yaml =
        format!("stack: x\nimages:\n  a:\n    base: debian:12\n    copy: {{ /t: '{from}' }}\n");
    let spec = crate::spec::parse("specs.yml", &yaml, files);
    let problems = match Stack::new(&spec, &Overrides::default()) {
        Ok(stack) => stack.warnings().to_vec(),
        Err(faults) => faults.problems,
    };
    crate::diagnostic::render(&problems, &spec.sources, false)
}

#[test]
fn links_are_followed_on_the_way_to_a_file() {
    let files = [
        ("images/shared/base.txt", "x"),
        ("images/shared/in/link", "-> ../base.txt"),
        ("images/a/common", "-> ../shared"),
        ("images/a/req.txt", "-> ../shared/base.txt"),
    ];
    assert_eq!(copied_of("common/base.txt", &files), ["shared/base.txt → "]);
    assert_eq!(copied_of("req.txt", &files), ["shared/base.txt → "]);
    let inside = ["shared/in/link → link"];
    assert_eq!(
        copied_of("common/in/", &files),
        inside,
        "a link in a folder"
    );
    assert_eq!(
        copied_of("common/in/l*", &files),
        ["shared/base.txt → link"]
    );
    assert_eq!(copied_of("*.txt", &files), ["shared/base.txt → req.txt"]);
    let named = copied_to("/t/", "req.txt", &files);
    assert_eq!(named, ["shared/base.txt → req.txt"]);
    let steps = steps_with("    pip: common/base.txt\n", &files);
    assert_eq!(steps[0].title, "pip base.txt");
}

#[test]
fn a_name_that_exists_is_no_pattern() {
    let files = [
        ("images/a/notes[1].ipynb", "x"),
        ("images/a/notes1.ipynb", "x"),
        ("images/a/{x}/y*", "x"),
    ];
    let one = copied_of("notes[1].ipynb", &files);
    assert_eq!(one, ["a/notes[1].ipynb → "]);
    assert_eq!(copied_of("{x}/y*", &files), ["a/{x}/y* → "]);
    assert_eq!(copied_of("[{]x[}]/*", &files), ["a/{x}/y* → y*"]);
    let quoted = copied_of("notes\\[*", &files);
    assert_eq!(quoted, ["a/notes[1].ipynb → notes[1].ipynb"]);
    assert_eq!(
        copied_of("notes[0-9].ipynb", &files),
        ["a/notes1.ipynb → notes1.ipynb"]
    );
}

#[test]
fn a_path_that_a_link_leads_out_is_refused_with_its_reason() {
    let files = [
        ("images/a/out", "-> ../../secrets"),
        ("images/a/gone", "-> nothing"),
    ];
    let mut all = messages("out/x", text_files(&files));
    all.push_str(&messages("gone", text_files(&files)));
    let mut files = text_files(&[("images/a/x", "x")]);
    files.leave_out("images/a/.env", LeftOut::Ignored);
    all.push_str(&messages(".env", files));
    insta::assert_snapshot!(all);
}

#[test]
fn what_cannot_be_copied_is_named() {
    let files = || {
        let mut files = text_files(&[("images/a/f/x", "x")]);
        let fifo = File::Special(Special::Fifo);
        files.insert("images/a/f/p", fifo);
        files
    };
    insta::assert_snapshot!(messages("f/p", files()) + &messages("f", files()));
}

#[test]
fn certificates_of_a_spec_are_in_its_folder() {
    for (path, good) in [
        ("ca.pem", true),
        ("a/../ca.pem", true),
        ("../ca.pem", false),
        ("/ca.pem", false),
    ] {
        let yaml =
            format!("stack: x\nbuild: {{ ca: {path} }}\nimages: {{ a: {{ base: debian:12 }} }}\n");
        let found = parse(&yaml, &[], &Overrides::default());
        assert_eq!(found.is_ok(), good, "{path}");
    }
}

/// Returns what a list of sources takes, as `file → path`.
fn copied_list(from: &str) -> Vec<String> {
    let files = [FILES, &[("images/a/other/y", "other"), ("images/a/z", "z")]].concat();
    let steps = steps_with(&format!("    copy: {{ /d/: [{from}] }}\n"), &files);
    let Kind::Copy(list) = &steps[0].kind else {
        panic!("it is a copy step");
    };
    let [copy] = &list[..] else {
        panic!("it has one target");
    };
    let CopyFrom::Files { entries, .. } = &copy.from else {
        panic!("it copies files");
    };
    let show = |path: &str| path.trim_start_matches("images/a/").to_owned();
    let entries = entries.iter();
    entries
        .map(|entry| format!("{} → {}", show(entry.file.as_str()), entry.to))
        .collect()
}

#[test]
fn several_sources_are_copied_into_one_folder() {
    let expected = [
        "tree/deep → deep",
        "tree/deep/z → deep/z",
        "x → x",
        "tree/y → y",
        "z → z",
    ];
    assert_eq!(copied_list("x, tree/, \"z*\""), expected);
}

#[test]
fn of_two_sources_with_one_path_the_last_one_counts() {
    assert_eq!(copied_list("other/, tree/")[2], "tree/y → y");
    assert_eq!(copied_list("tree/, other/")[2], "other/y → y");
}

#[test]
fn several_sources_need_a_folder_and_one_type_for_a_path() {
    let faults_of = |copy: &str, files: &[(&str, &str)]| {
        let spec =
            format!("stack: x\nimages: {{ a: {{ base: debian:12, copy: {{ {copy} }} }} }}\n");
        let found = parse(&spec, files, &Overrides::default()).expect_err("it is invalid");
        found.lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(
        faults_of("/d: [x, y]", FILES),
        "error: several sources for `/d`"
    );
    let files = [("images/a/x/y", ""), ("images/a/o/x", "")];
    let expected = "error: `/d/x` would be a file and a folder";
    assert_eq!(faults_of("/d/: [x, o/]", &files), expected);
}

#[test]
fn several_paths_of_an_image_keep_their_order() {
    let steps = steps_with(
        "    copy: { /d/: { image: \"a:1\", from: [/z, /b/] } }\n",
        &[],
    );
    let Kind::Copy(list) = &steps[0].kind else {
        panic!("it is a copy step");
    };
    let paths: Vec<_> = list
        .iter()
        .map(|copy| match &copy.from {
            CopyFrom::Image { path, .. } => path.as_str(),
            CopyFrom::Files { .. } => "",
        })
        .collect();
    assert_eq!(
        (paths, steps[0].title.as_str()),
        (vec!["/z", "/b/"], "copy /d/")
    );
}

#[test]
fn a_file_that_git_lfs_has_not_fetched_is_an_error() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let files = [("images/a/d/x", pointer), ("images/a/d/r.txt", pointer)];
    for step in [
        "copy: { /x: d/x }",
        "copy: { /x/: d }",
        "copy: { /x/: \"d/x*\" }",
        "pip: d/r.txt",
        "steps: [{ run: x, mounts: { /m: { bind: d } } }]",
        "steps: [{ append: { /x: { from: d/x } } }]",
    ] {
        let spec = format!("stack: x\nimages:\n  a:\n    base: debian:12\n    {step}\n");
        let fault = parse(&spec, &files, &Overrides::default()).expect_err("invalid");
        assert!(
            fault.contains("Git LFS has not fetched it"),
            "{step}: {fault}"
        );
        assert!(fault.contains("specs.yml:5:"), "{step}: {fault}");
    }
}
