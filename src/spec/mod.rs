//! `specs.yml` as written: a tree of texts with their places.

pub mod node;
