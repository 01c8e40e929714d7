//! The image that a manifest is for a reader: itself, or one of an index.

use super::{Failure, context};
use crate::name::Repository;
use crate::oci::{Image, Index};
use crate::registry::{Locator, Manifest, Registry};

/// Returns an image, and whether it is the only one: of an index, the one for this machine's platform, or else the first.
/// `None` if there is none.
pub(super) async fn platform_image(
    registry: &Registry,
    repository: &Repository,
    found: &Manifest,
) -> Result<Option<(Image, bool)>, Failure> {
    if let Ok(image) = Image::parse(&found.bytes) {
        return Ok(Some((image, true)));
    }
    let Ok(index) = Index::parse(&found.bytes) else {
        return Ok(None);
    };
    let platform = context::platform();
    let fitting = index.digest_for(&platform.os, &platform.architecture);
    let first = index.entries.first();
    let Some(digest) = fitting.or_else(|| Some(first?.manifest.digest.clone())) else {
        return Ok(None);
    };
    let manifest = registry
        .manifest(repository, &Locator::Digest(digest))
        .await?;
    let image = manifest.and_then(|manifest| Image::parse(&manifest.bytes).ok());
    Ok(image.map(|image| (image, false)))
}
