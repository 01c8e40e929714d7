//! For tests alone: a [`Stack`] made from text, and what `tests/` need of the crate's modules. Nothing of it is an
//! interface to rely on.
//!
//! Each function panics with the rendered diagnostics if the text is not a valid spec.

use std::collections::BTreeMap;

use camino::Utf8PathBuf;

use crate::spec::tree::{File, Files};
use crate::stack::{Overrides, Stack};

pub use crate::diagnostic::render;
pub use crate::event::{Event, Events};

/// The engine's client.
pub mod buildkit {
    pub use crate::buildkit::{
        Built, Client, Error, Export, Exported, Exporter, Request, Returned, Services, Update,
        solve,
    };
}

/// Images to operations.
pub mod compile {
    pub use crate::compile::{BaseConfig, BaseState, CA_SECRET, Compiler, StepEnvironment};
}

/// Returns a tool of one file, which is never read.
pub fn tool(path: &str, size: u64) -> BTreeMap<String, crate::compile::Brought> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let file = crate::compile::Brought {
        path: format!("/{name}").into(),
        size,
        digest: crate::name::Digest::of(name.as_bytes()),
    };
    BTreeMap::from([(path.to_owned(), file)])
}

/// Returns what stands for uv.
pub fn uv() -> BTreeMap<String, crate::compile::Brought> {
    tool("bin/uv", 44_198_984)
}

/// Returns what stands for py-rattler.
pub fn rattler() -> BTreeMap<String, crate::compile::Brought> {
    tool("rattler/rattler.abi3.so", 82_204_064)
}

/// Verdicts and package lists.
pub mod evidence {
    pub use crate::evidence::{Evidence, Info, Verdict, packages};
}

/// BuildKit operations.
pub mod llb {
    pub use crate::llb::{
        Definition, Exec, Graph, Meta, Mount, MountKind, Network, Origin, Output, Platform,
        ServedEntry, ServedOrigin, ServedTree, Sharing, Source,
    };
}

/// Valid names.
pub mod name {
    pub use crate::name::{Commit, Digest, Reference, Repository, Tag};
}

/// Keys.
pub mod plan {
    pub use crate::plan::key::FORMAT;
    pub use crate::plan::{Component, ComponentKind, KeyFacts, Keys, Periods, TagDigests};
}

/// Tags of images.
pub mod publish {
    pub use crate::publish::{Error, ImageTags, read, stage};

    use crate::event::Events;
    use crate::name::Repository;
    use crate::plan::TagDigests;
    use crate::registry::Registry;

    /// Puts every image under its immutable tags; `is_first` if no other run does that.
    pub async fn publish(
        registry: &Registry,
        staging: &Repository,
        images: &[ImageTags],
        (known, is_first): (&TagDigests, bool),
        events: &Events,
    ) -> Result<(), Error> {
        let placed = crate::publish::place(registry, staging, images, (known, false), events);
        let placed = placed.await?;
        placed.tag(async { is_first }, events).await?;
        placed.read_back(events).await
    }
}

/// Documents in staging.
pub mod record {
    pub use crate::record::{GateVerdict, LedgerEntry, MoveKind, Release, StoredSpec};
}

/// The registry's client.
pub mod registry {
    pub use crate::registry::{
        Content, Descriptor, Error, Locator, Manifest, Mount, MountRefusal, Options, Pushed,
        Registry,
    };
}

/// Channels.
pub mod release {
    pub use crate::release::{Channel, Error, Order, TagProblem, Target, find, number, targets};
}

/// Specs from the disk.
pub mod spec {
    pub use crate::stack::{ImageId, LoadFailure, Overrides, Stack, expanded};

    /// Reads a spec outside of a repository.
    pub fn load(file: &camino::Utf8Path, overrides: &Overrides) -> Result<Stack, LoadFailure> {
        let begun = jiff::Timestamp::now();
        let spec = crate::stack::parse(file, &crate::stack::read(file)?);
        let files = crate::stack::find(file, &Default::default(), None)?;
        crate::stack::load(spec, files, file, overrides, None, begun, None)
    }
}

/// The staging repository.
pub mod staging {
    pub use crate::staging::{
        Built, Document, EntryPosition, NumberTag, Staging, State, VersionNumber,
    };
}

/// Returns the stack of a spec without files.
pub fn stack(yaml: &str) -> Stack {
    stack_with(yaml, &[])
}

/// Returns the stack of a spec with text files under `images/`, by path (`images/x/setup.sh`).
pub fn stack_with(yaml: &str, files: &[(&str, &str)]) -> Stack {
    match parse(yaml, files, &Overrides::default()) {
        Ok(stack) => stack,
        Err(problems) => panic!("the spec is invalid:\n{problems}"),
    }
}

/// Returns the stack of a spec with text files, or its rendered diagnostics.
pub fn parse(yaml: &str, files: &[(&str, &str)], overrides: &Overrides) -> Result<Stack, String> {
    let spec = crate::spec::parse("specs.yml", yaml, text_files(files));
    Stack::new(&spec, overrides).map_err(|faults| render(&faults.problems, &faults.sources, false))
}

/// Returns text files by path, with the folders above them; `-> x` is a link to `x`, and a file with a `#!`
/// line is executable.
pub fn text_files(list: &[(&str, &str)]) -> Files {
    let mut files = Files::default();
    for (path, text) in list {
        let path = Utf8PathBuf::from(path);
        for folder in path.ancestors().skip(1) {
            if !folder.as_str().is_empty() && folder != "images" {
                files.insert(folder, File::Folder);
            }
        }
        let file = match text.strip_prefix("-> ") {
            Some(target) => File::Link {
                target: target.to_owned(),
            },
            None => File::Regular {
                content: text.as_bytes().into(),
                executable: text.starts_with("#!"),
            },
        };
        files.insert(path, file);
    }
    files
}

/// The registry in this process that `tests/` use as well.
#[cfg(test)]
#[path = "../tests/support/registry.rs"]
#[allow(dead_code, reason = "shared with the integration tests")]
pub(crate) mod fake;
