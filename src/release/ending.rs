//! Ends a move that was begun and broke: forward (`--resume`) or back (`--abort`).

use super::error::{Error, Way};
use super::ledger::{Channel, Entry, drift_of};
use super::tags::MoveOptions;
use crate::name::Reference;
use crate::record::{Drift, LedgerEntry, MoveKind, TagMove};
use crate::staging::EntryPosition;

impl Channel<'_> {
    /// Returns the entry that was begun and has not ended, with drift that is accepted added to it.
    async fn begun(&self, accept_drift: bool) -> Result<Entry, Error> {
        let ledger = self.look().await?;
        let Some((at, entry)) = ledger.open.clone() else {
            return Err(Error::NothingPending {
                channel: self.name.to_owned(),
            });
        };
        self.restore_pointer(&ledger).await?;
        if !accept_drift {
            return Ok((at, entry));
        }
        let seen = self.all_seen(&entry).await?;
        let drift = drift_of(&entry, &seen, |step, found| {
            found == Some(&step.new) || found == step.old.as_ref()
        });
        self.amend(at, entry, drift).await
    }

    /// Ends what was begun: all tags at the new release.
    pub async fn resume(&self, accept_drift: bool) -> Result<LedgerEntry, Error> {
        let (at, entry) = self.begun(accept_drift).await?;
        self.carry_out(&at, &entry, MoveOptions::resumed(accept_drift))
            .await?;
        Ok(entry)
    }

    /// Takes back what was begun: all tags as they were.
    pub async fn abort(&self, accept_drift: bool) -> Result<LedgerEntry, Error> {
        let (at, entry) = self.begun(accept_drift).await?;
        let options = MoveOptions::resumed(accept_drift);
        let mut own = entry.clone();
        if entry.kind == MoveKind::Adopt {
            // It moved no tag: those that were there may be anywhere by now, and stay.
            own.images.retain(TagMove::is_change);
        }
        self.set_all(&at, &own, Way::Back, options).await?;
        self.read_back(&own, Way::Back, options).await?;
        let ended = LedgerEntry {
            kind: MoveKind::Abort,
            previous: Some(at.clone()),
            ..entry.clone()
        };
        let recorded = async {
            self.ensure_open(self.is_open(&at, &ended).await?, &ended)?;
            self.record(&at, &ended, EntryPosition::Aborted).await
        };
        let recorded = recorded.await;
        recorded.map_err(|cause| self.unrecorded(Way::Back, cause))?;
        let seen = self.all_seen(&entry).await?;
        let left = drift_of(&entry, &seen, |step, found| {
            step.old.is_some() || found.is_none()
        });
        if left.is_empty() {
            return Ok(ended);
        }
        let tag = |left: Drift| Reference {
            repository: left.repository,
            tag: Some(left.tag),
            digest: None,
        };
        Err(Error::Left {
            tags: left.into_iter().map(tag).collect(),
        })
    }
}
