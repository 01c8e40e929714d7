//! `laminate promote`, `revert` and `status`.

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, MovingArgs, PromoteArgs, RevertArgs};
use super::context::actor;
use super::interrupt::unless_cancelled;
use super::place::Place;
use super::{Answer, Exit, Failure, evidence};
use crate::event::{Event, Events};
use crate::name::{Commit, Digest};
use crate::record::{Drift, LedgerEntry, MoveKind, Release, TagMove};
use crate::release::gates::{GateState, Source};
use crate::release::refs::Writes;
use crate::release::{self, Order, Target, targets};
use crate::report::table;
use crate::stack;

fn order(kind: MoveKind, release: &Digest, commit: &Commit, moving: &MovingArgs) -> Order {
    Order {
        kind,
        release: release.clone(),
        commit: commit.clone(),
        actor: actor(),
        time: jiff::Timestamp::now(),
        reason: moving.reason.clone(),
        waived: Vec::new(),
        required: Vec::new(),
        accept_drift: moving.accept_drift,
        dry_run: moving.dry_run,
    }
}

pub async fn promote(
    global: &Global,
    args: &PromoteArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let place = Place::open(global, events)?;
    if !args.moving.dry_run {
        let caller = place.context.caller().await;
        caller.check(&place.context.stack.refs, Writes::Promote)?;
    }
    let Some(to) = &args.to else {
        return automatically(&place, args, events, cancel).await;
    };
    let declared = place.declared(to)?;
    let channel = place.channel(to);
    if args.resume || args.abort {
        let entry = match args.resume {
            true => channel.resume(args.moving.accept_drift).await?,
            false => channel.abort(args.moving.accept_drift).await?,
        };
        return Ok(moved(to, None, Some(&entry), &[], false));
    }
    let looked = place.release(args.release.as_deref());
    let (digest, release) = unless_cancelled(cancel, looked).await?;
    one(&place, args, (&digest, &release), declared, cancel).await
}

/// What became of a channel that follows by itself.
enum Turn {
    Moved(Answer),
    /// It stays, and that is right.
    Left(String),
    /// It waits for the one it takes from.
    Waits(String),
}

/// Every channel that follows by itself. One that is refused stops only those that take from it.
async fn automatically(
    place: &Place,
    args: &PromoteArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let order = order_of(&place.context.stack.channels);
    let has = |gate: &String| {
        let gates = order.iter().flat_map(|channel| &channel.gates);
        gates.into_iter().any(|known| known.name == *gate) || args.require.contains(gate)
    };
    if let Some(gate) = args.waive.iter().find(|gate| !has(gate)) {
        return Err(Failure::new(
            Exit::Usage,
            format!("no channel with `auto: true` has a gate `{gate}` to waive"),
        ));
    }
    let looked = place.release(args.release.as_deref());
    let (digest, release) = unless_cancelled(cancel, looked).await?;
    let (mut text, mut said) = (String::new(), String::new());
    let (mut list, mut refused, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    let mut exit = Exit::Done;
    let mut moved: Vec<&str> = Vec::new();
    for declared in order {
        let name = declared.name.as_str();
        let turn = match exit {
            Exit::Done | Exit::Gate | Exit::Publish => {
                turn(place, args, (&digest, &release), &moved, declared, cancel).await
            }
            // What is wrong there is wrong for all.
            _ => Ok(Turn::Waits("it was not tried any more".to_owned())),
        };
        match turn {
            Ok(Turn::Moved(answer)) => {
                moved.push(name);
                text.push_str(&answer.text);
                list.push(answer.json);
            }
            Ok(Turn::Left(why)) => {
                events.send(Event::Note {
                    text: format!("channel {name} {why}"),
                });
                skipped.push(json!({ "channel": name, "text": why }));
            }
            Ok(Turn::Waits(why)) => {
                said.push_str(&format!("channel {name} is not moved: {why}\n"));
                skipped.push(json!({ "channel": name, "text": why }));
            }
            Err(failure) => {
                // A gate that is not green is the mildest.
                if exit == Exit::Done || exit == Exit::Gate {
                    exit = failure.exit;
                }
                said.push_str(&failure.shown(false));
                let json = failure.json();
                refused.push(json!({
                    "channel": name, "exit": json["exit"], "text": json["text"], "help": json["help"],
                }));
            }
        }
    }
    if list.is_empty() && refused.is_empty() {
        text.push_str("no channel is to be moved by itself\n");
    }
    let json = json!({ "channels": list, "refused": refused, "skipped": skipped });
    Ok(Answer {
        said,
        ..Answer::new(exit, json, text)
    })
}

/// Moves a channel if it is its turn; `moved` are those before it that are at the release now.
async fn turn(
    place: &Place,
    args: &PromoteArgs,
    (digest, release): (&Digest, &Release),
    moved: &[&str],
    declared: &stack::Channel,
    cancel: &CancellationToken,
) -> Result<Turn, Failure> {
    let current = async |name: &str| Ok(place.channel(name).current().await?);
    if let Some((_, entry)) = unless_cancelled(cancel, current(&declared.name)).await?
        && entry.release != *digest
    {
        // A release that was cleaned away does not count as newer.
        let at = async { Ok(place.staging.release(&entry.release).await?) };
        if let Some((_, at)) = unless_cancelled(cancel, at).await?
            && place.is_newer(&at, release).await
        {
            return Ok(Turn::Left(format!(
                "is at a newer release already ({})",
                at.commit.short()
            )));
        }
    }
    if let Some(other) = &declared.from
        && !moved.contains(&other.as_str())
        && (unless_cancelled(cancel, current(other)).await?)
            .is_none_or(|(_, entry)| entry.release != *digest)
    {
        return Ok(Turn::Waits(format!(
            "it takes from `{other}`, which is not at this release"
        )));
    }
    Ok(Turn::Moved(
        one(place, args, (digest, release), declared, cancel).await?,
    ))
}

/// Channels with `auto: true`, each behind the one it takes from.
fn order_of(all: &[stack::Channel]) -> Vec<&stack::Channel> {
    let mut list: Vec<&stack::Channel> = Vec::new();
    let mut open: Vec<&stack::Channel> = all.iter().filter(|channel| channel.auto).collect();
    while !open.is_empty() {
        let waits = |channel: &stack::Channel| {
            open.iter()
                .any(|other| channel.from.as_ref() == Some(&other.name))
        };
        let (later, now): (Vec<_>, Vec<_>) = open.iter().copied().partition(|c| waits(c));
        // Channels that take from each other have no order.
        let stuck = now.is_empty();
        list.extend(if stuck { &later } else { &now });
        open = if stuck { Vec::new() } else { later };
    }
    list
}

async fn one(
    place: &Place,
    args: &PromoteArgs,
    (digest, release): (&Digest, &Release),
    declared: &stack::Channel,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let name = declared.name.as_str();
    let channel = place.channel(name);
    let required = args.require.iter().map(|name| stack::Gate {
        name: name.clone(),
        images: None,
    });
    let required: Vec<stack::Gate> = required.collect();
    let looked = unless_cancelled(cancel, async {
        let current = async { Ok(channel.current().await?) };
        let states = evidence::states(place, declared, release, &required);
        let (current, states) = tokio::try_join!(current, states)?;
        let from = current.map(|(_, entry)| entry.release);
        Ok((from, states))
    });
    let (from, states) = looked.await?;
    // With --auto another channel may have the gate.
    let waive = args.waive.iter().filter(|gate| {
        let has = states.iter().any(|state| state.name == **gate);
        has || !args.auto
    });
    let waive: Vec<String> = waive.cloned().collect();
    gates_are_proven(name, &states, &waive)?;
    if let Some(other) = &declared.from {
        let at = place
            .channel(other)
            .current()
            .await?
            .map(|(_, entry)| entry.release);
        // A dry run of several channels moves none of them.
        let will = args.auto && args.moving.dry_run && place.declared(other)?.auto;
        if at.as_ref() != Some(digest) && !will {
            return Err(Failure::new(
                Exit::Gate,
                format!("channel `{name}` takes from `{other}`, which is not at this release"),
            )
            .help(format!("promote it to `{other}` first")));
        }
    }
    let targets = place.targets(declared, release)?;
    // Only what was open is waived.
    let waived = states.iter().filter(|state| !state.is_proven());
    let order = Order {
        waived: waived.map(|state| state.name.clone()).collect(),
        required: args.require.clone(),
        ..order(MoveKind::Promote, digest, &release.commit, &args.moving)
    };
    let wanted = numbered_tags(place, &targets);
    if !wanted.is_empty() && !args.moving.dry_run {
        // A number is for good, so it is given when nothing stands against the move.
        let dry = Order {
            dry_run: true,
            ..order.clone()
        };
        channel.move_to(&targets, &dry).await?;
    }
    let numbered = number(place, &wanted, digest, release, args.moving.dry_run).await?;
    let entry = channel.move_to(&targets, &order).await?;
    Ok(moved(
        name,
        from.as_ref(),
        entry.as_ref(),
        &numbered,
        args.moving.dry_run,
    ))
}

/// Refuses a move a gate stands against, and says what would prove it.
fn gates_are_proven(channel: &str, states: &[GateState], waive: &[String]) -> Result<(), Failure> {
    if let Some(name) = waive
        .iter()
        .find(|name| states.iter().all(|s| s.name != **name))
    {
        return Err(Failure::new(
            Exit::Usage,
            format!("channel `{channel}` has no gate `{name}` to waive"),
        ));
    }
    let against: Vec<&GateState> = states
        .iter()
        .filter(|state| !state.is_proven() && !waive.contains(&state.name))
        .collect();
    let Some(first) = against.first() else {
        return Ok(());
    };
    let lines: Vec<String> = against
        .iter()
        .map(|state| {
            let mut parts = Vec::new();
            if !state.failed.is_empty() {
                parts.push(format!("is red for {}", state.failed.join(", ")));
            }
            if !state.open.is_empty() {
                parts.push(format!("is not proven for {}", state.open.join(", ")));
            }
            if parts.is_empty() {
                parts.push("says nothing about any image".to_owned());
            }
            format!("gate `{}` {}", state.name, parts.join(" and "))
        })
        .collect();
    let gate = &first.name;
    let help = match first.open.first() {
        Some(image) if first.source == Source::Evidence => format!(
            "`laminate evidence add --gate {gate} {image} --passed` proves it; or --waive {gate} --reason TEXT"
        ),
        _ => {
            format!("`laminate test` runs suites and checks; or --waive {gate} --reason TEXT")
        }
    };
    Err(Failure::new(
        Exit::Gate,
        format!("channel `{channel}` is not moved: {}", lines.join("; ")),
    )
    .help(help))
}

/// What is to get a version number, by the spec's templates.
fn numbered_tags<'a>(
    place: &'a Place,
    targets: &'a [Target],
) -> Vec<(&'a Target, &'a stack::TagTemplate)> {
    let stack = &place.context.stack;
    let of = |target: &'a Target| {
        let image = stack
            .images
            .iter()
            .find(|image| stack.label_of(image) == target.label);
        let templates = image.into_iter().flat_map(|image| &image.tags);
        templates
            .filter(|template| template.is_numbered())
            .map(move |template| (target, template))
    };
    targets.iter().flat_map(of).collect()
}

/// Puts tags with a version number on what is promoted, where the spec wants such.
async fn number(
    place: &Place,
    wanted: &[(&Target, &stack::TagTemplate)],
    digest: &Digest,
    release: &Release,
    dry_run: bool,
) -> Result<Vec<String>, Failure> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let staging = &place.staging;
    let known = release::number::known(staging, digest).await?;
    let number = match (known, dry_run) {
        (Some(number), _) => number,
        (None, true) => release::number::next(staging).await?,
        (None, false) => release::number::assign(staging, digest).await?,
    };
    let mut named = Vec::new();
    for (target, template) in wanted {
        let tag = template
            .tag(release.commit.as_str(), number)
            .map_err(|error| Failure::new(Exit::Spec, error.to_string()))?;
        if !dry_run {
            let (repository, digest) = (&target.repository, &target.digest);
            release::number::put_tag(&staging.registry, repository, &tag, digest).await?;
        }
        named.push(format!("{}:{tag}", target.repository));
    }
    Ok(named)
}

pub async fn revert(
    global: &Global,
    args: &RevertArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let place = Place::open(global, events)?;
    if !args.moving.dry_run {
        let caller = place.context.caller().await;
        caller.check(&place.context.stack.refs, Writes::Promote)?;
    }
    place.declared(&args.channel)?;
    let channel = place.channel(&args.channel);
    let looked = unless_cancelled(cancel, async {
        let wanted = match &args.to {
            Some(name) => Some(place.release(Some(name)).await?.0),
            None => None,
        };
        let (current, before) =
            tokio::try_join!(channel.current(), channel.revert_target(wanted.as_ref()))?;
        Ok((before, current.map(|(_, entry)| entry.release)))
    });
    let (before, from) = looked.await?;
    let order = order(
        MoveKind::Revert,
        &before.release,
        &before.commit,
        &args.moving,
    );
    let entry = channel.move_to(&targets(&before), &order).await?;
    Ok(moved(
        &args.channel,
        from.as_ref(),
        entry.as_ref(),
        &[],
        args.moving.dry_run,
    ))
}

/// What a move did or would do.
fn moved(
    channel: &str,
    from: Option<&Digest>,
    entry: Option<&LedgerEntry>,
    numbered: &[String],
    dry_run: bool,
) -> Answer {
    let Some(entry) = entry else {
        let text = format!("channel {channel} is there already\n");
        let json = json!({
            "channel": channel, "from": from, "to": from, "moved": [], "numbered": numbered,
            "dry_run": dry_run,
        });
        return Answer::new(Exit::Done, json, text);
    };
    let steps = entry.images.iter();
    let changed: Vec<&TagMove> = steps.filter(|step| step.is_change()).collect();
    let rows: Vec<Vec<String>> = changed
        .iter()
        .map(|step| {
            vec![
                step.label.clone(),
                format!("{}:{}", step.repository, step.tag),
                step.old.as_ref().map_or("new", Digest::short).to_owned(),
                step.new.short().to_owned(),
            ]
        })
        .collect();
    let done = match (entry.kind, dry_run) {
        (_, true) => "would be",
        (MoveKind::Abort, false) => "stays",
        (_, false) => "is",
    };
    let at = match entry.kind {
        MoveKind::Abort => "where it was".to_owned(),
        _ => format!(
            "at release {} (commit {})",
            entry.release.short(),
            entry.commit.short()
        ),
    };
    let mut text = table::plain(&["IMAGE", "TAG", "FROM", "TO"], &rows);
    for name in numbered {
        text.push_str(&format!("{name}\n"));
    }
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
        "numbered": numbered,
        "waived": entry.waived,
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
            let pending = ledger.open.as_ref().map(|(_, open)| {
                format!(
                    "  a {} to {} was begun and not ended: promote --to {name} --resume, or --abort\n",
                    open.kind,
                    open.release.short()
                )
            });
            differs |= pending.is_some();
            let open = ledger.open.map(|(_, open)| open.release);
            let Some((_, entry)) = ledger.current else {
                text.push_str(&format!("{name}: never promoted to\n"));
                text.extend(pending);
                list.push(json!({ "channel": name, "release": null, "drift": [], "pending": open }));
                continue;
            };
            let drift = channel.drift(&entry).await?;
            differs |= !drift.is_empty();
            text.push_str(&format!(
                "{name}: release {} (commit {}), number {}, since {} by {}\n",
                entry.release.short(),
                entry.commit.short(),
                entry.seq,
                entry.time,
                entry.actor
            ));
            for one in &drift {
                text.push_str(&format!("  {one}\n"));
            }
            text.extend(pending);
            list.push(json!({
                "channel": name,
                "release": entry.release,
                "commit": entry.commit,
                "seq": entry.seq,
                "since": entry.time,
                "by": entry.actor,
                "drift": drift.iter().map(drift_json).collect::<Vec<_>>(),
                "pending": open,
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
