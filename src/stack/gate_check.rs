//! Reports gates that no run can ever prove: the spec has nothing for them to run.

use std::collections::{BTreeMap, BTreeSet};

use super::channels::{ChannelTag, Gate};
use super::model::Image;
use super::problems::Problems;
use crate::diagnostic::Diagnostic;
use crate::list;
use crate::name::VariantName;
use crate::source::Span;

/// The gate that the checks of every policy prove.
const CHECKS: &str = "checks";

/// The gates of all channels, by their places, with the images of all variants.
#[derive(Default)]
pub struct GateCheck {
    gates: BTreeMap<Span, SeenGate>,
    /// Names of all suites, also of those that are dropped.
    suites: BTreeSet<String>,
}

/// A gate, and the images that its channel moves.
struct SeenGate {
    channel: String,
    gate: Gate,
    /// How many images the channel moves; none if they are invalid, which is reported.
    moved: usize,
    /// How many images run it.
    covered: usize,
    /// Labels of images that it lists, and that do not run it.
    lacking: BTreeSet<String>,
}

/// Whether a run has something to prove on an image for a gate.
fn has(image: &Image, gate: &str) -> bool {
    let proof = &image.proof;
    if gate == CHECKS {
        return !proof.policy.is_empty() || image.writable.is_some();
    }
    proof.suites.iter().any(|suite| suite.name.value == gate)
}

impl GateCheck {
    /// Adds the channels of a variant and its images.
    pub fn add(
        &mut self,
        variant: Option<&VariantName>,
        channels: &[ChannelTag],
        images: &[Image],
    ) {
        for image in images {
            let suites = image.proof.suites.iter();
            self.suites
                .extend(suites.map(|suite| suite.name.value.clone()));
            let dropped = image.proof.dropped.iter();
            self.suites
                .extend(dropped.map(|dropped| dropped.suite.clone()));
        }
        for tag in channels {
            for (gate, span) in tag.channel.gates.iter().zip(&tag.gate_spans) {
                let seen = self.gates.entry(*span).or_insert_with(|| SeenGate {
                    channel: tag.channel.name.clone(),
                    gate: gate.clone(),
                    moved: 0,
                    covered: 0,
                    lacking: BTreeSet::new(),
                });
                seen.moved += images.len();
                for image in images {
                    seen.add(variant, image);
                }
            }
        }
    }

    /// Reports gates that can never pass.
    pub fn report(self, problems: &Problems) {
        for (span, seen) in &self.gates {
            let name = seen.gate.name.as_str();
            let is_of_runs = name == CHECKS || self.suites.contains(name);
            if is_of_runs && seen.moved > 0 && (seen.covered == 0 || !seen.lacking.is_empty()) {
                problems.report(seen.problem(*span));
            }
        }
    }
}

impl SeenGate {
    fn add(&mut self, variant: Option<&VariantName>, image: &Image) {
        let listed = self.gate.images.as_ref();
        let is_listed = listed.is_some_and(|names| names.contains(image.name.value.as_str()));
        if listed.is_some() && !is_listed {
            return;
        }
        if has(image, &self.gate.name) {
            self.covered += 1;
        } else if is_listed {
            let name = &image.name.value;
            let label = variant.map_or(name.to_string(), |variant| format!("{variant}/{name}"));
            self.lacking.insert(label);
        }
    }

    fn problem(&self, span: Span) -> Diagnostic {
        let (name, channel) = (&self.gate.name, &self.channel);
        let is_checks = name == CHECKS;
        let lacking: Vec<&str> = self.lacking.iter().map(String::as_str).collect();
        let label = match (is_checks, lacking.is_empty()) {
            (true, true) => "no image of the channel has a `policy:`".to_owned(),
            (true, false) => format!("no `policy:` for {}", list::of(&lacking)),
            (false, true) => "no image of the channel runs this suite".to_owned(),
            (false, false) => format!("{} does not run this suite", list::of(&lacking)),
        };
        let help = if is_checks {
            "add `policy:` to the stack or to these images, or remove the gate"
        } else {
            "add the suite to these images, or remove the gate"
        };
        Diagnostic::error(format!(
            "gate `{name}` of channel `{channel}` can never pass"
        ))
        .at(span, label)
        .help(help)
    }
}
