//! Carries out what a plan builds: one solve for all of it.
//!
//! [`run`] compiles each image when its base is there, has it solved, and returns what came out green
//! as one result. Called by `build`; names nothing.

mod prove;
mod track;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::buildkit::{self, Client, Exporter, Failure, Gateway, Ref, Request, Returned, Services};
use crate::checks::Tree;
use crate::compile::{
    BaseConfig, BaseState, Compiled, Compiler, LARGE_FILE, StepEnvironment, finished,
};
use crate::diagnostic::Diagnostic;
use crate::event::{Event, Events};
use crate::llb::{self, Graph};
use crate::name::{Digest, Reference, Repository};
use crate::plan::{Action, Plan};
use crate::source::SourceFile;
use crate::stack::{Base, ImageId, Stack};
pub use prove::Proven;
use prove::{Subject, Verdicts};
use track::{Step, Tracker};

/// Images whose files are looked at, at once. A buildkitd answers more of them no faster.
const LOOKS: usize = 4;

/// What a run needs to know beside the plan.
pub struct Options {
    pub platform: llb::Platform,
    pub environment: StepEnvironment,
    pub services: Services,
    /// Stop everything when one image fails.
    pub fail_fast: bool,
    /// Seconds since 1970 that new layers and configs say they were made at.
    pub epoch: Option<i64>,
    /// The digest of each outside base.
    pub bases: BTreeMap<Reference, Digest>,
    /// Receives the images by digest.
    pub staging: Option<Repository>,
    /// Receives the images as an archive.
    pub archive: Option<PathBuf>,
    /// Suites at once.
    pub suites: usize,
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    pub images: BTreeMap<ImageId, Outcome>,
    /// The index of what was exported; `None` if nothing was green.
    pub index: Option<Digest>,
    /// The variant each image has as its platform in that index.
    pub exported: BTreeMap<String, ImageId>,
    /// What ran on each image, beside what was known already.
    pub proven: BTreeMap<ImageId, Proven>,
    /// Requests sent.
    pub solves: u32,
}

#[derive(Debug)]
pub enum Outcome {
    /// `took`: the time its own steps ran.
    Built {
        took: Duration,
    },
    Failed(Box<ImageError>),
    /// Not attempted, because of the named image.
    Skipped {
        because: String,
    },
}

/// Why an image could not be built.
#[derive(Clone, Debug)]
pub enum ImageError {
    /// A step failed; an index into the image's steps, if it is known which.
    Step {
        step: Option<usize>,
        failure: Box<Failure>,
        /// The last lines it wrote.
        log: Vec<String>,
    },
    /// What the spec asks for cannot be.
    Spec(Box<Diagnostic>),
    /// Its base cannot be used.
    Base { reference: String, reason: String },
}

/// The platform's variant that stands for an image in the index. A result lists platforms, and two
/// may not be equal; the index is never what a runtime pulls.
fn variant(number: usize) -> String {
    format!("x{number}")
}

/// The image whose bytes each built image gets: images of one key are built once, and the first
/// stands for all.
pub fn leaders(plan: &Plan) -> BTreeMap<ImageId, ImageId> {
    let mut first = BTreeMap::new();
    let mut leaders = BTreeMap::new();
    for planned in &plan.images {
        if let (Action::Build { .. }, Some(keyed)) = (&planned.action, &planned.keyed) {
            let leader = *first.entry(keyed.key.clone()).or_insert(planned.id);
            leaders.insert(planned.id, leader);
        }
    }
    leaders
}

/// Where an image's base comes from.
enum Below {
    /// Built in this run.
    Here(ImageId),
    /// Pinned by digest.
    There(Reference),
}

struct Run<'a> {
    stack: &'a Stack,
    plan: &'a Plan,
    options: &'a Options,
    events: &'a Events,
    tracker: Arc<Tracker>,
    compiler: Mutex<Compiler<'a>>,
    sources: Vec<SourceFile>,
    configs: BTreeMap<String, OnceCell<BaseConfig>>,
    gateway: Gateway,
    /// A suite waits for one; so that a machine does not run all of them at once.
    turns: Semaphore,
    /// The checks of an image wait for one: they hold the list of its files.
    looks: Semaphore,
    /// By the keys of image and suite.
    verdicts: Verdicts,
    /// The files of outside bases.
    trees: Mutex<BTreeMap<String, Arc<OnceCell<Arc<Tree>>>>>,
}

/// Something that came to its end.
enum Ended {
    Image(ImageId, Result<Green, Broken>),
    Proven(ImageId, Result<Proven, buildkit::Error>),
}

type Work<'a> = std::pin::Pin<Box<dyn Future<Output = Ended> + 'a>>;

/// An image the engine has made.
#[derive(Clone)]
struct Green {
    compiled: Compiled,
    result: Ref,
    /// The config of what its run began with, for the exporter: its history is kept as it is.
    ground: BaseConfig,
    /// Titles of the steps since then, a layer each.
    titles: Vec<String>,
}

/// Builds what the plan says, in one request. An image that fails stops its descendants; the
/// others go on. The error is of the run as a whole: no engine, a failed export, interrupted.
pub async fn run(
    client: &Client,
    stack: &Stack,
    plan: &Plan,
    options: &Options,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Report, buildkit::Error> {
    let leaders = leaders(plan);
    let order: Vec<ImageId> = plan
        .images
        .iter()
        .map(|planned| planned.id)
        .filter(|id| leaders.get(id) == Some(id))
        .collect();
    let numbers: BTreeMap<ImageId, usize> = (0..).zip(&order).map(|(n, id)| (*id, n)).collect();
    let platforms: Vec<String> = numbers
        .values()
        .map(|number| platform_id(&options.platform, *number))
        .collect();
    let mut frontend_attrs = BTreeMap::from([("platform".to_owned(), platforms.join(","))]);
    if let Some(epoch) = options.epoch {
        let name = "build-arg:SOURCE_DATE_EPOCH".to_owned();
        frontend_attrs.insert(name, epoch.to_string());
    }
    let mut services = options.services.clone();
    let mut exporters = Vec::new();
    if let (Some(staging), true) = (&options.staging, plan.builds()) {
        exporters.push(exporter(
            "image",
            &[
                ("name", &staging.to_string()),
                ("push", "true"),
                ("push-by-digest", "true"),
                ("oci-mediatypes", "true"),
            ],
        ));
    }
    if let (Some(archive), true) = (&options.archive, plan.builds()) {
        services.archives.insert(exporters.len(), archive.clone());
        exporters.push(exporter("oci", &[("oci-mediatypes", "true")]));
    }
    let request = Request {
        exporters,
        frontend_attrs,
        services,
    };
    let tracker = Arc::new(Tracker::new(events.clone()));
    let watcher = tracker.clone();
    let outcomes = Mutex::new(BTreeMap::new());
    let exported = Mutex::new(BTreeMap::new());
    let proven = Mutex::new(BTreeMap::new());
    // Whether it ended because there is no image to return.
    let nothing = AtomicBool::new(false);
    let solved = buildkit::solve(
        client,
        request,
        move |update| watcher.update(update),
        cancel,
        |gateway| async {
            let run = Run {
                stack,
                plan,
                options,
                events,
                tracker: tracker.clone(),
                compiler: Mutex::new(Compiler::new(
                    stack,
                    &options.environment,
                    Graph::new(options.platform.clone()),
                )),
                sources: stack.sources.iter().map(|(_, file)| file.clone()).collect(),
                configs: references(stack, plan, options)
                    .into_iter()
                    .map(|reference| (reference.to_string(), OnceCell::new()))
                    .collect(),
                gateway,
                turns: Semaphore::new(options.suites.max(1)),
                looks: Semaphore::new(LOOKS),
                verdicts: Verdicts::default(),
                trees: Mutex::default(),
            };
            let green = run.all(&order, &leaders, &outcomes, &proven).await?;
            let mut returned = Returned::default();
            for id in &order {
                if let Some(green) = green.get(id) {
                    let number = numbers[id];
                    let mut names = exported.lock().expect("nothing panics while it is held");
                    names.insert(variant(number), *id);
                    run.add(*id, number, green, &mut returned);
                }
            }
            match returned.refs.is_empty() && plan.builds() {
                true => {
                    nothing.store(true, Ordering::Relaxed);
                    Err(buildkit::Error::Failed(Box::new(Failure::new(
                        "no image came out green",
                    ))))
                }
                false => Ok(returned),
            }
        },
    )
    .await;
    tracker.end();
    let mut images = outcomes
        .into_inner()
        .expect("nothing panics while it is held");
    let exported = exported
        .into_inner()
        .expect("nothing panics while it is held");
    let index = match solved {
        Ok(_) if exported.is_empty() => None,
        Ok(response) => {
            let digest = response
                .get("containerimage.digest")
                .and_then(|digest| Digest::parse(digest).ok());
            Some(digest.ok_or_else(|| buildkit::Error::Protocol {
                reason: "it names no digest for what it exported".to_owned(),
            })?)
        }
        // The images say why. Any other failure is of the run, whatever came of its images.
        Err(buildkit::Error::Failed(_)) if nothing.load(Ordering::Relaxed) => None,
        Err(error) => return Err(error),
    };
    for (id, outcome) in &mut images {
        if let Outcome::Built { took } = outcome {
            *took = tracker.took(&plan.images[id.0].label);
        }
    }
    for (id, leader) in &leaders {
        if id == leader {
            continue;
        }
        let same = match &images[leader] {
            Outcome::Built { .. } => Outcome::Built {
                took: Duration::ZERO,
            },
            Outcome::Failed(_) => Outcome::Skipped {
                because: plan.images[leader.0].label.clone(),
            },
            Outcome::Skipped { because } => Outcome::Skipped {
                because: because.clone(),
            },
        };
        images.insert(*id, same);
    }
    Ok(Report {
        images,
        index,
        exported,
        proven: proven
            .into_inner()
            .expect("nothing panics while it is held"),
        solves: 1,
    })
}

fn exporter(kind: &str, attrs: &[(&str, &str)]) -> Exporter {
    Exporter {
        kind: kind.to_owned(),
        attrs: attrs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
    }
}

fn platform_id(platform: &llb::Platform, number: usize) -> String {
    format!(
        "{}/{}/{}",
        platform.os,
        platform.architecture,
        variant(number)
    )
}

/// References whose configs the run will want.
fn references(stack: &Stack, plan: &Plan, options: &Options) -> BTreeSet<Reference> {
    let wanted = plan
        .images
        .iter()
        .filter_map(|planned| match planned.action {
            Action::Build { .. } => match below(stack, plan, options, planned.id) {
                Some(Below::There(reference)) => Some(reference),
                _ => None,
            },
            Action::Reuse { .. } if planned.proofs.runs() => published(stack, plan, planned.id),
            Action::Reuse { .. } | Action::Hold { .. } => None,
        });
    wanted.collect()
}

/// Where a reused image is.
fn published(stack: &Stack, plan: &Plan, id: ImageId) -> Option<Reference> {
    let Action::Reuse { digest } = &plan.images[id.0].action else {
        return None;
    };
    Some(Reference {
        repository: stack.staging.clone()?,
        tag: None,
        digest: Some(digest.clone()),
    })
}

fn below(stack: &Stack, plan: &Plan, options: &Options, id: ImageId) -> Option<Below> {
    match &stack.images[id.0].base {
        Base::Image(parent) => match &plan.images[parent.0].action {
            Action::Build { .. } => Some(Below::Here(*parent)),
            Action::Reuse { .. } => Some(Below::There(published(stack, plan, *parent)?)),
            Action::Hold { .. } => None,
        },
        Base::Outside(base) => {
            let digest = options.bases.get(&base.reference.value)?;
            Some(Below::There(base.reference.value.pinned(digest.clone())))
        }
    }
}

type Outcomes = Mutex<BTreeMap<ImageId, Outcome>>;

impl<'a> Run<'a> {
    /// All images, each when its base is there. Fails only with the whole run.
    async fn all(
        &self,
        order: &[ImageId],
        leaders: &BTreeMap<ImageId, ImageId>,
        outcomes: &Outcomes,
        proven: &Mutex<BTreeMap<ImageId, Proven>>,
    ) -> Result<BTreeMap<ImageId, Green>, buildkit::Error> {
        let mut children: BTreeMap<ImageId, Vec<ImageId>> = BTreeMap::new();
        let mut running: FuturesUnordered<Work> = FuturesUnordered::new();
        let mut green: BTreeMap<ImageId, Green> = BTreeMap::new();
        for id in order {
            match below(self.stack, self.plan, self.options, *id) {
                Some(Below::Here(parent)) => {
                    children.entry(leaders[&parent]).or_default().push(*id);
                }
                Some(Below::There(reference)) => running.push(self.begin(*id, Ok(reference))),
                None => unreachable!("an image is built only on a base that is built or known"),
            }
        }
        for planned in &self.plan.images {
            let reference = published(self.stack, self.plan, planned.id);
            if let (Some(reference), true) = (reference, planned.proofs.runs()) {
                running.push(self.proving(planned.id, Subject::Published(reference)));
            }
        }
        let set = |id: ImageId, outcome: Outcome| {
            let mut all = outcomes.lock().expect("nothing panics while it is held");
            all.entry(id).or_insert(outcome);
        };
        let mut stopped = None;
        while let Some(ended) = running.next().await {
            let (id, made) = match ended {
                Ended::Image(id, made) => (id, made),
                Ended::Proven(id, what) => {
                    let mut all = proven.lock().expect("nothing panics while it is held");
                    all.insert(id, what?);
                    continue;
                }
            };
            let label = self.label(id);
            match made {
                Ok(made) => {
                    let took = self.tracker.took(&label);
                    self.events.send(Event::ImageDone { image: label, took });
                    set(id, Outcome::Built { took });
                    for child in children.remove(&id).unwrap_or_default() {
                        running.push(self.begin(child, Err(made.clone())));
                    }
                    for (same, _) in leaders.iter().filter(|(_, leader)| **leader == id) {
                        if self.plan.images[same.0].proofs.runs() {
                            running
                                .push(self.proving(*same, Subject::Built(Box::new(made.clone()))));
                        }
                    }
                    green.insert(id, made);
                }
                Err(Broken::Run(error)) => return Err(error),
                Err(Broken::Image(error)) => {
                    self.events.send(Event::ImageFailed {
                        image: label.clone(),
                        error: error.to_string(),
                    });
                    set(id, Outcome::Failed(error));
                    let mut lost = children.remove(&id).unwrap_or_default();
                    while let Some(child) = lost.pop() {
                        self.skip(child, &label, &set);
                        lost.extend(children.remove(&child).unwrap_or_default());
                    }
                    if self.options.fail_fast {
                        stopped = Some(label);
                        break;
                    }
                }
            }
        }
        if let Some(because) = stopped {
            drop(running);
            for id in order {
                let known = {
                    let all = outcomes.lock().expect("nothing panics while it is held");
                    all.contains_key(id)
                };
                if !known {
                    self.skip(*id, &because, &set);
                }
            }
        }
        Ok(green)
    }

    fn compiler(&self) -> std::sync::MutexGuard<'_, Compiler<'a>> {
        self.compiler.lock().expect("compiling does not panic")
    }

    fn label(&self, id: ImageId) -> String {
        self.plan.images[id.0].label.clone()
    }

    fn skip(&self, id: ImageId, because: &str, set: &impl Fn(ImageId, Outcome)) {
        self.events.send(Event::ImageSkipped {
            image: self.label(id),
            because: because.to_owned(),
        });
        let because = because.to_owned();
        set(id, Outcome::Skipped { because });
    }

    /// One image: on a reference, or on one made in this run.
    fn begin(&self, id: ImageId, base: Result<Reference, Green>) -> Work<'_> {
        Box::pin(async move { Ended::Image(id, self.image(id, base).await) })
    }

    fn proving(&self, id: ImageId, subject: Subject) -> Work<'_> {
        Box::pin(async move {
            let proven = self.prove(id, subject).await;
            Ended::Proven(id, proven.map_err(|error| self.unproven(id, error)))
        })
    }

    /// The engine does not say which image it was about.
    fn unproven(&self, id: ImageId, error: buildkit::Error) -> buildkit::Error {
        match error {
            buildkit::Error::Failed(mut failure) => {
                let label = self.label(id);
                failure.message = format!("{label} cannot be looked at: {}", failure.message);
                buildkit::Error::Failed(failure)
            }
            other => other,
        }
    }

    async fn image(&self, id: ImageId, base: Result<Reference, Green>) -> Result<Green, Broken> {
        let label = self.label(id);
        self.events.send(Event::ImageStarted {
            image: label.clone(),
        });
        let (state, ground, mut titles) = match base {
            Ok(reference) => {
                let config = self.config(&reference, &label).await?;
                let mut compiler = self.compiler();
                let output = compiler.reference(&reference, &label);
                let state = BaseState {
                    output,
                    config: config.clone(),
                };
                (state, config, Vec::new())
            }
            Err(parent) => (parent.compiled.state(), parent.ground, parent.titles),
        };
        let (compiled, definition) = {
            let mut compiler = self.compiler();
            let compiled = compiler
                .image(id, state)
                .map_err(|problem| ImageError::Spec(Box::new(problem)))?;
            let definition = compiler.graph.marshal(compiled.output, &self.sources);
            for (name, content) in std::mem::take(&mut compiler.large) {
                self.options.services.files.add(name, LARGE_FILE, content);
            }
            (compiled, definition)
        };
        let steps = &self.stack.images[id.0].steps;
        titles.extend(steps.iter().map(|step| step.title.clone()));
        let mut by_digest = BTreeMap::new();
        for (digest, operation) in &definition.digests {
            if let Some(index) = compiled.operations.get(operation) {
                by_digest.insert(digest.clone(), *index);
                let step = Step {
                    image: label.clone(),
                    title: steps[*index].title.clone(),
                    number: index + 1,
                    of: steps.len(),
                };
                self.tracker.add(digest.clone(), step);
            }
        }
        match self.gateway.solve(definition.pb).await {
            Ok(result) => Ok(Green {
                compiled,
                result,
                ground,
                titles,
            }),
            Err(buildkit::Error::Failed(failure)) => {
                let vertex = failure.vertex.as_deref().unwrap_or_default();
                // The last words may come a moment after the error.
                tokio::time::sleep(Duration::from_millis(200)).await;
                Err(Broken::Image(Box::new(ImageError::Step {
                    step: by_digest.get(vertex).copied(),
                    log: self.tracker.tail(vertex),
                    failure,
                })))
            }
            Err(error) => Err(Broken::Run(error)),
        }
    }

    async fn config(&self, reference: &Reference, label: &str) -> Result<BaseConfig, Broken> {
        let text = reference.to_string();
        let cell = self.configs.get(&text).expect("all references were listed");
        let platform = &self.options.platform;
        let config = cell.get_or_try_init(|| async {
            let wrong = |reason: String| {
                Broken::Image(Box::new(ImageError::Base {
                    reference: text.clone(),
                    reason,
                }))
            };
            let shown = format!("{label}: looking at {reference}");
            let meta = self.gateway.resolve_image(&text, platform, &shown).await;
            let meta = meta.map_err(|error| match error {
                buildkit::Error::Failed(failure) => wrong(failure.message),
                other => Broken::Run(other),
            })?;
            BaseConfig::parse(&meta.config).map_err(|error| wrong(error.to_string()))
        });
        Ok(config.await?.clone())
    }

    /// Adds a green image to what is returned.
    fn add(&self, id: ImageId, number: usize, green: &Green, returned: &mut Returned) {
        let name = platform_id(&self.options.platform, number);
        let platform = llb::Platform {
            variant: variant(number),
            ..self.options.platform.clone()
        };
        let mut add = |key: String, value: Vec<u8>| {
            returned.metadata.insert(key, value);
        };
        let bytes = |config: &BaseConfig| config.0.to_string().into_bytes();
        add(
            format!("containerimage.config/{name}"),
            bytes(&finished(
                &green.compiled.config,
                &green.titles,
                self.options.epoch,
            )),
        );
        add(
            format!("containerimage.base.config/{name}"),
            bytes(&green.ground),
        );
        let image = &self.stack.images[id.0];
        let mut annotations = vec![
            ("io.laminate.stack", self.stack.name.to_string()),
            ("io.laminate.image", image.name.value.to_string()),
            (
                "org.opencontainers.image.title",
                image.name.value.to_string(),
            ),
        ];
        if let Some(keyed) = &self.plan.images[id.0].keyed {
            annotations.push(("io.laminate.key", keyed.key.to_string()));
        }
        // Only what the key covers: equal keys give equal bytes.
        if let Base::Outside(base) = &image.base
            && let Some(digest) = self.options.bases.get(&base.reference.value)
        {
            let reference = base.reference.value.to_string();
            annotations.push(("org.opencontainers.image.base.name", reference));
            annotations.push(("org.opencontainers.image.base.digest", digest.to_string()));
        }
        for (key, value) in annotations {
            add(format!("annotation[{name}].{key}"), value.into_bytes());
        }
        returned.refs.push((name, green.result.clone(), platform));
    }
}

/// An image, or the whole run.
enum Broken {
    Image(Box<ImageError>),
    Run(buildkit::Error),
}

impl From<ImageError> for Broken {
    fn from(error: ImageError) -> Self {
        Self::Image(Box::new(error))
    }
}

impl std::fmt::Display for ImageError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Step { failure, .. } => match failure.exit_code {
                Some(137) => write!(f, "its process was killed (exit code 137): out of memory?"),
                Some(code) => write!(f, "it ended with exit code {code}"),
                None => write!(f, "{failure}"),
            },
            Self::Spec(diagnostic) => write!(f, "{}", diagnostic.message),
            Self::Base { reference, reason } => {
                write!(f, "its base {reference} cannot be used: {reason}")
            }
        }
    }
}
