//! How many requests were sent and how many bytes of blobs moved: for reports and for tests.

use std::sync::atomic::{AtomicU64, Ordering};

/// Requests sent since the client was made, each try counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub manifest_heads: u64,
    pub manifest_gets: u64,
    pub manifest_puts: u64,
    pub blob_heads: u64,
    pub blob_gets: u64,
    /// Upload sessions asked for, other than mounts.
    pub blob_posts: u64,
    pub blob_puts: u64,
    pub mounts: u64,
    /// Upload sessions given back.
    pub cancels: u64,
    pub tag_lists: u64,
    /// Tags taken away.
    pub deletes: u64,
    pub tokens: u64,
    /// Tries after the first.
    pub retries: u64,
    /// Bytes of blobs sent and received.
    pub blob_bytes_up: u64,
    pub blob_bytes_down: u64,
}

impl Counts {
    /// All requests, of every kind.
    pub fn requests(&self) -> u64 {
        self.manifest_heads
            + self.manifest_gets
            + self.manifest_puts
            + self.blob_heads
            + self.blob_gets
            + self.blob_posts
            + self.blob_puts
            + self.mounts
            + self.cancels
            + self.tag_lists
            + self.deletes
            + self.tokens
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    ManifestHead,
    ManifestGet,
    ManifestPut,
    BlobHead,
    BlobGet,
    BlobPost,
    BlobPut,
    Mount,
    Cancel,
    TagList,
    Delete,
    Token,
}

#[derive(Default)]
pub(super) struct Counter {
    sent: [AtomicU64; 12],
    retries: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Counter {
    pub fn sent(&self, kind: Kind) {
        self.sent[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub fn up(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn down(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn counts(&self) -> Counts {
        let sent = |kind: Kind| self.sent[kind as usize].load(Ordering::Relaxed);
        Counts {
            manifest_heads: sent(Kind::ManifestHead),
            manifest_gets: sent(Kind::ManifestGet),
            manifest_puts: sent(Kind::ManifestPut),
            blob_heads: sent(Kind::BlobHead),
            blob_gets: sent(Kind::BlobGet),
            blob_posts: sent(Kind::BlobPost),
            blob_puts: sent(Kind::BlobPut),
            mounts: sent(Kind::Mount),
            cancels: sent(Kind::Cancel),
            tag_lists: sent(Kind::TagList),
            deletes: sent(Kind::Delete),
            tokens: sent(Kind::Token),
            retries: self.retries.load(Ordering::Relaxed),
            blob_bytes_up: self.up.load(Ordering::Relaxed),
            blob_bytes_down: self.down.load(Ordering::Relaxed),
        }
    }
}
