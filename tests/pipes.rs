//! Standard output and error that go away: nothing aborts, and the exit code is that of the command.

use crate::support::laminate::Stream::{self, Captured, Closed, Full};
use crate::support::laminate::{Answer, Laminate};

async fn run(spec: &str, words: &[&str], stdout: Stream, stderr: Stream) -> Answer {
    let laminate = Laminate::new().spec(spec).streams(stdout, stderr);
    laminate.run(words).await
}

const SPEC: &str = "stack: demo\nimages:\n  a: { base: \"debian:12\" }\n";
const INVALID: &str = "stack: demo\nimages: 1\n";

#[tokio::test]
async fn a_closed_stderr_does_not_change_the_exit_code() {
    for progress in ["auto", "plain", "json", "quiet", "tty"] {
        let words = ["plan", "--offline", "--progress", progress];
        let answer = run(INVALID, &words, Captured, Closed).await;
        assert_eq!(answer.code, 3, "{progress}: {answer:?}");
    }
    let words = ["plan", "--nonsense"];
    let answer = run(SPEC, &words, Captured, Closed).await;
    assert_eq!(answer.code, 2, "{answer:?}");
}

#[tokio::test]
async fn a_closed_stdout_is_not_an_error() {
    for words in [
        &["graph"] as &[&str],
        &["--json", "graph"],
        &["--help"],
        &["reference"],
    ] {
        let answer = run(SPEC, words, Closed, Captured).await;
        assert_eq!(answer.code, 0, "{words:?}: {answer:?}");
        assert_eq!(answer.stderr, "", "{words:?}");
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_written_is_a_failure() {
    let answer = run(SPEC, &["graph"], Full, Captured).await;
    assert_eq!(answer.code, 4, "{answer:?}");
    let expected = "error: cannot write to standard output: ";
    assert!(answer.stderr.starts_with(expected), "{answer:?}");
    for words in [
        &["--help"] as &[&str],
        &["--version"],
        &["reference"],
        &["completions", "bash"],
    ] {
        let answer = run(SPEC, words, Full, Captured).await;
        assert_eq!(answer.code, 4, "{words:?}: {answer:?}");
        assert!(answer.stderr.starts_with(expected), "{answer:?}");
    }
    let answer = run(INVALID, &["--json", "graph"], Full, Captured).await;
    assert_eq!(answer.code, 3, "{answer:?}");
    let answer = run(SPEC, &["--json", "nonsense"], Full, Captured).await;
    assert_eq!(answer.code, 2, "{answer:?}");
    assert!(answer.stderr.contains(expected), "{answer:?}");
}
