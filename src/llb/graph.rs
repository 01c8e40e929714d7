//! [`Graph`]: collects operations; each can only use those added before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bollard_buildkit_proto::pb;

use super::ops::{Action, Exec, ExecOutputs, File, Meta, Mount, MountKind, OpId, Output, Source};

/// Operations in the order they were added.
#[derive(Clone, Debug)]
pub struct Graph {
    /// The platform of all images and commands.
    pub(super) platform: Platform,
    /// By [`OpId`].
    pub(super) nodes: Vec<Node>,
}

/// The platform of images and commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Platform {
    /// `linux`.
    pub os: String,
    /// `amd64`, `arm64`, as in Go.
    pub architecture: String,
    /// `v7` of `arm`; mostly empty.
    pub variant: String,
}

/// An operation of the graph.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The operation.
    pub operation: Operation,
    /// How it is shown and run.
    pub meta: Meta,
}

/// The kinds of operations.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operation {
    /// A file system from outside.
    Source(Source),
    /// A command.
    Exec(Box<Exec>),
    /// Actions on files.
    File(File),
    /// The files of `upper` that are not in `lower`; `None` is an empty file system.
    Diff {
        lower: Option<Output>,
        upper: Option<Output>,
    },
    /// The files of all, those of later ones over those of earlier ones.
    Merge(Vec<Output>),
    /// All operations of a definition that a frontend made.
    Embedded(Arc<Embedded>),
}

/// A definition that another program made.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Embedded {
    /// The operations with their digests, inputs first.
    pub operations: Vec<(String, Vec<u8>)>,
    /// By digest.
    pub metadata: BTreeMap<String, pb::OpMetadata>,
    /// The lines they come from.
    pub source: pb::Source,
    /// The digest of the last one.
    pub head: String,
}

impl Platform {
    /// Returns Linux on an architecture, by Rust's name (`x86_64`) or by Go's (`amd64`).
    pub fn linux(architecture: &str) -> Self {
        let architecture = match architecture {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Self {
            os: "linux".to_owned(),
            architecture: architecture.to_owned(),
            variant: String::new(),
        }
    }
}

impl Graph {
    /// Returns an empty graph for one platform.
    pub fn new(platform: Platform) -> Self {
        Self {
            platform,
            nodes: Vec::new(),
        }
    }

    /// Returns the operation of an output if it is a command.
    pub fn exec_of(&self, output: Output) -> Option<&Exec> {
        match &self.nodes[output.op.0 as usize].operation {
            Operation::Exec(exec) => Some(exec),
            _ => None,
        }
    }

    /// Returns the operation of an output if it is a file system from outside.
    pub fn source_of(&self, output: Output) -> Option<&Source> {
        match &self.nodes[output.op.0 as usize].operation {
            Operation::Source(source) => Some(source),
            _ => None,
        }
    }

    /// Returns the operation of an output if it is actions on files.
    pub fn file_of(&self, output: Output) -> Option<&File> {
        match &self.nodes[output.op.0 as usize].operation {
            Operation::File(file) => Some(file),
            _ => None,
        }
    }

    /// Adds a file system from outside.
    pub fn source(&mut self, source: Source, meta: Meta) -> Output {
        self.add(Operation::Source(source), meta)
    }

    /// Adds a command.
    pub fn exec(&mut self, exec: Exec, meta: Meta) -> ExecOutputs {
        let mut next = 1;
        // Outputs are numbered in the order in which mounts are sent: by target.
        let mut order: Vec<usize> = (0..exec.mounts.len()).collect();
        order.sort_by(|a, b| exec.mounts[*a].target.cmp(&exec.mounts[*b].target));
        let mut indices = vec![None; exec.mounts.len()];
        for index in order {
            if let MountKind::Output { .. } = exec.mounts[index].kind {
                indices[index] = Some(next);
                next += 1;
            }
        }
        let root = self.add(Operation::Exec(Box::new(exec)), meta);
        ExecOutputs {
            root,
            mounts: indices
                .into_iter()
                .map(|index| index.map(|index| Output { op: root.op, index }))
                .collect(),
        }
    }

    /// Adds actions on files. Without any, returns the base.
    pub fn file(&mut self, file: File, meta: Meta) -> Output {
        match (&file.base, file.actions.is_empty()) {
            (Some(base), true) => *base,
            _ => self.add(Operation::File(file), meta),
        }
    }

    /// Adds the difference of two file systems: what `upper` has and `lower` has not. `None` is an empty one.
    pub fn diff(&mut self, lower: Option<Output>, upper: Option<Output>, meta: Meta) -> Output {
        self.add(Operation::Diff { lower, upper }, meta)
    }

    /// Adds the files of all file systems, those of later ones over those of earlier ones.
    pub fn merge(&mut self, inputs: Vec<Output>, meta: Meta) -> Output {
        self.add(Operation::Merge(inputs), meta)
    }

    pub(super) fn add(&mut self, operation: Operation, meta: Meta) -> Output {
        for input in operation.inputs() {
            assert!(
                (input.op.0 as usize) < self.nodes.len(),
                "an operation uses only what was added to the same graph before it"
            );
        }
        let op = OpId(u32::try_from(self.nodes.len()).expect("a graph has few operations"));
        self.nodes.push(Node { operation, meta });
        Output { op, index: 0 }
    }
}

impl Operation {
    /// Returns every output it uses in the order of first use, once, but for [`Self::Diff`] and [`Self::Merge`]: of
    /// these, engines count the inputs.
    pub(super) fn inputs(&self) -> Vec<Output> {
        let mut inputs = Vec::new();
        let mut add = |output: Option<Output>| {
            if let Some(output) = output
                && !inputs.contains(&output)
            {
                inputs.push(output);
            }
        };
        match self {
            Self::Source(_) | Self::Embedded(_) => {}
            Self::Exec(exec) => {
                add(Some(exec.root));
                for mount in exec.mounts_by_target() {
                    add(match &mount.kind {
                        MountKind::ReadOnly { input, .. } | MountKind::Discarded { input, .. } => {
                            Some(*input)
                        }
                        MountKind::Output { input } => *input,
                        MountKind::Cache { seed, .. } => *seed,
                        MountKind::Tmpfs { .. } | MountKind::Secret { .. } => None,
                    });
                }
            }
            Self::File(file) => {
                add(file.base);
                for action in &file.actions {
                    if let Action::Copy { from, .. } = action {
                        add(Some(*from));
                    }
                }
            }
            Self::Diff { lower, upper } => return lower.iter().chain(upper).copied().collect(),
            Self::Merge(inputs) => return inputs.clone(),
        }
        inputs
    }
}

impl Exec {
    /// Returns the mounts by target, so that each comes after the one it is in.
    pub(super) fn mounts_by_target(&self) -> Vec<&Mount> {
        let mut mounts: Vec<&Mount> = self.mounts.iter().collect();
        mounts.sort_by(|a, b| a.target.cmp(&b.target));
        mounts
    }
}
