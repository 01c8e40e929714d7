//! A registry's client: manifests as bytes, blobs, mounts and tags, each write read back.
//!
//! Main type: [`Registry`]. Called by `gather`, `publish`, `export`, `release` and `cli`. It knows
//! repositories, tags and digests, but no images of a stack. `docs/registry.md` lists what it requires
//! of a registry.

mod answer;
mod artifact;
mod auth;
mod authorize;
mod blobs;
mod client;
mod clients;
mod credential;
mod credential_helper;
mod credentials;
mod download;
mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod host;
mod known_blobs;
mod lanes;
mod manifests;
mod options;
mod plain;
mod probe;
mod retry;
mod settling;
mod tag_list;
mod tags;
#[cfg(test)]
mod tests;
mod transport;

pub use crate::oci::{Descriptor, Manifest};
pub use artifact::{Attachment, Unsettled};
pub use blobs::{Content, Mount, MountRefusal, Pushed};
pub use client::{Locator, Registry};
pub use credentials::Credentials;
pub use error::Error;
pub use options::Options;
