//! `specs.yml` as written: a tree of texts with their places ([`node`]), and texts cut at their
//! variables ([`template`]).

pub mod lock;
pub mod node;
pub mod template;
