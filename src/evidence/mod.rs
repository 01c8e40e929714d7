//! What is known of an image besides its bytes: verdicts of suites, findings of checks, output of info
//! commands, and verdicts from outside.
//!
//! [`Evidence`] is one document for each image key, stored in staging; a release includes the document of
//! each of its images. `run` makes it, `plan` reads in it what need not run, `docs` and `release` show it.

mod document;
mod excerpt;
mod findings;
pub mod junit;
pub mod packages;
mod suite;
mod verdict;

pub use document::{Evidence, Info, VERSION, optional_time};
pub use excerpt::excerpt;
pub use findings::{Allowed, Checks, Finding, LayerLimit, Rule};
pub use packages::Package;
pub use suite::{SuiteOutput, SuiteRun, stopped_after};
#[cfg(test)]
pub use verdict::Outcome;
pub use verdict::{Case, Verdict};
