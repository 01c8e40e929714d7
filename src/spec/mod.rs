//! `specs.yml` as written: a tree of texts with their places ([`node`]), texts cut at their variables
//! ([`template`]), the files beside it ([`tree`]) and its lock ([`lock`]). [`load`] reads all of it;
//! `stack` makes sense of it.

mod load;
pub mod lock;
pub mod node;
pub mod template;
pub mod tree;

pub use load::{Spec, Unreadable, load};
