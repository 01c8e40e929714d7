//! What a run is started with.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use super::base::ExternalDigests;
use super::interactive::Interactive;
use super::manifests::PushManifests;
use super::results::Results;
use crate::buildkit::Services;
use crate::compile::StepEnvironment;
use crate::llb::Platform;
use crate::name::Repository;
use crate::stack::Compression;

/// What a run needs beside stack and plan.
pub struct Options {
    /// The platform of every image.
    pub platform: Platform,
    /// What steps find around them: certificates, proxy, cache.
    pub environment: StepEnvironment,
    /// What the engine can ask for: credentials, secrets.
    pub services: Services,
    /// Whether the first image that fails stops everything.
    pub fail_fast: bool,
    /// The time of creation that new layers and configs carry, in seconds since 1970.
    pub epoch: Option<i64>,
    /// The digest of each external image.
    pub external: ExternalDigests,
    /// How new layers are stored.
    pub compression: Compression,
    /// Receives the images by digest.
    pub staging: Option<Repository>,
    /// Pushes the manifests of the images once staging has the blobs: the engine pushes one after the other.
    pub push_manifests: Option<PushManifests>,
    /// Receives the images as an OCI archive, open for writing.
    pub archive: Option<Arc<File>>,
    /// The folder of lists of images' files, see [`Lists`](super::listed::Lists).
    pub lists: Option<PathBuf>,
    /// How many suites and info commands run at the same time; at least one does.
    pub suites: usize,
    /// Receives what runs on images, as it ends.
    pub results: Results,
    /// The process that the user runs when the images are built; nothing is exported then.
    pub interactive: Option<Interactive>,
}
