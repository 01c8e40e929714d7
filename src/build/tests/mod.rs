//! The phases of a build against a registry in this process, with an engine that only pushes what it is asked
//! to.

mod archives;
mod partial;
mod phases;
mod preparing;
mod probing;
mod proofs;
mod pushing;
mod races;
mod releases;
mod stopped;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::checkout::Checkout;
use crate::event::{Event, Events};
use crate::evidence::{Checks, Evidence, Verdict};
use crate::gather::{self, Gathered};
use crate::interrupt::Interrupt;
use crate::llb::{Platform, Proxy};
use crate::name::{Commit, Digest, Repository, Tag};
use crate::plan::{Action, Facts, KeyFacts, Keys, Periods, Plan, Planned, TagDigests};
use crate::record::StoredRelease;
use crate::registry::{self, Credentials, Manifest, Registry};
use crate::release::refs::{Caller, Denied};
use crate::run::{self, ImageError, Outcome, Report};
use crate::stack::{ImageId, Stack};
use crate::testing::fake::Fake;

/// The layer of an image, if a test does not have another.
const LAYER: &str = "0123456789";

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const BASE: &str =
    "example.org/debian@sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// Two images, the child with a suite.
const PAIR: &str = r#"
stack: demo
registry: HOST/ns
tags: ["r-${commit7}"]
images:
  base: { base: BASE, steps: [{ run: make }] }
  child:
    base: base
    steps: [{ run: make more }]
    tests: { common: { run: "true" } }
"#;

fn now() -> jiff::Timestamp {
    "2026-11-26T12:00:00Z".parse().expect("a time")
}

fn later() -> jiff::Timestamp {
    "2026-11-26T12:30:00Z".parse().expect("a time")
}

/// A stack, the registry it is pushed to, and what is asked for.
struct World {
    fake: Arc<Fake>,
    registry: Registry,
    stack: Stack,
    /// With all variants, if `stack` has some of them.
    whole: Option<Stack>,
    options: Options,
    environment: Environment,
    facts: Facts,
    sizes: BTreeMap<Digest, u64>,
    near: Option<StoredRelease>,
    events: Events,
    interrupt: Interrupt,
    received: std::sync::mpsc::Receiver<Event>,
}

impl World {
    async fn start(yaml: &str) -> Self {
        Self::with(Arc::new(Fake::start().await), yaml)
    }

    /// One run of several against one registry.
    fn with(fake: Arc<Fake>, yaml: &str) -> Self {
        let yaml = yaml.replace("HOST", &fake.host).replace("BASE", BASE);
        let registry = Registry::new(registry::Options {
            backoff: Duration::from_millis(1),
            timeout: Duration::from_secs(5),
            settling: Duration::from_secs(1),
            contest: Duration::from_millis(20),
            ..registry::Options::default()
        });
        let (events, received) = Events::channel();
        Self {
            fake,
            registry: registry.expect("a client"),
            stack: crate::testing::stack(&yaml),
            whole: None,
            options: Options::default(),
            environment: Environment {
                platform: Platform::linux("x86_64"),
                tools: crate::tool::Settings::default(),
                proxy: Proxy::default(),
                source_date_epoch: None,
                caller: Caller::default(),
                credentials: Credentials::none(),
                lists: None,
                suites: 1,
                now,
            },
            facts: Facts {
                checkout: Some(Checkout {
                    commit: Commit::parse(COMMIT).expect("a hash"),
                    time: 1_700_000_000,
                    changes: Vec::new(),
                }),
                ..Facts::default()
            },
            sizes: BTreeMap::new(),
            near: None,
            events,
            received,
            interrupt: Interrupt::default(),
        }
    }

    /// Selects a variant, as `--variant` does.
    fn select(&mut self, yaml: &str, variant: &str) {
        let yaml = yaml.replace("HOST", &self.fake.host).replace("BASE", BASE);
        let overrides = crate::stack::Overrides {
            variants: vec![variant.to_owned()],
            ..Default::default()
        };
        let stack = crate::testing::parse(&yaml, &[], &overrides);
        self.stack = stack.expect("a stack");
        self.whole = Some(crate::testing::stack(&yaml));
    }

    fn gathered(&self) -> (Gathered, Plan) {
        let facts = self.facts.clone();
        let external = self.stack.external_images().into_iter();
        let external = external.filter_map(|image| Some((image.clone(), image.digest.clone()?)));
        let key_facts = KeyFacts {
            platform: "linux/amd64".to_owned(),
            external: external.collect(),
            periods: Periods::default(),
            refreshed: BTreeMap::new(),
        };
        let keys = Keys::new(&self.stack, &key_facts);
        let plan = Plan::new(&self.stack, &keys, &facts, &self.options.request);
        let gathered = Gathered {
            keys,
            facts,
            external: key_facts.external,
            unlocked: Vec::new(),
            refreshed: BTreeMap::new(),
            sizes: self.sizes.clone(),
            generations: BTreeMap::new(),
            is_state_movable: false,
            near: self.near.clone(),
        };
        (gathered, plan.expect("a free tag"))
    }

    /// Checks the request and lets the engine carry out the plan.
    async fn build(&self, engine: &impl Engine) -> Result<Built, Error> {
        let (gathered, plan) = self.gathered();
        let prepared = Prepared::new(self.job(&gathered, &plan))?;
        // In a test's thread the stack is small.
        let recorded = Box::pin(build(prepared, engine)).await?;
        let digest = |planned: &Planned| Some((planned.label.clone(), recorded.digest(planned)?));
        Ok(Built {
            ending: recorded.ending(),
            published: recorded.is_published(),
            digests: plan.images.iter().filter_map(digest).collect(),
            solves: recorded.solves(),
            run: recorded.run().clone(),
            unused: recorded.unused_allowances().len(),
            release: recorded.release().clone(),
            exported: (recorded.exported()).map_or_else(Vec::new, |(_, names)| names.to_vec()),
            fault: recorded.into_fault(),
        })
    }

    fn job<'a>(&'a self, gathered: &'a Gathered, plan: &'a Plan) -> Job<'a> {
        Job {
            stack: &self.stack,
            whole: self.whole.as_ref().unwrap_or(&self.stack),
            gathering: gather::Options {
                folder: camino::Utf8Path::new("."),
                files: &[],
                platform: "linux/amd64",
                lock: None,
                request: &self.options.request,
                now: now(),
                reads_all: false,
            },
            gathered,
            plan,
            options: &self.options,
            environment: &self.environment,
            registry: &self.registry,
            events: &self.events,
            interrupt: &self.interrupt,
        }
    }

    /// Why the request is refused before anything is run.
    fn refusal(&self) -> Error {
        let (gathered, plan) = self.gathered();
        let prepared = Prepared::new(self.job(&gathered, &plan));
        prepared.map(|_| ()).expect_err("refused")
    }

    fn id(&self, name: &str) -> ImageId {
        let mut images = self.stack.images().iter();
        let index = images.position(|image| image.name.value.as_str() == name);
        ImageId(index.expect("an image"))
    }

    fn key(&self, name: &str) -> Digest {
        let (_, plan) = self.gathered();
        let keyed = plan.images[self.id(name).0].keyed.as_ref();
        keyed.expect("its base is known").key.clone()
    }

    fn tag(&self, image: &str, tag: &str) -> Option<String> {
        self.fake.tag(&format!("ns/{image}"), tag)
    }

    fn tags(&self) -> [Option<String>; 2] {
        ["base", "child"].map(|image| self.tag(image, "r-0123456"))
    }

    /// Lets staging have an image, as a run before this one left it.
    fn store(&mut self, name: &str) -> Digest {
        let digest = push(&self.fake, name);
        self.facts.stored.insert(self.key(name), digest.clone());
        digest
    }

    fn release(&self, tag: &str) -> serde_json::Value {
        let digest = self.tag("demo", tag).expect("a release");
        let state = self.fake.state();
        let repository = &state.repositories["ns/demo"];
        let manifest: serde_json::Value =
            serde_json::from_slice(&repository.manifests[&digest].1).expect("JSON");
        if let Some(document) = manifest["annotations"]["io.laminate.document"].as_str() {
            return serde_json::from_str(document).expect("JSON");
        }
        let blob = manifest["layers"][0]["digest"].as_str().expect("a layer");
        serde_json::from_slice(&repository.blobs[blob]).expect("JSON")
    }
}

/// What is asserted of a build.
#[derive(Debug)]
struct Built {
    ending: Ending,
    published: bool,
    digests: BTreeMap<String, Digest>,
    solves: u32,
    run: Tag,
    unused: usize,
    release: ReleaseState,
    exported: Vec<String>,
    fault: Option<Error>,
}

/// Puts the blobs of an image into staging: a config, and a layer. Returns its manifest.
fn push_blobs(fake: &Fake, name: &str, layer: &str) -> Manifest {
    let blob = |bytes: &[u8]| {
        let digest = fake.add_blob("ns/demo", bytes);
        json!({ "mediaType": "application/octet-stream", "digest": digest, "size": bytes.len() })
    };
    let manifest = json!({
        "schemaVersion": 2, "mediaType": OCI,
        "config": blob(format!("config of {name}").as_bytes()),
        "layers": [blob(layer.as_bytes())],
    });
    Manifest::new(manifest.to_string().into_bytes(), OCI)
}

/// Puts an image into staging.
fn push(fake: &Fake, name: &str) -> Digest {
    let manifest = push_blobs(fake, name, LAYER);
    fake.add_manifest("ns/demo", &format!("pushed-{name}"), &manifest.bytes);
    manifest.digest
}

/// An engine that builds every image and passes every suite except those set to fail.
struct Pushing<'a> {
    fake: &'a Fake,
    failing_images: Vec<&'a str>,
    failing_suites: Vec<&'a str>,
    /// Suites and checks it does not run although they are planned.
    skips_proofs: bool,
    /// What is in the config of each image beside its name.
    bytes: &'a str,
    /// The layer of each image.
    layer: &'a str,
    /// Whether it pushes manifests before laminate can.
    pushes_manifests: bool,
    calls: Cell<u32>,
}

impl<'a> Pushing<'a> {
    fn new(fake: &'a Fake) -> Self {
        Self {
            fake,
            failing_images: Vec::new(),
            failing_suites: Vec::new(),
            skips_proofs: false,
            bytes: "",
            layer: LAYER,
            pushes_manifests: false,
            calls: Cell::new(0),
        }
    }

    fn proven(&self, planned: &Planned) -> run::Proven {
        let suites = planned.proofs.suites.iter();
        let suites = suites.filter(|suite| suite.verdict.known.is_none() && !self.skips_proofs);
        let checks = planned.proofs.checks.as_ref();
        run::Proven {
            suites: suites
                .map(|suite| {
                    let passed = !self.failing_suites.contains(&suite.name.as_str());
                    (suite.name.clone(), verdict(&suite.verdict.key, passed))
                })
                .collect(),
            checks: checks.filter(|_| !self.skips_proofs).map(|planned| Checks {
                unused: vec!["/nothing".to_owned()],
                ..checks_of(&planned.key, true)
            }),
            info: BTreeMap::new(),
        }
    }
}

fn checks_of(key: &Digest, passed: bool) -> Checks {
    Checks {
        key: key.clone(),
        passed,
        time: now(),
        findings: Vec::new(),
        allowed: Vec::new(),
        unused: Vec::new(),
    }
}

fn verdict(key: &Digest, passed: bool) -> Verdict {
    Verdict {
        key: key.clone(),
        from: None,
        passed,
        reason: None,
        tests: 1,
        failed: u32::from(!passed),
        skipped: 0,
        seconds: 0.5,
        time: now(),
        cases: Vec::new(),
        log: String::new(),
    }
}

impl Engine for Pushing<'_> {
    async fn run(
        &self,
        stack: &Stack,
        plan: &Plan,
        options: &run::Options,
        _cancel: &CancellationToken,
    ) -> Result<Report, Error> {
        self.calls.set(self.calls.get() + 1);
        let leaders = run::leaders(plan);
        let mut report = Report {
            solves: 1,
            ..Report::default()
        };
        let mut images = BTreeMap::new();
        for planned in &plan.images {
            let name = stack[planned.id].name.value.as_str();
            if matches!(planned.action, Action::Build { .. }) {
                let outcome = if self.failing_images.contains(&name) {
                    Outcome::Failed(Box::new(ImageError::Base {
                        reference: BASE.to_owned(),
                        reason: "it is broken".to_owned(),
                    }))
                } else {
                    Outcome::Built {
                        took: Duration::from_secs(1),
                    }
                };
                let is_built = matches!(outcome, Outcome::Built { .. });
                report.images.insert(planned.id, outcome);
                if !is_built {
                    continue;
                }
                if leaders[&planned.id] == planned.id && options.staging.is_some() {
                    let manifest =
                        push_blobs(self.fake, &format!("{name}{}", self.bytes), self.layer);
                    images.insert(planned.id, manifest);
                }
            }
            if planned.proofs.runs() {
                let proven = self.proven(planned);
                options.results.add(planned.id, |results| *results = proven);
            }
        }
        if !images.is_empty() {
            self.export(images, options, &mut report).await;
        }
        Ok(report)
    }
}

impl Pushing<'_> {
    /// Exports images, whose blobs staging has. laminate or the engine pushes their manifests.
    async fn export(
        &self,
        images: BTreeMap<ImageId, Manifest>,
        options: &run::Options,
        report: &mut Report,
    ) {
        let mut entries = Vec::new();
        for (number, (id, manifest)) in images.iter().enumerate() {
            let variant = format!("x{number}");
            entries.push(json!({
                "mediaType": OCI, "digest": manifest.digest.as_str(), "size": manifest.bytes.len(),
                "platform": { "os": "linux", "architecture": "amd64", "variant": variant },
            }));
            report.exported.insert(variant, *id);
        }
        let index_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": index_type, "manifests": entries })
            .to_string();
        let index = Manifest::new(index.into_bytes(), index_type);
        report.index = Some(index.digest.clone());
        let manifests = run::Manifests { index, images };
        if let Some(push) = &options.push_manifests
            && !self.pushes_manifests
            && push(manifests.clone()).await
        {
            report.manifests = Some(manifests);
            return;
        }
        for manifest in manifests.images.values().chain([&manifests.index]) {
            let tag = format!("pushed-{}", manifest.digest.short());
            self.fake.add_manifest("ns/demo", &tag, &manifest.bytes);
        }
    }
}
