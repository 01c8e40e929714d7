//! The Dockerfile of an image: read by the frontend of the engine, then a part of the graph.

use std::collections::{BTreeMap, BTreeSet};

use bollard_buildkit_proto::pb;
use prost::Message as _;

use super::base::staged;
use super::context::Context;
use super::outcome::{FailedProcess, ImageError, StopReason};
use crate::buildkit::{self, FrontendRequest};
use crate::compile::{BaseConfig, BaseState, DockerfileState};
use crate::name::Reference;
use crate::stack::{Dockerfile, ExternalImage, ImageId, ImageSource};

/// Has the Dockerfile of an image read, and adds it to the graph. `base`: what it is based on; `built`: the configs of the
/// images that it uses and this run built.
pub async fn add(
    context: &Context<'_>,
    id: ImageId,
    file: &Dockerfile,
    base: &BaseState,
    built: &BTreeMap<ImageId, BaseConfig>,
) -> Result<DockerfileState, StopReason> {
    let mut images = images(context, id, file, built).await?;
    if let Some(name) = &file.base {
        images.insert(name.clone(), base.clone());
    }
    let platform = &context.options.platform;
    let shown = format!("{}/{}", platform.os, platform.architecture);
    // The operations of the images it uses, and of its files.
    let mut before = BTreeSet::new();
    let request = {
        let mut compiler = context.compiler();
        let asked = compiler.dockerfile(id, file, &images, &shown);
        let mut inputs = BTreeMap::new();
        for (name, output) in asked.inputs {
            let definition = context.definition(&mut compiler, output);
            before.extend(definition.digests.into_keys());
            inputs.insert(name, definition.pb);
        }
        FrontendRequest {
            inputs,
            options: asked.options,
        }
    };
    let known: BTreeSet<String> = request.inputs.values().flat_map(image_sources).collect();
    let converted = context.gateway.convert(request).await;
    let converted = converted.map_err(|error| match error {
        buildkit::Error::Failed(failure) => StopReason::from(ImageError::Step {
            step: Some(0),
            member: None,
            failure,
            log: Vec::new(),
            process: FailedProcess::default(),
        }),
        other => StopReason::Run(other),
    })?;
    let unusable = |reason: String| {
        StopReason::from(ImageError::Base {
            reference: file.file.to_string(),
            reason,
        })
    };
    if let Some(other) = image_sources(&converted.definition)
        .into_iter()
        .find(|it| !known.contains(it))
    {
        return Err(unusable(format!(
            "it uses the image {other}, which laminate did not find in it"
        )));
    }
    let config =
        BaseConfig::parse(&converted.config).map_err(|error| unusable(error.to_string()))?;
    let config = config.with_platform(&platform.os, &platform.architecture);
    let added = context
        .compiler()
        .add_dockerfile(id, &converted.definition, config, &before);
    added.map_err(|error| {
        StopReason::Run(buildkit::Error::Protocol {
            reason: error.to_string(),
        })
    })
}

/// Returns all images that a Dockerfile names, but for its base.
async fn images(
    context: &Context<'_>,
    id: ImageId,
    file: &Dockerfile,
    built: &BTreeMap<ImageId, BaseConfig>,
) -> Result<BTreeMap<String, BaseState>, StopReason> {
    let label = context.label(id);
    let mut images = BTreeMap::new();
    for (name, source) in &file.images {
        let pinned = match source {
            ImageSource::External(image) => pinned(context, image),
            ImageSource::InStack(other) => {
                let other = context.image(id).copied[&other.value];
                if let Some(config) = built.get(&other) {
                    let state = BaseState {
                        output: context.compiler().in_stack[&other],
                        config: config.clone(),
                    };
                    images.insert(name.clone(), state);
                    continue;
                }
                let staged = staged(context.stack, context.plan, other);
                staged.expect("an image is built when those it needs are there")
            }
        };
        let config = context.config(&pinned, &label).await?;
        let output = context.compiler().reference(&pinned, &label);
        images.insert(name.clone(), BaseState { output, config });
    }
    Ok(images)
}

fn pinned(context: &Context<'_>, image: &ExternalImage) -> Reference {
    let reference = &image.reference.value;
    match context.options.external.get(reference) {
        Some(digest) => reference.pinned(digest.clone()),
        None => reference.clone(),
    }
}

/// Returns the images of registries that a definition uses.
fn image_sources(definition: &pb::Definition) -> BTreeSet<String> {
    let operations = definition.def.iter();
    let operations = operations.filter_map(|bytes| pb::Op::decode(bytes.as_slice()).ok());
    let images = operations.filter_map(|op| match op.op {
        Some(pb::op::Op::Source(source)) => {
            let image = source.identifier.strip_prefix("docker-image://")?;
            Some(image.to_owned())
        }
        _ => None,
    });
    images.collect()
}
