//! [`Verdict`]: the result of a suite, with its tests.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::name::Digest;

/// The result of one suite on one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The hash of all that determines the suite; with the image's key it names the verdict.
    pub key: Digest,
    /// The image whose `tests:` declares it; `None`: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Whether it passed.
    pub passed: bool,
    /// Why it failed, if no test reports it: `it was stopped after 600 s`, `exit code 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The number of tests that the suite reports; 1 for a suite without a report.
    pub tests: u32,
    /// The number of tests that failed.
    pub failed: u32,
    /// The number of tests that were skipped.
    #[serde(default)]
    pub skipped: u32,
    /// How long it took, seconds.
    pub seconds: f64,
    /// When it ran.
    pub time: Timestamp,
    /// The tests it reports, without some that passed where there are very many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Case>,
    /// The end of its output.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
}

impl Verdict {
    /// Returns `12 passed`, `1 of 12 failed`, or the reason.
    pub fn summary(&self) -> String {
        match (&self.reason, self.passed) {
            (Some(reason), false) => reason.clone(),
            (_, true) if self.skipped > 0 => {
                format!(
                    "{} passed, {} skipped",
                    self.tests.saturating_sub(self.skipped),
                    self.skipped
                )
            }
            (_, true) => format!("{} passed", self.tests),
            (None, false) => format!("{} of {} failed", self.failed, self.tests),
        }
    }

    /// Returns the tests that failed.
    pub fn failed_cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| case.has_failed())
    }
}

/// One test of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The name of the test.
    pub name: String,
    /// The module or class it is in; empty if the report has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    /// How long it took, seconds.
    pub seconds: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// One line: the assertion that failed, the reason it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The report of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It passed.
    Passed,
    /// An assertion failed.
    Failed,
    /// It could not be run to its end.
    Error,
    /// It was not run.
    Skipped,
}

impl Case {
    /// Returns whether the test did not pass and was not skipped.
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed | Outcome::Error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_of_impossible_counts_is_shown() {
        let text = r#"{"key":"KEY","passed":true,"tests":1,"failed":0,"skipped":2,"seconds":0.0,"time":"2026-01-01T00:00:00Z"}"#;
        let text = text.replace("KEY", Digest::of(b"suite").as_str());
        let verdict: Verdict = serde_json::from_str(&text).expect("a verdict");
        assert_eq!(verdict.summary(), "0 passed, 2 skipped");
    }

    #[test]
    fn a_summary_counts_tests_or_gives_the_reason() {
        let passed = Verdict {
            key: Digest::of(b"suite"),
            from: None,
            passed: true,
            reason: None,
            tests: 12,
            failed: 0,
            skipped: 0,
            seconds: 0.0,
            time: Timestamp::UNIX_EPOCH,
            cases: Vec::new(),
            log: String::new(),
        };
        assert_eq!(passed.summary(), "12 passed");
        let skipped = Verdict {
            skipped: 2,
            ..passed.clone()
        };
        assert_eq!(skipped.summary(), "10 passed, 2 skipped");
        let failed = Verdict {
            passed: false,
            failed: 1,
            ..passed
        };
        assert_eq!(failed.summary(), "1 of 12 failed");
        let reason = Some("exit code 3".to_owned());
        assert_eq!(Verdict { reason, ..failed }.summary(), "exit code 3");
    }
}
