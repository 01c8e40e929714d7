//! External images that are not for the platform of the build.

use std::collections::BTreeMap;

use super::config::BaseConfig;
use crate::diagnostic::Diagnostic;
use crate::name::Reference;
use crate::stack::{Base, ImageId, Stack};

/// Returns an error for each place that names an external image without one for the platform. `others`: the platforms of
/// such images.
pub fn missing_platforms(
    stack: &Stack,
    others: &BTreeMap<Reference, Vec<String>>,
    platform: &str,
    is_built: impl Fn(ImageId) -> bool,
) -> Vec<Diagnostic> {
    let mut problems: Vec<Diagnostic> = Vec::new();
    let images = stack.images().iter().enumerate();
    for (_, image) in images.filter(|(number, _)| is_built(ImageId(*number))) {
        for used in image.external_images() {
            let reference = &used.reference;
            let Some(others) = others.get(&reference.value) else {
                continue;
            };
            let label = match others.as_slice() {
                [] => "the registry has no platform for it".to_owned(),
                others => format!("the registry has it for {}", others.join(", ")),
            };
            let problem =
                Diagnostic::error(format!("image `{}` is not for {platform}", reference.value))
                    .at(reference.span, label)
                    .help(format!("use a tag or a digest of an image for {platform}"));
            let is_known = problems
                .iter()
                .any(|known| known.primary.as_ref().map(|it| it.span) == Some(reference.span));
            if !is_known {
                problems.push(problem);
            }
        }
    }
    problems
}

/// Returns a warning for each external base whose config has another architecture. Engines use such an image without a
/// word; it may only be mislabelled.
pub fn other_architectures(
    stack: &Stack,
    bases: &BTreeMap<Reference, BaseConfig>,
    platform: &str,
    is_built: impl Fn(ImageId) -> bool,
) -> Vec<Diagnostic> {
    let mut problems: BTreeMap<&Reference, Diagnostic> = BTreeMap::new();
    let images = stack.images().iter().enumerate();
    for (_, image) in images.filter(|(number, _)| is_built(ImageId(*number))) {
        let Base::External(base) = &image.base else {
            continue;
        };
        let reference = &base.reference;
        let own = bases.get(&reference.value).and_then(BaseConfig::platform);
        if let Some(own) = own.filter(|own| own != platform) {
            let problem = Diagnostic::warning(format!(
                "base `{}` is for {own}, not for {platform}: its programs may not start",
                reference.value
            ));
            let problem = problem
                .at(
                    reference.span,
                    "the config of this image has another platform",
                )
                .help(format!("use a tag or a digest of an image for {platform}"));
            problems.entry(&reference.value).or_insert(problem);
        }
    }
    problems.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPEC: &str = "
stack: s
images:
  a: { base: 'debian:12' }
  b: { base: 'debian:12', copy: { /x: { image: 'x.io/tool:1', from: /x } } }
  c: { base: 'x.io/other:1', steps: [{ run: a, mounts: { /m: { image: 'x.io/tool:1' } } }] }
";

    fn reference(text: &str) -> Reference {
        Reference::parse(text).expect("a reference")
    }

    fn placed(problems: &[Diagnostic], stack: &Stack) -> Vec<(String, u32)> {
        let line = |problem: &Diagnostic| {
            let label = problem.primary.as_ref().expect("it has a place");
            (label.text.clone(), stack.sources().start(label.span).line)
        };
        problems.iter().map(line).collect()
    }

    #[test]
    fn each_place_that_names_an_image_of_other_platforms_is_reported() {
        let stack = crate::testing::stack(SPEC);
        let arm = vec!["linux/arm64".to_owned()];
        let others = BTreeMap::from([
            (reference("debian:12"), Vec::new()),
            (reference("x.io/tool:1"), arm),
        ]);
        let problems = missing_platforms(&stack, &others, "linux/amd64", |id| id.0 > 0);
        let at = |text: &str, line| (text.to_owned(), line);
        assert_eq!(
            placed(&problems, &stack),
            [
                at("the registry has no platform for it", 5),
                at("the registry has it for linux/arm64", 5),
                at("the registry has it for linux/arm64", 6),
            ]
        );
    }

    #[test]
    fn a_base_whose_config_has_another_architecture_is_a_warning() {
        let stack = crate::testing::stack(SPEC);
        let config = |text: &str| BaseConfig::parse(text.as_bytes()).expect("an object");
        let bases = BTreeMap::from([
            (
                reference("debian:12"),
                config(r#"{"os":"linux","architecture":"arm64"}"#),
            ),
            (reference("x.io/other:1"), config("{}")),
        ]);
        let problems = other_architectures(&stack, &bases, "linux/amd64", |_| true);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0]
                .message
                .contains("is for linux/arm64, not for linux/amd64")
        );
        let none = other_architectures(&stack, &bases, "linux/arm64", |_| true);
        assert!(none.is_empty(), "{none:?}");
    }
}
