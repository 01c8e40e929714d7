//! Variants: names, series, `skip:`, `only:` and `--variant`.

use super::*;
use crate::stack::ImageId;

const TWO: &str = "stack: x\nvariants: { p: , q: { skip: [b] } }\nimages:\n  a: { base: debian:12 }\n  b: { base: a }\n";

fn selected(spec: &str, variant: &str) -> Stack {
    let overrides = Overrides {
        variants: vec![variant.to_owned()],
        ..Overrides::default()
    };
    parse(spec, &[], &overrides).expect("it is valid")
}

#[test]
fn images_of_one_variant_are_together() {
    assert_eq!(labels(&stack(TWO)), ["p/a", "p/b", "q/a"]);
}

#[test]
fn only_keeps_the_listed_images() {
    let spec = TWO.replace("skip: [b]", "only: [a]");
    assert_eq!(labels(&stack(&spec)), ["p/a", "p/b", "q/a"]);
}

#[test]
fn without_variants_there_is_one_without_a_name() {
    let stack = stack("stack: x\nseries: s\nimages: { a: { base: debian:12 } }");
    assert_eq!(labels(&stack), ["a"]);
    assert_eq!(stack.variants().len(), 1);
    assert_eq!(stack.variants()[0].series.as_deref(), Some("s"));
}

#[test]
fn the_series_of_a_variant_is_its_name_by_default() {
    let stack =
        stack("stack: x\nvariants: { p: { series: s }, q: }\nimages: { a: { base: debian:12 } }");
    let series: Vec<_> = stack
        .variants()
        .iter()
        .map(|v| v.series.as_deref())
        .collect();
    assert_eq!(series, [Some("s"), Some("q")]);
}

#[test]
fn a_base_is_in_the_same_variant() {
    let spec = TWO.replace("q: { skip: [b] }", "q: ");
    let stack = stack(&spec);
    assert_eq!(stack.base(ImageId(1)), Some(ImageId(0)));
    assert_eq!(stack.base(ImageId(3)), Some(ImageId(2)));
}

#[test]
fn a_selected_variant_keeps_its_index() {
    let stack = selected(TWO, "q");
    assert_eq!(labels(&stack), ["q/a"]);
    assert_eq!(stack.variants().len(), 2);
    assert_eq!(stack.images()[0].variant, 1);
}

#[test]
fn ids_of_a_selected_variant_start_at_zero() {
    let spec = TWO.replace("q: { skip: [b] }", "q: ");
    let stack = selected(&spec, "q");
    assert_eq!(stack.base(ImageId(1)), Some(ImageId(0)));
}

#[test]
fn variants_that_are_not_selected_are_checked() {
    let spec = TWO.replace("skip: [b]", "skip: [a]");
    let overrides = Overrides {
        variants: vec!["p".to_owned()],
        ..Overrides::default()
    };
    assert!(parse(&spec, &[], &overrides).is_err());
}

#[test]
fn an_unknown_selected_variant_is_an_error() {
    let overrides = Overrides {
        variants: vec!["pp".to_owned()],
        ..Overrides::default()
    };
    let found = parse(TWO, &[], &overrides).expect_err("there is no such variant");
    assert!(
        found.starts_with("error: unknown variant `pp`\n"),
        "{found}"
    );
}

#[test]
fn a_step_can_depend_on_the_variant() {
    let spec = "stack: x\nvariants: { p: , q: }\nimages: { a: { base: debian:12, steps: [{ run: x, when: { variant: p } }] } }";
    let stack = stack(spec);
    assert_eq!(image(&stack, "p/a").steps.len(), 1);
    assert_eq!(image(&stack, "q/a").steps.len(), 0);
}

#[test]
fn a_fault_in_all_variants_is_reported_once() {
    let spec = TWO
        .replace("base: a }", "base: a, user: [x] }")
        .replace("skip: [b]", "series: q");
    assert_eq!(faults(&spec), ["`user` must be a string"]);
}
