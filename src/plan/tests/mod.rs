//! Plans of a small stack, written as a spec: what changes is an edit of its text.

mod conda_cases;
mod copied;
mod dockerfile_cases;
mod kept;
mod key_cases;
mod keys;
mod mount_cases;
mod reasons;
mod rebuilt;
mod suites;
mod tags;

use std::collections::BTreeMap;

use super::*;
use crate::checkout::Checkout;
use crate::name::{Commit, Digest, Reference};
use crate::stack::{ImageId, Stack};
use crate::testing::stack_with;

/// base → sci → ml, and base → r.
const SPEC: &str = r#"
stack: datahub
registry: localhost/x
tags: ["2021.2-${commit7}"]
images:
  base:
    base: debian:bookworm
    steps: [{ run: "true" }]
  sci:
    base: base
    steps: [{ pip: requirements.txt }]
  ml:
    base: sci
  r:
    base: base
"#;

const FILES: [(&str, &str); 1] = [("images/sci/requirements.txt", "numpy==1\n")];

const BASE: ImageId = ImageId(0);
const SCI: ImageId = ImageId(1);
const ML: ImageId = ImageId(2);
const R: ImageId = ImageId(3);

fn stack() -> Stack {
    stack_with(SPEC, &FILES)
}

/// The stack of a spec in which each first text is replaced by the second.
fn edited(edits: &[(&str, &str)]) -> Stack {
    let mut spec = SPEC.to_owned();
    for (before, after) in edits {
        assert_eq!(spec.matches(before).count(), 1, "{before}");
        spec = spec.replace(before, after);
    }
    stack_with(&spec, &FILES)
}

fn reference() -> Reference {
    Reference::parse("debian:bookworm").expect("a reference")
}

fn key_facts() -> KeyFacts {
    KeyFacts {
        platform: "linux/amd64".to_owned(),
        external: BTreeMap::from([(reference(), Digest::of(b"debian"))]),
        ..KeyFacts::default()
    }
}

fn key(stack: &Stack, id: ImageId) -> Digest {
    let keys = Keys::new(stack, &key_facts());
    keys.get(id).expect("every base is known").key.clone()
}

/// The facts after everything in `stack` was built with these facts for keys.
fn built_with(stack: &Stack, key_facts: &KeyFacts) -> Facts {
    let mut facts = Facts {
        checkout: Some(Checkout {
            commit: Commit::parse("d021570000000000000000000000000000000000").expect("a hash"),
            time: 0,
            changes: Vec::new(),
        }),
        ..Facts::default()
    };
    let keys = Keys::new(stack, key_facts);
    for (id, name) in [(BASE, "base"), (SCI, "sci"), (ML, "ml"), (R, "r")] {
        let Keyed { key, components } = keys.get(id).cloned().expect("every base is known");
        let digest = Digest::of(name.as_bytes());
        facts.stored.insert(key.clone(), digest.clone());
        let record = Record {
            key,
            digest,
            components,
        };
        facts.records.insert(name.to_owned(), record);
    }
    facts
}

/// The facts after everything in `stack` was built.
fn built(stack: &Stack) -> Facts {
    built_with(stack, &key_facts())
}

fn plan(stack: &Stack, key_facts: &KeyFacts, facts: &Facts, request: &Request) -> Plan {
    let keys = Keys::new(stack, key_facts);
    Plan::new(stack, &keys, facts, request).expect("a tag is free")
}

/// The images a plan builds, with the kinds of their reasons: `sci File, ml Parent`.
fn builds(plan: &Plan) -> String {
    let images = plan.images.iter().filter_map(|image| match &image.action {
        Action::Build { reasons } => {
            let kinds = reasons.iter().map(|reason| format!(" {:?}", reason.kind));
            Some(format!("{}{}", image.label, kinds.collect::<String>()))
        }
        Action::Reuse { .. } | Action::Hold { .. } => None,
    });
    images.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_images_of_the_stack_are_in_the_order_of_the_constants() {
    let stack = stack();
    let plan = plan(&stack, &key_facts(), &Facts::default(), &Request::default());
    let labels: Vec<&str> = plan
        .images
        .iter()
        .map(|image| image.label.as_str())
        .collect();
    assert_eq!(labels, ["base", "sci", "ml", "r"]);
}
