//! Changes of documents that several runs change, perhaps at the same moment.
//!
//! No registry compares before it writes. So a change is written, and read back after a while; if another run wrote what it
//! had read before us, ours is applied to that. A change that is not [`Lasting`] does not wait for that.

use std::time::Instant;

use futures_util::future::LocalBoxFuture;

use super::{Document, Error, Staging, bytes};
use crate::name::Tag;
use crate::registry::{self, Locator, Unsettled};

/// How often what others wrote is merged before the change is given up.
const ROUNDS: usize = 8;

/// Whether a change must survive another run that writes at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    /// Yes: a later run would decide something else without it.
    Yes,
    /// No: a later run finds it again, by doing more. It is read back, and not waited for.
    No,
}

/// What remains of a change that was written: it is read back, and written again if others wrote at the same time.
pub type Settling<'a> = LocalBoxFuture<'a, Result<(), Error>>;

/// A document that several runs change, and how it is changed.
struct Changing<D, F> {
    staging: Staging,
    tag: Tag,
    /// Returns the document after the change.
    apply: F,
    lasting: Lasting,
    /// How often it was written.
    round: usize,
    document: std::marker::PhantomData<fn() -> D>,
}

/// A change that was written.
pub(super) struct Change<D, F> {
    changing: Changing<D, F>,
    /// The document as it was written; it is not read back yet. `None` if it had the change already.
    written: Option<Unsettled>,
    /// The document after the change.
    after: D,
}

impl<D: Document + PartialEq, F: Fn(Option<&D>) -> D> Changing<D, F> {
    /// Applies the change to what is there now, and writes that unless it is the same.
    async fn write(&mut self) -> Result<(Option<Unsettled>, D), Error> {
        let Staging {
            registry,
            repository,
        } = &self.staging;
        let at = Locator::Tag(self.tag.clone());
        loop {
            let begun = Instant::now();
            let before = match self.staging.read_at::<D>(&at).await {
                Ok(before) => before,
                Err(error) if D::IS_REPLACED_IF_BROKEN && error.is_broken() => None,
                Err(error) => return Err(error),
            };
            let (digest, before) = before.unzip();
            let after = (self.apply)(before.as_ref());
            if before.as_ref() == Some(&after) {
                return Ok((None, after));
            }
            if self.round == ROUNDS {
                return Err(Error::Contended {
                    place: self.staging.place(&at),
                    attempts: ROUNDS,
                });
            }
            self.round += 1;
            let document = (D::MEDIA_TYPE, bytes(&after).into());
            let before = digest.as_ref();
            let written = registry.replace_document(repository, &self.tag, document, before, begun);
            match written.await {
                Ok(written) => return Ok((Some(written), after)),
                // Another run's is there: the next round merges it.
                Err(registry::Error::Overwritten { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl<D: Document + PartialEq, F: Fn(Option<&D>) -> D> Change<D, F> {
    /// Reads the change back, if it is lasting once others must have written that read the same before, and merges what they
    /// wrote. Returns the document.
    pub async fn settle(mut self) -> Result<D, Error> {
        while let Some(written) = &self.written {
            let registry = &self.changing.staging.registry;
            if self.changing.lasting == Lasting::Yes {
                registry.wait_for_writers(written).await;
            }
            match registry.settle(written).await {
                Ok(()) => break,
                Err(registry::Error::Overwritten { .. }) => {
                    (self.written, self.after) = self.changing.write().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.after)
    }
}

impl Staging {
    /// Writes a change of a document that several runs change. It must be settled: until then another run may write over it.
    /// It is an error if others keep doing that. `apply` must change nothing when applied to its own result.
    pub(super) async fn begin_change<D: Document + PartialEq, F: Fn(Option<&D>) -> D>(
        &self,
        id: D::Id<'_>,
        lasting: Lasting,
        apply: F,
    ) -> Result<Change<D, F>, Error> {
        let mut changing = Changing {
            staging: self.clone(),
            tag: D::tag(id),
            apply,
            lasting,
            round: 0,
            document: std::marker::PhantomData,
        };
        let (written, after) = changing.write().await?;
        Ok(Change {
            changing,
            written,
            after,
        })
    }
}
