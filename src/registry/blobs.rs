//! Blobs: mounted where possible, else sent once as a whole; the digest of all that is read is checked.
//!
//! Operations of [`Registry`].

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Url};
use sha2::Digest as _;
use tokio::sync::OwnedSemaphorePermit;

use super::client::{Registry, attempt, delete_scope, pull_scope, push_scope};
use super::error::{Attempt, Error, Operation, reason};
use super::transport::{Call, Reply, Transport, Upload};
use crate::name::{Digest, Repository};
use crate::oci::Descriptor;

/// The result of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    /// The repository has the blob.
    Mounted,
    /// The blob must be copied.
    Refused(MountRefusal),
}

/// Why a blob cannot be mounted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountRefusal {
    /// A mount is within one registry.
    #[error("`{from}` and `{to}` are different registries")]
    OtherRegistry {
        /// The host of the repository with the blob.
        from: String,
        /// The host of the repository to mount it in.
        to: String,
    },
    /// The registry opened an upload instead (202).
    #[error(
        "`{host}` asks for an upload instead: it does not mount blobs, or `{from}` does not have this one or cannot be read"
    )]
    UploadRequested {
        /// The registry's host.
        host: String,
        /// The repository with the blob.
        from: Repository,
    },
    /// The registry refused the request.
    #[error(transparent)]
    Refused(Box<Error>),
}

/// The result of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    /// The bytes were sent.
    Uploaded,
    /// The repository had the blob.
    AlreadyThere,
}

/// The bytes of a blob to push.
pub enum Content {
    /// In memory.
    Bytes(Bytes),
    /// Opened from the beginning for each try.
    Stream(Open),
}

type Piece = Result<Bytes, Error>;
type Opening = BoxFuture<'static, Result<BoxStream<'static, Piece>, Error>>;
/// Opens the same bytes from their beginning, each time it is called.
pub type Open = Box<dyn Fn() -> Opening + Send + Sync>;

/// A blob that is being downloaded. Its last item is an error unless all that came before has the
/// blob's digest, so nothing is final before the stream has ended.
pub struct BlobStream {
    pieces: BoxStream<'static, Piece>,
    _permit: OwnedSemaphorePermit,
}

impl Stream for BlobStream {
    type Item = Piece;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Piece>> {
        self.pieces.poll_next_unpin(cx)
    }
}

/// Returns the digest of a finished hash.
fn digest_of(hash: sha2::Sha256) -> String {
    let hex: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

/// A download and what its bytes are checked with.
struct Download {
    transport: Arc<Transport>,
    attempt: Attempt,
    server: String,
    digest: Digest,
    response: reqwest::Response,
    /// `None` once the download has ended.
    hash: Option<sha2::Sha256>,
}

impl Download {
    /// Returns the next bytes, or the error that ends the download; `None` at its end.
    async fn next(&mut self) -> Option<Piece> {
        let hash = self.hash.as_mut()?;
        let timeout = self.transport.options.timeout;
        let error = match tokio::time::timeout(timeout, self.response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                hash.update(&bytes);
                return Some(Ok(bytes));
            }
            Ok(Ok(None)) => {
                let found = digest_of(self.hash.take()?);
                if found == self.digest.as_str() {
                    return None;
                }
                Error::WrongDigest {
                    attempt: self.attempt.clone(),
                    expected: self.digest.to_string(),
                    found,
                }
            }
            Ok(Err(error)) => {
                let (reason, temporary) = reason(error);
                self.unreachable(reason, temporary)
            }
            Err(_) => {
                let reason = format!("no bytes within {} s", timeout.as_secs_f32());
                self.unreachable(reason, true)
            }
        };
        self.hash = None;
        Some(Err(error))
    }

    fn unreachable(&self, reason: String, temporary: bool) -> Error {
        Error::Unreachable {
            attempt: self.attempt.clone(),
            server: self.server.clone(),
            reason,
            temporary,
        }
    }
}

impl Registry {
    fn blob_call(
        &self,
        repository: &Repository,
        digest: &Digest,
        method: Method,
        operation: Operation,
    ) -> Call {
        let url = self.transport.url(repository, &format!("blobs/{digest}"));
        let attempt = attempt(operation, repository, &format!("@{digest}"));
        let mut call = self.call(method, url, attempt);
        call.scopes = vec![pull_scope(repository)];
        call
    }

    /// Returns whether a repository that is written to has a blob.
    async fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool, Error> {
        let mut call = self.blob_call(repository, digest, Method::HEAD, Operation::LookUpBlob);
        call.scopes = vec![push_scope(repository)];
        call.expected = &[200, 404];
        Ok(self.transport.send(&call).await?.status == 200)
    }

    /// Reads a blob of at most `limit` bytes and checks its digest.
    pub async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: u64,
    ) -> Result<Bytes, Error> {
        let mut call = self.blob_call(repository, digest, Method::GET, Operation::ReadBlob);
        call.limit = limit;
        let reply = self.transport.send(&call).await?;
        let found = Digest::of(&reply.body);
        if found != *digest {
            return Err(Error::WrongDigest {
                attempt: call.attempt,
                expected: digest.to_string(),
                found: found.to_string(),
            });
        }
        Ok(reply.body)
    }

    /// Opens a blob of any size; see [`BlobStream`] for when it is checked.
    pub async fn blob_stream(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<BlobStream, Error> {
        let call = self.blob_call(repository, digest, Method::GET, Operation::ReadBlob);
        let (response, permit) = self.transport.open(&call).await?;
        let download = Download {
            transport: self.transport.clone(),
            attempt: call.attempt,
            server: call.url.authority().to_owned(),
            digest: digest.clone(),
            response,
            hash: Some(sha2::Sha256::new()),
        };
        let pieces = futures_util::stream::unfold(download, async |mut download| {
            let piece = download.next().await?;
            Some((piece, download))
        });
        Ok(BlobStream {
            pieces: pieces.boxed(),
            _permit: permit,
        })
    }

    /// Mounts a blob of one repository in another, without moving bytes.
    ///
    /// A registry may refuse for many reasons; none of them is an error here, since the blob can
    /// be copied. A mount can be repeated.
    pub async fn mount(
        &self,
        to: &Repository,
        from: &Repository,
        blob: &Digest,
    ) -> Result<Mount, Error> {
        let _turn = self.transport.turn(to.host()).await;
        Box::pin(self.mount_now(to, from, blob)).await
    }

    async fn mount_now(
        &self,
        to: &Repository,
        from: &Repository,
        blob: &Digest,
    ) -> Result<Mount, Error> {
        if to.host() != from.host() {
            return Ok(Mount::Refused(MountRefusal::OtherRegistry {
                from: from.host().to_owned(),
                to: to.host().to_owned(),
            }));
        }
        let mut url = self.transport.url(to, "blobs/uploads/");
        (url.query_pairs_mut())
            .append_pair("mount", blob.as_str())
            .append_pair("from", from.path());
        let attempt = attempt(Operation::MountBlob, to, &format!("@{blob}"));
        let mut call = self.call(Method::POST, url, attempt);
        // Some registries read the first scope only, so the one for writing comes first.
        call.scopes = vec![push_scope(to)];
        if from != to {
            call.scopes.push(pull_scope(from));
        }
        call.expected = &[201, 202];
        match self.transport.send(&call).await {
            Ok(reply) if reply.status == 201 => Ok(Mount::Mounted),
            Ok(reply) => {
                self.cancel(to, &call, &reply).await;
                Ok(Mount::Refused(MountRefusal::UploadRequested {
                    host: to.host().to_owned(),
                    from: from.clone(),
                }))
            }
            Err(error) => match error.status() {
                Some(status) if (400..500).contains(&status) && !error.is_temporary() => {
                    Ok(Mount::Refused(MountRefusal::Refused(Box::new(error))))
                }
                _ => Err(error),
            },
        }
    }

    /// Cancels an upload, best effort: the registry removes it after some time anyhow.
    pub(super) async fn cancel(&self, to: &Repository, opened: &Call, reply: &Reply) {
        if let Some(url) = upload_address(reply, &opened.url) {
            let attempt = attempt(Operation::CancelUpload, to, "");
            let mut call = self.call(Method::DELETE, url, attempt);
            // distribution asks for the right to delete here (`registry/handlers/app.go`, `appendAccessRecords`).
            call.scopes = vec![delete_scope(to)];
            call.expected = &[200, 202, 204];
            let _ignored = self.transport.send_once(&call, None).await;
        }
    }

    /// Sends a blob of known digest and size, unless the repository has it.
    pub async fn push_blob(
        &self,
        to: &Repository,
        digest: &Digest,
        size: u64,
        content: &Content,
    ) -> Result<Pushed, Error> {
        if self.has_blob(to, digest).await? {
            return Ok(Pushed::AlreadyThere);
        }
        self.push_new_blob(to, digest, size, content).await
    }

    /// Sends a blob of known digest and size, whether the repository has it or not.
    pub(super) async fn push_new_blob(
        &self,
        to: &Repository,
        digest: &Digest,
        size: u64,
        content: &Content,
    ) -> Result<Pushed, Error> {
        let mut retries = self.transport.retries();
        let mut new_token = false;
        loop {
            let error = match self.upload(to, digest, size, content).await {
                Ok(()) => return Ok(Pushed::Uploaded),
                Err(error) => error,
            };
            if error.is_temporary() && self.has_blob(to, digest).await? {
                return Ok(Pushed::Uploaded);
            }
            // A token may expire between opening the upload and sending the bytes.
            if matches!(error, Error::Unauthorized { .. }) && !new_token {
                new_token = true;
                continue;
            }
            let (transport, host) = (&self.transport, to.host());
            if !transport.wait_for_retry(&mut retries, host, &error).await {
                return Err(error);
            }
        }
    }

    /// One POST and one PUT (distribution-spec, "POST then PUT").
    async fn upload(
        &self,
        to: &Repository,
        digest: &Digest,
        size: u64,
        content: &Content,
    ) -> Result<(), Error> {
        let attempt = attempt(Operation::UploadBlob, to, &format!("@{digest}"));
        let url = self.transport.url(to, "blobs/uploads/");
        let mut post = self.call(Method::POST, url, attempt.clone());
        post.scopes = vec![push_scope(to)];
        post.expected = &[202];
        let reply = self.transport.send(&post).await?;
        let Some(mut url) = upload_address(&reply, &post.url) else {
            return Err(Error::Protocol {
                attempt,
                problem: "the registry opened an upload without an address".to_owned(),
            });
        };
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let mut put = self.call(Method::PUT, url, attempt.clone());
        put.scopes = post.scopes;
        put.expected = &[201, 204];
        put.headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        // An error of the source is the cause; the registry only sees a broken body.
        let failed: Arc<Mutex<Option<Error>>> = Arc::default();
        let body = match content {
            Content::Bytes(bytes) => reqwest::Body::from(bytes.clone()),
            Content::Stream(open) => {
                let failed = failed.clone();
                let pieces = open().await?.map_err(move |error| {
                    let text = error.to_string();
                    *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    std::io::Error::other(text)
                });
                reqwest::Body::wrap_stream(pieces)
            }
        };
        let sent = self
            .transport
            .send_once(&put, Some(Upload { body, size }))
            .await;
        let cause = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (sent, cause) {
            (_, Some(cause)) => Err(cause),
            (Err(error), None) => Err(error),
            (Ok(reply), None) => check_reported_digest(&reply, attempt, digest),
        }
    }

    /// Copies a blob through this machine, for registries that refuse to mount it.
    pub async fn copy_blob(
        &self,
        to: &Repository,
        from: &Repository,
        blob: &Descriptor,
    ) -> Result<Pushed, Error> {
        let (source, from, digest) = (self.clone(), from.clone(), blob.digest.clone());
        let content = Content::Stream(Box::new(move || {
            let (source, from, digest) = (source.clone(), from.clone(), digest.clone());
            Box::pin(async move { Ok(source.blob_stream(&from, &digest).await?.boxed()) })
        }));
        self.push_blob(to, &blob.digest, blob.size, &content).await
    }
}

/// Compares the digest a registry reports, if it is sha256, with the blob's.
fn check_reported_digest(reply: &Reply, attempt: Attempt, digest: &Digest) -> Result<(), Error> {
    match reply.header("docker-content-digest") {
        Some(found) if found.starts_with("sha256:") && found != digest.as_str() => {
            Err(Error::WrongDigest {
                attempt,
                expected: digest.to_string(),
                found: found.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Returns where an upload continues.
fn upload_address(reply: &Reply, base: &Url) -> Option<Url> {
    resolve_upload(reply.header(LOCATION.as_str())?, &reply.url, base)
}

/// Resolves the `Location` of an upload against the URL that answered; it may be relative. Behind a
/// proxy that ends TLS a registry may report its own URL with `http`; it is not followed out of TLS.
fn resolve_upload(location: &str, answered: &Url, base: &Url) -> Option<Url> {
    let mut url = answered.join(location).ok()?;
    let same_host = url.host_str() == base.host_str();
    if base.scheme() == "https" && url.scheme() == "http" {
        if !same_host || url.port().is_some() {
            return None;
        }
        url.set_scheme("https").ok()?;
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(location: &str) -> Option<String> {
        let base = Url::parse("https://a.example/v2/b/blobs/uploads/").expect("a URL");
        resolve_upload(location, &base, &base).map(|url| url.to_string())
    }

    #[test]
    fn an_upload_continues_at_a_relative_or_absolute_address() {
        let expected = "https://a.example/v2/b/blobs/uploads/1?_state=x";
        assert_eq!(
            resolve("/v2/b/blobs/uploads/1?_state=x").as_deref(),
            Some(expected)
        );
        assert_eq!(resolve(expected).as_deref(), Some(expected));
        let other = "https://storage.example/1";
        assert_eq!(resolve(other).as_deref(), Some(other));
    }

    #[test]
    fn an_upload_does_not_leave_tls() {
        assert_eq!(
            resolve("http://a.example/1").as_deref(),
            Some("https://a.example/1")
        );
        assert_eq!(
            resolve("http://a.example:80/1").as_deref(),
            Some("https://a.example/1")
        );
        assert_eq!(resolve("http://a.example:5000/1"), None);
        assert_eq!(resolve("http://storage.example/1"), None);
    }

    #[test]
    fn a_refused_mount_has_its_reason() {
        let other = MountRefusal::OtherRegistry {
            from: "a.example".to_owned(),
            to: "b.example".to_owned(),
        };
        assert_eq!(
            other.to_string(),
            "`a.example` and `b.example` are different registries"
        );
        let upload = MountRefusal::UploadRequested {
            host: "a.example".to_owned(),
            from: Repository::parse("a.example/b").expect("a repository"),
        };
        assert_eq!(
            upload.to_string(),
            "`a.example` asks for an upload instead: it does not mount blobs, or `a.example/b` \
             does not have this one or cannot be read"
        );
    }
}
