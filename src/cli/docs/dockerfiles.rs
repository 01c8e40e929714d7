//! The Dockerfiles on the pages of a release: those that `laminate render` makes of the stack that is checked out.

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;

use super::super::{Failure, render as command};
use super::Workspace;
use crate::docs::Dockerfile;
use crate::event::{Event, Events};
use crate::git;
use crate::name::Digest;
use crate::plan::Request;
use crate::record::{Release, ReleaseImage};
use crate::render;

/// The cache key and the Dockerfile of each image of the stack that is checked out, by its label.
#[derive(Default)]
pub struct Dockerfiles(BTreeMap<String, (Digest, Dockerfile)>);

impl Dockerfiles {
    /// Renders the stack if one of these releases was made from the commit that is checked out. If that is not possible,
    /// there are none, which is reported.
    pub async fn of_checkout(
        workspace: &Workspace,
        releases: impl IntoIterator<Item = &Release>,
        events: &Events,
    ) -> Self {
        let head = git::read_head(&workspace.context.folder).await;
        let Some((commit, _)) = head.ok().flatten() else {
            return Self::default();
        };
        let is_of = |release: &Release| release.commit.as_ref() == Some(&commit);
        if !releases.into_iter().any(is_of) {
            return Self::default();
        }
        match rendered(workspace).await {
            Ok(found) => Self(found),
            Err(failure) => {
                events.send(Event::Warning {
                    text: format!("the pages have no Dockerfiles: {}", failure.text()),
                });
                Self::default()
            }
        }
    }

    /// Returns the Dockerfile of an image of a release, if the stack that is checked out has it with the same cache key.
    pub fn of(&self, image: &ReleaseImage) -> Option<Dockerfile> {
        let (key, file) = self.0.get(&image.label())?;
        (image.key.as_ref() == Some(key)).then(|| file.clone())
    }
}

async fn rendered(
    workspace: &Workspace,
) -> Result<BTreeMap<String, (Digest, Dockerfile)>, Failure> {
    let (context, registry) = (&workspace.context, &workspace.staging.registry);
    let stack = &context.stack;
    // The whole command ends when it is interrupted.
    let (request, events, cancel) = (Request::default(), Events::none(), CancellationToken::new());
    let planned = context.plan(Some(registry), &request, &events, &cancel);
    let (gathered, _) = planned.await?;
    let keys: BTreeMap<String, Digest> = stack
        .ids()
        .filter_map(|id| Some((stack.label(id), gathered.keys.get(id)?.key.clone())))
        .collect();
    let facts = command::facts(stack, gathered, registry).await;
    let made = render::render(stack, &facts)
        .map_err(|problems| Failure::spec(stack.sources().as_ref().clone(), problems))?;
    let images = made.targets.iter().filter(|target| target.is_image);
    let files = images.filter_map(|target| {
        let notes = made.notes.iter().filter(|note| note.image == target.label);
        let file = Dockerfile {
            text: command::shown(&made, target)?,
            differences: notes.map(|note| note.text.clone()).collect(),
        };
        let key = keys.get(&target.label)?.clone();
        Some((target.label.clone(), (key, file)))
    });
    Ok(files.collect())
}
