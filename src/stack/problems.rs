//! Collects faults, so that all of a spec are reported at once.

use std::cell::RefCell;

use super::conditions::Conditions;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{SourceId, Sources};

/// More are not reported: more would not be read.
const MOST: usize = 1000;

/// The faults found so far. Shared by everything that reads one spec.
#[derive(Debug, Default)]
pub struct Problems {
    list: RefCell<Vec<Diagnostic>>,
    sources: RefCell<Sources>,
    /// Values in `when:`, which are faults if no image has them.
    pub conditions: Conditions,
}

impl Problems {
    /// Starts with the texts of the spec and the faults of the YAML itself.
    pub fn new(found: Vec<Diagnostic>, sources: Sources) -> Self {
        Self {
            list: RefCell::new(found),
            sources: RefCell::new(sources),
            conditions: Conditions::default(),
        }
    }

    /// Adds a fault. A place that is read once for each variant is reported once.
    pub fn report(&self, problem: Diagnostic) {
        let mut list = self.list.borrow_mut();
        if list.len() < MOST && !list.contains(&problem) {
            list.push(problem);
        }
    }

    /// Adds an error. One with the same message and help as another is a further place of that one.
    pub fn report_together(&self, problem: Diagnostic) {
        let mut list = self.list.borrow_mut();
        let is_same = |known: &&mut Diagnostic| {
            (&known.message, &known.help) == (&problem.message, &problem.help)
        };
        let Some(known) = list.iter_mut().find(is_same) else {
            drop(list);
            return self.report(problem);
        };
        if known.primary != problem.primary
            && let Some(label) = problem.primary
            && !known.others.contains(&label)
        {
            known.others.push(label);
        }
    }

    /// Adds the text of a file that is not part of the spec, so that faults can be on its lines.
    pub fn attach(&self, path: &str, text: &str) -> SourceId {
        let mut sources = self.sources.borrow_mut();
        let known = sources.iter().find(|(_, file)| file.path == path);
        match known {
            Some((id, _)) => id,
            None => sources.add(path, text),
        }
    }

    /// Whether no fault was found, and no text was attached.
    pub fn is_empty(&self) -> bool {
        self.list.borrow().is_empty() && self.sources.borrow().iter().next().is_none()
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        let list = self.list.borrow();
        list.iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// Returns all of them in the order they were found, and the texts they are in.
    pub fn into_list(self) -> (Vec<Diagnostic>, Sources) {
        (self.list.into_inner(), self.sources.into_inner())
    }
}
