//! Promotes a release to one channel.
//!
//! [`Promoter::check`] reads only: gates must be proven, and the channel that this one takes releases from must
//! be at the release. [`Promotion::carry_out`] then gives version numbers and moves the tags. `cli` calls both
//! for `promote`.

use futures_util::future::join_all;

use super::channel::{Order, Target};
use super::gates::{self, GateState, SpecGates};
use super::ledger::{Channel, Ledger};
use super::{Error, number};
use crate::list;
use crate::name::{Commit, Digest, InvalidName, Tag};
use crate::record::{LedgerEntry, Release};
use crate::stack::{self, Gate, Stack, TagTemplate};
use crate::staging::Staging;
use crate::trace::{self, Track};

/// Why a release is not promoted to a channel.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The user waives a gate the channel does not have.
    #[error("channel `{channel}` has no gate `{gate}` to waive")]
    UnknownGate {
        /// The name of the channel.
        channel: String,
        /// The name of the gate.
        gate: String,
    },
    /// The user waives a gate that no channel with `auto: true` has.
    #[error("no channel with `auto: true` has a gate `{gate}` to waive")]
    UnknownAutoGate {
        /// The name of the gate.
        gate: String,
    },
    /// Gates failed, or are not proven.
    #[error("channel `{channel}` is not moved: {}", problems(.gates))]
    Gates {
        /// The name of the channel.
        channel: String,
        /// Those that are not waived.
        gates: Vec<GateState>,
    },
    /// The channel takes releases from another one that does not have this one.
    #[error("channel `{channel}` takes releases from `{from}`, which is not at this one")]
    NotAtSource {
        /// The name of the channel.
        channel: String,
        /// The channel it takes from.
        from: String,
    },
    /// No image of the release has a tag of the channel.
    #[error("the release has no image for channel `{channel}`")]
    NoImage {
        /// The name of the channel.
        channel: String,
    },
    /// The release lacks images of the stack, so that the channel would be at two releases.
    #[error("the release lacks images that channel `{channel}` has a tag for: {}", list::of(.missing))]
    Incomplete {
        /// The name of the channel.
        channel: String,
        /// Labels of the images.
        missing: Vec<String>,
    },
    /// A tag template and a version number do not make a tag.
    #[error(transparent)]
    Template(#[from] InvalidName),
    /// A channel or number cannot be read or written.
    #[error(transparent)]
    Release(#[from] Error),
}

/// A release to promote, and how.
pub struct Promoter<'a> {
    /// The stack of the release.
    pub stack: &'a Stack,
    /// Where its releases and channels are.
    pub staging: &'a Staging,
    /// The release.
    pub release: &'a Release,
    /// What the move records. Waived and required gates are added from the fields below.
    pub order: Order,
    /// Gates the user waives.
    pub waive: Vec<String>,
    /// Gates the user requires beside the channel's own.
    pub require: Vec<String>,
    /// Whether all channels with `auto: true` are promoted to, not one the user chose.
    pub is_auto: bool,
}

/// A promotion that may be carried out.
pub struct Promotion<'a> {
    promoter: &'a Promoter<'a>,
    channel: &'a stack::Channel,
    ledger: Ledger,
    waived: Vec<String>,
    targets: Vec<Target>,
}

/// A promotion that was carried out, or would be.
#[derive(Debug)]
pub struct Promoted {
    /// The ledger entry the channel was at.
    pub before: Option<LedgerEntry>,
    /// The ledger entry; `None` if the channel is at the release already.
    pub entry: Option<LedgerEntry>,
    /// Tags with a version number, `HOST/NAMESPACE/IMAGE:TAG`.
    pub numbered: Vec<String>,
}

impl<'a> Promoter<'a> {
    /// Checks what must be true before a channel moves to the release. Nothing is written.
    pub async fn check(&'a self, channel: &'a stack::Channel) -> Result<Promotion<'a>, Refusal> {
        let _span = trace::span(Track::Command, || format!("check {}", channel.name));
        let targets = channel_targets(self.stack, channel, self.release)?;
        ensure_whole(self.stack, channel, &targets)?;
        let own = self.channel(&channel.name);
        let source = async {
            match &channel.from {
                Some(from) => self.current(from).await,
                None => Ok(None),
            }
        };
        let (ledger, states, source) =
            tokio::try_join!(own.look(), self.gates(channel, &targets), source)?;
        check_gates(&channel.name, &states, &self.waive_in(&states))?;
        self.check_source(channel, source.as_ref())?;
        // Only gates that are not proven are waived.
        let waived = states.iter().filter(|state| !state.is_proven());
        Ok(Promotion {
            promoter: self,
            channel,
            ledger,
            waived: waived.map(|state| state.name.clone()).collect(),
            targets,
        })
    }

    /// Returns the release a channel is at.
    pub(super) async fn current(&self, channel: &str) -> Result<Option<Digest>, Error> {
        let current = self.channel(channel).current().await?;
        Ok(current.map(|(_, entry)| entry.release))
    }

    pub(super) fn channel<'b>(&'b self, name: &'b str) -> Channel<'b> {
        Channel {
            staging: self.staging,
            name,
        }
    }

    async fn gates(
        &self,
        channel: &stack::Channel,
        targets: &[Target],
    ) -> Result<Vec<GateState>, Error> {
        let required = self.require.iter().map(|name| Gate {
            name: name.clone(),
            images: None,
        });
        let required: Vec<Gate> = required.collect();
        channel_gates(
            self.staging,
            self.stack,
            channel,
            self.release,
            targets,
            &required,
        )
        .await
    }

    /// Returns the waived gates that count for a channel: with `--auto` another channel may have the gate.
    fn waive_in(&self, states: &[GateState]) -> Vec<String> {
        let waive = self.waive.iter();
        let has = |gate: &&String| states.iter().any(|state| state.name == **gate);
        waive
            .filter(|gate| !self.is_auto || has(gate))
            .cloned()
            .collect()
    }

    /// Checks that the channel this one takes releases from is at the release; `at` is the release it is at.
    fn check_source(&self, channel: &stack::Channel, at: Option<&Digest>) -> Result<(), Refusal> {
        let Some(from) = &channel.from else {
            return Ok(());
        };
        // A dry run of several channels moves none of them.
        let mut channels = self.stack.channels().iter();
        let would_move = self.is_auto
            && self.order.dry_run
            && channels.any(|other| other.name == *from && other.auto);
        if at == Some(&self.order.release) || would_move {
            return Ok(());
        }
        Err(Refusal::NotAtSource {
            channel: channel.name.clone(),
            from: from.clone(),
        })
    }
}

impl Promotion<'_> {
    /// Moves the channel's tags. If the spec has tags with a version number, the release gets its number
    /// first, but only when nothing stands against the move: a number is never taken back.
    pub async fn carry_out(self) -> Result<Promoted, Refusal> {
        let promoter = self.promoter;
        let channel = promoter.channel(&self.channel.name);
        let order = Order {
            waived: self.waived,
            required: promoter.require.clone(),
            ..promoter.order.clone()
        };
        let before = self.ledger.current.as_ref();
        let before = before.map(|(_, entry)| entry.clone());
        let prepared = channel.prepare(self.ledger, &self.targets, &order).await?;
        let numbered = match &promoter.release.commit {
            Some(commit) => {
                let tags = numbered_tags(promoter.stack, &self.targets);
                promoter.set_numbered(commit, &tags).await?
            }
            // It was there before laminate, and gets no version number.
            None => Vec::new(),
        };
        let entry = match prepared {
            None => None,
            Some(prepared) if order.dry_run => Some(prepared.entry),
            Some(prepared) => Some(channel.complete(prepared).await?),
        };
        Ok(Promoted {
            before,
            entry,
            numbered,
        })
    }
}

impl Promoter<'_> {
    /// Puts tags with a version number on images. The release gets a number if it has none.
    async fn set_numbered(
        &self,
        commit: &Commit,
        tags: &[NumberedTag<'_>],
    ) -> Result<Vec<String>, Refusal> {
        if tags.is_empty() {
            return Ok(Vec::new());
        }
        let (staging, release) = (self.staging, &self.order.release);
        let number = match number::known(staging, release).await? {
            Some(number) => number,
            None if self.order.dry_run => number::next(staging).await?,
            None => number::assign(staging, release).await?,
        };
        let mut numbered: Vec<(&Target, Tag)> = Vec::new();
        for (target, template) in tags {
            numbered.push((target, template.tag(commit, number)?));
        }
        let names = numbered.iter();
        let names = names.map(|(target, tag)| format!("{}:{tag}", target.repository));
        let names = names.collect();
        if !self.order.dry_run {
            let registry = &staging.registry;
            let put = numbered.iter().map(|(target, tag)| {
                number::put_tag(registry, &target.repository, tag, &target.digest)
            });
            // All that were begun end before a fault is reported.
            for done in join_all(put).await {
                done?;
            }
        }
        Ok(names)
    }
}

/// An image that is promoted, and a template of its tags that has a version number.
type NumberedTag<'a> = (&'a Target, &'a TagTemplate);

fn numbered_tags<'a>(stack: &'a Stack, targets: &'a [Target]) -> Vec<NumberedTag<'a>> {
    let of_target = |target: &'a Target| {
        let mut images = stack.images().iter();
        let image = images.find(|image| stack.label_of(image) == target.label);
        let templates = image.into_iter().flat_map(|image| &image.tags);
        let numbered = templates.filter(|template| template.is_numbered());
        numbered.map(move |template| (target, template))
    };
    targets.iter().flat_map(of_target).collect()
}

/// Returns the tags a channel moves, each to its image of the release.
pub fn channel_targets(
    stack: &Stack,
    channel: &stack::Channel,
    release: &Release,
) -> Result<Vec<Target>, Refusal> {
    let mut targets = Vec::new();
    for image in &release.images {
        let mut variants = stack.variants().iter();
        let variant = variants.position(|variant| {
            let name = variant.name.as_ref();
            name.map(ToString::to_string) == image.variant
        });
        let Some(tag) = variant.and_then(|index| channel.tags.get(&index)) else {
            continue;
        };
        targets.push(Target {
            label: image.label(),
            repository: image.repository.clone(),
            tag: tag.clone(),
            digest: image.digest.clone(),
            depth: image.depth,
        });
    }
    if targets.is_empty() {
        return Err(Refusal::NoImage {
            channel: channel.name.clone(),
        });
    }
    Ok(targets)
}

/// Checks that a channel moves as a whole: a release that lacks images of the stack would leave their tags at
/// another release.
pub(super) fn ensure_whole(
    stack: &Stack,
    channel: &stack::Channel,
    targets: &[Target],
) -> Result<(), Refusal> {
    let images = stack.images().iter();
    let moved = images.filter(|image| channel.tags.contains_key(&image.variant));
    let missing: Vec<String> = moved
        .map(|image| stack.label_of(image))
        .filter(|label| targets.iter().all(|target| target.label != *label))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(Refusal::Incomplete {
            channel: channel.name.clone(),
            missing,
        })
    }
}

/// Returns the states of a channel's gates and of those in `required`, for the images it moves.
pub async fn channel_gates(
    staging: &Staging,
    stack: &Stack,
    channel: &stack::Channel,
    release: &Release,
    targets: &[Target],
    required: &[Gate],
) -> Result<Vec<GateState>, Error> {
    let labels: Vec<&str> = targets.iter().map(|target| target.label.as_str()).collect();
    let mut all = channel.gates.clone();
    let added = required.iter().filter(|gate| !channel.gates.contains(gate));
    all.extend(added.cloned());
    let spec = SpecGates::new(stack);
    gates::states(staging, &spec, release, &labels, &all).await
}

/// Refuses a move if a gate is not proven and not waived, or a waived gate does not exist.
pub(super) fn check_gates(
    channel: &str,
    states: &[GateState],
    waive: &[String],
) -> Result<(), Refusal> {
    let is_unknown = |gate: &&String| states.iter().all(|state| state.name != **gate);
    if let Some(gate) = waive.iter().find(is_unknown) {
        return Err(Refusal::UnknownGate {
            channel: channel.to_owned(),
            gate: gate.clone(),
        });
    }
    let open = states.iter().filter(|state| !state.is_proven());
    let gates: Vec<GateState> = open
        .filter(|state| !waive.contains(&state.name))
        .cloned()
        .collect();
    if gates.is_empty() {
        return Ok(());
    }
    Err(Refusal::Gates {
        channel: channel.to_owned(),
        gates,
    })
}

fn problems(gates: &[GateState]) -> String {
    let problems: Vec<String> = gates.iter().map(problem).collect();
    problems.join("; ")
}

/// Returns why a gate is not proven.
fn problem(state: &GateState) -> String {
    let mut parts = Vec::new();
    if !state.failed.is_empty() {
        parts.push(format!("failed for {}", list::of(&state.failed)));
    }
    if !state.open.is_empty() {
        parts.push(format!("is not proven for {}", list::of(&state.open)));
    }
    if parts.is_empty() {
        parts.push("covers no image".to_owned());
    }
    format!("gate `{}` {}", state.name, parts.join(" and "))
}
