//! Collects faults, so that all of a spec are reported at once.

use std::sync::{Mutex, MutexGuard};

use super::conditions::Conditions;
use crate::diagnostic::{Diagnostic, Severity};
use crate::parallel;
use crate::source::{SourceId, Sources};

/// More are not reported: more would not be read.
const MOST: usize = 1000;

/// The faults found so far. Shared by everything that reads one spec.
#[derive(Debug, Default)]
pub struct Problems {
    list: Mutex<Vec<Diagnostic>>,
    sources: Mutex<Sources>,
    /// Values in `when:`, which are faults if no image has them.
    pub conditions: Conditions,
}

impl Problems {
    /// Starts with the texts of the spec and the faults of the YAML itself.
    pub fn new(found: Vec<Diagnostic>, sources: Sources) -> Self {
        Self {
            list: Mutex::new(found),
            sources: Mutex::new(sources),
            conditions: Conditions::default(),
        }
    }

    /// Adds a fault. A place that is read once for each variant is reported once.
    pub fn report(&self, problem: Diagnostic) {
        let mut list = lock(&self.list);
        if list.len() < MOST && !list.contains(&problem) {
            list.push(problem);
        }
    }

    /// Adds an error. One with the same message and help as another is a further place of that one.
    pub fn report_together(&self, problem: Diagnostic) {
        let mut list = lock(&self.list);
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
        let mut sources = lock(&self.sources);
        let known = sources.iter().find(|(_, file)| file.path == path);
        match known {
            Some((id, _)) => id,
            None => sources.add(path, text),
        }
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        let list = lock(&self.list);
        list.iter()
            .any(|problem| problem.severity == Severity::Error)
    }

    /// Returns all of them in the order they were found, and the texts they are in.
    pub fn into_list(self) -> (Vec<Diagnostic>, Sources) {
        let list = self.list.into_inner().expect(UNBROKEN);
        (list, self.sources.into_inner().expect(UNBROKEN))
    }

    /// Returns what `work` returns for each of `items`, in their order. All processors work on them; if that reports anything,
    /// they are worked on once more one after the other, so that faults are in their order.
    pub fn in_order<T: Sync, R: Send>(&self, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
        let before = lock(&self.list).clone();
        let results = parallel::map(items, &work);
        let mut list = lock(&self.list);
        if *list == before {
            return results;
        }
        *list = before;
        drop(list);
        items.iter().map(work).collect()
    }
}

/// Why a lock is not poisoned.
const UNBROKEN: &str = "no code under this lock panics";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect(UNBROKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_many_things_are_in_their_order() {
        let problems = Problems::default();
        problems.report(Diagnostic::error("first"));
        let items: Vec<usize> = (0..500).collect();
        let doubled = problems.in_order(&items, |item| {
            if item % 7 == 0 {
                problems.report(Diagnostic::error(format!("fault {item:03}")));
            }
            2 * item
        });
        assert_eq!(doubled[499], 998);
        let (list, _) = problems.into_list();
        let messages: Vec<&str> = list
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        assert!(messages[0] == "first" && messages.len() == 73);
        assert!(messages[1..].is_sorted(), "{messages:?}");
    }
}
