//! Names in the spec that the Dockerfile does not use, names that it uses for different images, and options of it that no build
//! of laminate allows.

use std::collections::BTreeMap;

use super::Dockerfile;
use super::read::Reading;
use crate::diagnostic::{Diagnostic, nearest};
use crate::dockerfile::{Root, Uses, context_name};
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
                None => Diagnostic::warning(message),
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
            let names: Vec<&str> = uses.names.iter().map(String::as_str).collect();
            let problem = Diagnostic::warning(format!("unused context `{name}`"));
            let label = "no `FROM`, `--from` or mount of the Dockerfile has this name";
            let problem = problem.at(*span, label);
            self.step.reader.report(match meant(name, &names) {
                Some(meant) => problem.help(format!("did you mean `{meant}`?")),
                None => problem,
            });
        }
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
            let root = match &uses.root {
                Root::Image(root) => Some(root),
                Root::Scratch => None,
            };
            let mut words = uses.images.iter().chain(root);
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
