//! `serve:` and `healthcheck:`: the test of a suite runs while the image's own command does.

use super::config::BaseConfig;
use super::script::expand;
use super::shell::{line, quote};
use crate::diagnostic::Diagnostic;
use crate::source::Spanned;
use crate::stack::Serve;

/// Returns a script that starts the image's own command, waits for its port if it has one, runs `test` and
/// stops the command. Fails where the image has no command; `label` is the image's name, `suite` that of the suite.
pub fn serve_script(
    label: &str,
    config: &BaseConfig,
    serve: &Serve,
    suite: &Spanned<String>,
    test: &str,
) -> Result<String, Diagnostic> {
    let mut command = config.command_with(serve.cmd.as_ref());
    command.extend(serve.args.iter().cloned());
    if command.is_empty() {
        let (name, key) = match serve.port {
            Some(_) => (&suite.value, "`serve`"),
            None => (&suite.value, "`healthcheck`"),
        };
        let message = format!("suite `{name}` cannot run: image `{label}` has no command");
        return Err(Diagnostic::error(message)
            .at(suite.span, format!("has {key}"))
            .help("give the image a command: `config: { cmd: […] }`"));
    }
    let (port, hex) = match serve.port {
        Some(port) => (port.to_string(), format!("{port:04X}")),
        None => (String::new(), String::new()),
    };
    let ready = serve.ready.as_ref();
    let ready = ready.map_or_else(String::new, |path| {
        let path = quote(path);
        format!("echo laminate: waiting for {path}\nshown=\nwait_for answers {path}")
    });
    Ok(expand(
        include_str!("scripts/serve.sh"),
        &[
            ("PORT", &port),
            ("HEX", &hex),
            ("COMMAND", &line(&command)),
            ("READY", &ready),
            ("TEST", test),
        ],
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::tests::span;

    fn script(config: &str, ready: Option<&str>) -> Result<String, Diagnostic> {
        let suite = Spanned::new("hub".to_owned(), span());
        let config = format!("{{\"config\":{config}}}");
        let config = BaseConfig::parse(config.as_bytes()).expect("an object");
        let serve = Serve {
            port: Some(80),
            ready: ready.map(str::to_owned),
            cmd: None,
            args: Vec::new(),
        };
        serve_script("base", &config, &serve, &suite, "echo one\necho two")
    }

    #[test]
    fn the_port_is_also_given_as_the_kernel_prints_it() {
        let script = script(r#"{"Cmd":["start"]}"#, None).expect("it has a command");
        assert!(script.starts_with("port=80\nhex=0050\n"));
    }

    #[test]
    fn entrypoint_and_command_are_started() {
        let config = r#"{"Entrypoint":["tini","--"],"Cmd":["a b"]}"#;
        let script = script(config, None).expect("it has a command");
        assert!(script.contains("then setsid tini -- 'a b' >/run/laminate/server.log 2>&1 & else tini -- 'a b' >/run/laminate/server.log 2>&1 & fi\n"));
    }

    #[test]
    fn the_test_runs_once_the_path_answers() {
        let script = script(r#"{"Cmd":["start"]}"#, Some("/a?b")).expect("it has a command");
        assert!(script.contains(
            "wait_for listens\necho laminate: waiting for '/a?b'\nshown=\nwait_for answers '/a?b'\nif ended \"$server\"; then gone \"port $port answered\"; fi\nfi\n\
             (echo one\necho two\n)\n"
        ));
    }

    #[test]
    fn without_a_path_the_port_alone_counts() {
        let script = script(r#"{"Cmd":["start"]}"#, None).expect("it has a command");
        assert!(script.contains("wait_for listens\nif ended"));
    }

    #[test]
    fn an_image_without_a_command_cannot_serve() {
        let problem = script("{}", None).expect_err("it has no command");
        assert_eq!(
            problem.message,
            "suite `hub` cannot run: image `base` has no command"
        );
    }
}
