//! laminate builds a stack of container images in one BuildKit solve and names them only when
//! everything is proven.
//!
//! Read the modules in this order; each one imports only what stands above it
//! (`tests/structure.rs` holds them to it).

pub mod build;
pub mod buildkit;
pub mod checks;
pub mod cli;
pub mod compare;
pub mod compile;
pub mod diagnostic;
pub mod disk;
pub mod docs;
pub mod event;
pub mod evidence;
pub mod export;
pub mod gather;
pub mod git;
pub mod llb;
pub mod name;
pub mod nodes;
pub mod oci;
pub mod plan;
pub mod publish;
pub mod record;
pub mod registry;
pub mod release;
pub mod report;
pub mod run;
pub mod size;
pub mod source;
pub mod spec;
pub mod stack;
pub mod staging;
pub mod tags;
pub mod tail;
#[doc(hidden)]
pub mod testing;
