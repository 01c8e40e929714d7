//! The answer of a build that ended: a row and a JSON object for each image, and the run.

use std::time::Instant;

use serde_json::{Value, json};

use super::image_error::image_error;
use super::{below, findings};
use crate::build::{Ending, Recorded, ReleaseState};
use crate::cli::args::GivenOptions;
use crate::cli::context::Context;
use crate::cli::{Answer, Exit, Failure, color, plan as plan_command, summary};
use crate::evidence::Evidence;
use crate::interrupt::TagLog;
use crate::name::{Digest, Repository, Tag};
use crate::plan::{Action, Planned};
use crate::run::Outcome;
use crate::table;

const HEADERS: [&str; 7] = ["IMAGE", "ACTION", "TIME", "SIZE", "DIGEST", "PROOF", "TAGS"];

/// Returns what a build reports, also of one that failed. `given`: the options of this command.
pub(super) fn answer(
    context: &Context,
    recorded: Recorded<'_>,
    started: Instant,
    log: &TagLog,
    given: &GivenOptions,
) -> Result<Answer, Failure> {
    let gathered = recorded.gathered();
    let planned = &recorded.plan().images;
    let request = &recorded.options().request;
    let shown = planned.iter().filter(|image| image.is_part_of(request));
    let rows: Vec<Vec<String>> = shown.map(|image| row(&recorded, image)).collect();
    let mut images: Vec<Value> = Vec::new();
    let mut messages = String::new();
    for planned in planned {
        let mut value = plan_command::image(context, gathered, planned);
        describe(&mut value, &recorded, planned);
        if let Some(Outcome::Failed(error)) = recorded.outcome(planned.id) {
            let (json, text) = image_error(recorded.stack(), planned, error, given);
            value["error"] = json;
            messages.push_str(&text);
        }
        images.push(value);
    }
    let run = recorded.run().to_string();
    let published = recorded.is_published();
    let outputs = [
        ("run", run.as_str()),
        ("published", if published { "true" } else { "false" }),
    ];
    summary::build(context, &HEADERS, &rows, &outputs)?;
    messages.push_str(&findings::text(&recorded, given));
    let staging = recorded.index().map(|(repository, digest, tag)| {
        json!({ "repository": repository.to_string(), "digest": digest.as_str(), "tag": tag.as_str() })
    });
    let mut json = json!({
        "stack": context.stack.name().as_str(),
        "run": run,
        "commit": gathered.facts.commit(),
        "solves": recorded.solves(),
        "seconds": started.elapsed().as_secs_f64(),
        "staging": staging,
        "images": null,
        "published": published,
        "error": null,
    });
    // `json!` copies each value that it is given.
    json["images"] = Value::Array(images);
    let loaded = recorded.loaded();
    json["loaded"] =
        json!(loaded.map(|(program, images)| json!({ "program": program, "images": images })));
    let exported = recorded.exported();
    json["exported"] =
        json!(exported.map(|(archive, images)| json!({ "archive": archive, "images": images })));
    let below = below::text(&recorded);
    describe_release(&mut json, recorded.release());
    let ending = recorded.ending();
    let failure = recorded.into_fault().map(Failure::from);
    let failure = failure.map(|failure| failure.with_tags(log));
    if let Some(failure) = &failure {
        json["error"] = failure.json();
        messages.push_str(&failure.shown(color()));
    }
    if json["error"].is_null()
        && let Some((exit, text)) = ending_error(&ending)
    {
        json["error"] = Failure::new(exit, text).json();
    }
    let exit = match ending {
        Ending::BuildFailed => Exit::Step,
        Ending::ProofFailed => Exit::Gate,
        Ending::Complete => Exit::Done,
        Ending::Faulty => failure.map_or(Exit::Done, |failure| failure.exit),
    };
    let text = table::plain(&HEADERS, &rows) + &below;
    let mut answer = Answer::new(exit, json, text);
    answer.said = messages;
    Ok(answer)
}

/// Returns the exit code and the message of a run in which images failed; their own errors have the causes.
fn ending_error(ending: &Ending) -> Option<(Exit, &'static str)> {
    match ending {
        Ending::BuildFailed => Some((
            Exit::Step,
            "an image could not be built; nothing was tagged",
        )),
        Ending::ProofFailed => Some((Exit::Gate, "a suite or a check failed; nothing was tagged")),
        Ending::Complete | Ending::Faulty => None,
    }
}

/// Adds whether the images are recorded as a release.
fn describe_release(json: &mut Value, release: &ReleaseState) {
    let (digest, missing) = match release {
        ReleaseState::NotAsked => (None, &[][..]),
        ReleaseState::Recorded(digest) => (Some(digest.as_str()), &[][..]),
        ReleaseState::Incomplete { missing } => (None, missing.as_slice()),
    };
    json["release"] = json!(digest);
    json["unreleased"] = json!(missing);
}

/// Returns the word of an action for the table. An image is skipped by the plan, and blocked by another one that failed.
fn action_shown(recorded: &Recorded<'_>, planned: &Planned) -> &'static str {
    match (&planned.action, recorded.outcome(planned.id)) {
        (Action::Hold { .. }, _) => "skipped",
        (_, Some(Outcome::Skipped { .. })) => "blocked",
        (Action::Build { .. }, None) => "not built",
        (Action::Build { .. } | Action::Reuse { .. }, _) => action(recorded, planned),
    }
}

/// Returns what became of an image, for JSON.
fn action(recorded: &Recorded<'_>, planned: &Planned) -> &'static str {
    match (&planned.action, recorded.outcome(planned.id)) {
        (_, Some(Outcome::Skipped { .. })) => "skipped",
        (Action::Build { .. }, Some(Outcome::Built { .. })) => "built",
        (Action::Build { .. }, Some(Outcome::Failed(_))) => "failed",
        (Action::Build { .. }, None) => "skipped",
        (Action::Reuse { .. }, _) => "reused",
        (Action::Hold { .. }, _) => "held",
    }
}

fn row(recorded: &Recorded<'_>, planned: &Planned) -> Vec<String> {
    let took = match recorded.outcome(planned.id) {
        Some(Outcome::Built { took }) => table::human_duration(*took),
        _ => String::new(),
    };
    let size = recorded.size(planned).map(crate::size::human);
    let digest = recorded.digest(planned);
    let is_tagged = recorded.is_published() && digest.is_some();
    let repository = &recorded.stack()[planned.id].repository;
    let repository = repository.as_ref().filter(|_| is_tagged);
    let tags = repository.map(|repository| references(repository, &planned.tags));
    let digest = digest.map(|digest| digest.short().to_owned());
    let evidence = recorded.evidence(planned.id);
    vec![
        planned.label.clone(),
        action_shown(recorded, planned).to_owned(),
        took,
        size.unwrap_or_default(),
        digest.unwrap_or_default(),
        evidence.map(proof_cell).unwrap_or_default(),
        tags.unwrap_or_default(),
    ]
}

/// Returns what an image can be pulled by.
fn references(repository: &Repository, tags: &[Tag]) -> String {
    let references = tags.iter().map(|tag| format!("{repository}:{tag}"));
    references.collect::<Vec<_>>().join(" ")
}

/// Returns `4 suites, checks passed` or `1 of 4 suites failed: geo; checks passed`.
fn proof_cell(evidence: &Evidence) -> String {
    let all = evidence.suites.len();
    let suites = evidence.suites.iter();
    let failed = suites.filter(|(_, verdict)| !verdict.passed);
    let failed: Vec<&str> = failed.map(|(name, _)| name.as_str()).collect();
    let suites = match all {
        1 => "1 suite".to_owned(),
        n => format!("{n} suites"),
    };
    let failed = match failed.len() {
        0 => None,
        1 if all == 1 => Some(format!("1 suite failed: {}", failed.join(", "))),
        n => Some(format!("{n} of {all} suites failed: {}", failed.join(", "))),
    };
    let checks = evidence.checks.as_ref().map(|checks| checks.passed);
    match (failed, checks) {
        (None, None) if all == 0 => String::new(),
        (None, Some(true)) if all == 0 => "checks passed".to_owned(),
        (None, Some(false)) if all == 0 => "checks failed".to_owned(),
        (None, None) => format!("{suites} passed"),
        (None, Some(true)) => format!("{suites}, checks passed"),
        (None, Some(false)) => format!("checks failed; {suites} passed"),
        (Some(failed), None) => failed,
        (Some(failed), Some(true)) => format!("{failed}; checks passed"),
        (Some(failed), Some(false)) => format!("{failed}; checks failed"),
    }
}

/// Adds to an image of the plan what became of it.
fn describe(value: &mut Value, recorded: &Recorded<'_>, planned: &Planned) {
    let digest = recorded.digest(planned);
    value["digest"] = json!(digest.as_ref().map(Digest::as_str));
    value["size"] = json!(recorded.size(planned));
    match recorded.outcome(planned.id) {
        Some(Outcome::Built { took }) => value["seconds"] = json!(took.as_secs_f64()),
        Some(Outcome::Skipped { because }) => value["because"] = json!(because),
        Some(Outcome::Failed(_)) | None => {}
    }
    value["action"] = json!(action(recorded, planned));
    let evidence = recorded.evidence(planned.id);
    findings::json(value, recorded.stack(), planned, evidence);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_counts_suites_and_names_those_that_failed() {
        let digest = Digest::of(b"x");
        let verdict = |passed: bool| {
            json!({
                "key": digest, "passed": passed, "tests": 7, "failed": 3, "seconds": 1.0,
                "time": "2026-11-24T12:00:00Z",
            })
        };
        let evidence = |suites: Value| -> Evidence {
            let document = json!({
                "version": 1, "image": "a", "key": digest, "digest": digest, "suites": suites,
            });
            serde_json::from_value(document).expect("evidence")
        };
        let checks = |passed: bool| {
            let document = json!({
                "key": digest, "passed": passed, "findings": [], "time": "2026-11-24T12:00:00Z",
            });
            serde_json::from_value(document).expect("checks")
        };
        let suites = json!({ "common": verdict(true), "geo": verdict(false) });
        let mut found = evidence(suites);
        assert_eq!(proof_cell(&found), "1 of 2 suites failed: geo");
        found.checks = Some(checks(true));
        assert_eq!(
            proof_cell(&found),
            "1 of 2 suites failed: geo; checks passed"
        );
        let suites = json!({ "common": verdict(true) });
        let mut found = evidence(suites);
        assert_eq!(proof_cell(&found), "1 suite passed");
        found.checks = Some(checks(true));
        assert_eq!(proof_cell(&found), "1 suite, checks passed");
        found.checks = Some(checks(false));
        assert_eq!(proof_cell(&found), "checks failed; 1 suite passed");
        let mut found = evidence(json!({}));
        assert_eq!(proof_cell(&found), "");
        found.checks = Some(checks(false));
        assert_eq!(proof_cell(&found), "checks failed");
    }

    #[test]
    fn tags_are_shown_as_they_can_be_pulled() {
        let repository = Repository::parse("ghcr.io/campus/web").expect("valid");
        let tags = ["2026-1a2b3c4", "latest"].map(|tag| Tag::parse(tag).expect("a tag"));
        assert_eq!(
            references(&repository, &tags),
            "ghcr.io/campus/web:2026-1a2b3c4 ghcr.io/campus/web:latest"
        );
    }
}
