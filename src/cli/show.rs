//! `laminate show [RELEASE]`.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, ShowArgs};
use super::evidence::verdict_json;
use super::interrupt::unless_cancelled;
use super::records::Records;
use super::{Answer, Exit, Failure};
use crate::event::Events;
use crate::name::{Commit, Tag};
use crate::record::{
    ADOPTED, Ancestor, GateVerdict, LedgerEntry, ReleaseImage, ReleaseVerdict, StoredRelease,
};
use crate::table;

pub async fn run(
    global: &Global,
    args: &ShowArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    unless_cancelled(cancel, async {
        let records = Records::open(global, events, cancel).await?;
        let found = records.find_or_newest(args.release.as_deref())?;
        let moves: Vec<&LedgerEntry> = records.all.at(&found.digest).collect();
        let verdicts = records.verdicts(&found.release).await?;
        let text = text(found, args.release.is_none(), &moves, &verdicts);
        let json = json(found, &moves, &verdicts);
        Ok(Answer::new(Exit::Done, json, text))
    })
    .await
}

/// Returns the results of checks and suites on an image as a line; empty if there are none.
pub(super) fn proven(image: &ReleaseImage) -> String {
    let checks = image.checks.map(|passed| {
        if passed {
            "checks: passed".to_owned()
        } else {
            "checks: failed".to_owned()
        }
    });
    let verdict = |verdict: &ReleaseVerdict| format!("{}: {}", verdict.suite, verdict.outcome());
    let verdicts = image.verdicts.iter().map(verdict);
    checks
        .into_iter()
        .chain(verdicts)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Returns a release for people. `is_newest`: it is shown because it is the newest one.
fn text(
    StoredRelease { digest, release }: &StoredRelease,
    is_newest: bool,
    moves: &[&LedgerEntry],
    verdicts: &[GateVerdict],
) -> String {
    let channels: Vec<&str> = moves.iter().map(|entry| entry.channel.as_str()).collect();
    let newest = if is_newest { " (newest)" } else { "" };
    let mut rows = vec![
        ("release", format!("{digest}{newest}")),
        ("stack", release.stack.clone()),
        (
            "commit",
            release
                .commit
                .as_ref()
                .map_or(ADOPTED, Commit::as_str)
                .to_owned(),
        ),
        ("ref", release.git_ref.clone().unwrap_or_default()),
        ("run", release.run.clone()),
        ("time", table::time(release.time)),
        ("channels", channels.join(" ")),
    ];
    for entry in moves {
        let exceptions = entry.exceptions().into_iter();
        rows.extend(exceptions.map(|text| ("", format!("{}: {text}", entry.channel))));
    }
    rows.retain(|(_, value)| !value.is_empty());
    let mut text = lines("", rows);
    for image in &release.images {
        let base = release.base(image).as_ref().map(Ancestor::to_string);
        let copies: Vec<String> = image.copies.iter().map(Ancestor::to_string).collect();
        let size = match image.size {
            0 => String::new(),
            size => crate::size::human(size),
        };
        let tags: Vec<&str> = image.tags.iter().map(Tag::as_str).collect();
        let dropped = image.dropped.iter();
        let dropped: Vec<String> = dropped
            .map(|dropped| format!("{}: {}", dropped.suite, dropped.reason))
            .collect();
        let mut rows = vec![
            ("image", format!("{}@{}", image.repository, image.digest)),
            (
                "from",
                image
                    .adopted_from
                    .as_ref()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            ),
            ("size", size),
            ("tags", tags.join(" ")),
            ("base", base.unwrap_or_default()),
            ("copies", copies.join(" ")),
            ("proven", proven(image)),
            ("dropped", dropped.join("; ")),
        ];
        let own = verdicts
            .iter()
            .filter(|verdict| verdict.digest == image.digest);
        rows.extend(own.map(|verdict| ("evidence", evidence(verdict))));
        rows.retain(|(_, value)| !value.is_empty());
        text.push_str(&format!("\n{}\n{}", image.label(), lines("  ", rows)));
    }
    text
}

/// Returns a verdict from outside as a line.
fn evidence(verdict: &GateVerdict) -> String {
    let (gate, outcome) = (&verdict.gate, verdict.outcome());
    let note = verdict.note.as_ref().map(|note| format!(": {note}"));
    let note = note.unwrap_or_default();
    format!(
        "{gate}: {outcome}, by {} at {}{note}",
        verdict.by,
        table::time(verdict.time)
    )
}

fn lines(indent: &str, rows: Vec<(&str, String)>) -> String {
    let line = |(name, value): &(&str, String)| format!("{indent}{name:<9}{value}\n");
    rows.iter().map(line).collect()
}

fn json(
    StoredRelease { digest, release }: &StoredRelease,
    moves: &[&LedgerEntry],
    verdicts: &[GateVerdict],
) -> Value {
    let channels: Vec<&str> = moves.iter().map(|entry| entry.channel.as_str()).collect();
    let images: Vec<Value> = release
        .images
        .iter()
        .map(|image| {
            json!({
                "image": image.image,
                "variant": image.variant,
                "repository": image.repository,
                "digest": image.digest,
                "key": image.key,
                "adopted_from": image.adopted_from,
                "size": (image.size > 0).then_some(image.size),
                "tags": image.tags,
                "base": release.base(image),
                "copies": image.copies,
                "verdicts": image.verdicts,
                "dropped": image.dropped,
                "checks": image.checks,
            })
        })
        .collect();
    json!({
        "release": digest.as_str(),
        "stack": release.stack,
        "commit": release.commit,
        "ref": release.git_ref,
        "run": release.run,
        "time": release.time,
        "channels": channels,
        "moves": moves,
        "evidence": verdicts.iter().map(verdict_json).collect::<Vec<_>>(),
        "images": images,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Digest;

    #[test]
    fn a_release_is_shown_whole() {
        let passed = Digest::of(b"base");
        let release = json!({
            "stack": "datahub", "commit": "d021570", "time": "2026-11-24T12:00:00Z", "run": "r1",
            "images": [
                {
                    "image": "base-notebook", "variant": "2021.2", "depth": 0, "size": 1_200_000_000,
                    "repository": "ghcr.io/campus/base-notebook", "digest": passed, "key": Digest::of(b"k1"),
                    "tags": ["2021.2-d021570", "d021570"],
                    "base": "debian:bookworm", "base_digest": Digest::of(b"debian"),
                    "checks": true, "verdicts": [
                        { "suite": "common", "digest": passed, "passed": true, "tests": 12, "failed": 0 },
                        { "suite": "own", "digest": passed, "passed": false, "tests": 3, "failed": 1 },
                    ],
                },
                {
                    "image": "ml-notebook", "variant": "2021.2", "depth": 1,
                    "repository": "ghcr.io/campus/ml-notebook", "digest": Digest::of(b"ml"),
                    "key": Digest::of(b"k2"), "tags": ["2021.2-d021570"],
                    "base": "base-notebook", "base_digest": null,
                    "dropped": [{ "suite": "common", "reason": "needs a GPU" }],
                },
            ],
        });
        let release = serde_json::from_value(release).expect("a release");
        let digest = Digest::of(b"release");
        let entry = |channel: &str, waived: &[&str]| -> LedgerEntry {
            serde_json::from_value(json!({
                "kind": "promote", "channel": channel, "seq": 3, "previous": null, "release": Digest::of(b"release"),
                "commit": "d021570", "actor": "kim", "time": "2026-11-24T12:00:00Z", "waived": waived,
                "drift": [], "images": [],
            }))
            .expect("an entry")
        };
        let (quarter, stable) = (entry("quarter", &[]), entry("stable", &["gpu"]));
        let verdict = serde_json::from_value(json!({
            "gate": "gpu", "image": "2021.2/base-notebook", "digest": passed, "passed": false, "note": "ran hot",
            "by": "kim", "time": "2026-11-24T13:00:00Z", "tests": 3, "failed": 1,
        }));
        let verdict = verdict.expect("a verdict");
        let stored = StoredRelease { digest, release };
        let moves = [&quarter, &stable];
        let newest = text(&stored, true, &moves, &[]);
        let first = format!("release  {} (newest)", stored.digest);
        assert_eq!(newest.lines().next(), Some(first.as_str()));
        let text = text(&stored, false, &moves, &[verdict]);
        insta::assert_snapshot!(text, @r"
        release  sha256:a4d451ec23463726f72c43d64c710968f6b602cd653b4de8adee1b556240a829
        stack    datahub
        commit   d021570
        run      r1
        time     2026-11-24T12:00:00Z
        channels quarter stable
                 stable: gate gpu was waived

        2021.2/base-notebook
          image    ghcr.io/campus/base-notebook@sha256:cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2
          size     1.2 GB
          tags     2021.2-d021570 d021570
          base     debian:bookworm@sha256:81d93757457f988523814ae0009837ae893f38d3fe123f2c37896f118b4c7804
          proven   checks: passed; common: passed (12 tests); own: failed (1 of 3)
          evidence gpu: failed (1 of 3), by kim at 2026-11-24T13:00:00Z: ran hot

        2021.2/ml-notebook
          image    ghcr.io/campus/ml-notebook@sha256:5d58d41913d9fea4e42cecd7a5d1b692aa6d0d792977ad7c6d6bb1507e8f3dbd
          tags     2021.2-d021570
          base     base-notebook@sha256:cae662172fd450bb0cd710a769079c05bfc5d8e35efa6576edc7d0377afdd4a2
          dropped  common: needs a GPU
        ");
    }
}
