//! Small JSON documents kept in a registry: an OCI image manifest with an artifact type, an empty
//! config and the document as its one layer (image-spec v1.1, "Guidelines for Artifact Usage").

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Content, Error, Locator, Manifest, Registry, attempt};
use crate::name::{Digest, Repository, Tag};

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The largest document read, bytes.
const LIMIT: u64 = 256 << 20;

/// A document and the digest of its manifest, which names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub digest: Digest,
    pub bytes: Bytes,
}

/// A blob a document takes along: as long as the document is there, so is it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub media_type: String,
    pub bytes: Bytes,
}

/// The manifest of a document of a type.
fn manifest(kind: &str, bytes: &Bytes, attached: &[Attachment], empty: &Bytes) -> Manifest {
    let descriptor = |media: &str, content: &Bytes| {
        json!({
            "mediaType": media,
            "digest": Digest::of(content).as_str(),
            "size": content.len(),
        })
    };
    let mut layers = vec![descriptor(kind, bytes)];
    layers.extend(
        attached
            .iter()
            .map(|one| descriptor(&one.media_type, &one.bytes)),
    );
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": kind,
        "config": descriptor(EMPTY_TYPE, empty),
        "layers": layers,
    });
    Manifest::new(manifest.to_string(), MANIFEST_TYPE)
}

impl Registry {
    /// Reads a document; `None` if there is none.
    pub async fn document(
        &self,
        repository: &Repository,
        at: &Locator,
    ) -> Result<Option<Document>, Error> {
        let Some(found) = self.manifest(repository, at).await? else {
            return Ok(None);
        };
        let whole: Value = serde_json::from_slice(&found.bytes).unwrap_or_default();
        let layer = whole["layers"][0]["digest"]
            .as_str()
            .and_then(|digest| Digest::parse(digest).ok());
        let Some(layer) = layer else {
            return Err(Error::Protocol {
                attempt: attempt("read the document", repository, &format!(":{at}")),
                problem: "it is an artifact without a layer".to_owned(),
            });
        };
        let bytes = self.blob(repository, &layer, LIMIT).await?;
        Ok(Some(Document {
            digest: found.digest,
            bytes,
        }))
    }

    /// Writes a document under tags, in their order; each is read back.
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

    /// The same, with blobs beside it.
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

    /// Writes a document under a tag that is free; `None` if another writer has it.
    pub async fn claim_document(
        &self,
        repository: &Repository,
        tag: &Tag,
        kind: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<Option<Digest>, Error> {
        let manifest = self.push_parts(repository, kind, bytes.into(), &[]).await?;
        let claimed = self.claim_tag(repository, tag, &manifest).await?;
        Ok(claimed.then_some(manifest.digest))
    }

    /// Sends the blobs of a document; what is left to write is its manifest.
    async fn push_parts(
        &self,
        repository: &Repository,
        kind: &str,
        bytes: Bytes,
        attached: &[Attachment],
    ) -> Result<Manifest, Error> {
        let empty = Bytes::from_static(b"{}");
        let contents = [&bytes, &empty].into_iter();
        for content in contents.chain(attached.iter().map(|one| &one.bytes)) {
            let digest = Digest::of(content);
            let size = content.len() as u64;
            self.push_blob(repository, &digest, size, &Content::Bytes(content.clone()))
                .await?;
        }
        Ok(manifest(kind, &bytes, attached, &empty))
    }
}
