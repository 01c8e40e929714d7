//! Which registries get documents in the form of an image.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Hosts of registries that refuse artifacts with an empty config, and accept them in the form of an image.
#[derive(Debug, Default)]
pub struct PlainArtifacts(Mutex<HashSet<String>>);

impl PlainArtifacts {
    /// Whether a host is one of them.
    pub fn has(&self, host: &str) -> bool {
        let hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.contains(host)
    }

    /// Adds a host.
    pub fn add(&self, host: &str) {
        let mut hosts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.insert(host.to_owned());
    }
}
