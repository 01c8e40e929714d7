//! Images that steps copy from.

use super::*;
use crate::stack::ImageId;
use crate::testing::stack_with;

/// Returns a spec of the images `a`, which has these settings, `tool` and `base`.
fn spec(settings: &str) -> String {
    format!(
        "stack: x\nregistry: ghcr.io/campus\nvars: {{ v: \"1\" }}\nimages:\n  a: {{ base: base, {settings} }}\n  tool: {{ base: base, repository: \"other-${{v}}\" }}\n  base: {{ base: debian:12 }}\n"
    )
}

fn copy(image: &str) -> String {
    spec(&format!(
        "copy: {{ /x: {{ image: \"{image}\", from: /x }} }}"
    ))
}

/// Returns what image `a` copies from.
fn sources(yaml: &str) -> Vec<String> {
    let stack = stack(yaml);
    image(&stack, "a").copy_sources().into_keys().collect()
}

#[test]
fn a_name_or_a_whole_repository_is_an_image_of_the_stack() {
    for name in ["tool", "ghcr.io/campus/other-1"] {
        let yaml = copy(name);
        assert_eq!(sources(&yaml), ["tool"], "{name}");
        assert_eq!(labels(&stack(&yaml)), ["base", "tool", "a"], "{name}");
    }
}

#[test]
fn a_base_can_be_named_by_its_whole_repository() {
    let spec = "stack: x\nregistry: ghcr.io/campus\nimages:\n  a: { base: ghcr.io/campus/b }\n  b: { base: debian:12 }\n";
    assert_eq!(labels(&stack(spec)), ["b", "a"]);
}

#[test]
fn a_reference_with_a_tag_or_a_digest_is_external() {
    let digest = format!("tool@sha256:{}", "0".repeat(64));
    for (text, expected) in [
        ("tool:1", "docker.io/library/tool:1"),
        (
            "ghcr.io/campus/other-1:latest",
            "ghcr.io/campus/other-1:latest",
        ),
        ("busybox:latest", "docker.io/library/busybox:latest"),
        (&digest, &format!("docker.io/library/{digest}")),
    ] {
        assert_eq!(sources(&copy(text)), [expected], "{text}");
    }
}

#[test]
fn the_images_of_groups_count_and_those_that_when_leaves_out_do_not() {
    let step = |image: &str| format!("{{ copy: {{ /x: {{ image: {image}, from: /x }} }}");
    let yaml = spec(&format!(
        "steps: [{{ group: [{} }}, {} }}] }}, {}, when: {{ v: \"2\" }} }}]",
        step("tool"),
        step("busybox:1"),
        step("golang:1"),
    ));
    assert_eq!(sources(&yaml), ["docker.io/library/busybox:1", "tool"]);
    let stack = stack(&yaml);
    let external: Vec<String> = (stack.external_images().iter())
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        external,
        ["docker.io/library/busybox:1", "docker.io/library/debian:12"]
    );
}

#[test]
fn an_image_needs_its_base_and_those_it_copies_from() {
    let stack = stack(&copy("tool"));
    let needs: Vec<ImageId> = stack.dependencies(ImageId(2)).into_iter().collect();
    assert_eq!(needs, [ImageId(0), ImageId(1)]);
}

#[test]
fn each_variant_copies_from_its_own_image() {
    let spec = "stack: x\nvariants: { one: {}, two: {} }\nimages:\n  a: { base: debian:12, copy: { /x: { image: tool, from: /x } } }\n  tool: { base: debian:12 }\n";
    let stack = stack(spec);
    assert_eq!(labels(&stack), ["one/tool", "one/a", "two/tool", "two/a"]);
    let of = |id: usize| stack.dependencies(ImageId(id)).into_iter().next();
    assert_eq!([of(1), of(3)], [Some(ImageId(0)), Some(ImageId(2))]);
}

#[test]
fn a_variant_cannot_leave_out_what_an_image_of_it_copies_from() {
    let spec = "stack: x\nvariants: { one: {}, two: { skip: [tool] } }\nimages:\n  a: { base: debian:12, copy: { /x: { image: tool, from: /x } } }\n  tool: { base: debian:12 }\n";
    assert_eq!(
        faults(spec),
        ["image `a` copies from `tool`, which variant `two` leaves out"]
    );
}

#[test]
fn a_copy_can_close_a_cycle() {
    let spec = "stack: x\nimages:\n  a: { base: debian:12, copy: { /x: { image: c, from: /x } } }\n  b: { base: a }\n  c: { base: b }\n";
    assert_eq!(faults(spec), ["dependency cycle: a → c → b → a"]);
    let spec =
        "stack: x\nimages:\n  a: { base: debian:12, copy: { /x: { image: a, from: /x } } }\n";
    assert_eq!(faults(spec), ["dependency cycle: a → a"]);
}

#[test]
fn a_long_chain_does_not_exhaust_the_call_stack() {
    let mut spec = "stack: x\nimages:\n".to_owned();
    for number in 0..5000 {
        spec.push_str(&format!("  i{number}: {{ base: i{} }}\n", number + 1));
    }
    spec.push_str("  i5000: { base: debian:12 }\n");
    assert_eq!(stack_with(&spec, &[]).label(ImageId(0)), "i5000");
}
