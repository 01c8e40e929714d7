//! `laminate build`.

mod answer;
mod proof;
mod record;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::args::{BuildArgs, Global, TestArgs};
use super::context::{self, Context, Engine};
use super::refs::{self, Writes};
use super::{Answer, Exit, Failure, plan as plan_command, secret};
use crate::buildkit::Services;
use crate::compile::{CA_SECRET, StepEnvironment};
use crate::event::{Event, Events};
use crate::evidence::Evidence;
use crate::export;
use crate::gather::Gathered;
use crate::llb::Proxy;
use crate::name::{Digest, Repository, Tag};
use crate::plan::{Action, Plan, Planned, Request};
use crate::publish::{self, Staged};
use crate::registry::{Credentials, Registry};
use crate::report::table;
use crate::run::{self, Outcome, Report};
use crate::stack::ImageId;
use crate::staging::{Built, Staging};
use crate::tags;

/// `laminate build`.
pub async fn run(
    global: &Global,
    args: &BuildArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    go(global, args, false, events, cancel).await
}

/// `laminate test`: a build that only proves what is there.
pub async fn test(
    global: &Global,
    args: &TestArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let args = BuildArgs {
        images: args.images.clone(),
        proving: args.proving.clone(),
        dry_run: args.dry_run,
        ..BuildArgs::default()
    };
    go(global, &args, true, events, cancel).await
}

async fn go(
    global: &Global,
    args: &BuildArgs,
    only_test: bool,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let started = Instant::now();
    let context = context::load(global)?;
    let stack = &context.stack;
    let refresh = match args.refresh.is_empty() {
        true => Default::default(),
        false => context.select(&args.refresh)?.unwrap_or_default(),
    };
    let request = Request {
        selected: context.select(&args.images)?,
        no_reuse: args.no_reuse,
        refresh,
        retest: proof::retest(stack, &args.proving.retest)?,
        prove_selected: only_test,
    };
    let archive = args.export.as_deref().map(archive_path).transpose()?;
    let values = secret::read(&args.proving.secrets)?;
    let ca = context.ca(global)?;
    let online = !args.offline && stack.staging.is_some();
    // Clones share what was looked up: the engine asks for what the registry's client asked for.
    let credentials = Credentials::from_environment();
    let registry = context::registry(credentials.clone())?;
    let asked = match args.offline {
        true => None,
        false => Some(&registry),
    };
    if args.push && stack.registry.is_none() {
        return Err(no_registry("--push needs a registry"));
    }
    if !online && archive.is_none() {
        return Err(no_registry("there is no registry to build into"));
    }
    let (gathered, plan) = context.plan(asked, &request, events, cancel).await?;
    bases_are_known(&context, &gathered, &plan, &request)?;
    if args.push {
        may_publish(&gathered, args)?;
        if !args.dry_run {
            refs::may(&context, Writes::Publish).await?;
        }
    }
    if only_test {
        proof::all_built(&plan, &request)?;
    }
    if args.dry_run {
        return Ok(dry_run(&context, &gathered, &plan, args));
    }
    secret::check(stack, &plan, &values)?;

    let run_id = run_id(&gathered);
    let staging = match (online, args.push || archive.is_none()) {
        (true, true) => stack.staging.clone(),
        _ => None,
    };
    let mut work = Work {
        context: &context,
        gathered: &gathered,
        plan: &plan,
        args,
        registry: &registry,
        staging,
        run: run_id,
        began: jiff::Timestamp::now(),
        report: Report::default(),
        staged: BTreeMap::new(),
        evidence: BTreeMap::new(),
        published: false,
    };
    let scratch = archive.as_deref().map(engine_archive).transpose()?;
    if plan.builds() || plan.proves() {
        let options = run::Options {
            platform: context::platform(),
            environment: step_environment(&plan, ca.is_some()),
            services: services(credentials, values, ca),
            fail_fast: args.fail_fast,
            epoch: epoch(&gathered)?,
            bases: gathered.bases.clone(),
            staging: work.staging.clone(),
            archive: scratch.as_ref().map(|file| file.path().to_owned()),
            suites: std::thread::available_parallelism().map_or(2, usize::from),
        };
        announce(&plan, events);
        let engine = Engine::open(global, events, cancel).await?;
        let report = run::run(engine.client(), stack, &plan, &options, events, cancel).await;
        if matches!(engine, Engine::Private(_)) {
            events.send(Event::Phase {
                text: "stopping the engine".to_owned(),
            });
        }
        engine.close().await;
        work.report = report?;
        work.stage().await?;
    }
    let mut problem = work.prove().await.err();
    if let Some(path) = &args.proving.junit
        && let Err(error) = work.write_junit(path)
    {
        problem = problem.or(Some(error));
    }
    let failed = work.failed() || work.red() || problem.is_some();
    if !failed && args.push {
        match work.publish(events).await {
            Ok(()) => {
                work.published = true;
                if let Err(error) = work.release().await {
                    problem = Some(Failure::from(error));
                }
            }
            Err(error) => problem = Some(Failure::from(error)),
        }
    }
    if !failed
        && problem.is_none()
        && let Some(out) = &archive
    {
        events.send(Event::Phase {
            text: format!("writing {}", out.display()),
        });
        work.export(out, scratch.as_ref().map(|file| file.path()))
            .await?;
    }
    work.answer(started, problem)
}

fn no_registry(text: &str) -> Failure {
    Failure::new(Exit::Environment, text)
        .help("set `registry:` in specs.yml, --registry or LAMINATE_REGISTRY; or write an archive with --export oci:FILE")
}

/// `oci:FILE`.
fn archive_path(text: &str) -> Result<PathBuf, Failure> {
    match text.strip_prefix("oci:") {
        Some(path) if !path.is_empty() => Ok(PathBuf::from(path)),
        _ => Err(
            Failure::new(Exit::Usage, format!("--export {text}: no such format"))
                .help("write --export oci:FILE"),
        ),
    }
}

/// What the engine sends goes beside the archive: there is room for it there, if anywhere.
fn engine_archive(out: &std::path::Path) -> Result<tempfile::NamedTempFile, Failure> {
    let folder = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    tempfile::NamedTempFile::new_in(&folder).map_err(|error| {
        Failure::new(
            Exit::Environment,
            format!("cannot write in {}: {error}", folder.display()),
        )
    })
}

/// Without the digest of its base an image has no key: only when nothing may be asked.
fn bases_are_known(
    context: &Context,
    gathered: &Gathered,
    plan: &Plan,
    request: &Request,
) -> Result<(), Failure> {
    let asked = |id: &ImageId| request.selected.as_ref().is_none_or(|set| set.contains(id));
    let lacks = |planned: &&Planned| planned.keyed.is_none() && asked(&planned.id);
    match plan.images.iter().find(lacks) {
        None => Ok(()),
        Some(planned) => {
            let bases: Vec<String> = crate::gather::outside(&context.stack)
                .into_iter()
                .filter(|reference| !gathered.bases.contains_key(reference))
                .map(ToString::to_string)
                .collect();
            Err(Failure::new(
                Exit::Environment,
                format!(
                    "{} cannot be built offline: nothing says which digest {} is",
                    planned.label,
                    bases.join(", ")
                ),
            )
            .help("run `laminate lock` once where the registry can be reached"))
        }
    }
}

fn may_publish(gathered: &Gathered, args: &BuildArgs) -> Result<(), Failure> {
    match &gathered.facts.commit {
        None => Err(Failure::new(
            Exit::Publish,
            "nothing is published from outside a git repository: fixed tags are named after the commit",
        )
        .help("commit the stack first, or build without --push")),
        Some(commit) if commit.dirty && !args.allow_dirty => Err(Failure::new(
            Exit::Publish,
            "specs.yml, specs.lock or images/ differ from the commit their images would be named after",
        )
        .help("commit the changes, or say --allow-dirty")),
        Some(_) => Ok(()),
    }
}

/// Sorts by time, and two runs of one second differ.
fn run_id(gathered: &Gathered) -> Tag {
    use std::hash::{BuildHasher as _, Hasher as _};
    let now = jiff::Timestamp::now();
    let time = now.strftime("%Y%m%dT%H%M%S");
    let random = std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish();
    let commit = match &gathered.facts.commit {
        Some(commit) => format!("-{}", commit.hash.get(..7).unwrap_or_default()),
        None => String::new(),
    };
    let text = format!("{time}{commit}-{:06x}", random & 0xff_ffff);
    Tag::parse(&text).expect("digits, letters and dashes")
}

/// `SOURCE_DATE_EPOCH`, else the time of the commit.
fn epoch(gathered: &Gathered) -> Result<Option<i64>, Failure> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) if !text.is_empty() => text.parse().map(Some).map_err(|_| {
            Failure::new(
                Exit::Environment,
                format!("SOURCE_DATE_EPOCH is {text:?}, not seconds since 1970"),
            )
        }),
        _ => Ok(gathered.facts.commit.as_ref().map(|commit| commit.time)),
    }
}

fn step_environment(plan: &Plan, ca: bool) -> StepEnvironment {
    let variable = |names: [&str; 2]| {
        let set = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
        names.into_iter().find_map(set).unwrap_or_default()
    };
    let proxy = Proxy {
        http: variable(["HTTP_PROXY", "http_proxy"]),
        https: variable(["HTTPS_PROXY", "https_proxy"]),
        ftp: variable(["FTP_PROXY", "ftp_proxy"]),
        no: variable(["NO_PROXY", "no_proxy"]),
        all: variable(["ALL_PROXY", "all_proxy"]),
    };
    let images = plan.images.iter();
    StepEnvironment {
        ca,
        proxy: (proxy != Proxy::default()).then_some(proxy),
        ignore_cache: images
            .filter(|planned| planned.ignore_cache)
            .map(|planned| planned.id)
            .collect(),
    }
}

fn services(
    credentials: Credentials,
    mut secrets: BTreeMap<String, Vec<u8>>,
    ca: Option<Vec<u8>>,
) -> Services {
    if let Some(ca) = ca {
        secrets.insert(CA_SECRET.to_owned(), ca);
    }
    Services {
        credentials: Some(Arc::new(move |host: String| {
            let credentials = credentials.clone();
            Box::pin(async move {
                // What cannot be looked up is not there; the registry then says what it wants.
                let found = credentials.credentials(&host).await.ok().flatten()?;
                Some((found.username, found.secret))
            })
        })),
        secrets,
        ..Services::default()
    }
}

fn announce(plan: &Plan, events: &Events) {
    let labels = |wanted: fn(&Action) -> bool| {
        let images = plan.images.iter();
        images
            .filter(|planned| wanted(&planned.action))
            .map(|planned| planned.label.clone())
            .collect()
    };
    events.send(Event::Planned {
        build: labels(|action| matches!(action, Action::Build { .. })),
        reuse: labels(|action| matches!(action, Action::Reuse { .. })),
    });
}

fn dry_run(context: &Context, gathered: &Gathered, plan: &Plan, args: &BuildArgs) -> Answer {
    let mut json = plan_command::json(context, gathered, plan);
    json["dry_run"] = json!(true);
    let mut text = table::plain(&plan_command::HEADERS, &plan_command::rows(plan));
    text.push_str(&format!("\n{}\n", plan_command::count(plan)));
    if args.push {
        for planned in &plan.images {
            let repository = context.stack.images[planned.id.0].repository.as_ref();
            if let (Some(repository), false) =
                (repository, matches!(planned.action, Action::Hold { .. }))
            {
                for tag in &planned.tags {
                    let name = (repository.clone(), tag.clone());
                    let there = gathered.facts.tags.get(&name).is_some_and(Option::is_some);
                    let what = match there {
                        true => "has its tag",
                        false => "gets its tag",
                    };
                    text.push_str(&format!("{repository}:{tag} {what}\n"));
                }
            }
        }
    }
    Answer::new(Exit::Done, json, text)
}

/// What becomes of one invocation.
struct Work<'a> {
    context: &'a Context,
    gathered: &'a Gathered,
    plan: &'a Plan,
    args: &'a BuildArgs,
    registry: &'a Registry,
    /// Where this run's images are pushed; `None` if they only go into an archive.
    staging: Option<Repository>,
    run: Tag,
    /// When the run began.
    began: jiff::Timestamp,
    report: Report,
    staged: BTreeMap<ImageId, Staged>,
    /// What is proven of each image that is there, known before or not.
    evidence: BTreeMap<ImageId, Evidence>,
    published: bool,
}

impl Work<'_> {
    fn failed(&self) -> bool {
        let outcomes = self.report.images.values();
        outcomes
            .into_iter()
            .any(|o| !matches!(o, Outcome::Built { .. }))
    }

    fn run_tag(&self) -> Tag {
        tags::run(&self.run)
    }

    /// Tags what was pushed and remembers what it was made from; also if siblings failed.
    async fn stage(&mut self) -> Result<(), Failure> {
        let (Some(staging), Some(index)) = (&self.staging, &self.report.index) else {
            return Ok(());
        };
        let mut wanted = BTreeMap::new();
        for (variant, id) in &self.report.exported {
            if let Some(keyed) = &self.plan.images[id.0].keyed {
                wanted.insert(variant.clone(), (*id, keyed.key.clone()));
            }
        }
        self.staged =
            publish::stage(self.registry, staging, &self.run_tag(), index, &wanted).await?;
        for (id, leader) in run::leaders(self.plan) {
            if let Some(staged) = self.staged.get(&leader).cloned() {
                self.staged.insert(id, staged);
            }
        }
        let mut built = BTreeMap::new();
        let mut refreshed = BTreeMap::new();
        for (id, staged) in &self.staged {
            let planned = &self.plan.images[id.0];
            if let Some(keyed) = &planned.keyed {
                let new = Built {
                    key: keyed.key.clone(),
                    digest: staged.digest.clone(),
                    time: Some(self.began),
                    size: staged.size,
                    components: keyed.components.clone(),
                };
                built.insert(planned.label.clone(), new);
            }
            if let Some(mark) = self.gathered.refreshed.get(&planned.label) {
                refreshed.insert(planned.label.clone(), mark.clone());
            }
        }
        let staging = Staging::new(self.registry, staging);
        staging.add_to_state(&built, &refreshed).await?;
        Ok(())
    }

    fn digest(&self, planned: &Planned) -> Option<Digest> {
        match &planned.action {
            Action::Reuse { digest } => Some(digest.clone()),
            Action::Build { .. } => self.staged.get(&planned.id).map(|s| s.digest.clone()),
            Action::Hold { .. } => None,
        }
    }

    /// Bytes of its config and layers as stored, if that is known.
    fn size(&self, planned: &Planned) -> Option<u64> {
        match self.staged.get(&planned.id) {
            Some(staged) => Some(staged.size),
            None => self.gathered.sizes.get(&self.digest(planned)?).copied(),
        }
    }

    async fn publish(&self, events: &Events) -> Result<(), publish::Error> {
        let Some(staging) = &self.staging else {
            return Ok(());
        };
        let items: Vec<publish::Item> = self
            .plan
            .images
            .iter()
            .filter_map(|planned| {
                Some(publish::Item {
                    label: planned.label.clone(),
                    repository: self.context.stack.images[planned.id.0].repository.clone()?,
                    digest: self.digest(planned)?,
                    tags: planned.tags.clone(),
                })
            })
            .collect();
        let names = &self.gathered.facts.tags;
        publish::publish(self.registry, staging, &items, names, events).await
    }

    async fn export(
        &mut self,
        out: &std::path::Path,
        engine: Option<&std::path::Path>,
    ) -> Result<(), Failure> {
        let engine = match (engine, self.report.index.is_some()) {
            (Some(path), true) => Some(export::Engine::open(path)?),
            _ => None,
        };
        if let Some(engine) = &engine {
            let leaders = run::leaders(self.plan);
            for (variant, leader) in &self.report.exported {
                if let Some(image) = engine.images.get(variant) {
                    let same = leaders.iter().filter(|(_, other)| *other == leader);
                    for (id, _) in same {
                        self.staged.entry(*id).or_insert(Staged {
                            digest: image.digest.clone(),
                            size: 0,
                        });
                    }
                }
            }
        }
        let mut items = Vec::new();
        for planned in &self.plan.images {
            if let Some(digest) = self.digest(planned) {
                let names = self.names(planned);
                items.push(export::Item { digest, names });
            }
        }
        let staging = self.context.stack.staging.as_ref();
        let source = staging
            .filter(|_| !self.args.offline)
            .map(|staging| (self.registry, staging));
        let sizes = export::write(out, &items, engine.as_ref(), source).await?;
        for staged in self.staged.values_mut() {
            if let Some(size) = sizes.get(&staged.digest) {
                staged.size = *size;
            }
        }
        Ok(())
    }

    /// The names of an image in an archive: its fixed tags; without a commit its series.
    fn names(&self, planned: &Planned) -> Vec<String> {
        let stack = &self.context.stack;
        let image = &stack.images[planned.id.0];
        let name = match &image.repository {
            Some(repository) => repository.to_string(),
            None => format!("{}/{}", stack.name, image.name.value),
        };
        if planned.tags.is_empty() {
            let series = stack.variants[image.variant].series.as_deref();
            return vec![format!("{name}:{}", series.unwrap_or("latest"))];
        }
        let tags = planned.tags.iter();
        tags.map(|tag| format!("{name}:{tag}")).collect()
    }
}
