//! `laminate adopt`.

use camino::Utf8Path;
use serde_json::{Value, json};

use super::args::{AdoptArgs, Global};
use super::channel::check_variants;
use super::interrupt::{tagging, unless_interrupted};
use super::workspace::Workspace;
use super::{Answer, Exit, Failure};
use crate::event::Events;
use crate::interrupt::Interrupt;
use crate::name::Digest;
use crate::record::LedgerEntry;
use crate::release::adopt::{Adopted, Adopter, Adoption, Standing, Wanted, from_list, from_tags};
use crate::release::refs::Writes;
use crate::source::Sources;
use crate::stack::{Channel, Stack};
use crate::table;

/// Runs `laminate adopt`.
pub async fn run(
    global: &Global,
    args: &AdoptArgs,
    events: &Events,
    interrupt: &Interrupt,
) -> Result<Answer, Failure> {
    check_variants(global)?;
    let workspace = Workspace::open_to_move(global, events, interrupt).await?;
    let stack = &workspace.context.stack;
    if !args.dry_run {
        let caller = workspace.context.caller().await;
        caller.check(stack.refs(), Writes::Promote)?;
    }
    let channel = workspace.declared(&args.channel)?;
    let wanted = match &args.file {
        Some(file) => read(stack, channel, file)?,
        None => from_tags(stack, channel),
    };
    let adopter = Adopter {
        stack,
        staging: &workspace.staging,
        channel,
        is_partial: args.partial,
        actor: workspace.context.actor().await,
        time: jiff::Timestamp::now(),
        reason: args.reason.clone(),
    };
    let check = async { Ok(adopter.check(wanted).await?) };
    let adoption = unless_interrupted(interrupt, check).await?;
    let shown = Shown::new(&adoption, args);
    if args.dry_run || adoption.standing == Standing::Done {
        return Ok(shown.answer(None, None));
    }
    let keep = async { Ok(adoption.keep(events).await?) };
    let release = unless_interrupted(interrupt, keep).await?;
    let record = async { Ok(adoption.record(&release).await?) };
    let entry = tagging(interrupt, &args.channel, record).await?;
    Ok(shown.answer(Some(&release), Some(&entry)))
}

/// Reads a list; `-` is stdin.
fn read(stack: &Stack, channel: &Channel, file: &Utf8Path) -> Result<Vec<Wanted>, Failure> {
    let (text, name) = match file.as_str() {
        "-" => (std::io::read_to_string(std::io::stdin()), "stdin"),
        name => (fs_err::read_to_string(file), name),
    };
    let text = text.map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    let mut sources = Sources::default();
    let source = sources.add(name, text);
    from_list(stack, channel, &sources, source)
        .map_err(|problems| Failure::in_file(name, sources, problems))
}

/// What is shown of an adoption.
struct Shown<'a> {
    args: &'a AdoptArgs,
    standing: Standing,
    rows: Vec<Vec<String>>,
    images: Vec<Value>,
    missing: Vec<String>,
}

impl<'a> Shown<'a> {
    fn new(adoption: &Adoption<'_>, args: &'a AdoptArgs) -> Self {
        Self {
            args,
            standing: adoption.standing,
            rows: adoption.images.iter().map(row).collect(),
            images: adoption.images.iter().map(image_json).collect(),
            missing: adoption.missing.clone(),
        }
    }

    /// Returns the answer; without an entry, nothing was written.
    fn answer(self, release: Option<&Digest>, entry: Option<&LedgerEntry>) -> Answer {
        let (channel, dry_run) = (&self.args.channel, self.args.dry_run);
        let count = match self.images.len() {
            1 => "1 image".to_owned(),
            count => format!("{count} images"),
        };
        let mut text = table::plain(&["IMAGE", "TAG", "DIGEST", "FROM"], &self.rows);
        text.push('\n');
        text.push_str(&match (release, entry, self.standing) {
            (Some(release), Some(entry), _) => format!(
                "channel {channel} is at release {} (adopted), move {}\n",
                release.short(),
                entry.seq
            ),
            (_, _, Standing::Done) => format!("channel {channel} is adopted already\n"),
            _ => format!("channel {channel} would be adopted with {count}; nothing was written\n"),
        });
        for label in &self.missing {
            text.push_str(&format!(
                "  {label} is left out: a revert does not move its tag\n"
            ));
        }
        let json = json!({
            "channel": channel,
            "seq": entry.map(|entry| entry.seq),
            "release": release,
            "adopted": entry.is_some(),
            "images": self.images,
            "missing": self.missing,
            "dry_run": dry_run,
        });
        Answer::new(Exit::Done, json, text)
    }
}

fn row(adopted: &Adopted) -> Vec<String> {
    let wanted = &adopted.wanted;
    let mut from = wanted.from.to_string();
    if !adopted.is_placed {
        from.push_str(", copied");
    }
    let mut tag = format!("{}:{}", wanted.repository, wanted.tag);
    if !adopted.is_tagged {
        tag.push_str(" (new)");
    }
    let digest = adopted.manifest.digest.short().to_owned();
    vec![wanted.label.clone(), tag, digest, from]
}

fn image_json(adopted: &Adopted) -> Value {
    let wanted = &adopted.wanted;
    json!({
        "image": wanted.image,
        "variant": wanted.variant,
        "repository": wanted.repository,
        "tag": wanted.tag,
        "digest": adopted.manifest.digest,
        "from": wanted.from,
        "kept_as": adopted.kept_as(),
        "copied": !adopted.is_placed,
        "created": !adopted.is_tagged,
    })
}
