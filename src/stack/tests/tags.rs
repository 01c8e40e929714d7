//! Immutable tags and channels.

use super::*;
use crate::name::Commit;
use crate::stack::Channel;
use crate::stack::tags::TagPart;

const COMMIT: &str = "d021570000000000000000000000000000000000";

fn commit() -> Commit {
    Commit::parse(COMMIT).expect("a hash")
}

fn with(settings: &str) -> Stack {
    stack(&format!(
        "stack: x\nregistry: ghcr.io/campus\n{settings}\nimages:\n  a: {{ base: debian:12 }}\n  b: {{ base: a }}\n"
    ))
}

fn tag(settings: &str) -> String {
    let stack = with(settings);
    let tag = stack.images()[0].tags[0].tag(&commit(), 7);
    tag.expect("it is valid").to_string()
}

fn channel(settings: &str) -> Channel {
    with(settings).channels[0].clone()
}

#[test]
fn a_tag_contains_the_commit_or_its_first_digits() {
    assert_eq!(tag("tags: ['v-${commit7}']"), "v-d021570");
    assert_eq!(tag("tags: ['${commit}']"), COMMIT);
}

#[test]
fn a_tag_can_use_variables_of_the_stack() {
    assert_eq!(
        tag("series: s\ntags: ['${series}-${image}-${commit7}']"),
        "s-a-d021570"
    );
}

#[test]
fn a_numbered_tag_is_set_at_promotion() {
    let stack = with("tags: ['${commit7}', '1.${n}']");
    let tags = &stack.images()[0].tags;
    assert_eq!(
        tags.iter().map(|tag| tag.is_numbered()).collect::<Vec<_>>(),
        [false, true]
    );
    assert_eq!(tags[1].tag(&commit(), 7).expect("valid").as_str(), "1.7");
}

#[test]
fn a_tag_is_displayed_as_written() {
    let stack = with("series: s\ntags: ['${series}-${commit7}']");
    assert_eq!(stack.images()[0].tags[0].to_string(), "s-${commit7}");
    assert_eq!(stack.images()[0].tags[0].parts[2], TagPart::Commit7);
}

#[test]
fn a_channel_moves_one_tag_in_each_variant() {
    let channel = channel("variants: { p: , q: }\nchannels: { c: { tag: '${variant}-stable' } }");
    let tags: Vec<(usize, &str)> = channel
        .tags
        .iter()
        .map(|(v, tag)| (*v, tag.as_str()))
        .collect();
    assert_eq!(tags, [(0, "p-stable"), (1, "q-stable")]);
}

#[test]
fn a_channel_of_one_variant_has_one_tag() {
    let channel = channel("variants: { p: , q: }\nchannels: { c: { tag: stable, variant: q } }");
    assert_eq!(channel.tags.keys().collect::<Vec<_>>(), [&1]);
}

#[test]
fn a_channel_has_gates_for_all_or_some_images() {
    let channel = channel(
        "policy: { user: not-root }\nchannels: { c: { tag: t, gates: [checks, gpu: [b]] } }",
    );
    assert_eq!(channel.gates[0].images, None);
    let images = channel.gates[1].images.clone().expect("some images");
    assert_eq!(images.into_iter().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn a_channel_has_no_gates_by_default_and_is_not_automatic() {
    let channel = channel("channels: { c: { tag: t } }");
    assert!(channel.gates.is_empty() && !channel.auto && channel.from.is_none());
}

#[test]
fn a_channel_can_follow_another() {
    let stack = with("channels: { c: { tag: t, from: d, auto: true }, d: { tag: u, auto: true } }");
    assert_eq!(stack.channels()[0].from.as_deref(), Some("d"));
    assert!(stack.channels()[0].auto);
}

#[test]
fn channels_keep_the_order_of_the_file() {
    let stack = with("channels: { z: { tag: t }, a: { tag: u } }");
    let names: Vec<&str> = stack.channels().iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["z", "a"]);
}

#[test]
fn an_image_in_staging_has_no_tag_that_laminate_could_set() {
    let spec = |settings: &str| {
        let images = "images:\n  a: { base: debian:12 }";
        format!("stack: a\nregistry: ghcr.io/campus\n{settings}\n{images}\n")
    };
    let settings = "tags: ['release-${commit7}', 'r-${commit7}', 'stable-000001_${commit7}']\n\
        channels: { stable: { tag: state }, next: { tag: next } }";
    let expected = "laminate has tags like this in the staging repository";
    assert_eq!(faults(&spec(settings)), [expected; 3]);
    let other = format!("staging: ghcr.io/campus/staging\n{settings}");
    assert_eq!(stack(&spec(&other)).channels.len(), 2);
}
