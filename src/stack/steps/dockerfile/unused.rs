//! Names in the spec that the Dockerfile does not use, names that it uses for different images, and options of it that no build
//! of laminate allows.

use std::collections::BTreeMap;

use super::Dockerfile;
use super::read::Reading;
use crate::diagnostic::{Diagnostic, nearest};
use crate::dockerfile::{Root, Uses, context_name};
use crate::name::Repository;
use crate::stack::image_source::ImageSource;

/// The fewest letters of a name that can be a typo of another one: `NL` and `NUL` are two names.
const SHORTEST: usize = 4;

impl Reading<'_> {
    /// Reports arguments that no `ARG` reads, and contexts that no instruction names.
    pub fn report_unused(&self, made: &Dockerfile, uses: &Uses) {
        for name in made.args.keys().filter(|name| !uses.reads(name)) {
            let free = uses.args.iter().filter(|arg| !made.args.contains_key(*arg));
            let free: Vec<&str> = free.map(String::as_str).collect();
            let message = format!("unused argument `{name}`");
            let problem = match meant(name, &free) {
                // The Dockerfile would be built with the default of that one.
                Some(meant) => Diagnostic::error(message).help(format!("did you mean `{meant}`?")),
                None => {
                    let help = match uses.root {
                        Root::Image(_) => "remove it, unless an `ONBUILD ARG` of the base reads it",
                        Root::Scratch => "remove it",
                    };
                    Diagnostic::warning(message).help(help)
                }
            };
            let label = "the Dockerfile has no `ARG` of this name";
            self.step
                .reader
                .report(problem.at(self.args[name].name, label));
        }
        for (name, span) in &self.contexts {
            if uses.names.contains(name) {
                continue;
            }
            let free = uses.names.iter();
            let free = free.filter(|name| !self.contexts.contains_key(*name));
            let free: Vec<&str> = free.map(String::as_str).collect();
            let message = format!("unused context `{name}`");
            let published = || self.published(made, name, &free);
            let label = "no `FROM`, `--from` or mount of the Dockerfile has this name";
            let problem = match meant_image(name, &free).or_else(published) {
                // That one would be another image.
                Some(meant) => match self.misspelt(made, uses, name, meant) {
                    Some(problem) => problem.also(*span, "the name in `contexts`"),
                    None => Diagnostic::error(message)
                        .help(format!("did you mean `{meant}`?"))
                        .at(*span, label),
                },
                // A trigger of the base can have the name.
                None => Diagnostic::warning(message).at(*span, label),
            };
            self.step.reader.report(problem);
        }
    }

    /// Returns the error for a name in the Dockerfile that was to be that of a context: the context is named after its image.
    fn misspelt(
        &self,
        made: &Dockerfile,
        uses: &Uses,
        context: &str,
        written: &str,
    ) -> Option<Diagnostic> {
        let Some(ImageSource::InStack(image)) = made.contexts.get(context) else {
            return None;
        };
        let last = |name: &str| {
            let name = without_version(name);
            name.rsplit('/').next().unwrap_or(name).to_owned()
        };
        let is_named = last(context) == image.value.as_str() && last(written) != last(context);
        let mut words = uses.images.iter().chain(uses.root.image());
        let word = words.find(|word| context_name(&word.value) == written)?;
        let problem = Diagnostic::error(format!("unknown image `{written}`"))
            .at(self.span(&word.range), "no context has this name")
            .help(format!("did you mean `{context}`?"));
        is_named.then_some(problem)
    }

    /// Returns the name of the Dockerfile that has the repository of the image that a context stands for.
    fn published<'a>(
        &self,
        made: &Dockerfile,
        context: &str,
        names: &[&'a str],
    ) -> Option<&'a str> {
        let Some(ImageSource::InStack(image)) = made.contexts.get(context) else {
            return None;
        };
        let is_published = |name: &&&str| {
            let repository = Repository::parse(without_version(name)).ok();
            let known = repository.and_then(|it| self.step.images.known.published_in(&it));
            known.is_some_and(|known| known.name == image.value)
        };
        names.iter().find(is_published).copied()
    }

    /// Reports options that the engine refuses: laminate asks it for no entitlements.
    pub fn report_entitlements(&self, uses: &Uses) {
        for option in &uses.entitlements {
            let problem = Diagnostic::error(format!("unsupported option `{}`", option.value));
            let label = "laminate does not let the engine run this";
            self.step
                .reader
                .report(problem.at(self.span(&option.range), label));
        }
    }

    /// Reports names that the frontend takes for the same one, and that are different images here: `tool`, an image of the
    /// stack, and `tool:latest`.
    pub fn ensure_distinct<'a>(
        &self,
        uses: &Uses,
        images: impl Iterator<Item = (&'a String, &'a ImageSource)>,
    ) -> Option<()> {
        let mut known: BTreeMap<String, (&String, &ImageSource)> = BTreeMap::new();
        for (name, source) in images {
            let (before, other) = *known.entry(context_name(name)).or_insert((name, source));
            if other.to_string() == source.to_string() {
                continue;
            }
            let mut words = uses.images.iter().chain(uses.root.image());
            let word = words.find(|word| word.value == *name)?;
            let message = format!("`{before}` and `{name}` are different images");
            let problem = Diagnostic::error(message).at(
                self.span(&word.range),
                "the engine takes both for the same name",
            );
            let help = "use one of these names, or set the image in `contexts:`";
            self.step.reader.report(problem.help(help));
            return None;
        }
        Some(())
    }
}

/// Returns the name that was probably meant: it differs in case, `-` and `_` alone, or in a few letters of a long name. Names
/// that differ in digits alone, such as those of versions, are different ones.
fn meant<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_'], "");
    let same = known.iter().find(|name| plain(name) == plain(written));
    let length = |name: &str| name.chars().count();
    let letters = |name: &str| name.replace(|c: char| !c.is_alphabetic(), "");
    let long = known
        .iter()
        .copied()
        .filter(|name| length(name) >= SHORTEST && letters(name) != letters(written));
    let near = || nearest(written, long).filter(|_| length(written) >= SHORTEST);
    same.copied().or_else(near)
}

/// Returns the name of an image that was probably meant: without tags and digests, it is the same one, or the last part of its
/// path is near. Names of two images often have the same beginning.
fn meant_image<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let last = |name: &'a str| {
        let name = without_version(name);
        name.rsplit('/').next().unwrap_or(name)
    };
    let plain = without_version(written);
    let same = known.iter().find(|name| without_version(name) == plain);
    let near = || {
        let parts: Vec<&str> = known.iter().map(|name| last(name)).collect();
        let found = meant(plain.rsplit('/').next().unwrap_or(plain), &parts)?;
        known.iter().find(|name| last(name) == found)
    };
    same.or_else(near).copied()
}

/// Returns the name of an image without its tag and digest.
fn without_version(name: &str) -> &str {
    let name = name.split('@').next().unwrap_or(name);
    match name.rsplit_once(':') {
        Some((before, tag)) if !tag.contains('/') => before,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Overrides;
    use crate::testing::parse;

    #[test]
    fn a_short_name_or_another_number_is_no_typo() {
        for (written, known, expected) in [
            ("BASE-IMAGES", "BASE_IMAGE", Some("BASE_IMAGE")),
            ("version", "VERSION", Some("VERSION")),
            ("PYTHON-VERSION", "PYTHON_VERSION", Some("PYTHON_VERSION")),
            ("nl", "NL", Some("NL")),
            ("NL", "NUL", None),
            ("Q", "V", None),
            ("VER", "VERS", None),
            ("PYTHON2", "PYTHON3", None),
            ("python:3.11", "python:3.12", None),
            ("BASE_1", "BASE", None),
        ] {
            assert_eq!(meant(written, &[known]), expected, "{written}");
        }
    }

    #[test]
    fn the_name_of_an_image_is_compared_without_its_version_and_by_its_last_part() {
        let known = "ghcr.io/campus/datascience-notebook";
        for (written, known, is_meant) in [
            ("ghcr.io/campus/datascience-notbook", known, true),
            ("ghcr.io/campus/datascience-notbook:2", known, true),
            ("127.0.0.1:5000/team/datascience-notbook", known, true),
            (
                "datascience-notebok",
                "ghcr.io/x/datascience-notebook:1",
                true,
            ),
            ("quay.io/x/d", "quay.io/x/d:1", true),
            ("quay.io/x/d@sha256:00", "quay.io/x/d:1", true),
            ("quay.io/x/builder", known, false),
            ("quay.io/x/d", "quay.io/x/e", false),
            ("ghcr.io/campus/tool", "ghcr.io/campus/geo", false),
        ] {
            let expected = is_meant.then_some(known);
            assert_eq!(meant_image(written, &[known]), expected, "{written}");
        }
    }

    #[test]
    fn an_unused_context_that_is_nearly_the_name_of_an_image_is_an_error() {
        for (context, from) in [
            ("quay.io/x/d", "quay.io/x/d:1"),
            (
                "ghcr.io/campus/tol-image",
                "ghcr.io/campus/tool-image:latest",
            ),
            (
                "ghcr.io/other/tool-image",
                "ghcr.io/campus/tool-image:latest",
            ),
            // What the context stands for is published there.
            ("ghcr.io/campus/x", "ghcr.io/team/tool:latest"),
        ] {
            let spec = format!(
                "stack: x\nimages:\n  tool: {{ base: 'debian:12', repository: ghcr.io/team/tool }}\n  a: {{ dockerfile: {{ contexts: {{ '{context}': tool }} }} }}\n"
            );
            let text = format!("FROM {from}\n");
            let files = [("images/a/Dockerfile", text.as_str())];
            let shown = parse(&spec, &files, &Overrides::default()).expect_err("an error");
            let meant = from.strip_suffix(":latest").unwrap_or(from);
            let message = format!("error: unused context `{context}`");
            assert!(shown.contains(&message), "{shown}");
            assert!(
                shown.contains(&format!("did you mean `{meant}`?")),
                "{shown}"
            );
        }
    }
}
