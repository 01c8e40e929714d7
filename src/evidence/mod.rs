//! What is known of an image beside its bytes: verdicts of test suites, findings of checks, what its
//! info commands said, and verdicts from outside.
//!
//! [`Evidence`] is one document an image key, kept in staging; a release takes the document of each of
//! its images along. `compile` and `run` make it, `plan` decides by it what need not be run again,
//! `docs` and `release` show it.

pub mod junit;
pub mod packages;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::name::Digest;
pub use packages::Package;

/// The version of the document; another is not understood.
pub const VERSION: u32 = 1;

/// Everything proven of one image, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub version: u32,
    /// What a reader calls the image: `2021.2/scipy-ml-notebook`.
    pub image: String,
    pub key: Digest,
    /// The manifest everything in here is about.
    pub digest: Digest,
    /// By name.
    #[serde(default)]
    pub suites: BTreeMap<String, Verdict>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
    /// By name.
    #[serde(default)]
    pub info: BTreeMap<String, Info>,
}

impl Evidence {
    pub fn new(image: impl Into<String>, key: Digest, digest: Digest) -> Self {
        Self {
            version: VERSION,
            image: image.into(),
            key,
            digest,
            suites: BTreeMap::new(),
            checks: None,
            info: BTreeMap::new(),
        }
    }

    /// Takes over what `newer` has; it is about the same digest.
    pub fn merge(&mut self, newer: &Self) {
        self.suites.extend(newer.suites.clone());
        self.info.extend(newer.info.clone());
        if newer.checks.is_some() {
            self.checks.clone_from(&newer.checks);
        }
    }
}

/// What came of one suite on one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// The hash of all that determines the suite; with the image's key it names the verdict.
    pub key: Digest,
    /// The image whose `tests:` declares it; `None`: the stack's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    pub passed: bool,
    /// Why it did not pass, if no test says so: `it was stopped after 600 s`, `exit code 3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Single tests, if the suite reports such; a suite without is one test.
    pub tests: u32,
    pub failed: u32,
    #[serde(default)]
    pub skipped: u32,
    pub seconds: f64,
    /// When it ran, RFC 3339.
    pub time: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Case>,
    /// The end of what it wrote.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub log: String,
}

impl Verdict {
    /// `12 passed`, `1 of 12 failed`, or the reason.
    pub fn summary(&self) -> String {
        match (&self.reason, self.passed) {
            (Some(reason), false) => reason.clone(),
            (_, true) if self.skipped > 0 => {
                format!(
                    "{} passed, {} skipped",
                    self.tests - self.skipped,
                    self.skipped
                )
            }
            (_, true) => format!("{} passed", self.tests),
            (None, false) => format!("{} of {} failed", self.failed, self.tests),
        }
    }

    /// The tests that failed.
    pub fn red_cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| case.is_red())
    }
}

/// One test of a suite.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Case {
    pub name: String,
    /// The module or class it is in; empty if none is said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub class: String,
    pub seconds: f64,
    pub outcome: Outcome,
    /// One line: the assertion that did not hold, the reason it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The whole report of a failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    Passed,
    Failed,
    /// It could not be run to its end.
    Error,
    Skipped,
}

impl Case {
    pub fn is_red(&self) -> bool {
        matches!(self.outcome, Outcome::Failed | Outcome::Error)
    }
}

/// What the checks of a policy found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// The hash of the policy.
    pub key: Digest,
    pub passed: bool,
    pub time: String,
    pub findings: Vec<Finding>,
    /// Findings the spec allows, with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<Allowed>,
    /// Allowances nothing needed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unused: Vec<String>,
}

/// Something a policy forbids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    pub rule: Rule,
    /// Absolute, in the image; empty for the image as a whole.
    pub path: String,
    /// What is wrong: `is writable for everybody (mode 0777)`.
    pub text: String,
    /// Further paths below this one with the same fault from the same step.
    #[serde(default)]
    pub below: usize,
    /// The step whose layer brought it, by its index from 0 in the image that has the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// The base of the stack it is inherited from; `None`: it is the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inherited: Option<String>,
}

/// Which check a finding is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// `root: locked`
    Root,
    /// `writable:`
    Writable,
    /// `layers:`
    Layers,
    /// `user: not-root`
    User,
    /// A command of `info:` that failed.
    Info,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allowed {
    pub finding: Finding,
    pub reason: String,
}

/// What a command of `info:` said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// The hash of the command.
    pub key: Digest,
    pub title: String,
    /// Its exit code.
    pub exit: i32,
    /// What it wrote to its output; empty if that is in `packages`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The end of what it wrote to its error stream, if it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The list it is, sorted by name, if it is a list of packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<Vec<Package>>,
}

/// A verdict on one digest from outside a run: a GPU machine, a person.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outside {
    pub gate: String,
    pub image: String,
    pub digest: Digest,
    pub passed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    pub by: String,
    /// RFC 3339.
    pub time: String,
    pub tests: u32,
    pub failed: u32,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Case>,
}
