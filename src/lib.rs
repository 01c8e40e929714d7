//! laminate builds a stack of container images in one BuildKit solve, and tags them only when every test and
//! check has passed.
//!
//! `docs/architecture.md` is the map: what each module does, which ones it may import, and the way from
//! `specs.yml` to a tag. `tests/structure/` enforces it. Start reading at `cli::main`, or at `build::build`.

pub(crate) mod build;
pub(crate) mod buildkit;
pub(crate) mod checkout;
pub(crate) mod checks;
pub(crate) mod cli;
pub(crate) mod compare;
pub(crate) mod compile;
pub(crate) mod diagnostic;
pub(crate) mod disk;
pub(crate) mod dockerfile;
pub(crate) mod docs;
pub(crate) mod event;
pub(crate) mod evidence;
pub(crate) mod export;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub(crate) mod gather;
pub(crate) mod git;
pub(crate) mod import;
pub(crate) mod interrupt;
pub(crate) mod list;
pub(crate) mod llb;
pub(crate) mod mask;
pub(crate) mod name;
pub(crate) mod nodes;
pub(crate) mod oci;
pub(crate) mod parallel;
pub(crate) mod parity;
pub(crate) mod path;
pub(crate) mod plan;
pub(crate) mod publish;
pub(crate) mod record;
pub(crate) mod registry;
pub(crate) mod release;
pub(crate) mod render;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod shown;
pub(crate) mod size;
pub(crate) mod source;
pub(crate) mod spec;
pub(crate) mod stack;
pub(crate) mod staging;
pub(crate) mod table;
pub(crate) mod tags;
pub(crate) mod tail;
pub(crate) mod terminal;
#[doc(hidden)]
pub mod testing;
pub(crate) mod tool;
pub(crate) mod trace;

pub use cli::main;
