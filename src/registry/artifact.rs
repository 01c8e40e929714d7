//! JSON documents kept in a registry: an OCI image manifest with an artifact type, an empty config and the document
//! (image-spec v1.1, "Guidelines for Artifact Usage"). A small one is an annotation of the manifest, a larger one the first
//! layer. Registries that refuse that get it in the form of an image, as the first layer.
//!
//! Main type: [`Document`]. Operations of [`Registry`], called by `gather` and `release`.

use std::time::Instant;

use bytes::Bytes;
use futures_util::future::try_join_all;

use super::blobs::Content;
use super::client::{Locator, Registry, attempt};
use super::error::{Error, Operation};
use super::manifests::{Before, ReadBack};
use crate::name::{Digest, Repository, Tag};
use crate::oci::{self, Descriptor, Image, Manifest};

/// The largest document that is read, bytes.
const LIMIT: u64 = 256 << 20;
/// The largest manifest of an inline document, bytes. Registries take manifests of 4 MiB (distribution-spec, "Pushing
/// Manifests").
const INLINE_LIMIT: usize = 512 << 10;

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

/// A document that was written and is not read back yet.
#[derive(Debug)]
#[must_use = "it is to be read back"]
pub struct Unsettled {
    repository: Repository,
    tag: Tag,
    digest: Digest,
    before: Before,
    /// When others must have written.
    end: Instant,
}

/// The form of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// It is an annotation of its manifest.
    Inline,
    /// It is the first layer of an artifact.
    Artifact,
    /// It is the first layer of an image.
    Plain,
}

/// A document to write.
struct Parts<'a> {
    /// The type.
    kind: &'a str,
    /// The JSON.
    bytes: Bytes,
    /// The blobs that are kept with it.
    attached: Vec<Descriptor>,
}

impl Parts<'_> {
    /// Returns the manifest that the document has in a form, and the blobs which that needs besides those attached.
    fn form(&self, form: Form) -> (Manifest, [Bytes; 2]) {
        let layers = || {
            let mut layers = vec![Descriptor::of(self.kind, &self.bytes)];
            layers.extend(self.attached.iter().cloned());
            layers
        };
        let empty = Bytes::from_static(oci::EMPTY_CONFIG);
        match form {
            Form::Inline => {
                let text = String::from_utf8_lossy(&self.bytes);
                let manifest = Manifest::inline_artifact(self.kind, &text, &self.attached);
                (manifest, [empty, Bytes::from_static(oci::INLINE_LAYER)])
            }
            Form::Artifact => {
                let manifest = Manifest::artifact(self.kind, &layers());
                (manifest, [empty, self.bytes.clone()])
            }
            Form::Plain => {
                let manifest = Manifest::plain_artifact(self.kind, &layers());
                let config = Bytes::from_static(oci::PLAIN_CONFIG);
                (manifest, [config, self.bytes.clone()])
            }
        }
    }
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
        for blob in image.blobs() {
            self.known.add(repository, &blob.digest);
        }
        if let Some(text) = oci::inline_document(&found.bytes) {
            return Ok(Some(Document {
                digest: found.digest,
                bytes: text.into(),
            }));
        }
        let layer = image.layers.first();
        let layer = layer.ok_or_else(|| problem("the artifact has no layer".to_owned()))?;
        let bytes = self.blob(repository, &layer.digest, LIMIT).await?;
        Ok(Some(Document {
            digest: found.digest,
            bytes,
        }))
    }

    /// Writes a document of a type under a tag, and reads it back. Returns its digest.
    pub async fn put_document(
        &self,
        repository: &Repository,
        tag: &Tag,
        kind: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<Digest, Error> {
        let parts = self.parts(repository, kind, bytes.into(), &[]).await?;
        let at = Locator::Tag(tag.clone());
        let written = self.write_document(repository, &parts, async |manifest| {
            self.put_manifest(repository, &at, manifest).await
        });
        Ok(written.await?.0.digest)
    }

    /// Writes a document that others write as well, of what it was before. `begun` is when it was read. It is not read
    /// back yet.
    pub async fn replace_document(
        &self,
        repository: &Repository,
        tag: &Tag,
        (kind, bytes): (&str, Bytes),
        before: Option<&Digest>,
        begun: Instant,
    ) -> Result<Unsettled, Error> {
        let parts = self.parts(repository, kind, bytes, &[]).await?;
        let at = Locator::Tag(tag.clone());
        let before = before.map_or(Before::Free, |digest| Before::At(digest.clone()));
        let written = self.write_document(repository, &parts, async |manifest| {
            self.write(repository, &at, manifest, &before, ReadBack::Later)
                .await
        });
        let (manifest, ()) = written.await?;
        Ok(Unsettled {
            repository: repository.clone(),
            tag: tag.clone(),
            digest: manifest.digest,
            before,
            end: self.others_end(begun),
        })
    }

    /// Waits until others must have written a document that read the same before.
    pub async fn wait_for_writers(&self, written: &Unsettled) {
        self.wait_until(written.end).await;
    }

    /// Reads a document back: [`Error::Overwritten`] if another writer came later.
    pub async fn settle(&self, written: &Unsettled) -> Result<(), Error> {
        let repository = &written.repository;
        let at = Locator::Tag(written.tag.clone());
        let attempt = attempt(Operation::WriteManifest, repository, &format!(":{at}"));
        let expected = (&written.digest, &written.before);
        self.read_back(repository, &at, attempt, expected, ReadBack::Now)
            .await
    }

    /// Writes a document under a tag; the caller reads it back.
    pub async fn put_document_unread(
        &self,
        repository: &Repository,
        tag: &Tag,
        kind: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<(), Error> {
        let parts = self.parts(repository, kind, bytes.into(), &[]).await?;
        let written = self.write_document(repository, &parts, async |manifest| {
            self.put_tag_unread(repository, tag, manifest).await
        });
        written.await?;
        Ok(())
    }

    /// Writes the manifest of a document in the first form that the registry takes: inline if it is small, else as an
    /// artifact, else in the form of an image. Later documents get that last form at once if it is the one that works.
    async fn write_document<T>(
        &self,
        repository: &Repository,
        parts: &Parts<'_>,
        write: impl AsyncFn(&Manifest) -> Result<T, Error>,
    ) -> Result<(Manifest, T), Error> {
        let write_form = async |form| {
            let (manifest, blobs) = parts.form(form);
            if form == Form::Inline && manifest.bytes.len() > INLINE_LIMIT {
                return Ok(None);
            }
            try_join_all(blobs.iter().map(|blob| self.push_bytes(repository, blob))).await?;
            let written = write(&manifest).await?;
            Ok::<_, Error>(Some((manifest, written)))
        };
        if self.plain.has(repository.host()) {
            let written = write_form(Form::Plain).await?;
            return Ok(written.expect("only an inline document can be too large"));
        }
        let mut refusal = None;
        for form in [Form::Inline, Form::Artifact, Form::Plain] {
            match write_form(form).await {
                Ok(None) => {}
                Ok(Some(written)) => {
                    if form == Form::Plain {
                        self.plain.add(repository.host());
                    }
                    return Ok(written);
                }
                Err(error) if is_refusal_of_form(&error) => {
                    refusal.get_or_insert(error);
                }
                // What the first form was refused for is the cause.
                Err(error) => return Err(refusal.unwrap_or(error)),
            }
        }
        Err(refusal.expect("each form was written or refused"))
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
        let parts = Parts {
            kind,
            bytes: bytes.into(),
            attached: Vec::new(),
        };
        let forms = [Form::Inline, Form::Artifact, Form::Plain];
        let mut forms = forms.into_iter().map(|form| parts.form(form).0);
        let Some(manifest) = forms.find(|manifest| manifest.digest == *digest) else {
            return self.put_document(repository, tag, kind, parts.bytes).await;
        };
        self.put_manifest(repository, &Locator::Tag(tag.clone()), &manifest)
            .await?;
        Ok(manifest.digest)
    }

    /// Sends the blobs that a document is kept with.
    pub async fn attach(
        &self,
        repository: &Repository,
        attached: &[Attachment],
    ) -> Result<(), Error> {
        let sent = attached
            .iter()
            .map(|blob| self.push_bytes(repository, &blob.bytes));
        try_join_all(sent).await?;
        Ok(())
    }

    /// Writes a document with blobs attached to it under a tag that is free, and returns its digest; `None` if
    /// another writer has the tag. If `is_alone` is true once it is written, no other writer can have the tag.
    pub async fn claim_document_with(
        &self,
        repository: &Repository,
        tag: &Tag,
        (kind, bytes): (&str, Bytes),
        attached: &[Attachment],
        is_alone: Option<impl AsyncFn() -> bool>,
    ) -> Result<Option<Digest>, Error> {
        let parts = (self.parts(repository, kind, bytes, attached)).await?;
        let (manifest, claimed) = self
            .write_document(repository, &parts, async |manifest| match &is_alone {
                Some(is_alone) => {
                    self.claim_tag_alone(repository, tag, manifest, is_alone)
                        .await
                }
                None => self.claim_tag(repository, tag, manifest).await,
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
        let parts = (self.parts(repository, kind, bytes.into(), &[])).await?;
        let (manifest, claimed) = self
            .write_document(repository, &parts, async |manifest| {
                self.claim_tag(repository, tag, manifest).await
            })
            .await?;
        Ok(claimed.then_some(manifest.digest))
    }

    /// Sends the blobs that are attached to a document.
    async fn parts<'a>(
        &self,
        repository: &Repository,
        kind: &'a str,
        bytes: Bytes,
        attached: &[Attachment],
    ) -> Result<Parts<'a>, Error> {
        self.attach(repository, attached).await?;
        let attached = attached.iter();
        let attached = attached.map(|blob| Descriptor::of(&*blob.media_type, &blob.bytes));
        Ok(Parts {
            kind,
            bytes,
            attached: attached.collect(),
        })
    }

    /// Sends a blob, unless the repository is known to have it. It is not looked up: documents differ from each other, and
    /// those of one process that are the same are known.
    async fn push_bytes(&self, repository: &Repository, bytes: &Bytes) -> Result<(), Error> {
        let (digest, size) = (Digest::of(bytes), bytes.len() as u64);
        if self.known.has(repository, &digest) {
            return Ok(());
        }
        let content = Content::Bytes(bytes.clone());
        self.push_new_blob(repository, &digest, size, &content)
            .await?;
        self.known.add(repository, &digest);
        Ok(())
    }
}

/// Whether a registry refuses a manifest because of its types or its size, as opposed to its tag or a fault on the way.
fn is_refusal_of_form(error: &Error) -> bool {
    let Error::Refused { answer, .. } = error else {
        return false;
    };
    let has_code = |code| answer.has_code(code);
    matches!(answer.status, 413 | 415)
        || matches!(answer.status, 400 | 422)
            && (has_code("MANIFEST_INVALID") || has_code("UNSUPPORTED"))
}
