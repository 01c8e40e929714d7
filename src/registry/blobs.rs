//! Blobs: mounted where possible, else sent once as a whole; every byte read is proven.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, Stream, StreamExt as _};
use reqwest::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, Url};
use sha2::Digest as _;
use tokio::sync::OwnedSemaphorePermit;

use super::counts::Kind;
use super::error::{Attempt, Error};
use super::transport::{Call, Reply, Upload};
use super::{Descriptor, Registry, attempt, pull_scope, push_scope};
use crate::name::{Digest, Repository};

/// What came of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mount {
    Mounted,
    /// The blob must be copied; the text says why, for people.
    Refused(String),
}

/// What came of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pushed {
    Uploaded,
    AlreadyThere,
}

/// The bytes of a blob to push.
pub enum Content {
    Bytes(Bytes),
    /// Opens the blob from its beginning, anew for each try.
    Stream(Open),
}

type Piece = Result<Bytes, Error>;
type Opening = BoxFuture<'static, Result<BoxStream<'static, Piece>, Error>>;
/// Opens the same bytes from their beginning, each time it is called.
pub type Open = Box<dyn Fn() -> Opening + Send + Sync>;

/// A blob on its way here. Its last item is an error unless all that came before has the blob's
/// digest, so nothing is final before the stream has ended.
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

fn digest_of(hash: sha2::Sha256) -> String {
    let hex: String = hash
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("sha256:{hex}")
}

impl Registry {
    fn blob_call(
        &self,
        repository: &Repository,
        digest: &Digest,
        kind: Kind,
        method: Method,
        operation: &'static str,
    ) -> Call {
        let url = self.transport.url(repository, &format!("blobs/{digest}"));
        let attempt = attempt(operation, repository, &format!("@{digest}"));
        let mut call = self.call(kind, method, url, attempt);
        call.scopes = vec![pull_scope(repository)];
        call
    }

    /// Asks whether a repository has a blob.
    pub async fn has_blob(&self, repository: &Repository, digest: &Digest) -> Result<bool, Error> {
        self.has_blob_with(repository, digest, pull_scope(repository))
            .await
    }

    async fn has_blob_with(
        &self,
        repository: &Repository,
        digest: &Digest,
        scope: String,
    ) -> Result<bool, Error> {
        let operation = "look up the blob";
        let mut call = self.blob_call(repository, digest, Kind::BlobHead, Method::HEAD, operation);
        call.scopes = vec![scope];
        call.wanted = &[200, 404];
        Ok(self.transport.send(&call).await?.status == 200)
    }

    /// Reads a blob of at most `limit` bytes and proves its digest.
    pub async fn blob(
        &self,
        repository: &Repository,
        digest: &Digest,
        limit: u64,
    ) -> Result<Bytes, Error> {
        let operation = "read the blob";
        let mut call = self.blob_call(repository, digest, Kind::BlobGet, Method::GET, operation);
        call.limit = limit;
        let reply = self.transport.send(&call).await?;
        self.transport.counter.down(reply.body.len());
        let found = Digest::of(&reply.body);
        match found == *digest {
            true => Ok(reply.body),
            false => Err(Error::WrongDigest {
                attempt: call.attempt,
                expected: digest.to_string(),
                found: found.to_string(),
            }),
        }
    }

    /// Opens a blob of any size; see [`BlobStream`] for when it is proven.
    pub async fn blob_stream(
        &self,
        repository: &Repository,
        digest: &Digest,
    ) -> Result<BlobStream, Error> {
        let operation = "read the blob";
        let call = self.blob_call(repository, digest, Kind::BlobGet, Method::GET, operation);
        let (response, permit) = self.transport.open(&call).await?;
        struct Reading {
            response: reqwest::Response,
            hash: Option<sha2::Sha256>,
        }
        let reading = Reading {
            response,
            hash: Some(sha2::Sha256::new()),
        };
        let (transport, digest) = (self.transport.clone(), digest.clone());
        let attempt = call.attempt;
        let server = call.url.authority().to_owned();
        let pieces = futures_util::stream::unfold(reading, move |mut reading| {
            let (transport, digest) = (transport.clone(), digest.clone());
            let (attempt, server) = (attempt.clone(), server.clone());
            async move {
                let hash = reading.hash.as_mut()?;
                let unreachable = |reason: String, temporary: bool| Error::Unreachable {
                    attempt: attempt.clone(),
                    server: server.clone(),
                    reason,
                    temporary,
                };
                let chunk = reading.response.chunk();
                let error = match tokio::time::timeout(transport.timeout(), chunk).await {
                    Ok(Ok(Some(bytes))) => {
                        hash.update(&bytes);
                        transport.counter.down(bytes.len());
                        return Some((Ok(bytes), reading));
                    }
                    Ok(Ok(None)) => {
                        let found = digest_of(reading.hash.take()?);
                        if found == digest.as_str() {
                            return None;
                        }
                        Error::WrongDigest {
                            attempt: attempt.clone(),
                            expected: digest.to_string(),
                            found,
                        }
                    }
                    Ok(Err(error)) => {
                        let (reason, temporary) = super::error::reason_of(error);
                        unreachable(reason, temporary)
                    }
                    Err(_) => unreachable("the download stands still".to_owned(), true),
                };
                reading.hash = None;
                Some((Err(error), reading))
            }
        });
        Ok(BlobStream {
            pieces: pieces.boxed(),
            _permit: permit,
        })
    }

    /// Makes a blob of one repository one of another's, without moving bytes.
    ///
    /// A registry may refuse for many reasons; none of them is an error here, since the blob can
    /// be copied. Repeating a mount is harmless.
    pub async fn mount(
        &self,
        to: &Repository,
        from: &Repository,
        blob: &Digest,
    ) -> Result<Mount, Error> {
        if to.host() != from.host() {
            return Ok(Mount::Refused(format!(
                "{} and {} are different registries",
                from.host(),
                to.host()
            )));
        }
        let mut url = self.transport.url(to, "blobs/uploads/");
        (url.query_pairs_mut())
            .append_pair("mount", blob.as_str())
            .append_pair("from", from.path());
        let attempt = attempt("mount the blob", to, &format!("@{blob}"));
        let mut call = self.call(Kind::Mount, Method::POST, url, attempt);
        // Some registries look at the first scope only, so the one for writing comes first.
        call.scopes = vec![push_scope(to)];
        if from != to {
            call.scopes.push(pull_scope(from));
        }
        call.wanted = &[201, 202];
        match self.transport.send(&call).await {
            Ok(reply) if reply.status == 201 => Ok(Mount::Mounted),
            Ok(reply) => {
                self.cancel(to, &call, &reply).await;
                Ok(Mount::Refused(format!(
                    "{} wants the bytes (202): mounting is off there, or {from} does not have the blob or may not be read",
                    to.host()
                )))
            }
            Err(error) => match error.status() {
                Some(status) if (400..500).contains(&status) && !error.is_temporary() => {
                    Ok(Mount::Refused(error.to_string()))
                }
                _ => Err(error),
            },
        }
    }

    /// Gives an upload session back; the registry forgets it some day anyhow.
    async fn cancel(&self, to: &Repository, opened: &Call, reply: &Reply) {
        if let Some(url) = upload_address(reply, &opened.url) {
            let attempt = attempt("cancel an upload to", to, "");
            let mut call = self.call(Kind::Cancel, Method::DELETE, url, attempt);
            call.scopes = opened.scopes.clone();
            call.wanted = &[200, 202, 204];
            let _ignored = self.transport.once(&call, None).await;
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
        let scope = push_scope(to);
        if self.has_blob_with(to, digest, scope.clone()).await? {
            return Ok(Pushed::AlreadyThere);
        }
        let mut tries = self.transport.tries();
        let mut new_token = false;
        loop {
            let error = match self.upload(to, digest, size, content).await {
                Ok(()) => return Ok(Pushed::Uploaded),
                Err(error) => error,
            };
            if error.is_temporary() && self.has_blob_with(to, digest, scope.clone()).await? {
                return Ok(Pushed::Uploaded);
            }
            // A token may die between opening the upload and sending the bytes.
            let died = matches!(error, Error::Unauthorized { .. }) && !new_token;
            new_token |= died;
            if !died
                && !self
                    .transport
                    .may_try_again(&mut tries, to.host(), &error)
                    .await
            {
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
        let attempt = attempt("upload the blob", to, &format!("@{digest}"));
        let url = self.transport.url(to, "blobs/uploads/");
        let mut post = self.call(Kind::BlobPost, Method::POST, url, attempt.clone());
        post.scopes = vec![push_scope(to)];
        post.wanted = &[202];
        let reply = self.transport.send(&post).await?;
        let Some(mut url) = upload_address(&reply, &post.url) else {
            return Err(Error::Protocol {
                attempt,
                problem: "the registry opened an upload without saying where".to_owned(),
            });
        };
        url.query_pairs_mut().append_pair("digest", digest.as_str());
        let mut put = self.call(Kind::BlobPut, Method::PUT, url, attempt.clone());
        put.scopes = post.scopes;
        put.wanted = &[201, 204];
        put.headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
        // What the source says is wrong is the cause; the registry only sees a broken body.
        let failed: Arc<Mutex<Option<Error>>> = Arc::default();
        let body = match content {
            Content::Bytes(bytes) => {
                self.transport.counter.up(bytes.len());
                reqwest::Body::from(bytes.clone())
            }
            Content::Stream(open) => {
                let (transport, failed) = (self.transport.clone(), failed.clone());
                let pieces = open().await?.map(move |piece| match piece {
                    Ok(bytes) => {
                        transport.counter.up(bytes.len());
                        Ok(bytes)
                    }
                    Err(error) => {
                        let text = error.to_string();
                        *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                        Err(std::io::Error::other(text))
                    }
                });
                reqwest::Body::wrap_stream(pieces)
            }
        };
        let sent = self.transport.once(&put, Some(Upload { body, size })).await;
        let cause = failed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (sent, cause) {
            (_, Some(cause)) => Err(cause),
            (Err(error), None) => Err(error),
            (Ok(reply), None) => check_told_digest(&reply, attempt, digest),
        }
    }

    /// Moves a blob through this machine: for registries that refuse to mount it.
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

fn check_told_digest(reply: &Reply, attempt: Attempt, digest: &Digest) -> Result<(), Error> {
    match reply.header("docker-content-digest") {
        Some(told) if told.starts_with("sha256:") && told != digest.as_str() => {
            Err(Error::WrongDigest {
                attempt,
                expected: digest.to_string(),
                found: told.to_owned(),
            })
        }
        _ => Ok(()),
    }
}

/// Where an upload goes on: `Location`, which may be relative. Behind a proxy that ends TLS a
/// registry may name itself with `http`; it is not followed out of TLS.
fn upload_address(reply: &Reply, base: &Url) -> Option<Url> {
    let mut url = reply.url.join(reply.header(LOCATION.as_str())?).ok()?;
    let same_host = url.host_str() == base.host_str();
    if base.scheme() == "https" && url.scheme() == "http" {
        if !same_host || url.port().is_some() {
            return None;
        }
        url.set_scheme("https").ok()?;
    }
    Some(url)
}
