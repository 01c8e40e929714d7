//! Functions that read bytes of others and check what must hold for any bytes: no panic, and the rules that
//! each function names. `fuzz/` calls them with cargo-fuzz, [`tests`] with changed files of its corpora.
//!
//! Compiled for tests and fuzzers alone (`--cfg fuzzing`). A function whose readers are private is in the
//! `fuzz.rs` of their room.

mod dockerfile;
mod edit;
mod records;
mod spec;
#[cfg(test)]
mod tests;
mod texts;

pub use edit::edited;

/// The longest input, bytes.
pub const LONGEST: usize = 64 << 10;

/// Reads an input; panics if a rule is broken.
pub type Target = fn(&[u8]);

/// The targets by their names, which are those of the folders in `fuzz/corpus/`.
pub const TARGETS: [(&str, Target); 20] = [
    ("archives", crate::export::fuzz::archives),
    ("challenges", crate::registry::fuzz::challenges),
    ("credentials", crate::registry::fuzz::credentials),
    ("dockerfile", dockerfile::dockerfile),
    ("image", spec::image),
    ("junit", texts::junit),
    ("lists", texts::lists),
    ("lock", spec::lock),
    ("manifests", texts::manifests),
    ("names", texts::names),
    ("output", texts::output),
    ("packets", crate::buildkit::fuzz::packets),
    ("patterns", spec::patterns),
    ("records", records::records),
    ("requirements", spec::requirements),
    ("script", spec::script),
    ("spec", spec::spec),
    ("status", crate::run::fuzz::status),
    ("users", crate::run::fuzz::users),
    ("variables", spec::variables),
];

/// Runs a target by its name.
pub fn run(name: &str, bytes: &[u8]) {
    let found = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, target) = found.expect("it is in the list");
    target(&bytes[..bytes.len().min(LONGEST)]);
}
