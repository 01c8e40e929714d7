//! The fourth phase: images have their immutable tags, or nothing is tagged.

use super::proven::Proven;
use crate::publish;

/// A run whose images are tagged, if that was asked for and everything passed.
pub(super) struct Published<'a> {
    pub proven: Proven<'a>,
    /// Whether the images have their tags.
    pub is_published: bool,
}

impl<'a> Proven<'a> {
    /// Tags the images if that was asked for and everything passed. A fault is kept in [`Proven::fault`].
    pub async fn publish(mut self) -> Published<'a> {
        let is_asked_for = self.ran.prepared.job.options.push;
        let mut is_published = false;
        if is_asked_for && self.may_publish() {
            match tag(&self).await {
                Ok(()) => is_published = true,
                Err(error) => self.fault = Some(error.into()),
            }
        }
        Published {
            proven: self,
            is_published,
        }
    }
}

async fn tag(proven: &Proven<'_>) -> Result<(), publish::Error> {
    let ran = &proven.ran;
    let Some(staging) = &ran.prepared.staging else {
        return Ok(());
    };
    let job = ran.prepared.job;
    let items: Vec<publish::ImageTags> = (job.plan.images.iter())
        .filter_map(|planned| {
            Some(publish::ImageTags {
                label: planned.label.clone(),
                repository: job.stack[planned.id].repository.clone()?,
                digest: ran.digest(planned)?,
                tags: planned.tags.clone(),
            })
        })
        .collect();
    publish::publish(
        job.registry,
        staging,
        &items,
        &job.gathered.facts.tags,
        job.events,
    )
    .await
}
