//! A channel of three images in the fake registry, and releases to move it to.

use std::time::Duration;

use super::fake::Fake;
use laminate::name::{Digest, Repository, Tag};
use laminate::registry::{Options, Registry};
use laminate::release::Kind;
use laminate::release::channel::{Channel, Order, Target};

pub fn options() -> Options {
    Options {
        backoff: Duration::from_millis(1),
        timeout: Duration::from_secs(2),
        settling: Duration::from_secs(1),
        contest: Duration::ZERO,
        ..Options::default()
    }
}

/// A registry and the ledger in it.
pub struct World {
    pub fake: Fake,
    pub registry: Registry,
    pub staging: Repository,
}

impl World {
    pub async fn start() -> Self {
        Self::with(Registry::new(options()).expect("a client")).await
    }

    pub async fn with(registry: Registry) -> Self {
        let fake = Fake::start().await;
        let staging = repository(&fake, "ns/staging");
        Self {
            fake,
            registry,
            staging,
        }
    }

    pub fn channel(&self) -> Channel<'_> {
        self.channel_of(&self.registry)
    }

    /// The same as another process sees it.
    pub fn channel_of<'a>(&'a self, registry: &'a Registry) -> Channel<'a> {
        Channel {
            registry,
            staging: &self.staging,
            name: "stable",
        }
    }
}

pub const IMAGES: [&str; 3] = ["base", "left", "right"];

pub fn repository(fake: &Fake, path: &str) -> Repository {
    Repository::parse(&format!("{}/{path}", fake.host)).expect("a repository")
}

/// The images of a release, in their own repositories.
pub fn release(fake: &Fake, version: &str) -> Vec<Target> {
    IMAGES
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let text =
                format!(r#"{{"schemaVersion": 2, "annotations": {{"is": "{name} {version}"}}}}"#);
            fake.add_manifest(
                &format!("ns/{name}"),
                &format!("r-{version}"),
                text.as_bytes(),
            );
            Target {
                label: (*name).to_owned(),
                repository: repository(fake, &format!("ns/{name}")),
                tag: Tag::parse("stable").expect("a tag"),
                digest: Digest::of(text.as_bytes()),
                depth: number.min(1),
            }
        })
        .collect()
}

pub fn order(version: &str) -> Order {
    Order {
        kind: Kind::Promote,
        release: Digest::of(version.as_bytes()),
        commit: version.to_owned(),
        actor: "a test".to_owned(),
        time: "2026-11-24T12:00:00Z".to_owned(),
        reason: None,
        waived: Vec::new(),
        required: Vec::new(),
        accept_drift: false,
        dry_run: false,
    }
}

pub fn at(fake: &Fake, targets: &[Target]) -> Vec<bool> {
    let there = |target: &Target| fake.tag(target.repository.path(), "stable");
    targets
        .iter()
        .map(|target| there(target).as_deref() == Some(target.digest.as_str()))
        .collect()
}
