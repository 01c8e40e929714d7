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
use crate::record::{ADOPTED, Ancestor, LedgerEntry, Release, ReleaseImage, StoredRelease};
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
            Some(name) => of_image(&records, &records.labels(name)?, moves),
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
/// moves that brought one to a channel.
fn of_image(
    records: &Records,
    labels: &[String],
    mut moves: Vec<LedgerEntry>,
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
    let text = table::plain(
        &[
            "RELEASE", "COMMIT", "TIME", "IMAGE", "SIZE", "PROVEN", "BASED ON",
        ],
        &rows,
    );
    for entry in &mut moves {
        let here = |label: &String| labels.contains(label);
        entry
            .images
            .retain(|step| here(&step.label) && step.is_change());
    }
    moves.retain(|entry| !entry.images.is_empty());
    let text = if moves.is_empty() {
        text
    } else {
        format!("{text}\n{}", moves_text(&moves))
    };
    Ok(Answer::new(
        Exit::Done,
        json!({ "releases": list, "moves": moves }),
        text,
    ))
}
