//! What is proven, and what proofs of one run share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::{OnceCell, Semaphore};

use crate::buildkit::Ref;
use crate::checks::Tree;
use crate::compile::BaseState;
use crate::evidence::Verdict;
use crate::name::{Digest, Reference};
use crate::run::base::{BaseSource, base_source};
use crate::run::context::Context;
use crate::run::image::BuiltImage;
use crate::run::listed::{Lists, Pending};
use crate::run::outcome::StopReason;
use crate::stack::ImageId;

/// Images whose files are checked at the same time. A buildkitd answers more of them no faster, and
/// each keeps the list of its files in memory.
const CHECKS_AT_ONCE: usize = 4;

/// Values by key that are made once a run.
pub type Once<Key, Value> = Mutex<BTreeMap<Key, Arc<OnceCell<Value>>>>;

/// What proofs of one run share.
pub struct Prover<'c, 'a> {
    /// The run.
    pub context: &'c Context<'a>,
    /// Each suite and each image's info commands take one, so that a machine does not run all of them
    /// at once.
    pub suites: Semaphore,
    /// The checks of an image take one.
    pub checks: Semaphore,
    /// By the image's bytes, see [`Subject::bytes`], and the suite's key.
    pub verdicts: Once<(String, Digest), Verdict>,
    /// Folders of external bases, by reference and folders.
    pub base_trees: Once<String, Arc<Tree>>,
    /// Which files images have, as far as it is kept on this machine.
    pub lists: Option<Lists>,
    /// The files of images that this run built, if they were read.
    pub pending: Mutex<BTreeMap<ImageId, Pending>>,
}

impl<'c, 'a> Prover<'c, 'a> {
    /// Begins without any verdict.
    pub fn new(context: &'c Context<'a>) -> Self {
        Self {
            context,
            suites: Semaphore::new(context.options.suites.max(1)),
            checks: Semaphore::new(CHECKS_AT_ONCE),
            verdicts: Mutex::default(),
            base_trees: Mutex::default(),
            lists: context.options.lists.as_deref().map(Lists::new),
            pending: Mutex::default(),
        }
    }

    /// Returns the files of images that this run built, if they were read.
    pub fn into_pending(self) -> BTreeMap<ImageId, Pending> {
        let pending = self.pending.into_inner();
        pending.expect("no code under this lock panics")
    }
}

/// Where the image to prove is.
pub enum Origin {
    /// Built in this run.
    Built(Box<BuiltImage>),
    /// In a registry.
    Pinned(Reference),
}

/// An image to prove, in the graph.
pub struct Subject {
    /// What its suites start from.
    pub state: BaseState,
    /// Its files.
    pub result: Ref,
    /// How many layers it has, those of its bases among them.
    pub layers: usize,
    /// How many of them are those of its bases.
    pub below: usize,
    /// Where it is.
    pub origin: Origin,
}

impl Subject {
    /// Looks at an image: reads its config and has the engine get it.
    pub async fn new(
        context: &Context<'_>,
        id: ImageId,
        origin: Origin,
    ) -> Result<Self, StopReason> {
        match origin {
            Origin::Built(built) => Ok(Self {
                state: built.compiled.state(),
                result: built.result.clone(),
                layers: built.layers,
                below: built.layers.saturating_sub(context.image(id).steps.len()),
                origin: Origin::Built(built),
            }),
            Origin::Pinned(reference) => {
                let label = context.label(id);
                let config = context.config(&reference, &label).await?;
                let output = context.compiler().reference(&reference, &label);
                let result = context.solve(output).await.map_err(StopReason::Run)?;
                let layers = config.layers();
                Ok(Self {
                    layers,
                    below: below(context, id, layers).await?,
                    state: BaseState { output, config },
                    result,
                    origin: Origin::Pinned(reference),
                })
            }
        }
    }

    /// Returns a text that is equal for equal bytes in this run: the digest of a pinned image; the key of
    /// a built one, since one image is built for all of a key.
    pub fn bytes(&self, context: &Context<'_>, id: ImageId) -> String {
        match &self.origin {
            Origin::Pinned(reference) => reference.to_string(),
            Origin::Built(built) => match &context.plan.images[id.0].keyed {
                Some(keyed) => format!("built {}", keyed.key),
                None => built.result.name().to_owned(),
            },
        }
    }
}

/// Returns how many of the layers of a pinned image are those of its bases: all but one for each step; a Dockerfile has as
/// many as there are beside those of its base.
async fn below(context: &Context<'_>, id: ImageId, layers: usize) -> Result<usize, StopReason> {
    let image = context.image(id);
    if image.dockerfile().is_none() {
        return Ok(layers.saturating_sub(image.steps.len()));
    }
    match base_source(context.stack, context.plan, &context.options.external, id) {
        Some(BaseSource::Pinned(reference)) => {
            let config = context.config(&reference, &context.label(id)).await?;
            Ok(config.layers())
        }
        Some(BaseSource::ThisRun(_) | BaseSource::Scratch) | None => Ok(0),
    }
}
