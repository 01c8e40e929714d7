//! A graph of BuildKit operations as plain data, and its canonical bytes.
//!
//! [`Graph`] is append-only: an operation can only use outputs of operations added before it, so it
//! is acyclic by construction. `compile` fills it; `marshal` turns the part below one output into
//! the bytes `buildkit` sends. Equal graphs give equal bytes.

mod graph;
mod marshal;
#[cfg(test)]
mod tests;

pub use graph::{Graph, Platform};
pub use marshal::Definition;

/// What an operation gives to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Output {
    pub op: OpId,
    pub index: u32,
}

/// An index into the operations of a [`Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u32);

/// What is said about an operation beside what it does; none of it enters its digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// Shown while it runs.
    pub name: String,
    /// The image it belongs to: operations of one group are shown as one.
    pub group: Option<Group>,
    /// The lines it comes from.
    pub origin: Option<Origin>,
    /// Runs it again although its result is known.
    pub ignore_cache: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub id: String,
    pub name: String,
}

/// A range of lines of one file of the source map; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file's path as the user knows it; its text is given to `marshal`.
    pub file: String,
    pub start: (u32, u32),
    pub end: (u32, u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `docker-image://`, a normalised reference.
    Image {
        reference: String,
        /// Only this many of its layers, from the lowest.
        layers: Option<usize>,
    },
    /// `local://`, a tree the session serves under this name. The digest of its content is the
    /// shared-key hint, so that equal trees are not sent again.
    Local { name: String, content: String },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    pub args: Vec<String>,
    /// `K=V`; the order is kept.
    pub env: Vec<String>,
    pub cwd: String,
    pub user: String,
    pub network: Network,
    /// The file system it runs in; its output 0 is what it becomes. There is always that output, used
    /// or not: a root without one is mounted read-only (frontend/gateway/container/container.go).
    pub root: Output,
    /// Beside `/`; any order.
    pub mounts: Vec<Mount>,
    /// Proxy variables; they do not enter the cache key.
    pub proxy: Option<Proxy>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    pub http: String,
    pub https: String,
    pub ftp: String,
    pub no: String,
    pub all: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    #[default]
    Default,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Absolute.
    pub target: String,
    pub kind: MountKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Read-only, `selector` inside `input` (empty or `/`: all of it).
    ReadOnly {
        input: Output,
        selector: String,
    },
    /// Writable and kept as an output of its own; `None`: begins empty.
    Output {
        input: Option<Output>,
    },
    Cache {
        id: String,
        sharing: Sharing,
        seed: Option<Output>,
        selector: String,
    },
    Tmpfs,
    Secret {
        id: String,
        uid: u32,
        gid: u32,
        mode: u32,
        optional: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    Shared,
    Private,
}

/// What [`Graph::exec`] gives.
#[derive(Clone, Debug)]
pub struct ExecOutputs {
    pub root: Output,
    /// For each mount of the `Exec`, in its order: its output if it is `MountKind::Output`.
    pub mounts: Vec<Option<Output>>,
}

/// One operation on files, applied in order; the result of the last is the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// `None`: begins empty.
    pub base: Option<Output>,
    pub actions: Vec<Action>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Copy {
        from: Output,
        source: String,
        target: String,
        owner: Option<Owner>,
        mode: FileMode,
        /// The contents of `source`, not itself.
        contents: bool,
        /// Wildcards in `source`.
        wildcard: bool,
        follow: bool,
    },
    /// Parents are made with the same mode and owner.
    MakeFolder {
        path: String,
        mode: u32,
        owner: Option<Owner>,
    },
    MakeFile {
        path: String,
        mode: u32,
        owner: Option<Owner>,
        data: Vec<u8>,
    },
    Symlink {
        path: String,
        target: String,
        owner: Option<Owner>,
    },
    Remove {
        path: String,
        allow_missing: bool,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileMode {
    #[default]
    Keep,
    Octal(u32),
    Symbolic(String),
}

/// A user and a group; names are looked up in the base's `/etc/passwd` and `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub user: Who,
    pub group: Option<Who>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Id(u32),
    Name(String),
}
