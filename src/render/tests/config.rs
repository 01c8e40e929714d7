//! `config:` as instructions: what a Dockerfile can have, and what is reported.

use super::*;

/// Returns `HEALTHCHECK` of a test, and the notes.
fn healthcheck(test: &str, keys: &str) -> (String, Vec<String>) {
    let test = serde_json::to_string(test).expect("a text");
    let spec = format!(
        "  a:\n    base: debian:12\n    config: {{ healthcheck: {{ test: {test} }}{keys} }}\n"
    );
    let made = rendered(&spec, PATH);
    let text = text(&made, "a/Dockerfile");
    let mut lines = text.lines();
    let line = lines.find(|line| line.starts_with("HEALTHCHECK"));
    let notes = made.notes.into_iter().map(|note| note.text).collect();
    (line.expect("it has one").to_owned(), notes)
}

#[test]
fn a_test_of_a_health_check_is_what_the_shell_gets() {
    let none: [&str; 0] = [];
    let (line, notes) = healthcheck("curl -f \"$URL\"  || exit 1", "");
    assert_eq!(line, "HEALTHCHECK CMD curl -f \"$URL\"  || exit 1");
    assert_eq!(notes, none);
    for (text, written) in [
        (" a", r#"" a""#),
        ("a ", r#""a ""#),
        ("a \\", r#""a \\""#),
        (r#"["a"]"#, r#""[\"a\"]""#),
        ("a\n\"$b\"\n", r#""a\n\"$b\"\n""#),
    ] {
        let (line, notes) = healthcheck(text, "");
        let expected = format!("HEALTHCHECK CMD [\"/bin/sh\", \"-c\", {written}]");
        assert_eq!(line, expected);
        assert!(notes[0].starts_with("the test of `healthcheck:` is a list"));
    }
    let (line, _) = healthcheck(" a", ", shell: [bash, -lc]");
    assert_eq!(line, r#"HEALTHCHECK CMD ["bash", "-lc", " a"]"#);
}

/// Returns the error of an image with some settings.
fn refused(settings: &str) -> String {
    let spec =
        format!("stack: t\nimages:\n  a: {{ base: \"debian:12\", config: {{ {settings} }} }}\n");
    let problems = render(&stack_with(&spec, &[]), &facts(PATH)).expect_err("it cannot be");
    problems[0].message.clone()
}

#[test]
fn what_a_dockerfile_cannot_have_is_an_error() {
    let long = "x".repeat(40_000);
    assert_eq!(
        refused("labels: { \"a=b\": c }"),
        "label `a=b` has `=` in its name, which a Dockerfile cannot set"
    );
    for (settings, begin) in [
        (
            format!("labels: {{ a: {long} }}"),
            "label `a` of image `a` has 40000 bytes",
        ),
        (
            format!("env: {{ A: {long} }}"),
            "variable `A` of image `a` has 40000 bytes",
        ),
        (
            "labels: { a: \"b\\nc\" }".to_owned(),
            "label `a` of image `a` has several lines",
        ),
        (format!("cmd: [{long}, {long}]"), "CMD of image `a` has 80"),
    ] {
        let message = refused(&settings);
        assert!(message.starts_with(begin), "{message}");
    }
}

#[test]
fn a_value_of_a_label_may_have_any_sign_of_one_line() {
    let made = instructions("config: { labels: { a: \" b=c=\\\"d\\\" \" } }", PATH);
    assert_eq!(made, "LABEL a=\" b=c=\\\"d\\\" \"\n");
    let long = "y".repeat(29_000);
    let made = instructions(&format!("config: {{ labels: {{ a: {long} }} }}"), PATH);
    assert_eq!(made, format!("LABEL a={long}\n"));
}

#[test]
fn an_image_on_one_that_cannot_be_rendered_is_left_out() {
    let spec = "stack: t\nimages:\n  d: { dockerfile: Dockerfile }\n  a: { base: d, steps: [{ copy: { /f: f } }] }\n  b: { base: a }\n";
    let files = [
        ("images/d/Dockerfile", "FROM scratch\n"),
        ("images/a/f", "f\n"),
    ];
    let problems = render(&stack_with(spec, &files), &facts(PATH)).expect_err("it cannot be");
    let messages: Vec<&str> = problems.iter().map(|it| it.message.as_str()).collect();
    let expected = "image `d` is not built, so that the config its Dockerfile makes is not known";
    assert_eq!(messages, [expected]);
}
