//! `laminate promote` and `revert`.

use serde_json::{Value, json};

use super::args::{Global, MovingArgs, PromoteArgs, RevertArgs};
use super::interrupt::{tagging, unless_cancelled, unless_interrupted};
use super::workspace::Workspace;
use super::{Answer, Exit, Failure};
use crate::event::{Event, Events};
use crate::interrupt::Interrupt;
use crate::name::{Commit, Digest};
use crate::record::{Drift, LedgerEntry, MoveKind, StoredRelease, TagMove, origin};
use crate::release::gates::{GateState, Source};
use crate::release::refs::Writes;
use crate::release::{self, Order, Promoter, Refusal, Turn, targets};
use crate::stack;
use crate::table;

fn order(
    kind: MoveKind,
    release: &Digest,
    commit: Option<&Commit>,
    moving: &MovingArgs,
    actor: String,
) -> Order {
    Order {
        kind,
        release: release.clone(),
        commit: commit.cloned(),
        actor,
        time: jiff::Timestamp::now(),
        reason: moving.reason.clone(),
        waived: Vec::new(),
        required: Vec::new(),
        accept_drift: moving.accept_drift,
        dry_run: moving.dry_run,
    }
}

/// Checks that no variants are selected: a channel moves as a whole.
pub(super) fn check_variants(global: &Global) -> Result<(), Failure> {
    if global.variants.is_empty() {
        return Ok(());
    }
    Err(
        Failure::new(Exit::Usage, "`--variant` cannot be used to move a channel")
            .help("leave it out: a channel moves with all its variants"),
    )
}

/// Runs `laminate promote`.
pub async fn promote(
    global: &Global,
    args: &PromoteArgs,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    check_variants(global)?;
    let workspace = Workspace::open_to_move(global, events, interrupt).await?;
    if !args.moving.dry_run {
        let caller = workspace.context.caller().await;
        caller.check(workspace.context.stack.refs(), Writes::Promote)?;
    }
    let Some(to) = &args.to else {
        return promote_all(&workspace, args, events, interrupt).await;
    };
    let declared = workspace.declared(to)?;
    let channel = workspace.channel(to);
    if args.resume || args.abort {
        let accept_drift = args.moving.accept_drift;
        let ending = async {
            Ok(if args.resume {
                channel.resume(accept_drift).await?
            } else {
                channel.abort(accept_drift).await?
            })
        };
        let entry = tagging(interrupt, to, ending).await?;
        return Ok(moved(to, None, Some(&entry), &[], false));
    }
    let release = workspace.release(args.release.as_deref());
    let release = unless_cancelled(interrupt.cancel(), release).await?;
    let promoter = promoter(&workspace, args, &release).await;
    promote_one(&promoter, declared, interrupt).await
}

/// Promotes to every channel with `auto: true`. One that is refused stops only those that take from it.
async fn promote_all(
    workspace: &Workspace,
    args: &PromoteArgs,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    release::check_waived(&workspace.context.stack, &args.waive, &args.require)?;
    let release = workspace.release(args.release.as_deref());
    let release = unless_cancelled(interrupt.cancel(), release).await?;
    let promoter = promoter(workspace, args, &release).await;
    let mut outcome = Outcome::default();
    let mut moved: Vec<&str> = Vec::new();
    for channel in release::auto_order(workspace.context.stack.channels()) {
        let name = channel.name.as_str();
        if !outcome.may_go_on() {
            outcome.wait(name, "it was not tried any more");
            continue;
        }
        let turn = async {
            Ok(promoter
                .turn(channel, &moved, &workspace.context.folder)
                .await?)
        };
        // A move that ended before is in the answer.
        match unless_interrupted(interrupt, turn).await {
            Ok(Turn::AtNewer(commit)) => {
                let text = format!("is at a newer release already ({})", commit.short());
                events.send(Event::Note {
                    text: format!("channel {name} {text}"),
                });
                outcome.skip(name, &text);
            }
            Ok(Turn::Waits { from }) => {
                let text = format!("it takes releases from `{from}`, which is not at this one");
                outcome.wait(name, &text);
            }
            Ok(Turn::Due) => match promote_one(&promoter, channel, interrupt).await {
                Ok(answer) => {
                    moved.push(name);
                    outcome.add(answer);
                }
                Err(failure) => outcome.refuse(name, &failure),
            },
            Err(failure) => outcome.refuse(name, &failure),
        }
    }
    Ok(outcome.answer())
}

/// What became of all channels.
struct Outcome {
    exit: Exit,
    text: String,
    messages: String,
    channels: Vec<Value>,
    refused: Vec<Value>,
    skipped: Vec<Value>,
}

impl Default for Outcome {
    fn default() -> Self {
        Self {
            exit: Exit::Done,
            text: String::new(),
            messages: String::new(),
            channels: Vec::new(),
            refused: Vec::new(),
            skipped: Vec::new(),
        }
    }
}

impl Outcome {
    /// Whether further channels are tried: a problem with the environment is one for all of them.
    fn may_go_on(&self) -> bool {
        matches!(self.exit, Exit::Done | Exit::Gate | Exit::Publish)
    }

    fn add(&mut self, answer: Answer) {
        self.text.push_str(&answer.text);
        self.channels.push(answer.json);
    }

    fn skip(&mut self, channel: &str, text: &str) {
        let skipped = json!({ "channel": channel, "text": text });
        self.skipped.push(skipped);
    }

    fn wait(&mut self, channel: &str, text: &str) {
        let line = format!("channel {channel} is not moved: {text}\n");
        self.messages.push_str(&line);
        self.skip(channel, text);
    }

    fn refuse(&mut self, channel: &str, failure: &Failure) {
        // A gate that is not proven is the mildest.
        if matches!(self.exit, Exit::Done | Exit::Gate) {
            self.exit = failure.exit;
        }
        self.messages.push_str(&failure.shown(false));
        let json = failure.json();
        self.refused.push(json!({
            "channel": channel, "exit": json["exit"], "text": json["text"], "help": json["help"],
        }));
    }

    fn answer(mut self) -> Answer {
        if self.channels.is_empty() && self.refused.is_empty() {
            self.text.push_str("no channel to move\n");
        }
        let json = json!({
            "channels": self.channels, "refused": self.refused, "skipped": self.skipped,
        });
        Answer {
            said: self.messages,
            ..Answer::new(self.exit, json, self.text)
        }
    }
}

async fn promoter<'a>(
    workspace: &'a Workspace,
    args: &PromoteArgs,
    StoredRelease { digest, release }: &'a StoredRelease,
) -> Promoter<'a> {
    Promoter {
        stack: &workspace.context.stack,
        staging: &workspace.staging,
        release,
        order: order(
            MoveKind::Promote,
            digest,
            release.commit.as_ref(),
            &args.moving,
            workspace.context.actor().await,
        ),
        waive: args.waive.clone(),
        require: args.require.clone(),
        is_auto: args.auto,
    }
}

/// Checks a promotion, which may be interrupted, and carries it out, which may not.
async fn promote_one(
    promoter: &Promoter<'_>,
    channel: &stack::Channel,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    let check = async { Ok(promoter.check(channel).await?) };
    let promotion = unless_interrupted(interrupt, check).await?;
    let moving = async { Ok(promotion.carry_out().await?) };
    let promoted = tagging(interrupt, &channel.name, moving).await?;
    Ok(moved(
        &channel.name,
        promoted.before.as_ref(),
        promoted.entry.as_ref(),
        &promoted.numbered,
        promoter.order.dry_run,
    ))
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::UnknownGate { .. }
            | Refusal::UnknownAutoGate { .. }
            | Refusal::NoImage { .. } => Self::new(Exit::Usage, text),
            Refusal::Incomplete { .. } => Self::new(Exit::Publish, text).help(
                "publish all images of the commit with `laminate build --push`; for an older release, check out its commit first",
            ),
            Refusal::Gates { gates, .. } => {
                let failure = Self::new(Exit::Gate, text);
                match gates.first() {
                    Some(gate) => failure.help(gate_help(gate)),
                    None => failure,
                }
            }
            Refusal::NotAtSource { from, .. } => {
                Self::new(Exit::Gate, text).help(format!("promote it to `{from}` first"))
            }
            Refusal::Template(_) => Self::new(Exit::Spec, text),
            Refusal::Release(error) => error.into(),
        }
    }
}

/// Returns how to prove a gate.
fn gate_help(state: &GateState) -> String {
    let gate = &state.name;
    match (state.source, state.open.first()) {
        (Source::Evidence, Some(image)) => format!(
            "add evidence with `laminate evidence add --gate {gate} {image} --passed`, or pass --waive {gate} --reason TEXT"
        ),
        _ => format!("run `laminate test`, or pass --waive {gate} --reason TEXT"),
    }
}

/// Runs `laminate revert`.
pub async fn revert(
    global: &Global,
    args: &RevertArgs,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    check_variants(global)?;
    let workspace = Workspace::open_to_move(global, events, interrupt).await?;
    if !args.moving.dry_run {
        let caller = workspace.context.caller().await;
        caller.check(workspace.context.stack.refs(), Writes::Promote)?;
    }
    workspace.declared(&args.channel)?;
    let channel = workspace.channel(&args.channel);
    let looked = unless_cancelled(interrupt.cancel(), async {
        let wanted = async {
            Ok(match &args.to {
                Some(name) => Some(workspace.release(Some(name)).await?.digest),
                None => None,
            })
        };
        let ledger = async { Ok::<_, Failure>(channel.look().await?) };
        let (wanted, ledger) = tokio::try_join!(wanted, ledger)?;
        let before = channel.revert_target(&ledger, wanted.as_ref()).await?;
        Ok((before, ledger))
    });
    let (before, ledger) = looked.await?;
    let current = ledger.current.as_ref();
    let current = current.map(|(_, entry)| entry.clone());
    let order = order(
        MoveKind::Revert,
        &before.release,
        before.commit.as_ref(),
        &args.moving,
        workspace.context.actor().await,
    );
    let targets = targets(&before);
    let moving = async { Ok(channel.move_from(ledger, &targets, &order).await?) };
    let entry = tagging(interrupt, &args.channel, moving).await?;
    Ok(moved(
        &args.channel,
        current.as_ref(),
        entry.as_ref(),
        &[],
        args.moving.dry_run,
    ))
}

/// Returns the answer of a move: what it did or would do.
fn moved(
    channel: &str,
    before: Option<&LedgerEntry>,
    entry: Option<&LedgerEntry>,
    numbered: &[String],
    dry_run: bool,
) -> Answer {
    let from = before.map(|entry| &entry.release);
    let Some(entry) = entry else {
        let text = format!("channel {channel} is at this release already\n");
        let json = json!({
            "channel": channel, "from": from, "to": from, "moved": [], "numbered": numbered,
            "left": [], "dry_run": dry_run,
        });
        return Answer::new(Exit::Done, json, text);
    };
    let left = before.map_or_else(Vec::new, |before| entry.left_of(before));
    let steps = entry.images.iter();
    let changed: Vec<&TagMove> = steps.filter(|step| step.is_change()).collect();
    let rows: Vec<Vec<String>> = changed
        .iter()
        .map(|step| {
            let old = step.old.as_ref().map(Digest::short);
            let (from, to) = match entry.kind {
                // The entry has what was to be moved.
                MoveKind::Abort => (step.new.short(), old.unwrap_or("removed")),
                _ => (old.unwrap_or("new"), step.new.short()),
            };
            let place = format!("{}:{}", step.repository, step.tag);
            vec![step.label.clone(), place, from.to_owned(), to.to_owned()]
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
            "at release {} ({})",
            entry.release.short(),
            origin(entry.commit.as_ref())
        ),
    };
    let mut text = table::plain(&["IMAGE", "TAG", "FROM", "TO"], &rows);
    if rows.is_empty() {
        let verb = if dry_run { "would have" } else { "had" };
        text = format!("no tag {verb} to move: the images are the same\n");
    }
    for name in numbered {
        text.push_str(&format!("{name}\n"));
    }
    text.push_str(&format!(
        "\nchannel {channel} {done} {at}, move {}\n",
        entry.seq
    ));
    for exception in entry.exceptions() {
        text.push_str(&format!("  {exception}\n"));
    }
    for step in &left {
        let (repository, tag, at) = (&step.repository, &step.tag, step.new.short());
        text.push_str(&format!(
            "  {repository}:{tag} stays at {at}: this release has no image for it\n"
        ));
    }
    if !dry_run {
        text.push_str(&way_back(channel, before, entry));
    }
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
        "left": left.iter().map(|step| json!({
            "repository": step.repository, "tag": step.tag, "at": step.new,
        })).collect::<Vec<_>>(),
        "waived": entry.waived,
        "accepted_drift": entry.drift.iter().map(drift_json).collect::<Vec<_>>(),
        "dry_run": dry_run,
    });
    Answer::new(Exit::Done, json, text)
}

/// Returns how a move is undone, a line; nothing for the first one, before which there was no release.
fn way_back(channel: &str, before: Option<&LedgerEntry>, entry: &LedgerEntry) -> String {
    let is_other = |before: &&LedgerEntry| before.release != entry.release;
    let Some(before) = before
        .filter(is_other)
        .filter(|_| entry.kind != MoveKind::Abort)
    else {
        return String::new();
    };
    let (earlier, commit) = (before.release.short(), origin(before.commit.as_ref()));
    format!("`laminate revert {channel}` undoes this: back to release {earlier} ({commit})\n")
}

/// Returns a tag that someone else moved, for programs.
pub(super) fn drift_json(drift: &Drift) -> Value {
    json!({
        "repository": drift.repository, "tag": drift.tag,
        "expected": drift.expected, "found": drift.found,
    })
}
