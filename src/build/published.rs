//! The fourth phase: images have their immutable tags, or nothing is tagged.

use super::error::Error;
use super::proven::Proven;
use crate::interrupt::{Orderly, TagSet};
use crate::publish::{self, ImageTags};

/// A run whose images are tagged, if that was asked for and everything passed.
pub(super) struct Published<'a> {
    pub proven: Proven<'a>,
    /// Whether the images have their tags.
    pub is_published: bool,
    /// Until the release is recorded, an interruption does not stop the build.
    pub tagging: Option<Orderly>,
}

impl<'a> Proven<'a> {
    /// Tags the images if that was asked for and everything passed. A fault is kept in [`Proven::fault`]; a build that
    /// is interrupted before the first tag is written fails.
    pub async fn publish(mut self) -> Result<Published<'a>, Error> {
        let is_asked_for = self.ran.prepared.job.options.push;
        let mut published = (false, None);
        if is_asked_for && self.may_publish() {
            match tag(&self).await {
                Ok(tagging) => published = (true, tagging),
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => self.fault = Some(error),
            }
        }
        let (is_published, tagging) = published;
        Ok(Published {
            proven: self,
            is_published,
            tagging,
        })
    }
}

async fn tag(proven: &Proven<'_>) -> Result<Option<Orderly>, Error> {
    let ran = &proven.ran;
    let Some(staging) = &ran.prepared.staging else {
        return Ok(None);
    };
    let job = ran.prepared.job;
    let images: Vec<ImageTags> = (job.plan.images.iter())
        .filter_map(|planned| {
            Some(ImageTags {
                label: planned.label.clone(),
                repository: job.stack[planned.id].repository.clone()?,
                digest: ran.digest(planned)?,
                tags: planned.tags.clone(),
                manifest: (ran.staged.get(&planned.id)).and_then(|staged| staged.manifest.clone()),
            })
        })
        .collect();
    let known = &job.gathered.facts.tags;
    // Without a run, the tags of the plan were looked up a moment ago.
    let known = (known, ran.report.solves == 0);
    let placing = publish::place(job.registry, staging, &images, known, job.events);
    let placed = job.interrupt.unless_cancelled(placing).await;
    let placed = placed.ok_or(Error::Cancelled)??;
    let tagging = job.interrupt.begin_tagging(TagSet::Build);
    let tagging = tagging.ok_or(Error::Cancelled)?;
    placed.tag(job.events).await?;
    Ok(Some(tagging))
}
