//! Bases, order and inheritance.

use super::*;
use crate::stack::{Base, ImageId};
use crate::testing::stack_with;

const CHAIN: &str = "stack: x\nimages:\n  c: { base: b }\n  b: { base: a }\n  a: { base: debian:12 }\n  d: { base: a }\n";

#[test]
fn parents_come_before_children_and_keep_the_order_of_the_file() {
    assert_eq!(labels(&stack(CHAIN)), ["a", "b", "c", "d"]);
}

#[test]
fn an_image_is_found_by_its_id() {
    let stack = stack(CHAIN);
    let names: Vec<&str> = stack
        .ids()
        .map(|id| stack.image(id).name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(stack.images().len(), 4);
}

#[test]
fn a_base_is_an_id_of_the_same_stack() {
    let stack = stack(CHAIN);
    let bases: Vec<Option<ImageId>> = stack.ids().map(|id| stack.base(id)).collect();
    let ids = [None, Some(ImageId(0)), Some(ImageId(1)), Some(ImageId(0))];
    assert_eq!(bases, ids);
}

#[test]
fn ancestors_start_with_the_base() {
    let stack = stack(CHAIN);
    let ancestors: Vec<ImageId> = stack.ancestors(ImageId(2)).collect();
    assert_eq!(ancestors, [ImageId(1), ImageId(0)]);
    assert_eq!(stack.ancestors(ImageId(0)).count(), 0);
}

#[test]
fn external_images_are_listed_once() {
    let stack = stack(
        "stack: x\nimages:\n  a: { base: debian:12 }\n  b: { base: 'debian:12' }\n  c: { base: a }\n",
    );
    let bases: Vec<String> = stack
        .external_images()
        .iter()
        .map(|b| b.to_string())
        .collect();
    assert_eq!(bases, ["docker.io/library/debian:12"]);
}

#[test]
fn an_external_base_keeps_the_variables_of_its_text() {
    let stack =
        stack("stack: x\nvars: { v: 12, unused: y }\nimages: { a: { base: 'debian:${v}' } }");
    let Base::External(base) = &stack[ImageId(0)].base else {
        panic!("it is external");
    };
    assert_eq!(
        base.reference.value.to_string(),
        "docker.io/library/debian:12"
    );
    assert_eq!(base.vars.iter().collect::<Vec<_>>(), ["v"]);
}

#[test]
fn a_child_inherits_writable_from_its_base_before_the_stack() {
    let stack = stack(
        "stack: x\nwritable: { gid: 1, paths: [/all] }\nimages:\n  a: { base: debian:12, writable: { gid: 2, paths: [/own] } }\n  b: { base: a }\n  c: { base: debian:12 }\n",
    );
    let gid = |name: &str| image(&stack, name).writable.as_ref().map(|w| w.gid);
    assert_eq!([gid("a"), gid("b"), gid("c")], [Some(2), Some(2), Some(1)]);
}

#[test]
fn a_child_can_replace_inherited_writable() {
    let stack = stack(
        "stack: x\nimages:\n  a: { base: debian:12, writable: { gid: 2, paths: [/own] } }\n  b: { base: a, writable: { gid: 3, paths: [/other] } }\n",
    );
    let writable = image(&stack, "b").writable.as_ref().expect("it has one");
    assert_eq!(
        (writable.gid, writable.paths.as_slice()),
        (3, &["/other".to_owned()][..])
    );
}

#[test]
fn writable_paths_are_sorted_and_none_is_below_another() {
    let stack = one("    writable: { gid: 100, paths: [/b/c, /b/, /a, /bc, /a] }\n");
    let writable = stack.images()[0].writable.as_ref().expect("it has one");
    assert_eq!(writable.paths, ["/a", "/b", "/bc"]);
}

#[test]
fn env_user_and_steps_are_not_inherited() {
    let stack = stack(
        "stack: x\nimages:\n  a: { base: debian:12, user: jovyan, env: { A: x }, apt: [git] }\n  b: { base: a }\n",
    );
    let child = image(&stack, "b");
    assert!(child.env.is_empty() && child.user.is_none() && child.steps.is_empty());
}

#[test]
fn the_shell_of_an_image_overrides_that_of_the_stack() {
    let stack = stack(
        "stack: x\nshell: [/bin/bash, -c]\nimages:\n  a: { base: debian:12 }\n  b: { base: debian:12, shell: [/bin/zsh] }\n",
    );
    assert_eq!(
        image(&stack, "a").shell.as_deref(),
        Some(&["/bin/bash".to_owned(), "-c".to_owned()][..])
    );
    assert_eq!(
        image(&stack, "b").shell.as_deref(),
        Some(&["/bin/zsh".to_owned()][..])
    );
}

#[test]
fn an_image_is_published_below_the_registry() {
    let stack = stack(
        "stack: x\nregistry: ghcr.io/campus\nimages:\n  a: { base: debian:12 }\n  b: { base: a, repository: other }\n  c: { base: a, repository: quay.io/x/y }\n",
    );
    let repositories: Vec<String> = stack
        .images()
        .iter()
        .filter_map(|i| i.repository.as_ref().map(ToString::to_string))
        .collect();
    assert_eq!(
        repositories,
        ["ghcr.io/campus/a", "ghcr.io/campus/other", "quay.io/x/y"]
    );
}

#[test]
fn without_a_registry_nothing_is_published() {
    let stack = one("");
    assert!(stack.registry().is_none() && stack.staging().is_none());
    assert_eq!(stack.images()[0].repository, None);
}

#[test]
fn staging_is_below_the_registry_by_default() {
    let stack = stack("stack: x\nregistry: ghcr.io/campus\nimages: { a: { base: debian:12 } }");
    assert_eq!(
        stack.staging().map(|s| s.to_string()).as_deref(),
        Some("ghcr.io/campus/x")
    );
}

#[test]
fn a_registry_of_the_command_line_moves_staging_as_well() {
    let spec = "stack: x\nregistry: ghcr.io/campus\nstaging: ghcr.io/work/s\nimages: { a: { base: debian:12 } }";
    let overrides = Overrides {
        registry: Some("localhost:5000/t".to_owned()),
        ..Overrides::default()
    };
    let stack = parse(spec, &[], &overrides).expect("it is valid");
    assert_eq!(
        stack.staging().map(|s| s.to_string()).as_deref(),
        Some("localhost:5000/t/x")
    );
}

#[test]
fn a_cycle_of_three_is_reported_once() {
    let spec = "stack: x\nimages:\n  a: { base: b }\n  b: { base: c }\n  c: { base: a }\n  d: { base: a }\n";
    assert_eq!(faults(spec), ["dependency cycle: a → b → c → a"]);
}

#[test]
fn an_image_can_be_declared_in_its_folder() {
    let stack = stack_with(
        "stack: x\nimages: { a: }",
        &[("images/a/image.yml", "base: debian:12\napt: [git]\n")],
    );
    assert_eq!(stack.images()[0].steps[0].title, "apt git");
    assert!(
        stack.files().iter().next().is_none(),
        "image.yml is not a file of a step"
    );
}

#[test]
fn only_files_that_are_used_are_kept() {
    let files = [("images/a/x", "x"), ("images/a/unused", "y")];
    let stack = stack_with(
        "stack: x\nimages: { a: { base: debian:12, copy: { /x: x } } }",
        &files,
    );
    let files = stack.files().iter().map(|(path, _)| path);
    assert_eq!(files.collect::<Vec<_>>(), ["images/a/x"]);
}
