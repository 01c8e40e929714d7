//! The state of a gate: what a release recorded for it, and what was found out since.

use std::collections::BTreeMap;

use super::spec::{CHECKS, GateScope, Source, SpecGates, scope};
use crate::evidence::Evidence;
use crate::name::Digest;
use crate::record::{GateVerdict, ReleaseImage};
use crate::stack::Gate;

/// The state of a gate for the images of a channel.
#[derive(Clone, Debug, PartialEq)]
pub struct GateState {
    /// The name of the gate.
    pub name: String,
    /// Who proves it.
    pub source: Source,
    /// Images it has passed for.
    pub passed: Vec<String>,
    /// Images it has failed for.
    pub failed: Vec<String>,
    /// Images it covers and has no result for.
    pub open: Vec<String>,
    /// Images it does not cover.
    pub uncovered: Vec<String>,
    /// The verdicts from outside that count.
    pub verdicts: Vec<GateVerdict>,
}

impl GateState {
    /// Returns whether the channel may move: nothing failed, nothing is open, something passed.
    pub fn is_proven(&self) -> bool {
        self.failed.is_empty() && self.open.is_empty() && !self.passed.is_empty()
    }

    /// Returns the state by what runs found, and the images that evidence from outside is to be read
    /// for.
    pub(super) fn of_runs<'a>(
        gate: &Gate,
        source: Source,
        spec: &SpecGates,
        images: &[&'a ReleaseImage],
        newest: &BTreeMap<Digest, Evidence>,
    ) -> (Self, Vec<&'a ReleaseImage>) {
        let mut state = Self {
            name: gate.name.clone(),
            source,
            passed: Vec::new(),
            failed: Vec::new(),
            open: Vec::new(),
            uncovered: Vec::new(),
            verdicts: Vec::new(),
        };
        let mut pending = Vec::new();
        for image in images {
            let result = match source {
                Source::Run => result(gate, spec, image, newest),
                Source::Evidence => GateResult::Absent,
            };
            let has = result != GateResult::Absent;
            let list = match (scope(gate, &image.image, source, has), result) {
                (GateScope::Exempt, _) => &mut state.uncovered,
                (GateScope::Evidence, _) => {
                    pending.push(*image);
                    continue;
                }
                (GateScope::Run, GateResult::Passed) => &mut state.passed,
                (GateScope::Run, GateResult::Failed) => &mut state.failed,
                (GateScope::Run, GateResult::Open | GateResult::Absent) => &mut state.open,
            };
            list.push(image.label());
        }
        (state, pending)
    }

    /// Adds the verdict from outside on an image; `None`: there is none.
    pub(super) fn add_evidence(&mut self, label: String, verdict: Option<GateVerdict>) {
        let list = match verdict.as_ref().map(|verdict| verdict.passed) {
            Some(true) => &mut self.passed,
            Some(false) => &mut self.failed,
            None => &mut self.open,
        };
        // Images of several variants may be one, and the verdict has the name of one of them.
        self.verdicts.extend(verdict.map(|verdict| GateVerdict {
            image: label.clone(),
            ..verdict
        }));
        list.push(label);
    }
}

/// Returns whether a release has a suite of this name for an image, run or dropped.
pub fn has_suite(image: &ReleaseImage, name: &str) -> bool {
    image.verdicts.iter().any(|verdict| verdict.suite == name) || is_dropped(image, name)
}

fn is_dropped(image: &ReleaseImage, name: &str) -> bool {
    image.dropped.iter().any(|dropped| dropped.suite == name)
}

/// The result of checks or a suite on an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GateResult {
    Passed,
    Failed,
    /// The image has them, and they have not run on it.
    Open,
    /// The image does not have them.
    Absent,
}

impl GateResult {
    fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }
}

/// Returns the result of a gate on an image. The release has the one of its time; a newer one counts if
/// it is of the same edition of the suite or policy, since a suite that was edited is another suite. If
/// the release has none, the spec's counts, in today's edition.
fn result(
    gate: &Gate,
    spec: &SpecGates,
    image: &ReleaseImage,
    newest: &BTreeMap<Digest, Evidence>,
) -> GateResult {
    // Evidence is about one digest alone.
    let evidence = newest
        .values()
        .find(|evidence| evidence.digest == image.digest);
    let found = |key: &Digest| found(evidence?, &gate.name, key);
    if let Some((passed, key)) = recorded(image, &gate.name) {
        return GateResult::of(key.and_then(found).unwrap_or(passed));
    }
    match spec.key(&gate.name, &image.label()) {
        Some(_) if is_dropped(image, &gate.name) => GateResult::Absent,
        Some(key) => found(key).map_or(GateResult::Open, GateResult::of),
        None => GateResult::Absent,
    }
}

/// Returns whether evidence has that a gate passed in the edition with a key.
fn found(evidence: &Evidence, gate: &str, key: &Digest) -> Option<bool> {
    match gate {
        CHECKS => {
            let checks = evidence.checks.as_ref();
            checks.filter(|checks| checks.key == *key).map(|c| c.passed)
        }
        suite => evidence.verdict(suite, key).map(|verdict| verdict.passed),
    }
}

/// Returns whether a gate passed on an image when its release was written, and in which edition.
fn recorded<'a>(image: &'a ReleaseImage, gate: &str) -> Option<(bool, Option<&'a Digest>)> {
    if gate == CHECKS {
        return Some((image.checks?, image.checks_key.as_ref()));
    }
    let mut verdicts = image.verdicts.iter();
    let verdict =
        verdicts.find(|verdict| verdict.digest == image.digest && verdict.suite == gate)?;
    Some((verdict.passed, verdict.key.as_ref()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::spec::InForce;
    use super::*;
    use crate::evidence::{Checks, Verdict};
    use crate::name::Repository;
    use crate::record::{DroppedSuite, ReleaseVerdict};

    fn of(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn image(verdict: Option<(&str, bool)>, checks: Option<(&str, bool)>) -> ReleaseImage {
        let verdicts = verdict.map(|(key, passed)| ReleaseVerdict {
            suite: "common".to_owned(),
            from: None,
            key: Some(of(key)),
            digest: of("image"),
            passed,
            tests: 1,
            failed: u32::from(!passed),
            cached: false,
        });
        ReleaseImage {
            image: "a".to_owned(),
            variant: None,
            repository: Repository::parse("example.org/a").expect("a repository"),
            digest: of("image"),
            key: Some(of("key")),
            adopted_from: None,
            tags: Vec::new(),
            depth: 0,
            base: None,
            base_digest: None,
            copies: Vec::new(),
            size: 0,
            verdicts: verdicts.into_iter().collect(),
            dropped: Vec::new(),
            checks: checks.map(|(_, passed)| passed),
            checks_key: checks.map(|(key, _)| of(key)),
            evidence: None,
        }
    }

    fn evidence(
        digest: &str,
        suite: (&str, bool),
        policy: (&str, bool),
    ) -> BTreeMap<Digest, Evidence> {
        let mut evidence = Evidence::new("a", of("key"), of(digest));
        evidence.suites.insert(
            "common".to_owned(),
            Verdict {
                key: of(suite.0),
                from: None,
                passed: suite.1,
                reason: None,
                tests: 1,
                failed: 0,
                skipped: 0,
                seconds: 0.0,
                time: jiff::Timestamp::UNIX_EPOCH,
                cases: Vec::new(),
                log: String::new(),
            },
        );
        evidence.checks = Some(Checks {
            key: of(policy.0),
            passed: policy.1,
            time: jiff::Timestamp::UNIX_EPOCH,
            findings: Vec::new(),
            allowed: Vec::new(),
            unused: Vec::new(),
        });
        BTreeMap::from([(of("key"), evidence)])
    }

    fn gate(name: &str, images: Option<&[&str]>) -> Gate {
        let images = images.map(|images| images.iter().map(|name| (*name).to_owned()).collect());
        Gate {
            name: name.to_owned(),
            images,
        }
    }

    /// A spec in which `common` and a policy are in force for `a`.
    fn now(suite: &str, policy: &str) -> SpecGates {
        let force = InForce {
            suites: BTreeMap::from([("common".to_owned(), of(suite))]),
            checks: Some(of(policy)),
        };
        SpecGates {
            suites: BTreeSet::from(["common".to_owned()]),
            images: BTreeMap::from([("a".to_owned(), force)]),
        }
    }

    #[test]
    fn the_same_edition_counts_when_it_is_newer_and_another_does_not() {
        let (common, checks) = (gate("common", None), gate(CHECKS, None));
        let then = image(Some(("one", true)), Some(("one", true)));
        let known = now("two", "two");
        // A retest of the same suite, and another edition of it.
        for (key, passed) in [("one", false), ("two", true)] {
            let newest = evidence("image", (key, false), (key, false));
            let counts = GateResult::of(passed);
            assert_eq!(result(&common, &known, &then, &newest), counts, "{key}");
            assert_eq!(result(&checks, &known, &then, &newest), counts, "{key}");
        }
        // Other bytes of the same key do not count.
        let other = evidence("other", ("one", false), ("one", false));
        for gate in [&common, &checks] {
            assert_eq!(result(gate, &known, &then, &other), GateResult::Passed);
        }
    }

    #[test]
    fn what_a_release_does_not_know_counts_in_todays_edition() {
        let (common, checks) = (gate("common", None), gate(CHECKS, None));
        let early = image(None, None);
        let found = evidence("image", ("two", true), ("two", false));
        for (key, suite, policy) in [
            ("two", GateResult::Passed, GateResult::Failed),
            ("three", GateResult::Open, GateResult::Open),
        ] {
            let known = now(key, key);
            assert_eq!(result(&common, &known, &early, &found), suite);
            assert_eq!(result(&checks, &known, &early, &found), policy);
            assert_eq!(
                result(&common, &known, &early, &BTreeMap::new()),
                GateResult::Open,
                "nothing ran"
            );
        }
        // Dropped then; another branch ran it on the same bytes.
        let mut dropped = image(None, None);
        dropped.dropped.push(DroppedSuite {
            suite: "common".to_owned(),
            reason: "elsewhere".to_owned(),
        });
        let known = now("two", "two");
        assert_eq!(
            result(&common, &known, &dropped, &found),
            GateResult::Absent
        );
        // Neither then nor now.
        let known = SpecGates::default();
        assert_eq!(result(&common, &known, &early, &found), GateResult::Absent);
        assert_eq!(result(&checks, &known, &early, &found), GateResult::Absent);
    }

    #[test]
    fn nothing_from_outside_stands_in_for_a_suite() {
        let early = image(None, None);
        let sort = |gate: &Gate, known: &SpecGates, image: &ReleaseImage| {
            let is_suite = has_suite(image, &gate.name);
            let source = if is_suite {
                Source::Run
            } else {
                known.source(&gate.name)
            };
            let none = BTreeMap::new();
            let (state, pending) = GateState::of_runs(gate, source, known, &[image], &none);
            let counts = [&state.passed, &state.failed, &state.open, &state.uncovered];
            (counts.map(Vec::len), pending.len())
        };
        let known = now("one", "one");
        let common = gate("common", None);
        assert_eq!(sort(&common, &known, &early), ([0, 0, 1, 0], 0));
        // A suite of another variant, or one that is dropped.
        let mut elsewhere = SpecGates {
            images: BTreeMap::new(),
            ..known.clone()
        };
        assert_eq!(sort(&common, &elsewhere, &early), ([0, 0, 0, 1], 0));
        elsewhere.suites.clear();
        assert_eq!(sort(&common, &elsewhere, &early), ([0; 4], 1), "no suite");
        // A gate that lists an image requires it there.
        let named = gate("common", Some(&["a"]));
        assert_eq!(
            sort(
                &named,
                &SpecGates {
                    images: BTreeMap::new(),
                    ..known.clone()
                },
                &early
            ),
            ([0, 0, 1, 0], 0)
        );
        let others = gate("common", Some(&["b"]));
        assert_eq!(sort(&others, &known, &early), ([0, 0, 0, 1], 0));
        assert_eq!(sort(&gate("gpu", None), &known, &early), ([0; 4], 1));
    }
}
