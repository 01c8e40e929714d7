//! The second phase: the engine has ended, and what it made is in staging.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::future::{FutureExt as _, join_all};

use super::engine::Engine;
use super::error::Error;
use super::prepared::{Prepared, check_agents, check_secrets};
use crate::compile::Brought;
use crate::export::{self, Target};
use crate::name::{Digest, Tag};
use crate::plan::{Action, Planned};
use crate::publish::{self, Staged, Tagging};
use crate::run::{self, Manifests, Outcome, PushManifests, Report};
use crate::stack::{ImageId, Step, Suite};
use crate::staging::Built;
use crate::tags;
use crate::tool::{self, Tool};
use crate::trace::{self, Track};

/// The last builds of images and their marks of `--refresh`, by label.
type LastBuilds = (BTreeMap<String, Built>, BTreeMap<String, String>);

/// A plan that was carried out.
pub(super) struct Ran<'a> {
    pub prepared: Prepared<'a>,
    pub report: Report,
    /// The images this run made, in staging or in the engine's archive.
    pub staged: BTreeMap<ImageId, Staged>,
    /// The tags that these get in staging, until it has been waited for.
    pub tagging: Option<Tagging>,
    /// The sizes of reused images that had to be looked up.
    sizes: BTreeMap<Digest, u64>,
    /// The archive the engine sent, a file without a name.
    pub engine_archive: Option<Arc<File>>,
}

impl<'a> Prepared<'a> {
    /// Has the engine carry out the plan and stores the images it made. Without anything to build or prove
    /// no engine is needed.
    pub(super) async fn run(self, engine: &impl Engine) -> Result<Ran<'a>, Error> {
        check_secrets(&self.job)?;
        check_agents(&self.job)?;
        let requested = self.job.options;
        if let Some(loader) = &requested.load {
            let checking = self.job.interrupt.unless_cancelled(loader.check());
            let checked = checking.await.ok_or(Error::Cancelled)?;
            checked.map_err(export::Error::from)?;
        }
        let archive = requested.archive.as_deref();
        let engine_archive = requested.exports().then(|| engine_archive(archive));
        let engine_archive = engine_archive.transpose()?;
        let plan = self.job.plan;
        if !plan.builds() && !plan.proves() {
            let mut ran = Ran::new(self, Report::default(), engine_archive);
            ran.look_up_sizes().await?;
            return Ok(ran);
        }
        let mut options = self.run_options(engine_archive.as_ref())?;
        // The archive ends with the solve.
        if engine_archive.is_none() {
            options.push_manifests = self.push_manifests();
        }
        self.announce();
        let span = trace::span(Track::Command, || "prepare".to_owned());
        let preparing = async {
            let probing = Box::pin(self.probe());
            tokio::try_join!(self.bring_tools(&mut options), probing)
        };
        let prepared = self.job.interrupt.unless_cancelled(preparing).await;
        let ((), probing) = prepared.ok_or(Error::Cancelled)??;
        drop(span);
        let span = trace::span(Track::Command, || "run the engine".to_owned());
        let cancel = self.job.interrupt.cancel().child_token();
        let probing = async {
            let probed = cancel.run_until_cancelled(probing.finish()).await;
            let probed = probed.unwrap_or(Ok(()));
            if probed.is_err() {
                cancel.cancel();
            }
            probed
        };
        let running = engine.run(self.job.stack, plan, &options, &cancel);
        let (probed, report) = tokio::join!(Box::pin(probing), running);
        // That the engine was stopped is not the cause.
        probed?;
        let report = report?;
        drop(span);
        let mut ran = Ran::new(self, report, engine_archive);
        let staged = ran.prepared.job.interrupt.unless_cancelled(ran.stage());
        staged.await.ok_or(Error::Cancelled)??;
        ran.look_up_sizes().await?;
        Ok(ran)
    }
}

impl Prepared<'_> {
    /// Returns what pushes the manifests of the run's images to staging.
    fn push_manifests(&self) -> Option<PushManifests> {
        let (registry, staging) = (self.job.registry.clone(), self.staging.clone()?);
        let keyed = self.job.plan.images.iter().filter_map(|planned| {
            let keyed = planned.keyed.as_ref()?;
            Some((planned.id, tags::key(&keyed.key)))
        });
        let keys: BTreeMap<ImageId, Tag> = keyed.collect();
        Some(Box::new(move |manifests| {
            let images = manifests.images.into_iter();
            let images = images.map(|(id, manifest)| Some((keys.get(&id)?.clone(), manifest)));
            let images: Option<Vec<_>> = images.collect();
            let (registry, staging) = (registry.clone(), staging.clone());
            let pushing = async move {
                match images {
                    Some(images) => publish::push(&registry, &staging, &images).await.is_ok(),
                    None => false,
                }
            };
            pushing.boxed_local()
        }))
    }

    /// Adds the tools that steps and suites use.
    pub(super) async fn bring_tools(&self, options: &mut run::Options) -> Result<(), Error> {
        let uv = self.tool(tool::Kind::Uv, Step::uses_uv);
        let rattler = self.tool(tool::Kind::Rattler, Step::uses_rattler);
        let (uv, rattler) = tokio::try_join!(uv, rattler)?;
        options.environment.uv = files_of(uv.as_ref());
        options.environment.rattler = files_of(rattler.as_ref());
        Ok(())
    }

    /// Returns a tool if a step or a suite that will run uses it; suites use uv.
    async fn tool(&self, kind: tool::Kind, uses: fn(&Step) -> bool) -> Result<Option<Tool>, Error> {
        let (stack, environment) = (self.job.stack, self.job.environment);
        let is_used = |planned: &Planned| {
            let image = &stack[planned.id];
            let builds = matches!(planned.action, Action::Build { .. });
            let runs = |suite: &Suite| planned.proofs.runs_suite(&suite.name.value);
            let in_suite = |suite: &Suite| suite.uses_pytest() && runs(suite);
            builds && image.steps.iter().any(uses)
                || kind == tool::Kind::Uv && image.proof.suites.iter().any(in_suite)
        };
        if !self.job.plan.images.iter().any(is_used) {
            return Ok(None);
        }
        let settings = tool::Settings {
            offline: self.job.options.offline,
            ..environment.tools.clone()
        };
        let architecture = &environment.platform.architecture;
        Ok(Some(
            tool::bring(kind, architecture, &settings, self.job.events).await?,
        ))
    }
}

/// Returns the files of a tool; none of one that is not used.
fn files_of(tool: Option<&Tool>) -> BTreeMap<String, Brought> {
    tool.map(|tool| tool.files.clone()).unwrap_or_default()
}

/// Creates a file for the engine's archive where the one to write gets its bytes: it has about the same size, so it fits
/// there if anywhere. It has no name, so nothing is left of it, however laminate ends.
fn engine_archive(archive: Option<&Path>) -> Result<Arc<File>, Error> {
    let target = archive.map(Target::of).transpose();
    let folder = match target.map_err(export::Error::from)? {
        Some(Target::File(path)) => match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        },
        Some(Target::Stream(_)) | None => std::env::temp_dir(),
    };
    let file = tempfile::tempfile_in(&folder);
    let file = file.map_err(|source| Error::Folder { folder, source })?;
    Ok(Arc::new(file))
}

impl<'a> Ran<'a> {
    pub fn new(prepared: Prepared<'a>, report: Report, engine_archive: Option<Arc<File>>) -> Self {
        Self {
            prepared,
            report,
            staged: BTreeMap::new(),
            tagging: None,
            sizes: BTreeMap::new(),
            engine_archive,
        }
    }

    /// The tag of the run's index in staging.
    pub fn run_tag(&self) -> Tag {
        tags::run(&self.prepared.run)
    }

    /// Reads what was pushed, unless it is known, which is to be tagged; also if siblings failed.
    pub async fn stage(&mut self) -> Result<(), Error> {
        let _span = trace::span(Track::Command, || "stage images".to_owned());
        let Prepared { job, staging, .. } = &self.prepared;
        let (Some(staging), Some(index)) = (staging, &self.report.index) else {
            return Ok(());
        };
        let key = |id: &ImageId| Some(job.plan.images[id.0].keyed.as_ref()?.key.clone());
        let run = self.run_tag();
        let exported = match self.report.manifests.take() {
            Some(Manifests { index, images }) => publish::Exported {
                index,
                images: (images.into_iter())
                    .filter_map(|(id, manifest)| Some((id, key(&id)?, manifest)))
                    .collect(),
                are_tagged: true,
            },
            None => {
                let exported = self.report.exported.iter();
                let exported = exported
                    .filter_map(|(variant, id)| Some((variant.clone(), (*id, key(id)?))))
                    .collect();
                publish::read(job.registry, staging, &run, index, &exported).await?
            }
        };
        let (staged, tagging) = publish::stage(job.registry, staging, &run, exported, job.events)?;
        self.tagging = Some(tagging);
        for (id, leader) in &self.prepared.leaders {
            if let Some(staged) = staged.get(leader) {
                self.staged.insert(*id, staged.clone());
            }
        }
        let platform = &job.environment.platform;
        for (id, list) in std::mem::take(&mut self.report.lists) {
            if let Some(staged) = self.staged.get(&id) {
                list.keep(&staged.digest, platform);
            }
        }
        Ok(())
    }

    /// Returns what the images that were staged were made from, and their marks of `--refresh`; `None` if none was staged.
    pub fn last_builds(&self) -> Option<LastBuilds> {
        self.report.index.as_ref()?;
        let job = &self.prepared.job;
        let planned = |id: &ImageId| &job.plan.images[id.0];
        let (mut built, mut refreshed) = LastBuilds::default();
        for (id, staged) in &self.staged {
            let planned = planned(id);
            if let Some(keyed) = &planned.keyed {
                let last = job.gathered.generations.get(&planned.label);
                let image = Built {
                    key: keyed.key.clone(),
                    digest: staged.digest.clone(),
                    generation: last.map_or(1, |last| last.saturating_add(1)),
                    time: Some(self.prepared.began),
                    size: staged.size,
                    components: keyed.components.clone(),
                };
                built.insert(planned.label.clone(), image);
            }
            if let Some(mark) = job.gathered.refreshed.get(&planned.label) {
                refreshed.insert(planned.label.clone(), mark.clone());
            }
        }
        Some((built, refreshed))
    }

    /// Whether an image failed, or was skipped because another one did.
    pub fn has_failed(&self) -> bool {
        let mut outcomes = self.report.images.values();
        outcomes.any(|outcome| !matches!(outcome, Outcome::Built { .. }))
    }

    /// Whether an image is there after the run: reused or built.
    pub fn is_there(&self, planned: &Planned) -> bool {
        match planned.action {
            Action::Reuse { .. } => true,
            Action::Build { .. } => matches!(
                self.report.images.get(&planned.id),
                Some(Outcome::Built { .. })
            ),
            Action::Hold { .. } => false,
        }
    }

    /// The digest of an image that is there; `None` also for one that is in no registry and no archive yet.
    pub fn digest(&self, planned: &Planned) -> Option<Digest> {
        match &planned.action {
            Action::Reuse { digest } => Some(digest.clone()),
            Action::Build { .. } => {
                let staged = self.staged.get(&planned.id);
                staged.map(|staged| staged.digest.clone())
            }
            Action::Hold { .. } => None,
        }
    }

    /// Looks up the sizes of reused images that the state does not have: it has the last build of each image only. Images
    /// whose size cannot be read are left out.
    async fn look_up_sizes(&mut self) -> Result<(), Error> {
        let Prepared { job, staging, .. } = &self.prepared;
        let Some(staging) = staging else {
            return Ok(());
        };
        let reused = job
            .plan
            .images
            .iter()
            .filter_map(|planned| match &planned.action {
                Action::Reuse { digest } => Some(digest),
                Action::Build { .. } | Action::Hold { .. } => None,
            });
        let is_unknown = |digest: &&Digest| {
            let known = job.gathered.sizes.get(*digest);
            known.is_none_or(|size| *size == 0)
        };
        let unknown: BTreeSet<&Digest> = reused.filter(is_unknown).collect();
        let found = join_all(unknown.into_iter().map(|digest| async move {
            let size = publish::size(job.registry, staging, digest).await;
            Some((digest.clone(), size.ok().flatten()?))
        }));
        let found = job.interrupt.unless_cancelled(found).await;
        let found = found.ok_or(Error::Cancelled)?;
        self.sizes = found.into_iter().flatten().collect();
        Ok(())
    }

    /// The size of an image's config and layers as stored, bytes; `None` if it is not known.
    pub fn size(&self, planned: &Planned) -> Option<u64> {
        match self.staged.get(&planned.id) {
            Some(staged) => Some(staged.size),
            None => {
                let digest = self.digest(planned)?;
                let known = &self.prepared.job.gathered.sizes;
                self.sizes
                    .get(&digest)
                    .or_else(|| known.get(&digest))
                    .copied()
            }
        }
    }
}
