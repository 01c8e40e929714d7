//! Decides what a run does with each image, and why.
//!
//! In three steps: [`Keys::new`] computes the key of each image from the stack and the [`KeyFacts`];
//! `gather` then finds the [`Facts`] that need keys; [`Plan::new`] decides. Both are pure functions.
//! `cli` prints a plan, `run` carries one out.

mod choice;
mod decide;
mod facts;
mod kept;
pub mod key;
pub mod proof;
pub mod reason;
mod selector;
mod tag;
#[cfg(test)]
mod tests;

pub use choice::HoldReason;
pub use decide::{Action, Plan, Planned};
pub use facts::{Facts, Record, Request, Retest, TagDigests};
pub use kept::{KeptSteps, last_builds};
pub use key::{Component, ComponentKind, KeyFacts, Keyed, Keys, Periods, settings};
pub use proof::{PlannedSuite, Proofs, known_proofs, writable_paths};
pub use reason::{Reason, ReasonKind};
pub use selector::select;
pub use tag::{NoFreeTag, first_tags, immutable_tags, tags_to_look_up};

/// Returns a step as the spec could write it, without its name.
pub fn expand(step: &crate::stack::Step) -> serde_json::Value {
    step.canonical()
}
