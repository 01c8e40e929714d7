//! The plan itself: [`Plan::new`].

use std::sync::Arc;

use super::choice::{Choice, HoldReason, choices};
use super::facts::{Facts, Request, Retest};
use super::kept::{KeptSteps, kept_steps};
use super::key::{Keyed, Keys};
use super::proof::{self, Proofs};
use super::reason::{self, Reason, ReasonKind};
use super::tag::{self, NoFreeTag};
use crate::name::{Digest, Tag};
use crate::stack::{ImageId, Stack};

/// What is done with an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is built.
    Build {
        /// Why; at least one.
        reasons: Vec<Reason>,
    },
    /// It is up to date.
    Reuse {
        /// Its manifest in staging.
        digest: Digest,
    },
    /// Nothing is done with it.
    Hold {
        /// Why.
        because: HoldReason,
    },
}

/// An image of a plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its place in the stack and in [`Plan::images`].
    pub id: ImageId,
    /// Its label, see [`Stack::label`].
    pub label: String,
    /// `None` only if it is skipped because the digest of an external image is unknown.
    pub keyed: Option<Arc<Keyed>>,
    /// What is done with it.
    pub action: Action,
    /// Whether its steps run even if BuildKit has them in its cache: `--refresh` selects it, or a new
    /// period of its `refresh:` began.
    pub ignore_cache: bool,
    /// Its first steps that are those of its last build, if it is built and they need not run.
    pub kept: Option<KeptSteps>,
    /// What is known to be proven of it, and what remains to run.
    pub proofs: Proofs,
    /// Its immutable tags; empty without a commit.
    pub tags: Vec<Tag>,
}

/// What is done with each image, in the order of [`Stack::images`].
#[derive(Clone, Debug)]
pub struct Plan {
    /// One entry an image of the stack.
    pub images: Vec<Planned>,
    /// The suffix of all immutable tags: 1 for none, `n` for `.n`.
    pub attempt: u32,
}

impl Planned {
    /// Whether a command does anything with the image: one that tags no image leaves out those that the user did not
    /// select and that it need not build for them.
    pub fn is_part_of(&self, request: &Request) -> bool {
        let is_built = matches!(self.action, Action::Build { .. });
        !request.prove_selected || is_built || request.selects(self.id)
    }
}

impl Plan {
    /// Decides what is done with each image. `keys` are those of the same stack. Fails if every suffix
    /// of the immutable tags is in use for other images.
    pub fn new(
        stack: &Stack,
        keys: &Keys,
        facts: &Facts,
        request: &Request,
    ) -> Result<Self, NoFreeTag> {
        let choices = choices(stack, keys, facts, request);
        let attempt = tag::free_attempt(stack, &choices, facts)?;
        let images = stack.images().iter().zip(choices).zip(0..);
        let images = images
            .map(|((image, choice), index)| {
                let id = ImageId(index);
                let keyed = keys.get(id);
                let label = stack.label_of(image);
                let proofs = proofs(stack, id, keyed, &choice, facts, request);
                let action = match choice {
                    Choice::Build => Action::Build {
                        reasons: why((stack, &label), keyed, facts, request.forces(id)),
                    },
                    Choice::Reuse(digest) => Action::Reuse { digest },
                    Choice::Hold(because) => Action::Hold { because },
                };
                let ignore_cache =
                    request.refresh.contains(&id) || is_refresh_due(&label, keyed, facts, &action);
                let is_built = matches!(action, Action::Build { .. });
                let is_forced = request.forces(id);
                let before = request.keep_before.filter(|_| is_forced);
                let may_keep = is_built && !ignore_cache && (!is_forced || before.is_some());
                let last = facts.records.get(&label).filter(|_| may_keep);
                let last = last.filter(|last| facts.last_builds.contains(&last.digest));
                let kept = keyed.zip(last);
                Planned {
                    id,
                    ignore_cache,
                    kept: kept.and_then(|(keyed, last)| kept_steps(image, keyed, last, before)),
                    tags: tag::immutable_tags(image, facts.commit(), attempt),
                    proofs,
                    label,
                    keyed: keys.share(id),
                    action,
                }
            })
            .collect();
        Ok(Self { images, attempt })
    }

    /// Whether any image is built.
    pub fn builds(&self) -> bool {
        self.images
            .iter()
            .any(|image| matches!(image.action, Action::Build { .. }))
    }

    /// Whether any suite, check or info is run.
    pub fn proves(&self) -> bool {
        self.images.iter().any(|image| image.proofs.runs())
    }
}

/// Returns what is known of an image and what remains to run on it.
fn proofs(
    stack: &Stack,
    id: ImageId,
    keyed: Option<&Keyed>,
    choice: &Choice,
    facts: &Facts,
    request: &Request,
) -> Proofs {
    let asked = request.selects(id);
    let is_built = matches!(choice, Choice::Build);
    if !asked && !is_built && request.prove_selected {
        return Proofs::default();
    }
    let evidence = keyed.and_then(|keyed| facts.evidence.get(&keyed.key));
    let retest = if asked {
        &request.retest
    } else {
        &Retest::None
    };
    proof::proofs(stack, &stack[id], choice, evidence, retest)
}

/// Returns why an image is built. `forced`: `--no-reuse` selects it.
fn why(
    (stack, label): (&Stack, &str),
    keyed: Option<&Keyed>,
    facts: &Facts,
    forced: bool,
) -> Vec<Reason> {
    let Some(keyed) = keyed else {
        return Vec::new();
    };
    if forced {
        return vec![Reason::new(
            ReasonKind::Flag,
            "--no-reuse",
            "requested by --no-reuse",
        )];
    }
    let (released, built) = (facts.released.get(label), facts.records.get(label));
    let mut known = [released, built].into_iter().flatten();
    if let Some(record) = known.find(|record| record.key == keyed.key) {
        let digest = record.digest.as_str();
        let reason = Reason::new(ReasonKind::Missing, digest, "staging no longer has it");
        return vec![reason];
    }
    let before = match released {
        None if facts.released.is_empty() => built,
        released => released,
    };
    match before {
        Some(record) => reason::reasons(&record.components, &keyed.components, facts.locked),
        None => vec![Reason::new(
            ReasonKind::New,
            label,
            unknown_image(stack, facts),
        )],
    }
}

/// Returns the reason for an image of which no earlier build is known.
fn unknown_image(stack: &Stack, facts: &Facts) -> String {
    match &facts.released_commit {
        _ if stack.registry().is_none() => {
            "the stack has no registry with an earlier build".to_owned()
        }
        _ if facts.is_offline => "no registry was asked for an earlier build".to_owned(),
        Some(commit) => format!("not in the last release ({})", commit.short()),
        None => "never built for this registry".to_owned(),
    }
}

/// Whether an image is built because a period of its `refresh:` or a `--refresh` is newer than its
/// last build.
fn is_refresh_due(label: &str, keyed: Option<&Keyed>, facts: &Facts, action: &Action) -> bool {
    let (Action::Build { .. }, Some(keyed)) = (action, keyed) else {
        return false;
    };
    facts
        .records
        .get(label)
        .is_some_and(|record| reason::refreshes(&record.components, &keyed.components))
}
