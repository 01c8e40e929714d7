//! The manifests of documents, in the forms that registries take.
//!
//! Called by `registry`. A small document is inline: it is an annotation of its own manifest, so that one request reads
//! it, and one writes it. A larger one is the first layer.

use std::collections::HashMap;

use oci_spec::image as spec;
use serde::Deserialize;

use super::{Descriptor, IMAGE_MANIFEST, Manifest};

/// The media type of the config of an artifact that has none (image-spec, "Guidance for an Empty
/// Descriptor").
const EMPTY: &str = "application/vnd.oci.empty.v1+json";
/// The bytes of that config.
pub const EMPTY_CONFIG: &[u8] = b"{}";
/// The media type of an image's config.
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// The media type of an image's layer.
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// The config of an artifact in the form of an image: one of no platform, without layers.
pub const PLAIN_CONFIG: &[u8] =
    br#"{"architecture":"unknown","os":"unknown","config":{},"rootfs":{"type":"layers","diff_ids":[]}}"#;
/// The annotation that is the document.
const DOCUMENT: &str = "io.laminate.document";
/// The media type of [`INLINE_LAYER`].
const INLINE: &str = "application/vnd.laminate.inline.v1+json";
/// The first layer of an inline document. Versions of laminate that read the first layer report that they need a newer
/// one.
pub const INLINE_LAYER: &[u8] = br#"{"version":2}"#;

impl Manifest {
    /// Returns the manifest of an artifact (image-spec v1.1, "Guidelines for Artifact Usage"): an
    /// empty config, and the content as layers.
    pub fn artifact(artifact_type: &str, layers: &[Descriptor]) -> Self {
        let manifest = spec::ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(IMAGE_MANIFEST)
            .artifact_type(artifact_type)
            .config(Descriptor::of(EMPTY, EMPTY_CONFIG).to_spec())
            .layers(layers.iter().map(Descriptor::to_spec).collect::<Vec<_>>())
            .build()
            .expect("every required property is set");
        let bytes = serde_json::to_vec(&manifest).expect("a manifest is plain data");
        Self::new(bytes, IMAGE_MANIFEST)
    }

    /// Returns the manifest of an artifact in the form of an image, for registries that accept only types of images:
    /// the config is [`PLAIN_CONFIG`], all layers have the type of a file system's, and the type of the artifact is an
    /// annotation.
    pub fn plain_artifact(artifact_type: &str, layers: &[Descriptor]) -> Self {
        let layers = layers.iter().map(|layer| {
            let layer = Descriptor {
                media_type: LAYER.to_owned(),
                ..layer.clone()
            };
            layer.to_spec()
        });
        let kind = ("io.laminate.type".to_owned(), artifact_type.to_owned());
        let manifest = spec::ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(IMAGE_MANIFEST)
            .config(Descriptor::of(CONFIG, PLAIN_CONFIG).to_spec())
            .layers(layers.collect::<Vec<_>>())
            .annotations(HashMap::from([kind]))
            .build()
            .expect("every required property is set");
        let bytes = serde_json::to_vec(&manifest).expect("a manifest is plain data");
        Self::new(bytes, IMAGE_MANIFEST)
    }

    /// Returns the manifest of an inline document; `layers` are the blobs that are kept with it.
    pub fn inline_artifact(artifact_type: &str, document: &str, layers: &[Descriptor]) -> Self {
        let inline = Descriptor::of(INLINE, INLINE_LAYER);
        let layers = std::iter::once(&inline).chain(layers);
        let document = (DOCUMENT.to_owned(), document.to_owned());
        let manifest = spec::ImageManifestBuilder::default()
            .schema_version(2_u32)
            .media_type(IMAGE_MANIFEST)
            .artifact_type(artifact_type)
            .config(Descriptor::of(EMPTY, EMPTY_CONFIG).to_spec())
            .layers(layers.map(Descriptor::to_spec).collect::<Vec<_>>())
            .annotations(HashMap::from([document]))
            .build()
            .expect("every required property is set");
        let bytes = serde_json::to_vec(&manifest).expect("a manifest is plain data");
        Self::new(bytes, IMAGE_MANIFEST)
    }
}

/// Returns the document that is inline in a manifest; `None` if there is none.
pub fn inline_document(manifest: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Annotated {
        annotations: Annotations,
    }
    #[derive(Deserialize)]
    struct Annotations {
        #[serde(rename = "io.laminate.document")]
        document: String,
    }
    let annotated: Annotated = serde_json::from_slice(manifest).ok()?;
    Some(annotated.annotations.document)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Staging finds documents by these digests, so the bytes must not change.
    #[test]
    fn the_bytes_of_an_artifact_stay_the_same() {
        let layers = [
            Descriptor::of("application/x", b"a"),
            Descriptor::of(IMAGE_MANIFEST, b"b"),
        ];
        let made = Manifest::artifact("application/x", &layers);
        assert_eq!(made.media_type, IMAGE_MANIFEST);
        assert_eq!(
            String::from_utf8_lossy(&made.bytes),
            "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\
             \"artifactType\":\"application/x\",\"config\":{\"mediaType\":\
             \"application/vnd.oci.empty.v1+json\",\"digest\":\
             \"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a\",\"size\":2},\
             \"layers\":[{\"mediaType\":\"application/x\",\"digest\":\
             \"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb\",\"size\":1},\
             {\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\
             \"sha256:3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d\",\"size\":1}]}"
        );
    }

    #[test]
    fn an_inline_document_is_read_as_it_was_written() {
        let document = r#"{"text":"é \" \\ \u0000"}"#;
        let made = Manifest::inline_artifact("application/x", document, &[blob_of("a")]);
        assert_eq!(inline_document(&made.bytes).as_deref(), Some(document));
        let again = Manifest::inline_artifact("application/x", document, &[blob_of("a")]);
        assert_eq!(again, made, "the bytes stay the same");
        let image = super::super::Image::parse(&made.bytes).expect("an image manifest");
        assert_eq!(image.config.digest, crate::name::Digest::of(EMPTY_CONFIG));
        assert_eq!(
            image.layers,
            [Descriptor::of(INLINE, INLINE_LAYER), blob_of("a")]
        );
        assert_eq!(
            inline_document(&Manifest::artifact("x", &[blob_of("a")]).bytes),
            None
        );
    }

    fn blob_of(text: &str) -> Descriptor {
        Descriptor::of("application/x", text.as_bytes())
    }
}
