//! Images to LLB: [`Compiler`] adds one image after the other to one graph, parents first.
//!
//! `run` calls it inside the solve, once the configs of the bases are known. For one step the way is:
//! `image` takes the step, `steps` makes its [`Command`](command::Command) (`steps/pip.rs` that of a pip
//! step, with its shell in `scripts/`), `group` merges the commands of a group, `exec` adds mounts, user
//! and environment and puts it into the graph. `suite` and `info` do the same for what runs on a
//! finished image.

mod command;
mod compiler;
pub mod config;
mod config_fields;
mod config_text;
mod defaults;
mod dockerfile;
pub mod environment;
mod exec;
mod group;
mod health;
mod image;
mod info;
mod mode;
mod mounts;
mod owner;
mod platforms;
mod preview;
mod programs;
mod requirements;
mod script;
mod send;
mod serve;
mod shell;
mod single;
mod step_mounts;
mod steps;
mod suite;
#[cfg(test)]
pub(crate) mod tests;
mod tools;
mod tree;
mod writable;

pub use command::{PLACE, RATTLER_DIGESTS, RATTLER_VERSION, UV_DIGESTS, UV_VERSION, user_of};
pub use compiler::{BaseState, CA_SECRET, Compiler, StepEnvironment};
pub use config::{BaseConfig, finished};
pub use defaults::StepDefaults;
pub use dockerfile::{DockerfileState, instruction_title};
pub use image::Compiled;
pub use mode::apply;
pub use platforms::{missing_platforms, other_architectures};
pub use preview::{preview, starts_as_root};
pub use programs::{Process, Program, process_of_step, process_of_suite};
pub use script::LEFT;
pub use shell::{is_shell_name, line, quote, takes_errexit, with_errexit};
pub use steps::placement::{Placement, What, placements};
pub use tools::INSTALLER;
pub use tree::{Brought, Content, Entry};
