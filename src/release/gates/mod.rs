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

use std::collections::BTreeSet;

use futures_util::future::try_join_all;

use super::Error;
use crate::name::Digest;
use crate::record::{GateVerdict, Release, ReleaseImage};
use crate::stack::Gate;
use crate::staging::Staging;

/// Returns the verdicts from outside on images, by gate; a digest that several images have is asked for once.
pub async fn verdicts_on(
    staging: &Staging,
    gates: &BTreeSet<String>,
    images: impl IntoIterator<Item = &ReleaseImage>,
) -> Result<Vec<GateVerdict>, Error> {
    let digests: BTreeSet<&Digest> = images.into_iter().map(|image| &image.digest).collect();
    let verdicts = gates.iter();
    let verdicts = verdicts.map(|gate| staging.verdicts(gate, digests.iter().copied()));
    let found = try_join_all(verdicts).await?.into_iter().flatten();
    Ok(found.flatten().collect())
}

/// Returns the state of gates for those images of a release that a channel moves (by label). Results
/// on the same digest that are newer than the release take precedence over it.
pub async fn states(
    staging: &Staging,
    spec: &SpecGates,
    release: &Release,
    labels: &[&str],
    gates: &[Gate],
) -> Result<Vec<GateState>, Error> {
    if gates.is_empty() {
        return Ok(Vec::new());
    }
    let images = release.images.iter();
    let images: Vec<&ReleaseImage> = images
        .filter(|image| labels.contains(&image.label().as_str()))
        .collect();
    let keys = images.iter().filter_map(|image| image.key.as_ref());
    let newest = staging.evidence(keys).await?;
    let states = gates.iter().map(|gate| async {
        let mut source = spec.source(&gate.name);
        if release.images.iter().any(|i| has_suite(i, &gate.name)) {
            source = Source::Run;
        }
        let (mut state, pending) = GateState::of_runs(gate, source, spec, &images, &newest);
        let digests = pending.iter().map(|image| &image.digest);
        let verdicts = staging.verdicts(&gate.name, digests).await?;
        for (image, verdict) in pending.into_iter().zip(verdicts) {
            state.add_evidence(image.label(), verdict);
        }
        Ok::<_, Error>(state)
    });
    try_join_all(states).await
}
