//! The archive of a build that passed: which images go into it, and under which names.

use super::error::Error;
use super::recorded::{Ending, Recorded};
use crate::event::Event;
use crate::export::{self, EngineArchive, NamedImage};
use crate::plan::Planned;
use crate::publish::Staged;
use crate::stack::Stack;

impl Recorded<'_> {
    /// Writes the archive that was asked for, if everything passed.
    pub(super) async fn export(mut self) -> Result<Self, Error> {
        let job = self.ran().prepared.job;
        let Some(path) = job.options.archive.as_deref() else {
            return Ok(self);
        };
        if self.ending() != Ending::Complete {
            return Ok(self);
        }
        job.events.send(Event::Phase {
            text: format!("writing {}", path.display()),
        });
        let engine = self.open_engine_archive()?;
        let mut images = Vec::new();
        for planned in &job.plan.images {
            if let Some(digest) = self.ran().digest(planned) {
                let names = names(job.stack, planned);
                images.push(NamedImage { digest, names });
            }
        }
        let staging = job.stack.staging();
        let staging = staging.filter(|_| !job.options.offline);
        let source = staging.map(|staging| (job.registry, staging));
        let sizes = export::write(path, &images, engine.as_ref(), source).await?;
        for staged in self.ran_mut().staged.values_mut() {
            if let Some(size) = sizes.get(&staged.digest) {
                staged.size = *size;
            }
        }
        Ok(self)
    }

    /// Opens what the engine sent, and learns from it the digests of images that are in no registry.
    fn open_engine_archive(&mut self) -> Result<Option<EngineArchive>, Error> {
        let ran = self.ran_mut();
        let file = ran.engine_archive.as_ref();
        let Some(file) = file.filter(|_| ran.report.index.is_some()) else {
            return Ok(None);
        };
        let engine = EngineArchive::open(file.clone())?;
        for (variant, exported) in &ran.report.exported {
            let Some(image) = engine.images.get(variant) else {
                continue;
            };
            for (id, leader) in &ran.prepared.leaders {
                if leader == exported {
                    ran.staged.entry(*id).or_insert(Staged {
                        digest: image.digest.clone(),
                        size: 0,
                        manifest: None,
                    });
                }
            }
        }
        Ok(Some(engine))
    }
}

/// The names of an image in an archive: its immutable tags; without a commit its series.
pub(super) fn names(stack: &Stack, planned: &Planned) -> Vec<String> {
    let image = &stack[planned.id];
    let name = match &image.repository {
        Some(repository) => repository.to_string(),
        None => format!("{}/{}", stack.name(), image.name.value),
    };
    if planned.tags.is_empty() {
        let series = stack.variants()[image.variant].series.as_deref();
        return vec![format!("{name}:{}", series.unwrap_or("latest"))];
    }
    let tags = planned.tags.iter();
    tags.map(|tag| format!("{name}:{tag}")).collect()
}
