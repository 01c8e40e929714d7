//! The manifests of an export, which laminate can push before the engine does: [`Manifests`].

use std::collections::BTreeMap;

use futures_util::future::{LocalBoxFuture, join_all};

use crate::buildkit::Exported;
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
    /// Reads the manifests of what the engine exports; `variants` stand for the images in its index. Returns `None` if one
    /// cannot be read, or if the index has anything else: the engine pushes them then, and reports its own faults.
    pub async fn read(exported: &Exported, variants: &BTreeMap<String, ImageId>) -> Option<Self> {
        let _span = trace::span(Track::Engine, || "read the manifests".to_owned());
        let index = manifest(exported, &exported.index).await?;
        let entries = Index::parse(&index.bytes).ok()?.entries;
        let images = join_all(entries.iter().map(|entry| async {
            let id = variants.get(entry.variant.as_ref()?)?;
            let manifest = manifest(exported, &entry.manifest.digest).await?;
            Some((*id, manifest))
        }));
        let images: Option<BTreeMap<_, _>> = images.await.into_iter().collect();
        images.map(|images| Self { index, images })
    }
}

/// Reads a manifest or an index; `None` if it cannot be read, or has no media type.
async fn manifest(exported: &Exported, digest: &Digest) -> Option<Manifest> {
    let bytes = exported.read(digest).await.ok()?;
    let media_type = oci::media_type(&bytes)?;
    Some(Manifest::new(bytes, media_type))
}
