//! Values in `when:` that no image of any variant has: the step would be left out of all images without a word.

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostic::{Diagnostic, nearest};
use crate::source::Span;

/// All values in `when:` that were read, by their places. A place is read once for each image of each variant.
#[derive(Debug, Default)]
pub struct Conditions(RefCell<BTreeMap<Span, Condition>>);

#[derive(Debug)]
struct Condition {
    /// The variable.
    name: String,
    expected: String,
    /// The values that the variable has.
    found: BTreeSet<String>,
    is_met: bool,
}

impl Conditions {
    /// Notes what a variable must be at a place, and what it is; `None`: the image does not have it.
    pub fn note(&self, span: Span, name: &str, expected: &str, found: Option<&str>) {
        let mut all = self.0.borrow_mut();
        let condition = all.entry(span).or_insert_with(|| Condition {
            name: name.to_owned(),
            expected: expected.to_owned(),
            found: BTreeSet::new(),
            is_met: false,
        });
        condition.is_met |= found == Some(expected);
        condition.found.extend(found.map(str::to_owned));
    }

    /// Adds those of images that were read elsewhere.
    pub fn merge(&self, others: Self) {
        let mut all = self.0.borrow_mut();
        for (span, other) in others.0.into_inner() {
            match all.entry(span) {
                Entry::Vacant(entry) => {
                    entry.insert(other);
                }
                Entry::Occupied(entry) => {
                    let condition = entry.into_mut();
                    condition.is_met |= other.is_met;
                    condition.found.extend(other.found);
                }
            }
        }
    }

    /// Returns a warning for each value that no image has, if the variable cannot have it by the command line either, or has
    /// nearly the same. `given` are variables of the command line, which can have others without it; `declared` are those of the
    /// spec, which the command line can set.
    pub fn warnings(
        &self,
        given: &BTreeMap<String, String>,
        declared: &BTreeSet<String>,
    ) -> Vec<Diagnostic> {
        let all = self.0.borrow();
        let unmet = all
            .iter()
            .filter(|(_, it)| !it.is_met && !given.contains_key(&it.name));
        let warnings = unmet.filter_map(|(span, condition)| {
            let (name, expected) = (&condition.name, &condition.expected);
            let found = condition.found.iter().map(String::as_str);
            let near = nearest(expected, found.clone());
            if near.is_none() && declared.contains(name) {
                return None;
            }
            let message = format!("variable `{name}` is never `{expected}`");
            let problem = Diagnostic::warning(message).at(*span, "no image has this value");
            Some(problem.did_you_mean(expected, found))
        });
        warnings.collect()
    }
}
