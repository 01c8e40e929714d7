//! The stack: names resolved, acyclic, variants unfolded, every variable replaced.
//!
//! `declare` reads the tree of a spec into declarations, `resolve` turns these into a [`Stack`].
//! Nothing in a [`Stack`] is invalid: [`Stack::new`] returns all faults of the files at once, as
//! diagnostics. `cli` calls [`load`]; `plan`, `compile` and what follows read the [`Stack`].

mod channels;
mod compression;
mod conditions;
mod config;
mod declare;
mod declare_image;
mod env;
mod env_text;
mod expand;
mod forms;
mod gate_check;
mod image_names;
mod image_nodes;
mod image_source;
mod info;
mod keys;
mod model;
mod order;
mod paths;
mod pattern;
mod policy;
mod problems;
mod reader;
mod resolve;
#[cfg(test)]
pub mod schema;
mod scope;
mod shell_text;
mod steps;
mod suite;
mod tags;
mod units;
mod url;
mod variables;
mod variant_node;
mod writable;

pub use channels::{Channel, Gate};
pub use compression::Compression;
pub use config::{Config, Healthcheck};
pub use env::{Env, EnvChange, EnvPart, EnvText, canonical_env};
pub use env_text::{EnvString, ProcessWords};
pub use expand::expanded;
pub use image_source::{ExternalImage, ImageSource, SCRATCH};
pub use info::InfoCommand;
pub use model::{Base, Image, ImageId, Refresh, Stack, Variant};
pub use pattern::Pattern;
pub use policy::{Allowance, LayerLimits, Policy, Refs};
pub use scope::Overrides;
pub use shell_text::unset_variable;
pub use steps::{
    Append, AppendFrom, Apt, AptSource, CacheSharing, Conda, CondaEnvironment, CondaTool, Copy,
    CopyFrom, Cwd, Dockerfile, Kind, Link, Local, Mode, MountSource, Network, Part, Perms, Pip,
    PipTool, Requirements, Secret, Step, StepMount, Text, Write, canonical_secrets,
};
pub use suite::{Select, Serve, Suite, Test};
pub use tags::TagTemplate;
pub use writable::{Writable, is_private};

pub use crate::spec::Layout;
pub use crate::spec::content::Content;
pub use crate::spec::tree::{File, Files};

use std::path::PathBuf;
use std::sync::Arc;

use camino::Utf8Path;

use crate::checkout::WorkTree;
use crate::diagnostic::Diagnostic;
use crate::source::Sources;
use crate::spec::{Spec, Unreadable};
use crate::trace::{self, Track};
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

/// What is known of the files of a stack before they are read.
#[derive(Clone, Debug, Default)]
pub struct LoadSettings {
    /// Where they are.
    pub layout: Layout,
    /// Those git tracks or would track; `None` outside of a repository.
    pub tree: Option<WorkTree>,
    /// The folder in which digests of files are kept for the next run.
    pub cache: Option<PathBuf>,
}

/// Reads the text of a spec from the disk. [`load`] resolves it; until then, git can be asked for the files.
pub fn read(file: &Utf8Path) -> Result<Spec, LoadFailure> {
    let _span = trace::span(Track::Spec, || "read and parse the spec".to_owned());
    crate::spec::read(file).map_err(LoadFailure::Files)
}

/// Finds the files of a spec whose text was [`read`], and resolves it. Of the files under `images/`, those that are
/// used are hashed; no other is read.
pub fn load(
    spec: Spec,
    file: &Utf8Path,
    overrides: &Overrides,
    known: &LoadSettings,
) -> Result<Stack, LoadFailure> {
    let span = trace::span(Track::Spec, || "find the files".to_owned());
    let spec = crate::spec::load(spec, file, &known.layout, known.tree.as_ref());
    let spec = spec.map_err(LoadFailure::Files)?;
    drop(span);
    let span = trace::span(Track::Spec, || "resolve the stack".to_owned());
    let stack = Stack::new(&spec, overrides).map_err(|faults| LoadFailure::Spec {
        sources: faults.sources,
        problems: faults.problems,
    })?;
    drop(span);
    let folder = file.parent().unwrap_or(Utf8Path::new(""));
    crate::spec::hash(stack.files(), folder, known.cache.as_deref()).map_err(LoadFailure::Files)?;
    Ok(stack)
}

/// The faults of a spec.
#[derive(Debug)]
pub struct Faults {
    /// The texts the faults are in: those of the spec, and of other files with faults.
    pub sources: Sources,
    /// All faults.
    pub problems: Vec<Diagnostic>,
}

impl Stack {
    /// Resolves a spec. Returns all its faults at once.
    pub fn new(spec: &Spec, overrides: &Overrides) -> Result<Self, Faults> {
        let problems = Problems::new(spec.problems.clone(), spec.sources.clone());
        let declarations = Declarations::read(spec, overrides, &problems);
        let stack = declarations.and_then(|declared| declared.resolve(spec, overrides, &problems));
        let has_errors = problems.has_errors();
        let (list, sources) = problems.into_list();
        match stack {
            Some(stack) if !has_errors => Ok(Self {
                warnings: list,
                // Those of the spec, and Dockerfiles.
                sources: Arc::new(sources),
                ..stack
            }),
            _ => Err(Faults {
                sources,
                problems: list,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
