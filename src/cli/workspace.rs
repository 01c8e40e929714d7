//! The stack and its staging repository: what commands about releases start from.

use tokio_util::sync::CancellationToken;

use super::args::Global;
use super::context::{self, Context};
use super::{Exit, Failure};
use crate::diagnostic::nearest;
use crate::event::{Event, Events};
use crate::git;
use crate::interrupt::{Interrupt, TagLog};
use crate::record::StoredRelease;
use crate::registry::Credentials;
use crate::release::{self, Channel};
use crate::stack;
use crate::staging::Staging;

/// A stack and its staging repository.
pub struct Workspace {
    /// The stack as loaded.
    pub context: Context,
    /// Where its releases and channels are.
    pub staging: Staging,
}

impl Workspace {
    /// Loads the stack and makes a client of its registry, whose requests `stop` ends. Nothing is contacted.
    pub async fn open(
        global: &Global,
        events: &Events,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        Self::open_with(global, events, stop, &TagLog::default()).await
    }

    /// Opens one for a command that moves tags, which are added to the log of the interruptions.
    pub async fn open_to_move(
        global: &Global,
        events: &Events,
        interrupt: &Interrupt,
    ) -> Result<Self, Failure> {
        Self::open_with(global, events, interrupt.stop(), interrupt.log()).await
    }

    async fn open_with(
        global: &Global,
        events: &Events,
        stop: &CancellationToken,
        log: &TagLog,
    ) -> Result<Self, Failure> {
        let context = context::load(global).await?;
        let repository = context.stack.staging().cloned().ok_or_else(|| {
            Failure::new(Exit::Environment, "no registry to read releases from")
                .help("set `registry:` in specs.yml, --registry or LAMINATE_REGISTRY")
        })?;
        events.send(Event::Phase {
            text: "asking the registry".to_owned(),
        });
        let credentials = Credentials::from_environment();
        let registry = context::registry_with(credentials, events, stop, log)?;
        Ok(Self {
            staging: Staging::new(&registry, &repository),
            context,
        })
    }

    /// Returns a channel by name.
    pub fn channel<'a>(&'a self, name: &'a str) -> Channel<'a> {
        Channel {
            staging: &self.staging,
            name,
        }
    }

    /// Returns the declaration of a channel in the spec.
    pub fn declared(&self, name: &str) -> Result<&stack::Channel, Failure> {
        let all = self.context.stack.channels();
        all.iter()
            .find(|channel| channel.name == name)
            .ok_or_else(|| {
                let names = || all.iter().map(|channel| channel.name.as_str());
                let failure = Failure::new(Exit::Usage, format!("unknown channel `{name}`"));
                match nearest(name, names()) {
                    Some(near) => failure.help(format!("did you mean `{near}`?")),
                    None if all.is_empty() => {
                        failure.help("declare channels in specs.yml, under `channels:`")
                    }
                    None => failure.help(format!(
                        "known channels: {}",
                        names().collect::<Vec<_>>().join(", ")
                    )),
                }
            })
    }

    /// Returns the release a user means; by default that of the commit.
    pub async fn release(&self, name: Option<&str>) -> Result<StoredRelease, Failure> {
        if let Some(name) = name {
            return Ok(release::find(&self.staging, name).await?);
        }
        let Some((commit, _)) = git::read_head(&self.context.folder).await? else {
            let text = "no release given, and there is no git commit";
            return Err(Failure::new(Exit::Usage, text)
                .help("pass a release; `laminate history` lists them"));
        };
        match release::find(&self.staging, commit.as_str()).await {
            Err(release::Error::NoRelease { .. }) => {
                let text = format!("commit {} is not published as a release", commit.short());
                Err(Failure::new(Exit::Publish, text).help(
                    "publish it with `laminate build --push`, or pass a release; `laminate history` lists them",
                ))
            }
            found => Ok(found?),
        }
    }
}
