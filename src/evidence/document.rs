//! [`Evidence`]: the document of one image.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

use super::findings::Checks;
use super::packages::Package;
use super::verdict::Verdict;
use crate::name::Digest;

/// The version of the document. laminate reads no other.
pub const VERSION: u32 = 1;

/// All evidence about one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// [`VERSION`].
    pub version: u32,
    /// The name of the image for readers: `2021.2/scipy-ml-notebook`.
    pub image: String,
    /// The cache key of the image.
    pub key: Digest,
    /// The digest of the image's manifest.
    pub digest: Digest,
    /// The newest verdict of each suite, by its name.
    #[serde(default)]
    pub suites: BTreeMap<String, Verdict>,
    /// The findings of the policy's checks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<Checks>,
    /// The output of each info command, by its name.
    #[serde(default)]
    pub info: BTreeMap<String, Info>,
    /// Older verdicts of suites which have another key by now, newest first: two commits may differ in a
    /// test alone, and each needs its own verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub older: Vec<Older>,
}

/// A verdict that a newer one of the same name has replaced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Older {
    /// The name of the suite.
    pub suite: String,
    /// The verdict, without tests and log.
    pub verdict: Verdict,
}

/// The number of older verdicts that are kept of an image.
const OLDER: usize = 16;

impl Evidence {
    /// Returns a document without any evidence.
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

    /// Whether nothing is known of the image.
    pub fn is_empty(&self) -> bool {
        let Self {
            suites,
            checks,
            info,
            older,
            ..
        } = self;
        suites.is_empty() && checks.is_none() && info.is_empty() && older.is_empty()
    }

    /// Returns the verdict of the suite with this name and key.
    pub fn verdict(&self, suite: &str, key: &Digest) -> Option<&Verdict> {
        let newest = self.suites.get(suite);
        let older = self.older.iter().filter(|older| older.suite == suite);
        let mut all = newest.into_iter().chain(older.map(|older| &older.verdict));
        all.find(|verdict| verdict.key == *key)
    }

    /// Adds the evidence of `other`, which is about the same digest. Of two entries with one name the newer
    /// one is kept, so the order of merges does not matter.
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
            // Of one key only the newest verdict is kept.
            if !keys.contains(&verdict.key) {
                keys.push(verdict.key.clone());
                // Only whether it passed is read of an older verdict.
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

/// Parses a time that a document may lack: the first versions wrote an empty text for none.
pub fn optional_time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// The output of a command of `info:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Info {
    /// The hash of the command.
    pub key: Digest,
    /// Its title for readers.
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
    /// Its standard output; empty if that is in `packages`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The end of its standard error, if it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Its output as a list of packages, sorted by name, if it is one.
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
    fn the_order_of_merges_does_not_matter_and_nothing_is_lost() {
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

    #[test]
    fn only_the_newest_older_verdicts_are_kept() {
        let mut evidence = with(&[]);
        for number in 0..20 {
            let key = number.to_string();
            evidence.add("x", &verdict(&key, &format!("t{number:02}")));
        }
        assert_eq!(evidence.older.len(), OLDER);
        assert_eq!(evidence.suites["x"].time, at("t19"));
        assert_eq!(evidence.older[0].verdict.time, at("t18"));
    }

    #[test]
    fn an_older_verdict_has_no_tests_and_no_log() {
        let mut evidence = with(&[]);
        let first = Verdict {
            log: "log".to_owned(),
            ..verdict("1", "t1")
        };
        evidence.add("x", &first);
        assert_eq!(evidence.suites["x"].log, "log");
        evidence.add("x", &verdict("2", "t2"));
        assert_eq!(evidence.older[0].verdict.log, "");
    }

    #[test]
    fn a_verdict_of_another_key_or_suite_is_not_found() {
        let evidence = with(&[("x", "1", "t1")]);
        assert!(evidence.verdict("x", &Digest::of(b"1")).is_some());
        assert!(evidence.verdict("x", &Digest::of(b"2")).is_none());
        assert!(evidence.verdict("y", &Digest::of(b"1")).is_none());
    }

    #[test]
    fn newer_checks_replace_older_ones() {
        let checks = |time: &str| Checks {
            key: Digest::of(b"policy"),
            passed: true,
            time: at(time),
            findings: Vec::new(),
            allowed: Vec::new(),
            unused: Vec::new(),
        };
        let (mut old, mut new) = (with(&[]), with(&[]));
        old.checks = Some(checks("t1"));
        new.checks = Some(checks("t2"));
        old.merge(&new);
        assert_eq!(old.checks, new.checks);
        new.merge(&old);
        assert_eq!(new.checks, Some(checks("t2")));
    }

    #[test]
    fn a_document_of_before_is_read_without_the_newer_keys() {
        let digest = Digest::of(b"image").to_string();
        let text = format!(
            r#"{{"version":1,"image":"a","key":"{digest}","digest":"{digest}","checks":
               {{"key":"{digest}","passed":false,"time":"2026-01-01T00:00:00Z","findings":
               [{{"rule":"root","path":"/x","text":"an older wording"}}]}}}}"#
        );
        let evidence: Evidence = serde_json::from_str(&text).expect("a document");
        let checks = evidence.checks.expect("it has checks");
        assert_eq!(checks.findings[0].text, "an older wording");
        assert_eq!(checks.findings[0].below, 0);
    }
}
