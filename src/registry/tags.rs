//! Tags that only their first writer gets, and tags that are deleted.
//!
//! Operations of [`Registry`]. Called by `release`: a channel's ledger is claimed number by number, and
//! an aborted first promotion leaves no tags.

use std::time::Instant;

use reqwest::Method;

use super::client::{Locator, Registry, attempt, delete_scope, push_scope};
use super::error::{Error, Operation};
use super::manifests::{Before, ReadBack, Tries};
use super::settling::Settling;
use crate::name::{Digest, Repository, Tag};
use crate::oci::{Descriptor, Manifest};

impl Registry {
    /// Writes a tag that is free; returns false if another writer has it.
    ///
    /// Where tags are immutable the registry refuses the second writer. Elsewhere the last of those
    /// that saw it free has it, so it is read back after all of them must have written. A writer
    /// that takes longer from its look-up to its write than [`contest`](super::Options::contest), and
    /// than three times what this one took, is not noticed: registries have no conditional write.
    pub async fn claim_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
    ) -> Result<bool, Error> {
        let read_back = ReadBack::AfterOthers(Instant::now());
        self.write_free(repository, tag, manifest, read_back).await
    }

    /// Writes a tag that is free as far as the caller knows, and reads it back; returns false if another writer has it.
    ///
    /// If `is_alone` is true once it is written, every other writer sees it first, so there is no wait. Otherwise it is read
    /// back after the same wait as in [`claim_tag`](Self::claim_tag).
    pub async fn claim_tag_alone(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
        is_alone: impl AsyncFn() -> bool,
    ) -> Result<bool, Error> {
        let begun = Instant::now();
        if !self.write_free_unread(repository, tag, manifest).await? {
            return Ok(false);
        }
        let at = Locator::Tag(tag.clone());
        let read = async || {
            let attempt = attempt(Operation::WriteManifest, repository, &format!(":{tag}"));
            let expected = (&manifest.digest, &Before::Free);
            let read = self.read_back(repository, &at, attempt, expected, ReadBack::Now);
            match read.await {
                Ok(()) => Ok(true),
                Err(Error::Overwritten { .. }) => Ok(false),
                Err(error) => Err(error),
            }
        };
        let (is_ours, is_alone) = tokio::join!(read(), is_alone());
        let is_ours = is_ours?;
        if is_alone || !is_ours {
            return Ok(is_ours);
        }
        self.wait_for_others(begun).await;
        read().await
    }

    /// Writes a tag that is free and reads it back; returns false if another writer has it. Unlike
    /// [`claim_tag`](Self::claim_tag) it does not wait for other writers that saw the tag free.
    pub async fn write_if_free(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
    ) -> Result<bool, Error> {
        self.write_free(repository, tag, manifest, ReadBack::Now)
            .await
    }

    /// Writes a tag that was free when the caller looked it up, and who reads it back; returns false if the registry
    /// refuses it as taken, or if it is found on another manifest after a fault.
    pub async fn write_free_unread(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
    ) -> Result<bool, Error> {
        self.write_new(repository, tag, manifest, ReadBack::Later)
            .await
    }

    async fn write_free(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
        read_back: ReadBack,
    ) -> Result<bool, Error> {
        let at = Locator::Tag(tag.clone());
        let look = self.head_with(repository, &at, push_scope(repository), Tries::Many);
        if look.await?.is_some() {
            return Ok(false);
        }
        self.write_new(repository, tag, manifest, read_back).await
    }

    async fn write_new(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
        read_back: ReadBack,
    ) -> Result<bool, Error> {
        let at = Locator::Tag(tag.clone());
        let written = self.write(repository, &at, manifest, &Before::Free, read_back);
        match written.await {
            Ok(()) => Ok(true),
            Err(Error::Overwritten { .. } | Error::Immutable { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Deletes a tag, never the manifest it is at; returns false where it stays (distribution 2.8
    /// answers 400, others 405, an account may lack the right).
    pub async fn delete_tag(&self, repository: &Repository, tag: &Tag) -> Result<bool, Error> {
        let at = Locator::Tag(tag.clone());
        let operation = Operation::DeleteTag;
        let mut call = self.manifest_call(repository, &at, Method::DELETE, operation);
        call.scopes = vec![delete_scope(repository)];
        call.expected = &[200, 202, 204, 400, 401, 403, 404, 405];
        let gone = match self.transport.send(&call).await {
            Ok(reply) => matches!(reply.status, 200 | 202 | 204 | 404),
            // A token server may refuse the right to delete to everyone.
            Err(Error::Unauthorized { .. }) => false,
            Err(error) => return Err(error),
        };
        let left = self.shown(repository, &at, |found| found.is_none() || !gone);
        Ok(left.await?.is_none())
    }

    /// Writes a tag that the caller reads back, by [`settled_tag`](Self::settled_tag).
    pub async fn put_tag_unread(
        &self,
        repository: &Repository,
        tag: &Tag,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let at = Locator::Tag(tag.clone());
        let (before, read_back) = (Before::Unknown, ReadBack::Later);
        self.write(repository, &at, manifest, &before, read_back)
            .await
    }

    /// Reads back a tag that was written: returns what it is at, once that is the digest `ours` or another writer's. What
    /// it was `before` may be shown for a while; if that is not known, it may be anything.
    pub async fn settled_tag(
        &self,
        repository: &Repository,
        tag: &Tag,
        ours: &Digest,
        before: Option<Option<&Digest>>,
    ) -> Result<Option<Digest>, Error> {
        let at = Locator::Tag(tag.clone());
        let settled = |found: Option<&Descriptor>| {
            let found = found.map(|found| &found.digest);
            let is_others = before.is_some_and(|before| found.is_some() && found != before);
            found == Some(ours) || is_others
        };
        let found = self.shown(repository, &at, settled).await?;
        Ok(found.map(|found| found.digest))
    }

    /// Returns whether a tag is at a digest. It may have been written a moment ago, so it is waited
    /// for.
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

    /// Looks a tag up until it is as expected, or the time to settle has passed.
    async fn shown(
        &self,
        repository: &Repository,
        at: &Locator,
        enough: impl Fn(Option<&Descriptor>) -> bool,
    ) -> Result<Option<Descriptor>, Error> {
        let mut settling = Settling::begin(self.transport.options.settling);
        loop {
            let (scope, is_last) = (push_scope(repository), settling.is_last());
            let found = self.head_with(repository, at, scope, Tries::Many).await?;
            if enough(found.as_ref()) || is_last {
                return Ok(found);
            }
            settling.pause().await;
        }
    }
}
