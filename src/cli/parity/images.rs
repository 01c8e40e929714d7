//! The two images that are compared: images of the stack, and references.

use tokio_util::sync::CancellationToken;

use crate::cli::args::{Global, ParityArgs};
use crate::cli::context::{self, Context};
use crate::cli::{Exit, Failure};
use crate::event::Events;
use crate::name::Reference;
use crate::plan::{Action, Plan, Request};
use crate::registry::Registry;
use crate::stack::ImageId;

/// An image that is compared.
pub struct Compared {
    /// As the user names it.
    pub name: String,
    /// Where it is.
    pub reference: Reference,
    /// Whether it is an image of the stack.
    pub is_of_stack: bool,
}

/// Returns the images to compare. A name without a tag and a digest is that of an image of the stack if it has one: the
/// name of a variant may have dots, as a registry has.
pub async fn find(
    global: &Global,
    args: &ParityArgs,
    registry: &Registry,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<[Compared; 2], Failure> {
    let texts = [args.image.as_str(), args.with.as_str()];
    let context = stack(global, texts).await?;
    let ids = [
        selected(context.as_ref(), texts[0])?,
        selected(context.as_ref(), texts[1])?,
    ];
    if ids[0].is_none()
        && let Some(context) = context.as_ref().filter(|_| !may_be_reference(texts[0]))
    {
        context.select_one(texts[0])?;
    }
    let plan = match &context {
        Some(context) if ids.iter().any(Option::is_some) => {
            let request = Request::default();
            let planning = context.plan(Some(registry), &request, events, cancel);
            Some((context, planning.await?.1))
        }
        _ => None,
    };
    let compared = |side: usize| {
        let name = texts[side].to_owned();
        let reference = match (ids[side], &plan) {
            (Some(id), Some((context, plan))) => built(context, plan, id, &name)?,
            _ => parse(&name)?,
        };
        Ok::<_, Failure>(Compared {
            name,
            reference,
            is_of_stack: ids[side].is_some(),
        })
    };
    Ok([compared(0)?, compared(1)?])
}

/// Loads the stack if one of two texts may be an image of it. References need none.
async fn stack(global: &Global, texts: [&str; 2]) -> Result<Option<Context>, Failure> {
    if texts.iter().all(|text| Reference::is_exact(text)) {
        return Ok(None);
    }
    if may_be_reference(texts[0]) && context::spec_path(global).is_err() {
        return Ok(None);
    }
    context::load(global).await.map(Some)
}

/// Returns the image of the stack that a text names.
fn selected(context: Option<&Context>, text: &str) -> Result<Option<ImageId>, Failure> {
    let Some(context) = context.filter(|_| !Reference::is_exact(text)) else {
        return Ok(None);
    };
    match context.select(&[text.to_owned()]) {
        Ok(_) => context.select_one(text).map(Some),
        Err(_) => Ok(None),
    }
}

/// Returns whether a text can be the reference of an image that is compared: with a tag or a digest, or with the host of a
/// registry.
fn may_be_reference(text: &str) -> bool {
    let host = text.split_once('/').map_or("", |(host, _)| host);
    Reference::is_exact(text) || host.contains(['.', ':'])
}

fn parse(text: &str) -> Result<Reference, Failure> {
    Reference::parse(text).map_err(|error| {
        let text = format!("invalid image reference `{text}`: {error}");
        Failure::new(Exit::Usage, text)
    })
}

/// Returns an image of the stack that is up to date, in staging.
fn built(context: &Context, plan: &Plan, id: ImageId, name: &str) -> Result<Reference, Failure> {
    match (&plan.images[id.0].action, context.stack.staging()) {
        (Action::Reuse { digest }, Some(staging)) => Ok(Reference {
            repository: staging.clone(),
            tag: None,
            digest: Some(digest.clone()),
        }),
        _ => Err(
            Failure::new(Exit::Environment, format!("image `{name}` is not built"))
                .help("run `laminate build` with a registry, then compare"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_has_a_tag_a_digest_or_a_host() {
        for text in [
            "a:1",
            "a@sha256:x",
            "ghcr.io/a/b",
            "localhost:5000/a",
            "2021.2/a",
        ] {
            assert!(may_be_reference(text), "{text}");
        }
        for text in ["a", "a.b", "variant/a"] {
            assert!(!may_be_reference(text), "{text}");
        }
    }
}
