//! `laminate lock`: pins external images in specs.lock.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::args::{Global, LockArgs};
use super::interrupt::unless_cancelled;
use super::{Answer, Exit, Failure, context};
use crate::diagnostic::nearest;
use crate::disk::write_atomically;
use crate::event::{Event, Events};
use crate::gather;
use crate::list;
use crate::name::{Digest, Reference};
use crate::registry::Credentials;
use crate::spec::lock::Lock;
use crate::stack::Stack;

/// Runs the command.
pub async fn run(
    global: &Global,
    args: &LockArgs,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Answer, Failure> {
    let context = context::load(global).await?;
    let stack = &context.stack;
    let images: Vec<&Reference> = (stack.external_images().into_iter())
        .filter(|reference| reference.digest.is_none())
        .collect();
    let selected = selected(&images, args)?;
    let before = context.lock.clone().unwrap_or_default();
    let is_resolved = |reference: &Reference| {
        let updated = selected.is_empty() || selected.contains(reference);
        !before.bases.contains_key(reference) || args.update.is_some() && updated
    };
    let registry = context::registry(Credentials::from_environment(), events, cancel)?;
    events.send(Event::Phase {
        text: "asking the registry".to_owned(),
    });
    let resolving = futures_util::future::try_join_all(images.iter().map(|reference| {
        let registry = &registry;
        let is_resolved = is_resolved(reference);
        let before = &before;
        async move {
            let digest = if is_resolved {
                gather::resolve(registry, reference).await?
            } else {
                before.bases[*reference].clone()
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

/// Returns the images of `--update`; none for all of them.
fn selected(images: &[&Reference], args: &LockArgs) -> Result<Vec<Reference>, Failure> {
    let texts = args.update.iter().flatten();
    texts.map(|text| select(images, text)).collect()
}

/// Returns the external image that a text refers to.
fn select(images: &[&Reference], text: &str) -> Result<Reference, Failure> {
    let reference = Reference::parse(text).ok();
    if let Some(reference) = reference.filter(|reference| images.contains(&reference)) {
        return Ok(reference);
    }
    let known: Vec<String> = images.iter().map(ToString::to_string).collect();
    let help = match nearest(text, known.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("use one of: {}", known.join(", ")),
    };
    let text = format!("no image is based on `{text}`, copies from it or mounts it");
    Err(Failure::new(Exit::Usage, text).help(help))
}

/// Returns the change of each external image and the images it rebuilds, for people and for programs.
fn describe(stack: &Stack, before: &Lock, after: &Lock) -> (String, Vec<Value>) {
    let mut lines = Vec::new();
    let mut list = Vec::new();
    for (reference, digest) in &after.bases {
        let old = before.bases.get(reference);
        let images = if old == Some(digest) {
            Vec::new()
        } else {
            dependents(stack, reference)
        };
        lines.push(describe_image(reference, old, digest, &images));
        list.push(json!({
            "reference": reference.to_string(),
            "old": old.map(Digest::as_str),
            "new": digest.as_str(),
            "rebuilds": images,
        }));
    }
    let unused = before.bases.keys();
    let unused = unused.filter(|reference| !after.bases.contains_key(reference));
    lines.extend(unused.map(|reference| format!("{reference} is no longer used\n")));
    (lines.concat(), list)
}

/// Returns the line about one external image.
fn describe_image(
    reference: &Reference,
    old: Option<&Digest>,
    new: &Digest,
    images: &[String],
) -> String {
    match old {
        Some(old) if old == new => format!("{reference} stays at {}\n", new.short()),
        Some(old) => format!(
            "{reference} moves from {} to {}; rebuilds {}\n",
            old.short(),
            new.short(),
            list::of(images)
        ),
        None => format!("{reference} is pinned to {}\n", new.short()),
    }
}

/// Returns the labels of the images that need an external image, directly or not.
fn dependents(stack: &Stack, reference: &Reference) -> Vec<String> {
    let mut found = BTreeSet::new();
    // Images come after those they need, so that one pass is enough.
    for id in stack.ids() {
        let external = stack[id].external_images();
        if external
            .iter()
            .any(|image| image.reference.value == *reference)
            || !stack.dependencies(id).is_disjoint(&found)
        {
            found.insert(id);
        }
    }
    found.into_iter().map(|id| stack.label(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(text: &str) -> Reference {
        Reference::parse(text).expect("a reference")
    }

    #[test]
    fn a_line_has_the_old_and_the_new_digest() {
        let debian = reference("debian:12");
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        let line = |old: Option<&Digest>| {
            let line = describe_image(&debian, old, &new, &["a".to_owned(), "b".to_owned()]);
            line.replace(new.short(), "NEW")
                .replace("docker.io/library/", "")
        };
        assert_eq!(line(None), "debian:12 is pinned to NEW\n");
        assert_eq!(line(Some(&new)), "debian:12 stays at NEW\n");
        assert_eq!(
            line(Some(&old)).replace(old.short(), "OLD"),
            "debian:12 moves from OLD to NEW; rebuilds a, b\n"
        );
    }

    #[test]
    fn a_base_is_selected_by_its_short_name() {
        let (debian, ubuntu) = (reference("debian:12"), reference("ubuntu:24.04"));
        let bases = [&debian, &ubuntu];
        assert_eq!(select(&bases, "debian:12").ok(), Some(debian.clone()));
        let failure = select(&bases, "docker.io/library/debian:11").expect_err("not a base");
        assert_eq!(
            failure.shown(false),
            "error: no image is based on `docker.io/library/debian:11`, copies from it or mounts it\n\
             help: did you mean `docker.io/library/debian:12`?\n"
        );
        assert!(select(&bases, "").is_err());
    }
}
