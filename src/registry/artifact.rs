//! Small JSON documents kept in a registry: an OCI image manifest with an artifact type, an empty
//! config and the document as its first layer (image-spec v1.1, "Guidelines for Artifact Usage"). Registries that refuse
//! that get it in the form of an image; it is read by its first layer in both.
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
        let layers = (self.push_parts(repository, kind, bytes.into(), attached)).await?;
        let (manifest, ()) = self
            .write_artifact(repository, kind, &layers, async |manifest| {
                for tag in tags {
                    self.put_manifest(repository, &Locator::Tag(tag.clone()), manifest)
                        .await?;
                }
                Ok(())
            })
            .await?;
        Ok(manifest.digest)
    }

    /// Writes the manifest of a document. If the registry refuses it, it is written in the form of an image; if that works,
    /// later documents there have that form at once.
    async fn write_artifact<T>(
        &self,
        repository: &Repository,
        kind: &str,
        layers: &[Descriptor],
        write: impl AsyncFn(&Manifest) -> Result<T, Error>,
    ) -> Result<(Manifest, T), Error> {
        let plain = async || {
            let manifest = Manifest::plain_artifact(kind, layers);
            let config = Bytes::from_static(oci::PLAIN_CONFIG);
            self.push_bytes(repository, &config).await?;
            let written = write(&manifest).await?;
            Ok::<_, Error>((manifest, written))
        };
        if self.plain.has(repository.host()) {
            return plain().await;
        }
        let manifest = Manifest::artifact(kind, layers);
        let config = Bytes::from_static(oci::EMPTY_CONFIG);
        self.push_bytes(repository, &config).await?;
        let error = match write(&manifest).await {
            Ok(written) => return Ok((manifest, written)),
            Err(error) => error,
        };
        if is_refusal_of_form(&error)
            && let Ok(written) = plain().await
        {
            self.plain.add(repository.host());
            return Ok(written);
        }
        Err(error)
    }

    /// Writes a document under another tag. If it is there as `digest`, it keeps the form that it has, whatever form this
    /// process would choose.
    pub async fn tag_document(
        &self,
        repository: &Repository,
        tag: &Tag,
        kind: &str,
        bytes: impl Into<Bytes>,
        digest: &Digest,
    ) -> Result<Digest, Error> {
        let bytes = bytes.into();
        let layers = [Descriptor::of(kind, &bytes)];
        let forms = [
            Manifest::artifact(kind, &layers),
            Manifest::plain_artifact(kind, &layers),
        ];
        let Some(manifest) = forms.into_iter().find(|form| form.digest == *digest) else {
            let tags = std::slice::from_ref(tag);
            return self.put_document(repository, tags, kind, bytes).await;
        };
        self.put_manifest(repository, &Locator::Tag(tag.clone()), &manifest)
            .await?;
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
        let layers = (self.push_parts(repository, kind, bytes.into(), attached)).await?;
        let (manifest, claimed) = self
            .write_artifact(repository, kind, &layers, async |manifest| {
                self.claim_tag(repository, tag, manifest).await
            })
            .await?;
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

    /// Sends the blobs of a document, without its config; returns their descriptors.
    async fn push_parts(
        &self,
        repository: &Repository,
        kind: &str,
        bytes: Bytes,
        attached: &[Attachment],
    ) -> Result<Vec<Descriptor>, Error> {
        let mut layers = vec![Descriptor::of(kind, &bytes)];
        let attachments = attached.iter();
        layers
            .extend(attachments.map(|blob| Descriptor::of(blob.media_type.as_str(), &blob.bytes)));
        let contents = std::iter::once(&bytes).chain(attached.iter().map(|blob| &blob.bytes));
        for content in contents {
            self.push_bytes(repository, content).await?;
        }
        Ok(layers)
    }

    async fn push_bytes(&self, repository: &Repository, bytes: &Bytes) -> Result<(), Error> {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        let content = Content::Bytes(bytes.clone());
        self.push_blob(repository, &digest, size, &content).await?;
        Ok(())
    }
}

/// Whether a registry refuses a manifest because of its types, as opposed to its tag or a fault on the way.
fn is_refusal_of_form(error: &Error) -> bool {
    let Error::Refused { answer, .. } = error else {
        return false;
    };
    let has_code = |code| answer.has_code(code);
    answer.status == 415
        || matches!(answer.status, 400 | 422)
            && (has_code("MANIFEST_INVALID") || has_code("UNSUPPORTED"))
}
