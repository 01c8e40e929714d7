//! `laminate evidence`: verdicts from outside, and what every gate says.

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{EvidenceAddArgs, EvidenceCommand, EvidenceListArgs, Global};
use super::context::actor;
use super::interrupt::unless_cancelled;
use super::place::Place;
use super::{Answer, Exit, Failure};
use crate::diagnostic::nearest;
use crate::event::{Event, Events};
use crate::evidence::{Case, junit};
use crate::name::Digest;
use crate::record::{GateVerdict, Release, ReleaseImage};
use crate::release::gates::{self, CHECKS, GateState, Source, SpecGates};
use crate::report::table;

pub async fn run(
    global: &Global,
    command: &EvidenceCommand,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let place = Place::open(global, events)?;
    match command {
        EvidenceCommand::Add(args) => unless_cancelled(cancel, add(&place, args, events)).await,
        EvidenceCommand::List(args) => unless_cancelled(cancel, list(&place, args)).await,
    }
}

async fn add(place: &Place, args: &EvidenceAddArgs, events: &Events) -> Result<Answer, Failure> {
    if !args.dry_run {
        place.context.caller().await.check_evidence()?;
    }
    let spec = SpecGates::new(&place.context.stack);
    if spec.source(&args.gate) == Source::Run {
        return Err(proven_inside(&args.gate));
    }
    let cases = match &args.file {
        Some(path) => {
            let text = fs_err::read_to_string(path)
                .map_err(|error| Failure::new(Exit::Usage, format!("--file: {error}")))?;
            junit::parse(&text).map_err(|error| {
                Failure::new(Exit::Usage, format!("--file {path} is no report: {error}"))
                    .help("JUnit's XML is wanted, as `pytest --junitxml=FILE` writes it")
            })?
        }
        None => Vec::new(),
    };
    let failed = cases.iter().filter(|case| case.has_failed()).count();
    let passed = match (args.passed, args.failed) {
        (true, _) if failed > 0 => {
            return Err(Failure::new(
                Exit::Usage,
                format!("--passed, and {failed} tests of the report failed"),
            ));
        }
        (true, _) => true,
        (_, true) => false,
        _ if cases.is_empty() => {
            return Err(
                Failure::new(Exit::Usage, "the report has no test, so it is no verdict")
                    .help("say --passed or --failed"),
            );
        }
        _ => failed == 0,
    };
    let named = place.context.stack.channels.iter();
    let known = named.flat_map(|channel| channel.gates.iter().map(|gate| gate.name.as_str()));
    let known: Vec<&str> = known.collect();
    if !known.contains(&args.gate.as_str()) {
        let near = nearest(&args.gate, known.iter().copied());
        let near = near.map(|near| format!(" (did you mean `{near}`?)"));
        events.send(Event::Warning {
            text: format!(
                "no channel has a gate `{}`{}",
                args.gate,
                near.unwrap_or_default()
            ),
        });
    }
    let images = subjects(place, args).await?;
    if images.iter().any(|i| gates::has_suite(i, &args.gate)) {
        return Err(proven_inside(&args.gate));
    }
    let kept: Vec<Case> = match cases.len() {
        // Of a large report what failed is kept.
        0..=200 => cases.clone(),
        _ => cases
            .iter()
            .filter(|case| case.has_failed())
            .take(200)
            .cloned()
            .collect(),
    };
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let mut rows = Vec::new();
    let mut verdicts = Vec::new();
    for image in &images {
        verdicts.push(GateVerdict {
            gate: args.gate.clone(),
            image: image.label(),
            digest: image.digest.clone(),
            passed,
            note: args.note.clone(),
            by: actor(),
            time: jiff::Timestamp::now(),
            tests: count(cases.len()),
            failed: count(failed),
            cases: kept.clone(),
        });
        rows.push(vec![
            image.label(),
            image.digest.to_string(),
            args.gate.clone(),
            if passed { "passed" } else { "failed" }.to_owned(),
        ]);
    }
    if !args.dry_run {
        let writing = verdicts
            .iter()
            .map(|verdict| place.staging.put_verdict(verdict));
        try_join_all(writing).await?;
    }
    let list: Vec<Value> = verdicts
        .iter()
        .map(
            |v| json!({ "image": v.image, "digest": v.digest, "gate": v.gate, "passed": v.passed }),
        )
        .collect();
    let mut text = table::plain(&["IMAGE", "DIGEST", "GATE", "VERDICT"], &rows);
    if args.dry_run {
        text.push_str("\nnothing was written\n");
    }
    let json = json!({ "evidence": list, "dry_run": args.dry_run });
    Ok(Answer::new(Exit::Done, json, text))
}

/// Nobody's word stands in for what laminate runs itself.
fn proven_inside(gate: &str) -> Failure {
    let what = match gate {
        CHECKS => "is what `policy:` wants",
        _ => "is a suite",
    };
    Failure::new(
        Exit::Usage,
        format!("`{gate}` {what}: `laminate test` proves it"),
    )
}

/// The images a user means: one of the release, by name or digest, or all of a release.
async fn subjects(place: &Place, args: &EvidenceAddArgs) -> Result<Vec<ReleaseImage>, Failure> {
    let name = args.subject.as_str();
    let known = place.context.stack.images.iter();
    let known = known.map(|image| place.context.stack.label_of(image));
    let known: Vec<String> = known.collect();
    let is_image = known
        .iter()
        .any(|label| label == name || label.rsplit('/').next() == Some(name));
    if is_image {
        let (_, release) = place.release(args.release.as_deref()).await?;
        let images = release.images.into_iter();
        let found: Vec<ReleaseImage> = images
            .filter(|image| image.label() == name || image.image == name)
            .collect();
        return one_of(name, found);
    }
    if let Ok(digest) = Digest::parse(name) {
        let all = place.staging.release_list().await?;
        let mut images = all.into_iter().flat_map(|(_, release)| release.images);
        if let Some(image) = images.find(|image| image.digest == digest) {
            return Ok(vec![image]);
        }
    }
    if args.release.is_some() {
        let failure = Failure::new(Exit::Usage, format!("there is no image `{name}`"));
        return Err(match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => failure.help(format!("did you mean `{near}`?")),
            None => failure,
        });
    }
    let (_, release) = place.release(Some(name)).await?;
    Ok(release.images)
}

/// What a name stands for in a release. In several variants it may be one image, and is no answer
/// where it is several.
fn one_of(name: &str, found: Vec<ReleaseImage>) -> Result<Vec<ReleaseImage>, Failure> {
    let Some(first) = found.first() else {
        return Err(Failure::new(
            Exit::Usage,
            format!("the release has no image `{name}`"),
        ));
    };
    if found.iter().all(|image| image.digest == first.digest) {
        return Ok(found);
    }
    let labels: Vec<String> = found.iter().map(ReleaseImage::label).collect();
    Err(Failure::new(
        Exit::Usage,
        format!("`{name}` is not the same image in every variant"),
    )
    .help(format!("name one of them: {}", labels.join(", "))))
}

/// The gates of a channel for a release, with the labels of the images it moves.
pub async fn states(
    place: &Place,
    channel: &crate::stack::Channel,
    release: &Release,
    more: &[crate::stack::Gate],
) -> Result<Vec<GateState>, Failure> {
    let targets = place.targets(channel, release)?;
    let labels: Vec<&str> = targets.iter().map(|target| target.label.as_str()).collect();
    let mut wanted = channel.gates.clone();
    wanted.extend(
        more.iter()
            .filter(|gate| !channel.gates.contains(gate))
            .cloned(),
    );
    let spec = SpecGates::new(&place.context.stack);
    Ok(gates::states(&place.staging, &spec, release, &labels, &wanted).await?)
}

async fn list(place: &Place, args: &EvidenceListArgs) -> Result<Answer, Failure> {
    let (digest, release) = place.release(args.release.as_deref()).await?;
    let mut rows = Vec::new();
    let mut list = Vec::new();
    for channel in &place.context.stack.channels {
        for state in states(place, channel, &release, &[]).await? {
            let verdict = match state.is_proven() {
                true => "green",
                false if !state.failed.is_empty() => "red",
                false => "open",
            };
            let parts = [
                ("green", &state.passed),
                ("red", &state.failed),
                ("open", &state.open),
            ];
            let told: Vec<String> = parts
                .iter()
                .filter(|(_, images)| !images.is_empty())
                .map(|(word, images)| format!("{word}: {}", images.join(", ")))
                .collect();
            rows.push(vec![
                channel.name.clone(),
                state.name.clone(),
                verdict.to_owned(),
                told.join("; "),
            ]);
            list.push(json!({
                "channel": channel.name, "gate": state.name, "proven": state.is_proven(),
                "green": state.passed, "red": state.failed, "open": state.open, "silent": state.uncovered,
            }));
        }
    }
    let text = table::plain(&["CHANNEL", "GATE", "IS", "IMAGES"], &rows);
    let json = json!({ "release": digest.as_str(), "commit": release.commit, "gates": list });
    Ok(Answer::new(Exit::Done, json, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_several_images_is_none() {
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
        error: `a` is not the same image in every variant
        help: name one of them: 1/a, 2/a
        ");
        assert!(one_of("a", Vec::new()).is_err());
    }
}
