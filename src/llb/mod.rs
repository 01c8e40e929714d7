//! A graph of BuildKit operations as plain data, and its canonical bytes.
//!
//! [`Graph`] is append-only: an operation can only use outputs of operations added before it, so it
//! is acyclic by construction. `compile` fills it; [`Graph::marshal`] turns the part below one output into
//! the bytes that `buildkit` sends. Equal graphs give equal bytes.

mod embed;
mod file_op;
mod graph;
mod marshal;
mod ops;
mod served;
#[cfg(test)]
mod tests;
mod time;

pub use embed::{EmbedError, EmbeddedOutput, ExecAdditions};
pub use graph::{Graph, Platform};
pub use marshal::Definition;
pub use ops::{
    Action, Exec, File, FileMode, Group, Meta, Mount, MountKind, Network, OpId, Origin, Output,
    Owner, Proxy, Sharing, Source, Who,
};
pub use served::{ServedContent, ServedEntry, ServedOrigin, ServedTree};
pub use time::{EARLIEST, time_of};
