//! A registry's client: manifests as bytes, blobs, mounts and tags, each write read back.
//!
//! Main type: [`Registry`]. Called by `gather` (what is there), `publish` (mounts and tags) and
//! `export` (blobs of reused images). It knows nothing of images; names come from `name`.
//! `docs/registry.md` says what is asked of a registry.

mod artifact;
mod auth;
mod authorize;
mod blobs;
mod clients;
mod counts;
mod credentials;
mod error;
mod host;
mod manifests;
mod tags;
mod transport;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Url};

use crate::name::{Digest, Repository, Tag};

pub use crate::oci::{Descriptor, Manifest};
pub use artifact::{Attachment, Document};
pub use blobs::{BlobStream, Content, Mount, Pushed};
pub use counts::Counts;
pub use credentials::{Credential, CredentialError, Credentials};
pub use error::{Answer, Attempt, Code, Error};

use counts::Kind;
use transport::{ANSWER_LIMIT, Call, Transport};

/// The operation whose refusal may mean an immutable tag.
const WRITE_MANIFEST: &str = "write the manifest";

/// How registries are spoken to.
#[derive(Clone, Debug)]
pub struct Options {
    /// Requests at once to one host; docker.io, ghcr.io and ECR get at most 4.
    pub concurrency: usize,
    /// Certificates trusted besides the system's, PEM (`SSL_CERT_FILE`).
    pub ca_file: Option<PathBuf>,
    /// Hosts spoken to without TLS, besides this machine.
    pub plain_http: Vec<String>,
    pub user_agent: String,
    pub credentials: Credentials,
    /// How long an answer is waited for.
    pub timeout: Duration,
    /// The wait before the second try; doubled each time.
    pub backoff: Duration,
    /// How long a registry may show the old tag after it accepted the new one.
    pub settling: Duration,
    /// The longest another writer is thought to take from seeing that a tag is free to having
    /// written it.
    pub contest: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 16,
            ca_file: None,
            plain_http: Vec::new(),
            user_agent: concat!("laminate/", env!("CARGO_PKG_VERSION")).to_owned(),
            credentials: Credentials::none(),
            timeout: Duration::from_secs(60),
            backoff: Duration::from_millis(500),
            settling: Duration::from_secs(5),
            contest: Duration::from_millis(250),
        }
    }
}

/// The client of all registries of a process; clones share connections, tokens and counts.
#[derive(Clone)]
pub struct Registry {
    transport: Arc<Transport>,
}

/// A manifest's place in a repository.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Locator {
    Tag(Tag),
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
    /// Makes a client; nothing is contacted.
    pub fn new(options: Options) -> Result<Self, Error> {
        Ok(Self {
            transport: Arc::new(Transport::new(options)?),
        })
    }

    /// What was sent and received since the client was made.
    pub fn counts(&self) -> Counts {
        self.transport.counter.counts()
    }

    fn call(&self, kind: Kind, method: Method, url: Url, attempt: Attempt) -> Call {
        Call {
            attempt,
            kind,
            method,
            url,
            scopes: Vec::new(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            wanted: &[200],
            limit: ANSWER_LIMIT,
        }
    }
}

fn attempt(operation: &'static str, repository: &Repository, suffix: &str) -> Attempt {
    Attempt {
        operation,
        reference: format!("{repository}{suffix}"),
        host: repository.host().to_owned(),
    }
}

fn pull_scope(repository: &Repository) -> String {
    format!("repository:{}:pull", repository.path())
}

fn push_scope(repository: &Repository) -> String {
    format!("repository:{}:pull,push", repository.path())
}
