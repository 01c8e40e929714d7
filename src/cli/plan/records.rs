//! A plan and its images as JSON (`docs/json.md`).

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::uncovered;
use crate::checkout::Checkout;
use crate::cli::context::Context;
use crate::gather::Gathered;
use crate::name::{Commit, Digest, Repository, Tag};
use crate::plan::{Action, Plan, Planned, Proofs, Reason};
use crate::stack::{Base, Image, ImageSource};

/// The document of `laminate plan --json`.
#[derive(Serialize)]
pub struct PlanDocument<'a> {
    stack: &'a str,
    commit: Option<&'a Commit>,
    compared_with: Option<&'a Commit>,
    dirty: Option<bool>,
    images: Images<'a>,
    gates: Vec<Value>,
}

impl<'a> PlanDocument<'a> {
    /// Returns the document of a plan.
    pub fn new(context: &'a Context, gathered: &'a Gathered, plan: &'a Plan) -> Self {
        let facts = &gathered.facts;
        let gates = uncovered(context).into_iter().map(|silence| {
            json!({
                "channel": silence.channel, "gate": silence.gate,
                "says_nothing_about": silence.images,
            })
        });
        Self {
            stack: context.stack.name().as_str(),
            commit: facts.commit(),
            compared_with: facts.released_commit.as_ref(),
            dirty: facts.checkout.as_ref().map(Checkout::is_dirty),
            images: Images(context, gathered, plan),
            gates: gates.collect(),
        }
    }
}

/// The images of a plan. Each is made when it is written.
struct Images<'a>(&'a Context, &'a Gathered, &'a Plan);

impl Serialize for Images<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(context, gathered, plan) = self;
        let images = plan.images.iter();
        serializer.collect_seq(images.map(|planned| PlannedImage::new(context, gathered, planned)))
    }
}

/// Returns the keys that an image has in the documents of `plan`, `build` and `why`.
pub fn image(context: &Context, gathered: &Gathered, planned: &Planned) -> Value {
    let image = PlannedImage::new(context, gathered, planned);
    serde_json::to_value(image).expect("plain data")
}

/// An image of a plan.
#[derive(Serialize)]
struct PlannedImage<'a> {
    image: &'a str,
    variant: Option<&'a str>,
    action: &'static str,
    key: Option<&'a Digest>,
    repository: Option<&'a Repository>,
    tags: &'a [Tag],
    base: Option<Source<'a>>,
    copies: Vec<Source<'a>>,
    mounts: Vec<Source<'a>>,
    kept_steps: usize,
    proofs: PlannedProofs<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<&'a Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    reasons: &'a [Reason],
}

impl<'a> PlannedImage<'a> {
    fn new(context: &'a Context, gathered: &'a Gathered, planned: &'a Planned) -> Self {
        let stack = &context.stack;
        let image = &stack[planned.id];
        let (digest, because, reasons) = match &planned.action {
            Action::Build { reasons } => (None, None, reasons.as_slice()),
            Action::Reuse { digest } => (Some(digest), None, [].as_slice()),
            Action::Hold { because } => (None, Some(because.to_string()), [].as_slice()),
        };
        Self {
            image: image.name.value.as_str(),
            variant: (stack.variants()[image.variant].name.as_ref()).map(|name| name.as_str()),
            action: action(&planned.action),
            key: planned.keyed.as_ref().map(|keyed| &keyed.key),
            repository: image.repository.as_ref(),
            tags: &planned.tags,
            base: match &image.base {
                Base::Image(parent) => Some(Source::InStack {
                    image: stack[*parent].name.value.to_string(),
                }),
                Base::External(base) => Some(Source::External {
                    reference: base.reference.value.to_string(),
                    digest: gathered.external.get(&base.reference.value),
                }),
                Base::Scratch => None,
            },
            copies: used(gathered, image.copy_sources()),
            mounts: used(gathered, image.mounted_images()),
            kept_steps: planned.kept.as_ref().map_or(0, |kept| kept.steps),
            proofs: PlannedProofs::new(image, &planned.proofs),
            digest,
            because,
            reasons,
        }
    }
}

/// Returns the value of `action` in JSON.
pub(super) fn action(action: &Action) -> &'static str {
    match action {
        Action::Build { .. } => "build",
        Action::Reuse { .. } => "reuse",
        Action::Hold { .. } => "hold",
    }
}

/// The image that another one is based on, copies from or mounts.
#[derive(Serialize)]
#[serde(untagged)]
enum Source<'a> {
    InStack {
        image: String,
    },
    External {
        reference: String,
        digest: Option<&'a Digest>,
    },
}

/// Returns images that an image copies from or mounts, with their digests.
fn used<'a>(gathered: &'a Gathered, sources: BTreeMap<String, &ImageSource>) -> Vec<Source<'a>> {
    let sources = sources.into_iter().map(|(name, source)| match source {
        ImageSource::InStack(_) => Source::InStack { image: name },
        ImageSource::External(image) => Source::External {
            reference: name,
            digest: gathered.external.get(&image.reference.value),
        },
    });
    sources.collect()
}

/// What is known of an image, and what is run on it.
#[derive(Serialize)]
struct PlannedProofs<'a> {
    suites: Vec<PlannedSuite<'a>>,
    checks: Option<&'static str>,
    info: Vec<PlannedInfo<'a>>,
}

#[derive(Serialize)]
struct PlannedSuite<'a> {
    suite: &'a str,
    from: Option<String>,
    key: &'a Digest,
    action: &'static str,
    why: Option<String>,
}

#[derive(Serialize)]
struct PlannedInfo<'a> {
    name: &'a str,
    action: &'static str,
}

impl<'a> PlannedProofs<'a> {
    fn new(image: &'a Image, proofs: &'a Proofs) -> Self {
        let action = |is_known: bool| if is_known { "known" } else { "run" };
        let suites = proofs.suites.iter().zip(&image.proof.suites);
        let suites = suites.map(|(planned, suite)| PlannedSuite {
            suite: &planned.name,
            from: suite.from.as_ref().map(ToString::to_string),
            key: &planned.verdict.key,
            action: action(planned.verdict.known.is_some()),
            why: planned.verdict.why.map(|why| why.to_string()),
        });
        let info = image.proof.info.iter().zip(&proofs.info);
        let info = info.map(|(command, planned)| PlannedInfo {
            name: &command.name,
            action: action(planned.known.is_some()),
        });
        let checks = proofs.checks.as_ref();
        Self {
            suites: suites.collect(),
            checks: checks.map(|checks| action(checks.known.is_some())),
            info: info.collect(),
        }
    }
}
