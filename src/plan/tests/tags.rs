//! Which immutable tags are looked up, and which suffix a plan chooses.

use std::collections::BTreeSet;

use super::*;
use crate::name::{Repository, Tag};

/// The plan for what is built already, with `tags` in the registry.
fn tagged(stack: &Stack, tags: &[(&str, &str, Option<&[u8]>)]) -> Result<Plan, NoFreeTag> {
    let mut facts = built(stack);
    for (image, tag, content) in tags {
        let repository = Repository::parse(&format!("localhost/x/{image}")).expect("a repository");
        let tag = Tag::parse(tag).expect("a tag");
        facts
            .tags
            .insert((repository, tag), content.map(Digest::of));
    }
    Plan::new(
        stack,
        &Keys::new(stack, &key_facts()),
        &facts,
        &Request::default(),
    )
}

fn first_tags(plan: &Plan) -> Vec<&str> {
    plan.images.iter().map(|i| i.tags[0].as_str()).collect()
}

#[test]
fn immutable_tags_have_no_suffix_while_they_are_free() {
    let plan = tagged(&stack(), &[("base", "2021.2-d021570", None)]).expect("a free tag");
    assert_eq!(plan.attempt, 1);
    assert_eq!(first_tags(&plan), ["2021.2-d021570"; 4]);
}

#[test]
fn an_immutable_tag_that_points_at_the_image_is_free() {
    let tags = [("base", "2021.2-d021570", Some(b"base".as_slice()))];
    assert_eq!(tagged(&stack(), &tags).expect("a free tag").attempt, 1);
}

#[test]
fn an_immutable_tag_on_another_image_gives_the_whole_release_the_next_suffix() {
    let tags = [("base", "2021.2-d021570", Some(b"other".as_slice()))];
    let plan = tagged(&stack(), &tags).expect("a free tag");
    assert_eq!(first_tags(&plan), ["2021.2-d021570.2"; 4]);
}

#[test]
fn one_suffix_after_the_other_is_tried() {
    let tags = [
        ("base", "2021.2-d021570", Some(b"other".as_slice())),
        ("ml", "2021.2-d021570.2", Some(b"other".as_slice())),
    ];
    assert_eq!(tagged(&stack(), &tags).expect("a free tag").attempt, 3);
}

#[test]
fn tags_of_images_that_are_built_or_reused_are_looked_up() {
    let stack = stack();
    let look_up = |facts: &Facts, request: &Request| {
        tags_to_look_up(&stack, &Keys::new(&stack, &key_facts()), facts, request).len()
    };
    let mut facts = built(&stack);
    assert_eq!(look_up(&facts, &Request::default()), 4);
    facts.stored.remove(&key(&stack, R));
    let request = Request {
        selected: Some(BTreeSet::from([BASE])),
        ..Request::default()
    };
    assert_eq!(look_up(&facts, &request), 3, "r is skipped");
    facts.checkout = None;
    assert_eq!(look_up(&facts, &Request::default()), 0, "there are no tags");
}

#[test]
fn the_next_suffix_is_looked_up_only_if_a_tag_is_in_use() {
    let stack = stack();
    let keys = Keys::new(&stack, &key_facts());
    let mut facts = built(&stack);
    let request = Request::default();
    let first = tags_to_look_up(&stack, &keys, &facts, &request);
    facts
        .tags
        .extend(first.iter().cloned().map(|place| (place, None)));
    assert!(tags_to_look_up(&stack, &keys, &facts, &request).is_empty());
    let place = first.first().cloned().expect("there are four");
    facts.tags.insert(place, Some(Digest::of(b"other")));
    let second = tags_to_look_up(&stack, &keys, &facts, &request);
    let second: BTreeSet<&str> = second.iter().map(|(_, tag)| tag.as_str()).collect();
    assert_eq!(second, BTreeSet::from(["2021.2-d021570.2"]));
}

#[test]
fn when_every_suffix_is_in_use_the_plan_fails() {
    let stack = stack();
    let keys = Keys::new(&stack, &key_facts());
    let mut facts = built(&stack);
    let request = Request::default();
    loop {
        let tags = tags_to_look_up(&stack, &keys, &facts, &request);
        if tags.is_empty() {
            break;
        }
        let other = Some(Digest::of(b"other"));
        facts
            .tags
            .extend(tags.into_iter().map(|place| (place, other.clone())));
    }
    let error = Plan::new(&stack, &keys, &facts, &request).expect_err("no tag is free");
    assert_eq!(error.tag, "2021.2-d021570");
}
