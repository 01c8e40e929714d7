//! `laminate lock`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, LockArgs};
use super::interrupt::unless_cancelled;
use super::{Answer, Exit, Failure, context};
use crate::diagnostic::nearest;
use crate::disk::write_atomically;
use crate::event::{Event, Events};
use crate::gather;
use crate::name::{Digest, Reference};
use crate::plan::label;
use crate::registry::Credentials;
use crate::spec::lock::Lock;
use crate::stack::{Base, Stack};

pub async fn run(
    global: &Global,
    args: &LockArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let context = context::load(global)?;
    let stack = &context.stack;
    let bases: Vec<&Reference> = gather::outside(stack)
        .into_iter()
        .filter(|reference| reference.digest.is_none())
        .collect();
    let named = named(&bases, args)?;
    let before = context.lock.clone().unwrap_or_default();
    let moves = |reference: &&Reference| {
        !before.bases.contains_key(*reference)
            || args.update.is_some() && (named.is_empty() || named.contains(*reference))
    };
    let registry = context::registry(Credentials::from_environment())?;
    events.send(Event::Phase {
        text: "asking the registry".to_owned(),
    });
    let resolving = futures_util::future::try_join_all(bases.iter().map(|reference| {
        let registry = &registry;
        let moves = moves(reference);
        let before = &before;
        async move {
            let digest = match moves {
                true => gather::resolve(registry, reference).await?,
                false => before.bases[*reference].clone(),
            };
            Ok::<_, gather::Error>(((*reference).clone(), digest))
        }
    }));
    let found = unless_cancelled(cancel, async { Ok(resolving.await?) }).await?;
    let after = Lock {
        bases: found.into_iter().collect(),
    };
    let path = context.folder.join("specs.lock");
    if context.lock.as_ref() != Some(&after) && !args.dry_run {
        write_atomically(&path, after.to_string().as_bytes()).map_err(|error| {
            let text = format!("cannot write `{path}`: {error}");
            Failure::new(Exit::Environment, text)
        })?;
    }
    let (text, list) = describe(stack, &before, &after);
    Ok(Answer::new(
        Exit::Done,
        json!({ "bases": list, "dry_run": args.dry_run }),
        text,
    ))
}

/// The bases `--update` names.
fn named(bases: &[&Reference], args: &LockArgs) -> Result<Vec<Reference>, Failure> {
    let mut named = Vec::new();
    for text in args.update.iter().flatten() {
        let reference = Reference::parse(text).ok();
        match reference.filter(|reference| bases.contains(&reference)) {
            Some(reference) => named.push(reference),
            None => {
                let known: Vec<String> = bases.iter().map(ToString::to_string).collect();
                let help = match nearest(text, known.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are: {}", known.join(", ")),
                };
                return Err(
                    Failure::new(Exit::Usage, format!("no image stands on `{text}`")).help(help),
                );
            }
        }
    }
    Ok(named)
}

/// What became of each base, and which images that rebuilds.
fn describe(stack: &Stack, before: &Lock, after: &Lock) -> (String, Vec<Value>) {
    let mut text = String::new();
    let mut list = Vec::new();
    for (reference, digest) in &after.bases {
        let old = before.bases.get(reference);
        let images = match old == Some(digest) {
            true => Vec::new(),
            false => standing_on(stack, reference),
        };
        match old {
            Some(old) if old == digest => {
                text.push_str(&format!("{reference} stays at {}\n", named_short(digest)));
            }
            Some(old) => {
                text.push_str(&format!(
                    "{reference} moves from {} to {}; it rebuilds {}\n",
                    named_short(old),
                    named_short(digest),
                    images.join(", ")
                ));
            }
            None => {
                text.push_str(&format!(
                    "{reference} is pinned to {}\n",
                    named_short(digest)
                ));
            }
        }
        list.push(json!({
            "reference": reference.to_string(),
            "old": old.map(Digest::as_str),
            "new": digest.as_str(),
            "rebuilds": images,
        }));
    }
    let gone: BTreeMap<_, _> = before
        .bases
        .iter()
        .filter(|(reference, _)| !after.bases.contains_key(reference))
        .collect();
    for reference in gone.keys() {
        text.push_str(&format!("{reference} is no longer used\n"));
    }
    (text, list)
}

fn named_short(digest: &Digest) -> String {
    format!("sha256:{}", digest.short())
}

fn standing_on(stack: &Stack, reference: &Reference) -> Vec<String> {
    let mut on = vec![false; stack.images.len()];
    for (index, image) in stack.images.iter().enumerate() {
        on[index] = match &image.base {
            Base::Image(parent) => on[parent.0],
            Base::Outside(base) => base.reference.value == *reference,
        };
    }
    stack
        .images
        .iter()
        .zip(on)
        .filter(|(_, on)| *on)
        .map(|(image, _)| label(stack, image))
        .collect()
}
