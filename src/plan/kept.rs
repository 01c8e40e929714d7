//! The first steps of an image that need not run: its last build has their layers.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Facts, Record};
use super::key::{Component, ComponentKind, Keyed, Keys};
use crate::name::Digest;
use crate::stack::{Image, Stack};

/// The first steps of an image that are those of its last build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptSteps {
    /// The manifest of the last build, in staging.
    pub digest: Digest,
    /// How many steps are kept; at least one.
    pub steps: usize,
    /// How many steps the last build had, each with a layer.
    pub of: usize,
}

/// Returns the manifests of the last builds of which steps may be kept, for images that staging does not have. A plan keeps
/// steps only of those that were looked up.
pub fn last_builds(stack: &Stack, keys: &Keys, facts: &Facts) -> BTreeSet<Digest> {
    let images = stack.ids().filter_map(|id| {
        let keyed = keys.get(id)?;
        let last = facts.records.get(&stack.label(id))?;
        let is_stored = facts.stored.contains_key(&keyed.key);
        let kept = (!is_stored).then(|| kept_steps(&stack[id], keyed, last, None))?;
        Some(kept?.digest)
    });
    images.collect()
}

/// Returns the first steps of an image that equal those of its last build: the steps themselves, the files they use,
/// and everything of the key that may affect any step. `None` if the first one differs. `before`: only steps before this
/// one, from 1.
pub fn kept_steps(
    image: &Image,
    keyed: &Keyed,
    last: &Record,
    before: Option<usize>,
) -> Option<KeptSteps> {
    // A Dockerfile has several layers; the engine keeps those that did not change.
    if image.dockerfile().is_some() {
        return None;
    }
    let (old, new) = (&last.components, &keyed.components);
    if of_every_step(old) != of_every_step(new) {
        return None;
    }
    let (old_files, new_files) = (files(old), files(new));
    // A file that is gone was perhaps in a folder that one of the steps copies.
    if old_files.keys().any(|path| !new_files.contains_key(path)) {
        return None;
    }
    let (old_steps, new_steps) = (steps(old), steps(new));
    let pairs = old_steps.iter().zip(&new_steps).zip(&image.steps);
    let kept = pairs.take_while(|((old, new), step)| {
        let paths = step.files();
        let mut paths = paths.iter().map(|path| path.as_str());
        old == new && paths.all(|path| old_files.get(path) == new_files.get(path))
    });
    let most = before.map_or(usize::MAX, |step| step.saturating_sub(1));
    let steps = kept.take(most).count();
    (steps > 0).then(|| KeptSteps {
        digest: last.digest.clone(),
        steps,
        of: old_steps.len(),
    })
}

/// Returns the components that may affect every step. Variables are not among them: steps have their values.
fn of_every_step(components: &[Component]) -> BTreeSet<(ComponentKind, &str, &str)> {
    let all = components.iter().filter(|component| {
        !matches!(
            component.kind,
            ComponentKind::Step | ComponentKind::File | ComponentKind::Var
        )
    });
    all.map(|it| (it.kind, it.what.as_str(), it.value.as_str()))
        .collect()
}

/// Returns the steps in their order, each by its value.
fn steps(components: &[Component]) -> Vec<&str> {
    let steps = components.iter();
    let steps = steps.filter(|component| component.kind == ComponentKind::Step);
    steps.map(|step| step.value.as_str()).collect()
}

/// Returns the value of each file by its path.
fn files(components: &[Component]) -> BTreeMap<&str, &str> {
    let files = components.iter();
    let files = files.filter(|component| component.kind == ComponentKind::File);
    files
        .map(|file| (file.what.as_str(), file.value.as_str()))
        .collect()
}
