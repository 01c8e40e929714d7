//! Runs that publish the same commit or move the same channel at the same time find each other: each announces itself by a tag of its own before it
//! writes anything that only one of them may write.
//!
//! A run writes its tag first and lists the tags then. If the list has no other run, each other run begins after the list
//! was made, and finds this one. So at most one run is alone, however slow any of them is. The list counts only if it has
//! the run's own tag: it then has all that were written before.

use super::{Document as _, EntryPosition, Error, Staging};
use crate::name::{Commit, Digest, Tag};
use crate::record::LedgerEntry;
use crate::registry::Locator;
use crate::tags;

/// The media type of the document that an announcement is on; all have the same one.
const MEDIA_TYPE: &str = "application/vnd.laminate.announcement.v1+json";

/// A run that has announced that it publishes a commit or moves a channel.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Its own tag.
    tag: Tag,
    /// What sorts before the tags of all runs that do the same, and is the beginning of them.
    before: Tag,
    /// The tag that its release or its entry gets.
    claimed: Tag,
}

impl Staging {
    /// Announces that this run publishes a commit. The tag stays: a later run of the commit is not alone.
    pub async fn announce(&self, commit: &Commit, attempt: u32) -> Result<Announcement, Error> {
        let announced = Announcement {
            tag: tags::announcement(commit, attempt, fastrand::u128(..)),
            before: tags::before_releases(commit),
            claimed: tags::release(commit, attempt),
        };
        self.write_announcement(announced).await
    }

    async fn write_announcement(&self, announced: Announcement) -> Result<Announcement, Error> {
        let document = r#"{"version":1}"#;
        let written = self.registry.put_document_unread(
            &self.repository,
            &announced.tag,
            MEDIA_TYPE,
            document,
        );
        written.await?;
        Ok(announced)
    }

    /// Writes the next entry of a channel's ledger if its number is free; `None` if another run has it. This run announces
    /// itself first: if no other one does, it does not wait for others.
    pub async fn claim_entry(&self, entry: &LedgerEntry) -> Result<Option<Digest>, Error> {
        let id = (entry.channel.as_str(), EntryPosition::Number(entry.seq));
        let claimed = LedgerEntry::tag(id);
        let Some(tag) = tags::entry_announcement(&entry.channel, entry.seq, fastrand::u64(..))
        else {
            return self.claim(id, entry).await;
        };
        let announced = Announcement {
            tag,
            before: claimed.clone(),
            claimed: claimed.clone(),
        };
        let announced = self.write_announcement(announced).await?;
        let at = Locator::Tag(claimed.clone());
        let (registry, repository) = (&self.registry, &self.repository);
        if registry.head_manifest(repository, &at).await?.is_some() {
            return Ok(None);
        }
        let document = (LedgerEntry::MEDIA_TYPE, super::bytes(entry).into());
        let is_alone = Some(async || self.is_alone(&announced).await);
        let written = registry.claim_document_with(repository, &claimed, document, &[], is_alone);
        Ok(written.await?)
    }

    /// Whether it is certain that no other run has begun to publish the commit, and no release of it is recorded.
    pub async fn is_first(&self, announced: &Announcement) -> bool {
        let found = self.rivals(announced).await;
        found.is_some_and(|found| found.is_empty())
    }

    /// Whether no release of the commit is recorded; false if that is not known.
    pub async fn is_unrecorded(&self, announced: &Announcement) -> bool {
        let at = Locator::Tag(announced.claimed.clone());
        let found = self.registry.head_manifest(&self.repository, &at).await;
        matches!(found, Ok(None))
    }

    /// Whether it is certain that no other run has begun to do the same.
    pub async fn is_alone(&self, announced: &Announcement) -> bool {
        let found = self.rivals(announced).await;
        found.is_some_and(|found| found.iter().all(|tag| *tag == announced.claimed))
    }

    /// Returns the tags of other runs and of the release; `None` if they are not known for certain. A list that cannot be
    /// read is not a fault: the caller then waits for others.
    async fn rivals(&self, announced: &Announcement) -> Option<Vec<Tag>> {
        let is_near = |tag: &Tag| tag.as_str().starts_with(announced.before.as_str());
        let listed = self
            .registry
            .tags_behind(&self.repository, &announced.before, is_near)
            .await;
        let listed = listed.ok().flatten()?;
        let is_whole = listed.contains(&announced.tag);
        let is_rival = |tag: &Tag| *tag == announced.claimed || tags::is_rival(tag, &announced.tag);
        let rivals = listed
            .into_iter()
            .filter(|tag| *tag != announced.tag && is_rival(tag));
        is_whole.then(|| rivals.collect())
    }
}
