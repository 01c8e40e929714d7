//! `specs.yml` as written: [`parse`] turns its text and the files under `images/` into a [`Spec`].
//!
//! A spec is a tree of texts with their places ([`node`]); texts are cut at their variables
//! ([`template`]), files are kept as git sees them ([`tree`]), and [`lock`] is `specs.lock`.
//! [`load`] reads it from the disk. `stack` resolves it.

mod load;
pub mod lock;
pub mod node;
mod parse;
pub mod template;
pub mod tree;

pub use load::{Unreadable, load};
pub use parse::{Spec, parse};
