//! What is asked of registries for a run that pushes: before the engine runs, whether the run may push; while it runs, whether
//! a new staging repository takes the documents that it will get.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{FutureExt as _, LocalBoxFuture, join_all};

use super::error::Error;
use super::prepared::Prepared;
use crate::name::{Digest, Repository};
use crate::plan::Action;
use crate::publish;
use crate::staging::{Staging, Unmoved};

/// What is left to find out of registries while the engine runs.
pub(super) struct Probing<'a> {
    /// Cancel the uploads that were opened. Nothing depends on their answers.
    uploads: Vec<LocalBoxFuture<'a, ()>>,
    /// The state of staging, unless it is known that it can be written over.
    state: Option<(Staging, Unmoved)>,
}

impl Probing<'_> {
    /// Cancels the uploads, and checks that staging takes documents and lets their tags move. That takes five answers of a new
    /// staging repository, and is known afterwards for all later runs.
    pub async fn finish(self) -> Result<(), Error> {
        let checking = async {
            match self.state {
                Some((documents, state)) => documents.ensure_state_moves(state).await,
                None => Ok(()),
            }
        };
        let (_, checked) = tokio::join!(join_all(self.uploads), checking);
        checked.map_err(Error::Staged)
    }
}

impl Prepared<'_> {
    /// Asks the registries of a run that builds or proves images, once each, whether it may push. Nothing is asked if nothing
    /// is pushed. What is returned is left to be done.
    pub(super) async fn probe(&self) -> Result<Probing<'_>, Error> {
        let mut uploads = Vec::new();
        let Some(staging) = &self.staging else {
            return Ok(Probing {
                uploads,
                state: None,
            });
        };
        let targets = self.targets().into_iter().chain([staging.clone()]);
        let targets: BTreeSet<Repository> = targets.collect();
        let registry = self.job.registry;
        let in_place = self.blobs_in_place(&targets).await;
        let asked = targets.into_iter().map(|target| {
            let blob = in_place.get(&target);
            registry.check_push(target, blob)
        });
        let asked = join_all(asked);
        let documents = Staging::new(registry, staging);
        let state = async {
            if self.job.gathered.is_state_movable {
                return Ok(None);
            }
            documents.state_to_move().await
        };
        let (asked, state) = tokio::join!(asked, state);
        let mut refused = Vec::new();
        for asked in asked {
            match asked {
                Ok(cancel) => uploads.push(cancel.boxed_local()),
                Err(error) => refused.push(error),
            }
        }
        let state = match state {
            _ if !refused.is_empty() => Err(Error::CannotPush { refused }),
            state => state.map_err(Error::Staged),
        };
        match state {
            Ok(state) => Ok(Probing {
                uploads,
                state: state.map(|state| (documents, state)),
            }),
            Err(error) => {
                join_all(uploads).await;
                Err(error)
            }
        }
    }

    /// Returns a blob that the last release has in each of these repositories; none for those it has no image in.
    async fn blobs_in_place(&self, targets: &BTreeSet<Repository>) -> BTreeMap<Repository, Digest> {
        let near = self.job.gathered.near.as_ref();
        let images = near.into_iter().flat_map(|near| &near.release.images);
        let images: Vec<_> = images
            .filter(|image| targets.contains(&image.repository))
            .collect();
        if images.is_empty() {
            return BTreeMap::new();
        }
        let manifests = self.stored_manifests().await;
        let blobs = images.into_iter().filter_map(|image| {
            let manifest = manifests.get(&image.digest)?;
            let config = publish::blobs(manifest).into_iter().next()?;
            Some((image.repository.clone(), config))
        });
        blobs.collect()
    }

    /// Returns the repositories of images that lack one of their tags: those of images that are built, and those that the
    /// last release has no image in.
    fn targets(&self) -> BTreeSet<Repository> {
        if !self.job.options.push {
            return BTreeSet::new();
        }
        let known = &self.job.gathered.facts.tags;
        let near = self.job.gathered.near.as_ref();
        let released = near.into_iter().flat_map(|near| &near.release.images);
        let released: BTreeSet<&Repository> = released.map(|image| &image.repository).collect();
        let is_known = |repository: &Repository| released.contains(repository);
        let images = self.job.plan.images.iter().filter_map(|planned| {
            let repository = self.job.stack[planned.id].repository.clone()?;
            let lacks = planned.tags.iter().any(|tag| {
                let place = (repository.clone(), tag.clone());
                !matches!(known.get(&place), Some(Some(_)))
            });
            let is_built = matches!(planned.action, Action::Build { .. });
            (lacks && (is_built || !is_known(&repository))).then_some(repository)
        });
        images.collect()
    }
}
