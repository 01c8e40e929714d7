//! The manifests of an export, which laminate can push before the engine does: [`Manifests`].

use std::collections::BTreeMap;

use futures_util::future::{LocalBoxFuture, try_join_all};

use crate::buildkit::{Error, Exported};
use crate::name::Digest;
use crate::oci::{self, Index, Manifest};
use crate::stack::ImageId;
use crate::trace::{self, Track};

/// The manifests of the images that a run exports.
#[derive(Clone, Debug)]
pub struct Manifests {
    /// The index of all images.
    pub index: Manifest,
    /// The manifest of each image, of leaders alone.
    pub images: BTreeMap<ImageId, Manifest>,
}

/// Pushes manifests to staging, which has all blobs. Returns false if that failed; the engine then pushes them.
pub type PushManifests = Box<dyn Fn(Manifests) -> LocalBoxFuture<'static, bool>>;

impl Manifests {
    /// Reads the manifests of what the engine exports; `variants` stand for the images in its index. Returns `None` if the
    /// index has anything else.
    pub async fn read(
        exported: &Exported,
        variants: &BTreeMap<String, ImageId>,
    ) -> Result<Option<Self>, Error> {
        let _span = trace::span(Track::Engine, || "read the manifests".to_owned());
        let Some(index) = manifest(exported, &exported.index).await? else {
            return Ok(None);
        };
        let Ok(entries) = Index::parse(&index.bytes).map(|index| index.entries) else {
            return Ok(None);
        };
        let images = try_join_all(entries.iter().map(|entry| async {
            let id = (entry.variant.as_ref()).and_then(|variant| variants.get(variant));
            let manifest = manifest(exported, &entry.manifest.digest).await?;
            Ok::<_, Error>(id.copied().zip(manifest))
        }));
        let images: Option<BTreeMap<_, _>> = images.await?.into_iter().collect();
        Ok(images.map(|images| Self { index, images }))
    }
}

/// Reads a manifest or an index; `None` if it has no media type.
async fn manifest(exported: &Exported, digest: &Digest) -> Result<Option<Manifest>, Error> {
    let bytes = exported.read(digest).await?;
    let media_type = oci::media_type(&bytes);
    Ok(media_type.map(|media_type| Manifest::new(bytes, media_type)))
}
