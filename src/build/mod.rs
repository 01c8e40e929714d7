//! The build from start to end: checks a request against the plan, has an engine carry the plan out, stores
//! what was learned, and tags what passed.
//!
//! Each phase is a type that is consumed by the next one: [`Prepared`] → `Ran` → `Proven` → `Published` →
//! [`Recorded`]. [`build`] goes through all of them; `build` and `test` of `cli` call it.

mod engine;
mod error;
mod export;
mod interactive;
mod job;
mod members;
mod prepared;
mod probe;
mod proven;
mod published;
mod ran;
mod recorded;
mod release;
mod stopped;
#[cfg(test)]
mod tests;

pub use engine::{Buildkit, Engine, EngineSource};
pub use error::Error;
pub use job::{Environment, Goal, Job, Options};
pub use prepared::Prepared;
pub use recorded::{Ending, Recorded, ReleaseState};

use crate::trace::{self, Track};
use published::Published;

/// Carries out a plan that passed its checks. Images that fail and suites that fail are part of what is
/// returned, and nothing is tagged then; an error is a fault of the whole run.
pub async fn build<'a>(
    prepared: Prepared<'a>,
    engine: &impl Engine,
) -> Result<Recorded<'a>, Error> {
    let unstored = prepared.unstored();
    // It ends soon after an interruption, with the results that it has.
    let orderly = prepared.job.interrupt.begin_orderly();
    let published = match until_published(prepared, engine).await {
        Ok(published) => published,
        Err(error) => {
            Box::pin(unstored.store()).await;
            return Err(error);
        }
    };
    drop(orderly);
    let span = trace::span(Track::Command, || "record the release".to_owned());
    let recorded = published.record().await;
    drop(span);
    recorded.export().await
}

/// Carries out a plan and tags the images if all that is asked for passed.
async fn until_published<'a>(
    prepared: Prepared<'a>,
    engine: &impl Engine,
) -> Result<Published<'a>, Error> {
    let ran = prepared.run(engine).await?;
    let interrupt = ran.prepared.job.interrupt;
    let span = trace::span(Track::Command, || "store evidence".to_owned());
    let proven = interrupt.unless_cancelled(Box::pin(ran.prove())).await;
    drop(span);
    let _span = trace::span(Track::Command, || "tag images".to_owned());
    proven.ok_or(Error::Cancelled)?.publish().await
}
