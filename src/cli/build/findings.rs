//! Suites and checks that failed, for people and as JSON.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::build::{Goal, Options, Recorded};
use crate::cli::args::GivenOptions;
use crate::cli::{color, exit};
use crate::diagnostic::{Diagnostic, render};
use crate::evidence::{Checks, Evidence, Finding, Rule, Verdict, excerpt};
use crate::path::is_at_or_below;
use crate::plan::{Planned, Request, Retest};
use crate::report::{Ink, Paint};
use crate::source::Span;
use crate::stack::{Base, Image, ImageId, Stack};

/// Lines of a suite's log that are shown.
const SHOWN: usize = 30;

/// Returns everything that failed, on its place in the spec, and entries of `allow` that are not needed. `given`: the options of
/// this command.
pub(super) fn text(recorded: &Recorded<'_>, given: &GivenOptions) -> String {
    let stack = recorded.stack();
    let mut text = String::new();
    for planned in &recorded.plan().images {
        let Some(evidence) = recorded.evidence(planned.id) else {
            continue;
        };
        let image = &stack[planned.id];
        let failed = evidence.suites.iter().filter(|(_, v)| !v.passed);
        let failed: Vec<String> = failed
            .map(|(name, verdict)| suite(stack, image, &planned.label, name, verdict))
            .collect();
        text.push_str(&failed.join("\n"));
        if !failed.is_empty() {
            // `test` reads images of staging alone.
            let is_stored = stack.staging().is_some() && !recorded.options().offline;
            let can_test = is_stored && !is_test_of(recorded.options(), planned.id);
            let help = Paint { color: color() }.text(Ink::Name, "help:");
            let mut verdicts = evidence.suites.values().filter(|verdict| !verdict.passed);
            if let Some(engine) = verdicts.find_map(|it| missing_engine(&reports(it))) {
                text.push_str(&format!(
                    "{help} suites run inside the image, which has no `{engine}`: run the program itself, as `python3 -c …`\n"
                ));
            }
            let what_next = what_next(&planned.label, can_test, given);
            text.push_str(&format!("{help} {what_next}\n\n"));
        }
        if let Some(checks) = &evidence.checks {
            let base = match &image.base {
                Base::Image(parent) => recorded.evidence(*parent),
                Base::External(_) | Base::Scratch => None,
            };
            let base = base.and_then(|base| base.checks.as_ref());
            for problem in problems(image, &planned.label, checks, base) {
                exit::annotate(stack.sources(), &problem);
                text.push_str(&rendered(&problem, stack));
            }
        }
    }
    for (span, path) in recorded.unused_allowances() {
        let problem = Diagnostic::warning(format!("unused `allow` entry: no finding at `{path}`"));
        text.push_str(&rendered(&problem.at(span, "no image needs it"), stack));
    }
    text
}

fn rendered(problem: &Diagnostic, stack: &Stack) -> String {
    let mut text = render(std::slice::from_ref(problem), stack.sources(), color());
    text.push('\n');
    text
}

/// A suite that failed: where it is declared, and each test that failed with an excerpt of its report.
fn suite(stack: &Stack, image: &Image, label: &str, name: &str, verdict: &Verdict) -> String {
    let summary = verdict.summary();
    let mut problem =
        Diagnostic::error(format!("image `{label}`: suite `{name}` failed: {summary}"));
    let mut suites = image.proof.suites.iter();
    if let Some(suite) = suites.find(|suite| suite.name.value == name) {
        problem = problem.at(suite.name.span, summary);
    }
    exit::annotate(stack.sources(), &problem);
    let mut text = render(std::slice::from_ref(&problem), stack.sources(), color());
    for case in verdict.failed_cases() {
        let name = match case.class.as_str() {
            "" => case.name.clone(),
            class => format!("{class}::{}", case.name),
        };
        let message = case.message.as_deref().unwrap_or_default();
        let first = message.lines().next().unwrap_or_default();
        text.push_str(&format!("  {name}: {first}\n"));
        let report = case.text.as_deref().unwrap_or_default();
        text.push_str(&quoted(&excerpt(&name, report)));
    }
    if verdict.failed_cases().next().is_none() {
        text.push_str(&quoted(&tail(&verdict.log)));
    }
    text
}

/// Returns what a suite reports of its failure: texts of tests, and its log.
fn reports(verdict: &Verdict) -> Vec<&str> {
    let cases = verdict.failed_cases();
    let texts = cases.flat_map(|case| [case.message.as_deref(), case.text.as_deref()]);
    texts.flatten().chain([verdict.log.as_str()]).collect()
}

/// Returns the container engine that a suite did not find: tests that were written for `docker run` call it.
fn missing_engine(reports: &[&str]) -> Option<&'static str> {
    ["docker", "podman"].into_iter().find(|engine| {
        let forms = [
            format!("{engine}: not found"),
            format!("{engine}: command not found"),
            format!("No such file or directory: '{engine}'"),
        ];
        let is_lost = |report: &&str| forms.iter().any(|form| report.contains(form));
        reports.iter().any(is_lost)
    })
}

/// Whether a command is the `test` of one image, which would be proposed to re-run its suites that failed.
fn is_test_of(options: &Options, image: ImageId) -> bool {
    let Request {
        selected, retest, ..
    } = &options.request;
    let is_one = selected.as_ref() == Some(&BTreeSet::from([image]));
    options.goal == Goal::Test && is_one && *retest == Retest::None
}

/// Returns what helps to mend a suite that failed. `can_test`: another command re-runs it alone.
fn what_next(label: &str, can_test: bool, given: &GivenOptions) -> String {
    let shell = given.command(&["shell", label]);
    let shell = format!("open a shell in the image: `{shell}`");
    if can_test {
        // Suites that passed are not run again.
        let test = given.command(&["test", label]);
        format!("{shell}; re-run what failed: `{test}`")
    } else {
        shell
    }
}

/// Returns the last lines of a log.
fn tail(log: &str) -> Vec<&str> {
    let lines: Vec<&str> = log.lines().collect();
    let start = lines.len().saturating_sub(SHOWN);
    lines[start..].to_vec()
}

/// Returns lines that are marked as quoted.
fn quoted(lines: &[impl AsRef<str>]) -> String {
    let lines = lines.iter().map(|line| line.as_ref().trim_end());
    lines
        .map(|line| format!("  | {line}").trim_end().to_owned() + "\n")
        .collect()
}

/// Findings on their steps. Those that the base in the stack has are shown there, and counted here.
fn problems(image: &Image, label: &str, checks: &Checks, base: Option<&Checks>) -> Vec<Diagnostic> {
    let mut list = Vec::new();
    let mut inherited: BTreeMap<&str, usize> = BTreeMap::new();
    for finding in &checks.findings {
        let covers = |other: &Finding| {
            other.rule == finding.rule && is_at_or_below(&finding.path, &other.path)
        };
        match &finding.inherited {
            Some(name) if base.is_some_and(|base| base.findings.iter().any(covers)) => {
                *inherited.entry(name).or_insert(0) += 1;
            }
            _ => list.push(problem(image, label, finding)),
        }
    }
    for (base, count) in inherited {
        let findings = match count {
            1 => "1 finding".to_owned(),
            n => format!("{n} findings"),
        };
        let text = format!("image `{label}` inherits {findings} from base `{base}`");
        let problem = Diagnostic::error(text).at(image.name.span, "this image");
        list.push(problem.help(format!("fix `{base}`")));
    }
    list
}

/// One finding, on the step that made it.
fn problem(image: &Image, label: &str, finding: &Finding) -> Diagnostic {
    let path = printable(&finding.path);
    let subject = match path.as_str() {
        "" => finding.text.clone(),
        path => format!("{path} {}", finding.text),
    };
    let more = more(finding);
    let problem = Diagnostic::error(format!("image `{label}`: {subject}{more}"));
    let step = finding.step.and_then(|step| image.steps.get(step));
    let mut problem = match (step, &finding.inherited) {
        (Some(step), _) => problem.at(step.span, "made by this step"),
        (None, Some(base)) => problem.at(image.name.span, format!("inherited from base `{base}`")),
        (None, None) if path.is_empty() => problem.at(image.name.span, "in this image"),
        (None, None) => problem.at(image.name.span, "inherited from the external base"),
    };
    if let Some(span) = rule_span(image, finding) {
        let label = match finding.rule {
            Rule::Layers => "limit set here",
            Rule::Writable => "required here",
            Rule::Root | Rule::User => "forbidden here",
        };
        problem = problem.also(span, label);
    }
    match (finding.rule, path.as_str()) {
        (_, "") => problem,
        (Rule::Layers, _) => problem.help(
            "create the file with its final mode and owner in one step; `finish:` changes them in the same layer",
        ),
        (_, path) => {
            let fix = match of_base(image, finding) {
                Some((gid, root)) => {
                    format!("give it to the group in the first step: `run: chgrp -R {gid} {root}`; laminate sets the modes")
                }
                None => "fix it in the step that makes it".to_owned(),
            };
            problem.help(format!(
                "{fix}, or allow it with a reason: `policy: {{ allow: {{ {path}: \"the reason\" }} }}`"
            ))
        }
    }
}

/// Returns the group and the writable path of a finding that the external base has.
fn of_base<'a>(image: &'a Image, finding: &Finding) -> Option<(u32, &'a str)> {
    if finding.rule != Rule::Writable || finding.step.is_some() || finding.inherited.is_some() {
        return None;
    }
    let writable = image.writable.as_ref()?;
    Some((writable.gid, writable.root_of(&finding.path)?))
}

/// Returns how many more paths a finding stands for: ` (also 3 paths below it, 2 elsewhere)`.
fn more(finding: &Finding) -> String {
    let below = match finding.below {
        0 => None,
        1 => Some("1 path below it".to_owned()),
        n => Some(format!("{n} paths below it")),
    };
    let elsewhere = match finding.elsewhere {
        0 => None,
        n => Some(format!("{n} elsewhere from this step")),
    };
    let parts: Vec<String> = below.into_iter().chain(elsewhere).collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" (also {})", parts.join(" and "))
    }
}

/// A path on one line: a file name may contain any character.
fn printable(path: &str) -> String {
    let escaped = |c: char| {
        if c.is_control() {
            c.escape_default().to_string()
        } else {
            c.to_string()
        }
    };
    path.chars().map(escaped).collect()
}

fn rule_span(image: &Image, finding: &Finding) -> Option<Span> {
    let policy = &image.proof.policy;
    match finding.rule {
        Rule::Root => policy.root_locked,
        Rule::User => policy.not_root,
        Rule::Layers => policy.layers.as_ref().map(|layers| layers.span),
        Rule::Writable => match &policy.writable {
            Some(policy) => Some(policy.span),
            None => {
                let writable = image.writable.as_ref();
                writable.map(|writable| writable.place_of(&finding.path))
            }
        },
    }
}

/// Adds `verdicts`, `dropped`, `checks` and `info` to the JSON of an image.
pub(super) fn json(
    value: &mut Value,
    stack: &Stack,
    planned: &Planned,
    evidence: Option<&Evidence>,
) {
    let image = &stack[planned.id];
    let suites = evidence.into_iter().flat_map(|evidence| &evidence.suites);
    value["verdicts"] = suites
        .map(|(name, verdict)| verdict_json(name, verdict, planned))
        .collect();
    value["dropped"] = (image.proof.dropped.iter())
        .map(|dropped| json!({ "suite": dropped.suite, "reason": dropped.reason }))
        .collect();
    let checks = evidence.and_then(|evidence| evidence.checks.as_ref());
    value["checks"] = checks
        .map(|checks| checks_json(stack, image, checks))
        .unwrap_or_default();
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

fn verdict_json(name: &str, verdict: &Verdict, planned: &Planned) -> Value {
    let mut suites = planned.proofs.suites.iter();
    let is_cached = suites.any(|suite| suite.name == name && suite.verdict.known.is_some());
    let failures = verdict
        .failed_cases()
        .map(|case| json!({ "name": case.name, "class": case.class, "message": case.message }));
    json!({
        "suite": name,
        "from": verdict.from,
        "passed": verdict.passed,
        "tests": verdict.tests,
        "failed": verdict.failed,
        "skipped": verdict.skipped,
        "cached": is_cached,
        "seconds": verdict.seconds,
        "reason": verdict.reason,
        "failures": failures.collect::<Vec<_>>(),
    })
}

fn checks_json(stack: &Stack, image: &Image, checks: &Checks) -> Value {
    let findings = checks.findings.iter().map(|finding| {
        let step = finding.step.and_then(|step| image.steps.get(step));
        let span = step.map_or(image.name.span, |step| step.span);
        let mut value = json!(finding);
        value["where"] = exit::place(stack.sources(), span);
        value
    });
    json!({
        "passed": checks.passed,
        "findings": findings.collect::<Vec<_>>(),
        "allowed": checks.allowed,
        "unused": checks.unused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_suite_is_run_again_on_an_image_of_staging() {
        let given = GivenOptions::default();
        assert_eq!(
            what_next("1/web", true, &given),
            "open a shell in the image: `laminate shell 1/web`; re-run what failed: `laminate test 1/web`"
        );
        assert_eq!(
            what_next("web", false, &given),
            "open a shell in the image: `laminate shell web`"
        );
    }

    #[test]
    fn a_suite_that_calls_docker_is_found() {
        let of = |log: &str| missing_engine(&["a message", log]);
        assert_eq!(of("/bin/sh: 1: docker: not found\n"), Some("docker"));
        assert_eq!(of("No such file or directory: 'podman'"), Some("podman"));
        assert_eq!(of("docker: permission denied"), None);
    }

    #[test]
    fn a_test_of_one_image_does_not_propose_itself() {
        let options = |goal, images: Option<&[usize]>, retest| Options {
            goal,
            request: Request {
                selected: images.map(|images| images.iter().map(|id| ImageId(*id)).collect()),
                retest,
                ..Request::default()
            },
            ..Options::default()
        };
        for (options, is_itself) in [
            (options(Goal::Test, Some(&[1]), Retest::None), true),
            // These run more than what failed.
            (options(Goal::Test, None, Retest::None), false),
            (options(Goal::Test, Some(&[0, 1]), Retest::None), false),
            (options(Goal::Test, Some(&[1]), Retest::All), false),
            (options(Goal::Build, Some(&[1]), Retest::None), false),
        ] {
            let request = &options.request;
            assert_eq!(is_test_of(&options, ImageId(1)), is_itself, "{request:?}");
        }
    }
}
