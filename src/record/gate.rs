//! Verdicts on gates from outside a run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::evidence::Case;
use crate::name::Digest;

/// A verdict on one digest from outside a run: a GPU machine, a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GateVerdict {
    /// The gate it is about.
    pub gate: String,
    /// The label of the image, `2021.2/scipy-ml-notebook`.
    pub image: String,
    /// The manifest digest of the image.
    pub digest: Digest,
    /// Whether the image passed.
    pub passed: bool,
    /// What the person wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Who added it.
    pub by: String,
    /// When it was added.
    pub time: Timestamp,
    /// How many tests the report has.
    pub tests: u32,
    /// How many of them failed.
    pub failed: u32,
    /// The tests; of a large report those that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Case>,
}

impl GateVerdict {
    /// Whether another verdict differs from it in its time and author at most.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let undated = |verdict: &Self| Self {
            by: String::new(),
            time: Timestamp::UNIX_EPOCH,
            image: String::new(),
            ..verdict.clone()
        };
        undated(self) == undated(other)
    }

    /// Returns `passed (12 tests)` or `failed (1 of 3)`; without a report, `passed` or `failed`.
    pub fn outcome(&self) -> String {
        match (self.passed, self.tests) {
            (true, 0) => "passed".to_owned(),
            (true, tests) => format!("passed ({tests} tests)"),
            (false, 0) => "failed".to_owned(),
            (false, tests) => format!("failed ({} of {tests})", self.failed),
        }
    }
}
