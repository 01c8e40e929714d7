//! The entries of the channels' ledgers. The rules of moving a channel are in `release`.

use super::Document;
use crate::name::Tag;
use crate::record::LedgerEntry;
use crate::tags;

/// A place of an entry in a channel's ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The entry with this number, from 1.
    Number(u64),
    /// The entry the channel is at.
    Current,
    /// The entry that was taken back last.
    Aborted,
}

impl Document for LedgerEntry {
    /// The name of the channel, and the place in its ledger.
    type Id<'a> = (&'a str, Place);
    const MEDIA_TYPE: &'static str = "application/vnd.laminate.channel.v1+json";

    fn tag((channel, place): Self::Id<'_>) -> Tag {
        match place {
            Place::Number(number) => tags::entry(channel, number),
            Place::Current => tags::current(channel),
            Place::Aborted => tags::aborted(channel),
        }
    }
}
