//! Verdicts of an image: its suites and checks, as templates see them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::parts::time;
use crate::evidence::{Case, Evidence, Finding, Rule, Verdict};
use crate::record::{ReleaseImage, ReleaseVerdict};

#[derive(Serialize)]
pub struct VerdictView {
    suite: String,
    from: String,
    verdict: String,
    tests: u32,
    failed: u32,
    skipped: Option<u32>,
    seconds: Option<String>,
    time: Option<String>,
    digest: Option<String>,
    has_failed: bool,
    reason: Option<String>,
    failures: Vec<Failed>,
    log: String,
}

#[derive(Serialize)]
pub struct Failed {
    name: String,
    message: String,
    text: String,
}

#[derive(Serialize)]
pub struct ChecksView {
    verdict: String,
    time: Option<String>,
    findings: Vec<FindingView>,
    allowed: Vec<FindingView>,
    unused: Vec<String>,
}

#[derive(Serialize)]
pub struct FindingView {
    rule: &'static str,
    path: String,
    text: String,
    below: usize,
    step: String,
    reason: String,
}

/// Returns the suites of an image. The record lists them; the evidence has the details.
pub fn suites(image: &ReleaseImage, evidence: Option<&Evidence>) -> Vec<VerdictView> {
    let mut list: BTreeMap<&str, (Option<&ReleaseVerdict>, Option<&Verdict>)> = BTreeMap::new();
    for verdict in &image.verdicts {
        list.entry(&verdict.suite).or_default().0 = Some(verdict);
    }
    for (suite, verdict) in evidence.into_iter().flat_map(|known| &known.suites) {
        list.entry(suite).or_default().1 = Some(verdict);
    }
    let views = list.into_iter().map(|(suite, (record, proven))| {
        let passed = match (record, proven) {
            (Some(record), _) => record.passed,
            (None, Some(proven)) => proven.passed,
            (None, None) => unreachable!("a suite is in the list because of one of them"),
        };
        let from = record.map_or_else(
            || proven.and_then(|proven| proven.from.clone()),
            |record| record.from.clone(),
        );
        let count = |record: Option<u32>, proven: Option<u32>| record.or(proven).unwrap_or(0);
        let digest = record.map(|record| record.digest.short().to_owned());
        VerdictView {
            suite: suite.to_owned(),
            from: from.unwrap_or_else(|| "the stack".to_owned()),
            verdict: word(passed).to_owned(),
            tests: count(record.map(|r| r.tests), proven.map(|p| p.tests)),
            failed: count(record.map(|r| r.failed), proven.map(|p| p.failed)),
            skipped: proven.map(|proven| proven.skipped),
            seconds: proven.map(|proven| format!("{:.1} s", proven.seconds)),
            time: proven.map(|proven| time(proven.time)),
            digest: digest.or_else(|| evidence.map(|e| e.digest.short().to_owned())),
            has_failed: !passed,
            reason: proven.and_then(|proven| proven.reason.clone()),
            failures: proven
                .map(|proven| proven.cases.iter().filter(|case| case.has_failed()))
                .into_iter()
                .flatten()
                .map(failed)
                .collect(),
            log: proven.map(|proven| proven.log.clone()).unwrap_or_default(),
        }
    });
    views.collect()
}

fn word(passed: bool) -> &'static str {
    if passed { "passed" } else { "failed" }
}

fn failed(case: &Case) -> Failed {
    let name = if case.class.is_empty() {
        case.name.clone()
    } else {
        format!("{}.{}", case.class, case.name)
    };
    Failed {
        name,
        message: case.message.clone().unwrap_or_default(),
        text: case.text.clone().unwrap_or_default(),
    }
}

/// Returns a summary, as in `3 suites passed (24 tests), checks passed`.
pub fn verdicts(image: &ReleaseImage, evidence: Option<&Evidence>) -> String {
    let suites = suites(image, evidence);
    let mut parts = Vec::new();
    for failed in suites.iter().filter(|suite| suite.has_failed) {
        parts.push(format!(
            "{} failed ({} of {})",
            failed.suite, failed.failed, failed.tests
        ));
    }
    let passed: Vec<_> = suites.iter().filter(|suite| !suite.has_failed).collect();
    if !passed.is_empty() {
        let tests: u64 = passed.iter().map(|suite| u64::from(suite.tests)).sum();
        let plural = if passed.len() == 1 { "suite" } else { "suites" };
        parts.push(format!("{} {plural} passed ({tests} tests)", passed.len()));
    }
    if let Some(checks) = checks(image, evidence) {
        parts.push(format!("checks {}", checks.verdict));
    }
    if parts.is_empty() {
        "none".to_owned()
    } else {
        parts.join(", ")
    }
}

/// Returns the checks of an image; `None` if it has none.
pub fn checks(image: &ReleaseImage, evidence: Option<&Evidence>) -> Option<ChecksView> {
    let proven = evidence.and_then(|evidence| evidence.checks.as_ref());
    let passed = image.checks.or(proven.map(|checks| checks.passed))?;
    let mut view = ChecksView {
        verdict: word(passed).to_owned(),
        time: proven.map(|checks| time(checks.time)),
        findings: Vec::new(),
        allowed: Vec::new(),
        unused: Vec::new(),
    };
    if let Some(proven) = proven {
        view.findings = proven.findings.iter().map(|f| finding(f, "")).collect();
        let allowed = proven.allowed.iter();
        view.allowed = allowed.map(|a| finding(&a.finding, &a.reason)).collect();
        view.unused.clone_from(&proven.unused);
    }
    Some(view)
}

fn finding(finding: &Finding, reason: &str) -> FindingView {
    let step = finding.step.map(|index| format!("step {}", index + 1));
    let from = finding.inherited.as_ref();
    FindingView {
        rule: match finding.rule {
            Rule::Root => "root",
            Rule::Writable => "writable",
            Rule::Layers => "layers",
            Rule::User => "user",
        },
        path: finding.path.clone(),
        text: finding.text.clone(),
        below: finding.below,
        step: match (step, from) {
            (Some(step), Some(from)) => format!("{step} of {from}"),
            (Some(step), None) => step,
            (None, Some(from)) => from.clone(),
            (None, None) => String::new(),
        },
        reason: reason.to_owned(),
    }
}
