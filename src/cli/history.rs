//! `laminate history`: releases and moves of channels, newest first; of one image those that changed it.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, HistoryArgs};
use super::interrupt::unless_cancelled;
use super::records::Records;
use super::{Answer, Exit, Failure, show};
use crate::event::Events;
use crate::name::Commit;
use crate::record::{
    ADOPTED, Ancestor, LedgerEntry, Release, ReleaseImage, StoredRelease, TagMove,
};
use crate::release::Channel;
use crate::table;

pub async fn run(
    global: &Global,
    args: &HistoryArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    unless_cancelled(cancel, async {
        let records = Records::open(global, events, cancel).await?;
        let moves = moves(&records).await?;
        match &args.image {
            Some(name) => {
                let all = global.given.command(&["history"]);
                of_image(&records, &records.labels(name)?, moves, &all)
            }
            None => Ok(of_all(&records, &moves)),
        }
    })
    .await
}

/// Returns the moves of every channel, newest first.
async fn moves(records: &Records) -> Result<Vec<LedgerEntry>, Failure> {
    let ledgers = records.all.channels.iter().map(|at| async move {
        let channel = Channel {
            staging: &records.staging,
            name: &at.channel,
        };
        channel.history().await
    });
    let ledgers = try_join_all(ledgers).await?.into_iter().flatten();
    let mut moves: Vec<LedgerEntry> = ledgers.map(|(_, entry)| entry).collect();
    moves.sort_by_key(|entry| std::cmp::Reverse(entry.time));
    Ok(moves)
}

fn image_json(image: &ReleaseImage) -> Value {
    json!({
        "image": image.image,
        "variant": image.variant,
        "digest": image.digest,
        "base": image.base,
        "base_digest": image.base_digest,
        "key": image.key,
        "adopted_from": image.adopted_from,
        "size": (image.size > 0).then_some(image.size),
        "verdicts": image.verdicts,
        "checks": image.checks,
    })
}

/// Returns the short commit of a release, or what stands in its place if it is adopted.
fn commit(release: &Release) -> &str {
    release.commit.as_ref().map_or(ADOPTED, Commit::short)
}

fn release_json(records: &Records, stored: &StoredRelease, images: Vec<Value>) -> Value {
    let StoredRelease { digest, release } = stored;
    json!({
        "release": digest.as_str(),
        "commit": release.commit,
        "time": release.time,
        "seq": records.all.at(digest).map(|entry| entry.seq).max(),
        "channels": records.channels(digest),
        "images": images,
    })
}

fn of_all(records: &Records, moves: &[LedgerEntry]) -> Answer {
    let mut rows = Vec::new();
    let mut list = Vec::new();
    for stored in &records.all.list {
        let StoredRelease { digest, release } = stored;
        rows.push(vec![
            digest.short().to_owned(),
            commit(release).to_owned(),
            table::time(release.time),
            release.images.len().to_string(),
            records.channels(digest).join(" "),
        ]);
        let images = release.images.iter().map(image_json).collect();
        list.push(release_json(records, stored, images));
    }
    let mut text = table::plain(&["RELEASE", "COMMIT", "TIME", "IMAGES", "CHANNELS"], &rows);
    if list.is_empty() {
        text.push_str("no releases yet; `laminate build --push` records one\n");
    }
    if !moves.is_empty() {
        text.push('\n');
        text.push_str(&moves_text(moves));
    }
    Answer::new(
        Exit::Done,
        json!({ "releases": list, "moves": moves }),
        text,
    )
}

fn moves_text(moves: &[LedgerEntry]) -> String {
    let rows: Vec<Vec<String>> = moves
        .iter()
        .map(|entry| {
            vec![
                table::time(entry.time),
                entry.channel.clone(),
                entry.seq.to_string(),
                entry.kind.to_string(),
                entry.release.short().to_owned(),
                entry.actor.clone(),
                entry
                    .reason
                    .iter()
                    .cloned()
                    .chain(entry.exceptions())
                    .collect::<Vec<_>>()
                    .join("; "),
            ]
        })
        .collect();
    table::plain(
        &[
            "TIME", "CHANNEL", "NUMBER", "WHAT", "RELEASE", "BY", "REASON",
        ],
        &rows,
    )
}

/// Shows the releases that changed the digest of one of the images, with what it is based on, and the
/// moves that brought one to a channel. `all`: the command that shows the others.
fn of_image(
    records: &Records,
    labels: &[String],
    moves: Vec<LedgerEntry>,
    all: &str,
) -> Result<Answer, Failure> {
    let mut turned: BTreeMap<String, Vec<&ReleaseImage>> = BTreeMap::new();
    for label in labels {
        for turn in records.all.turns(label) {
            let images = turned.entry(turn.now.digest.to_string()).or_default();
            images.push(turn.now.image);
        }
    }
    let mut rows = Vec::new();
    let mut list = Vec::new();
    for stored in &records.all.list {
        let StoredRelease { digest, release } = stored;
        let Some(images) = turned.get(digest.as_str()) else {
            continue;
        };
        let mut values = Vec::new();
        for image in images {
            let lineage = release.lineage(image);
            let bases: Vec<String> = lineage.iter().map(Ancestor::short).collect();
            let size = match image.size {
                0 => String::new(),
                size => crate::size::human(size),
            };
            rows.push(vec![
                digest.short().to_owned(),
                commit(release).to_owned(),
                table::time(release.time),
                format!("{}@{}", image.label(), image.digest.short()),
                size,
                show::proven(image),
                bases.join(" \u{2192} "),
            ]);
            let mut value = image_json(image);
            value["lineage"] = json!(lineage);
            values.push(value);
        }
        list.push(release_json(records, stored, values));
    }
    let mut text = table::plain(
        &[
            "RELEASE", "COMMIT", "TIME", "IMAGE", "SIZE", "PROVEN", "BASED ON",
        ],
        &rows,
    );
    let has_image = |stored: &&StoredRelease| {
        let mut labels = labels.iter();
        labels.any(|label| stored.release.image(label).is_some())
    };
    let releases = records.all.list.iter().filter(has_image).count() - list.len();
    let (moves, left_out) = moves_of(labels, moves);
    if !moves.is_empty() {
        text.push('\n');
        text.push_str(&moves_text(&moves));
    }
    text.push_str(&not_shown(releases, left_out, all));
    Ok(Answer::new(
        Exit::Done,
        json!({ "releases": list, "moves": moves }),
        text,
    ))
}

/// Returns the moves that changed a tag of one of the images, with these tags alone, and how many moved a channel that has the
/// image, and not its tags.
fn moves_of(labels: &[String], moves: Vec<LedgerEntry>) -> (Vec<LedgerEntry>, usize) {
    let mut left_out = 0;
    let mut list = Vec::new();
    for mut entry in moves {
        entry.images.retain(|step| labels.contains(&step.label));
        let has_image = !entry.images.is_empty();
        entry.images.retain(TagMove::is_change);
        if !entry.images.is_empty() {
            list.push(entry);
        } else if has_image {
            left_out += 1;
        }
    }
    (list, left_out)
}

/// Returns a line about the releases and moves that did not change an image; empty if there are none.
fn not_shown(releases: usize, moves: usize, all: &str) -> String {
    let counted = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        n => Some(format!("{n} {word}s")),
    };
    let parts = [counted(releases, "release"), counted(moves, "move")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return String::new();
    }
    let parts = parts.join(" and ");
    format!("\nnot shown: {parts} that did not change this image; `{all}` shows all\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Digest;

    #[test]
    fn moves_that_leave_the_tags_of_an_image_are_counted() {
        let step = |label: &str, old: &str, new: &str| {
            json!({
                "label": label, "repository": format!("ghcr.io/campus/{label}"), "tag": "stable",
                "old": Digest::of(old.as_bytes()), "new": Digest::of(new.as_bytes()), "depth": 0,
            })
        };
        let entry = |seq: u64, images: Vec<Value>| -> LedgerEntry {
            serde_json::from_value(json!({
                "kind": "promote", "channel": "stable", "seq": seq, "previous": null,
                "release": Digest::of(b"release"), "commit": "d021570", "actor": "kim",
                "time": "2026-11-24T12:00:00Z", "images": images,
            }))
            .expect("an entry")
        };
        let moves = vec![
            entry(3, vec![step("web", "2", "2"), step("ml", "1", "2")]),
            entry(2, vec![step("web", "1", "2"), step("ml", "1", "1")]),
            entry(1, vec![step("ml", "0", "1")]),
        ];
        let (shown, left_out) = moves_of(&["web".to_owned()], moves);
        let shown: Vec<_> = shown.iter().map(|it| (it.seq, it.images.len())).collect();
        assert_eq!((shown.as_slice(), left_out), (&[(2, 1)][..], 1));
    }

    #[test]
    fn what_is_not_shown_is_counted_with_the_command_that_shows_it() {
        assert_eq!(not_shown(0, 0, "x"), "");
        assert_eq!(
            not_shown(1, 2, "laminate history"),
            "\nnot shown: 1 release and 2 moves that did not change this image; `laminate history` shows all\n"
        );
        assert_eq!(
            not_shown(0, 1, "laminate history -C x"),
            "\nnot shown: 1 move that did not change this image; `laminate history -C x` shows all\n"
        );
    }
}
