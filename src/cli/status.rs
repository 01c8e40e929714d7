//! `laminate status`: where channels are, and what is wrong there.

use futures_util::future::try_join_all;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::args::Global;
use super::channel::drift_json;
use super::interrupt::unless_cancelled;
use super::workspace::Workspace;
use super::{Answer, Exit, Failure};
use crate::event::Events;
use crate::record::origin;
use crate::table;

/// Runs `laminate status`.
pub async fn run(
    global: &Global,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let workspace = Workspace::open(global, events, cancel).await?;
    unless_cancelled(cancel, async {
        let mut text = String::new();
        let mut list = Vec::new();
        let mut differs = false;
        let channels = workspace.context.stack.channels().iter();
        let looks = channels.map(|declared| async {
            let channel = workspace.channel(&declared.name);
            let ledger = channel.look().await?;
            let drift = match &ledger.current {
                Some((_, entry)) => channel.drift(entry).await?,
                None => Vec::new(),
            };
            Ok::<_, Failure>((declared.name.as_str(), ledger, drift))
        });
        for (name, ledger, drift) in try_join_all(looks).await? {
            let pending = ledger.open.as_ref().map(|(_, open)| {
                format!(
                    "  unfinished {} to {}: finish it with `promote --to {name} --resume`, or undo it with `--abort`\n",
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
            differs |= !drift.is_empty();
            text.push_str(&format!(
                "{name}: release {} ({}), move {}, since {} by {}\n",
                entry.release.short(),
                origin(entry.commit.as_ref()),
                entry.seq,
                table::time(entry.time),
                entry.actor
            ));
            text.extend(entry.first_tag().map(|tag| {
                format!("  {tag}; `laminate show {name}` lists the images\n")
            }));
            for exception in entry.exceptions() {
                text.push_str(&format!("  {exception}\n"));
            }
            for drift in &drift {
                text.push_str(&format!("  {drift}\n"));
            }
            text.extend(pending);
            list.push(json!({
                "channel": name,
                "release": entry.release,
                "commit": entry.commit,
                "seq": entry.seq,
                "since": entry.time,
                "by": entry.actor,
                "reason": entry.reason,
                "waived": entry.waived,
                "accepted_drift": entry.drift.iter().map(drift_json).collect::<Vec<_>>(),
                "drift": drift.iter().map(drift_json).collect::<Vec<_>>(),
                "pending": open,
            }));
        }
        if list.is_empty() {
            text.push_str("no channels are declared in specs.yml\n");
        }
        let exit = if differs {
            Exit::Difference
        } else {
            Exit::Done
        };
        Ok(Answer::new(exit, json!({ "channels": list }), text))
    })
    .await
}
