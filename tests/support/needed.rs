//! The rule for tests that need a program of the machine: without it they say that they did not run,
//! and in CI they fail.

use std::io::Write as _;
use std::path::PathBuf;

/// What was found; `None` after saying that the test did not run.
pub fn needed<T>(test: &str, what: &str, found: Option<T>) -> Option<T> {
    if found.is_none() {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "{test} needs {what}, which CI must have");
        // Not `eprintln!`, which a passing test's harness keeps to itself.
        let _closed = writeln!(std::io::stderr(), "{test} did not run: it needs {what}");
    }
    found
}

/// A program on PATH.
pub fn program(name: &str) -> Option<PathBuf> {
    which::which(name).ok()
}
