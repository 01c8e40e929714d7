//! Manifests: read with any media type, written and read back.
//!
//! Operations of [`Registry`].

use std::time::Instant;

use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};

use super::answer::printable;
use super::client::{Locator, Registry, attempt, pull_scope, push_scope};
use super::error::{Attempt, Error, Operation};
use super::settling::Settling;
use super::transport::{Call, Reply};
use crate::name::{Digest, Repository};
use crate::oci::{self, Descriptor, Manifest};
use crate::trace::{self, Track};

/// All types of manifests. A registry answers 404 for a manifest whose type is not in the list
/// (distribution 2.8 and 3.1), so each request has all of them.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

/// Returns what a locator adds to the repository in a reference.
fn suffix(at: &Locator) -> String {
    match at {
        Locator::Tag(tag) => format!(":{tag}"),
        Locator::Digest(digest) => format!("@{digest}"),
    }
}

/// Returns the digest a registry reports; `None` for one that is not sha256, which cannot be
/// compared.
fn reported_digest(reply: &Reply) -> Option<Digest> {
    Digest::parse(reply.header("docker-content-digest")?.trim()).ok()
}

/// Returns `Content-Type` without its parameters.
fn media_type(reply: &Reply) -> Option<String> {
    let text = reply.header(CONTENT_TYPE.as_str())?;
    let text = text.split(';').next().unwrap_or_default().trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the media type of a manifest: that of the registry's header and that in its body must be the same
/// (image-spec, "Image Manifest Property Descriptions"). A header for any JSON or text does not count.
fn type_of(header: Option<String>, body: Option<String>) -> Result<String, String> {
    let is_manifest = |name: &String| ACCEPTED.split(", ").any(|known| known == name);
    match (header.filter(is_manifest), body) {
        (Some(header), Some(body)) if header != body => Err(format!(
            "the registry reports media type `{}`, but the manifest has `{}`",
            printable(&header),
            printable(&body)
        )),
        (Some(name), _) | (None, Some(name)) => Ok(name),
        (None, None) => Err("the answer has no media type of a manifest".to_owned()),
    }
}

/// How often a look-up is sent if it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tries {
    /// Once.
    One,
    /// Until it is answered, or the retries are over.
    Many,
}

/// What a tag was just before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Free: any other manifest there is another writer's.
    Free,
    /// At a digest: a third one is another writer's.
    At(Digest),
    /// Anything.
    Unknown,
}

impl Before {
    /// Whether a digest that a tag is at proves another writer: what a registry shows late is what the tag was before.
    fn is_others(&self, found: &Digest) -> bool {
        match self {
            Self::Free => true,
            Self::At(before) => before != found,
            Self::Unknown => false,
        }
    }
}

/// When a write is read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadBack {
    /// At once.
    Now,
    /// When others must have written that looked at the same moment, at which this writer did as well: then it is known
    /// who was the last.
    AfterOthers(Instant),
    /// By the caller.
    Later,
}

/// Returns how a tag is looked up after a failed write; `None` if the write was certainly not
/// applied. It may have been applied, or an immutable tag may be at the same bytes already. Where the
/// write itself is retried the look-up is not, else a dead registry would get thirty requests.
fn look_up_after(error: &Error) -> Option<Tries> {
    if matches!(error, Error::Immutable { .. }) {
        return Some(Tries::Many);
    }
    let maybe_applied = error.is_temporary() && error.status() != Some(429);
    maybe_applied.then_some(Tries::One)
}

impl Registry {
    /// Returns a request for a manifest, with the right to read.
    pub(super) fn manifest_call(
        &self,
        repository: &Repository,
        at: &Locator,
        method: Method,
        operation: Operation,
    ) -> Call {
        let url = self.transport.url(repository, &format!("manifests/{at}"));
        let attempt = attempt(operation, repository, &suffix(at));
        let mut call = self.call(method, url, attempt);
        call.scopes = vec![pull_scope(repository)];
        call.headers
            .insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        call
    }

    /// Looks up the descriptor of a manifest; `None` if the registry does not have it.
    pub async fn head_manifest(
        &self,
        repository: &Repository,
        at: &Locator,
    ) -> Result<Option<Descriptor>, Error> {
        let scope = pull_scope(repository);
        self.head_with(repository, at, scope, Tries::Many).await
    }

    /// Looks up a manifest with the rights of a scope.
    pub(super) async fn head_with(
        &self,
        repository: &Repository,
        at: &Locator,
        scope: String,
        tries: Tries,
    ) -> Result<Option<Descriptor>, Error> {
        let mut call = self.manifest_call(repository, at, Method::HEAD, Operation::LookUpManifest);
        call.expected = &[200, 404];
        call.scopes = vec![scope];
        let reply = match tries {
            Tries::Many => self.transport.send(&call).await?,
            Tries::One => self.transport.send_once(&call, None).await?,
        };
        if reply.status == 404 {
            return Ok(None);
        }
        let size = reply
            .header(CONTENT_LENGTH.as_str())
            .and_then(|text| text.parse().ok());
        let digest = reported_digest(&reply);
        if let (Some(digest), Some(media_type), Some(size)) = (digest, media_type(&reply), size) {
            if let Locator::Digest(asked) = at
                && *asked != digest
            {
                return Err(wrong_digest(call.attempt, asked, &digest));
            }
            return Ok(Some(Descriptor {
                media_type,
                digest,
                size,
            }));
        }
        // The headers are optional.
        let manifest = self.manifest(repository, at).await?;
        Ok(manifest.map(|manifest| manifest.descriptor()))
    }

    /// Reads a manifest and checks its digest; `None` if the registry does not have it.
    pub async fn manifest(
        &self,
        repository: &Repository,
        at: &Locator,
    ) -> Result<Option<Manifest>, Error> {
        let mut call = self.manifest_call(repository, at, Method::GET, Operation::ReadManifest);
        call.expected = &[200, 404];
        let reply = self.transport.send(&call).await?;
        if reply.status == 404 {
            return Ok(None);
        }
        let digest = Digest::of(&reply.body);
        let asked = match at {
            Locator::Digest(asked) => Some(asked.clone()),
            Locator::Tag(_) => reported_digest(&reply),
        };
        if let Some(asked) = asked
            && asked != digest
        {
            return Err(wrong_digest(call.attempt, &asked, &digest));
        }
        let media_type = match type_of(media_type(&reply), oci::media_type(&reply.body)) {
            Ok(media_type) => media_type,
            Err(problem) => {
                return Err(Error::Protocol {
                    attempt: call.attempt,
                    problem,
                });
            }
        };
        Ok(Some(Manifest {
            bytes: reply.body,
            media_type,
            digest,
        }))
    }

    /// Reads a manifest that someone else wrote a moment ago: one that is missing is waited for, as long as
    /// for a write of this client.
    pub async fn new_manifest(
        &self,
        repository: &Repository,
        at: &Locator,
    ) -> Result<Option<Manifest>, Error> {
        let mut settling = Settling::begin(self.transport.options.settling);
        loop {
            let is_last = settling.is_last();
            let found = self.manifest(repository, at).await?;
            if found.is_some() || is_last {
                return Ok(found);
            }
            settling.pause().await;
        }
    }

    /// Writes a manifest under a tag or its digest, and reads back that it is there.
    ///
    /// Done means: answered 2xx, with our digest if any, and a HEAD shows our digest. Where it is
    /// unknown whether a write was applied (a lost answer, a 5xx) the HEAD decides before another
    /// try, so a registry that forbids to write a tag twice is not asked twice.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        at: &Locator,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        self.write(repository, at, manifest, &Before::Unknown, ReadBack::Now)
            .await
    }

    /// Writes a manifest as [`put_manifest`](Self::put_manifest) does; the caller reads it back with
    /// [`read_back_manifest`](Self::read_back_manifest).
    pub async fn put_manifest_unread(
        &self,
        repository: &Repository,
        at: &Locator,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        self.write(repository, at, manifest, &Before::Unknown, ReadBack::Later)
            .await
    }

    /// Reads back a manifest that was written.
    pub async fn read_back_manifest(
        &self,
        repository: &Repository,
        at: &Locator,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        let attempt = attempt(Operation::WriteManifest, repository, &suffix(at));
        let expected = (&manifest.digest, &Before::Unknown);
        self.read_back(repository, at, attempt, expected, ReadBack::Now)
            .await
    }

    /// Writes a manifest, and reads it back when that is asked for.
    pub(super) async fn write(
        &self,
        repository: &Repository,
        at: &Locator,
        manifest: &Manifest,
        before: &Before,
        read_back: ReadBack,
    ) -> Result<(), Error> {
        let mut call = self.manifest_call(repository, at, Method::PUT, Operation::WriteManifest);
        let content_type = HeaderValue::from_str(&manifest.media_type);
        let content_type = content_type.map_err(|_| Error::Protocol {
            attempt: call.attempt.clone(),
            problem: format!("invalid media type `{}`", manifest.media_type),
        })?;
        call.headers.insert(CONTENT_TYPE, content_type);
        call.scopes = vec![push_scope(repository)];
        call.body = manifest.bytes.clone();
        // The distribution-spec has 201; some registries answer 200 or 202. What reads back counts.
        call.expected = &[200, 201, 202, 203, 204];
        let digest = Digest::of(&manifest.bytes);
        let claimed = match at {
            Locator::Digest(asked) if *asked != digest => Some(asked),
            _ => Some(&manifest.digest).filter(|claimed| **claimed != digest),
        };
        if let Some(claimed) = claimed {
            return Err(wrong_digest(call.attempt, claimed, &digest));
        }

        let mut retries = self.transport.retries();
        loop {
            let error = match self.transport.send_once(&call, None).await {
                Ok(reply) => {
                    let reported = reported_digest(&reply).filter(|reported| *reported != digest);
                    if let Some(reported) = reported {
                        return Err(wrong_digest(call.attempt, &digest, &reported));
                    }
                    return self
                        .read_back(repository, at, call.attempt, (&digest, before), read_back)
                        .await;
                }
                Err(error) => error,
            };
            if let Some(tries) = look_up_after(&error) {
                let scope = push_scope(repository);
                match self.head_with(repository, at, scope, tries).await {
                    Ok(Some(found)) if found.digest == digest => {
                        let read_back = match read_back {
                            ReadBack::AfterOthers(_) => read_back,
                            ReadBack::Now | ReadBack::Later => return Ok(()),
                        };
                        return self
                            .read_back(repository, at, call.attempt, (&digest, before), read_back)
                            .await;
                    }
                    // The tag was free, so another writer has it: it is not written over.
                    Ok(Some(found)) if *before == Before::Free => {
                        return Err(Error::Overwritten {
                            attempt: call.attempt,
                            ours: digest.to_string(),
                            found: found.digest.to_string(),
                        });
                    }
                    Ok(_) | Err(_) => {}
                }
            }
            let host = repository.host();
            let transport = &self.transport;
            if !transport.wait_for_retry(&mut retries, host, &error).await {
                return Err(error);
            }
        }
    }

    /// Waits until others must have written that looked at a tag when this writer did, which was at `begun`.
    pub async fn wait_for_others(&self, begun: Instant) {
        self.wait_until(self.others_end(begun)).await;
    }

    /// Returns when others must have written that looked at a tag when this writer did, which was at `begun`.
    pub(super) fn others_end(&self, begun: Instant) -> Instant {
        let wait = self.transport.options.contest.max(begun.elapsed() * 3);
        Instant::now() + wait
    }

    /// Waits for other writers.
    pub(super) async fn wait_until(&self, end: Instant) {
        let _span = trace::span(Track::Pauses, || "for other writers".to_owned());
        tokio::time::sleep_until(end.into()).await;
    }

    /// Reads back what the registry accepted.
    pub(super) async fn read_back(
        &self,
        repository: &Repository,
        at: &Locator,
        attempt: Attempt,
        (ours, before): (&Digest, &Before),
        read_back: ReadBack,
    ) -> Result<(), Error> {
        match read_back {
            ReadBack::Later => return Ok(()),
            ReadBack::Now => {}
            ReadBack::AfterOthers(begun) => self.wait_for_others(begun).await,
        }
        let mut settling = Settling::begin(self.transport.options.settling);
        loop {
            let (scope, is_last) = (push_scope(repository), settling.is_last());
            let found = self.head_with(repository, at, scope, Tries::Many).await?;
            match found {
                Some(found) if found.digest == *ours => return Ok(()),
                Some(found) if is_last || before.is_others(&found.digest) => {
                    return Err(Error::Overwritten {
                        attempt,
                        ours: ours.to_string(),
                        found: found.digest.to_string(),
                    });
                }
                None if is_last => {
                    return Err(Error::Protocol {
                        attempt,
                        problem: "the registry accepted it but does not have it".to_owned(),
                    });
                }
                Some(_) | None => settling.pause().await,
            }
        }
    }
}

fn wrong_digest(attempt: Attempt, expected: &Digest, found: &Digest) -> Error {
    Error::WrongDigest {
        attempt,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::Answer;
    use super::*;

    fn after(status: u16) -> Option<Tries> {
        let tag = Repository::parse("a.example/b").expect("a repository");
        let attempt = attempt(Operation::WriteManifest, &tag, ":c");
        look_up_after(&Error::of(attempt, Answer::read(status, None, b""), false))
    }

    #[test]
    fn a_write_that_may_have_been_applied_is_looked_up_once() {
        for status in [408, 500, 502, 503, 504] {
            assert_eq!(after(status), Some(Tries::One), "{status}");
        }
    }

    #[test]
    fn a_refused_write_is_looked_up_only_where_the_tag_may_be_right() {
        assert_eq!(after(409), Some(Tries::Many), "immutable");
        for status in [400, 401, 403, 413, 429] {
            assert_eq!(after(status), None, "{status}");
        }
    }

    #[test]
    fn a_locator_is_shown_as_in_a_reference() {
        let tag = Locator::Tag(crate::name::Tag::parse("x").expect("a tag"));
        assert_eq!(suffix(&tag), ":x");
        let digest = Digest::of(b"");
        assert_eq!(suffix(&digest.clone().into()), format!("@{digest}"));
    }
}
