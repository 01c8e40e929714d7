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
use crate::name::{Commit, Digest};
use crate::plan::{Action, Reason, Request};
use crate::record::{Releases, StoredSpec, Turn};
use crate::stack::Base;
use crate::staging::Staging;

/// How many releases are told of unless all are wanted.
const FEW: usize = 10;

pub async fn run(
    global: &Global,
    args: &WhyArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let context = context::load(global)?;
    let wanted = context
        .select(std::slice::from_ref(&args.image))?
        .unwrap_or_default();
    let registry = context::registry_unless(args.offline)?;
    let (gathered, plan) = context
        .plan(registry.as_ref(), &Request::default(), events, cancel)
        .await?;
    let stack = &context.stack;
    let records = match (registry, &stack.staging) {
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
        match &planned.action {
            Action::Build { reasons } => {
                text.push_str(&format!("{} is to be built:\n", planned.label));
                for reason in reasons {
                    text.push_str(&format!("  - {}\n", reason.text));
                }
            }
            Action::Reuse { digest } => {
                text.push_str(&format!(
                    "{} is reused: nothing it is made from changed\n",
                    planned.label
                ));
                text.push_str(&format!("  digest {digest}\n"));
            }
            Action::Hold { because } => {
                text.push_str(&format!("{} is held: {because}\n", planned.label));
            }
        }
        let mut lineage = Vec::new();
        let mut base = &stack.images[id.0].base;
        loop {
            match base {
                Base::Image(parent) => {
                    lineage.push(stack.label(*parent));
                    base = &stack.images[parent.0].base;
                }
                Base::External(outside) => {
                    let reference = &outside.reference.value;
                    let digest = gathered.bases.get(reference);
                    let digest = digest.map(|d| format!("@{}", d.short()));
                    lineage.push(format!("{reference}{}", digest.unwrap_or_default()));
                    break;
                }
            }
        }
        text.push_str(&format!("  stands on {}\n", lineage.join(" → ")));
        if let Some(keyed) = &planned.keyed {
            text.push_str(&format!("  key {}\n  made from:\n", keyed.key));
            for component in &keyed.components {
                let kind = json!(component.kind);
                let kind = kind.as_str().unwrap_or_default();
                text.push_str(&format!(
                    "    {kind:<9} {}  {}\n",
                    component.what, component.value
                ));
            }
        }
        let mut value = plan_command::image(&context, &gathered, planned);
        value["lineage"] = json!(lineage);
        value["components"] = json!(planned.keyed.as_ref().map(|keyed| &keyed.components));
        if let Some(records) = &records {
            let told = unless_cancelled(cancel, in_releases(records, args, &planned.label)).await?;
            text.push_str(&told.text());
            value["releases"] = json!(told.list);
        }
        list.push(value);
    }
    Ok(Answer::new(Exit::Done, json!({ "images": list }), text))
}

/// A release that gave an image another digest, and why.
#[derive(Debug, Serialize)]
struct Told {
    release: Digest,
    commit: Commit,
    time: Timestamp,
    digest: Digest,
    reasons: Vec<Reason>,
}

/// What releases say of one image.
#[derive(Debug)]
struct InReleases {
    /// Newest first.
    list: Vec<Told>,
    /// How many there are beside them.
    more: usize,
    /// What is said if there are none.
    none: String,
}

impl InReleases {
    fn text(&self) -> String {
        if self.list.is_empty() {
            return format!("  in releases: {}\n", self.none);
        }
        let mut text = String::from("  in releases:\n");
        for told in &self.list {
            text.push_str(&format!(
                "    {} (commit {}, {}): {}\n",
                told.release.short(),
                told.commit.short(),
                told.time,
                told.digest.short()
            ));
            for reason in &told.reasons {
                text.push_str(&format!("      - {}\n", reason.text));
            }
        }
        if self.more > 0 {
            text.push_str(&format!(
                "    and {} before; --all tells of them\n",
                self.more
            ));
        }
        text
    }
}

/// The releases asked for that changed an image, and what is said if there are none.
fn asked<'a>(
    all: &'a Releases,
    args: &WhyArgs,
    label: &str,
    find: impl Fn(&str) -> Result<usize, Failure>,
) -> Result<(Vec<Turn<'a>>, String), Failure> {
    let mut turns = all.turns(label);
    let place = |turn: &Turn| {
        let here = |(digest, _): &(_, _)| digest == turn.now.digest;
        all.list.iter().position(here)
    };
    let none = match (&args.in_release, &args.since) {
        (Some(name), _) => {
            let at = find(name)?;
            turns.retain(|turn| place(turn) == Some(at));
            match all.list[at].1.image(label) {
                Some(_) => format!("in {name} it is as in the release before"),
                None => format!("{name} does not have it"),
            }
        }
        (None, Some(name)) => {
            let at = find(name)?;
            turns.retain(|turn| place(turn) < Some(at));
            format!("it did not change since {name}")
        }
        (None, None) => "none has it".to_owned(),
    };
    Ok((turns, none))
}

async fn in_releases(
    records: &Records,
    args: &WhyArgs,
    label: &str,
) -> Result<InReleases, Failure> {
    let find = |name: &str| {
        let (wanted, _) = records.find(name)?;
        let is_it = |(digest, _): &(_, _)| digest == wanted;
        let at = records.all.list.iter().position(is_it);
        Ok(at.expect("it was found there"))
    };
    let (mut turns, none) = asked(&records.all, args, label, find)?;
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
    let tell = |turn: &Turn| {
        let spec = |digest: &Digest| specs.get(digest);
        let before = turn.before.as_ref();
        let before = before.map(|point| (point, spec(point.digest)));
        let now = &turn.now;
        Told {
            release: now.digest.clone(),
            commit: now.release.commit.clone(),
            time: now.release.time,
            digest: now.image.digest.clone(),
            reasons: compare::reasons(before, (now, spec(now.digest))),
        }
    };
    let list: Vec<Told> = turns.iter().map(tell).collect();
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
    fn releases_are_told_newest_first_and_not_all() {
        let told = |release: &str, file: &str| Told {
            release: Digest::of(release.as_bytes()),
            commit: Commit::parse("d021570").expect("hex digits"),
            time: "2026-11-24T12:00:00Z".parse().expect("a time"),
            digest: Digest::of(b"image"),
            reasons: vec![Reason::new(
                ReasonKind::File,
                file,
                format!("{file} changed"),
            )],
        };
        let some = InReleases {
            list: vec![told("new", "b.txt"), told("old", "a.txt")],
            more: 3,
            none: String::new(),
        };
        let none = InReleases {
            list: Vec::new(),
            more: 0,
            none: "none has it".to_owned(),
        };
        insta::assert_snapshot!(some.text() + &none.text(), @r"
        in releases:
          11507a0e2f5e (commit d021570, 2026-11-24T12:00:00Z): 6105d6cc76af
            - b.txt changed
          cba06b5736fa (commit d021570, 2026-11-24T12:00:00Z): 6105d6cc76af
            - a.txt changed
          and 3 before; --all tells of them
        in releases: none has it
        ");
    }
}
