//! A client of the fake registry, with short times, and what its tests share.

use std::time::Duration;

use super::fake::Fake;
use laminate::testing::name::{Repository, Tag};
use laminate::testing::registry::{Locator, Manifest, Options, Registry};

/// The media type of a manifest.
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// Short times.
pub fn options() -> Options {
    Options {
        backoff: Duration::from_millis(5),
        timeout: Duration::from_secs(2),
        settling: Duration::from_secs(1),
        ..Options::default()
    }
}

/// A client without credentials.
pub fn registry() -> Registry {
    Registry::new(options()).expect("valid in this test")
}

/// A repository of the fake.
pub fn repository(fake: &Fake, path: &str) -> Repository {
    Repository::parse(&format!("{}/{path}", fake.host)).expect("valid in this test")
}

/// A tag to look up.
pub fn tag(text: &str) -> Locator {
    Locator::Tag(Tag::parse(text).expect("valid"))
}

/// A manifest that differs by its text.
pub fn manifest(text: &str) -> Manifest {
    Manifest::new(
        format!(r#"{{"schemaVersion": 2, "annotations": {{"a": "{text}"}}}}"#),
        OCI,
    )
}

/// The error's text with the fake's port taken out.
pub fn text(fake: &Fake, error: &impl std::fmt::Display) -> String {
    error.to_string().replace(&fake.host, "HOST")
}
