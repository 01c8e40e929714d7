//! Definitions that a frontend of the engine made, as a part of a graph.
//!
//! A definition is kept as it is, but for what [`ExecAdditions`] adds to its commands.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bollard_buildkit_proto::pb;
use prost::Message as _;

use super::graph::{Embedded, Graph, Operation};
use super::marshal::{canonical, mount_of, not_empty};
use super::ops::{Group, Meta, Mount, MountKind, Output};
use crate::name::Digest;

/// What is added to the commands of a definition.
#[derive(Clone, Debug, Default)]
pub struct ExecAdditions {
    /// `NAME=value`, for all commands; a variable that a command has stays as it is.
    pub env: Vec<String>,
    /// `NAME=value`, for commands with the network.
    pub network_env: Vec<String>,
    /// Mounts of commands with the network. They have no inputs.
    pub network_mounts: Vec<Mount>,
}

/// A definition in a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedOutput {
    /// Its result.
    pub output: Output,
    /// The digest of each of its own operations, and the name that the frontend gave it.
    pub names: Vec<(String, String)>,
}

/// Why a definition is not one.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// An operation cannot be read.
    #[error("an operation cannot be read: {0}")]
    Decode(#[from] prost::DecodeError),
    /// An operation uses one that is not before it.
    #[error("an operation uses {0}, which is not before it")]
    Input(String),
}

impl Graph {
    /// Adds a definition. Its operations are shown in `group`; those of other images, whose digests are in `before`, stay as
    /// they are. Returns its result; `None` if the definition is empty, as that of an empty file system.
    pub fn embed(
        &mut self,
        definition: &pb::Definition,
        additions: &ExecAdditions,
        group: &Group,
        before: &BTreeSet<String>,
    ) -> Result<Option<EmbeddedOutput>, EmbedError> {
        let Some((last, operations)) = definition.def.split_last() else {
            return Ok(None);
        };
        let mut digests: BTreeMap<String, String> = BTreeMap::new();
        let mut made = Vec::new();
        let mut metadata = BTreeMap::new();
        let mut names = Vec::new();
        for bytes in operations {
            let as_sent = Digest::of(bytes).to_string();
            let known = definition.metadata.get(&as_sent).cloned();
            let mut of_operation = known.unwrap_or_default();
            let (digest, bytes) = if before.contains(&as_sent) {
                (as_sent.clone(), bytes.clone())
            } else {
                of_operation.progress_group = Some(pb::ProgressGroup {
                    id: group.id.clone(),
                    name: group.name.clone(),
                    weak: false,
                });
                let changed = changed(bytes, additions, &digests)?;
                let name = of_operation.description.get("llb.customname");
                names.push((changed.0.clone(), name.cloned().unwrap_or_default()));
                changed
            };
            metadata.insert(digest.clone(), not_empty(of_operation));
            digests.insert(as_sent, digest.clone());
            made.push((digest, bytes));
        }
        let terminal = pb::Op::decode(last.as_slice())?;
        let Some(input) = terminal.inputs.first() else {
            return Ok(None);
        };
        let head = digests.get(&input.digest).cloned();
        let head = head.ok_or_else(|| EmbedError::Input(input.digest.clone()))?;
        let index = u32::try_from(input.index).unwrap_or_default();
        let mut source = definition.source.clone().unwrap_or_default();
        // An empty message in a map is left out when it is written; the daemon takes it for a null pointer and ends
        // (client/llb/definition.go of BuildKit 0.32.2).
        source
            .locations
            .retain(|_, places| !places.locations.is_empty());
        let locations = std::mem::take(&mut source.locations).into_iter();
        source.locations = locations
            .filter_map(|(digest, places)| Some((digests.get(&digest)?.clone(), places)))
            .collect();
        for info in &mut source.infos {
            // How the engine got the file, and its text.
            info.definition = None;
            info.data.clear();
        }
        let embedded = Embedded {
            operations: made,
            metadata,
            source,
            head,
        };
        let output = self.add(Operation::Embedded(Arc::new(embedded)), Meta::default());
        let output = Output { index, ..output };
        Ok(Some(EmbeddedOutput { output, names }))
    }
}

/// Returns an operation with its additions and the digests of its changed inputs. One that does not change stays as it is.
fn changed(
    bytes: &[u8],
    additions: &ExecAdditions,
    digests: &BTreeMap<String, String>,
) -> Result<(String, Vec<u8>), EmbedError> {
    let mut op = pb::Op::decode(bytes)?;
    let mut is_changed = false;
    for input in &mut op.inputs {
        let digest = digests.get(&input.digest);
        let digest = digest.ok_or_else(|| EmbedError::Input(input.digest.clone()))?;
        is_changed |= *digest != input.digest;
        input.digest.clone_from(digest);
    }
    if let Some(pb::op::Op::Exec(exec)) = &mut op.op {
        is_changed |= add(exec, additions);
    }
    let bytes = if is_changed {
        canonical(op)
    } else {
        bytes.to_vec()
    };
    Ok((Digest::of(&bytes).to_string(), bytes))
}

/// Adds to a command; returns whether it changed.
fn add(exec: &mut pb::ExecOp, additions: &ExecAdditions) -> bool {
    let has_network = exec.network != pb::NetMode::None as i32;
    let Some(meta) = &mut exec.meta else {
        return false;
    };
    let of_network = additions.network_env.iter().filter(|_| has_network);
    let mut is_changed = false;
    for entry in additions.env.iter().chain(of_network) {
        let name = entry.split_inclusive('=').next().unwrap_or_default();
        if !meta.env.iter().any(|known| known.starts_with(name)) {
            meta.env.push(entry.clone());
            is_changed = true;
        }
    }
    if has_network && !additions.network_mounts.is_empty() {
        meta.remove_mount_stubs_recursive = true;
        let no_input = |_: Output| -1;
        let mounts = additions.network_mounts.iter();
        exec.mounts.extend(mounts.map(|mount| {
            debug_assert!(matches!(
                mount.kind,
                MountKind::Tmpfs { .. } | MountKind::Secret { .. }
            ));
            mount_of(mount, &no_input)
        }));
        is_changed = true;
    }
    is_changed
}
