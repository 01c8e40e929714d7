//! Images that copy from others: their keys, their reasons, and what is built for them.

use std::collections::BTreeSet;

use super::*;

/// app copies from tool, from a tag, and in a group from a second one.
const COPIES: &str = r#"
stack: datahub
registry: localhost/x
vars: { v: "1" }
images:
  base: { base: debian:bookworm }
  tool: { base: base, steps: [{ run: tool }] }
  app:
    base: base
    steps:
      - copy: { /a: { image: tool, from: /a } }
      - copy: { /b: { image: "busybox:${v}", from: /b } }
      - group: [{ copy: { /c: { image: alpine:3, from: /c } } }]
  on: { base: app }
"#;

const TOOL: ImageId = ImageId(1);
const APP: ImageId = ImageId(2);

fn external(text: &str) -> Reference {
    Reference::parse(text).expect("a reference")
}

fn facts() -> KeyFacts {
    let mut facts = key_facts();
    for text in ["busybox:1", "alpine:3"] {
        let digest = Digest::of(text.as_bytes());
        facts.external.insert(external(text), digest);
    }
    facts
}

/// The facts after the images with these facts for keys were built.
fn all_built(stack: &Stack, key_facts: &KeyFacts) -> Facts {
    let keys = Keys::new(stack, key_facts);
    let mut facts = Facts::default();
    for id in stack.ids() {
        let Keyed { key, components } = keys.get(id).cloned().expect("all is known");
        let label = stack.label(id);
        let digest = Digest::of(label.as_bytes());
        facts.stored.insert(key.clone(), digest.clone());
        let record = Record {
            key,
            digest,
            components,
        };
        facts.records.insert(label, record);
    }
    facts
}

/// What is rebuilt, with the texts of all reasons.
fn rebuilt(spec: &str, key_facts: &KeyFacts) -> Vec<String> {
    let before = crate::testing::stack(COPIES);
    let built = all_built(&before, &facts());
    let stack = crate::testing::stack(spec);
    let plan = plan(&stack, key_facts, &built, &Request::default());
    let images = plan.images.iter().filter_map(|image| match &image.action {
        Action::Build { reasons } => {
            let texts: Vec<&str> = reasons.iter().map(|reason| reason.text.as_str()).collect();
            Some(format!("{}: {}", image.label, texts.join("; ")))
        }
        Action::Reuse { .. } | Action::Hold { .. } => None,
    });
    images.collect()
}

#[test]
fn an_external_image_that_moves_rebuilds_what_copies_from_it() {
    for text in ["busybox:1", "alpine:3"] {
        let mut moved = facts();
        moved.external.insert(external(text), Digest::of(b"moved"));
        let found = rebuilt(COPIES, &moved);
        assert_eq!(found.len(), 2, "{found:?}");
        let expected = format!("app: docker.io/library/{text} is now ");
        assert!(found[0].starts_with(&expected), "{found:?}");
        assert_eq!(found[1], "on: its base app is rebuilt");
    }
}

#[test]
fn an_image_of_the_stack_that_changes_rebuilds_what_copies_from_it() {
    let found = rebuilt(&COPIES.replace("run: tool", "run: other"), &facts());
    assert_eq!(
        found[1..],
        [
            "app: it uses files of tool, which is rebuilt",
            "on: its base app is rebuilt"
        ]
    );
}

#[test]
fn another_tag_is_the_reason_of_a_changed_variable() {
    let mut facts = facts();
    facts
        .external
        .insert(external("busybox:2"), Digest::of(b"busybox:1"));
    let found = rebuilt(&COPIES.replace("v: \"1\"", "v: \"2\""), &facts);
    assert_eq!(found[0], "app: variable v changed from `1` to `2`");
}

#[test]
fn a_copy_that_is_added_or_removed_is_a_reason() {
    let step = "      - copy: { /a: { image: tool, from: /a } }\n";
    let found = rebuilt(&COPIES.replace(step, ""), &facts());
    assert_eq!(found[0], "app: step `copy /a` was removed");
    let other = "      - copy: { /a: { image: base, from: /a } }\n";
    let found = rebuilt(&COPIES.replace(step, other), &facts());
    assert_eq!(
        found[0],
        "app: step `copy /a` changed; it now uses files of base"
    );
}

#[test]
fn an_image_without_the_digest_of_what_it_copies_has_no_key() {
    let stack = crate::testing::stack(COPIES);
    let keys = Keys::new(&stack, &key_facts());
    let known: Vec<bool> = stack.ids().map(|id| keys.get(id).is_some()).collect();
    assert_eq!(known, [true, true, false, false]);
}

#[test]
fn what_an_image_copies_from_is_built_with_it() {
    let stack = crate::testing::stack(COPIES);
    let request = Request {
        selected: Some(BTreeSet::from([APP])),
        ..Request::default()
    };
    let plan = plan(&stack, &facts(), &Facts::default(), &request);
    assert_eq!(builds(&plan), "base New, tool New, app New");
}

#[test]
fn selectors_follow_copies() {
    let stack = crate::testing::stack(COPIES);
    let selected = |word: &str| select(&stack, &[word.to_owned()]).expect("it is known");
    let ids = |list: &[ImageId]| BTreeSet::from_iter(list.iter().copied());
    assert_eq!(selected("tool+"), ids(&[TOOL, APP, ImageId(3)]));
    assert_eq!(selected("+app"), ids(&[BASE, TOOL, APP]));
}
