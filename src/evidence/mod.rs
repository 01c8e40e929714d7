//! What is known of an image beside its bytes: verdicts of test suites, findings of checks, what its
//! info commands said, and verdicts from outside.
//!
//! [`Evidence`] is one document an image key, kept in staging; a release takes the document of each of
//! its images along. `compile` and `run` make it, `plan` decides by it what need not be run again,
//! `docs` and `release` show it.

pub mod junit;
pub mod packages;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

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
    /// Older verdicts of suites whose name another has by now, newest first: two commits may differ in
    /// a test alone, and each wants its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<Older>,
}

/// A verdict that a newer one of the same name has replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Older {
    pub suite: String,
    pub verdict: Verdict,
}

/// How many replaced verdicts are kept of an image.
const OLDER: usize = 16;

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
            older: Vec::new(),
        }
    }

    /// The verdict of the suite with this name and key.
    pub fn verdict(&self, suite: &str, key: &Digest) -> Option<&Verdict> {
        let newest = self.suites.get(suite);
        let older = self.older.iter().filter(|older| older.suite == suite);
        let mut all = newest.into_iter().chain(older.map(|older| &older.verdict));
        all.find(|verdict| verdict.key == *key)
    }

    /// Takes over what `other` has, which is about the same digest. Of two things of one name the newer
    /// one counts, so that it does not matter which of two runs comes first.
    pub fn merge(&mut self, other: &Self) {
        for (name, verdict) in &other.suites {
            self.add(name, verdict);
        }
        for older in &other.older {
            self.add(&older.suite, &older.verdict);
        }
        for (name, info) in &other.info {
            match self.info.get(name) {
                Some(known) if (known.time, &known.key) >= (info.time, &info.key) => {}
                _ => {
                    self.info.insert(name.clone(), info.clone());
                }
            }
        }
        if let Some(checks) = &other.checks {
            match &self.checks {
                Some(known) if (known.time, &known.key) >= (checks.time, &checks.key) => {}
                _ => self.checks = Some(checks.clone()),
            }
        }
    }

    fn add(&mut self, name: &str, verdict: &Verdict) {
        let older = self.older.iter().filter(|older| older.suite == name);
        let known = self.suites.get(name).into_iter();
        let mut all: Vec<Verdict> = known
            .chain(older.map(|older| &older.verdict))
            .cloned()
            .collect();
        self.older.retain(|older| older.suite != name);
        all.push(verdict.clone());
        all.sort_by(|a, b| (b.time, &b.key).cmp(&(a.time, &a.key)));
        let mut all = all.into_iter();
        let newest = all.next().expect("one was pushed");
        let mut keys = vec![newest.key.clone()];
        self.suites.insert(name.to_owned(), newest);
        for verdict in all {
            // Of one suite the newest verdict counts.
            if !keys.contains(&verdict.key) {
                keys.push(verdict.key.clone());
                // Whether it was green is all anybody asks of it.
                self.older.push(Older {
                    suite: name.to_owned(),
                    verdict: Verdict {
                        cases: Vec::new(),
                        log: String::new(),
                        ..verdict
                    },
                });
            }
        }
        self.older.sort_by(|a, b| {
            let order = |o: &Older| (o.verdict.time, o.verdict.key.clone(), o.suite.clone());
            order(b).cmp(&order(a))
        });
        self.older.truncate(OLDER);
    }
}

/// Reads a time that a document may lack; the first versions wrote an empty text for none.
pub fn optional_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(serde::de::Error::custom)
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
    /// When it ran.
    pub time: Timestamp,
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
    pub fn failed_cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.iter().filter(|case| case.has_failed())
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
    pub fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed | Outcome::Error)
    }
}

/// What the checks of a policy found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// The hash of the policy.
    pub key: Digest,
    pub passed: bool,
    /// When they ran.
    pub time: Timestamp,
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
    /// Further paths that are not below this one, from the same step: the first few stand for all.
    #[serde(default)]
    pub elsewhere: usize,
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
    /// When it ran; documents of the first versions do not have it.
    #[serde(
        default,
        deserialize_with = "optional_time",
        skip_serializing_if = "Option::is_none"
    )]
    pub time: Option<Timestamp>,
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

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of `t1`, `t2`.
    fn at(name: &str) -> Timestamp {
        let second = name.trim_start_matches('t').parse().expect("a number");
        Timestamp::from_second(second).expect("a time")
    }

    fn verdict(key: &str, time: &str) -> Verdict {
        Verdict {
            key: Digest::of(key.as_bytes()),
            from: None,
            passed: true,
            reason: None,
            tests: 1,
            failed: 0,
            skipped: 0,
            seconds: 0.0,
            time: at(time),
            cases: Vec::new(),
            log: String::new(),
        }
    }

    fn with(suites: &[(&str, &str, &str)]) -> Evidence {
        let digest = Digest::of(b"image");
        let mut evidence = Evidence::new("a", digest.clone(), digest);
        for (name, key, time) in suites {
            evidence.add(name, &verdict(key, time));
        }
        evidence
    }

    #[test]
    fn it_does_not_matter_who_comes_first_and_nothing_is_lost() {
        let (a, b) = (
            with(&[("x", "1", "t1"), ("y", "1", "t1")]),
            with(&[("x", "2", "t2"), ("z", "1", "t2")]),
        );
        let (mut ab, mut ba) = (a.clone(), b.clone());
        ab.merge(&b);
        ba.merge(&a);
        assert_eq!(ab, ba);
        for (name, key) in [("x", "1"), ("x", "2"), ("y", "1"), ("z", "1")] {
            assert!(
                ab.verdict(name, &Digest::of(key.as_bytes())).is_some(),
                "{name} {key}"
            );
        }
        assert_eq!(ab.suites["x"].time, at("t2"));
        let once = ab.clone();
        ab.merge(&a);
        assert_eq!(ab, once, "merging again changes nothing");
    }

    #[test]
    fn a_retest_replaces_the_verdict_of_the_same_suite() {
        let mut evidence = with(&[("x", "1", "t1")]);
        evidence.merge(&with(&[("x", "1", "t2")]));
        assert_eq!(evidence.suites["x"].time, at("t2"));
        assert!(evidence.older.is_empty());
    }
}
