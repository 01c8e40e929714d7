//! The gates a spec knows: suites and policies in force, with their keys, and images of a channel that
//! a gate does not cover.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::Digest;
use crate::plan::proof;
use crate::stack::{Gate, Image, Stack};

/// The gate that the checks of every policy prove.
pub const CHECKS: &str = "checks";

/// The suites and policies of a spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SpecGates {
    /// Names of suites, also of those that are dropped everywhere.
    pub(super) suites: BTreeSet<String>,
    /// By label.
    pub(super) images: BTreeMap<String, InForce>,
}

/// The suites and the policy in force for an image, each with its key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct InForce {
    pub(super) suites: BTreeMap<String, Digest>,
    pub(super) checks: Option<Digest>,
}

/// Who proves a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A run: it is `checks` or a suite.
    Run,
    /// Evidence added from outside.
    Evidence,
}

impl SpecGates {
    /// Collects those of a stack.
    pub fn new(stack: &Stack) -> Self {
        let mut gates = Self::default();
        for image in stack.images() {
            let suites = &image.proof.suites;
            let suites = suites
                .iter()
                .map(|suite| (suite.name.value.clone(), proof::suite_key(stack, suite)));
            let force = InForce {
                suites: suites.collect(),
                checks: proof::checks_key(image),
            };
            gates.suites.extend(force.suites.keys().cloned());
            let dropped = image.proof.dropped.iter();
            let dropped = dropped.map(|dropped| dropped.suite.clone());
            gates.suites.extend(dropped);
            gates.images.insert(stack.label_of(image), force);
        }
        gates
    }

    /// Returns who proves a gate, by the spec.
    pub fn source(&self, gate: &str) -> Source {
        if gate == CHECKS || self.suites.contains(gate) {
            Source::Run
        } else {
            Source::Evidence
        }
    }

    /// Returns the gates of channels that evidence from outside proves.
    pub fn proven_outside(&self, stack: &Stack) -> BTreeSet<String> {
        let gates = stack.channels().iter().flat_map(|channel| &channel.gates);
        let outside = gates.filter(|gate| self.source(&gate.name) == Source::Evidence);
        outside.map(|gate| gate.name.clone()).collect()
    }

    /// Returns the names of suites.
    pub fn suites(&self) -> impl Iterator<Item = &str> {
        self.suites.iter().map(String::as_str)
    }

    /// Returns the key of a suite, or of the policy, that is in force for an image.
    pub(super) fn key(&self, gate: &str, label: &str) -> Option<&Digest> {
        let force = self.images.get(label)?;
        match gate {
            CHECKS => force.checks.as_ref(),
            suite => force.suites.get(suite),
        }
    }
}

/// Whether a gate covers an image, and who proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GateScope {
    /// It does not cover the image.
    Exempt,
    /// A run proves it.
    Run,
    /// Evidence from outside proves it.
    Evidence,
}

/// Returns whether a gate covers an image, and who proves it; `has` if a run has something to prove on
/// the image.
pub(super) fn scope(gate: &Gate, image: &str, source: Source, has: bool) -> GateScope {
    let is_listed = gate.images.as_ref().map(|set| set.contains(image));
    match (is_listed, source, has) {
        (Some(false), ..) => GateScope::Exempt,
        (_, Source::Evidence, _) => GateScope::Evidence,
        // Not every image needs to have a suite; a gate that lists the image requires it there.
        (None, Source::Run, false) => GateScope::Exempt,
        _ => GateScope::Run,
    }
}

/// Images of a channel that one of its gates does not cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncovered<'a> {
    /// The name of the channel.
    pub channel: &'a str,
    /// The name of the gate.
    pub gate: &'a str,
    /// Labels.
    pub images: Vec<String>,
}

/// Returns what the gates of all channels will not cover in a release of this spec.
pub fn uncovered<'a>(stack: &'a Stack, gates: &SpecGates) -> Vec<Uncovered<'a>> {
    let mut list = Vec::new();
    for channel in stack.channels() {
        let moved = |image: &&Image| channel.tags.contains_key(&image.variant);
        for gate in &channel.gates {
            let source = gates.source(&gate.name);
            let images = stack.images().iter().filter(moved).filter_map(|image| {
                let label = stack.label_of(image);
                let has = gates.key(&gate.name, &label).is_some();
                let scope = scope(gate, image.name.as_str(), source, has);
                (scope == GateScope::Exempt).then_some(label)
            });
            let images: Vec<String> = images.collect();
            if !images.is_empty() {
                list.push(Uncovered {
                    channel: &channel.name,
                    gate: &gate.name,
                    images,
                });
            }
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(images: Option<&[&str]>) -> Gate {
        Gate {
            name: "common".to_owned(),
            images: images.map(|images| images.iter().map(|name| (*name).to_owned()).collect()),
        }
    }

    #[test]
    fn a_gate_covers_images_that_have_the_suite_and_those_it_lists() {
        let run = |gate: &Gate, has| scope(gate, "a", Source::Run, has);
        assert_eq!(run(&gate(None), true), GateScope::Run);
        assert_eq!(run(&gate(None), false), GateScope::Exempt);
        assert_eq!(run(&gate(Some(&["a"])), false), GateScope::Run);
        assert_eq!(run(&gate(Some(&["b"])), true), GateScope::Exempt);
    }

    #[test]
    fn evidence_is_required_for_every_image_unless_the_gate_lists_others() {
        let evidence = |gate: &Gate| scope(gate, "a", Source::Evidence, false);
        assert_eq!(evidence(&gate(None)), GateScope::Evidence);
        assert_eq!(evidence(&gate(Some(&["a"]))), GateScope::Evidence);
        assert_eq!(evidence(&gate(Some(&["b"]))), GateScope::Exempt);
    }

    #[test]
    fn checks_and_suites_are_proven_by_runs() {
        let gates = SpecGates {
            suites: BTreeSet::from(["common".to_owned()]),
            images: BTreeMap::new(),
        };
        assert_eq!(gates.source(CHECKS), Source::Run);
        assert_eq!(gates.source("common"), Source::Run);
        assert_eq!(gates.source("gpu"), Source::Evidence);
    }
}
