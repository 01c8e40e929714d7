//! The client itself, and what all its operations need.
//!
//! Main type: [`Registry`]; its operations are in `manifests`, `blobs`, `tags` and `artifact`.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

use super::error::{Attempt, Error, Operation};
use super::known_blobs::KnownBlobs;
use super::options::Options;
use super::plain::PlainArtifacts;
use super::transport::{ANSWER_LIMIT, Call, Transport};
use crate::interrupt::TagLog;
use crate::name::{Digest, Repository, Tag};

/// The client of all registries of a process; clones share connections and tokens.
#[derive(Clone)]
pub struct Registry {
    /// Sends the requests.
    pub(super) transport: Arc<Transport>,
    /// Registries that get documents in the form of an image.
    pub(super) plain: Arc<PlainArtifacts>,
    /// Blobs of documents that are in their repositories.
    pub(super) known: Arc<KnownBlobs>,
}

/// Where a manifest is in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Locator {
    /// Under a tag.
    Tag(Tag),
    /// Under its digest.
    Digest(Digest),
}

impl From<Tag> for Locator {
    fn from(tag: Tag) -> Self {
        Self::Tag(tag)
    }
}

impl From<Digest> for Locator {
    fn from(digest: Digest) -> Self {
        Self::Digest(digest)
    }
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => write!(f, "{tag}"),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

impl Registry {
    /// Returns a client; nothing is contacted. Fails if the certificates cannot be read.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Self {
            transport: Arc::new(Transport::new(options)?),
            plain: Arc::default(),
            known: Arc::default(),
        })
    }

    /// Returns the log of the tags of images that were set. Callers add to it: documents in staging are not in it.
    pub fn log(&self) -> &TagLog {
        &self.transport.options.log
    }

    /// Returns a request without a body that expects 200 and needs no rights.
    pub(super) fn call(&self, method: Method, url: Url, attempt: Attempt) -> Call {
        Call {
            attempt,
            method,
            url,
            scopes: Vec::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            expected: &[200],
            limit: ANSWER_LIMIT,
        }
    }
}

/// Returns the attempt at an operation on a repository, or on what `suffix` adds to its name.
pub(super) fn attempt(operation: Operation, repository: &Repository, suffix: &str) -> Attempt {
    Attempt {
        operation,
        reference: format!("{repository}{suffix}"),
        host: repository.host().to_owned(),
    }
}

/// Returns the token scope for reading a repository (distribution, `docs/spec/auth/scope.md`).
pub(super) fn pull_scope(repository: &Repository) -> String {
    format!("repository:{}:pull", repository.path())
}

/// Returns the token scope for reading and writing a repository.
pub(super) fn push_scope(repository: &Repository) -> String {
    format!("repository:{}:pull,push", repository.path())
}

/// Returns the token scope for reading, writing and deleting in a repository.
pub(super) fn delete_scope(repository: &Repository) -> String {
    format!("repository:{}:pull,push,delete", repository.path())
}
