//! Manifests and tags: read by any of their types, written and read back.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::counts::Kind;
use super::error::{Attempt, Error};
use super::transport::{Call, Reply};
use super::{
    Descriptor, Locator, Manifest, Registry, WRITE_MANIFEST, attempt, pull_scope, push_scope,
};
use crate::name::{Digest, Repository, Tag};
use crate::oci;

/// A registry answers 404 for a manifest whose type is not in the list (distribution 2.8 and 3.1),
/// so all of them are asked for, always.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
    application/vnd.oci.image.index.v1+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.docker.distribution.manifest.list.v2+json";

fn suffix(at: &Locator) -> String {
    match at {
        Locator::Tag(tag) => format!(":{tag}"),
        Locator::Digest(digest) => format!("@{digest}"),
    }
}

/// The digest a registry says an answer has; one that is not sha256 cannot be compared.
fn told_digest(reply: &Reply) -> Option<Digest> {
    Digest::parse(reply.header("docker-content-digest")?.trim()).ok()
}

fn media_type(reply: &Reply) -> Option<String> {
    let text = reply.header(CONTENT_TYPE.as_str())?;
    let text = text.split(';').next().unwrap_or_default().trim();
    (!text.is_empty()).then(|| text.to_owned())
}

impl Registry {
    pub(super) fn manifest_call(
        &self,
        repository: &Repository,
        at: &Locator,
        kind: Kind,
        method: Method,
        operation: &'static str,
    ) -> Call {
        let url = self.transport.url(repository, &format!("manifests/{at}"));
        let attempt = attempt(operation, repository, &suffix(at));
        let mut call = self.call(kind, method, url, attempt);
        call.scopes = vec![pull_scope(repository)];
        call.headers
            .insert(ACCEPT, HeaderValue::from_static(ACCEPTED));
        call
    }

    /// Asks what a tag or digest is, without its bytes; `None` if the registry does not have it.
    pub async fn head_manifest(
        &self,
        repository: &Repository,
        at: &Locator,
    ) -> Result<Option<Descriptor>, Error> {
        let scope = pull_scope(repository);
        self.head_with(repository, at, scope, true).await
    }

    /// `patient` tries again what is temporary.
    pub(super) async fn head_with(
        &self,
        repository: &Repository,
        at: &Locator,
        scope: String,
        patient: bool,
    ) -> Result<Option<Descriptor>, Error> {
        let operation = "look up the manifest";
        let mut call =
            self.manifest_call(repository, at, Kind::ManifestHead, Method::HEAD, operation);
        call.wanted = &[200, 404];
        call.scopes = vec![scope];
        let reply = match patient {
            true => self.transport.send(&call).await?,
            false => self.transport.once(&call, None).await?,
        };
        if reply.status == 404 {
            return Ok(None);
        }
        let size = reply
            .header(CONTENT_LENGTH.as_str())
            .and_then(|text| text.parse().ok());
        let digest = told_digest(&reply);
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
        // The headers are optional; the bytes tell for sure.
        let manifest = self.manifest(repository, at).await?;
        Ok(manifest.map(|manifest| manifest.descriptor()))
    }

    /// Reads a manifest and proves its digest; `None` if the registry does not have it.
    pub async fn manifest(
        &self,
        repository: &Repository,
        at: &Locator,
    ) -> Result<Option<Manifest>, Error> {
        let operation = "read the manifest";
        let mut call =
            self.manifest_call(repository, at, Kind::ManifestGet, Method::GET, operation);
        call.wanted = &[200, 404];
        let reply = self.transport.send(&call).await?;
        if reply.status == 404 {
            return Ok(None);
        }
        let digest = Digest::of(&reply.body);
        let asked = match at {
            Locator::Digest(asked) => Some(asked.clone()),
            Locator::Tag(_) => told_digest(&reply),
        };
        if let Some(asked) = asked
            && asked != digest
        {
            return Err(wrong_digest(call.attempt, &asked, &digest));
        }
        let of_body = || oci::media_type(&reply.body);
        let Some(media_type) = media_type(&reply).or_else(of_body) else {
            return Err(Error::Protocol {
                attempt: call.attempt,
                problem: "the answer has no media type".to_owned(),
            });
        };
        Ok(Some(Manifest {
            bytes: reply.body,
            media_type,
            digest,
        }))
    }

    /// Writes a manifest under a tag or its digest, and reads back that it is there.
    ///
    /// Done means: answered 201, with our digest if any, and a HEAD shows our digest. Where it is
    /// unknown whether a write was applied (a lost answer, a 5xx) the HEAD decides before another
    /// try, so a registry that forbids to write a tag twice is not asked twice.
    pub async fn put_manifest(
        &self,
        repository: &Repository,
        at: &Locator,
        manifest: &Manifest,
    ) -> Result<(), Error> {
        self.write(repository, at, manifest, false).await
    }

    /// `free` says that the tag was free just before: whatever is there then is another writer's.
    pub(super) async fn write(
        &self,
        repository: &Repository,
        at: &Locator,
        manifest: &Manifest,
        free: bool,
    ) -> Result<(), Error> {
        let mut call = self.manifest_call(
            repository,
            at,
            Kind::ManifestPut,
            Method::PUT,
            WRITE_MANIFEST,
        );
        let content_type = HeaderValue::from_str(&manifest.media_type);
        let content_type = content_type.map_err(|_| Error::Protocol {
            attempt: call.attempt.clone(),
            problem: "its media type cannot be a header".to_owned(),
        })?;
        call.headers.insert(CONTENT_TYPE, content_type);
        call.scopes = vec![push_scope(repository)];
        call.body = manifest.bytes.clone();
        call.wanted = &[201];
        let digest = Digest::of(&manifest.bytes);
        let claimed = match at {
            Locator::Digest(asked) if *asked != digest => Some(asked),
            _ => Some(&manifest.digest).filter(|claimed| **claimed != digest),
        };
        if let Some(claimed) = claimed {
            return Err(wrong_digest(call.attempt, claimed, &digest));
        }

        let mut tries = self.transport.tries();
        loop {
            let error = match self.transport.once(&call, None).await {
                Ok(reply) => match told_digest(&reply).filter(|told| *told != digest) {
                    Some(told) => return Err(wrong_digest(call.attempt, &digest, &told)),
                    None => {
                        return self
                            .settled(repository, at, call.attempt, &digest, free)
                            .await;
                    }
                },
                Err(error) => error,
            };
            let unsure = error.is_temporary() && error.status() != Some(429);
            let immutable = matches!(error, Error::Immutable { .. });
            if unsure || immutable {
                // The write may have been applied, or the tag already names these bytes. Where the
                // write is tried again, a look that fails is not: a dead registry would be asked
                // thirty times.
                let scope = push_scope(repository);
                if let Ok(Some(found)) = self.head_with(repository, at, scope, immutable).await
                    && found.digest == digest
                {
                    return Ok(());
                }
            }
            let host = repository.host();
            if !self.transport.may_try_again(&mut tries, host, &error).await {
                return Err(error);
            }
        }
    }

    /// Waits until the registry shows what it accepted.
    async fn settled(
        &self,
        repository: &Repository,
        at: &Locator,
        attempt: Attempt,
        ours: &Digest,
        free: bool,
    ) -> Result<(), Error> {
        let start = Instant::now();
        let mut wait = Duration::from_millis(20);
        loop {
            let found = self
                .head_with(repository, at, push_scope(repository), true)
                .await?;
            let waited = start.elapsed() >= self.transport.settling();
            match found {
                Some(found) if found.digest == *ours => return Ok(()),
                found if waited || free && found.is_some() => {
                    return Err(match found {
                        Some(found) => Error::Overwritten {
                            attempt,
                            ours: ours.to_string(),
                            found: found.digest.to_string(),
                        },
                        None => Error::Protocol {
                            attempt,
                            problem: "the registry accepted it, and does not have it".to_owned(),
                        },
                    });
                }
                _ => tokio::time::sleep(wait).await,
            }
            wait = (wait * 2).min(Duration::from_millis(500));
        }
    }

    /// Lists the tags of a repository, sorted; empty for one that does not exist or has none.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<Tag>, Error> {
        #[derive(Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let attempt = attempt("list the tags of", repository, "");
        let mut url = self.transport.url(repository, "tags/list?n=1000");
        let mut seen = HashSet::new();
        let mut tags = Vec::new();
        let problem = |problem: &str| Error::Protocol {
            attempt: attempt.clone(),
            problem: problem.to_owned(),
        };
        loop {
            if !seen.insert(url.clone()) {
                return Err(problem("the registry's pages of tags go in a circle"));
            }
            let mut call = self.call(Kind::TagList, Method::GET, url.clone(), attempt.clone());
            call.scopes = vec![pull_scope(repository)];
            call.wanted = &[200, 404];
            let reply = self.transport.send(&call).await?;
            if reply.status == 404 {
                break;
            }
            let page: Page = serde_json::from_slice(&reply.body)
                .map_err(|_| problem("the answer is not a list of tags"))?;
            // A tag that is no legal tag can be neither read nor written, so nobody misses it.
            let legal = page.tags.unwrap_or_default();
            tags.extend(legal.iter().filter_map(|tag| Tag::parse(tag).ok()));
            match next_page(&reply, &url) {
                Some(next) if next.origin() == url.origin() => url = next,
                Some(_) => return Err(problem("the next page of tags is on another host")),
                None => break,
            }
        }
        tags.sort();
        tags.dedup();
        Ok(tags)
    }
}

/// The target of `Link: <…>; rel="next"` (distribution-spec, "Listing Tags").
fn next_page(reply: &Reply, base: &Url) -> Option<Url> {
    let links = reply.headers.get_all("link").iter();
    let links = links.filter_map(|value| value.to_str().ok());
    for link in links.flat_map(|text| text.split(",<").flat_map(|part| part.split(", <"))) {
        let (target, parameters) = link.trim().trim_start_matches('<').split_once('>')?;
        let next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim().to_ascii_lowercase();
            parameter == "rel=next" || parameter == "rel=\"next\""
        });
        if next {
            return base.join(target).ok();
        }
    }
    None
}

fn wrong_digest(attempt: Attempt, expected: &Digest, found: &Digest) -> Error {
    Error::WrongDigest {
        attempt,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}
