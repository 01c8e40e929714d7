//! `env:` and `config:`.

use super::*;
use crate::stack::config::Config;
use crate::stack::{EnvChange, EnvPart, EnvString, EnvText, Healthcheck, ProcessWords};

fn config(text: &str) -> Config {
    one(&format!("    config: {text}\n")).images[0]
        .config
        .clone()
}

fn env(text: &str) -> EnvChange {
    let stack = one(&format!("    vars: {{ v: x }}\n    env: {{ A: {text} }}\n"));
    stack.images()[0].env["A"].clone()
}

fn text(text: &str) -> EnvText {
    EnvText(vec![EnvPart::Text(text.to_owned())])
}

#[test]
fn env_sets_a_value_with_variables_replaced() {
    assert_eq!(env("'a-${v}-b'"), EnvChange::Set(text("a-x-b")));
}

#[test]
fn env_can_use_the_environment() {
    let parts = vec![
        EnvPart::Text("/x:".to_owned()),
        EnvPart::Env("PATH".to_owned()),
    ];
    assert_eq!(env("'/${v}:${env:PATH}'"), EnvChange::Set(EnvText(parts)));
}

#[test]
fn env_can_be_empty() {
    assert_eq!(env("''"), EnvChange::Set(EnvText(Vec::new())));
}

#[test]
fn null_removes_a_variable() {
    for null in ["", "~", "null"] {
        assert_eq!(env(null), EnvChange::Remove, "{null}");
    }
}

#[test]
fn env_appends_and_prepends_with_a_colon_by_default() {
    let sep = ":".to_owned();
    assert_eq!(
        env("{ append: b }"),
        EnvChange::Append {
            text: text("b"),
            sep
        }
    );
    let sep = ",".to_owned();
    assert_eq!(
        env("{ prepend: b, sep: ',' }"),
        EnvChange::Prepend {
            text: text("b"),
            sep
        }
    );
}

#[test]
fn config_is_inherited_by_default() {
    assert_eq!(one("").images[0].config, Config::default());
}

#[test]
fn an_empty_command_is_not_an_inherited_one() {
    let config = config("{ cmd: [], entrypoint: [a, b] }");
    assert_eq!(config.cmd, Some(ProcessWords::List(Vec::new())));
    let entrypoint = config.entrypoint.expect("it has one");
    let texts: Vec<_> = entrypoint.texts().iter().map(EnvString::plain).collect();
    assert_eq!(texts, [Some("a"), Some("b")]);
}

#[test]
fn a_port_is_tcp_by_default() {
    let ports = config("{ ports: [8888, 53/udp] }").ports;
    assert_eq!(
        ports.into_iter().collect::<Vec<_>>(),
        ["53/udp", "8888/tcp"]
    );
}

#[test]
fn a_signal_is_one_of_linux() {
    for signal in ["SIGINT", "term", "15", "RTMIN+3", "SIGRTMAX-14"] {
        let config = config(&format!("{{ stop-signal: {signal} }}"));
        assert_eq!(config.stop_signal.as_deref(), Some(signal));
    }
    for signal in ["SIGTRM", "0", "RTMIN+16", "SIG"] {
        let spec = format!(
            "stack: x\nimages:\n  a: {{ base: debian:12, config: {{ stop-signal: {signal} }} }}\n"
        );
        let shown = crate::testing::parse(&spec, &[], &Default::default()).expect_err(signal);
        assert!(shown.contains("specs.yml:3:48"), "{shown}");
        assert!(
            shown.contains("did you mean `TERM`?") == (signal == "SIGTRM"),
            "{shown}"
        );
    }
}

#[test]
fn a_label_without_a_value_is_removed() {
    let labels = config("{ labels: { a: b, c: } }").labels;
    assert_eq!(labels["a"].as_deref(), Some("b"));
    assert_eq!(labels["c"], None, "it removes an inherited one");
}

#[test]
fn a_health_check_is_a_program_or_shell_text() {
    let test = |text: &str| config(text).healthcheck.expect("it has one").test;
    assert_eq!(test("{ healthcheck: { test: [a, b] } }"), ["CMD", "a", "b"]);
    assert_eq!(test("{ healthcheck: { test: a b } }"), ["CMD-SHELL", "a b"]);
    assert_eq!(test("{ healthcheck: none }"), ["NONE"]);
}

#[test]
fn durations_are_nanoseconds() {
    let check =
        config("{ healthcheck: { test: x, interval: 2m, timeout: 500ms, start-period: 1h } }");
    let Healthcheck {
        interval,
        timeout,
        start_period,
        start_interval,
        ..
    } = check.healthcheck.expect("it has one");
    assert_eq!(
        (interval, timeout, start_period, start_interval),
        (120_000_000_000, 500_000_000, 3_600_000_000_000, 0)
    );
}

#[test]
fn build_has_a_bundle_of_certificates() {
    let stack =
        stack("stack: x\nbuild: { ca: certificates/ca.pem }\nimages: { a: { base: debian:12 } }");
    assert_eq!(
        stack.build().ca.as_ref().map(|path| path.value.as_str()),
        Some("certificates/ca.pem")
    );
}

/// Returns the first line of each warning of a stack.
fn warnings(stack: &Stack) -> Vec<&str> {
    let warnings = stack.warnings().iter();
    warnings.map(|problem| problem.message.as_str()).collect()
}

#[test]
fn a_string_is_run_by_a_shell() {
    let config = config("{ entrypoint: tini -- start, cmd: a b }");
    for words in [config.entrypoint, config.cmd] {
        assert!(matches!(words, Some(ProcessWords::Shell(_))), "{words:?}");
    }
}

#[test]
fn a_command_that_an_entrypoint_ignores_is_a_warning() {
    let ignored = ["`cmd` is ignored by an `entrypoint` that is a string"];
    let images = |parent: &str, child: &str| {
        stack(&format!(
            "stack: x\nimages:\n  p: {{ base: debian:12, config: {{ {parent} }} }}\n  m: {{ base: p }}\n  c: {{ base: m, config: {{ {child} }} }}\n"
        ))
    };
    let stack = images("entrypoint: a, cmd: [b]", "user: x");
    assert_eq!(warnings(&stack), ignored);
    let stack = images("entrypoint: a", "cmd: [b]");
    assert_eq!(warnings(&stack), ignored);
    for (parent, child) in [
        ("entrypoint: a, cmd: []", "user: x"),
        ("entrypoint: [a]", "cmd: b"),
        ("entrypoint: a", "entrypoint: [a], cmd: [b]"),
    ] {
        assert!(
            warnings(&images(parent, child)).is_empty(),
            "{parent}; {child}"
        );
    }
}
