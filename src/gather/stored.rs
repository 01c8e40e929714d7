//! What staging has for the keys of a stack: images, their evidence, and the last release of the branch.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use futures_util::future::try_join_all;

use super::Error;
use crate::evidence::Evidence;
use crate::git;
use crate::name::{Commit, Digest};
use crate::plan::{self, Action, Facts, Keys, Plan, Request};
use crate::record::StoredRelease;
use crate::registry::Locator;
use crate::stack::{ImageId, Stack};
use crate::staging::{Staging, State};
use crate::tags;

/// How many commits of the branch are asked for their release. Each push to a branch that publishes is one.
const NEAR: u32 = 6;

/// How many commits of the branch are looked through for its last release.
const COMMITS: u32 = 1000;

/// Returns the commit of the last release of the branch that is checked out, and its images by label. It only explains why
/// images are built, so what cannot be read is left out.
pub(super) async fn last_release(
    staging: &Staging,
    near: Option<&StoredRelease>,
    folder: &Utf8Path,
) -> Option<(Option<Commit>, BTreeMap<String, plan::Record>)> {
    let found = match near {
        Some(near) => near.clone(),
        None => {
            let commits = git::recent_commits(folder, COMMITS).await.ok()?;
            staging.newest_release_of(&commits).await.ok()??
        }
    };
    let release = found.release;
    let spec = staging.spec_of(&release).await.ok()??;
    let images = release.images.iter().filter_map(|image| {
        let label = image.label();
        let record = plan::Record {
            key: image.key.clone()?,
            digest: image.digest.clone(),
            components: spec.image(&label)?.components.clone(),
        };
        Some((label, record))
    });
    Some((release.commit.clone(), images.collect()))
}

/// Returns the release of one of the last commits of the branch, if one of them has one.
pub(super) async fn near_release(
    staging: Option<&Staging>,
    folder: &Utf8Path,
) -> Option<StoredRelease> {
    let staging = staging?;
    let commits = git::branch_commits(folder, NEAR).await.ok()?;
    staging.near_release(&commits).await
}

/// Returns the images that staging has by what it stores: the last build of the image and the release agree about its
/// key and digest. They are not looked up unless the engine reads them.
pub(super) fn agreed(
    stack: &Stack,
    keys: &Keys,
    state: &State,
    near: Option<&StoredRelease>,
) -> BTreeMap<Digest, Digest> {
    let Some(near) = near else {
        return BTreeMap::new();
    };
    let released = near.release.images.iter();
    let released: BTreeMap<String, _> = released.map(|image| (image.label(), image)).collect();
    let images = (0..stack.images().len()).map(ImageId);
    let agreed = images.filter_map(|id| {
        let (key, label) = (&keys.get(id)?.key, stack.label(id));
        let (built, released) = (state.last_build(&label)?, released.get(&label)?);
        let is_agreed = built.key == *key
            && released.key.as_ref() == Some(key)
            && built.digest == released.digest;
        is_agreed.then(|| (key.clone(), built.digest.clone()))
    });
    agreed.collect()
}

/// Returns the digests staging has for the keys, and the evidence of those that are suites, checks or
/// info of.
pub(super) async fn stored_and_proven(
    stack: &Stack,
    keys: &Keys,
    staging: &Staging,
    agreed: &BTreeMap<Digest, Digest>,
) -> Result<(BTreeMap<Digest, Digest>, BTreeMap<Digest, Evidence>), Error> {
    let digests = keys.digests().into_iter();
    let unsure = digests.filter(|key| !agreed.contains_key(*key));
    let found = look_up(staging, unsure).await?.into_iter();
    let found = found.filter_map(|(key, digest)| Some((key, digest?)));
    let known = keys.digests().into_iter();
    let known = known.filter_map(|key| Some((key.clone(), agreed.get(key)?.clone())));
    let stored: BTreeMap<Digest, Digest> = found.chain(known).collect();
    let proven: BTreeSet<&Digest> = stack
        .images()
        .iter()
        .zip((0..).map(ImageId))
        .filter(|(image, _)| !image.proof.is_empty() || image.writable.is_some())
        .filter_map(|(_, id)| Some(&keys.get(id)?.key))
        .filter(|key| stored.contains_key(key))
        .collect();
    let evidence = staging.evidence(proven).await?;
    Ok((stored, evidence))
}

/// Looks up the images that the engine will read from staging and that were not looked up. One that is gone is
/// built, and so are those based on it.
pub(super) async fn ensure_stored(
    stack: &Stack,
    keys: &Keys,
    facts: &mut Facts,
    mut unsure: BTreeSet<Digest>,
    request: &Request,
    staging: &Staging,
) -> Result<(), Error> {
    while !unsure.is_empty() {
        // A tag that is not free is reported by the caller.
        let Ok(plan) = Plan::new(stack, keys, facts, request) else {
            return Ok(());
        };
        let read = read_by_engine(stack, &plan).into_iter();
        let read = read.filter_map(|id| Some(&keys.get(id)?.key));
        let read: BTreeSet<&Digest> = read.filter(|key| unsure.remove(*key)).collect();
        if read.is_empty() {
            return Ok(());
        }
        for (key, digest) in look_up(staging, read).await? {
            match digest {
                Some(digest) => {
                    facts.stored.insert(key, digest);
                }
                None => {
                    facts.stored.remove(&key);
                    facts.evidence.remove(&key);
                }
            }
        }
    }
    Ok(())
}

/// Returns the images that the steps and suites of a plan begin with or copy from, and those that suites run on.
fn read_by_engine(stack: &Stack, plan: &Plan) -> BTreeSet<ImageId> {
    let mut read = BTreeSet::new();
    for planned in &plan.images {
        let is_built = matches!(planned.action, Action::Build { .. });
        if is_built || planned.proofs.runs() {
            read.insert(planned.id);
            read.extend(stack.dependencies(planned.id));
        }
    }
    read
}

/// Looks up which images staging has for keys.
async fn look_up(
    staging: &Staging,
    keys: impl IntoIterator<Item = &Digest>,
) -> Result<Vec<(Digest, Option<Digest>)>, Error> {
    let found = keys.into_iter().map(|key| async move {
        let at = Locator::Tag(tags::key(key));
        let (registry, repository) = (&staging.registry, &staging.repository);
        let found = registry.head_manifest(repository, &at).await?;
        Ok::<_, Error>((key.clone(), found.map(|found| found.digest)))
    });
    try_join_all(found).await
}
