//! Tags that are more than names: one that only its first writer gets, one that is taken away.
//!
//! Called by `release`: a channel's ledger is claimed number by number, and an aborted first
//! promotion leaves no tags.

use std::time::{Duration, Instant};

use reqwest::Method;

use super::counts::Kind;
use super::{Descriptor, Error, Locator, Manifest, Registry, push_scope};
use crate::name::{Digest, Repository, Tag};

impl Registry {
    /// Writes a tag that is free; false if another writer has it.
    ///
    /// Where tags are immutable the registry refuses the second writer. Elsewhere the last of those
    /// who saw it free has it, so it is looked at again after all of them must have written. Who
    /// needs longer than [`contest`](super::Options::contest), and than three times what we needed,
    /// from the look to the write is not noticed here: no registry writes "only if it is free".
    pub async fn claim_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
    ) -> Result<bool, Error> {
        let at = Locator::Tag(tag.clone());
        let look = || self.head_with(repository, &at, push_scope(repository), true);
        let start = Instant::now();
        if look().await?.is_some() {
            return Ok(false);
        }
        match self.write(repository, &at, manifest, true).await {
            Ok(()) => {}
            Err(Error::Overwritten { .. } | Error::Immutable { .. }) => return Ok(false),
            Err(error) => return Err(error),
        }
        let wait = self.transport.contest().max(start.elapsed() * 3);
        tokio::time::sleep(wait).await;
        let found = look().await?;
        Ok(found.is_some_and(|found| found.digest == manifest.digest))
    }

    /// Takes a tag away, never the manifest behind it; false where it stays
    /// (distribution 2.8 answers 400, others 405, an account may lack the right).
    pub async fn delete_tag(&self, repository: &Repository, tag: &Tag) -> Result<bool, Error> {
        let at = Locator::Tag(tag.clone());
        let operation = "take away the tag";
        let mut call = self.manifest_call(repository, &at, Kind::Delete, Method::DELETE, operation);
        let path = repository.path();
        call.scopes = vec![format!("repository:{path}:pull,push,delete")];
        call.wanted = &[200, 202, 204, 400, 401, 403, 404, 405];
        let gone = match self.transport.send(&call).await {
            Ok(reply) => matches!(reply.status, 200 | 202 | 204 | 404),
            // A token server may know of nobody who may delete.
            Err(Error::Unauthorized { .. }) => false,
            Err(error) => return Err(error),
        };
        let left = self.shown(repository, &at, |found| found.is_none() || !gone);
        Ok(left.await?.is_none())
    }

    /// Whether a tag is at a digest; it may have been written a moment ago, so it is waited for.
    pub async fn is_at(
        &self,
        repository: &Repository,
        tag: &Tag,
        digest: &Digest,
    ) -> Result<bool, Error> {
        let at = Locator::Tag(tag.clone());
        let right = |found: Option<&Descriptor>| found.is_some_and(|found| found.digest == *digest);
        let found = self.shown(repository, &at, right).await?;
        Ok(right(found.as_ref()))
    }

    /// What a tag is, once it is what it must be, or has been waited for long enough.
    async fn shown(
        &self,
        repository: &Repository,
        at: &Locator,
        enough: impl Fn(Option<&Descriptor>) -> bool,
    ) -> Result<Option<Descriptor>, Error> {
        let start = Instant::now();
        loop {
            let found = self.head_with(repository, at, push_scope(repository), true);
            let found = found.await?;
            if enough(found.as_ref()) || start.elapsed() >= self.transport.settling() {
                return Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
