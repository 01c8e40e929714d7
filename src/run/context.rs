//! What all parts of a run share: the stack, the plan, the engine's gateway, the compiler.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::sync::OnceCell;

use super::base::{references, staged};
use super::interactive::Target;
use super::options::Options;
use super::outcome::{ImageError, StopReason};
use super::schedule::leaders;
use super::track::Tracker;
use crate::buildkit::{self, Gateway, Ref};
use crate::compile::{BaseConfig, Compiler};
use crate::event::Events;
use crate::llb::{Definition, Graph, Output};
use crate::name::Reference;
use crate::plan::Plan;
use crate::stack::{Image, ImageId, Stack};

/// What all parts of a run share.
pub struct Context<'a> {
    /// The stack.
    pub stack: &'a Stack,
    /// What is done with each of its images.
    pub plan: &'a Plan,
    /// What the run was started with.
    pub options: &'a Options,
    /// Receives what happens.
    pub events: &'a Events,
    /// Attributes the engine's operations to steps and suites.
    pub tracker: Arc<Tracker>,
    /// Calls the engine.
    pub gateway: Gateway,
    /// The image in which the user runs a process, if it is built: the one that is built for its key.
    pub focus: Option<ImageId>,
    /// The step in which the user runs it.
    pub target: OnceLock<Target>,
    compiler: Mutex<Compiler<'a>>,
    /// Configs of pinned images by reference, each read once.
    configs: BTreeMap<String, OnceCell<BaseConfig>>,
}

impl<'a> Context<'a> {
    /// Begins with an empty graph.
    pub fn new(
        stack: &'a Stack,
        plan: &'a Plan,
        options: &'a Options,
        events: &'a Events,
        tracker: Arc<Tracker>,
        gateway: Gateway,
    ) -> Self {
        let graph = Graph::new(options.platform.clone());
        let mut references = references(stack, plan, &options.external);
        let interactive = options.interactive.as_ref().map(|it| it.image);
        // Its config says what is run.
        references.extend(interactive.and_then(|id| staged(stack, plan, id)));
        let mut compiler = Compiler::new(stack, &options.environment, graph);
        compiler.external.clone_from(&options.external);
        Self {
            stack,
            plan,
            options,
            events,
            tracker,
            gateway,
            focus: interactive.and_then(|id| leaders(plan).get(&id).copied()),
            target: OnceLock::new(),
            compiler: Mutex::new(compiler),
            configs: references
                .into_iter()
                .map(|reference| (reference.to_string(), OnceCell::new()))
                .collect(),
        }
    }

    /// Returns the image.
    pub fn image(&self, id: ImageId) -> &'a Image {
        &self.stack[id]
    }

    /// Returns the label of an image.
    pub fn label(&self, id: ImageId) -> String {
        self.plan.images[id.0].label.clone()
    }

    /// Returns the compiler. It is never kept while the engine is waited for.
    pub fn compiler(&self) -> MutexGuard<'_, Compiler<'a>> {
        self.compiler.lock().expect("compiling does not panic")
    }

    /// Returns the definition of an output, and offers the trees it needs to the engine.
    pub fn definition(&self, compiler: &mut Compiler<'a>, output: Output) -> Definition {
        for (name, tree) in std::mem::take(&mut compiler.served) {
            self.options.services.files.add(name, tree);
        }
        compiler.graph.marshal(output)
    }

    /// Has an output solved, and waits for it.
    pub async fn solve(&self, output: Output) -> Result<Ref, buildkit::Error> {
        let definition = self.definition(&mut self.compiler(), output);
        self.gateway.solve(definition.pb).await
    }

    /// Returns the config of a pinned image, asking for it once a run. `label`: the image it is for.
    pub async fn config(
        &self,
        reference: &Reference,
        label: &str,
    ) -> Result<BaseConfig, StopReason> {
        let text = reference.to_string();
        let cell = self.configs.get(&text).expect("all references were listed");
        let platform = &self.options.platform;
        let config = cell.get_or_try_init(|| async {
            let unusable = |reason: String| {
                StopReason::from(ImageError::Base {
                    reference: text.clone(),
                    reason,
                })
            };
            let shown = format!("{label}: looking at {reference}");
            let config = self.gateway.image_config(&text, platform, &shown).await;
            let config = config.map_err(|error| match error {
                buildkit::Error::Failed(failure) => unusable(failure.message),
                other => StopReason::Run(other),
            })?;
            let config = BaseConfig::parse(&config);
            let config = config.map_err(|error| unusable(error.to_string()))?;
            Ok::<_, StopReason>(config.with_platform(&platform.os, &platform.architecture))
        });
        Ok(config.await?.clone())
    }
}
