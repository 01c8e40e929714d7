//! The entries of the channels' ledgers. The rules of moving a channel are in `release`.

use std::collections::BTreeSet;

use super::{Document, Error, Staging};
use crate::name::Tag;
use crate::record::LedgerEntry;
use crate::tags;

/// The position of an entry in a channel's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryPosition {
    /// The entry with this number, from 1.
    Number(u64),
    /// The entry the channel is at.
    Current,
    /// The entry that was taken back last.
    Aborted,
}

impl Document for LedgerEntry {
    /// The name of the channel, and the position in its ledger.
    type Id<'a> = (&'a str, EntryPosition);
    const MEDIA_TYPE: &'static str = "application/vnd.laminate.channel.v1+json";

    /// An adoption has no commit.
    const VERSION: u32 = 2;

    fn version(&self) -> u32 {
        self.version.max(Self::VERSION)
    }

    fn tag((channel, position): Self::Id<'_>) -> Tag {
        match position {
            EntryPosition::Number(number) => tags::entry(channel, number),
            EntryPosition::Current => tags::current(channel),
            EntryPosition::Aborted => tags::aborted(channel),
        }
    }

    /// Tags are made from the channel of an entry, so it must be one that has this tag.
    fn can_have(&self, tag: &Tag) -> bool {
        tags::is_of_channel(tag, &self.channel, self.seq)
    }
}

impl Staging {
    /// Returns the numbers of all entries of a channel's ledger.
    pub async fn entry_numbers(&self, channel: &str) -> Result<BTreeSet<u64>, Error> {
        let tags = self.registry.tags(&self.repository).await?;
        let numbers = tags.iter();
        Ok(numbers
            .filter_map(|tag| tags::entry_number(channel, tag))
            .collect())
    }
}
