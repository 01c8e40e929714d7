//! What valid specs resolve to. Invalid ones are in `tests/bad_specs.rs`.

mod bases;
mod compression;
mod config;
mod copied;
mod dockerfile_names;
mod dockerfiles;
mod files;
mod left_out;
mod many;
mod mounts;
mod nulls;
mod proofs;
mod requirements;
mod steps;
mod tags;
mod variables;
mod variants;

use super::{Image, Overrides, Stack, Step};
use crate::testing::{parse, stack};

/// Returns the image of a label.
fn image<'a>(stack: &'a Stack, label: &str) -> &'a Image {
    let mut images = stack.images().iter();
    let found = images.find(|image| stack.label_of(image) == label);
    found.expect("the stack has this image")
}

/// Returns the labels of all images in order.
fn labels(stack: &Stack) -> Vec<String> {
    stack.ids().map(|id| stack.label(id)).collect()
}

/// Returns the stack of one image `a` with these settings.
fn one(settings: &str) -> Stack {
    stack(&format!(
        "stack: x\nimages:\n  a:\n    base: debian:12\n{settings}"
    ))
}

/// Returns the steps of one image with these settings, and files under `images/`.
fn steps_with(settings: &str, files: &[(&str, &str)]) -> Vec<Step> {
    let spec = format!("stack: x\nimages:\n  a:\n    base: debian:12\n{settings}");
    crate::testing::stack_with(&spec, files).images[0]
        .steps
        .clone()
}

/// Returns the titles of the steps of one image with these settings.
fn titles(settings: &str) -> Vec<String> {
    let steps = steps_with(settings, &[]);
    steps.into_iter().map(|step| step.title).collect()
}

/// Returns the first line of each fault of a spec.
fn faults(yaml: &str) -> Vec<String> {
    let rendered = parse(yaml, &[], &Overrides::default()).expect_err("the spec is invalid");
    let lines = rendered.lines();
    lines
        .filter_map(|line| line.strip_prefix("error: "))
        .map(str::to_owned)
        .collect()
}
