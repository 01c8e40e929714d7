//! `laminate evidence`: adds verdicts from outside, and lists the state of every gate.

use camino::Utf8Path;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{EvidenceAddArgs, EvidenceCommand, EvidenceListArgs, Global};
use super::interrupt::unless_cancelled;
use super::workspace::Workspace;
use super::{Answer, Exit, Failure};
use crate::diagnostic::nearest;
use crate::event::{Event, Events};
use crate::evidence::{Case, junit};
use crate::name::Digest;
use crate::record::{GateVerdict, ReleaseImage, StoredRelease};
use crate::release::gates::{self, CHECKS, Source, SpecGates};
use crate::release::{channel_gates, channel_targets};
use crate::table;

/// Tests of a report that are kept with a verdict, at most.
const MOST_CASES: usize = 200;

/// Runs `laminate evidence add` or `list`.
pub async fn run(
    global: &Global,
    command: &EvidenceCommand,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let workspace = Workspace::open(global, events, cancel).await?;
    match command {
        EvidenceCommand::Add(args) => unless_cancelled(cancel, add(&workspace, args, events)).await,
        EvidenceCommand::List(args) => unless_cancelled(cancel, list(&workspace, args)).await,
    }
}

async fn add(
    workspace: &Workspace,
    args: &EvidenceAddArgs,
    events: &Events,
) -> Result<Answer, Failure> {
    if !args.dry_run {
        workspace.context.caller().await.check_evidence()?;
    }
    let spec = SpecGates::new(&workspace.context.stack);
    if spec.source(&args.gate) == Source::Run {
        return Err(proven_by_run(&args.gate));
    }
    let cases = match &args.file {
        Some(path) => read_report(path)?,
        None => Vec::new(),
    };
    let failed = cases.iter().filter(|case| case.has_failed()).count();
    let passed = has_passed(args, cases.len(), failed)?;
    warn_of_unknown_gate(workspace, &args.gate, events);
    let images = subjects(workspace, args).await?;
    if images.iter().any(|i| gates::has_suite(i, &args.gate)) {
        return Err(proven_by_run(&args.gate));
    }
    let tests = count(cases.len());
    let kept = kept_cases(cases);
    let by = workspace.context.actor().await;
    let verdict = |image: &ReleaseImage| GateVerdict {
        gate: args.gate.clone(),
        image: image.label(),
        digest: image.digest.clone(),
        passed,
        note: args.note.clone(),
        by: by.clone(),
        time: jiff::Timestamp::now(),
        tests,
        failed: count(failed),
        cases: kept.clone(),
    };
    let verdicts: Vec<GateVerdict> = images.iter().map(verdict).collect();
    if !args.dry_run {
        let kept = workspace.staging.put_verdicts(&verdicts).await?;
        if let Some(first) = kept.first() {
            return Err(not_replaced(first, kept.len()));
        }
    }
    Ok(added(&verdicts, args.dry_run))
}

/// Returns the failure of verdicts whose tags are immutable.
fn not_replaced(first: &GateVerdict, count: usize) -> Failure {
    let (gate, image) = (&first.gate, &first.image);
    let others = match count - 1 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Failure::new(
        Exit::Environment,
        format!("cannot replace the verdict on gate `{gate}` of `{image}`{others}: its tag in staging is immutable"),
    )
    .help("except the tags `gate-*` of staging from immutability, and run the command again")
}

/// Returns the answer: each verdict that was added or would be.
fn added(verdicts: &[GateVerdict], dry_run: bool) -> Answer {
    let row = |verdict: &GateVerdict| {
        let passed = if verdict.passed { "passed" } else { "failed" };
        vec![
            verdict.image.clone(),
            verdict.digest.to_string(),
            verdict.gate.clone(),
            passed.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = verdicts.iter().map(row).collect();
    let list: Vec<Value> = verdicts
        .iter()
        .map(
            |v| json!({ "image": v.image, "digest": v.digest, "gate": v.gate, "passed": v.passed }),
        )
        .collect();
    let mut text = table::plain(&["IMAGE", "DIGEST", "GATE", "VERDICT"], &rows);
    if dry_run {
        text.push_str("\ndry run: nothing was written\n");
    }
    let json = json!({ "evidence": list, "dry_run": dry_run });
    Answer::new(Exit::Done, json, text)
}

/// Reads a JUnit report.
fn read_report(path: &Utf8Path) -> Result<Vec<Case>, Failure> {
    let text = fs_err::read_to_string(path)
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot read --file: {error}")))?;
    let mut cases = junit::parse(&text).map_err(|error| {
        Failure::new(Exit::Usage, format!("invalid JUnit report {path}: {error}"))
            .help("pass JUnit XML, as `pytest --junitxml=FILE` writes it")
    })?;
    cases.iter_mut().for_each(Case::shorten);
    Ok(cases)
}

/// Returns the verdict: `--passed` or `--failed`, else that of the report. `tests` and `failed` count tests of
/// the report.
fn has_passed(args: &EvidenceAddArgs, tests: usize, failed: usize) -> Result<bool, Failure> {
    match (args.passed, args.failed) {
        (true, _) if failed > 0 => Err(Failure::new(
            Exit::Usage,
            format!("--passed contradicts the report: {failed} tests failed"),
        )),
        (true, _) => Ok(true),
        (false, true) => Ok(false),
        (false, false) if tests == 0 => Err(Failure::new(
            Exit::Usage,
            "no verdict: the report has no test",
        )
        .help("pass --passed or --failed")),
        (false, false) => Ok(failed == 0),
    }
}

fn warn_of_unknown_gate(workspace: &Workspace, gate: &str, events: &Events) {
    let channels = workspace.context.stack.channels().iter();
    let known = channels.flat_map(|channel| channel.gates.iter().map(|gate| gate.name.as_str()));
    let known: Vec<&str> = known.collect();
    if known.contains(&gate) {
        return;
    }
    let near = nearest(gate, known.iter().copied());
    let near = near.map(|near| format!(" (did you mean `{near}`?)"));
    events.send(Event::Warning {
        text: format!("no channel has a gate `{gate}`{}", near.unwrap_or_default()),
    });
}

/// Tests of a report that are kept: all of a small one, of a large one the first that failed.
fn kept_cases(cases: Vec<Case>) -> Vec<Case> {
    if cases.len() <= MOST_CASES {
        return cases;
    }
    let failed = cases.into_iter().filter(Case::has_failed);
    failed.take(MOST_CASES).collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Evidence from outside does not replace what laminate runs itself.
fn proven_by_run(gate: &str) -> Failure {
    let kind = match gate {
        CHECKS => "the checks of `policy:`",
        _ => "a suite",
    };
    Failure::new(
        Exit::Usage,
        format!("cannot add evidence for `{gate}`: it is {kind}"),
    )
    .help("run `laminate test`")
}

/// Returns the images a user means: one of the release, by name or digest, or all of a release.
async fn subjects(
    workspace: &Workspace,
    args: &EvidenceAddArgs,
) -> Result<Vec<ReleaseImage>, Failure> {
    let name = args.subject.as_str();
    let known = workspace.context.stack.images().iter();
    let known = known.map(|image| workspace.context.stack.label_of(image));
    let known: Vec<String> = known.collect();
    let is_image = known
        .iter()
        .any(|label| label == name || label.rsplit('/').next() == Some(name));
    if is_image {
        let StoredRelease { release, .. } = workspace.release(args.release.as_deref()).await?;
        let images = release.images.into_iter();
        let found: Vec<ReleaseImage> = images
            .filter(|image| image.label() == name || image.image == name)
            .collect();
        return one_of(name, found);
    }
    if let Ok(digest) = Digest::parse(name) {
        let all = workspace.staging.release_list().await?;
        let mut images = all
            .found
            .into_iter()
            .flat_map(|stored| stored.release.images);
        if let Some(image) = images.find(|image| image.digest == digest) {
            return Ok(vec![image]);
        }
    }
    if args.release.is_some() {
        let failure = Failure::new(Exit::Usage, format!("unknown image `{name}`"));
        return Err(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None => failure,
        });
    }
    Ok(workspace.release(Some(name)).await?.release.images)
}

/// Returns the images of a name. It may be one image in several variants; different images are ambiguous.
fn one_of(name: &str, found: Vec<ReleaseImage>) -> Result<Vec<ReleaseImage>, Failure> {
    let Some(first) = found.first() else {
        return Err(Failure::new(
            Exit::Usage,
            format!("image `{name}` is not in the release"),
        ));
    };
    if found.iter().all(|image| image.digest == first.digest) {
        return Ok(found);
    }
    let labels: Vec<String> = found.iter().map(ReleaseImage::label).collect();
    Err(Failure::new(
        Exit::Usage,
        format!("ambiguous image `{name}`: it differs between variants"),
    )
    .help(format!("pass one of: {}", labels.join(", "))))
}

async fn list(workspace: &Workspace, args: &EvidenceListArgs) -> Result<Answer, Failure> {
    let StoredRelease { digest, release } = workspace.release(args.release.as_deref()).await?;
    let mut rows = Vec::new();
    let mut verdicts = Vec::new();
    let mut list = Vec::new();
    for channel in workspace.context.stack.channels() {
        let stack = &workspace.context.stack;
        let targets = channel_targets(stack, channel, &release)?;
        let states = channel_gates(&workspace.staging, stack, channel, &release, &targets, &[]);
        for state in states.await? {
            let verdict = if state.is_proven() {
                "passed"
            } else if state.failed.is_empty() {
                "open"
            } else {
                "failed"
            };
            let parts = [
                ("passed", &state.passed),
                ("failed", &state.failed),
                ("open", &state.open),
            ];
            let images: Vec<String> = parts
                .iter()
                .filter(|(_, images)| !images.is_empty())
                .map(|(word, images)| format!("{word}: {}", images.join(", ")))
                .collect();
            rows.push(vec![
                channel.name.clone(),
                state.name.clone(),
                verdict.to_owned(),
                images.join("; "),
            ]);
            list.push(json!({
                "channel": channel.name, "gate": state.name, "proven": state.is_proven(),
                "green": state.passed, "red": state.failed, "open": state.open, "silent": state.uncovered,
                "verdicts": state.verdicts.iter().map(verdict_json).collect::<Vec<_>>(),
            }));
            verdicts.extend(state.verdicts);
        }
    }
    let mut text = table::plain(&["CHANNEL", "GATE", "STATE", "IMAGES"], &rows);
    if rows.is_empty() {
        text.push_str("no channel in specs.yml has a gate\n");
    }
    let mut rows: Vec<Vec<String>> = verdicts.iter().map(verdict_row).collect();
    rows.dedup();
    if !rows.is_empty() {
        let heads = ["GATE", "IMAGE", "VERDICT", "BY", "TIME", "NOTE"];
        text = format!("{text}\n{}", table::plain(&heads, &rows));
    }
    let json = json!({ "release": digest.as_str(), "commit": release.commit, "gates": list });
    Ok(Answer::new(Exit::Done, json, text))
}

/// Returns a verdict from outside, for programs.
pub(super) fn verdict_json(verdict: &GateVerdict) -> Value {
    json!({
        "gate": verdict.gate, "image": verdict.image, "digest": verdict.digest, "passed": verdict.passed,
        "tests": verdict.tests, "failed": verdict.failed, "note": verdict.note, "by": verdict.by, "time": verdict.time,
    })
}

fn verdict_row(verdict: &GateVerdict) -> Vec<String> {
    vec![
        verdict.gate.clone(),
        verdict.image.clone(),
        verdict.outcome(),
        verdict.by.clone(),
        table::time(verdict.time),
        verdict.note.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_several_images_is_ambiguous() {
        let image = |variant: &str, digest: &str| -> ReleaseImage {
            serde_json::from_value(json!({
                "image": "a", "variant": variant, "repository": "example.org/a", "digest": Digest::of(digest.as_bytes()),
                "key": Digest::of(b"key"), "tags": [], "depth": 0, "base": null, "base_digest": null,
            }))
            .expect("an image")
        };
        let same = one_of("a", vec![image("1", "x"), image("2", "x")]);
        assert_eq!(same.expect("one image").len(), 2);
        let several = one_of("a", vec![image("1", "x"), image("2", "y")]);
        insta::assert_snapshot!(several.expect_err("two").shown(false), @r"
        error: ambiguous image `a`: it differs between variants
        help: pass one of: 1/a, 2/a
        ");
        assert!(one_of("a", Vec::new()).is_err());
    }
}
