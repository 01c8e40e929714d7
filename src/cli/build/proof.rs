//! What a run proved: kept in staging, and said for programs and for people.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::Work;
use crate::checks;
use crate::cli::context::Context;
use crate::cli::{Exit, Failure, color, exit};
use crate::diagnostic::{Diagnostic, nearest, render};
use crate::evidence::{Checks, Evidence, Finding, Rule, Verdict, junit};
use crate::plan::{Action, Plan, Planned, Request, Retest};
use crate::publish;
use crate::run::Outcome;
use crate::source::Span;
use crate::stack::{Base, Image, ImageId, Stack};
use crate::staging::Staging;

/// Lines of a failed test that are shown.
const SHOWN: usize = 30;

/// What `--retest` names.
pub fn retest(stack: &Stack, said: &[String]) -> Result<Retest, Failure> {
    if said.is_empty() {
        return Ok(Retest::None);
    }
    if said.iter().any(String::is_empty) {
        return Ok(Retest::All);
    }
    let suites = stack.images.iter().flat_map(|image| &image.proof.suites);
    let known: BTreeSet<&str> = suites.map(|suite| suite.name.value.as_str()).collect();
    for name in said {
        if !known.contains(name.as_str()) {
            let failure = Failure::new(Exit::Usage, format!("there is no suite `{name}`"));
            return Err(match nearest(name, known.iter().copied()) {
                Some(near) => failure.help(format!("did you mean `{near}`?")),
                None if known.is_empty() => failure.help("the spec declares none, under `tests:`"),
                None => {
                    let known: Vec<&str> = known.into_iter().collect();
                    failure.help(format!("there are: {}", known.join(", ")))
                }
            });
        }
    }
    Ok(Retest::Suites(said.iter().cloned().collect()))
}

/// `test` builds nothing: all that is asked for must be there.
pub fn all_built(plan: &Plan, request: &Request) -> Result<(), Failure> {
    let asked = |id: &ImageId| request.selected.as_ref().is_none_or(|set| set.contains(id));
    let missing: Vec<&str> = plan
        .images
        .iter()
        .filter(|planned| asked(&planned.id))
        .filter(|planned| !matches!(planned.action, Action::Reuse { .. }))
        .map(|planned| planned.label.as_str())
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(
            Exit::Environment,
            format!("not built yet: {}", missing.join(", ")),
        )
        .help("`laminate build` builds and tests them; or name images that are built")),
    }
}

impl Work<'_> {
    /// Puts together what was known and what this run proved, and keeps the latter in staging.
    pub(super) async fn prove(&mut self) -> Result<(), Failure> {
        let mut news: BTreeMap<_, Evidence> = BTreeMap::new();
        for planned in &self.plan.images {
            let image = &self.context.stack.images[planned.id.0];
            let Some(keyed) = &planned.keyed else {
                continue;
            };
            let proven = self.report.proven.get(&planned.id);
            let proofs = &planned.proofs;
            // Without a registry nothing has a digest before it is in an archive.
            let digest = self.digest(planned);
            let Some(digest) = digest.or_else(|| proven.map(|_| keyed.key.clone())) else {
                continue;
            };
            let empty = || Evidence::new(&planned.label, keyed.key.clone(), digest.clone());
            let mut new = empty();
            if let Some(proven) = proven {
                new.suites.clone_from(&proven.suites);
                new.info.clone_from(&proven.info);
                new.checks.clone_from(&proven.checks);
            }
            let mut whole = empty();
            for suite in &proofs.suites {
                if let Some(known) = &suite.verdict.known {
                    whole.suites.insert(suite.name.clone(), known.clone());
                }
            }
            for (command, info) in image.proof.info.iter().zip(&proofs.info) {
                if let Some(known) = &info.known {
                    whole.info.insert(command.name.clone(), known.clone());
                }
            }
            whole.checks = proofs
                .checks
                .as_ref()
                .and_then(|checks| checks.known.clone());
            let size = match image
                .proof
                .policy
                .layers
                .as_ref()
                .and_then(|limits| limits.size)
            {
                Some(_) => self.size_for_sure(planned).await?,
                None => None,
            };
            for checks in [&mut new.checks, &mut whole.checks].into_iter().flatten() {
                add_size(checks, image, size);
            }
            whole.merge(&new);
            self.evidence.insert(planned.id, whole);
            if proven.is_some() && self.digest(planned).is_some() {
                // What could not be run is told, and run again the next time.
                new.info.retain(|_, info| info.exit >= 0);
                // One key may be on two digests: built anew here, and reused there.
                match news.get_mut(&(keyed.key.clone(), digest.clone())) {
                    Some(known) => known.merge(&new),
                    None => {
                        news.insert((keyed.key.clone(), digest), new);
                    }
                }
            }
        }
        if let Some(staging) = &self.staging {
            let staging = Staging::new(self.registry, staging);
            let records = news.values().map(|new| staging.add_evidence(new));
            try_join_all(records).await?;
        }
        Ok(())
    }

    /// The size of an image, asked of the registry if nobody remembers it. An archive alone has none yet.
    async fn size_for_sure(&self, planned: &Planned) -> Result<Option<u64>, Failure> {
        if let Some(size) = self.size(planned).filter(|size| *size > 0) {
            return Ok(Some(size));
        }
        match (&self.context.stack.staging, self.digest(planned)) {
            (Some(staging), Some(digest)) if !self.args.offline => {
                Ok(publish::size(self.registry, staging, &digest).await?)
            }
            _ => Ok(None),
        }
    }

    /// Whether a suite or a check of an image that is there is not green: red, or not run although it
    /// was to be.
    pub(super) fn red(&self) -> bool {
        self.plan.images.iter().any(|planned| {
            let there = match planned.action {
                Action::Reuse { .. } => true,
                Action::Build { .. } => matches!(
                    self.report.images.get(&planned.id),
                    Some(Outcome::Built { .. })
                ),
                Action::Hold { .. } => false,
            };
            there && !self.is_green(planned)
        })
    }

    fn is_green(&self, planned: &Planned) -> bool {
        let evidence = self.evidence.get(&planned.id);
        let suites = planned.proofs.suites.iter().all(|suite| {
            let verdict = evidence.and_then(|evidence| evidence.suites.get(&suite.name));
            verdict.is_some_and(|verdict| verdict.passed && verdict.key == suite.verdict.key)
        });
        let checks = evidence.and_then(|evidence| evidence.checks.as_ref());
        let checked = match &planned.proofs.checks {
            Some(wanted) => checks.is_some_and(|checks| checks.passed && checks.key == wanted.key),
            None => true,
        };
        suites && checked
    }

    /// All verdicts as one report.
    pub(super) fn write_junit(&self, path: &Utf8Path) -> Result<(), Failure> {
        let suites = self.evidence.values().flat_map(|evidence| {
            let suites = evidence.suites.iter();
            suites.map(|(name, verdict)| (format!("{} {name}", evidence.image), verdict))
        });
        let xml = junit::report(self.context.stack.name.as_str(), suites);
        fs_err::write(path, xml)
            .map_err(|error| Failure::new(Exit::Environment, format!("--junit: {error}")))
    }

    /// Everything that is red, on its place, and what is odd.
    pub(super) fn red_text(&self) -> String {
        let stack = &self.context.stack;
        let mut text = String::new();
        for planned in &self.plan.images {
            let Some(evidence) = self.evidence.get(&planned.id) else {
                continue;
            };
            let image = &stack.images[planned.id.0];
            for (name, verdict) in evidence.suites.iter().filter(|(_, v)| !v.passed) {
                text.push_str(&suite_text(stack, image, &planned.label, name, verdict));
            }
            if let Some(checks) = &evidence.checks {
                let base = match &image.base {
                    Base::Image(parent) => self.evidence.get(parent),
                    Base::Outside(_) => None,
                };
                let base = base.and_then(|base| base.checks.as_ref());
                for problem in problems(image, &planned.label, checks, base) {
                    exit::annotate(&stack.sources, &problem);
                    text.push_str(&shown(&problem, stack));
                }
            }
        }
        for problem in self.unused() {
            text.push_str(&shown(&problem, stack));
        }
        text
    }

    /// Allowances no image needs, if all images that have them were looked at.
    fn unused(&self) -> Vec<Diagnostic> {
        let stack = &self.context.stack;
        let mut known: BTreeMap<Span, (bool, &str)> = BTreeMap::new();
        for (index, image) in stack.images.iter().enumerate() {
            let evidence = self.evidence.get(&ImageId(index));
            let checks = evidence.and_then(|evidence| evidence.checks.as_ref());
            for (path, allowance) in &image.proof.policy.allow {
                let used = checks.is_none_or(|checks| !checks.unused.contains(path));
                let one = known.entry(allowance.span).or_insert((false, path));
                one.0 |= used;
            }
        }
        let unused = known.into_iter().filter(|(_, (used, _))| !used);
        unused
            .map(|(span, (_, path))| {
                Diagnostic::warning(format!(
                    "nothing is wrong with {path}, so nothing is to be allowed"
                ))
                .at(span, "this allowance is not needed")
            })
            .collect()
    }
}

fn shown(problem: &Diagnostic, stack: &Stack) -> String {
    let mut text = render(std::slice::from_ref(problem), &stack.sources, color());
    text.push('\n');
    text
}

/// The size of an image is known when it was sent.
fn add_size(checks: &mut Checks, image: &Image, size: Option<u64>) {
    let limits = image.proof.policy.layers.as_ref();
    let fault = limits
        .zip(size)
        .and_then(|(limits, size)| checks::size_fault(limits, size));
    if let Some(fault) = fault {
        let finding = Finding {
            rule: fault.rule,
            path: fault.path,
            text: fault.text,
            below: 0,
            elsewhere: 0,
            step: None,
            inherited: None,
        };
        if !checks.findings.contains(&finding) {
            checks.findings.push(finding);
        }
        checks.passed = false;
    }
}

/// A red suite: where it is declared, which tests failed and how.
fn suite_text(stack: &Stack, image: &Image, label: &str, name: &str, verdict: &Verdict) -> String {
    let mut problem = Diagnostic::error(format!(
        "image `{label}`: suite `{name}` is red: {}",
        verdict.summary()
    ));
    let declared = image
        .proof
        .suites
        .iter()
        .find(|suite| suite.name.value == name);
    if let Some(suite) = declared {
        problem = problem.at(suite.name.span, verdict.summary());
    }
    exit::annotate(&stack.sources, &problem);
    let mut text = render(std::slice::from_ref(&problem), &stack.sources, color());
    for case in verdict.failed_cases() {
        let name = match case.class.as_str() {
            "" => case.name.clone(),
            class => format!("{class}::{}", case.name),
        };
        let message = case.message.as_deref().unwrap_or_default();
        let first = message.lines().next().unwrap_or_default();
        text.push_str(&format!("  {name}: {first}\n"));
        text.push_str(&end(case.text.as_deref().unwrap_or_default()));
    }
    if verdict.failed_cases().next().is_none() {
        text.push_str(&end(&verdict.log));
    }
    text.push('\n');
    text
}

/// The last lines of a text, marked as somebody else's.
fn end(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.len().saturating_sub(SHOWN);
    lines[start..]
        .iter()
        .map(|line| format!("  | {line}\n"))
        .collect()
}

/// Findings on their steps. Those its base has too are told there, and counted here.
fn problems(image: &Image, label: &str, checks: &Checks, base: Option<&Checks>) -> Vec<Diagnostic> {
    let mut list = Vec::new();
    let mut counted = BTreeMap::new();
    for finding in &checks.findings {
        let told = |other: &Finding| {
            other.rule == finding.rule && checks::is_at_or_below(&finding.path, &other.path)
        };
        if let Some(name) = &finding.inherited
            && base.is_some_and(|base| base.findings.iter().any(told))
        {
            *counted.entry(name).or_insert(0) += 1;
            continue;
        }
        let path = printable(&finding.path);
        let what = match path.as_str() {
            "" => finding.text.clone(),
            path => format!("{path} {}", finding.text),
        };
        let mut more = Vec::new();
        match finding.below {
            0 => {}
            1 => more.push("1 path below it".to_owned()),
            n => more.push(format!("{n} paths below it")),
        }
        match finding.elsewhere {
            0 => {}
            n => more.push(format!("{n} elsewhere from this step")),
        }
        let so = match (finding.below, finding.elsewhere) {
            (0, 0) => String::new(),
            (1, 0) | (0, 1) => format!(", and so is {}", more.join(" and ")),
            _ => format!(", and so are {}", more.join(" and ")),
        };
        let mut problem = Diagnostic::error(format!("image `{label}`: {what}{so}"));
        problem = match (
            finding.step.and_then(|step| image.steps.get(step)),
            &finding.inherited,
        ) {
            (Some(step), _) => problem.at(step.span, "this step brought it"),
            (None, Some(base)) => {
                problem.at(image.name.span, format!("its base `{base}` brought it"))
            }
            (None, None) if finding.path.is_empty() => problem.at(image.name.span, "in this image"),
            (None, None) => problem.at(image.name.span, "the base of this image brought it"),
        };
        if let Some(span) = rule_span(image, finding.rule) {
            problem = problem.also(
                span,
                match finding.rule {
                    Rule::Layers => "the limits are here",
                    Rule::Writable => "writable is wanted here",
                    Rule::Root | Rule::User => "forbidden here",
                },
            );
        }
        list.push(match (finding.rule, path.as_str()) {
            (_, "") => problem,
            (Rule::Layers, _) => problem.help(
                "have the step that makes a file make it as it is wanted; `finish:` changes modes and owners \
                 in the same layer",
            ),
            (_, path) => problem.help(format!(
                "put it right in the step that makes it; or, if it must be so, say why: \
                 `policy: {{ allow: {{ {path}: \"the reason\" }} }}`"
            )),
        });
    }
    for (base, count) in counted {
        let findings = match count {
            1 => "1 finding".to_owned(),
            n => format!("{n} findings"),
        };
        list.push(
            Diagnostic::error(format!(
                "image `{label}` has {findings} of its base `{base}`"
            ))
            .at(image.name.span, "put right there, it is right here"),
        );
    }
    list
}

/// A path on one line: a name may have any character.
fn printable(path: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    path.chars().map(shown).collect()
}

fn rule_span(image: &Image, rule: Rule) -> Option<Span> {
    let policy = &image.proof.policy;
    match rule {
        Rule::Root => policy.root_locked,
        Rule::User => policy.not_root,
        Rule::Layers => policy.layers.as_ref().map(|layers| layers.span),
        Rule::Writable => match &policy.writable {
            Some(policy) => Some(policy.span),
            None => image.writable.as_ref().map(|writable| writable.span),
        },
    }
}

/// `4 green`, `1 red of 4`: suites and checks.
pub fn cell(evidence: &Evidence) -> String {
    let checks = evidence.checks.as_ref().map(|checks| checks.passed);
    let all = evidence
        .suites
        .values()
        .map(|verdict| verdict.passed)
        .chain(checks);
    let all: Vec<bool> = all.collect();
    match all.iter().filter(|passed| !**passed).count() {
        _ if all.is_empty() => String::new(),
        0 => format!("{} green", all.len()),
        red => format!("{red} red of {}", all.len()),
    }
}

/// Adds `verdicts`, `checks` and `info` to what is said of an image.
pub fn json(value: &mut Value, context: &Context, planned: &Planned, evidence: Option<&Evidence>) {
    let stack = &context.stack;
    let image = &stack.images[planned.id.0];
    let known = |name: &str| {
        let mut suites = planned.proofs.suites.iter();
        suites.any(|suite| suite.name == name && suite.verdict.known.is_some())
    };
    let suites = evidence.into_iter().flat_map(|evidence| &evidence.suites);
    value["verdicts"] = suites
        .map(|(name, verdict)| {
            json!({
                "suite": name,
                "from": verdict.from,
                "passed": verdict.passed,
                "tests": verdict.tests,
                "failed": verdict.failed,
                "skipped": verdict.skipped,
                "cached": known(name),
                "seconds": verdict.seconds,
                "reason": verdict.reason,
                "failures": verdict.failed_cases().map(|case| json!({
                    "name": case.name, "class": case.class, "message": case.message,
                })).collect::<Vec<_>>(),
            })
        })
        .collect();
    value["dropped"] = image
        .proof
        .dropped
        .iter()
        .map(|dropped| json!({ "suite": dropped.suite, "reason": dropped.reason }))
        .collect();
    value["checks"] = match evidence.and_then(|evidence| evidence.checks.as_ref()) {
        None => Value::Null,
        Some(checks) => json!({
            "passed": checks.passed,
            "findings": checks.findings.iter().map(|finding| {
                let step = finding.step.and_then(|step| image.steps.get(step));
                let span = step.map_or(image.name.span, |step| step.span);
                let mut value = json!(finding);
                value["where"] = exit::place(&stack.sources, span);
                value
            }).collect::<Vec<_>>(),
            "allowed": checks.allowed,
            "unused": checks.unused,
        }),
    };
    let info = evidence.into_iter().flat_map(|evidence| &evidence.info);
    value["info"] = info
        .map(|(name, info)| {
            json!({
                "name": name,
                "exit": info.exit,
                "packages": info.packages.as_ref().map(Vec::len),
            })
        })
        .collect();
}
