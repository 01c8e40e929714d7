//! The results that a run has so far.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::outcome::Proven;
use crate::stack::ImageId;

/// What has run on images, and what came of it. Clones share it, so it outlives a run that is stopped.
#[derive(Clone, Debug, Default)]
pub struct Results(Arc<Mutex<BTreeMap<ImageId, Proven>>>);

impl Results {
    /// Adds to what has run on an image.
    pub fn add(&self, id: ImageId, add: impl FnOnce(&mut Proven)) {
        add(self.lock().entry(id).or_default());
    }

    /// Returns what has run on an image; `None` if nothing has.
    pub fn get(&self, id: ImageId) -> Option<Proven> {
        self.lock().get(&id).cloned()
    }

    /// Takes all results out.
    pub fn take(&self) -> BTreeMap<ImageId, Proven> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ImageId, Proven>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
