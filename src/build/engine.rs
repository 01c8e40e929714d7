//! What carries out a plan: a buildkitd that runs already, or one started for the run.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::Error;
use crate::buildkit::{Address, Client, EngineOptions, PrivateEngine};
use crate::event::{Event, Events};
use crate::plan::Plan;
use crate::run::{self, Report};
use crate::stack::Stack;

/// How long a running engine may take to answer.
const CONNECT: Duration = Duration::from_secs(5);

/// Carries out plans.
pub trait Engine {
    /// Builds and proves what the plan says. An error is of the run as a whole.
    fn run(
        &self,
        stack: &Stack,
        plan: &Plan,
        options: &run::Options,
    ) -> impl Future<Output = Result<Report, Error>>;
}

/// Where a buildkitd comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineSource {
    /// One that runs at this address, as the user wrote it.
    Address(String),
    /// One started for the run.
    Private {
        /// The folder of its state, kept between runs; `None` if the environment has none.
        state: Option<PathBuf>,
        /// The folder for its socket.
        runtime: PathBuf,
    },
}

/// A buildkitd for one run.
pub struct Buildkit<'a> {
    /// Where it comes from.
    pub source: EngineSource,
    /// Where progress is sent.
    pub events: &'a Events,
    /// Stops the run when it fires.
    pub cancel: &'a CancellationToken,
}

impl Engine for Buildkit<'_> {
    async fn run(
        &self,
        stack: &Stack,
        plan: &Plan,
        options: &run::Options,
    ) -> Result<Report, Error> {
        let connection = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return Err(Error::Cancelled),
            opened = self.open() => opened?,
        };
        let client = connection.client();
        let report = run::run(client, stack, plan, options, self.events, self.cancel).await;
        if let Connection::Private(engine) = connection {
            self.phase("stopping the engine");
            engine.stop().await;
        }
        Ok(report?)
    }
}

enum Connection {
    Running(Client),
    Private(Box<PrivateEngine>),
}

impl Connection {
    fn client(&self) -> &Client {
        match self {
            Self::Running(client) => client,
            Self::Private(engine) => &engine.client,
        }
    }
}

impl Buildkit<'_> {
    async fn open(&self) -> Result<Connection, Error> {
        match &self.source {
            EngineSource::Address(text) => {
                let address: Address = text.parse()?;
                let client = Client::connect(&address, CONNECT).await?;
                Ok(Connection::Running(client))
            }
            EngineSource::Private { state, runtime } => {
                self.phase("starting the engine");
                let options = EngineOptions {
                    state: state.clone().ok_or(Error::NoStateFolder)?,
                    runtime: runtime.clone(),
                };
                let waiting = || {
                    self.events.send(Event::Note {
                        text: "the engine is in use by another laminate; waiting".to_owned(),
                    });
                };
                let engine = PrivateEngine::start(&options, waiting).await?;
                Ok(Connection::Private(Box::new(engine)))
            }
        }
    }

    fn phase(&self, text: &str) {
        self.events.send(Event::Phase {
            text: text.to_owned(),
        });
    }
}
