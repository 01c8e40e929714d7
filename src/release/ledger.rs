//! The ledger of a channel: its entries, the claim of the next one, and the pointers that say how a
//! move ended.
//!
//! Main type: [`Channel`]. Called by `tags`, `channel` and `ending`, and by commands that show channels.

use futures_util::future::try_join_all;

use super::Error;
use crate::name::{Digest, Repository};
use crate::record::{Drift, LedgerEntry, TagMove};
use crate::registry::{self, Locator};
use crate::staging::{Document as _, EntryPosition, Staging};

/// A channel and its ledger in staging.
#[derive(Clone, Copy)]
pub struct Channel<'a> {
    /// Where its ledger is.
    pub staging: &'a Staging,
    /// The name of the channel.
    pub name: &'a str,
}

/// An entry and the digest of its manifest.
pub type Entry = (Digest, LedgerEntry);

/// The ends of a channel's ledger at one moment.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// The entry the channel is at.
    pub current: Option<Entry>,
    /// A move that was begun and has not ended: the entry behind the last one that has ended. Writing
    /// it is the intent, so nothing can break between the two.
    pub open: Option<Entry>,
    /// The number of the next entry.
    pub(super) next: u64,
    /// The pointer to `current` was lost.
    is_recovered: bool,
}

/// Returns the tags of an entry that are not as they should be, as they were seen.
pub(super) fn drift_of(
    entry: &LedgerEntry,
    seen: &[Option<Digest>],
    is_right: impl Fn(&TagMove, Option<&Digest>) -> bool,
) -> Vec<Drift> {
    let pairs = entry.images.iter().zip(seen);
    let wrong = pairs.filter(|(step, found)| !is_right(step, found.as_ref()));
    let drift = wrong.map(|(step, found)| Drift {
        repository: step.repository.clone(),
        tag: step.tag.clone(),
        expected: Some(step.new.clone()),
        found: found.clone(),
    });
    drift.collect()
}

/// Whether a tag is where its entry moved it.
pub(super) fn is_moved(step: &TagMove, found: Option<&Digest>) -> bool {
    found == Some(&step.new)
}

impl Channel<'_> {
    async fn entry(&self, place: EntryPosition) -> Result<Option<Entry>, Error> {
        Ok(self.staging.read((self.name, place)).await?)
    }

    /// Returns the entry the channel is at. If the pointer to it was lost, it is found by the channel's tags;
    /// the next move writes the pointer again.
    pub async fn current(&self) -> Result<Option<Entry>, Error> {
        Ok(self.find_current().await?.0)
    }

    /// Returns the entry the channel is at, and whether its pointer was lost.
    async fn find_current(&self) -> Result<(Option<Entry>, bool), Error> {
        let recovered = match self.entry(EntryPosition::Current).await {
            Ok(None) => self.recover().await?,
            Err(Error::Staging(error)) if error.is_broken() => self.recover().await?,
            found => return Ok((found?, false)),
        };
        let is_recovered = recovered.is_some();
        Ok((recovered, is_recovered))
    }

    /// Writes a pointer that was lost again, before anything is moved.
    pub(super) async fn restore_pointer(&self, ledger: &Ledger) -> Result<(), Error> {
        if ledger.is_recovered
            && let Some((at, current)) = &ledger.current
        {
            self.staging
                .tag_as((self.name, EntryPosition::Current), current, at)
                .await?;
        }
        Ok(())
    }

    /// Returns the newest entry all tags of which are where it moved them, for a channel without a pointer;
    /// `None` if the channel never had one.
    async fn recover(&self) -> Result<Option<Entry>, Error> {
        let numbers = self.staging.entry_numbers(self.name).await?;
        // A first move that was begun, or the only one.
        if numbers.last().is_none_or(|last| *last == 1) {
            return Ok(None);
        }
        let mut last = None;
        for number in numbers.into_iter().rev() {
            let Some((at, entry)) = self.entry(EntryPosition::Number(number)).await? else {
                continue;
            };
            if last.is_none() && entry.previous.is_none() {
                // Those before it were taken back.
                return Ok(None);
            }
            last = last.or(Some(number));
            if self.drift(&entry).await?.is_empty() {
                return Ok(Some((at, entry)));
            }
        }
        match last {
            None => Ok(None),
            Some(last) => Err(Error::PointerLost {
                channel: self.name.to_owned(),
                pointer: LedgerEntry::tag((self.name, EntryPosition::Current)),
                last: LedgerEntry::tag((self.name, EntryPosition::Number(last))),
            }),
        }
    }

    /// Returns the ends of the ledger, each of its tags read once.
    pub async fn look(&self) -> Result<Ledger, Error> {
        let aborted = self.entry(EntryPosition::Aborted);
        let ((current, is_recovered), aborted) = tokio::try_join!(self.find_current(), aborted)?;
        let number = |entry: &Option<Entry>| entry.as_ref().map_or(0, |(_, entry)| entry.seq);
        let last = number(&current).max(number(&aborted));
        let next = last.checked_add(1).ok_or_else(|| Error::LastNumber {
            tag: LedgerEntry::tag((self.name, EntryPosition::Number(last))),
        })?;
        let open = self.entry(EntryPosition::Number(next)).await?;
        Ok(Ledger {
            current,
            open,
            next,
            is_recovered,
        })
    }

    /// Returns the move that was begun and has not ended.
    pub async fn open(&self) -> Result<Option<Entry>, Error> {
        Ok(self.look().await?.open)
    }

    /// Returns all entries, newest first.
    pub async fn history(&self) -> Result<Vec<Entry>, Error> {
        let mut list = Vec::new();
        let mut next = self.current().await?;
        while let Some((at, entry)) = next {
            next = self.previous(&entry).await?;
            list.push((at, entry));
        }
        Ok(list)
    }

    pub(super) async fn previous(&self, entry: &LedgerEntry) -> Result<Option<Entry>, Error> {
        match &entry.previous {
            Some(digest) => {
                let at = Locator::Digest(digest.clone());
                Ok(self.staging.read_at(&at).await?)
            }
            None => Ok(None),
        }
    }

    pub(super) async fn head(
        &self,
        repository: &Repository,
        at: Locator,
    ) -> Result<Option<Digest>, Error> {
        let found = self.staging.registry.head_manifest(repository, &at).await?;
        Ok(found.map(|descriptor| descriptor.digest))
    }

    /// Returns the digest a tag is on.
    pub(super) async fn seen(&self, step: &TagMove) -> Result<Option<Digest>, Error> {
        let at = Locator::Tag(step.tag.clone());
        self.head(&step.repository, at).await
    }

    /// Returns the digest each tag of an entry is on.
    pub(super) async fn all_seen(&self, entry: &LedgerEntry) -> Result<Vec<Option<Digest>>, Error> {
        try_join_all(entry.images.iter().map(|step| self.seen(step))).await
    }

    /// Returns the tags of an entry that are elsewhere.
    pub async fn drift(&self, entry: &LedgerEntry) -> Result<Vec<Drift>, Error> {
        let seen = self.all_seen(entry).await?;
        Ok(drift_of(entry, &seen, is_moved))
    }

    /// Writes the intent. Only one promoter gets the number; another finds it taken and has moved
    /// nothing.
    pub(super) async fn claim(&self, entry: &LedgerEntry) -> Result<Digest, Error> {
        let claimed = self.staging.claim_entry(entry).await?;
        claimed.ok_or_else(|| self.lost(entry))
    }

    pub(super) fn lost(&self, entry: &LedgerEntry) -> Error {
        Error::Lost {
            channel: self.name.to_owned(),
            tag: LedgerEntry::tag((self.name, EntryPosition::Number(entry.seq))),
        }
    }

    fn overtaken(&self, entry: &LedgerEntry) -> Error {
        Error::Overtaken {
            channel: self.name.to_owned(),
            tag: LedgerEntry::tag((self.name, EntryPosition::Number(entry.seq))),
        }
    }

    /// Returns whether an entry is the move that was begun and has not ended: it has its number, and no pointer is at
    /// that number or behind it.
    pub(super) async fn is_open(&self, at: &Digest, entry: &LedgerEntry) -> Result<bool, Error> {
        let pointer = async |position| match self.entry(position).await {
            Ok(found) => Ok(found.is_some_and(|(_, ended)| ended.seq >= entry.seq)),
            // It is written again.
            Err(Error::Staging(error)) if error.is_broken() => Ok(false),
            Err(error) => Err(error),
        };
        let tag = LedgerEntry::tag((self.name, EntryPosition::Number(entry.seq)));
        let (found, is_at, is_aborted) = tokio::try_join!(
            self.head(&self.staging.repository, Locator::Tag(tag)),
            pointer(EntryPosition::Current),
            pointer(EntryPosition::Aborted),
        )?;
        Ok(found.as_ref() == Some(at) && !is_at && !is_aborted)
    }

    /// Fails unless a move was found to be the open one.
    pub(super) fn ensure_open(&self, is_open: bool, entry: &LedgerEntry) -> Result<(), Error> {
        if is_open {
            Ok(())
        } else {
            Err(self.overtaken(entry))
        }
    }

    /// Fails unless the number of the entry is still its own; `is_resumed` if another process wrote
    /// it, maybe a moment ago.
    pub(super) async fn ensure_still_owner(
        &self,
        at: &Digest,
        entry: &LedgerEntry,
        is_resumed: bool,
    ) -> Result<(), Error> {
        let tag = LedgerEntry::tag((self.name, EntryPosition::Number(entry.seq)));
        let (registry, repository) = (&self.staging.registry, &self.staging.repository);
        let is_ours = if is_resumed {
            registry.is_at(repository, &tag, at).await?
        } else {
            self.head(repository, Locator::Tag(tag)).await?.as_ref() == Some(at)
        };
        if is_ours {
            Ok(())
        } else {
            Err(self.overtaken(entry))
        }
    }

    /// Sets the pointer that says how a move ended; only the open move may, which the caller checks.
    pub(super) async fn record(
        &self,
        at: &Digest,
        entry: &LedgerEntry,
        pointer: EntryPosition,
    ) -> Result<(), Error> {
        self.staging.tag_as((self.name, pointer), entry, at).await?;
        Ok(())
    }

    /// Adds drift that was accepted to an open entry; where the tag of the entry is immutable, it is
    /// not recorded.
    pub(super) async fn amend(
        &self,
        at: Digest,
        entry: LedgerEntry,
        drift: Vec<Drift>,
    ) -> Result<Entry, Error> {
        if drift.iter().all(|drift| entry.drift.contains(drift)) {
            return Ok((at, entry));
        }
        let mut amended = entry.clone();
        amended.drift.extend(drift);
        let id = (self.name, EntryPosition::Number(entry.seq));
        match self.staging.put(id, &amended).await {
            Ok(digest) => Ok((digest, amended)),
            Err(crate::staging::Error::Registry(registry::Error::Immutable { .. })) => {
                Ok((at, entry))
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::{Commit, Tag};
    use crate::record::MoveKind;

    fn entry() -> LedgerEntry {
        let step = |name: &str| TagMove {
            label: name.to_owned(),
            repository: Repository::parse(&format!("registry.example/{name}")).expect("legal"),
            tag: Tag::parse("stable").expect("a tag"),
            old: None,
            new: Digest::of(name.as_bytes()),
            depth: 0,
        };
        LedgerEntry {
            version: 1,
            kind: MoveKind::Promote,
            channel: "stable".to_owned(),
            seq: 1,
            previous: None,
            release: Digest::of(b"release"),
            commit: Commit::parse("d021570").ok(),
            actor: "kim".to_owned(),
            time: jiff::Timestamp::UNIX_EPOCH,
            reason: None,
            waived: Vec::new(),
            required: Vec::new(),
            drift: Vec::new(),
            images: vec![step("a"), step("b"), step("c")],
        }
    }

    #[test]
    fn drift_is_every_tag_that_is_elsewhere_or_gone() {
        let seen = [Some(Digest::of(b"a")), Some(Digest::of(b"another")), None];
        let drift = drift_of(&entry(), &seen, is_moved);
        let shown: Vec<String> = drift
            .iter()
            .map(|drift| drift.repository.to_string())
            .collect();
        assert_eq!(shown, ["registry.example/b", "registry.example/c"]);
        assert_eq!(drift[0].expected, Some(Digest::of(b"b")));
        assert_eq!(drift[0].found, Some(Digest::of(b"another")));
        assert_eq!(drift[1].found, None);
    }

    #[test]
    fn tags_where_they_belong_are_no_drift() {
        let seen = ["a", "b", "c"].map(|name| Some(Digest::of(name.as_bytes())));
        assert_eq!(drift_of(&entry(), &seen, is_moved), []);
    }
}
