//! `healthcheck: true`: the health check of the image's config, as Docker counts it.

use serde_json::Value;

use super::config::BaseConfig;
use super::defaults::shell_of;
use super::script::expand;
use super::shell::line;
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;

/// Times that a config does not set, in nanoseconds, and failures in a row (moby, daemon/health.go).
const INTERVAL: u64 = 30_000_000_000;
const TIMEOUT: u64 = 30_000_000_000;
const START_INTERVAL: u64 = 5_000_000_000;
const RETRIES: u64 = 3;

/// Returns a script that runs the check until the image is healthy or unhealthy. Fails where the image has
/// none; `label` is the image's name, `suite` that of the suite.
pub fn health_script(
    label: &str,
    config: &BaseConfig,
    suite: &Spanned<String>,
) -> Result<String, Diagnostic> {
    let Some(check) = config.healthcheck() else {
        let name = &suite.value;
        let message = format!("suite `{name}` cannot run: image `{label}` has no health check");
        return Err(Diagnostic::error(message)
            .at(suite.span, "has `healthcheck`")
            .help("add one to the image: `config: { healthcheck: { test: … } }`"));
    };
    let test = check["Test"].as_array().map(Vec::as_slice);
    let mut words = test.unwrap_or_default().iter().filter_map(Value::as_str);
    let is_text = words.next() == Some("CMD-SHELL");
    let words = words.map(str::to_owned);
    let command: Vec<String> = if is_text {
        shell_of(None, config).into_iter().chain(words).collect()
    } else {
        words.collect()
    };
    let number = |name: &str, default: u64| match check[name].as_u64() {
        Some(number) if number > 0 => number,
        _ => default,
    };
    Ok(expand(
        include_str!("scripts/health.sh"),
        &[
            ("CHECK", &line(&command)),
            ("INTERVAL", &seconds(number("Interval", INTERVAL))),
            (
                "START_INTERVAL",
                &seconds(number("StartInterval", START_INTERVAL)),
            ),
            ("TIMEOUT", &seconds(number("Timeout", TIMEOUT))),
            ("START_PERIOD", &seconds(number("StartPeriod", 0))),
            ("RETRIES", &number("Retries", RETRIES).to_string()),
        ],
    ))
}

/// Returns whole seconds, rounded up: some `sleep` take no others.
fn seconds(nanos: u64) -> String {
    nanos.div_ceil(1_000_000_000).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::tests::span;

    fn script(config: &str) -> Result<String, Diagnostic> {
        let config = format!("{{\"config\":{config}}}");
        let config = BaseConfig::parse(config.as_bytes()).expect("an object");
        health_script("base", &config, &Spanned::new("hub".to_owned(), span()))
    }

    #[test]
    fn the_check_and_its_times_are_those_of_the_config() {
        let script = script(
            r#"{"Healthcheck":{"Test":["CMD","a","b c"],"Interval":500000000,"StartInterval":3000000000,"Timeout":2000000000,"StartPeriod":9000000000,"Retries":4}}"#,
        )
        .expect("it has one");
        for text in [
            "a 'b c'\n",
            "interval=1\n",
            "then echo 3;",
            "timeout=2\n",
            "start_period=9\n",
            "retries=4\n",
        ] {
            assert!(script.contains(text), "{text}: {script}");
        }
    }

    #[test]
    fn a_text_is_run_by_the_shell_of_the_image() {
        let text = r#"{"Shell":["bash","-c"],"Healthcheck":{"Test":["CMD-SHELL","a | b"]}}"#;
        let script = script(text).expect("it has one");
        assert!(
            script.contains("check() {\nbash -c 'a | b'\n}\n"),
            "{script}"
        );
    }

    #[test]
    fn an_image_without_a_check_is_an_error() {
        for config in ["{}", r#"{"Healthcheck":{"Test":["NONE"]}}"#] {
            let problem = script(config).expect_err("it has none");
            assert_eq!(
                problem.message,
                "suite `hub` cannot run: image `base` has no health check"
            );
        }
    }
}
