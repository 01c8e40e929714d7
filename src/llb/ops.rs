//! Operations as plain data.

/// One result of an operation, for others to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Output {
    /// The operation.
    pub op: OpId,
    /// Which of its results, from 0.
    pub index: u32,
}

/// An index into the operations of a [`Graph`](super::Graph).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub u32);

/// How an operation is shown and run; none of it enters its digest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// The text shown while it runs.
    pub name: String,
    /// The image it belongs to: operations of one group are shown as one.
    pub group: Option<Group>,
    /// The lines of the spec it comes from.
    pub origin: Option<Origin>,
    /// Runs it even if the engine has its result.
    pub ignore_cache: bool,
}

/// A progress group: its operations are shown as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Equal for all operations of the group.
    pub id: String,
    /// The text shown for the group.
    pub name: String,
}

/// A range of lines of one file of the source map; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file's path as the user knows it; `marshal` takes its text.
    pub file: String,
    /// Line and column of the first character.
    pub start: (u32, u32),
    /// Line and column after the last character.
    pub end: (u32, u32),
}

/// A file system from outside the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `docker-image://`, an image of a registry.
    Image {
        /// A normalised reference.
        reference: String,
        /// The number of its layers to take, from the lowest; `None` takes all.
        layers: Option<usize>,
    },
    /// `local://`, a tree that the session serves.
    Local {
        /// The name it is served under.
        name: String,
        /// The digest of its content, which is the shared-key hint: equal trees are not sent again.
        content: String,
    },
}

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exec {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`; the order is kept.
    pub env: Vec<String>,
    /// The folder it runs in.
    pub cwd: String,
    /// A name or number, with or without a group.
    pub user: String,
    /// The network it has.
    pub network: Network,
    /// The file system it runs in; output 0 is that file system afterwards. That output always exists:
    /// a root without one is mounted read-only (frontend/gateway/container/container.go).
    pub root: Output,
    /// Other mounts than `/`, in any order.
    pub mounts: Vec<Mount>,
    /// Proxy variables; they do not enter the engine's cache key.
    pub proxy: Option<Proxy>,
}

/// The values of the proxy variables; empty ones are not set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxy {
    /// `HTTP_PROXY`.
    pub http: String,
    /// `HTTPS_PROXY`.
    pub https: String,
    /// `FTP_PROXY`.
    pub ftp: String,
    /// `NO_PROXY`.
    pub no: String,
    /// `ALL_PROXY`.
    pub all: String,
}

/// The network of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Network {
    /// The engine's default: the internet.
    #[default]
    Default,
    /// Only a loopback interface.
    None,
}

/// A mount of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path in the command's file system.
    pub target: String,
    /// The source of its files.
    pub kind: MountKind,
}

/// The source of a mount's files, and what happens to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountKind {
    /// Read-only.
    ReadOnly {
        /// The file system it shows.
        input: Output,
        /// A path in `input`; empty or `/` for all of it.
        selector: String,
    },
    /// Writable; what is written is lost.
    Discarded {
        /// The file system it begins with.
        input: Output,
        /// A path in `input`; empty or `/` for all of it.
        selector: String,
    },
    /// Writable, and kept as an output of the command.
    Output {
        /// The file system it begins with; `None` for an empty one.
        input: Option<Output>,
    },
    /// Writable, and kept by the engine from build to build.
    Cache {
        /// The name of the cache in the engine.
        id: String,
        /// How commands share it.
        sharing: Sharing,
        /// The file system a new cache begins with; `None` for an empty folder of root's.
        seed: Option<Output>,
        /// A path in `seed`; empty for all of it.
        selector: String,
    },
    /// Empty, in memory, and gone afterwards.
    Tmpfs {
        /// The most bytes; 0 for no limit.
        size: u64,
    },
    /// A file of the session that enters no layer and no cache key.
    Secret {
        /// The name the session knows it by.
        id: String,
        /// The user it belongs to.
        uid: u32,
        /// The group it belongs to.
        gid: u32,
        /// Permission bits.
        mode: u32,
        /// Without it the command fails, unless this is set.
        optional: bool,
    },
}

/// How commands that run at the same time share a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// All use the same folder.
    Shared,
    /// Each has a folder of its own.
    Private,
    /// One waits for the other.
    Locked,
}

/// The outputs of a command, from [`Graph::exec`](super::Graph::exec).
#[derive(Clone, Debug)]
pub struct ExecOutputs {
    /// The file system it ran in, as it left it.
    pub root: Output,
    /// For each mount of the [`Exec`], in its order, its output if it is a [`MountKind::Output`].
    pub mounts: Vec<Option<Output>>,
}

/// Actions on files, applied in order; the result of the last one is the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The file system it begins with; `None` for an empty one.
    pub base: Option<Output>,
    /// The actions, which see the result of those before them.
    pub actions: Vec<Action>,
}

/// One action on files. Paths are absolute; without an owner files belong to root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Copies from another file system, and makes the folders above `target`.
    Copy {
        /// The file system to copy from.
        from: Output,
        /// The path there.
        source: String,
        /// The path in the result.
        target: String,
        /// The owner of the copies.
        owner: Option<Owner>,
        /// The mode of the copies.
        mode: FileMode,
        /// Copies the contents of the folder `source`, not the folder.
        contents: bool,
        /// Expands wildcards in `source`.
        wildcard: bool,
        /// Follows symbolic links in `source`.
        follow: bool,
    },
    /// Makes a folder, and those above it with the same mode and owner.
    MakeFolder {
        /// The path of the folder.
        path: String,
        /// Permission bits.
        mode: u32,
        /// The owner of the folder.
        owner: Option<Owner>,
    },
    /// Makes a file, in place of an existing one.
    MakeFile {
        /// The path of the file.
        path: String,
        /// Permission bits.
        mode: u32,
        /// The owner of the file.
        owner: Option<Owner>,
        /// Its content.
        data: Vec<u8>,
    },
    /// Makes a symbolic link; fails where the path exists.
    Symlink {
        /// The path of the link.
        path: String,
        /// The text of the link.
        target: String,
        /// The owner of the link.
        owner: Option<Owner>,
    },
    /// Removes a file or a folder with everything in it.
    Remove {
        /// The path.
        path: String,
        /// A missing path is not an error.
        allow_missing: bool,
    },
}

/// The mode of a copied file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileMode {
    /// That of the source.
    #[default]
    Keep,
    /// Permission bits.
    Octal(u32),
    /// A change as `chmod` understands it: `g+rwX`.
    Symbolic(String),
}

/// A user and a group; names are looked up in the base's `/etc/passwd` and `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub user: Who,
    /// The group; `None` leaves it to the engine.
    pub group: Option<Who>,
}

/// A user or a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// By number.
    Id(u32),
    /// By name.
    Name(String),
}
