//! Small JSON documents kept in a registry: an OCI image manifest with an artifact type, an empty
//! config and the document as its first layer (image-spec v1.1, "Guidelines for Artifact Usage").
//!
//! Main type: [`Document`]. Operations of [`Registry`], called by `gather` and `release`.

use bytes::Bytes;

use super::blobs::Content;
use super::client::{Locator, Registry, attempt};
use super::error::{Error, Operation};
use crate::name::{Digest, Repository, Tag};
use crate::oci::{self, Descriptor, Image, Manifest};

/// The largest document that is read, bytes.
const LIMIT: u64 = 256 << 20;

/// A document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its bytes, JSON.
    pub bytes: Bytes,
}

/// A blob that is kept in the registry as long as the document it is attached to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The media type of the blob.
    pub media_type: String,
    /// The bytes of the blob.
    pub bytes: Bytes,
}

impl Registry {
    /// Reads a document; `None` if the registry does not have it.
    pub async fn document(
        &self,
        repository: &Repository,
        at: &Locator,
    ) -> Result<Option<Document>, Error> {
        let Some(found) = self.manifest(repository, at).await? else {
            return Ok(None);
        };
        let problem = |problem: String| Error::Protocol {
            attempt: attempt(Operation::ReadDocument, repository, &format!(":{at}")),
            problem,
        };
        let image = Image::parse(&found.bytes).map_err(|error| problem(error.to_string()))?;
        let layer = image.layers.first();
        let layer = layer.ok_or_else(|| problem("the artifact has no layer".to_owned()))?;
        let bytes = self.blob(repository, &layer.digest, LIMIT).await?;
        Ok(Some(Document {
            digest: found.digest,
            bytes,
        }))
    }

    /// Writes a document of a type under tags, in their order; each is read back. Returns its digest.
    pub async fn put_document(
        &self,
        repository: &Repository,
        tags: &[Tag],
        kind: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<Digest, Error> {
        self.put_document_with(repository, tags, kind, bytes, &[])
            .await
    }

    /// Writes a document as [`put_document`](Self::put_document) does, with blobs attached to it.
    pub async fn put_document_with(
        &self,
        repository: &Repository,
        tags: &[Tag],
        kind: &str,
        bytes: impl Into<Bytes>,
        attached: &[Attachment],
    ) -> Result<Digest, Error> {
        let manifest = (self.push_parts(repository, kind, bytes.into(), attached)).await?;
        for tag in tags {
            self.put_manifest(repository, &Locator::Tag(tag.clone()), &manifest)
                .await?;
        }
        Ok(manifest.digest)
    }

    /// Writes a document with blobs attached to it under a tag that is free, and returns its digest; `None` if
    /// another writer has the tag.
    pub async fn claim_document_with(
        &self,
        repository: &Repository,
        tag: &Tag,
        kind: &str,
        bytes: impl Into<Bytes>,
        attached: &[Attachment],
    ) -> Result<Option<Digest>, Error> {
        let manifest = (self.push_parts(repository, kind, bytes.into(), attached)).await?;
        let claimed = self.claim_tag(repository, tag, &manifest).await?;
        Ok(claimed.then_some(manifest.digest))
    }

    /// Writes a document under a tag that is free, and returns its digest; `None` if another writer
    /// has the tag.
    pub async fn claim_document(
        &self,
        repository: &Repository,
        tag: &Tag,
        kind: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<Option<Digest>, Error> {
        self.claim_document_with(repository, tag, kind, bytes, &[])
            .await
    }

    /// Sends the blobs of a document; returns its manifest, which is still to be written.
    async fn push_parts(
        &self,
        repository: &Repository,
        kind: &str,
        bytes: Bytes,
        attached: &[Attachment],
    ) -> Result<Manifest, Error> {
        let mut layers = vec![Descriptor::of(kind, &bytes)];
        let attachments = attached.iter();
        layers
            .extend(attachments.map(|blob| Descriptor::of(blob.media_type.as_str(), &blob.bytes)));
        let empty = Bytes::from_static(oci::EMPTY_CONFIG);
        let contents = [&bytes, &empty].into_iter();
        for content in contents.chain(attached.iter().map(|blob| &blob.bytes)) {
            let digest = Digest::of(content);
            let size = content.len() as u64;
            self.push_blob(repository, &digest, size, &Content::Bytes(content.clone()))
                .await?;
        }
        Ok(Manifest::artifact(kind, &layers))
    }
}
