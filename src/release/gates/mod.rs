//! What must have passed before a channel moves, and whether it has.
//!
//! A gate is `checks`, a suite, or whatever evidence from outside is filed under. A suite counts for the
//! images that have it; evidence from outside is required for every image the gate covers. Which names
//! are suites is for the spec to decide ([`SpecGates`]), so that nothing from outside can stand in for
//! one. Called by the commands that move channels and by those that show gates.

mod result;
mod spec;

pub use result::{GateState, has_suite};
pub use spec::{CHECKS, Source, SpecGates, Uncovered, uncovered};

use super::Error;
use crate::record::{Release, ReleaseImage};
use crate::stack::Gate;
use crate::staging::Staging;

/// Returns the state of gates for those images of a release that a channel moves (by label). Results
/// on the same digest that are newer than the release take precedence over it.
pub async fn states(
    staging: &Staging,
    spec: &SpecGates,
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
        let mut source = spec.source(&gate.name);
        if release.images.iter().any(|i| has_suite(i, &gate.name)) {
            source = Source::Run;
        }
        let (mut state, pending) = GateState::of_runs(gate, source, spec, &images, &newest);
        let digests = pending.iter().map(|image| &image.digest);
        let verdicts = staging.verdicts(&gate.name, digests).await?;
        for (image, verdict) in pending.into_iter().zip(verdicts) {
            let passed = verdict.map(|verdict| verdict.passed);
            state.add_evidence(image.label(), passed);
        }
        list.push(state);
    }
    Ok(list)
}
