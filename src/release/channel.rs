//! Moves a channel: all its tags are looked at, the intent is written, the tags are moved as one set
//! (`tags`), and a pointer records that it is done.
//!
//! No registry compares before it writes, so who takes longer from a look to a write than others wait
//! ([`Registry::claim_tag`](crate::registry::Registry::claim_tag)) can still meet them; then tags are
//! found elsewhere, and the error has which. A concurrency group in CI prevents it.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use jiff::Timestamp;

use super::Error;
use super::error::ForeignTag;
use super::ledger::{Channel, Entry, Ledger, drift_of, is_moved};
use super::tags::MoveOptions;
use crate::name::{Commit, Digest, Repository, Tag};
use crate::record::{Drift, LedgerEntry, MoveKind, Release, TagMove};
use crate::registry::{Locator, Manifest};

/// A tag and the digest it is moved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The label of the image, `2021.2/scipy-ml-notebook`.
    pub label: String,
    /// The repository of the image.
    pub repository: Repository,
    /// The channel's tag.
    pub tag: Tag,
    /// The digest of the image in the release.
    pub digest: Digest,
    /// How many images of the stack it is based on.
    pub depth: usize,
}

/// What a move records beside its tags, and how it is done.
#[derive(Clone, Debug)]
pub struct Order {
    /// What kind of move it is.
    pub kind: MoveKind,
    /// The manifest digest of the release.
    pub release: Digest,
    /// The commit of that release; `None`: it is adopted.
    pub commit: Option<Commit>,
    /// Who moves it.
    pub actor: String,
    /// When it begins.
    pub time: Timestamp,
    /// Why, in the words of who moves it.
    pub reason: Option<String>,
    /// Gates that have not passed and are waived.
    pub waived: Vec<String>,
    /// Gates that are required beside the channel's own.
    pub required: Vec<String>,
    /// Move also tags that others moved, and record that.
    pub accept_drift: bool,
    /// Write nothing.
    pub dry_run: bool,
}

/// A move that may be carried out.
#[derive(Debug)]
pub struct PreparedMove {
    /// The entry it writes.
    pub entry: LedgerEntry,
    /// The manifests of images whose tags change.
    manifests: Vec<Manifest>,
    /// The ledger it was prepared for.
    ledger: Ledger,
}

/// A tag of the channel's last entry: the digest recorded for it, and the digest it is on.
struct SeenTag {
    recorded: Digest,
    found: Option<Digest>,
}

type SeenTags = BTreeMap<(Repository, Tag), SeenTag>;

/// What was read of a target.
struct SeenTarget {
    /// The digest of its tag, if the last entry does not have that tag.
    tag: Option<Digest>,
    /// The manifest, unless the tag should be on it already. Only a tag that changes needs it.
    manifest: Result<Option<Manifest>, Error>,
}

/// A move of one tag, and the manifest it is to be on, unless it is on that already.
type Planned = (TagMove, Option<Manifest>);

impl Channel<'_> {
    /// Moves the channel. Returns the entry, as written or as it would be; `None` if it is there
    /// already.
    pub async fn move_to(
        &self,
        targets: &[Target],
        order: &Order,
    ) -> Result<Option<LedgerEntry>, Error> {
        let ledger = self.look().await?;
        self.move_from(ledger, targets, order).await
    }

    /// Moves the channel as [`move_to`](Self::move_to) does, from what was read of its ledger.
    pub async fn move_from(
        &self,
        ledger: Ledger,
        targets: &[Target],
        order: &Order,
    ) -> Result<Option<LedgerEntry>, Error> {
        match self.prepare(ledger, targets, order).await? {
            None => Ok(None),
            Some(prepared) if order.dry_run => Ok(Some(prepared.entry)),
            Some(prepared) => self.complete(prepared).await.map(Some),
        }
    }

    /// Reads all that a move needs and checks that nothing stands against it. `None` if the channel is there
    /// already. Nothing is written.
    pub async fn prepare(
        &self,
        ledger: Ledger,
        targets: &[Target],
        order: &Order,
    ) -> Result<Option<PreparedMove>, Error> {
        if let Some((_, open)) = ledger.open {
            return Err(Error::Pending {
                channel: self.name.to_owned(),
                kind: open.kind,
                release: open.release,
            });
        }
        let current = ledger.current.as_ref();
        let (drift, seen) = tokio::try_join!(
            self.look_at_tags(current),
            self.look_at_targets(current, targets)
        )?;
        let (mut drift, known) = drift;
        if !drift.is_empty() && !order.accept_drift {
            return Err(self.drifted(drift));
        }
        let targets = targets.iter().zip(seen);
        let planned = targets.map(|(target, seen)| self.plan(&known, target, seen, order));
        let (images, ready): (Vec<TagMove>, Vec<Option<Manifest>>) =
            try_join_all(planned).await?.into_iter().unzip();
        if order.kind != MoveKind::Adopt {
            let taken = self.taken(current, &images, &known).await?;
            if !taken.is_empty() && !order.accept_drift {
                return Err(self.refused(taken, current.is_some()));
            }
            drift.extend(taken);
        }
        let is_at_release = current.is_some_and(|(_, entry)| entry.release == order.release);
        if is_at_release && !images.iter().any(TagMove::is_change) {
            return Ok(None);
        }
        let entry = LedgerEntry {
            version: match order.commit {
                Some(_) => 1,
                None => Release::ADOPTED_VERSION,
            },
            kind: order.kind,
            channel: self.name.to_owned(),
            seq: ledger.next,
            previous: current.map(|(digest, _)| digest.clone()),
            release: order.release.clone(),
            commit: order.commit.clone(),
            actor: order.actor.clone(),
            time: order.time,
            reason: order.reason.clone(),
            waived: order.waived.clone(),
            required: order.required.clone(),
            drift,
            images,
        };
        let manifests = ready.into_iter().flatten().collect();
        Ok(Some(PreparedMove {
            entry,
            manifests,
            ledger,
        }))
    }

    /// Carries out a move: writes its entry, moves the tags, and records that they are moved.
    pub async fn complete(&self, prepared: PreparedMove) -> Result<LedgerEntry, Error> {
        let PreparedMove {
            entry,
            manifests,
            ledger,
        } = prepared;
        self.restore_pointer(&ledger).await?;
        let at = self.claim(&entry).await?;
        self.carry_out(&at, &entry, MoveOptions::first(&manifests))
            .await?;
        Ok(entry)
    }

    /// Returns which tags of the last entry are elsewhere, and where all of them are.
    async fn look_at_tags(&self, current: Option<&Entry>) -> Result<(Vec<Drift>, SeenTags), Error> {
        let Some((_, entry)) = current else {
            return Ok(Default::default());
        };
        let seen = self.all_seen(entry).await?;
        let drift = drift_of(entry, &seen, is_moved);
        let known = entry.images.iter().zip(seen).map(|(step, found)| {
            let known = SeenTag {
                recorded: step.new.clone(),
                found,
            };
            ((step.repository.clone(), step.tag.clone()), known)
        });
        Ok((drift, known.collect()))
    }

    /// Returns the tag and the manifest of each target, as far as they are needed, beside the tags of the last entry.
    async fn look_at_targets(
        &self,
        current: Option<&Entry>,
        targets: &[Target],
    ) -> Result<Vec<SeenTarget>, Error> {
        let recorded: BTreeMap<_, _> = current
            .into_iter()
            .flat_map(|(_, entry)| &entry.images)
            .map(|step| ((&step.repository, &step.tag), &step.new))
            .collect();
        let looks = targets.iter().map(|target| {
            let recorded = recorded.get(&(&target.repository, &target.tag)).copied();
            async move {
                let tag = async {
                    if recorded.is_some() {
                        return Ok(None);
                    }
                    let at = Locator::Tag(target.tag.clone());
                    self.head(&target.repository, at).await
                };
                let manifest = async {
                    if recorded == Some(&target.digest) {
                        return Ok(None);
                    }
                    let found = self.manifest(&target.repository, &target.digest).await;
                    found.map(Some)
                };
                let (tag, manifest) = tokio::join!(tag, manifest);
                Ok::<_, Error>(SeenTarget {
                    tag: tag?,
                    manifest,
                })
            }
        });
        try_join_all(looks).await
    }

    /// Returns the tags that a move would take from others: the last entry does not have them, and they are on other images
    /// than those that the channel has put them on last. A tag stays where it is if a release has no image for it.
    async fn taken(
        &self,
        current: Option<&Entry>,
        moves: &[TagMove],
        known: &SeenTags,
    ) -> Result<Vec<Drift>, Error> {
        let mut open: Vec<&TagMove> = moves
            .iter()
            .filter(|step| {
                let place = (step.repository.clone(), step.tag.clone());
                step.is_change() && step.old.is_some() && !known.contains_key(&place)
            })
            .collect();
        let mut taken = Vec::new();
        let drift = |step: &TagMove, expected: Option<Digest>| Drift {
            repository: step.repository.clone(),
            tag: step.tag.clone(),
            expected,
            found: step.old.clone(),
        };
        // Most moves take nothing, and read no further back.
        let current = current.filter(|_| !open.is_empty());
        let mut next = current.map(|(_, entry)| entry.clone());
        while let Some(entry) = next {
            open.retain(|step| {
                let mut images = entry.images.iter();
                let same = images.find(|it| it.repository == step.repository && it.tag == step.tag);
                let Some(last) = same else {
                    return true;
                };
                if Some(&last.new) != step.old.as_ref() {
                    taken.push(drift(step, Some(last.new.clone())));
                }
                false
            });
            if open.is_empty() {
                break;
            }
            next = self.previous(&entry).await?.map(|(_, entry)| entry);
        }
        taken.extend(open.into_iter().map(|step| drift(step, None)));
        Ok(taken)
    }

    /// Returns the error of tags that a move would take from others.
    fn refused(&self, taken: Vec<Drift>, has_moved: bool) -> Error {
        let (moved, foreign): (Vec<Drift>, Vec<Drift>) =
            taken.into_iter().partition(|it| it.expected.is_some());
        if foreign.is_empty() {
            return self.drifted(moved);
        }
        Error::Foreign {
            channel: self.name.to_owned(),
            tags: foreign.into_iter().map(ForeignTag).collect(),
            has_moved,
        }
    }

    fn drifted(&self, drift: Vec<Drift>) -> Error {
        Error::Drift {
            channel: self.name.to_owned(),
            drift,
        }
    }

    async fn plan(
        &self,
        known: &SeenTags,
        target: &Target,
        seen: SeenTarget,
        order: &Order,
    ) -> Result<Planned, Error> {
        let old = self.before_move(known, target, seen.tag, order).await?;
        let manifest = if old.as_ref() == Some(&target.digest) {
            None
        } else {
            match seen.manifest? {
                Some(manifest) => Some(manifest),
                None => Some(self.manifest(&target.repository, &target.digest).await?),
            }
        };
        let step = TagMove {
            label: target.label.clone(),
            repository: target.repository.clone(),
            tag: target.tag.clone(),
            old,
            new: target.digest.clone(),
            depth: target.depth,
        };
        Ok((step, manifest))
    }

    /// Returns the digest of a tag before it is moved: what the ledger has, or else what its bytes
    /// prove. An abort writes it, so one wrong header must not be enough.
    async fn before_move(
        &self,
        known: &SeenTags,
        target: &Target,
        seen: Option<Digest>,
        order: &Order,
    ) -> Result<Option<Digest>, Error> {
        let at = Locator::Tag(target.tag.clone());
        let place = (target.repository.clone(), target.tag.clone());
        let (recorded, found) = match known.get(&place) {
            Some(known) => (Some(known.recorded.clone()), known.found.clone()),
            None => (None, seen),
        };
        if found == recorded {
            return Ok(found);
        }
        let registry = &self.staging.registry;
        let proven = match found {
            Some(_) => registry.manifest(&target.repository, &at).await?,
            None => None,
        };
        let proven = proven.map(|manifest| manifest.digest);
        match recorded {
            Some(expected) if proven.as_ref() != Some(&expected) && !order.accept_drift => {
                Err(self.drifted(vec![Drift {
                    repository: target.repository.clone(),
                    tag: target.tag.clone(),
                    expected: Some(expected),
                    found: proven,
                }]))
            }
            _ => Ok(proven),
        }
    }

    /// Returns the entry a revert goes to: the last one at another release than now, or at the given
    /// one. The ledger is read no further back than that.
    pub async fn revert_target(
        &self,
        ledger: &Ledger,
        release: Option<&Digest>,
    ) -> Result<LedgerEntry, Error> {
        let Some((_, now)) = &ledger.current else {
            return Err(Error::NoChannel {
                channel: self.name.to_owned(),
            });
        };
        let is_wanted = |entry: &LedgerEntry| match release {
            Some(release) => entry.release == *release,
            None => entry.release != now.release,
        };
        let mut next = Some(now.clone());
        while let Some(entry) = next {
            if is_wanted(&entry) {
                return Ok(entry);
            }
            next = self.previous(&entry).await?.map(|(_, entry)| entry);
        }
        Err(match release {
            Some(release) => Error::NoRelease {
                name: release.to_string(),
            },
            None => Error::NothingEarlier {
                channel: self.name.to_owned(),
            },
        })
    }
}

/// Returns the tags an entry moved, as targets of another move.
pub fn targets(entry: &LedgerEntry) -> Vec<Target> {
    let target = |step: &TagMove| Target {
        label: step.label.clone(),
        repository: step.repository.clone(),
        tag: step.tag.clone(),
        digest: step.new.clone(),
        depth: step.depth,
    };
    entry.images.iter().map(target).collect()
}
