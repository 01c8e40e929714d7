//! How an image changes the suites it inherits.

use super::{Dropped, Suite, SuiteChange, SuiteEntry};
use crate::diagnostic::Diagnostic;
use crate::stack::problems::Problems;

/// Applies the entries of an image to the suites it inherits. Returns the suites to run and those
/// that are dropped.
pub fn inherit(
    inherited: &[Suite],
    declared: &[SuiteEntry],
    problems: &Problems,
) -> (Vec<Suite>, Vec<Dropped>) {
    let inherited = inherited.iter().filter(|suite| !suite.only_here);
    let mut suites: Vec<Suite> = inherited.clone().cloned().collect();
    let mut dropped = Vec::new();
    let known = || inherited.clone().map(|suite| suite.name.value.as_str());
    for entry in declared {
        let name = &entry.name.value;
        let span = entry.name.span;
        let at = suites.iter().position(|suite| suite.name.value == *name);
        match (&entry.change, at) {
            (SuiteChange::Skip { reason }, Some(at)) => {
                suites.remove(at);
                dropped.push(Dropped {
                    suite: name.clone(),
                    reason: reason.clone(),
                });
            }
            (SuiteChange::Skip { .. }, None) => problems.report(
                Diagnostic::unknown("suite", name, span, known())
                    .at(span, "the image inherits no suite of this name"),
            ),
            (SuiteChange::Replace(suite), Some(at)) => suites[at] = (**suite).clone(),
            (SuiteChange::Replace(_), None) => problems.report(
                Diagnostic::error(format!("suite `{name}` replaces nothing"))
                    .at(span, "the image inherits no suite of this name")
                    .help("remove `replace: true`")
                    .did_you_mean(name, known()),
            ),
            (SuiteChange::Add(suite), None) => suites.push((**suite).clone()),
            (SuiteChange::Add(_), Some(at)) => {
                let first = suites[at].name.span;
                let problem = Diagnostic::duplicate("suite", name, span, first);
                let help = "add `replace: true`, or choose another name";
                problems.report(problem.help(help));
            }
        }
    }
    (suites, dropped)
}
