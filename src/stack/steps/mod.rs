//! Steps: short keys, `steps:` and `group:` to [`Step`]s.
//!
//! Each kind has a file that reads it, titles it, gives its part of the key and lists its files.
//! `stack` reads steps with [`StepReader`]; `compile` turns them into operations.

mod apt;
mod conda;
mod conda_file;
mod conda_names;
mod context;
mod copy;
mod dockerfile;
mod files;
mod hidden;
mod mounts;
mod ownership;
mod perms;
mod pip;
mod pip_args;
mod read;
mod requirement_files;
mod requirements;
mod run;
mod secrets;
mod step;

pub use apt::{Apt, AptSource};
pub use conda::{Conda, CondaEnvironment, CondaTool};
pub(super) use context::StepReader;
pub use copy::{Copy, CopyFrom};
pub use dockerfile::Dockerfile;
pub(super) use dockerfile::read as read_dockerfile;
pub use files::{Append, AppendFrom, Link, Write};
pub use mounts::{CacheSharing, MountSource, StepMount};
pub use ownership::Mode;
pub use perms::Perms;
pub use pip::Pip;
pub(super) use read::{KINDS, SETTINGS, SHORT, TO_COME, report_to_come};
pub(super) use requirement_files::{Consumer, Follower};
pub use requirement_files::{Local, Part, PipTool, Requirements, Text};
pub(super) use run::script;
pub use secrets::{Network, Secret, canonical_secrets};
pub(super) use secrets::{network, secrets};
pub use step::{Cwd, Kind, Step};
