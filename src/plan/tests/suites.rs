//! What is part of the key of a suite, and why suites, checks and info run.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::evidence::Evidence;
use crate::name::Digest;
use crate::plan::choice::Choice;
use crate::plan::facts::Retest;
use crate::plan::proof::{checks_key, proofs, suite_key};
use crate::plan::{Facts, Request};

use super::{SCI, built, edited, key_facts, plan};

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

#[test]
fn each_reason_to_run_something_is_given_once_for_all_suites_that_have_it() {
    let spec = "
stack: s
policy: { root: locked }
info: { pip: { title: Pip, run: pip list } }
images:
  i:
    base: debian:12
    tests: { a: { run: x }, b: { run: x }, c: { run: x }, d: { run: x }, e: { run: x } }
";
    let stack = crate::testing::stack_with(spec, &[]);
    let image = &stack.images()[0];
    let digest = Digest::of(b"image");
    let verdict = |key: &Digest, passed: bool| {
        json!({
            "key": key, "passed": passed, "tests": 1, "failed": 0, "seconds": 1.0,
            "time": "2026-11-24T12:00:00Z",
        })
    };
    let key = suite_key(&stack, &image.proof.suites[0]);
    let other = Digest::of(b"other");
    let checks = |key: &Digest| json!({ "key": key, "passed": true, "findings": [], "time": "2026-11-24T12:00:00Z" });
    let info = json!({ "key": other, "title": "Pip", "exit": 0, "text": "", "error": "" });
    let reasons = |choice: &Choice, suites: Value, checks: Value, info: Value| {
        let evidence: Evidence = serde_json::from_value(json!({
            "version": 1, "image": "i", "key": digest, "digest": digest,
            "suites": suites, "checks": checks, "info": info,
        }))
        .expect("evidence");
        let retest = Retest::Suites(BTreeSet::from(["e".to_owned()]));
        proofs(&stack, image, choice, Some(&evidence), &retest).reasons()
    };
    let reuse = Choice::Reuse(digest.clone());
    let suites = json!({
        "a": verdict(&other, true), "b": verdict(&other, false), "c": verdict(&key, false),
        "e": verdict(&key, true),
    });
    assert_eq!(
        reasons(
            &reuse,
            suites.clone(),
            checks(&other),
            json!({ "pip": info })
        ),
        [
            "suites a, b changed",
            "suite d never ran on this digest",
            "suite c failed before",
            "suite e requested by --retest",
            "policy changed",
            "info changed",
        ]
    );
    let own = checks_key(image).expect("it has a policy");
    assert_eq!(
        reasons(&reuse, suites.clone(), checks(&own), json!({}))[4..],
        ["info never ran on this digest"]
    );
    assert_eq!(
        reasons(&reuse, suites.clone(), Value::Null, json!({}))[4..],
        [
            "checks never ran on this digest",
            "info never ran on this digest"
        ]
    );
    let none = reasons(&Choice::Build, suites, Value::Null, json!({}));
    assert!(none.is_empty(), "{none:?}");
}

#[test]
fn a_build_that_tags_no_image_proves_what_it_builds_or_the_user_selected() {
    let tested = "base: debian:bookworm\n    tests: { t: { run: x } }\n";
    let stack = edited(&[("base: debian:bookworm\n", tested)]);
    let proven = |facts: &Facts, prove_selected| {
        let request = Request {
            selected: Some([SCI].into()),
            prove_selected,
            ..Request::default()
        };
        let plan = plan(&stack, &key_facts(), facts, &request);
        let proven = plan.images.into_iter().filter(|image| image.proofs.runs());
        proven.map(|image| image.label).collect::<Vec<_>>()
    };
    // No suite has run on what was built.
    let built = built(&stack);
    assert_eq!(proven(&built, false), ["base", "sci", "ml", "r"]);
    assert_eq!(proven(&built, true), ["sci"]);
    assert_eq!(proven(&Facts::default(), true), ["base", "sci"]);
}
