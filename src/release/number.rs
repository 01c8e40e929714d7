//! Version numbers of releases: each release gets one when it is promoted for the first time; they
//! grow, and none is ever given twice, not even one that was lost on the way.

use super::Error;
use crate::name::{Digest, Repository, Tag};
use crate::registry::{Locator, Manifest, Registry};
use crate::staging::{Document as _, NumberTag, Staging, VersionNumber};

/// How many numbers are tried, if others claim each first.
const ROUNDS: u64 = 20;

/// Returns the number a release has.
pub async fn known(staging: &Staging, release: &Digest) -> Result<Option<u64>, Error> {
    Ok(staging.version_number(release).await?)
}

/// Returns the number that would be given next.
pub async fn next(staging: &Staging) -> Result<u64, Error> {
    let last = staging.last_version_number().await?;
    last.checked_add(1).ok_or_else(|| Error::LastNumber {
        tag: VersionNumber::tag(NumberTag::Number(last)),
    })
}

/// Gives a release its number: the one it has, else the next. A number is claimed before it is used;
/// if that was all that happened, the number is lost and the next one is taken. If several number one
/// release at once, the first to write its number for the release decides, and the numbers of the
/// others are lost.
pub async fn assign(staging: &Staging, release: &Digest) -> Result<u64, Error> {
    if let Some(number) = known(staging, release).await? {
        return Ok(number);
    }
    let first = next(staging).await?;
    let last = first.saturating_add(ROUNDS - 1);
    for number in first..=last {
        let document = VersionNumber {
            number,
            release: release.clone(),
        };
        // Another release has it; or this one, by another process, which then writes it below.
        let by_number = staging.claim(NumberTag::Number(number), &document);
        if by_number.await?.is_none() {
            continue;
        }
        let by_release = staging.claim(NumberTag::Release(release), &document);
        if by_release.await?.is_some() {
            return Ok(number);
        }
        if let Some(theirs) = known(staging, release).await? {
            return Ok(theirs);
        }
    }
    Err(Error::Numbers {
        attempts: ROUNDS,
        last,
    })
}

/// Sets a tag that never moves on an image its repository has; it may be there already.
pub async fn put_tag(
    registry: &Registry,
    repository: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), Error> {
    if is_on(registry, repository, tag, digest).await? {
        return Ok(());
    }
    let by_digest = Locator::Digest(digest.clone());
    let manifest = registry.manifest(repository, &by_digest).await?;
    let manifest = manifest.ok_or_else(|| Error::Missing {
        repository: repository.clone(),
        digest: digest.clone(),
    })?;
    put_new(registry, repository, tag, &manifest).await
}

/// Sets a tag that never moves on a manifest the blobs of which are in the repository; it may be there already.
pub async fn put_manifest(
    registry: &Registry,
    repository: &Repository,
    tag: &Tag,
    manifest: &Manifest,
) -> Result<(), Error> {
    if is_on(registry, repository, tag, &manifest.digest).await? {
        return Ok(());
    }
    put_new(registry, repository, tag, manifest).await
}

async fn put_new(
    registry: &Registry,
    repository: &Repository,
    tag: &Tag,
    manifest: &Manifest,
) -> Result<(), Error> {
    if registry.write_if_free(repository, tag, manifest).await? {
        registry.log().add(repository, tag);
    } else {
        // Another writer set it since the look-up.
        is_on(registry, repository, tag, &manifest.digest).await?;
    }
    Ok(())
}

/// Returns whether a tag exists; it must be on this digest then.
async fn is_on(
    registry: &Registry,
    repository: &Repository,
    tag: &Tag,
    digest: &Digest,
) -> Result<bool, Error> {
    let at = Locator::Tag(tag.clone());
    match registry.head_manifest(repository, &at).await? {
        Some(found) if found.digest == *digest => Ok(true),
        Some(found) => Err(Error::Taken {
            repository: repository.clone(),
            tag: tag.clone(),
            found: found.digest,
            wanted: digest.clone(),
        }),
        None => Ok(false),
    }
}
