//! [`Names`]: what images and tools are called in Dockerfiles and in the bake file.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::ImageName;
use crate::stack::{ImageId, Stack};

/// Names, each of which has one meaning.
#[derive(Debug, Default)]
pub struct Names {
    contexts: BTreeMap<ImageName, String>,
    targets: BTreeMap<ImageId, String>,
    dockerfiles: BTreeMap<ImageId, String>,
    /// The stage with files of other modes.
    pub files: String,
    /// The stage with uv.
    pub uv: String,
    /// The stage with py-rattler.
    pub rattler: String,
}

impl Names {
    /// Returns the names of a stack.
    pub fn new(stack: &Stack) -> Self {
        let mut names = Self::default();
        let images = stack.images().iter().map(|image| &image.name.value);
        let images: BTreeSet<&ImageName> = images.collect();
        let mut taken: BTreeSet<String> = images.iter().map(ToString::to_string).collect();
        for image in images {
            let name = image.to_string();
            let name = if is_reserved(&name) {
                unique(&format!("image-{name}"), &mut taken)
            } else {
                name
            };
            names.contexts.insert(image.clone(), name);
        }
        let mut targets = BTreeSet::new();
        for id in stack.ids() {
            let name = unique(&target_name(&stack.label(id)), &mut targets);
            names.targets.insert(id, name);
        }
        taken.extend(targets);
        for (id, name) in &names.targets {
            let below = unique(&format!("{name}-dockerfile"), &mut taken);
            names.dockerfiles.insert(*id, below);
        }
        names.files = unique("files", &mut taken);
        names.uv = unique("uv", &mut taken);
        names.rattler = unique("rattler", &mut taken);
        names
    }

    /// Returns the name that Dockerfiles have for an image of the stack.
    pub fn context(&self, image: &ImageName) -> &str {
        &self.contexts[image]
    }

    /// Returns the target of an image.
    pub fn target(&self, id: ImageId) -> &str {
        &self.targets[&id]
    }

    /// Returns the target of the Dockerfile below the steps of an image.
    pub fn dockerfile(&self, id: ImageId) -> &str {
        &self.dockerfiles[&id]
    }
}

/// Returns whether `FROM` or `--from` would mean something else: nothing, or the stage with a number.
fn is_reserved(name: &str) -> bool {
    name == crate::stack::SCRATCH || name.chars().all(|c| c.is_ascii_digit())
}

/// Returns a name that is not taken, which then is.
fn unique(wanted: &str, taken: &mut BTreeSet<String>) -> String {
    let mut name = wanted.to_owned();
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{wanted}-{number}");
        number += 1;
    }
    name
}

/// Returns a name as bake can have it, without dots.
fn target_name(label: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let replaced = |c: char| if allowed(c) { c } else { '-' };
    label.chars().map(replaced).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::stack;

    fn names(images: &[&str]) -> (Stack, Names) {
        let images = images
            .iter()
            .map(|name| format!("  \"{name}\": {{ base: \"debian:12\" }}\n"));
        let stack = stack(&format!(
            "stack: t\nimages:\n{}",
            images.collect::<String>()
        ));
        let names = Names::new(&stack);
        (stack, names)
    }

    #[test]
    fn a_number_is_not_the_name_of_an_image() {
        let (_, names) = names(&["0", "scratch", "image-0", "a"]);
        let context = |name: &str| {
            names
                .context(&ImageName::parse(name).expect("valid"))
                .to_owned()
        };
        assert_eq!(context("0"), "image-0-2");
        assert_eq!(context("scratch"), "image-scratch");
        assert_eq!(context("a"), "a");
    }

    #[test]
    fn no_two_targets_have_one_name() {
        let (stack, names) = names(&["a.b", "a-b", "a-b-dockerfile"]);
        let targets: Vec<&str> = stack.ids().map(|id| names.target(id)).collect();
        assert_eq!(targets, ["a-b", "a-b-2", "a-b-dockerfile"]);
        let below: Vec<&str> = stack.ids().map(|id| names.dockerfile(id)).collect();
        let expected = [
            "a-b-dockerfile-2",
            "a-b-2-dockerfile",
            "a-b-dockerfile-dockerfile",
        ];
        assert_eq!(below, expected);
    }

    #[test]
    fn a_tool_is_not_called_as_an_image() {
        let (_, names) = names(&["uv", "files"]);
        let stages = [&names.files, &names.uv, &names.rattler];
        assert_eq!(stages, ["files-2", "uv-2", "rattler"]);
    }
}
