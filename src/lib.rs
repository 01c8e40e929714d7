//! laminate builds a stack of container images in one BuildKit solve, and tags them only when every test and
//! check has passed.
//!
//! `docs/architecture.md` is the map: what each module does, which ones it may import, and the way from
//! `specs.yml` to a tag. `tests/structure.rs` enforces it. Start reading at `cli::main`, or at `build::build`.

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
