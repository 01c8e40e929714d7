//! A channel of three images in the fake registry, and releases to move it to.

use std::time::Duration;

use super::fake::Fake;
use laminate::testing::name::{Commit, Digest, Repository, Tag};
use laminate::testing::record::MoveKind;
use laminate::testing::registry::{Options, Registry};
use laminate::testing::release::{Channel, Order, Target};
use laminate::testing::staging::Staging;

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
    pub staging: Staging,
    /// The same as another process sees it.
    pub other: Staging,
}

impl World {
    pub async fn start() -> Self {
        Self::with(Registry::new(options()).expect("a client")).await
    }

    pub async fn with(registry: Registry) -> Self {
        let other = registry.clone();
        Self::with_two(registry, other).await
    }

    /// With a client for another process.
    pub async fn with_two(registry: Registry, other: Registry) -> Self {
        let fake = Fake::start().await;
        let repository = repository(&fake, "ns/staging");
        Self {
            fake,
            staging: Staging::new(&registry, &repository),
            other: Staging::new(&other, &repository),
        }
    }

    pub fn channel(&self) -> Channel<'_> {
        channel(&self.staging)
    }

    /// The same as another process sees it.
    pub fn other_channel(&self) -> Channel<'_> {
        channel(&self.other)
    }
}

fn channel(staging: &Staging) -> Channel<'_> {
    Channel {
        staging,
        name: "stable",
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
        kind: MoveKind::Promote,
        release: Digest::of(version.as_bytes()),
        commit: Commit::parse(&version.repeat(40)).ok(),
        actor: "a test".to_owned(),
        time: "2026-11-24T12:00:00Z".parse().expect("a time"),
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
