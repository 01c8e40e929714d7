//! The stack, its registry and its staging repository: what commands about releases start from.

use super::args::Global;
use super::context::{self, Context};
use super::{Exit, Failure};
use crate::diagnostic::nearest;
use crate::event::{Event, Events};
use crate::gather;
use crate::name::{Digest, Repository};
use crate::registry::{Credentials, Registry};
use crate::release::channel::{Channel, Target};
use crate::release::{self, Release};
use crate::stack;

/// Where releases and ledgers are.
pub struct Place {
    pub context: Context,
    pub registry: Registry,
    pub staging: Repository,
}

impl Place {
    pub fn open(global: &Global, events: &Events) -> Result<Self, Failure> {
        let context = context::load(global)?;
        let staging = context.stack.staging.clone().ok_or_else(|| {
            Failure::new(Exit::Surroundings, "there is no registry with releases")
                .help("set `registry:` in specs.yml, --registry or LAMINATE_REGISTRY")
        })?;
        events.send(Event::Phase {
            text: "asking the registry".to_owned(),
        });
        Ok(Self {
            context,
            registry: context::registry(Credentials::from_environment())?,
            staging,
        })
    }

    pub fn channel<'a>(&'a self, name: &'a str) -> Channel<'a> {
        Channel {
            registry: &self.registry,
            staging: &self.staging,
            name,
        }
    }

    pub fn declared(&self, name: &str) -> Result<&stack::Channel, Failure> {
        let all = &self.context.stack.channels;
        all.iter()
            .find(|channel| channel.name == name)
            .ok_or_else(|| {
                let names = || all.iter().map(|channel| channel.name.as_str());
                let failure = Failure::new(Exit::Usage, format!("there is no channel `{name}`"));
                match nearest(name, names()) {
                    Some(near) => failure.help(format!("did you mean `{near}`?")),
                    None if all.is_empty() => {
                        failure.help("specs.yml declares none, under `channels:`")
                    }
                    None => failure.help(format!(
                        "there are: {}",
                        names().collect::<Vec<_>>().join(", ")
                    )),
                }
            })
    }

    /// The tags a channel moves, each to its image of the release.
    pub fn targets(
        &self,
        channel: &stack::Channel,
        release: &Release,
    ) -> Result<Vec<Target>, Failure> {
        let stack = &self.context.stack;
        let strange = |text: &str| {
            Failure::new(
                Exit::Surroundings,
                format!("the release names `{text}`, which is no name"),
            )
        };
        let mut list = Vec::new();
        for image in &release.images {
            let variant = stack
                .variants
                .iter()
                .position(|v| v.name.as_ref().map(ToString::to_string) == image.variant);
            let Some(tag) = variant.and_then(|index| channel.tags.get(&index)) else {
                continue;
            };
            let label = match &image.variant {
                Some(variant) => format!("{variant}/{}", image.image),
                None => image.image.clone(),
            };
            list.push(Target {
                label,
                repository: Repository::parse(&image.repository)
                    .map_err(|_| strange(&image.repository))?,
                tag: tag.clone(),
                digest: Digest::parse(&image.digest).map_err(|_| strange(&image.digest))?,
                depth: image.depth,
            });
        }
        match list.is_empty() {
            false => Ok(list),
            true => Err(Failure::new(
                Exit::Usage,
                format!("the release has no image for channel `{}`", channel.name),
            )),
        }
    }

    /// The release a user means; by default that of the commit.
    pub async fn release(&self, name: Option<&str>) -> Result<(Digest, Release), Failure> {
        let name = match name {
            Some(name) => name.to_owned(),
            None => {
                let files = [self.context.file.as_str(), "specs.lock", "images"];
                match gather::commit(&self.context.folder, &files).await? {
                    Some(commit) => commit.hash,
                    None => {
                        return Err(Failure::new(Exit::Usage, "which release?").help(
                            "this is no git repository, so name one; `laminate history` lists them",
                        ));
                    }
                }
            }
        };
        Ok(release::find(&self.registry, &self.staging, &name).await?)
    }
}
