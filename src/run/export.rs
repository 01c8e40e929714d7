//! What a run exports: the request's exporters, and the images with their configs and annotations.

use std::collections::BTreeMap;

use super::context::Context;
use super::image::BuiltImage;
use super::options::Options;
use crate::buildkit::{Exporter, Request, Returned};
use crate::compile::{BaseConfig, finished};
use crate::llb::Platform;
use crate::stack::{Base, Compression, ImageId};

/// Returns the variant that stands for an image in the index. A result lists platforms, and no two may
/// be equal; the index itself is never pulled by a runtime.
pub fn variant(number: usize) -> String {
    format!("x{number}")
}

/// Returns the request of a run. `images`: how many images it may return; `exports`: whether it builds
/// any.
pub fn request(options: &Options, images: usize, exports: bool) -> Request {
    let platforms: Vec<String> = (0..images)
        .map(|number| platform_id(&options.platform, number))
        .collect();
    let mut frontend_attrs = BTreeMap::from([("platform".to_owned(), platforms.join(","))]);
    if let Some(epoch) = options.epoch {
        let name = "build-arg:SOURCE_DATE_EPOCH".to_owned();
        frontend_attrs.insert(name, epoch.to_string());
    }
    let mut services = options.services.clone();
    let mut exporters = Vec::new();
    if let Some(staging) = options.staging.as_ref().filter(|_| exports) {
        let name = staging.to_string();
        // What is stored in containerd's image store, on engines that have one, is pulled whole and stays there.
        let attrs = [
            ("name", name.as_str()),
            ("push", "true"),
            ("push-by-digest", "true"),
            ("store", "false"),
        ];
        exporters.push(exporter("image", &attrs, options.compression));
    }
    if let Some(archive) = options.archive.as_ref().filter(|_| exports) {
        services.archives.insert(exporters.len(), archive.clone());
        exporters.push(exporter("oci", &[], options.compression));
    }
    Request {
        exporters,
        frontend_attrs,
        services,
    }
}

fn exporter(kind: &str, attrs: &[(&str, &str)], compression: Compression) -> Exporter {
    let Compression { format, level } = compression;
    let level = level.map(|level| level.to_string());
    // Without `force-compression`, the layers of external bases stay as they are, and are not pulled.
    let compression = [("oci-mediatypes", "true"), ("compression", format.name())];
    let level = level.as_deref().map(|level| ("compression-level", level));
    let attrs = attrs.iter().copied().chain(compression).chain(level);
    Exporter {
        kind: kind.to_owned(),
        attrs: attrs
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    }
}

fn platform_id(platform: &Platform, number: usize) -> String {
    let variant = variant(number);
    format!("{}/{}/{variant}", platform.os, platform.architecture)
}

/// Returns the images as the engine exports them, each under the number it has among all that the run
/// may return.
pub fn returned<'a>(
    context: &Context<'_>,
    images: impl IntoIterator<Item = (usize, ImageId, &'a BuiltImage)>,
) -> Returned {
    let mut returned = Returned::default();
    for (number, id, image) in images {
        let name = platform_id(&context.options.platform, number);
        returned
            .metadata
            .extend(metadata(context, id, &name, image));
        let platform = Platform {
            variant: variant(number),
            ..context.options.platform.clone()
        };
        returned.refs.push((name, image.result.clone(), platform));
    }
    returned
}

/// Returns the exporter's keys of one image: its config, that of its pinned base, annotations.
fn metadata(
    context: &Context<'_>,
    id: ImageId,
    name: &str,
    built: &BuiltImage,
) -> BTreeMap<String, Vec<u8>> {
    let bytes = |config: &BaseConfig| config.0.to_string().into_bytes();
    let config = finished(&built.compiled.config, &built.titles, context.options.epoch);
    let mut metadata = BTreeMap::from([
        (format!("containerimage.config/{name}"), bytes(&config)),
        (
            format!("containerimage.base.config/{name}"),
            bytes(&built.pinned_config),
        ),
    ]);
    for (key, value) in annotations(context, id) {
        metadata.insert(format!("annotation[{name}].{key}"), value.into_bytes());
    }
    metadata
}

/// Returns the annotations of an image's manifest. Only what the key covers: equal keys give equal
/// bytes.
fn annotations(context: &Context<'_>, id: ImageId) -> Vec<(&'static str, String)> {
    let image = context.image(id);
    let name = image.name.value.to_string();
    let mut annotations = vec![
        ("io.laminate.stack", context.stack.name().to_string()),
        ("io.laminate.image", name.clone()),
        ("org.opencontainers.image.title", name),
    ];
    if let Some(keyed) = &context.plan.images[id.0].keyed {
        annotations.push(("io.laminate.key", keyed.key.to_string()));
    }
    if let Base::External(base) = &image.base
        && let Some(digest) = context.options.external.get(&base.reference.value)
    {
        let reference = base.reference.value.to_string();
        annotations.push(("org.opencontainers.image.base.name", reference));
        annotations.push(("org.opencontainers.image.base.digest", digest.to_string()));
    }
    annotations
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the attributes that decide how layers are stored.
    fn attributes(compression: &str) -> Vec<String> {
        let spec = format!("stack: s\n{compression}\nimages: {{ a: {{ base: \"debian:12\" }} }}");
        let compression = crate::testing::stack(&spec).compression();
        let Exporter { attrs, .. } = exporter("oci", &[], compression);
        let attrs = attrs.into_iter();
        attrs
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    #[test]
    fn new_layers_are_zstd_and_those_of_bases_stay() {
        assert_eq!(
            attributes(""),
            [
                "compression=zstd",
                "compression-level=3",
                "oci-mediatypes=true"
            ]
        );
        assert_eq!(
            attributes("compression: gzip"),
            ["compression=gzip", "oci-mediatypes=true"]
        );
    }
}
