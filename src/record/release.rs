//! A release, what is stored beside it, and what its images are based on.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::name::{Commit, Digest, Reference, Repository, Tag};
use crate::plan::Component;

/// All images of a stack at one digest each, as they were published together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The name of the stack.
    pub stack: String,
    /// The oldest version of the form that it can be read as: 2 if it is adopted.
    #[serde(default = "first", skip_serializing_if = "is_first")]
    pub version: u32,
    /// The commit it was built from; `None`: it is adopted, so its images were not built by laminate.
    #[serde(default)]
    pub commit: Option<Commit>,
    /// When it was published.
    pub time: Timestamp,
    /// The id of the run that published it.
    pub run: String,
    /// The git ref it was built from, `refs/heads/main`, if that was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_ref: Option<String>,
    /// The blob with its [`StoredSpec`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Digest>,
    /// The blob with the [`StoredManifests`] of its images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifests: Option<Digest>,
    /// Parents before children.
    pub images: Vec<ReleaseImage>,
}

/// Manifests of a release's images as they are in their repositories, by digest: with them, an image that stays as it
/// is can be tagged without being read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredManifests(pub BTreeMap<Digest, StoredManifest>);

/// A manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredManifest {
    /// Its media type.
    pub media_type: String,
    /// Its bytes.
    pub text: String,
}

/// An image of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseImage {
    /// The name of the image.
    pub image: String,
    /// The variant of the stack; `None`: the stack has none.
    pub variant: Option<String>,
    /// Where it was published.
    pub repository: Repository,
    /// The manifest digest.
    pub digest: Digest,
    /// The cache key; `None`: it is adopted.
    #[serde(default)]
    pub key: Option<Digest>,
    /// What it was adopted from, as it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_from: Option<Reference>,
    /// Its immutable tags.
    pub tags: Vec<Tag>,
    /// How many images of the stack it is based on.
    pub depth: usize,
    /// The name of the image of the stack it is based on, or the reference of its external base.
    pub base: Option<String>,
    /// The digest of its external base.
    pub base_digest: Option<Digest>,
    /// The images it copies files from, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Ancestor>,
    /// Of its config and layers as stored, bytes; 0 if it was not known.
    #[serde(default)]
    pub size: u64,
    /// One per suite in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verdicts: Vec<ReleaseVerdict>,
    /// Suites the spec drops on this image, each with its reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<DroppedSuite>,
    /// Whether the checks of its policy passed; `None`: it has no policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks: Option<bool>,
    /// The key of that policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks_key: Option<Digest>,
    /// The blob with its [`Evidence`](crate::evidence::Evidence).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Digest>,
}

/// The short form of a suite's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseVerdict {
    /// The name of the suite.
    pub suite: String,
    /// The image that declares it; `None`: the stack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The suite's key at that time: another edition of the suite does not apply to this release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Digest>,
    /// The digest it ran on.
    pub digest: Digest,
    /// Whether all tests passed.
    pub passed: bool,
    /// How many tests it has.
    pub tests: u32,
    /// How many of them failed.
    pub failed: u32,
    /// Known from an earlier run.
    #[serde(default)]
    pub cached: bool,
}

impl ReleaseVerdict {
    /// Returns `passed (12 tests)` or `failed (1 of 3)`.
    pub fn outcome(&self) -> String {
        let Self { tests, failed, .. } = self;
        match (self.passed, tests) {
            (true, 1) => "passed (1 test)".to_owned(),
            (true, _) => format!("passed ({tests} tests)"),
            (false, _) => format!("failed ({failed} of {tests})"),
        }
    }
}

/// A suite the spec drops on an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedSuite {
    /// The name of the suite.
    pub suite: String,
    /// Why, in the words of the spec.
    pub reason: String,
}

fn label(variant: Option<&str>, image: &str) -> String {
    match variant {
        Some(variant) => format!("{variant}/{image}"),
        None => image.to_owned(),
    }
}

impl ReleaseImage {
    /// Returns what a reader calls it: `2021.2/scipy-ml-notebook`.
    pub fn label(&self) -> String {
        label(self.variant.as_deref(), &self.image)
    }
}

/// The spec a release was built from, with everything in it that is not in its commit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredSpec {
    /// `specs.yml` and each `images/<image>/image.yml`, as they were, by path.
    pub files: BTreeMap<String, String>,
    /// A `specs.lock` with every external image at the digest that was used.
    pub lock: String,
    /// The values of `--var` and `LAMINATE_VAR_…`.
    #[serde(default)]
    pub vars: BTreeMap<String, String>,
    /// In the order of the release's images.
    pub images: Vec<StoredImage>,
}

impl StoredSpec {
    /// Returns the image with a label, as [`ReleaseImage::label`] makes it.
    pub fn image(&self, label: &str) -> Option<&StoredImage> {
        self.images.iter().find(|image| image.label() == label)
    }
}

/// An image of a [`StoredSpec`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StoredImage {
    /// After short keys, variants and variables, all external images by digest.
    pub resolved: Value,
    /// The components of its cache key.
    pub components: Vec<Component>,
}

impl StoredImage {
    /// Returns what a reader calls it: `2021.2/scipy-ml-notebook`.
    pub fn label(&self) -> String {
        let text = |name: &str| self.resolved[name].as_str();
        label(
            text("variant").filter(|variant| !variant.is_empty()),
            text("image").unwrap_or_default(),
        )
    }
}

/// An image that another is based on, or copies files from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Ancestor {
    /// An image of the same stack.
    Image {
        /// The name of the image.
        #[serde(rename = "image")]
        name: String,
        /// Its manifest digest in the same release.
        digest: Digest,
    },
    /// An external image.
    External {
        /// As the spec has it.
        reference: String,
        /// `None`: it was not known.
        digest: Option<Digest>,
    },
}

impl Ancestor {
    /// Returns the name in the spec.
    pub fn name(&self) -> &str {
        match self {
            Self::Image { name, .. } => name,
            Self::External { reference, .. } => reference,
        }
    }

    /// Returns it with the first digits of the digest.
    pub fn short(&self) -> String {
        self.shown(Digest::short)
    }

    fn shown(&self, shown: impl Fn(&Digest) -> &str) -> String {
        match self {
            Self::Image { name, digest } => format!("{name}@{}", shown(digest)),
            Self::External { reference, digest } => match digest {
                // A spec may pin its base itself.
                Some(digest) if !reference.contains('@') => {
                    format!("{reference}@{}", shown(digest))
                }
                _ => reference.clone(),
            },
        }
    }
}

impl fmt::Display for Ancestor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown(Digest::as_str))
    }
}

/// The version of the form of releases and ledger entries that all versions of laminate can read.
pub(super) fn first() -> u32 {
    1
}

/// Whether every version of laminate can read a document.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
pub(super) fn is_first(version: &u32) -> bool {
    *version == first()
}

/// Returns what a release was made from, for people: `commit d021570`, or `adopted`.
pub fn origin(commit: Option<&Commit>) -> String {
    match commit {
        Some(commit) => format!("commit {}", commit.short()),
        None => ADOPTED.to_owned(),
    }
}

/// What stands in place of the commit of an adopted release.
pub const ADOPTED: &str = "adopted";

impl Release {
    /// The version of the form that adopted releases have.
    pub const ADOPTED_VERSION: u32 = 2;

    /// Whether its images were there before laminate.
    pub fn is_adopted(&self) -> bool {
        self.commit.is_none()
    }

    /// Returns the image with a label.
    pub fn image(&self, label: &str) -> Option<&ReleaseImage> {
        self.images.iter().find(|image| image.label() == label)
    }

    /// Returns what an image of it is based on; `None` if that is not in the record.
    pub fn base(&self, image: &ReleaseImage) -> Option<Ancestor> {
        let name = image.base.clone()?;
        if image.depth == 0 {
            return Some(Ancestor::External {
                reference: name,
                digest: image.base_digest.clone(),
            });
        }
        let digest = self.parent(image)?.digest.clone();
        Some(Ancestor::Image { name, digest })
    }

    /// Returns the image of the stack that an image is based on.
    pub fn parent(&self, image: &ReleaseImage) -> Option<&ReleaseImage> {
        let name = image.base.as_ref()?;
        let is_it = |other: &&ReleaseImage| {
            other.image == *name && other.variant == image.variant && other.depth < image.depth
        };
        self.images.iter().find(is_it)
    }

    /// Returns an image and the images of the stack it is based on, the nearest first.
    pub fn with_parents<'a>(
        &'a self,
        image: &'a ReleaseImage,
    ) -> impl Iterator<Item = &'a ReleaseImage> {
        std::iter::successors(Some(image), |image| self.parent(image))
    }

    /// Returns everything an image is based on, its base first.
    pub fn lineage(&self, image: &ReleaseImage) -> Vec<Ancestor> {
        let images = self.with_parents(image);
        images.filter_map(|image| self.base(image)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn release() -> Release {
        let image = |name: &str, variant: &str, depth: usize, base: &str| {
            json!({
                "image": name, "variant": variant, "depth": depth, "base": base,
                "repository": format!("registry.example/{name}"), "tags": ["1"],
                "digest": Digest::of(format!("{variant}/{name}").as_bytes()),
                "key": Digest::of(name.as_bytes()),
                "base_digest": (depth == 0).then(|| Digest::of(b"debian")),
            })
        };
        serde_json::from_value(json!({
            "stack": "s", "commit": "d021570", "time": "2026-11-24T12:00:00Z", "run": "r",
            "images": [
                image("base", "1", 0, "debian:bookworm"), image("leaf", "1", 1, "base"),
                image("base", "2", 0, "debian:bookworm"), image("top", "1", 2, "leaf"),
            ],
        }))
        .expect("a release")
    }

    #[test]
    fn a_parent_is_of_the_same_variant_and_below() {
        let release = release();
        let image = |label: &str| release.image(label).expect("it has it");
        let parent = release.parent(image("1/leaf")).expect("it has one");
        assert_eq!(parent.label(), "1/base");
        assert_eq!(release.parent(image("2/base")), None);
        let all = release.with_parents(image("1/top"));
        let all: Vec<String> = all.map(ReleaseImage::label).collect();
        assert_eq!(all, ["1/top", "1/leaf", "1/base"]);
    }

    #[test]
    fn a_base_that_the_spec_pins_is_shown_once() {
        let (digest, other) = (Digest::of(b"debian"), Digest::of(b"other"));
        let external = |reference: String| Ancestor::External {
            reference,
            digest: Some(digest.clone()),
        };
        let plain = external("debian:bookworm".to_owned());
        assert_eq!(plain.to_string(), format!("debian:bookworm@{digest}"));
        assert_eq!(plain.short(), format!("debian:bookworm@{}", digest.short()));
        let pinned = format!("debian@{other}");
        assert_eq!(external(pinned.clone()).to_string(), pinned);
    }

    #[test]
    fn an_adopted_release_has_neither_commit_nor_keys() {
        let mut release = release();
        assert!(!release.is_adopted());
        release.version = Release::ADOPTED_VERSION;
        release.commit = None;
        for image in &mut release.images {
            let from = Reference::parse("old.example/base:stable").expect("a reference");
            (image.key, image.adopted_from) = (None, Some(from));
        }
        let written = serde_json::to_value(&release).expect("plain data");
        assert_eq!(written["version"], 2);
        assert_eq!(
            written["images"][0]["adopted_from"],
            "old.example/base:stable"
        );
        let read: Release = serde_json::from_value(written).expect("a release");
        assert!(read.is_adopted() && read == release);
        assert_eq!(origin(read.commit.as_ref()), "adopted");
    }

    #[test]
    fn a_release_is_written_as_it_is_read() {
        let release = release();
        let written = serde_json::to_string(&release).expect("plain data");
        let read: Release = serde_json::from_str(&written).expect("a release");
        assert_eq!(read, release);
        let invalid = written.replace("registry.example/leaf", "registry.example/Leaf");
        assert!(serde_json::from_str::<Release>(&invalid).is_err());
    }
}
