//! What carries out a plan: a buildkitd that runs already, or one started for the run.

use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::error::Error;
use crate::buildkit::{self, Address, Client, EngineOptions, Notice, PrivateEngine};
use crate::event::{Event, Events};
use crate::interrupt::Interrupt;
use crate::plan::Plan;
use crate::run::{self, Report};
use crate::stack::Stack;

/// How long a running engine may take to answer.
const CONNECT: Duration = Duration::from_secs(5);

/// Carries out plans.
pub trait Engine {
    /// Builds and proves what the plan says, until `cancel` fires. An error is of the run as a whole.
    fn run(
        &self,
        stack: &Stack,
        plan: &Plan,
        options: &run::Options,
        cancel: &CancellationToken,
    ) -> impl Future<Output = Result<Report, Error>>;
}

/// Where a buildkitd comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EngineSource {
    /// One that runs.
    Address {
        /// Its address, as the user wrote it.
        text: String,
        /// Whether it may be on another machine, although the connection is not encrypted.
        is_insecure_allowed: bool,
    },
    /// One started for the run.
    Private {
        /// The folder of its state, kept between runs; `None` if the environment has none.
        state: Option<PathBuf>,
        /// Where a folder for its socket may be created, in the order of preference.
        runtime: Vec<PathBuf>,
    },
}

/// A buildkitd for one run.
pub struct Buildkit<'a> {
    /// Where it comes from.
    pub source: EngineSource,
    /// Where progress is sent.
    pub events: &'a Events,
    /// Keeps a signal from ending the process while a run stops by itself.
    pub interrupt: &'a Interrupt,
}

impl Engine for Buildkit<'_> {
    async fn run(
        &self,
        stack: &Stack,
        plan: &Plan,
        options: &run::Options,
        cancel: &CancellationToken,
    ) -> Result<Report, Error> {
        let opened = cancel.run_until_cancelled(self.open()).await;
        let connection = opened.ok_or(Error::Cancelled)??;
        // From here on a run that is cancelled stops its steps and its engine by itself.
        let _orderly = self.interrupt.begin_orderly();
        let client = connection.client();
        let report = run::run(client, stack, plan, options, self.events, cancel).await;
        if let Connection::Private(engine) = connection {
            self.phase("stopping the engine");
            if !engine.stop().await {
                self.events.send(Event::Warning {
                    text: format!(
                        "the engine did not stop within {} s and was killed",
                        PrivateEngine::STOP.as_secs()
                    ),
                });
            }
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
            EngineSource::Address {
                text,
                is_insecure_allowed,
            } => {
                let address: Address = text.parse()?;
                if address.is_remote() && !is_insecure_allowed {
                    return Err(Error::Buildkit(buildkit::Error::Insecure {
                        address: address.to_string(),
                    }));
                }
                let client = Client::connect(&address, CONNECT).await?;
                Ok(Connection::Running(client))
            }
            EngineSource::Private { state, runtime } => {
                self.phase("starting the engine");
                let options = EngineOptions {
                    state: state.clone().ok_or(Error::NoStateFolder)?,
                    runtime: runtime.clone(),
                };
                let notice = |notice| self.events.send(notice_event(&notice));
                let engine = PrivateEngine::start(&options, notice).await?;
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

/// Returns the message about an engine that starts.
fn notice_event(notice: &Notice) -> Event {
    match notice {
        Notice::Waiting => Event::Note {
            text: "the engine is in use by another laminate; waiting".to_owned(),
        },
        Notice::NoSandbox => Event::Warning {
            text: "steps can see and end processes of the engine: process namespaces are not permitted here"
                .to_owned(),
        },
        Notice::OnTmpfs(state) => Event::Warning {
            text: format!(
                "the engine's state {} is on a tmpfs, where steps may fail with `Invalid cross-device link`; set XDG_STATE_HOME to a folder on a disk",
                state.display()
            ),
        },
    }
}
