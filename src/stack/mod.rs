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
pub use shell_text::{Language, unset_variable};
pub use steps::{
    Append, AppendFrom, Apt, AptSource, CacheSharing, Conda, CondaEnvironment, CondaTool, Copy,
    CopyFrom, Cwd, Dockerfile, Kind, Link, Local, Mode, MountSource, Network, Part, Perms, Pip,
    PipTool, Requirements, Secret, Step, StepMount, Text, Write, canonical_secrets,
};
pub use suite::{Select, Serve, Suite, Test};
pub use tags::TagTemplate;
pub use writable::{Writable, is_private};

pub use crate::spec::content::Content;
pub use crate::spec::tree::{File, Files};
pub use crate::spec::{Again, Found, Layout, TextFile};

use std::path::Path;
use std::sync::Arc;

use camino::Utf8Path;
use jiff::Timestamp;

use crate::checkout::WorkTree;
use crate::diagnostic::Diagnostic;
use crate::source::Sources;
use crate::spec::{Hashing, Spec, Unreadable};
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

/// Reads the text of a spec from the disk.
pub fn read(file: &Utf8Path) -> Result<String, LoadFailure> {
    crate::spec::read(file).map_err(LoadFailure::Files)
}

/// Parses the text of a spec. [`load`] resolves it.
pub fn parse(file: &Utf8Path, text: &str) -> Spec {
    let _span = trace::span(Track::Spec, || "parse the spec".to_owned());
    crate::spec::parse_file(file, text)
}

/// Finds the files under `images/` beside a spec; none of them is read. `tree`: those git tracks or would track; `None`
/// outside of a repository.
pub fn find(
    file: &Utf8Path,
    layout: &Layout,
    tree: Option<&WorkTree>,
) -> Result<Files, LoadFailure> {
    let _span = trace::span(Track::Spec, || "find the files".to_owned());
    crate::spec::find(file, layout, tree).map_err(LoadFailure::Files)
}

/// Finds the files under `images/` beside a spec if git tracks all that is there: those of `tree`. `None` if there is
/// anything else.
pub fn find_tracked(file: &Utf8Path, layout: &Layout, tree: &WorkTree) -> Option<Files> {
    let _span = trace::span(Track::Spec, || "find the files".to_owned());
    crate::spec::find_tracked(file, layout, tree)
}

/// Resolves a spec that was [`parse`]d, with the files that were found beside it. Of these, those that are used are
/// hashed; no other is read. `cache`: the folder in which digests of files are kept for the next run; `begun`: before the
/// files were found. `found`: they are [hashed](Found::hash) already.
pub fn load(
    spec: Spec,
    files: Files,
    file: &Utf8Path,
    overrides: &Overrides,
    cache: Option<&Path>,
    begun: Timestamp,
    found: Option<&Found>,
) -> Result<Stack, LoadFailure> {
    let span = trace::span(Track::Spec, || "resolve the stack".to_owned());
    let spec = crate::spec::with_files(spec, files);
    let stack = Stack::new(&spec, overrides).map_err(|faults| LoadFailure::Spec {
        sources: faults.sources,
        problems: faults.problems,
    })?;
    drop(span);
    if let Some(found) = found {
        found.hash(cache);
    }
    let folder = file.parent().unwrap_or(Utf8Path::new(""));
    let hashing = Hashing {
        stack: folder,
        cache,
        begun,
        format: None,
    };
    crate::spec::hash(stack.files(), &hashing).map_err(LoadFailure::Files)?;
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
