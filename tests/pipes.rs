//! Standard output and error that go away: nothing aborts, and the exit code is that of the command.

use std::process::{Command, Output, Stdio};

/// Returns a pipe whose reader is gone.
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// Runs laminate in a folder with this spec.
fn run(spec: &str, words: &[&str], stdout: Stdio, stderr: Stdio) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("specs.yml"), spec).expect("written");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let child = Command::new(env!("CARGO_BIN_EXE_laminate"))
        .args(words)
        .current_dir(&folder)
        .env_clear()
        .env("PATH", path)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .spawn();
    child
        .expect("it starts")
        .wait_with_output()
        .expect("it ends")
}

const SPEC: &str = "stack: demo\nimages:\n  a: { base: \"debian:12\" }\n";
const INVALID: &str = "stack: demo\nimages: 1\n";

#[test]
fn a_closed_stderr_does_not_change_the_exit_code() {
    for progress in ["auto", "plain", "json", "quiet", "tty"] {
        let words = ["plan", "--offline", "--progress", progress];
        let output = run(INVALID, &words, Stdio::piped(), closed_pipe());
        assert_eq!(output.status.code(), Some(3), "{progress}: {output:?}");
    }
    let words = ["plan", "--nonsense"];
    let output = run(SPEC, &words, Stdio::piped(), closed_pipe());
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}

#[test]
fn a_closed_stdout_is_not_an_error() {
    for words in [
        &["graph"] as &[&str],
        &["--json", "graph"],
        &["--help"],
        &["reference"],
    ] {
        let output = run(SPEC, words, closed_pipe(), Stdio::piped());
        assert_eq!(output.status.code(), Some(0), "{words:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let full = || std::fs::File::options().write(true).open("/dev/full");
    let output = run(
        SPEC,
        &["graph"],
        full().expect("a device").into(),
        Stdio::piped(),
    );
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{errors}");
    assert!(
        errors.starts_with("error: cannot write to standard output: "),
        "{errors}"
    );
    let output = run(
        INVALID,
        &["--json", "graph"],
        full().expect("a device").into(),
        Stdio::piped(),
    );
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}
