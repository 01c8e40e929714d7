//! Stacks of so many images that several threads read them.

use std::fmt::Write as _;

use super::{Overrides, Stack, faults, labels, stack};
use crate::testing::parse;

const COUNT: usize = 2500;

/// Returns a spec whose images have one line each, which `settings` makes of their numbers.
fn spec(settings: impl Fn(usize) -> String) -> String {
    let mut spec = "stack: x\nvars: { a: 1, b: 2 }\nimages:\n".to_owned();
    for number in 0..COUNT {
        let settings = settings(number);
        writeln!(spec, "  i{number}: {{ base: \"debian:12\", {settings} }}").expect("written");
    }
    spec
}

fn shown_warnings(stack: &Stack) -> Vec<&str> {
    let warnings = stack.warnings.iter();
    warnings.map(|warning| warning.message.as_str()).collect()
}

#[test]
fn images_are_in_the_order_of_the_file() {
    let stack = stack(&spec(|number| format!("env: {{ N: \"{number}\" }}")));
    let expected: Vec<String> = (0..COUNT).map(|number| format!("i{number}")).collect();
    assert_eq!(labels(&stack), expected);
}

#[test]
fn faults_are_in_the_order_of_the_file() {
    let faults = faults(&spec(|number| match number % 500 {
        7 => format!("user: \"${{u{number}}}\""),
        _ => "user: u".to_owned(),
    }));
    assert_eq!(
        faults,
        [
            "unknown variable `u7`",
            "unknown variable `u507`",
            "unknown variable `u1007`",
            "unknown variable `u1507`",
            "unknown variable `u2007`"
        ]
    );
}

#[test]
fn a_variable_that_one_image_uses_is_used() {
    let spec = spec(|number| match number {
        2000 => "user: \"u${b}\"".to_owned(),
        _ => "user: u".to_owned(),
    });
    let stack = stack(&spec);
    let used: Vec<&str> = stack.used_vars.iter().map(String::as_str).collect();
    assert_eq!(used, ["b"]);
}

#[test]
fn a_condition_that_one_image_meets_is_met() {
    let with = |met: usize| {
        spec(|number| {
            let own = if number == met {
                "vars: { a: 7 }, "
            } else {
                ""
            };
            format!("{own}steps: \"\"")
        })
        .replace("steps: \"\"", "steps: *s")
        .replace(
            "images:\n",
            "images:\n  s: { base: \"debian:12\", steps: &s [{ run: echo, when: { a: 7 } }] }\n",
        )
    };
    let none = parse(&with(COUNT), &[], &Overrides::default()).expect("it is valid");
    assert_eq!(shown_warnings(&none), ["variable `a` is never `7`"]);
    let one = parse(&with(1700), &[], &Overrides::default()).expect("it is valid");
    assert!(shown_warnings(&one).is_empty());
}
