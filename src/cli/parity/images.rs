//! The two images that are compared: images of the stack, and references.

use tokio_util::sync::CancellationToken;

use crate::cli::args::{Global, ParityArgs};
use crate::cli::context::{self, Context};
use crate::cli::{Exit, Failure};
use crate::event::Events;
use crate::name::{Reference, Repository};
use crate::plan::{Action, Plan, ReasonKind, Request};
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
        (action, _) => Err(not_built(action, name)),
    }
}

/// Returns the failure for an image that is not built, or was built before something changed.
fn not_built(action: &Action, name: &str) -> Failure {
    let text = match action {
        Action::Build { reasons } if reasons.iter().all(|it| it.kind != ReasonKind::New) => {
            let reasons: Vec<&str> = reasons.iter().map(|it| it.text.as_str()).collect();
            let reasons = reasons.join("; ");
            format!("image `{name}` is not up to date: {reasons}")
        }
        _ => format!("image `{name}` is not built"),
    };
    Failure::new(Exit::Environment, text).help("run `laminate build` with a registry, then compare")
}

impl Compared {
    /// Adds to a failed look-up what the user may have meant by a reference.
    pub fn explain(&self, failure: Failure) -> Failure {
        let mut failure = failure;
        if self.is_of_stack {
            return failure;
        }
        let name = &self.name;
        if !Reference::is_exact(name) {
            failure = failure.help(format!("`{name}` has no tag: `latest` was looked up"));
        }
        if !Repository::names_host(name) {
            failure = failure.help(
                "images of docker or podman on this machine are not read: push the image to a registry first, and pass it with the host",
            );
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Reason;

    #[test]
    fn an_image_that_was_built_before_is_not_up_to_date() {
        let shown = |kind: ReasonKind, text: &str| {
            let reasons = vec![Reason::new(kind, "x", text)];
            not_built(&Action::Build { reasons }, "a").text()
        };
        let text = shown(ReasonKind::File, "images/a/x changed");
        assert_eq!(text, "image `a` is not up to date: images/a/x changed");
        assert_eq!(shown(ReasonKind::New, "new"), "image `a` is not built");
    }

    #[test]
    fn a_failed_look_up_is_explained() {
        let shown = |name: &str| {
            let compared = Compared {
                name: name.to_owned(),
                reference: Reference::parse(name).expect("valid"),
                is_of_stack: false,
            };
            compared
                .explain(Failure::new(Exit::Environment, "x"))
                .shown(false)
        };
        let text = shown("lab/geo:1");
        assert!(text.contains("on this machine are not read"), "{text}");
        assert!(!text.contains("`latest` was looked up"), "{text}");
        let text = shown("ghcr.io/lab/geo");
        assert!(text.contains("`latest` was looked up"), "{text}");
        assert!(!text.contains("on this machine"), "{text}");
    }

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
