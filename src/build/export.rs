//! The archive of a build that passed: which images go into it, and under which names.

use std::collections::BTreeMap;

use super::error::Error;
use super::recorded::{Ending, Recorded};
use crate::event::Event;
use crate::export::{self, EngineArchive, NamedImage};
use crate::plan::Planned;
use crate::publish::Staged;
use crate::stack::Stack;

/// The longest tag, characters.
const LONGEST_TAG: usize = 128;

/// Marks the tags of images that were built with uncommitted changes, as `git describe --dirty` does.
const DIRTY: &str = "-dirty";

impl Recorded<'_> {
    /// Writes the archive and loads the images that were asked for, if everything passed.
    pub(super) async fn export(mut self) -> Result<Self, Error> {
        let job = self.ran().prepared.job;
        let options = job.options;
        if !options.exports() || self.ending() != Ending::Complete {
            return Ok(self);
        }
        let phase = |text| job.events.send(Event::Phase { text });
        let engine = self.open_engine_archive()?;
        let staging = job.stack.staging();
        let staging = staging.filter(|_| !options.offline);
        let source = staging.map(|staging| (job.registry, staging));
        let mut sizes = BTreeMap::new();
        if let Some(path) = options.archive.as_deref() {
            phase(format!("writing {}", path.display()));
            let images = self.named(|_| true);
            sizes = export::write(path, &images, engine.as_ref(), source).await?;
            self.exported = images.into_iter().flat_map(|image| image.names).collect();
        }
        if let Some(loader) = &options.load {
            phase(format!("loading images into {}", loader.name));
            let images = self.named(|planned| job.is_selected(planned));
            sizes.extend(loader.load(&images, engine.as_ref(), source).await?);
            self.loaded = images.into_iter().flat_map(|image| image.names).collect();
        }
        for staged in self.ran_mut().staged.values_mut() {
            if let Some(size) = sizes.get(&staged.digest) {
                staged.size = *size;
            }
        }
        Ok(self)
    }

    /// Returns the images that are there, with their names.
    fn named(&self, is_wanted: impl Fn(&Planned) -> bool) -> Vec<NamedImage> {
        let job = self.ran().prepared.job;
        let wanted = job.plan.images.iter().filter(|planned| is_wanted(planned));
        let named = wanted.filter_map(|planned| {
            let digest = self.ran().digest(planned)?;
            let names = names(job.stack, planned, job.is_uncommitted());
            Some(NamedImage { digest, names })
        });
        named.collect()
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

/// Returns the names of an image in an archive: its immutable tags; without a commit its series. `is_uncommitted`: the
/// stack differs from the commit, so that its tags must not name the image. Nor may those of a channel.
pub(super) fn names(stack: &Stack, planned: &Planned, is_uncommitted: bool) -> Vec<String> {
    let image = &stack[planned.id];
    let name = match &image.repository {
        Some(repository) => repository.to_string(),
        None => format!("{}/{}", stack.name(), image.name.value),
    };
    if planned.tags.is_empty() {
        let series = stack.variants()[image.variant].series.as_deref();
        let tag = series.unwrap_or("latest");
        let mut channels = stack.channels().iter();
        let is_of_channel = channels.any(|channel| {
            let moved = channel.tags.get(&image.variant);
            moved.is_some_and(|moved| moved.as_str() == tag)
        });
        return vec![format!("{name}:{}", marked(tag, is_of_channel))];
    }
    let tags = planned.tags.iter();
    tags.map(|tag| format!("{name}:{}", marked(tag.as_str(), is_uncommitted)))
        .collect()
}

/// Returns a tag, with [`DIRTY`] at its end if it is marked. The end of a tag that would be too long is left out.
fn marked(tag: &str, is_marked: bool) -> String {
    if !is_marked {
        return tag.to_owned();
    }
    let kept = tag.get(..LONGEST_TAG - DIRTY.len()).unwrap_or(tag);
    format!("{kept}{DIRTY}")
}
