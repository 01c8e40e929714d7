//! Suites, policies and info commands, and how they are inherited.

use super::*;
use crate::stack::{Network, Select, Test};
use crate::testing::stack_with;

fn suites(image: &Image) -> Vec<&str> {
    image
        .proof
        .suites
        .iter()
        .map(|suite| suite.name.as_str())
        .collect()
}

/// An image `a` with `settings`, and `b` based on it with `child`.
fn family(top: &str, settings: &str, child: &str) -> Stack {
    stack(&format!(
        "stack: x\n{top}\nimages:\n  a: {{ base: debian:12, {settings} }}\n  b: {{ base: a, {child} }}\n"
    ))
}

#[test]
fn an_image_runs_the_suites_of_the_stack_then_of_its_base_then_its_own() {
    let stack = family(
        "tests: { s: { run: x } }",
        "tests: { t: { run: x } }",
        "tests: { u: { run: x } }",
    );
    assert_eq!(suites(&stack.images()[0]), ["s", "t"]);
    assert_eq!(suites(&stack.images()[1]), ["s", "t", "u"]);
}

#[test]
fn a_suite_knows_the_image_that_declares_it() {
    let stack = family("tests: { s: { run: x } }", "tests: { t: { run: x } }", "");
    let from: Vec<Option<String>> = stack.images()[1]
        .proof
        .suites
        .iter()
        .map(|s| s.from.as_ref().map(ToString::to_string))
        .collect();
    assert_eq!(from, [None, Some("a".to_owned())]);
}

#[test]
fn a_skipped_suite_is_dropped_with_its_reason() {
    let stack = family(
        "tests: { s: { run: x } }",
        "",
        "tests: { s: { skip: no server } }",
    );
    assert_eq!(suites(&stack.images()[1]), Vec::<&str>::new());
    assert_eq!(stack.images()[1].proof.dropped[0].reason, "no server");
    assert_eq!(suites(&stack.images()[0]), ["s"]);
}

#[test]
fn a_replaced_suite_keeps_its_place() {
    let stack = family(
        "tests: { s: { run: x }, t: { run: y } }",
        "",
        "tests: { s: { run: z, replace: true } }",
    );
    assert_eq!(suites(&stack.images()[1]), ["s", "t"]);
    assert_eq!(
        stack.images()[1].proof.suites[0].test,
        Some(Test::Run("z".to_owned()))
    );
}

#[test]
fn a_suite_has_no_network_and_ten_minutes_by_default() {
    let stack = family("tests: { s: { run: x } }", "", "");
    let suite = &stack.images()[0].proof.suites[0];
    assert_eq!(
        (suite.network, suite.timeout.as_secs()),
        (Network::None, 600)
    );
    assert_eq!((&suite.user, &suite.serve), (&None, &None));
}

#[test]
fn a_suite_has_its_settings() {
    let stack = family(
        "tests: { s: { run: x, as: root, timeout: 5s, network: default, secrets: [t] } }",
        "",
        "",
    );
    let suite = &stack.images()[0].proof.suites[0];
    assert_eq!(
        (suite.network, suite.timeout.as_secs()),
        (Network::Default, 5)
    );
    assert_eq!(
        (suite.user.as_deref(), suite.secrets.len()),
        (Some("root"), 1)
    );
}

#[test]
fn a_suite_uses_the_shell_of_the_image_that_declares_it() {
    let stack = family(
        "shell: [bash]\ntests: { s: { run: x } }",
        "shell: [zsh], tests: { t: { run: x } }",
        "",
    );
    let shells: Vec<&str> = stack.images()[1]
        .proof
        .suites
        .iter()
        .filter_map(|s| s.shell.as_ref())
        .map(|s| s[0].as_str())
        .collect();
    assert_eq!(shells, ["bash", "zsh"]);
}

#[test]
fn a_served_image_needs_no_test() {
    let stack = family("", "tests: { s: { serve: 8888, ready: /api } }", "");
    let suite = &stack.images()[0].proof.suites[0];
    let serve = suite.serve.as_ref().expect("it serves");
    assert_eq!(
        (serve.port, serve.ready.as_deref(), &suite.test),
        (Some(8888), Some("/api"), &None)
    );
}

#[test]
fn a_served_image_can_be_tested() {
    let stack = family(
        "",
        "tests: { s: { serve: 80, then: { run: curl localhost } } }",
        "",
    );
    let suite = &stack.images()[0].proof.suites[0];
    assert_eq!(suite.test, Some(Test::Run("curl localhost".to_owned())));
}

#[test]
fn files_of_tests_are_kept() {
    let files = [
        ("images/a/tests/test_x.py", ""),
        ("images/a/tests/r.txt", "-c c.txt\n"),
        ("images/a/tests/c.txt", "-r d.txt"),
        ("images/a/tests/d.txt", ""),
    ];
    let stack = stack_with(
        "stack: x\nimages: { a: { base: debian:12, tests: { s: { pytest: tests, requirements: tests/r.txt } } } }",
        &files,
    );
    let Some(Test::Pytest {
        folder,
        requirements,
        ..
    }) = &stack.images()[0].proof.suites[0].test
    else {
        panic!("it is pytest");
    };
    assert_eq!(folder, "images/a/tests");
    assert_eq!(
        requirements.includes,
        ["images/a/tests/c.txt", "images/a/tests/d.txt"]
    );
    assert_eq!(stack.files().iter().count(), 5);
}

#[test]
fn the_suites_of_the_stack_are_below_images() {
    let files = [("images/common/test_x.py", "")];
    let stack = stack_with(
        "stack: x\ntests: { s: { pytest: common } }\nimages: { a: { base: debian:12 } }",
        &files,
    );
    assert_eq!(suites(&stack.images()[0]), ["s"]);
}

#[test]
fn a_policy_is_inherited_key_by_key() {
    let stack = family(
        "policy: { root: locked, layers: { count: 9 } }",
        "policy: { user: not-root }",
        "policy: { layers: { count: 5 } }",
    );
    let policy = &stack.images()[1].proof.policy;
    assert!(policy.root_locked.is_some() && policy.not_root.is_some());
    assert_eq!(policy.layers.as_ref().and_then(|l| l.count), Some(5));
    assert!(
        stack.images()[0]
            .proof
            .policy
            .layers
            .as_ref()
            .is_some_and(|l| l.count == Some(9))
    );
}

#[test]
fn allowed_paths_are_added_to_the_inherited() {
    let stack = family(
        "policy: { root: locked, allow: { /a: why } }",
        "",
        "policy: { allow: { /b: why, /a: other } }",
    );
    let reasons: Vec<(&str, &str)> = stack.images()[1]
        .proof
        .policy
        .allow
        .iter()
        .map(|(p, a)| (p.as_str(), a.reason.as_str()))
        .collect();
    assert_eq!(reasons, [("/a", "other"), ("/b", "why")]);
}

#[test]
fn a_policy_of_paths_uses_the_group_of_the_image() {
    let stack = family(
        "writable: { gid: 100, paths: [/opt] }\npolicy: { writable: [/opt/] }",
        "",
        "",
    );
    let writable = stack.images()[0]
        .proof
        .policy
        .writable
        .as_ref()
        .expect("it has one");
    assert_eq!(
        (writable.gid, writable.paths.as_slice()),
        (None, &["/opt".to_owned()][..])
    );
}

#[test]
fn sizes_have_decimal_and_binary_units() {
    let limit = |size: &str| {
        let stack = family(&format!("policy: {{ layers: {{ size: {size} }} }}"), "", "");
        stack.images()[0]
            .proof
            .policy
            .layers
            .as_ref()
            .and_then(|l| l.size)
    };
    assert_eq!(limit("500 MB"), Some(500_000_000));
    assert_eq!(limit("2GiB"), Some(2 << 30));
    assert_eq!(limit("0"), Some(0));
}

#[test]
fn refs_are_those_of_the_stack() {
    let stack = family("policy: { refs: { publish: [main], promote: [] } }", "", "");
    assert_eq!(stack.refs().publish, Some(vec!["main".to_owned()]));
    assert_eq!(
        (&stack.refs().promote, &stack.refs().docs),
        (&Some(Vec::new()), &None)
    );
}

#[test]
fn info_commands_are_inherited_and_replaced_by_name() {
    let stack = family(
        "info: { py: { run: python -V, title: Python } }",
        "",
        "info: { py: { run: python3 -V }, r: { run: R } }",
    );
    let info: Vec<(&str, &str)> = stack.images()[1]
        .proof
        .info
        .iter()
        .map(|i| (i.title.as_str(), i.run.as_str()))
        .collect();
    assert_eq!(info, [("py", "python3 -V"), ("r", "R")]);
}

#[test]
fn an_image_without_tests_policy_and_info_has_nothing_to_run() {
    let stack = family("", "", "info: { r: { run: R } }");
    assert!(stack.images()[0].proof.is_empty());
    assert!(!stack.images()[1].proof.is_empty());
}

#[test]
fn a_suite_that_is_only_here_is_not_inherited() {
    let stack = family(
        "",
        "tests: { s: { run: x, only: here } }",
        "tests: { s: { run: y } }",
    );
    assert_eq!(suites(&stack.images()[0]), ["s"]);
    let of_child = Some(Test::Run("y".to_owned()));
    assert_eq!(stack.images()[1].proof.suites[0].test, of_child);
    let none = family("", "tests: { s: { run: x, only: here } }", "");
    assert!(suites(&none.images()[1]).is_empty());
}

#[test]
fn tests_of_pytest_are_selected_by_name_mark_or_file() {
    let files = [
        ("images/a/tests/test_x.py", ""),
        ("images/a/tests/sub/test_y.py", ""),
    ];
    let select = |keys: &str| {
        let stack = stack_with(
            &format!(
                "stack: x\nimages: {{ a: {{ base: debian:12, tests: {{ s: {{ pytest: tests, {keys} }} }} }} }}"
            ),
            &files,
        );
        let Some(Test::Pytest { select, args, .. }) = &stack.images()[0].proof.suites[0].test
        else {
            panic!("it is pytest");
        };
        (select.clone(), args.join(" "))
    };
    let text = |text: &str| Some(text.to_owned());
    let by_name = Select {
        names: text("not slow"),
        marks: text("gpu"),
        tests: Vec::new(),
    };
    assert_eq!(
        select("select: not slow, marks: gpu, args: [-x]"),
        (by_name, "-x".to_owned())
    );
    let (by_file, _) = select("select: [\"test_x.py::test_a\", sub/test_y.py]");
    assert_eq!(by_file.tests, ["test_x.py::test_a", "sub/test_y.py"]);
}

#[test]
fn keys_of_a_suite_that_have_no_effect_are_errors() {
    let of_stack =
        "stack: x\ntests: { s: { run: x, only: here } }\nimages: { a: { base: debian:12 } }";
    assert_eq!(faults(of_stack), ["unused `only` in suite `s`"]);
    for (suite, expected) in [
        ("run: x, args: [a]", "unused `args` in suite `s`"),
        ("run: x, cmd: [a]", "unused `cmd` in suite `s`"),
        ("serve: 80, marks: a", "unused `marks` in suite `s`"),
        (
            "serve: 80, then: { run: x, select: a }",
            "unused `select` in suite `s`",
        ),
        ("run: x, groups: [\"a b\"]", "invalid group `a b`"),
        (
            "serve: 80, then: { healthcheck: false }",
            "`healthcheck` must be `true`",
        ),
        ("healthcheck: false", "`healthcheck` must be `true`"),
        ("healthcheck: true, ready: /", "unused `ready` in suite `s`"),
        ("healthcheck: true, marks: a", "unused `marks` in suite `s`"),
        (
            "healthcheck: true, then: { run: x }",
            "unused `then` in suite `s`",
        ),
        (
            "healthcheck: true, network: default",
            "`network: default` and `healthcheck` cannot be used together in suite `s`",
        ),
        (
            "healthcheck: true, run: x",
            "`healthcheck` and `run` cannot be used together in suite `s`",
        ),
        (
            "run: x, only: here, replace: true",
            "`replace` and `only` cannot be used together in suite `s`",
        ),
    ] {
        let spec = format!(
            "stack: x\nimages: {{ a: {{ base: debian:12, tests: {{ s: {{ {suite} }} }} }} }}"
        );
        let found = faults(&spec);
        assert!(found.iter().any(|it| it == expected), "{suite}: {found:?}");
    }
}
