//! The stack: names resolved, acyclic, variants unfolded, every variable replaced.
//!
//! `declare` reads the tree of a spec into declarations, `resolve` turns these into a [`Stack`].
//! Nothing in a [`Stack`] is invalid: [`Stack::new`] returns all faults of the files at once, as
//! diagnostics. `cli` calls [`load`]; `plan`, `compile` and what follows read the [`Stack`].

mod channels;
mod config;
mod declare;
mod declare_image;
mod env;
mod image_source;
mod info;
mod keys;
mod model;
mod order;
mod paths;
mod policy;
mod problems;
mod reader;
mod resolve;
mod scope;
mod steps;
mod suite;
mod tags;
mod variables;
mod variant_node;
mod writable;

pub use channels::{Channel, Gate};
pub use config::Healthcheck;
pub use env::{Env, EnvChange, EnvPart, EnvText, canonical_env};
pub use image_source::{ExternalImage, ImageSource};
pub use info::InfoCommand;
pub use model::{Base, Image, ImageId, Refresh, Stack, Variant};
pub use paths::CopyEntry;
pub use policy::{Allowance, LayerLimits, Policy, Refs};
pub use scope::Overrides;
pub use steps::{
    Append, AppendFrom, Conda, Copy, CopyFrom, Kind, Link, Mode, Network, Perms, Pip, PipTool,
    Secret, Step, Write, canonical_secrets,
};
pub use suite::{Serve, Suite, Test};
pub use tags::TagTemplate;
pub use writable::Writable;

pub use crate::spec::tree::{File, Files};

use crate::diagnostic::Diagnostic;
use crate::source::Sources;
use crate::spec::{Spec, Unreadable};
use declare::Declarations;
use problems::Problems;

/// Why there is no stack.
#[derive(Debug)]
pub enum LoadFailure {
    /// A file cannot be read.
    Files(Unreadable),
    /// The files have faults.
    Spec {
        /// The texts the faults are in.
        sources: Sources,
        /// All faults.
        problems: Vec<Diagnostic>,
    },
}

/// Reads a spec from the disk and resolves it.
pub fn load(file: &camino::Utf8Path, overrides: &Overrides) -> Result<Stack, LoadFailure> {
    let spec = crate::spec::load(file).map_err(LoadFailure::Files)?;
    Stack::new(&spec, overrides).map_err(|problems| LoadFailure::Spec {
        sources: spec.sources.clone(),
        problems,
    })
}

impl Stack {
    /// Resolves a spec. Returns all its faults at once.
    pub fn new(spec: &Spec, overrides: &Overrides) -> Result<Self, Vec<Diagnostic>> {
        let problems = Problems::new(spec.problems.clone());
        let declarations = Declarations::read(spec, overrides, &problems);
        let stack = declarations.and_then(|declared| declared.resolve(spec, overrides, &problems));
        let has_errors = problems.has_errors();
        let list = problems.into_list();
        match stack {
            Some(stack) if !has_errors => Ok(Self {
                warnings: list,
                ..stack
            }),
            _ => Err(list),
        }
    }
}

#[cfg(test)]
mod tests;
