//! A process of the user's in an image of the stack: what it needs is built, and nothing else is done.

use super::engine::Engine;
use super::error::Error;
use super::prepared::{Prepared, check_agents, check_secrets};
use crate::run::{Interactive, Report};

impl Prepared<'_> {
    /// Has the engine build what the plan has to, and run the process in the same solve. Nothing is pushed or proven.
    pub async fn run_process(
        self,
        engine: &impl Engine,
        interactive: Interactive,
    ) -> Result<Report, Error> {
        check_secrets(&self.job)?;
        check_agents(&self.job)?;
        let mut options = self.run_options(None)?;
        options.staging = None;
        options.interactive = Some(interactive);
        self.announce();
        let interrupt = self.job.interrupt;
        let brought = self.bring_tools(&mut options);
        let brought = interrupt.unless_cancelled(brought).await;
        brought.ok_or(Error::Cancelled)??;
        let (stack, plan) = (self.job.stack, self.job.plan);
        engine.run(stack, plan, &options, interrupt.cancel()).await
    }
}
