//! [`Compiler`]: the graph under construction. The files beside this one add operations to it.

use std::collections::{BTreeMap, BTreeSet};

use super::config::BaseConfig;
use super::tree::Brought;
use crate::llb::{Action, File, Graph, Group, Meta, Origin, Output, Proxy, ServedTree, Source};
use crate::name::{Digest, Reference};
use crate::source::Span;
use crate::stack::{Compression, Image, ImageId, ImageSource, Stack};

/// The secret under which the session offers the bundle of certificates.
pub const CA_SECRET: &str = "laminate-ca";

/// How steps reach the network and which of them must run; it adds nothing to a cache key.
#[derive(Clone, Debug, Default)]
pub struct StepEnvironment {
    /// The session has a bundle of certificates as [`CA_SECRET`].
    pub ca: bool,
    /// Proxy variables for every step with the network.
    pub proxy: Option<Proxy>,
    /// uv, by the paths of its files; empty if nothing of the run uses it.
    pub uv: BTreeMap<String, Brought>,
    /// py-rattler, in the same way.
    pub rattler: BTreeMap<String, Brought>,
    /// Who shares caches: part of the id of each.
    pub cache_scope: String,
    /// Images whose steps run even if the engine has their results.
    pub ignore_cache: BTreeSet<ImageId>,
    /// The period of `refresh:` and the last `--refresh` of images that have any, as in their keys.
    pub refreshed: BTreeMap<ImageId, String>,
}

/// The base of an image, as the engine sees it.
#[derive(Clone, Debug)]
pub struct BaseState {
    /// Its file system.
    pub output: Output,
    /// Its config.
    pub config: BaseConfig,
}

/// Compiles images of one stack into one graph.
pub struct Compiler<'a> {
    /// The stack.
    pub(super) stack: &'a Stack,
    /// The network and cache of its steps.
    pub(super) environment: &'a StepEnvironment,
    /// Everything compiled so far.
    pub graph: Graph,
    /// The digest of each external image that steps copy from.
    pub external: BTreeMap<Reference, Digest>,
    /// The file system of each image of the stack that steps copy from.
    pub in_stack: BTreeMap<ImageId, Output>,
    /// Trees that the session must serve, by their name.
    pub served: BTreeMap<String, ServedTree>,
}

impl<'a> Compiler<'a> {
    /// Returns a compiler that adds to `graph`.
    pub fn new(stack: &'a Stack, environment: &'a StepEnvironment, graph: Graph) -> Self {
        Self {
            stack,
            environment,
            graph,
            external: BTreeMap::new(),
            in_stack: BTreeMap::new(),
            served: BTreeMap::new(),
        }
    }

    /// Adds an image of a registry, by a reference with a digest. `label` is the stack's image that
    /// needs it.
    pub fn reference(&mut self, reference: &Reference, label: &str) -> Output {
        let meta = Meta {
            name: format!("{label}: {reference}"),
            group: Some(group_of(label)),
            ..Meta::default()
        };
        let source = Source::Image {
            reference: reference.to_string(),
            layers: None,
        };
        self.graph.source(source, meta)
    }

    /// Adds the base of an image, as [`Self::reference`] does.
    pub fn base(&mut self, reference: &Reference, label: &str) -> Output {
        let base = self.reference(reference, label);
        self.for_compression(base, label)
    }

    /// Adds the lowest layers of an earlier build of an image, as many as `layers`, for further steps.
    pub fn earlier_build(&mut self, reference: &Reference, layers: usize, label: &str) -> Output {
        let base = self.first_layers(reference, layers);
        self.for_compression(base, label)
    }

    /// Returns a file system that steps are built on.
    ///
    /// An engine stores a layer when it first exports it, and has it in that form from then on. So what is built for
    /// another `compression:` than the default must not be equal to what the engine may have: the base is merged with
    /// nothing, which changes neither its files nor its layers, and that nothing is made of the setting.
    fn for_compression(&mut self, base: Output, label: &str) -> Output {
        let compression = self.stack.compression();
        if compression == Compression::default() {
            return base;
        }
        let meta = || Meta {
            name: format!("{label}: compression {compression}"),
            group: Some(group_of(label)),
            ..Meta::default()
        };
        let setting = File {
            base: None,
            actions: vec![Action::MakeFile {
                path: "/compression".to_owned(),
                mode: 0o644,
                owner: None,
                data: compression.to_string().into_bytes(),
            }],
        };
        let setting = self.graph.file(setting, meta());
        let nothing = self.graph.diff(Some(setting), Some(setting), meta());
        self.graph.merge(vec![base, nothing], meta())
    }

    /// Returns the file system of an image that a step of `image` copies from.
    pub(super) fn copied(&mut self, image: &Image, source: &ImageSource, label: &str) -> Output {
        match source {
            ImageSource::External(external) => {
                let reference = &external.reference.value;
                let digest = self.external.get(reference).or(reference.digest.as_ref());
                let digest = digest.expect("an image has a key only if these are known");
                self.reference(&reference.pinned(digest.clone()), label)
            }
            ImageSource::InStack(name) => self.in_stack[&image.copied[&name.value]],
        }
    }

    /// Adds the lowest layers of an image of a registry, as many as `layers`.
    pub fn first_layers(&mut self, reference: &Reference, layers: usize) -> Output {
        let source = Source::Image {
            reference: reference.to_string(),
            layers: Some(layers),
        };
        self.graph.source(source, Meta::default())
    }

    /// Returns the lines of the spec that an operation comes from.
    pub(super) fn origin_of(&self, span: Span) -> Origin {
        let sources = self.stack.sources();
        let (start, end) = (sources.start(span), sources.end(span));
        Origin {
            file: sources.path(span).to_owned(),
            start: (start.line, start.column),
            end: (end.line, end.column),
        }
    }
}

/// Returns the group in which the operations of one image are shown.
pub(super) fn group_of(label: &str) -> Group {
    Group {
        id: label.to_owned(),
        name: label.to_owned(),
    }
}

/// Returns the description of an operation that fetches `tool` for another operation.
pub(super) fn fetching(meta: &Meta, tool: &str) -> Meta {
    Meta {
        name: format!("{} (fetching {tool})", meta.name),
        ignore_cache: false,
        ..meta.clone()
    }
}
