//! What is part of the key of a suite.

use std::collections::BTreeSet;

use crate::plan::proof::suite_key;

fn key(suite: &str) -> String {
    let spec =
        format!("stack: s\nimages: {{ i: {{ base: debian:12, tests: {{ t: {{ {suite} }} }} }} }}");
    let files = [("images/i/tests/test_x.py", "")];
    let stack = crate::testing::stack_with(&spec, &files);
    suite_key(&stack, &stack.images()[0].proof.suites[0]).to_string()
}

#[test]
fn what_a_suite_runs_is_in_its_key() {
    let suites = [
        "pytest: tests",
        "pytest: tests, args: [x]",
        "pytest: tests, select: x",
        "pytest: tests, marks: x",
        "pytest: tests, select: [test_x.py]",
        "run: x",
        "run: x, groups: [1]",
        "serve: 80",
        "serve: 80, args: [x]",
        "serve: 80, cmd: [x]",
        "serve: 80, cmd: []",
        "serve: 80, then: { healthcheck: true }",
        "healthcheck: true",
        "healthcheck: true, cmd: [x]",
    ];
    let keys: BTreeSet<String> = suites.iter().map(|suite| key(suite)).collect();
    assert_eq!(keys.len(), suites.len());
}

#[test]
fn who_runs_a_suite_and_for_how_long_is_not() {
    assert_eq!(key("run: x, only: here, timeout: 1s"), key("run: x"));
}
