//! `laminate why IMAGE`.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::args::{Global, WhyArgs};
use super::interrupt::unless_cancelled;
use super::records::Records;
use super::{Answer, Exit, Failure, context, plan as plan_command};
use crate::compare;
use crate::event::Events;
use crate::name::{Commit, Digest, Reference};
use crate::plan::reason::short;
use crate::plan::{Action, Planned, Reason, Request};
use crate::record::{Releases, StoredSpec, Turn, origin};
use crate::shown;
use crate::stack::{Base, ExternalImage, ImageId, ImageSource, SCRATCH, Stack};
use crate::staging::Staging;
use crate::table;

/// How many releases are shown without `--all`.
const FEW: usize = 10;

pub async fn run(
    global: &Global,
    args: &WhyArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let context = context::load_to_plan(global).await?;
    let wanted = context
        .select(std::slice::from_ref(&args.image))?
        .unwrap_or_default();
    let registry = context::registry_unless(args.offline, events, cancel)?;
    let (gathered, plan) = context
        .plan(registry.as_ref(), &Request::default(), events, cancel)
        .await?;
    let stack = &context.stack;
    let records = match (registry, stack.staging()) {
        (Some(registry), Some(repository)) => {
            let staging = Staging::new(&registry, repository);
            let reading = Records::read(staging, global, events);
            Some(unless_cancelled(cancel, reading).await?)
        }
        _ => None,
    };
    let mut text = String::new();
    let mut list = Vec::new();
    for id in wanted {
        let planned = &plan.images[id.0];
        let lineage = lineage(stack, &gathered.external, id);
        text.push_str(&action_text(planned));
        text.push_str(&format!("  based on {}\n", lineage.join(" → ")));
        for (verb, images) in [
            ("copies from", stack[id].copied_images()),
            ("mounts", stack[id].mounted_images()),
        ] {
            let images = named(images, &gathered.external);
            if !images.is_empty() {
                text.push_str(&format!("  {verb} {}\n", images.join(", ")));
            }
        }
        text.push_str(&key_text(planned));
        let mut value = plan_command::image(&context, &gathered, planned);
        value["lineage"] = json!(lineage);
        value["components"] = json!(planned.keyed.as_ref().map(|keyed| &keyed.components));
        if let Some(records) = &records {
            let found =
                unless_cancelled(cancel, in_releases(records, args, &planned.label)).await?;
            text.push_str(&found.text());
            value["releases"] = json!(found.list);
        }
        list.push(value);
    }
    Ok(Answer::new(Exit::Done, json!({ "images": list }), text))
}

/// Returns what happens to an image in the next build, and why.
fn action_text(planned: &Planned) -> String {
    let label = &planned.label;
    match &planned.action {
        Action::Build { reasons } => {
            let reasons = reasons
                .iter()
                .map(|reason| format!("  - {}\n", reason.text));
            format!("{label} will be built:\n{}", reasons.collect::<String>())
        }
        Action::Reuse { digest } => {
            let runs = planned.proofs.reasons().into_iter();
            let runs = runs.map(|reason| format!("  to run on it: {reason}\n"));
            format!(
                "{label} is up to date: nothing in its cache key changed\n  digest {digest}\n{}",
                runs.collect::<String>()
            )
        }
        Action::Hold { because } => format!("{label} is skipped: {because}\n"),
    }
}

/// Returns the cache key of an image and its components, if the key is known.
fn key_text(planned: &Planned) -> String {
    let Some(keyed) = &planned.keyed else {
        return String::new();
    };
    let mut text = format!(
        "  key {}\n  components of the key:\n",
        short(keyed.key.as_str())
    );
    for component in &keyed.components {
        let kind = json!(component.kind);
        let kind = kind.as_str().unwrap_or_default();
        let (what, value) = (&component.what, short(&component.value));
        let line = format!("    {kind:<9} {what}  {value}");
        text.push_str(&shown::line(&line));
        text.push('\n');
    }
    text
}

/// Returns what an image is based on, its base first, down to the external base.
fn lineage(stack: &Stack, digests: &BTreeMap<Reference, Digest>, id: ImageId) -> Vec<String> {
    let mut lineage = Vec::new();
    let mut base = &stack[id].base;
    loop {
        match base {
            Base::Image(parent) => {
                lineage.push(stack.label(*parent));
                base = &stack[*parent].base;
            }
            Base::External(external) => {
                lineage.push(pinned(external, digests));
                return lineage;
            }
            Base::Scratch => {
                lineage.push(SCRATCH.to_owned());
                return lineage;
            }
        }
    }
}

/// Returns the names of images that an image copies from or mounts.
fn named(
    sources: BTreeMap<String, &ImageSource>,
    digests: &BTreeMap<Reference, Digest>,
) -> Vec<String> {
    let sources = sources.into_iter();
    let copies = sources.map(|(name, source)| match source {
        ImageSource::InStack(_) => name,
        ImageSource::External(external) => pinned(external, digests),
    });
    copies.collect()
}

/// Returns a reference with the first digits of its digest, if that is known.
fn pinned(external: &ExternalImage, digests: &BTreeMap<Reference, Digest>) -> String {
    let reference = &external.reference.value;
    match digests.get(reference) {
        Some(digest) if reference.digest.is_none() => format!("{reference}@{}", digest.short()),
        _ => reference.to_string(),
    }
}

/// A release that changed the digest of an image, and why.
#[derive(Debug, Serialize)]
struct Changed {
    release: Digest,
    commit: Option<Commit>,
    time: Timestamp,
    digest: Digest,
    reasons: Vec<Reason>,
}

/// The releases that changed an image.
#[derive(Debug)]
struct InReleases {
    /// Newest first.
    list: Vec<Changed>,
    /// How many there are that are not shown.
    more: usize,
    /// The text if there are none.
    none: String,
}

impl InReleases {
    fn text(&self) -> String {
        if self.list.is_empty() {
            return format!("  in releases: {}\n", self.none);
        }
        let mut text = String::from("  in releases:\n");
        for change in &self.list {
            text.push_str(&format!(
                "    {} ({}, {}): {}\n",
                change.release.short(),
                origin(change.commit.as_ref()),
                table::time(change.time),
                change.digest.short()
            ));
            for reason in &change.reasons {
                text.push_str(&format!("      - {}\n", reason.text));
            }
        }
        if self.more > 0 {
            text.push_str(&format!(
                "    and {} earlier; --all shows them\n",
                self.more
            ));
        }
        text
    }
}

/// Returns the requested releases that changed an image, and the text if there are none.
fn requested<'a>(
    all: &'a Releases,
    args: &WhyArgs,
    label: &str,
    find: impl Fn(&str) -> Result<usize, Failure>,
) -> Result<(Vec<Turn<'a>>, String), Failure> {
    let mut turns = all.turns(label);
    let place = |turn: &Turn| {
        let mut list = all.list.iter();
        list.position(|stored| stored.digest == *turn.now.digest)
    };
    let none = match (&args.in_release, &args.since) {
        (Some(name), _) => {
            let at = find(name)?;
            turns.retain(|turn| place(turn) == Some(at));
            match all.list[at].release.image(label) {
                Some(_) => format!("not changed in {name}"),
                None => format!("not in {name}"),
            }
        }
        (None, Some(name)) => {
            let at = find(name)?;
            turns.retain(|turn| place(turn) < Some(at));
            format!("not changed since {name}")
        }
        (None, None) => "none".to_owned(),
    };
    Ok((turns, none))
}

async fn in_releases(
    records: &Records,
    args: &WhyArgs,
    label: &str,
) -> Result<InReleases, Failure> {
    let find = |name: &str| {
        let wanted = &records.find(name)?.digest;
        let mut list = records.all.list.iter();
        let at = list.position(|stored| stored.digest == *wanted);
        Ok(at.expect("it was found there"))
    };
    let (mut turns, none) = requested(&records.all, args, label, find)?;
    let number = turns.len();
    if !args.all {
        turns.truncate(FEW);
    }
    let points = turns.iter().flat_map(|turn| [Some(turn.now), turn.before]);
    let releases: BTreeMap<_, _> = points
        .flatten()
        .map(|point| (point.digest, point.release))
        .collect();
    let specs = try_join_all(releases.into_iter().map(|(digest, release)| async move {
        let spec = records.spec(release).await?;
        Ok::<_, Failure>(spec.map(|spec| (digest, spec)))
    }));
    let specs: BTreeMap<&Digest, StoredSpec> = specs.await?.into_iter().flatten().collect();
    let change = |turn: &Turn| {
        let spec = |digest: &Digest| specs.get(digest);
        let before = turn.before.as_ref();
        let before = before.map(|point| (point, spec(point.digest)));
        let now = &turn.now;
        Changed {
            release: now.digest.clone(),
            commit: now.release.commit.clone(),
            time: now.release.time,
            digest: now.image.digest.clone(),
            reasons: compare::reasons(before, (now, spec(now.digest))),
        }
    };
    let list: Vec<Changed> = turns.iter().map(change).collect();
    Ok(InReleases {
        more: number - list.len(),
        list,
        none,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::ReasonKind;

    #[test]
    fn releases_are_shown_newest_first_and_not_all() {
        let change = |release: &str, file: &str| Changed {
            release: Digest::of(release.as_bytes()),
            commit: Commit::parse("d021570").ok(),
            time: "2026-11-24T12:00:00Z".parse().expect("a time"),
            digest: Digest::of(b"image"),
            reasons: vec![Reason::new(
                ReasonKind::File,
                file,
                format!("{file} changed"),
            )],
        };
        let some = InReleases {
            list: vec![change("new", "b.txt"), change("old", "a.txt")],
            more: 3,
            none: String::new(),
        };
        let none = InReleases {
            list: Vec::new(),
            more: 0,
            none: "none".to_owned(),
        };
        insta::assert_snapshot!(some.text() + &none.text(), @r"
        in releases:
          11507a0e2f5e (commit d021570, 2026-11-24T12:00:00Z): 6105d6cc76af
            - b.txt changed
          cba06b5736fa (commit d021570, 2026-11-24T12:00:00Z): 6105d6cc76af
            - a.txt changed
          and 3 earlier; --all shows them
        in releases: none
        ");
    }
}
