//! The tags of a channel's move, forth and back: bases first, each looked at before it is written and
//! read back after, and all of them at the end.
//!
//! Called by `channel` with the entry that says from where to where.

use futures_util::future::{join_all, try_join_all};

use super::channel::{Channel, Drift, digest, place};
use super::{Entry, Error, Kind, Move, Way};
use crate::name::Digest;
use crate::registry::{Locator, Manifest};

/// What is known of a move's tags before they are set.
#[derive(Clone, Copy, Default)]
pub(super) struct How<'a> {
    /// It was begun before and broke: what a tag is now may be what it was a moment ago only, since
    /// some registries show that for a while, so it is written whatever it seems to be.
    again: bool,
    /// Tags that somebody else moved are moved all the same.
    accept_drift: bool,
    /// Manifests that were read already.
    ready: &'a [Manifest],
}

impl<'a> How<'a> {
    /// A move that has just been written down.
    pub fn first(ready: &'a [Manifest]) -> Self {
        Self {
            ready,
            ..Self::default()
        }
    }
}

/// Tags of an entry of which, as they were seen, this is not true.
pub(super) fn elsewhere(
    entry: &Entry,
    seen: &[Option<String>],
    right: impl Fn(&Move, Option<&String>) -> bool,
) -> Vec<Drift> {
    let pairs = entry.images.iter().zip(seen);
    let wrong = pairs.filter(|(step, found)| !right(step, found.as_ref()));
    let drift = wrong.map(|(step, found)| Drift {
        repository: step.repository.clone(),
        tag: step.tag.clone(),
        expected: step.new.clone(),
        found: found.clone(),
    });
    drift.collect()
}

/// Where a tag comes from on this way, and where it goes.
fn ends(step: &Move, way: Way) -> (Option<String>, Option<String>) {
    let (old, new) = (step.old.clone(), Some(step.new.clone()));
    match way {
        Way::Forth => (old, new),
        Way::Back => (new, old),
    }
}

fn line(step: &Move, why: impl std::fmt::Display) -> String {
    format!("  {}:{}: {why}", step.repository, step.tag)
}

impl Channel<'_> {
    /// Tags of an entry that are elsewhere.
    pub async fn drift(&self, entry: &Entry) -> Result<Vec<Drift>, Error> {
        let seen = self.seen(entry).await?;
        Ok(elsewhere(entry, &seen, |step, found| {
            found == Some(&step.new)
        }))
    }

    async fn now(&self, step: &Move) -> Result<Option<String>, Error> {
        let (repository, tag) = place(step)?;
        let found = self.head(&repository, Locator::Tag(tag)).await?;
        Ok(found.map(|digest| digest.to_string()))
    }

    /// What each tag of an entry is at.
    pub(super) async fn seen(&self, entry: &Entry) -> Result<Vec<Option<String>>, Error> {
        try_join_all(entry.images.iter().map(|step| self.now(step))).await
    }

    /// From the intent to the end: tags, check, pointer. May be begun anywhere in between.
    pub(super) async fn carry_out(
        &self,
        at: &Digest,
        entry: &Entry,
        how: How<'_>,
    ) -> Result<(), Error> {
        self.flip(at, entry, Way::Forth, how).await?;
        self.read_back(entry, Way::Forth, how).await?;
        let recorded = self.record(at, entry, "current").await;
        recorded.map_err(|cause| self.unrecorded(Way::Forth, cause))
    }

    /// Sets tags in order, those of one depth together. After one that cannot be set the depths
    /// behind it are left alone.
    async fn flip(&self, at: &Digest, entry: &Entry, way: Way, how: How<'_>) -> Result<(), Error> {
        let mut order: Vec<&Move> = entry.images.iter().collect();
        order.sort_by_key(|step| step.depth);
        if way == Way::Back {
            order.reverse();
        }
        let mut there = 0;
        let mut untouched = true;
        let mut wrong = Vec::new();
        for level in order.chunk_by(|a, b| a.depth == b.depth) {
            if !wrong.is_empty() {
                wrong.extend(level.iter().map(|step| line(step, "not begun")));
                continue;
            }
            if let Err(error) = self.still(at, entry, how.again).await {
                wrong.extend(level.iter().map(|step| line(step, &error)));
                continue;
            }
            let done = join_all(level.iter().map(|step| self.set(step, way, how))).await;
            for (step, one) in level.iter().zip(done) {
                match one {
                    Ok(()) => there += 1,
                    Err(Error::Drift { tags, .. }) => wrong.extend(tags),
                    Err(error) => {
                        untouched = false;
                        wrong.push(line(step, error));
                    }
                }
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        if there == 0 && untouched && !how.again && matches!(self.is_open(at).await, Ok(false)) {
            return Err(self.lost(entry));
        }
        Err(self.between(entry, way, there, wrong))
    }

    async fn set(&self, step: &Move, way: Way, how: How<'_>) -> Result<(), Error> {
        let (from, to) = ends(step, way);
        let (repository, tag) = place(step)?;
        let at = Locator::Tag(tag.clone());
        let found = self.head(&repository, at.clone()).await?;
        let found = found.map(|digest| digest.to_string());
        if found == to && (from == to || !how.again) {
            return Ok(());
        }
        if found != from && found != to && !how.accept_drift {
            let drift = Drift {
                repository: step.repository.clone(),
                tag: step.tag.clone(),
                expected: from.unwrap_or_else(|| "nothing".to_owned()),
                found,
            };
            return Err(Error::Drift {
                channel: self.name.to_owned(),
                tags: vec![drift.to_string()],
            });
        }
        let Some(to) = to else {
            // Not every registry can; whoever aborts is told what is left.
            self.registry.delete_tag(&repository, &tag).await?;
            return Ok(());
        };
        let wanted = digest(&to)?;
        let ready = how.ready.iter().find(|one| one.digest == wanted);
        let manifest = match ready {
            Some(manifest) => manifest.clone(),
            None => self.image(&repository, &wanted).await?,
        };
        self.registry
            .put_manifest(&repository, &at, &manifest)
            .await?;
        Ok(())
    }

    /// All tags once more, after they were set.
    async fn read_back(&self, entry: &Entry, way: Way, how: How<'_>) -> Result<(), Error> {
        let found = join_all(entry.images.iter().map(|step| self.now(step))).await;
        let mut wrong = Vec::new();
        for (step, found) in entry.images.iter().zip(found) {
            let (from, to) = ends(step, way);
            match found {
                Ok(found) if found == to => {}
                // One that could not be taken away is told later.
                Ok(found) if to.is_none() && (found == from || how.accept_drift) => {}
                Ok(found) => {
                    let found = found.unwrap_or_else(|| "nothing".to_owned());
                    wrong.push(line(step, format_args!("it is at {found} now")));
                }
                Err(error) => wrong.push(line(step, error)),
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(self.between(entry, way, entry.images.len() - wrong.len(), wrong)),
        }
    }

    fn between(&self, entry: &Entry, way: Way, there: usize, tags: Vec<String>) -> Error {
        Error::Between {
            channel: self.name.to_owned(),
            way,
            there,
            of: entry.images.len(),
            tags,
        }
    }

    fn unrecorded(&self, way: Way, cause: Error) -> Error {
        Error::Unrecorded {
            channel: self.name.to_owned(),
            way,
            cause: Box::new(cause),
        }
    }

    /// The entry that was begun and not ended, with what was found moved by somebody else.
    async fn begun(&self, accept_drift: bool) -> Result<(Digest, Entry), Error> {
        let Some((at, entry)) = self.open().await? else {
            return Err(Error::NothingPending {
                channel: self.name.to_owned(),
            });
        };
        if !accept_drift {
            return Ok((at, entry));
        }
        let seen = self.seen(&entry).await?;
        let strange = elsewhere(&entry, &seen, |step, found| {
            found == Some(&step.new) || found == step.old.as_ref()
        });
        self.amend(at, entry, &strange).await
    }

    /// Ends what was begun: all tags at the new release.
    pub async fn resume(&self, accept_drift: bool) -> Result<Entry, Error> {
        let (at, entry) = self.begun(accept_drift).await?;
        let how = How {
            again: true,
            accept_drift,
            ready: &[],
        };
        self.carry_out(&at, &entry, how).await?;
        Ok(entry)
    }

    /// Takes back what was begun: all tags as they were.
    pub async fn abort(&self, accept_drift: bool) -> Result<Entry, Error> {
        let (at, entry) = self.begun(accept_drift).await?;
        let how = How {
            again: true,
            accept_drift,
            ready: &[],
        };
        self.flip(&at, &entry, Way::Back, how).await?;
        self.read_back(&entry, Way::Back, how).await?;
        let ended = Entry {
            kind: Kind::Abort,
            previous: Some(at.to_string()),
            ..entry.clone()
        };
        let recorded = self.record(&at, &ended, "aborted").await;
        recorded.map_err(|cause| self.unrecorded(Way::Back, cause))?;
        let seen = self.seen(&entry).await?;
        let left = elsewhere(&entry, &seen, |step, found| {
            step.old.is_some() || found.is_none()
        });
        match left.is_empty() {
            true => Ok(ended),
            false => Err(Error::Left {
                tags: (left.iter())
                    .map(|one| format!("  {}:{}", one.repository, one.tag))
                    .collect(),
            }),
        }
    }
}
