//! The first phase: a request that passed all checks, and all that its run needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::OnceCell;

use super::error::Error;
use super::job::{Goal, Job};
use crate::buildkit::{CredentialSource, Services};
use crate::checkout::Checkout;
use crate::compile::{CA_SECRET, StepEnvironment};
use crate::event::Event;
use crate::llb::Proxy;
use crate::name::{Digest, Repository, Tag};
use crate::plan::{Action, ComponentKind, HoldReason, Planned};
use crate::registry::Manifest;
use crate::release::refs::Writes;
use crate::run;
use crate::stack::{ImageId, Kind, Step};
use crate::staging::Staging;

/// A build that may begin.
pub struct Prepared<'a> {
    pub(super) job: Job<'a>,
    /// Where the run's images are pushed; `None` if they only go into an archive.
    pub(super) staging: Option<Repository>,
    /// The run's id, by the time it began.
    pub(super) run: Tag,
    /// When it began.
    pub(super) began: Timestamp,
    /// The image whose bytes each built image gets.
    pub(super) leaders: BTreeMap<ImageId, ImageId>,
    /// What the run has proven and not stored yet.
    pub(super) results: run::Results,
    /// The manifests that the last release stores, once they are read.
    stored: OnceCell<BTreeMap<Digest, Manifest>>,
}

impl<'a> Prepared<'a> {
    /// Checks a request against the plan that was made for it. Nothing is written.
    pub fn new(job: Job<'a>) -> Result<Self, Error> {
        check_bases(&job)?;
        if job.options.push {
            check_commit(&job)?;
            if !job.options.dry_run {
                let caller = &job.environment.caller;
                caller.check(job.stack.refs(), Writes::Publish)?;
            }
        }
        if job.options.goal == Goal::Test {
            check_built(&job)?;
        }
        let now = (job.environment.now)();
        let is_pushed = job.options.push || !job.options.exports();
        let staging = job.stack.staging();
        let staging = staging.filter(|_| job.options.is_online(job.stack) && is_pushed);
        Ok(Self {
            staging: staging.cloned(),
            run: run_id(&job, now),
            began: now,
            leaders: run::leaders(job.plan),
            results: run::Results::default(),
            stored: OnceCell::new(),
            job,
        })
    }

    /// Returns the manifests that the last release stores, by digest; none if they cannot be read.
    pub(super) async fn stored_manifests(&self) -> &BTreeMap<Digest, Manifest> {
        let read = async {
            let (Some(near), Some(staging)) = (&self.job.gathered.near, &self.staging) else {
                return BTreeMap::new();
            };
            let documents = Staging::new(self.job.registry, staging);
            let stored = documents.manifests_of(&near.release).await;
            stored.unwrap_or_default()
        };
        self.stored.get_or_init(|| read).await
    }

    /// What the engine must know beside the plan.
    pub(super) fn run_options(&self, archive: Option<&Arc<File>>) -> Result<run::Options, Error> {
        let environment = self.job.environment;
        let options = self.job.options;
        Ok(run::Options {
            platform: environment.platform.clone(),
            environment: StepEnvironment {
                ca: options.ca.is_some(),
                uv: BTreeMap::new(),
                rattler: BTreeMap::new(),
                cache_scope: self.cache_scope(),
                proxy: (environment.proxy != Proxy::default()).then(|| environment.proxy.clone()),
                ignore_cache: (self.job.plan.images.iter())
                    .filter(|planned| planned.ignore_cache)
                    .map(|planned| planned.id)
                    .collect(),
                refreshed: (self.job.plan.images.iter())
                    .filter_map(|planned| Some((planned.id, refreshed(planned)?)))
                    .collect(),
            },
            services: self.services(),
            fail_fast: options.fail_fast,
            epoch: self.epoch()?,
            external: self.job.gathered.external.clone(),
            compression: self.job.stack.compression(),
            staging: self.staging.clone(),
            push_manifests: None,
            archive: archive.cloned(),
            lists: environment.lists.clone(),
            suites: environment.suites,
            results: self.results.clone(),
            interactive: None,
        })
    }

    /// Returns who shares the caches of package managers: runs of the stack that may publish. Any other ref
    /// has its own, since a package that its steps put there would be installed into published images.
    fn cache_scope(&self) -> String {
        let (stack, caller) = (self.job.stack, &self.job.environment.caller);
        if caller.check(stack.refs(), Writes::Publish).is_ok() {
            return stack.name().to_string();
        }
        let git_ref = Digest::of(caller.git_ref.as_deref().unwrap_or_default().as_bytes());
        format!("{}-{}", stack.name(), git_ref.short())
    }

    /// The time of new layers and configs, seconds since 1970: `SOURCE_DATE_EPOCH`, else that of the commit.
    pub(super) fn epoch(&self) -> Result<Option<i64>, Error> {
        let checkout = self.job.gathered.facts.checkout.as_ref();
        match &self.job.environment.source_date_epoch {
            Some(text) => {
                let seconds = text
                    .parse()
                    .map_err(|_| Error::Epoch { text: text.clone() });
                seconds.map(Some)
            }
            None => Ok(checkout.map(|checkout| checkout.time)),
        }
    }

    fn services(&self) -> Services {
        let mut secrets = self.job.options.secrets.clone();
        if let Some(ca) = &self.job.options.ca {
            secrets.insert(CA_SECRET.to_owned(), ca.clone());
        }
        Services {
            credentials: Some(self.credentials()),
            secrets,
            agents: self.job.options.agents.clone(),
            ..Services::default()
        }
    }

    /// Returns the credentials the engine may ask for: those of registries that the stack uses.
    fn credentials(&self) -> CredentialSource {
        let credentials = self.job.environment.credentials.clone();
        let events = self.job.events.clone();
        // The engine asks by host. It pushes to staging, so that credential comes first.
        let external = self.job.stack.external_images().into_iter();
        let repositories: Arc<Vec<Repository>> = Arc::new(
            (self.staging.iter().cloned())
                .chain(external.map(|reference| reference.repository.clone()))
                .collect(),
        );
        Arc::new(move |host: String| {
            let (credentials, events) = (credentials.clone(), events.clone());
            let repositories = repositories.clone();
            Box::pin(async move {
                let used: Vec<&Repository> = (repositories.iter())
                    .filter(|repository| registry_of(repository.host()) == registry_of(&host))
                    .collect();
                if used.is_empty() {
                    let text = format!(
                        "the engine asked for the credentials of `{host}`, a registry that the stack does not use; it does not get them"
                    );
                    events.send(Event::Warning { text });
                    return None;
                }
                // Without credentials the engine asks anonymously, and the registry's answer is shown.
                for path in used.into_iter().map(Repository::path).chain([""]) {
                    let found = credentials.credentials_for(&host, path).await;
                    if let Some(found) = found.ok().flatten() {
                        return Some((found.username, found.secret));
                    }
                }
                None
            })
        })
    }

    /// Reports which images are built and which are reused.
    pub(super) fn announce(&self) {
        let labels = |is_listed: fn(&Action) -> bool| {
            let images = self.job.plan.images.iter();
            images
                .filter(|planned| is_listed(&planned.action))
                .map(|planned| planned.label.clone())
                .collect()
        };
        self.job.events.send(Event::Planned {
            build: labels(|action| matches!(action, Action::Build { .. })),
            reuse: labels(|action| matches!(action, Action::Reuse { .. })),
        });
    }
}

/// Returns what the cache key of an image has of `refresh:` and `--refresh`; `None` if nothing.
fn refreshed(planned: &Planned) -> Option<String> {
    let components = planned.keyed.as_ref()?.components.iter();
    let refreshes = components.filter(|component| component.kind == ComponentKind::Refresh);
    let values: Vec<&str> = refreshes
        .map(|component| component.value.as_str())
        .collect();
    (!values.is_empty()).then(|| values.join(" "))
}

/// Returns the registry that a host serves; Docker Hub has several.
fn registry_of(host: &str) -> &str {
    match host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        other => other,
    }
}

/// Returns an id that sorts by time; two runs of one second differ.
fn run_id(job: &Job<'_>, now: Timestamp) -> Tag {
    let time = now.strftime("%Y%m%dT%H%M%S");
    let commit = match job.gathered.facts.commit() {
        Some(commit) => format!("-{}", commit.abbreviated()),
        None => String::new(),
    };
    let random = fastrand::u32(..1 << 24);
    Tag::parse(&format!("{time}{commit}-{random:06x}")).expect("digits, letters and dashes")
}

impl Job<'_> {
    /// Whether files of the stack differ from the commit, and the user does not have it stand for them all the same.
    pub(super) fn is_uncommitted(&self) -> bool {
        let checkout = self.gathered.facts.checkout.as_ref();
        !self.options.allow_dirty && checkout.is_some_and(Checkout::is_dirty)
    }

    /// Whether the user asked for an image.
    pub(super) fn is_selected(&self, planned: &Planned) -> bool {
        let selected = self.options.request.selected.as_ref();
        selected.is_none_or(|set| set.contains(&planned.id))
    }
}

/// Checks that every image asked for has a cache key; it has none if it was planned offline and an
/// external image it needs is not locked.
fn check_bases(job: &Job<'_>) -> Result<(), Error> {
    let mut images = job.plan.images.iter();
    let unknown = images.find_map(|planned| match &planned.action {
        Action::Hold {
            because: HoldReason::UnknownImages(bases),
        } if job.is_selected(planned) => Some((planned.label.clone(), bases.clone())),
        _ => None,
    });
    match unknown {
        Some((label, bases)) => Err(Error::UnknownBase { label, bases }),
        None => Ok(()),
    }
}

/// Checks that immutable tags, which contain the commit, mean what was built.
fn check_commit(job: &Job<'_>) -> Result<(), Error> {
    match &job.gathered.facts.checkout {
        None if job.gathered.facts.git_missing => Err(Error::NoGit),
        None => Err(Error::NoCommit),
        Some(checkout) if checkout.is_dirty() && !job.options.allow_dirty => Err(Error::Dirty {
            commit: checkout.commit.clone(),
            changes: checkout.changes.clone(),
        }),
        Some(_) => Ok(()),
    }
}

/// Checks that all images asked for are built, since `test` builds none.
fn check_built(job: &Job<'_>) -> Result<(), Error> {
    let labels: Vec<String> = (job.plan.images.iter())
        .filter(|planned| job.is_selected(planned))
        .filter(|planned| !matches!(planned.action, Action::Reuse { .. }))
        .map(|planned| planned.label.clone())
        .collect();
    if labels.is_empty() {
        Ok(())
    } else {
        Err(Error::NotBuilt { labels })
    }
}

/// Checks that every secret of a step or suite that will run has a value.
pub(super) fn check_secrets(job: &Job<'_>) -> Result<(), Error> {
    let mut needed = BTreeSet::new();
    for planned in &job.plan.images {
        let image = &job.stack[planned.id];
        if matches!(planned.action, Action::Build { .. }) {
            for step in &image.steps {
                collect_secrets(step, &mut needed);
            }
        }
        for (suite, planned) in image.proof.suites.iter().zip(&planned.proofs.suites) {
            if planned.verdict.known.is_none() {
                needed.extend(suite.secrets.iter().map(|secret| secret.id.as_str()));
            }
        }
    }
    let missing = needed.into_iter();
    let ids: Vec<String> = missing
        .filter(|id| !job.options.secrets.contains_key(*id))
        .map(str::to_owned)
        .collect();
    if ids.is_empty() {
        Ok(())
    } else {
        Err(Error::MissingSecrets { ids })
    }
}

/// Checks that every SSH agent that a Dockerfile needs is forwarded.
pub(super) fn check_agents(job: &Job<'_>) -> Result<(), Error> {
    let built = (job.plan.images.iter())
        .filter(|planned| matches!(planned.action, Action::Build { .. }))
        .filter_map(|planned| job.stack[planned.id].dockerfile());
    let needed: BTreeSet<&String> = built.flat_map(|file| &file.agents).collect();
    let missing = needed.into_iter();
    let ids: Vec<String> = missing
        .filter(|id| !job.options.agents.contains_key(*id))
        .cloned()
        .collect();
    if ids.is_empty() {
        Ok(())
    } else {
        Err(Error::MissingAgents { ids })
    }
}

fn collect_secrets<'a>(step: &'a Step, ids: &mut BTreeSet<&'a str>) {
    ids.extend(step.secrets.iter().map(|secret| secret.id.as_str()));
    if let Kind::Group(steps) = &step.kind {
        for step in steps {
            collect_secrets(step, ids);
        }
    }
}
