//! A part of a graph as the bytes a buildkitd reads.
//!
//! The daemon decodes every operation, encodes it with Go's protobuf and identifies it by the digest of
//! *those* bytes (moby/buildkit v0.32.2, solver/llbsolver/vertex.go). Ours must be the same, or its
//! errors refer to operations we do not know: Go writes the members of a oneof last, and always both
//! fields of a map entry.

use std::collections::{BTreeMap, BTreeSet};

use bollard_buildkit_proto::pb;
use prost::Message as _;

use super::file_op::file_op;
use super::graph::{Embedded, Graph, Operation};
use super::ops::{Exec, Mount, MountKind, Network, OpId, Origin, Output, Sharing, Source};
use crate::name::Digest;

/// A part of a graph, as it is sent to be solved.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The message.
    pub pb: pb::Definition,
    /// The operation of each digest that the daemon may report.
    pub digests: BTreeMap<String, OpId>,
}

impl Graph {
    /// Returns everything that `output` depends on. Of the files that operations come from, the engine gets the paths and lines,
    /// which its errors name, and not the text: a stack of 1,000 images would send its spec 1,000 times.
    pub fn marshal(&self, output: Output) -> Definition {
        let mut needed = BTreeSet::from([output.op]);
        let mut open = vec![output.op];
        while let Some(OpId(index)) = open.pop() {
            let inputs = self.nodes[index as usize].operation.inputs();
            let inputs = inputs.into_iter().map(|input| input.op);
            open.extend(inputs.filter(|op| needed.insert(*op)));
        }
        let mut made = Marshaled::default();
        for id in needed {
            self.write(id, &mut made);
        }
        let terminal = pb::Op {
            inputs: vec![made.input(output)],
            ..pb::Op::default()
        };
        made.def.push(terminal.encode_to_vec());
        let source = pb::Source {
            locations: made.locations,
            infos: made.infos,
        };
        Definition {
            pb: pb::Definition {
                def: made.def,
                metadata: made.metadata,
                source: Some(source),
            },
            digests: made.digests,
        }
    }

    fn write(&self, id: OpId, made: &mut Marshaled) {
        let node = &self.nodes[id.0 as usize];
        if let Operation::Embedded(embedded) = &node.operation {
            made.embed(id, embedded);
            return;
        }
        let bytes = canonical(self.op(&node.operation, made));
        let digest = Digest::of(&bytes).as_str().to_owned();
        let known = made.names.insert(id, digest.clone());
        debug_assert!(known.is_none(), "each operation is added once");
        if made.digests.contains_key(&digest) {
            // An equal operation was added before: both are one vertex, with the description of the first.
            return;
        }
        made.digests.insert(digest.clone(), id);
        made.def.push(bytes);
        let meta = &node.meta;
        let mut description = BTreeMap::new();
        if !meta.name.is_empty() {
            description.insert("llb.customname".to_owned(), meta.name.clone());
        }
        let metadata = pb::OpMetadata {
            ignore_cache: meta.ignore_cache,
            description,
            progress_group: meta.group.as_ref().map(|group| pb::ProgressGroup {
                id: group.id.clone(),
                name: group.name.clone(),
                weak: false,
            }),
            ..pb::OpMetadata::default()
        };
        made.metadata.insert(digest.clone(), not_empty(metadata));
        if let Some(origin) = &meta.origin {
            made.locate(digest, origin);
        }
    }

    fn op(&self, operation: &Operation, made: &Marshaled) -> pb::Op {
        let inputs = operation.inputs();
        let at = |output: Output| index_of(&inputs, output);
        let kind = match operation {
            Operation::Embedded(_) => unreachable!("`write` adds its operations as they are"),
            Operation::Source(source) => pb::op::Op::Source(source_op(source)),
            Operation::Exec(exec) => pb::op::Op::Exec(exec_op(exec, &at)),
            Operation::File(file) => pb::op::Op::File(file_op(file, inputs.len(), &at)),
            Operation::Diff { lower, upper } => pb::op::Op::Diff(pb::DiffOp {
                lower: Some(pb::LowerDiffInput {
                    input: lower.map_or(-1, |_| 0),
                }),
                upper: Some(pb::UpperDiffInput {
                    input: upper.map_or(-1, |_| i64::from(lower.is_some())),
                }),
            }),
            Operation::Merge(inputs) => pb::op::Op::Merge(pb::MergeOp {
                inputs: (0_i64..)
                    .take(inputs.len())
                    .map(|input| pb::MergeInput { input })
                    .collect(),
            }),
        };
        let for_platform = matches!(
            operation,
            Operation::Exec(_) | Operation::Source(Source::Image { .. })
        );
        pb::Op {
            inputs: inputs.iter().map(|output| made.input(*output)).collect(),
            platform: for_platform.then(|| pb::Platform {
                architecture: self.platform.architecture.clone(),
                os: self.platform.os.clone(),
                variant: self.platform.variant.clone(),
                ..pb::Platform::default()
            }),
            constraints: Some(pb::WorkerConstraints::default()),
            op: Some(kind),
        }
    }
}

/// Returns the metadata of an operation with something in it. The frontend refuses inputs that have an operation without
/// metadata, and the daemon takes an empty message in a map for a null pointer (`DefinitionOp` in client/llb/definition.go
/// of BuildKit 0.32.2).
pub(super) fn not_empty(mut metadata: pb::OpMetadata) -> pb::OpMetadata {
    if metadata == pb::OpMetadata::default() {
        let description = &mut metadata.description;
        description.insert("io.laminate.operation".to_owned(), "unnamed".to_owned());
    }
    metadata
}

#[derive(Default)]
struct Marshaled {
    names: BTreeMap<OpId, String>,
    digests: BTreeMap<String, OpId>,
    def: Vec<Vec<u8>>,
    metadata: BTreeMap<String, pb::OpMetadata>,
    infos: Vec<pb::SourceInfo>,
    locations: BTreeMap<String, pb::Locations>,
}

impl Marshaled {
    /// Records the lines that an operation comes from.
    fn locate(&mut self, digest: String, origin: &Origin) {
        let known = self.infos.iter().position(|i| i.filename == origin.file);
        let index = known.unwrap_or_else(|| {
            self.infos.push(pb::SourceInfo {
                filename: origin.file.clone(),
                ..pb::SourceInfo::default()
            });
            self.infos.len() - 1
        });
        let position = |(line, character): (u32, u32)| pb::Position {
            line: i32::try_from(line).unwrap_or(i32::MAX),
            character: i32::try_from(character).unwrap_or(i32::MAX),
        };
        let location = pb::Location {
            source_index: i32::try_from(index).expect("a stack has few files"),
            ranges: vec![pb::Range {
                start: Some(position(origin.start)),
                end: Some(position(origin.end)),
            }],
        };
        let locations = vec![location];
        self.locations.insert(digest, pb::Locations { locations });
    }

    /// Adds the operations of another definition, with the lines they come from.
    fn embed(&mut self, id: OpId, embedded: &Embedded) {
        self.names.insert(id, embedded.head.clone());
        for (digest, bytes) in &embedded.operations {
            if self.digests.contains_key(digest) {
                continue;
            }
            self.digests.insert(digest.clone(), id);
            self.def.push(bytes.clone());
            if let Some(metadata) = embedded.metadata.get(digest) {
                self.metadata.insert(digest.clone(), metadata.clone());
            }
        }
        let first = i32::try_from(self.infos.len()).expect("a stack has few files");
        self.infos.extend(embedded.source.infos.iter().cloned());
        for (digest, places) in &embedded.source.locations {
            let mut places = places.clone();
            for place in &mut places.locations {
                place.source_index += first;
            }
            self.locations.entry(digest.clone()).or_insert(places);
        }
    }

    fn input(&self, output: Output) -> pb::Input {
        pb::Input {
            digest: self.names[&output.op].clone(),
            index: i64::from(output.index),
        }
    }
}

/// Returns the bytes as Go writes them: the oneof after all other fields.
pub(super) fn canonical(mut op: pb::Op) -> Vec<u8> {
    let kind = op.op.take();
    let mut bytes = op.encode_to_vec();
    let only_kind = pb::Op {
        op: kind,
        ..pb::Op::default()
    };
    bytes.extend(only_kind.encode_to_vec());
    bytes
}

fn index_of(inputs: &[Output], output: Output) -> i64 {
    let index = inputs.iter().position(|input| *input == output);
    let index = index.expect("`Operation::inputs` lists every output an operation uses");
    i64::try_from(index).expect("an operation has few inputs")
}

fn source_op(source: &Source) -> pb::SourceOp {
    let mut attrs = BTreeMap::new();
    // Go encodes an empty value in another way; none is needed.
    let mut set = |name: &str, value: &str| {
        if !value.is_empty() {
            attrs.insert(name.to_owned(), value.to_owned());
        }
    };
    let identifier = match source {
        Source::Image { reference, layers } => {
            set(
                "image.layerlimit",
                &layers.map(|n| n.to_string()).unwrap_or_default(),
            );
            format!("docker-image://{reference}")
        }
        Source::Local { name, content } => {
            set("local.unique", content);
            set("local.sharedkeyhint", content);
            format!("local://{name}")
        }
    };
    pb::SourceOp { identifier, attrs }
}

fn exec_op(exec: &Exec, at: &dyn Fn(Output) -> i64) -> pb::ExecOp {
    let root = pb::Mount {
        input: at(exec.root),
        dest: "/".to_owned(),
        ..pb::Mount::default()
    };
    let mut mounts = vec![root];
    let mut next = 1;
    for mount in exec.mounts_by_target() {
        let mut made = mount_of(mount, at);
        if let MountKind::Output { .. } = mount.kind {
            made.output = next;
            next += 1;
        }
        mounts.push(made);
    }
    pb::ExecOp {
        meta: Some(pb::Meta {
            args: exec.args.clone(),
            env: exec.env.clone(),
            cwd: exec.cwd.clone(),
            user: exec.user.clone(),
            proxy_env: exec.proxy.as_ref().map(|proxy| pb::ProxyEnv {
                http_proxy: proxy.http.clone(),
                https_proxy: proxy.https.clone(),
                ftp_proxy: proxy.ftp.clone(),
                no_proxy: proxy.no.clone(),
                all_proxy: proxy.all.clone(),
            }),
            remove_mount_stubs_recursive: true,
            ..pb::Meta::default()
        }),
        mounts,
        network: match exec.network {
            Network::Default => pb::NetMode::Unset as i32,
            Network::None => pb::NetMode::None as i32,
        },
        ..pb::ExecOp::default()
    }
}

/// Returns a mount without an output: `exec_op` numbers those of `MountKind::Output`.
pub(super) fn mount_of(mount: &Mount, at: &dyn Fn(Output) -> i64) -> pb::Mount {
    let made = pb::Mount {
        input: -1,
        dest: mount.target.clone(),
        output: -1,
        ..pb::Mount::default()
    };
    match &mount.kind {
        MountKind::ReadOnly { input, selector } => pb::Mount {
            input: at(*input),
            selector: selector.clone(),
            readonly: true,
            ..made
        },
        MountKind::Discarded { input, selector } => pb::Mount {
            input: at(*input),
            selector: selector.clone(),
            ..made
        },
        MountKind::Output { input } => pb::Mount {
            input: input.map_or(-1, at),
            ..made
        },
        MountKind::Cache {
            id,
            sharing,
            seed,
            selector,
        } => pb::Mount {
            input: seed.map_or(-1, at),
            selector: selector.clone(),
            mount_type: pb::MountType::Cache as i32,
            cache_opt: Some(pb::CacheOpt {
                id: id.clone(),
                sharing: match sharing {
                    Sharing::Shared => pb::CacheSharingOpt::Shared as i32,
                    Sharing::Private => pb::CacheSharingOpt::Private as i32,
                    Sharing::Locked => pb::CacheSharingOpt::Locked as i32,
                },
            }),
            ..made
        },
        MountKind::Tmpfs { size } => pb::Mount {
            mount_type: pb::MountType::Tmpfs as i32,
            tmpfs_opt: Some(pb::TmpfsOpt {
                size: i64::try_from(*size).unwrap_or(i64::MAX),
            }),
            ..made
        },
        MountKind::Secret {
            id,
            uid,
            gid,
            mode,
            optional,
        } => pb::Mount {
            output: 0,
            mount_type: pb::MountType::Secret as i32,
            secret_opt: Some(pb::SecretOpt {
                id: id.clone(),
                uid: *uid,
                gid: *gid,
                mode: *mode,
                optional: *optional,
            }),
            ..made
        },
    }
}
