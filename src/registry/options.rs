//! The options of a client.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::credentials::Credentials;
use crate::event::Events;
use crate::interrupt::TagLog;

/// How a client connects to registries, and how long it waits for them.
#[derive(Clone, Debug)]
pub struct Options {
    /// The most requests at once to one host; docker.io, ghcr.io and ECR get at most 4.
    pub concurrency: usize,
    /// Certificates trusted besides the system's, PEM (`SSL_CERT_FILE`).
    pub ca_file: Option<PathBuf>,
    /// Hosts that are connected to without TLS, besides this machine.
    pub plain_http: Vec<String>,
    /// Hosts on this machine that are connected to with TLS.
    pub tls: Vec<String>,
    /// The `User-Agent` of each request.
    pub user_agent: String,
    /// Where warnings are sent: a host that is silent, a credential that cannot be looked up.
    pub events: Events,
    /// The user's credentials.
    pub credentials: Credentials,
    /// The limit for an answer; an upload also gets the time its bytes take at 64 KiB/s.
    pub timeout: Duration,
    /// The wait before the second try; doubled each time.
    pub backoff: Duration,
    /// How long a registry may show the old tag after it accepted the new one.
    pub settling: Duration,
    /// The longest another writer is expected to take from seeing that a tag is free to having
    /// written it.
    pub contest: Duration,
    /// Ends all requests and waits when it fires, with [`Error::Interrupted`](super::Error::Interrupted).
    pub stop: CancellationToken,
    /// The tags of images that were set.
    pub log: TagLog,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 64,
            ca_file: None,
            plain_http: Vec::new(),
            tls: Vec::new(),
            user_agent: concat!("laminate/", env!("CARGO_PKG_VERSION")).to_owned(),
            events: Events::none(),
            credentials: Credentials::none(),
            timeout: Duration::from_secs(60),
            backoff: Duration::from_millis(500),
            settling: Duration::from_secs(5),
            contest: Duration::from_millis(250),
            stop: CancellationToken::new(),
            log: TagLog::default(),
        }
    }
}
