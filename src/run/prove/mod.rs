//! Proves one image that is there: runs its suites, checks and info, in the request that builds.

mod checks;
mod info;
mod left;
mod subject;
mod suite;

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use jiff::Timestamp;

use subject::Subject;
pub use subject::{Origin, Prover};

use crate::buildkit;
use crate::evidence::Verdict;
use crate::plan::{PlannedSuite, Proofs};
use crate::run::outcome::{ImageError, StopReason};
use crate::stack::ImageId;

/// Runs everything the plan has to run on an image, and adds what comes of it to the results of the run.
pub async fn prove(
    prover: &Prover<'_, '_>,
    id: ImageId,
    origin: Origin,
) -> Result<(), buildkit::Error> {
    let proven = prove_subject(prover, id, origin).await;
    proven.map_err(|error| about(&prover.context.label(id), error))
}

async fn prove_subject(
    prover: &Prover<'_, '_>,
    id: ImageId,
    origin: Origin,
) -> Result<(), buildkit::Error> {
    let context = prover.context;
    let results = &context.options.results;
    let proofs = &context.plan.images[id.0].proofs;
    let proof = &context.image(id).proof;
    let subject = match Subject::new(context, id, origin).await {
        Ok(subject) => subject,
        Err(StopReason::Image(error)) => {
            let suites = unusable(proofs, &error)?;
            results.add(id, |proven| proven.suites.extend(suites));
            return Ok(());
        }
        Err(StopReason::Run(error)) => return Err(error),
    };
    let suites = proof.suites.iter().zip(&proofs.suites);
    let suites = suites.filter(|(_, planned)| is_open(planned));
    let suites = try_join_all(suites.map(async |(suite, planned)| {
        let key = &planned.verdict.key;
        let (name, verdict) = suite::run_once(prover, id, &subject, suite, key).await?;
        results.add(id, |proven| {
            proven.suites.insert(name, verdict);
        });
        Ok(())
    }));
    let commands = proof.info.iter().zip(&proofs.info);
    let commands = commands.filter(|(_, planned)| planned.known.is_none());
    let commands: Vec<_> = commands
        .map(|(command, planned)| (command, &planned.key))
        .collect();
    let info = async {
        let info = info::run(prover, id, &subject, &commands).await?;
        results.add(id, |proven| proven.info = info);
        Ok(())
    };
    let planned = proofs.checks.as_ref();
    let planned = planned.filter(|checks| checks.known.is_none());
    let checks = async {
        if let Some(planned) = planned {
            let checks = checks::run(prover, id, &subject, &planned.key).await?;
            results.add(id, |proven| proven.checks = Some(checks));
        }
        Ok(())
    };
    tokio::try_join!(suites, info, checks)?;
    Ok(())
}

fn is_open(suite: &PlannedSuite) -> bool {
    suite.verdict.known.is_none()
}

/// Returns what follows from an image that cannot be looked at: each of its suites fails for that
/// reason. Only a suite has a verdict to carry it; with checks to run, or without any suite, the run
/// fails.
fn unusable(
    proofs: &Proofs,
    error: &ImageError,
) -> Result<BTreeMap<String, Verdict>, buildkit::Error> {
    let checks = proofs.checks.as_ref();
    let unchecked = checks.is_some_and(|checks| checks.known.is_none());
    if unchecked || !proofs.suites.iter().any(is_open) {
        let failure = buildkit::Failure::new(error.to_string());
        return Err(buildkit::Error::Failed(Box::new(failure)));
    }
    let suites = proofs.suites.iter().filter(|suite| is_open(suite));
    let verdicts = suites.map(|suite| {
        let (key, reason) = (suite.verdict.key.clone(), error.to_string());
        let verdict = Verdict::failed(key, None, Timestamp::now(), reason);
        (suite.name.clone(), verdict)
    });
    Ok(verdicts.collect())
}

/// Adds the image to an error of the engine, which does not know which one it was about.
fn about(label: &str, error: buildkit::Error) -> buildkit::Error {
    match error {
        buildkit::Error::Failed(mut failure) => {
            failure.message = format!("cannot inspect image `{label}`: {}", failure.message);
            buildkit::Error::Failed(failure)
        }
        other => other,
    }
}
