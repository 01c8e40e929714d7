//! From many faults to few findings: what one step did below one folder is one finding.

use std::collections::{BTreeMap, BTreeSet};

use super::fault::{Fault, FaultKind};
use crate::evidence::{Allowed, Finding, Rule};
use crate::path::is_at_or_below;
use crate::stack::Allowance;

/// The number of findings of one kind and one step; the last one counts the rest.
const SHOWN: usize = 5;

/// The result of a check.
pub struct Grouped {
    /// Findings that fail the check.
    pub findings: Vec<Finding>,
    /// Findings that the spec allows.
    pub allowed: Vec<Allowed>,
    /// Paths of `allow` entries without a finding.
    pub unused: Vec<String>,
}

/// What faults of one finding have in common: the `allow` entry, the rule, the kind, the step.
type Common<'a> = (Option<&'a str>, Rule, FaultKind, Option<usize>);

/// Groups faults into findings. Each fault comes with the step that caused it; the fault of a path without
/// a step is inherited from `parent`, the base in the stack. `allow` entries are paths, so none allows a
/// fault of layers.
pub fn findings(
    faults: &[(Fault, Option<usize>)],
    allow: &BTreeMap<String, Allowance>,
    parent: Option<&str>,
) -> Grouped {
    let mut used = BTreeSet::new();
    let mut heads: BTreeMap<Common, Vec<Finding>> = BTreeMap::new();
    for (fault, step) in faults {
        let step = *step;
        let is_allowable = !fault.path.is_empty() && fault.rule != Rule::Layers;
        let allowance = allow
            .keys()
            .rfind(|path| is_allowable && is_at_or_below(&fault.path, path));
        if let Some(path) = allowance {
            used.insert(path.as_str());
        }
        let group = (allowance.map(String::as_str), fault.rule, fault.kind, step);
        let known = heads.entry(group).or_default();
        // Paths are sorted, so a folder comes before what is in it.
        let above = known
            .iter()
            .position(|head| !head.path.is_empty() && is_at_or_below(&fault.path, &head.path));
        match above {
            Some(head) => known[head].below += 1,
            None if known.len() == SHOWN => known[SHOWN - 1].elsewhere += 1,
            None => known.push(Finding {
                rule: fault.rule,
                path: fault.path.clone(),
                text: fault.text.clone(),
                below: 0,
                elsewhere: 0,
                inherited: match (step, fault.path.is_empty()) {
                    (None, false) => parent.map(str::to_owned),
                    _ => None,
                },
                step,
                limit: fault.kind.limit(),
            }),
        }
    }
    let mut grouped = Grouped {
        findings: Vec::new(),
        allowed: Vec::new(),
        unused: allow
            .keys()
            .filter(|path| !used.contains(path.as_str()))
            .cloned()
            .collect(),
    };
    for ((allowance, ..), list) in heads {
        match allowance.and_then(|path| allow.get(path)) {
            Some(allowance) => grouped
                .allowed
                .extend(list.into_iter().map(|finding| Allowed {
                    finding,
                    reason: allowance.reason.clone(),
                })),
            None => grouped.findings.extend(list),
        }
    }
    grouped.findings.sort();
    grouped.allowed.sort_by(|a, b| a.finding.cmp(&b.finding));
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::tests::span;

    fn fault(path: &str) -> Fault {
        Fault {
            rule: Rule::Root,
            kind: FaultKind::Setuid,
            path: path.to_owned(),
            text: "is setuid".to_owned(),
        }
    }

    fn allow(paths: &[&str]) -> BTreeMap<String, Allowance> {
        let allowance = |path: &&str| {
            let reason = format!("because of {path}");
            let span = span();
            ((*path).to_owned(), Allowance { reason, span })
        };
        paths.iter().map(allowance).collect()
    }

    #[test]
    fn the_nearest_allow_entry_counts() {
        let faults = [(fault("/opt/a/x"), Some(0))];
        let grouped = findings(&faults, &allow(&["/opt", "/opt/a", "/opt/b"]), None);
        assert!(grouped.findings.is_empty());
        assert_eq!(grouped.allowed[0].reason, "because of /opt/a");
        assert_eq!(grouped.unused, ["/opt", "/opt/b"]);
    }

    #[test]
    fn a_fault_of_the_image_as_a_whole_cannot_be_allowed_by_a_path() {
        let grouped = findings(&[(fault(""), None)], &allow(&["/"]), None);
        assert_eq!(grouped.findings.len(), 1);
        assert_eq!(grouped.unused, ["/"]);
    }

    #[test]
    fn a_fault_without_a_step_is_inherited_from_the_base_in_the_stack() {
        let faults = [
            (fault("/a"), None),
            (fault("/b"), Some(0)),
            (fault(""), None),
        ];
        let grouped = findings(&faults, &allow(&[]), Some("ground"));
        let inherited: Vec<_> = grouped
            .findings
            .iter()
            .map(|finding| (finding.path.as_str(), finding.inherited.as_deref()))
            .collect();
        assert_eq!(
            inherited,
            [("", None), ("/a", Some("ground")), ("/b", None)]
        );
    }

    #[test]
    fn findings_of_two_steps_are_two() {
        let faults = [(fault("/a"), Some(0)), (fault("/a/b"), Some(1))];
        assert_eq!(findings(&faults, &allow(&[]), None).findings.len(), 2);
        let faults = faults.map(|(fault, _)| (fault, Some(0)));
        let grouped = findings(&faults, &allow(&[]), None);
        assert_eq!((grouped.findings.len(), grouped.findings[0].below), (1, 1));
    }

    #[test]
    fn findings_of_two_kinds_are_two() {
        let other = Fault {
            kind: FaultKind::Owner,
            ..fault("/a/b")
        };
        let faults = [(fault("/a"), Some(0)), (other, Some(0))];
        assert_eq!(findings(&faults, &allow(&[]), None).findings.len(), 2);
    }
}
