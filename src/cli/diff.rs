//! `laminate diff [A] [B]`.

use std::collections::BTreeMap;

use futures_util::future::{try_join, try_join_all};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::args::{DiffArgs, DiffFormat, Global};
use super::interrupt::unless_cancelled;
use super::records::Records;
use super::{Answer, Exit, Failure, pretty};
use crate::compare::{self, Snapshot};
use crate::event::Events;
use crate::evidence::Evidence;
use crate::record::{Release, StoredRelease};

pub async fn run(
    global: &Global,
    args: &DiffArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    unless_cancelled(cancel, async {
        let records = Records::open(global, events, cancel).await?;
        let (from, to) = ends(&records, args)?;
        let labels = compare::changed(&from.release, &to.release);
        let (from_spec, to_spec) =
            try_join(records.spec(&from.release), records.spec(&to.release)).await?;
        let (from_evidence, to_evidence) = try_join(
            evidence(&records, &from.release, &labels),
            evidence(&records, &to.release, &labels),
        )
        .await?;
        let difference = compare::difference(
            &Snapshot {
                digest: &from.digest,
                release: &from.release,
                spec: from_spec.as_ref(),
                evidence: from_evidence,
            },
            &Snapshot {
                digest: &to.digest,
                release: &to.release,
                spec: to_spec.as_ref(),
                evidence: to_evidence,
            },
        );
        let exit = if difference.is_empty() {
            Exit::Done
        } else {
            Exit::Difference
        };
        let json = json!(difference);
        let text = match args.format {
            DiffFormat::Text => compare::text(&difference),
            DiffFormat::Markdown => compare::markdown(&difference),
            DiffFormat::Json => pretty(&json),
        };
        Ok(Answer::new(exit, json, text))
    })
    .await
}

/// Returns the two releases; if only one was given, the one before it first.
fn ends<'a>(
    records: &'a Records,
    args: &DiffArgs,
) -> Result<(&'a StoredRelease, &'a StoredRelease), Failure> {
    let first = records.find_or_newest(args.from.as_deref())?;
    if let Some(to) = &args.to {
        return Ok((first, records.find(to)?));
    }
    let before = records.all.before(&first.digest).ok_or_else(|| {
        let short = first.digest.short();
        let text = format!(
            "no release before `{}`",
            args.from.as_deref().unwrap_or(short)
        );
        Failure::new(Exit::Usage, text).help("give the release to compare it with")
    })?;
    Ok((before, first))
}

/// Returns the evidence a release has of some of its images, by label.
async fn evidence(
    records: &Records,
    release: &Release,
    labels: &[String],
) -> Result<BTreeMap<String, Evidence>, Failure> {
    let images = labels.iter().filter_map(|label| release.image(label));
    let found = try_join_all(images.map(|image| async move {
        let found = records.staging.evidence_of(image).await?;
        Ok::<_, Failure>(found.map(|evidence| (image.label(), evidence)))
    }));
    Ok(found.await?.into_iter().flatten().collect())
}
