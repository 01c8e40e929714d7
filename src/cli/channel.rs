//! `laminate promote`, `revert`, `status` and `history`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, MovingArgs, PromoteArgs, RevertArgs};
use super::place::Place;
use super::{Answer, Exit, Failure};
use crate::event::Events;
use crate::name::Digest;
use crate::release::channel::{Drift, Order, targets};
use crate::release::{self, Entry, Kind};
use crate::report::table;

/// Who does it, as far as that is known.
fn actor() -> String {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    ["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER"]
        .into_iter()
        .find_map(set)
        .unwrap_or_else(|| "unknown".to_owned())
}

fn order(kind: Kind, release: &Digest, commit: &str, moving: &MovingArgs) -> Order {
    Order {
        kind,
        release: release.clone(),
        commit: commit.to_owned(),
        actor: actor(),
        time: jiff::Timestamp::now().to_string(),
        reason: moving.reason.clone(),
        waived: Vec::new(),
        accept_drift: moving.accept_drift,
        dry_run: moving.dry_run,
    }
}

/// Waits for a move; the first Ctrl-C is too late once tags move, since half a set helps nobody.
async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Failure::interrupted()),
        done = work => done,
    }
}

pub async fn promote(
    global: &Global,
    args: &PromoteArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let place = Place::open(global, events)?;
    let declared = place.declared(&args.to)?;
    let channel = place.channel(&args.to);
    if args.resume || args.abort {
        let entry = match args.resume {
            true => channel.resume().await?,
            false => channel.abort().await?,
        };
        return Ok(moved(&args.to, None, Some(&entry), false));
    }
    let looked = unless_cancelled(cancel, async {
        let found = place.release(args.release.as_deref()).await?;
        let from = channel.current().await?.map(|(_, entry)| entry.release);
        Ok((found, from))
    });
    let ((digest, release), from) = looked.await?;
    let open: Vec<&String> = declared
        .gates
        .iter()
        .map(|gate| &gate.name)
        .filter(|gate| !args.waive.contains(gate))
        .collect();
    if let Some(gate) = open.first() {
        return Err(Failure::new(
            Exit::Gate,
            format!("channel `{}` wants gate `{gate}`, and nothing has proven it", args.to),
        )
        .help(format!(
            "this version runs no tests and checks yet; look yourself, then say --waive {gate} --reason TEXT"
        )));
    }
    if let Some(other) = &declared.from {
        let at = place
            .channel(other)
            .current()
            .await?
            .map(|(_, entry)| entry.release);
        if at.as_deref() != Some(digest.as_str()) {
            return Err(Failure::new(
                Exit::Gate,
                format!(
                    "channel `{}` takes from `{other}`, which is not at this release",
                    args.to
                ),
            )
            .help(format!("promote it to `{other}` first")));
        }
    }
    let targets = place.targets(declared, &release)?;
    let order = Order {
        waived: args.waive.clone(),
        ..order(Kind::Promote, &digest, &release.commit, &args.moving)
    };
    let entry = channel.go(&targets, &order).await?;
    Ok(moved(
        &args.to,
        from.as_deref(),
        entry.as_ref(),
        args.moving.dry_run,
    ))
}

pub async fn revert(
    global: &Global,
    args: &RevertArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let place = Place::open(global, events)?;
    place.declared(&args.channel)?;
    let channel = place.channel(&args.channel);
    let looked = unless_cancelled(cancel, async {
        let wanted = match &args.to {
            Some(name) => Some(place.release(Some(name)).await?.0),
            None => None,
        };
        let from = channel.current().await?.map(|(_, entry)| entry.release);
        let before = channel.before(wanted.as_ref()).await?;
        Ok((before, from))
    });
    let (before, from) = looked.await?;
    let release = Digest::parse(&before.release)
        .map_err(|error| Failure::new(Exit::Surroundings, error.to_string()))?;
    let order = order(Kind::Revert, &release, &before.commit, &args.moving);
    let entry = channel.go(&targets(&before)?, &order).await?;
    Ok(moved(
        &args.channel,
        from.as_deref(),
        entry.as_ref(),
        args.moving.dry_run,
    ))
}

fn short(digest: &str) -> String {
    digest
        .strip_prefix("sha256:")
        .unwrap_or(digest)
        .chars()
        .take(12)
        .collect()
}

/// What a move did or would do.
fn moved(channel: &str, from: Option<&str>, entry: Option<&Entry>, dry_run: bool) -> Answer {
    let Some(entry) = entry else {
        let text = format!("channel {channel} is there already\n");
        let json = json!({
            "channel": channel, "from": from, "to": from, "moved": [], "dry_run": dry_run,
        });
        return Answer::new(Exit::Done, json, text);
    };
    let changed: Vec<_> = entry
        .images
        .iter()
        .filter(|step| step.old.as_ref() != Some(&step.new))
        .collect();
    let rows: Vec<Vec<String>> = changed
        .iter()
        .map(|step| {
            vec![
                step.label.clone(),
                format!("{}:{}", step.repository, step.tag),
                step.old
                    .as_deref()
                    .map(short)
                    .unwrap_or_else(|| "new".to_owned()),
                short(&step.new),
            ]
        })
        .collect();
    let done = match (entry.kind, dry_run) {
        (_, true) => "would be",
        (Kind::Abort, false) => "stays",
        (_, false) => "is",
    };
    let at = match entry.kind {
        Kind::Abort => "where it was".to_owned(),
        _ => format!(
            "at release {} (commit {})",
            short(&entry.release),
            short(&entry.commit)
        ),
    };
    let mut text = table::plain(&["IMAGE", "TAG", "FROM", "TO"], &rows);
    text.push_str(&format!(
        "\nchannel {channel} {done} {at}, number {}\n",
        entry.seq
    ));
    let json = json!({
        "channel": channel,
        "seq": entry.seq,
        "release": entry.release,
        "from": from,
        "to": entry.release,
        "moved": changed.iter().map(|step| json!({
            "repository": step.repository, "tag": step.tag, "old": step.old, "new": step.new,
        })).collect::<Vec<_>>(),
        "unchanged": entry.images.len() - changed.len(),
        "dry_run": dry_run,
    });
    Answer::new(Exit::Done, json, text)
}

fn drift_json(drift: &Drift) -> Value {
    json!({
        "repository": drift.repository, "tag": drift.tag,
        "expected": drift.expected, "found": drift.found,
    })
}

pub async fn status(
    global: &Global,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let place = Place::open(global, events)?;
    unless_cancelled(cancel, async {
        let mut text = String::new();
        let mut list = Vec::new();
        let mut differs = false;
        for declared in &place.context.stack.channels {
            let name = declared.name.as_str();
            let channel = place.channel(name);
            let ledger = channel.look().await?;
            let Some((_, entry)) = ledger.current else {
                text.push_str(&format!("{name}: never promoted to\n"));
                list.push(json!({ "channel": name, "release": null, "drift": [] }));
                continue;
            };
            let drift = channel.drift(&entry).await?;
            differs |= !drift.is_empty() || ledger.open.is_some();
            text.push_str(&format!(
                "{name}: release {} (commit {}), number {}, since {} by {}\n",
                short(&entry.release),
                short(&entry.commit),
                entry.seq,
                entry.time,
                entry.actor
            ));
            for one in &drift {
                text.push_str(&format!("{one}\n"));
            }
            if let Some((_, open)) = &ledger.open {
                text.push_str(&format!(
                    "  a {} to {} was begun and not ended: promote --to {name} --resume, or --abort\n",
                    open.kind,
                    short(&open.release)
                ));
            }
            list.push(json!({
                "channel": name,
                "release": entry.release,
                "commit": entry.commit,
                "seq": entry.seq,
                "since": entry.time,
                "by": entry.actor,
                "drift": drift.iter().map(drift_json).collect::<Vec<_>>(),
                "pending": ledger.open.map(|(_, entry)| entry.release),
            }));
        }
        let exit = match differs {
            true => Exit::Difference,
            false => Exit::Done,
        };
        Ok(Answer::new(exit, json!({ "channels": list }), text))
    })
    .await
}

pub async fn history(
    global: &Global,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let place = Place::open(global, events)?;
    unless_cancelled(cancel, async {
        let releases = release::releases(&place.registry, &place.staging).await?;
        let mut at: BTreeMap<String, Vec<(String, u64)>> = BTreeMap::new();
        let mut moves = Vec::new();
        for declared in &place.context.stack.channels {
            let entries = place.channel(&declared.name).history().await?;
            if let Some((_, entry)) = entries.first() {
                at.entry(entry.release.clone())
                    .or_default()
                    .push((declared.name.clone(), entry.seq));
            }
            moves.extend(entries.into_iter().map(|(_, entry)| entry));
        }
        moves.sort_by(|a, b| b.time.cmp(&a.time));
        let mut rows = Vec::new();
        let mut list = Vec::new();
        for (digest, release) in &releases {
            let channels = at.get(digest.as_str()).cloned().unwrap_or_default();
            let names: Vec<String> = channels.iter().map(|(name, _)| name.clone()).collect();
            rows.push(vec![
                short(digest.as_str()),
                short(&release.commit),
                release.time.clone(),
                release.images.len().to_string(),
                names.join(" "),
            ]);
            list.push(json!({
                "release": digest.as_str(),
                "commit": release.commit,
                "time": release.time,
                "seq": channels.iter().map(|(_, seq)| seq).max(),
                "channels": names,
                "images": release.images.iter().map(|image| json!({
                    "image": image.image, "variant": image.variant, "digest": image.digest,
                    "base": image.base, "base_digest": image.base_digest, "key": image.key,
                    "verdicts": [],
                })).collect::<Vec<_>>(),
            }));
        }
        let mut text = table::plain(&["RELEASE", "COMMIT", "TIME", "IMAGES", "CHANNELS"], &rows);
        if !moves.is_empty() {
            let rows: Vec<Vec<String>> = moves
                .iter()
                .map(|entry| {
                    vec![
                        entry.time.clone(),
                        entry.channel.clone(),
                        entry.seq.to_string(),
                        entry.kind.to_string(),
                        short(&entry.release),
                        entry.actor.clone(),
                        entry.reason.clone().unwrap_or_default(),
                    ]
                })
                .collect();
            text.push('\n');
            text.push_str(&table::plain(
                &[
                    "TIME", "CHANNEL", "NUMBER", "WHAT", "RELEASE", "BY", "REASON",
                ],
                &rows,
            ));
        }
        Ok(Answer::new(
            Exit::Done,
            json!({ "releases": list, "moves": moves }),
            text,
        ))
    })
    .await
}
