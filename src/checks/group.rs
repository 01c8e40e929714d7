//! From many faults to few findings: what one step did below one folder is told once.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fault, FaultKind, is_at_or_below};
use crate::evidence::{Allowed, Finding, Rule};
use crate::stack::Allowance;

/// Paths that are told of one fault of one step.
const SHOWN: usize = 5;

/// Findings, those that are allowed, and the allowances nothing needed.
pub struct Grouped {
    pub findings: Vec<Finding>,
    pub allowed: Vec<Allowed>,
    pub unused: Vec<String>,
}

/// What faults that are told together have in common: the allowance, the rule, the sort, the step.
type Alike<'a> = (Option<&'a str>, Rule, FaultKind, Option<usize>);

/// Puts faults together. Each comes with the step it is from; one of a path without a step came with
/// `parent`, if the image stands on one. What is said of layers is no matter of a path, so none allows it.
pub fn findings(
    faults: &[(Fault, Option<usize>)],
    allow: &BTreeMap<String, Allowance>,
    parent: Option<&str>,
) -> Grouped {
    let mut used = BTreeSet::new();
    let mut heads: BTreeMap<Alike, Vec<Finding>> = BTreeMap::new();
    for (fault, step) in faults {
        let step = *step;
        let may_be = !fault.path.is_empty() && fault.rule != Rule::Layers;
        let allowance = allow
            .keys()
            .rfind(|path| may_be && is_at_or_below(&fault.path, path));
        if let Some(path) = allowance {
            used.insert(path.as_str());
        }
        let group = (allowance.map(String::as_str), fault.rule, fault.kind, step);
        let known = heads.entry(group).or_default();
        // Paths are sorted, so what is above comes first.
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
