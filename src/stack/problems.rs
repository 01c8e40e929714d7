//! Collects faults, so that all of a spec are reported at once.

use std::cell::RefCell;

use crate::diagnostic::{Diagnostic, Severity};

/// The faults found so far. Shared by everything that reads one spec.
#[derive(Debug, Default)]
pub struct Problems(RefCell<Vec<Diagnostic>>);

impl Problems {
    /// Starts with the faults of the YAML itself.
    pub fn new(found: Vec<Diagnostic>) -> Self {
        Self(RefCell::new(found))
    }

    /// Adds a fault. A place that is read once for each variant is reported once.
    pub fn report(&self, problem: Diagnostic) {
        let mut list = self.0.borrow_mut();
        if !list.contains(&problem) {
            list.push(problem);
        }
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        let list = self.0.borrow();
        list.iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// Returns all of them in the order they were found.
    pub fn into_list(self) -> Vec<Diagnostic> {
        self.0.into_inner()
    }
}
