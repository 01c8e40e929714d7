//! The releases of a staging repository, for commands that only read them. These need a registry alone:
//! neither git nor an engine, and with `--staging` not even the spec.

use std::collections::BTreeSet;

use tokio_util::sync::CancellationToken;

use super::args::Global;
use super::{Exit, Failure, context};
use crate::diagnostic::nearest;
use crate::event::{Event, Events};
use crate::name::{Digest, Repository};
use crate::record::{GateVerdict, Release, Releases, StoredRelease, StoredSpec};
use crate::registry::Credentials;
use crate::release::{
    self,
    gates::{self, SpecGates},
};
use crate::staging::{Listed, Staging};

/// All releases, and the staging repository they are in.
pub(super) struct Records {
    pub(super) staging: Staging,
    pub(super) all: Releases,
    /// Gates that evidence from outside proves, by the spec; none without one.
    gates: BTreeSet<String>,
    /// Whether the spec declares no channel; false without a spec.
    has_no_channels: bool,
}

impl Records {
    /// Reads all releases; with `--variant`, only the images of these variants.
    pub(super) async fn open(
        global: &Global,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<Self, Failure> {
        let (repository, gates, has_no_channels) = repository(global).await?;
        let registry = context::registry(Credentials::from_environment(), events, cancel)?;
        events.send(Event::Phase {
            text: "asking the registry".to_owned(),
        });
        let records = Self::read(Staging::new(&registry, &repository), global, events).await?;
        Ok(Self {
            gates,
            has_no_channels,
            ..records
        })
    }

    /// Reads them from a staging repository that is known, as a part of a phase that the caller has reported.
    pub(super) async fn read(
        staging: Staging,
        global: &Global,
        events: &Events,
    ) -> Result<Self, Failure> {
        let (mut all, errors) = release::releases(&staging).await?;
        warn_of(&errors, events);
        if !global.variants.is_empty() {
            let wanted = |variant: &Option<String>| {
                let variant = variant.as_ref();
                variant.is_some_and(|variant| global.variants.contains(variant))
            };
            for stored in &mut all.list {
                stored.release.images.retain(|image| wanted(&image.variant));
            }
        }
        Ok(Self {
            staging,
            all,
            gates: BTreeSet::new(),
            has_no_channels: false,
        })
    }

    /// Returns the release a user means.
    pub(super) fn find(&self, name: &str) -> Result<&StoredRelease, Failure> {
        self.all.find(name).ok_or_else(|| {
            let failure = Failure::from(release::Error::NoRelease {
                name: name.to_owned(),
            });
            let channels = self.all.channels.iter().map(|entry| entry.channel.as_str());
            match nearest(name, channels) {
                Some(near) => failure.help(format!("did you mean channel `{near}`?")),
                None if name == "latest" && !self.all.list.is_empty() => failure.help(format!(
                    "the newest release is `{}`",
                    self.all.list[0].digest.short()
                )),
                None if self.has_no_channels && self.all.channels.is_empty() => {
                    failure.help("no channels are declared in specs.yml")
                }
                None => failure,
            }
        })
    }

    /// Returns the release a user means; by default the newest one, which [`Releases::sort`] puts first.
    pub(super) fn find_or_newest(&self, name: Option<&str>) -> Result<&StoredRelease, Failure> {
        if let Some(name) = name {
            return self.find(name);
        }
        self.all.list.first().ok_or_else(|| {
            Failure::new(Exit::Usage, "there are no releases yet")
                .help("`laminate build --push` records one")
        })
    }

    /// Returns the labels of the images a user means by `IMAGE` or `VARIANT/IMAGE`, in any release.
    pub(super) fn labels(&self, name: &str) -> Result<Vec<String>, Failure> {
        let mut labels: Vec<String> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        let images = self
            .all
            .list
            .iter()
            .flat_map(|stored| &stored.release.images);
        for image in images {
            let label = image.label();
            if (label == name || image.image == name) && !labels.contains(&label) {
                labels.push(label);
            }
            if !names.contains(&image.image) {
                names.push(image.image.clone());
            }
        }
        if !labels.is_empty() {
            Ok(labels)
        } else {
            let text = format!("unknown image `{name}`: no release has it");
            let failure = Failure::new(Exit::Usage, text);
            Err(match nearest(name, names.iter().map(String::as_str)) {
                Some(near) => failure.help(format!("did you mean `{near}`?")),
                None => failure,
            })
        }
    }

    /// Returns the names of the channels that are at a release.
    pub(super) fn channels(&self, digest: &Digest) -> Vec<String> {
        let at = self.all.at(digest);
        at.map(|entry| entry.channel.clone()).collect()
    }

    /// Returns the verdicts from outside on the images of a release, for the gates of the spec.
    pub(super) async fn verdicts(&self, release: &Release) -> Result<Vec<GateVerdict>, Failure> {
        let images = &release.images;
        Ok(gates::verdicts_on(&self.staging, &self.gates, images).await?)
    }

    /// Returns the spec a release was built from.
    pub(super) async fn spec(&self, release: &Release) -> Result<Option<StoredSpec>, Failure> {
        Ok(self.staging.spec_of(release).await?)
    }
}

/// Reports documents that were passed over because they cannot be read.
pub(super) fn warn_of_unreadable<T>(listed: &Listed<T>, events: &Events) {
    warn_of(&listed.unreadable, events);
}

fn warn_of(errors: &[impl std::fmt::Display], events: &Events) {
    for error in errors {
        events.send(Event::Warning {
            text: format!("{error}; continuing without it"),
        });
    }
}

/// Returns the staging repository; and, if that takes the spec, the gates that evidence from outside proves, and whether it
/// declares no channel.
async fn repository(global: &Global) -> Result<(Repository, BTreeSet<String>, bool), Failure> {
    let none = || {
        Failure::new(
            Exit::Environment,
            "no registry is set to read releases from",
        )
        .help("set `registry:` in specs.yml, --registry or --staging")
    };
    let Some(text) = global.staging.as_ref().filter(|text| !text.is_empty()) else {
        let stack = context::load(global).await?.stack;
        let gates = SpecGates::new(&stack).proven_outside(&stack);
        let repository = stack.staging().cloned().ok_or_else(none)?;
        return Ok((repository, gates, stack.channels().is_empty()));
    };
    let wrong = |reason: String| Failure::new(Exit::Usage, format!("--staging {text}: {reason}"));
    match Repository::parse(text) {
        Ok(repository) if Repository::names_host(text) => Ok((repository, BTreeSet::new(), false)),
        Ok(_) => Err(wrong("the registry's host is missing".to_owned())),
        Err(error) => Err(wrong(error.to_string())),
    }
}
