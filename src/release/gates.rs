//! What must be green before a channel moves, and whether it is.
//!
//! A gate is `checks`, a suite, or whatever evidence from outside is filed under. A suite counts for the
//! images that have it; evidence from outside is wanted for every image that is asked for. Which names
//! are suites is the spec's to say ([`Known`]), so that nothing from outside can stand in for one.

use std::collections::{BTreeMap, BTreeSet};

use super::Error;
use crate::evidence::Evidence;
use crate::name::Digest;
use crate::plan::{self, proof};
use crate::record::{Release, ReleaseImage};
use crate::stack::{Gate, Image, Stack};
use crate::staging::Staging;

/// The gate every policy feeds.
pub const CHECKS: &str = "checks";

/// What the spec says now of suites and policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Names of suites, also of those that are dropped everywhere.
    suites: BTreeSet<String>,
    /// By label.
    images: BTreeMap<String, InForce>,
}

/// What is to be proven of an image, each with its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct InForce {
    suites: BTreeMap<String, Digest>,
    checks: Option<Digest>,
}

/// Whether a gate is asked of an image, and who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Not,
    Inside,
    Outside,
}

impl Known {
    pub fn of(stack: &Stack) -> Self {
        let mut known = Self::default();
        for image in &stack.images {
            let suites = &image.proof.suites;
            let suites = suites
                .iter()
                .map(|suite| (suite.name.value.clone(), proof::suite_key(stack, suite)));
            let force = InForce {
                suites: suites.collect(),
                checks: proof::checks_key(image),
            };
            let dropped = image.proof.dropped.iter();
            known.suites.extend(force.suites.keys().cloned());
            known
                .suites
                .extend(dropped.map(|dropped| dropped.suite.clone()));
            known.images.insert(plan::label(stack, image), force);
        }
        known
    }

    /// Whether a gate is `checks` or a suite.
    pub fn is_inside(&self, gate: &str) -> bool {
        gate == CHECKS || self.suites.contains(gate)
    }

    /// Names of suites.
    pub fn suites(&self) -> impl Iterator<Item = &str> {
        self.suites.iter().map(String::as_str)
    }

    /// The key of a suite, or of the policy, that is in force for an image.
    fn key(&self, gate: &str, label: &str) -> Option<&Digest> {
        let force = self.images.get(label)?;
        match gate {
            CHECKS => force.checks.as_ref(),
            suite => force.suites.get(suite),
        }
    }
}

fn asked(gate: &Gate, image: &str, inside: bool, has: bool) -> Asked {
    let named = gate.images.as_ref().map(|set| set.contains(image));
    match (named, inside, has) {
        (Some(false), ..) => Asked::Not,
        (_, false, _) => Asked::Outside,
        // A suite need not be every image's; who names the image wants it there.
        (None, true, false) => Asked::Not,
        _ => Asked::Inside,
    }
}

/// Images of a channel that one of its gates says nothing about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence<'a> {
    pub channel: &'a str,
    pub gate: &'a str,
    /// Labels.
    pub images: Vec<String>,
}

/// What the gates of all channels will say nothing about in a release of this spec.
pub fn silent<'a>(stack: &'a Stack, known: &Known) -> Vec<Silence<'a>> {
    let mut list = Vec::new();
    for channel in &stack.channels {
        let moved = |image: &&Image| channel.tags.contains_key(&image.variant);
        for gate in &channel.gates {
            let inside = known.is_inside(&gate.name);
            let images = stack.images.iter().filter(moved).filter_map(|image| {
                let label = plan::label(stack, image);
                let has = known.key(&gate.name, &label).is_some();
                let asked = asked(gate, image.name.as_str(), inside, has);
                (asked == Asked::Not).then_some(label)
            });
            let images: Vec<String> = images.collect();
            if !images.is_empty() {
                list.push(Silence {
                    channel: &channel.name,
                    gate: &gate.name,
                    images,
                });
            }
        }
    }
    list
}

/// What is known of a gate for the images of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateState {
    pub name: String,
    /// A suite or `checks`, which only a run proves; else it is evidence from outside.
    pub inside: bool,
    /// Images it is green for.
    pub green: Vec<String>,
    /// Images it is red for.
    pub red: Vec<String>,
    /// Images it is asked of and says nothing about.
    pub open: Vec<String>,
    /// Images it is not asked of.
    pub silent: Vec<String>,
}

impl GateState {
    /// Whether nothing stands against a move: nothing red, nothing open, something green.
    pub fn is_proven(&self) -> bool {
        self.red.is_empty() && self.open.is_empty() && !self.green.is_empty()
    }
}

/// Looks at gates for those images of a release a channel moves (by label). What was found out since
/// the release, on the same digest, counts over what the release says.
pub async fn gates(
    staging: &Staging,
    known: &Known,
    release: &Release,
    labels: &[&str],
    gates: &[Gate],
) -> Result<Vec<GateState>, Error> {
    let images = release.images.iter();
    let images: Vec<&ReleaseImage> = images
        .filter(|image| labels.contains(&image.label().as_str()))
        .collect();
    let keys = images.iter().map(|image| &image.key);
    let newest = staging.evidence(keys).await?;
    let mut list = Vec::new();
    for gate in gates {
        let inside =
            known.is_inside(&gate.name) || release.images.iter().any(|i| has_suite(i, &gate.name));
        let (mut state, asked) = sorted(gate, inside, known, &images, &newest);
        let digests = asked.iter().map(|image| &image.digest);
        let found = staging.verdicts(&gate.name, digests).await?;
        for (image, verdict) in asked.into_iter().zip(found) {
            let list = match verdict.map(|verdict| verdict.passed) {
                Some(true) => &mut state.green,
                Some(false) => &mut state.red,
                None => &mut state.open,
            };
            list.push(image.label());
        }
        list.push(state);
    }
    Ok(list)
}

/// Whether a release says that a suite of this name is the image's, run or dropped.
pub fn has_suite(image: &ReleaseImage, name: &str) -> bool {
    image.verdicts.iter().any(|verdict| verdict.suite == name) || is_dropped(image, name)
}

fn is_dropped(image: &ReleaseImage, name: &str) -> bool {
    image.dropped.iter().any(|dropped| dropped.suite == name)
}

/// What is known of a gate without evidence from outside, and the images it is still to be looked for.
fn sorted<'a>(
    gate: &Gate,
    inside: bool,
    known: &Known,
    images: &[&'a ReleaseImage],
    newest: &BTreeMap<Digest, Evidence>,
) -> (GateState, Vec<&'a ReleaseImage>) {
    let mut state = GateState {
        name: gate.name.clone(),
        inside,
        green: Vec::new(),
        red: Vec::new(),
        open: Vec::new(),
        silent: Vec::new(),
    };
    let mut outside = Vec::new();
    for image in images {
        let label = image.label();
        let said = match inside {
            true => said(gate, known, image, newest),
            false => Said::Nothing,
        };
        let list = match (
            asked(gate, &image.image, inside, said != Said::Nothing),
            said,
        ) {
            (Asked::Not, _) => &mut state.silent,
            (Asked::Outside, _) => {
                outside.push(*image);
                continue;
            }
            (Asked::Inside, Said::Verdict(true)) => &mut state.green,
            (Asked::Inside, Said::Verdict(false)) => &mut state.red,
            (Asked::Inside, Said::Open | Said::Nothing) => &mut state.open,
        };
        list.push(label);
    }
    (state, outside)
}

/// What checks or a suite say of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Verdict(bool),
    /// It has them, and they never ran on it.
    Open,
    /// It has none.
    Nothing,
}

/// The release says how it was then; what is newer counts if it is of the same edition of the suite or
/// policy: a test that was edited since is another test. Where the release knows of none, that of the
/// spec counts, in today's edition.
fn said(
    gate: &Gate,
    known: &Known,
    image: &ReleaseImage,
    newest: &BTreeMap<Digest, Evidence>,
) -> Said {
    // What is known of a digest is known of that digest alone.
    let evidence = newest
        .values()
        .find(|evidence| evidence.digest == image.digest);
    let of = |key: &Digest| {
        let evidence = evidence?;
        match gate.name.as_str() {
            CHECKS => {
                let checks = evidence.checks.as_ref();
                checks.filter(|checks| checks.key == *key).map(|c| c.passed)
            }
            suite => evidence.verdict(suite, key).map(|verdict| verdict.passed),
        }
    };
    let verdicts = image.verdicts.iter();
    let mut verdicts = verdicts.filter(|verdict| verdict.digest == image.digest);
    let recorded = match gate.name.as_str() {
        CHECKS => image
            .checks
            .map(|passed| (passed, image.checks_key.as_ref())),
        suite => verdicts
            .find(|verdict| verdict.suite == suite)
            .map(|verdict| (verdict.passed, verdict.key.as_ref())),
    };
    if let Some((passed, key)) = recorded {
        return Said::Verdict(key.and_then(of).unwrap_or(passed));
    }
    match known.key(&gate.name, &image.label()) {
        Some(_) if is_dropped(image, &gate.name) => Said::Nothing,
        Some(key) => of(key).map_or(Said::Open, Said::Verdict),
        None => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
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
            key: of("key"),
            tags: Vec::new(),
            depth: 0,
            base: None,
            base_digest: None,
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
    fn now(suite: &str, policy: &str) -> Known {
        let force = InForce {
            suites: BTreeMap::from([("common".to_owned(), of(suite))]),
            checks: Some(of(policy)),
        };
        Known {
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
            let counts = Said::Verdict(passed);
            assert_eq!(said(&common, &known, &then, &newest), counts, "{key}");
            assert_eq!(said(&checks, &known, &then, &newest), counts, "{key}");
        }
        // Other bytes of the same key say nothing.
        let other = evidence("other", ("one", false), ("one", false));
        for gate in [&common, &checks] {
            assert_eq!(said(gate, &known, &then, &other), Said::Verdict(true));
        }
    }

    #[test]
    fn what_a_release_does_not_know_counts_in_todays_edition() {
        let (common, checks) = (gate("common", None), gate(CHECKS, None));
        let early = image(None, None);
        let found = evidence("image", ("two", true), ("two", false));
        for (key, suite, policy) in [
            ("two", Said::Verdict(true), Said::Verdict(false)),
            ("three", Said::Open, Said::Open),
        ] {
            let known = now(key, key);
            assert_eq!(said(&common, &known, &early, &found), suite);
            assert_eq!(said(&checks, &known, &early, &found), policy);
            assert_eq!(
                said(&common, &known, &early, &BTreeMap::new()),
                Said::Open,
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
        assert_eq!(said(&common, &known, &dropped, &found), Said::Nothing);
        // Neither then nor now.
        let known = Known::default();
        assert_eq!(said(&common, &known, &early, &found), Said::Nothing);
        assert_eq!(said(&checks, &known, &early, &found), Said::Nothing);
    }

    #[test]
    fn nothing_from_outside_stands_in_for_a_suite() {
        let early = image(None, None);
        let sort = |gate: &Gate, known: &Known, image: &ReleaseImage| {
            let inside = known.is_inside(&gate.name) || has_suite(image, &gate.name);
            let (state, outside) = sorted(gate, inside, known, &[image], &BTreeMap::new());
            let counts = [&state.green, &state.red, &state.open, &state.silent].map(Vec::len);
            (counts, outside.len())
        };
        let known = now("one", "one");
        let common = gate("common", None);
        assert_eq!(sort(&common, &known, &early), ([0, 0, 1, 0], 0));
        // A suite of another variant, or one that is dropped.
        let mut elsewhere = Known {
            images: BTreeMap::new(),
            ..known.clone()
        };
        assert_eq!(sort(&common, &elsewhere, &early), ([0, 0, 0, 1], 0));
        elsewhere.suites.clear();
        assert_eq!(sort(&common, &elsewhere, &early), ([0; 4], 1), "no suite");
        // Who names an image wants it there.
        let named = gate("common", Some(&["a"]));
        assert_eq!(
            sort(
                &named,
                &Known {
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
