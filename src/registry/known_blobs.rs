//! Which blobs repositories have, as far as this process knows.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use crate::name::{Digest, Repository};

/// Blobs that were sent to a repository, or that a manifest of the repository refers to. They are not looked up again.
#[derive(Debug, Default)]
pub struct KnownBlobs(Mutex<HashSet<(Repository, Digest)>>);

impl KnownBlobs {
    /// Whether a repository is known to have a blob.
    pub fn has(&self, repository: &Repository, blob: &Digest) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.contains(&(repository.clone(), blob.clone()))
    }

    /// Adds a blob that a repository has.
    pub fn add(&self, repository: &Repository, blob: &Digest) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((repository.clone(), blob.clone()));
    }
}
