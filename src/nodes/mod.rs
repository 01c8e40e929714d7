//! Manifests for a Kubernetes cluster about a channel, and the images its nodes report.
//!
//! [`Pinned`] is a channel at one release; [`daemon_sets`] has every node pull it, [`values`] offers it
//! to users of Zero-to-JupyterHub, and [`reported`] compares it with lists of what is on the nodes. Plain
//! data in, plain data out; `prepull` calls it.

mod daemon_set;
mod lane;
mod placement;
pub mod reported;
mod values;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::name::{Commit, Digest, Repository, Tag};

pub use daemon_set::{Options, daemon_sets};
pub use lane::lanes;
pub use placement::{Label, ObjectName, Toleration};
pub use values::values;

/// A channel at one release.
#[derive(Clone, Debug)]
pub struct Pinned {
    /// The name of the channel.
    pub channel: String,
    /// The digest of the release's record.
    pub release: Digest,
    /// The commit of the release; `None`: it is adopted.
    pub commit: Option<Commit>,
    /// The images that nodes pull.
    pub images: Vec<Image>,
}

/// An image as nodes pull it.
#[derive(Clone, Debug)]
pub struct Image {
    /// `VARIANT/IMAGE`, or `IMAGE` in a stack without variants.
    pub label: String,
    /// Its repository.
    pub repository: Repository,
    /// The channel's tag.
    pub tag: Tag,
    /// The digest of its manifest.
    pub digest: Digest,
    /// The architecture in its config, by Go's name: `amd64`.
    pub architecture: Option<String>,
    /// The lowest layer first.
    pub layers: Vec<Layer>,
}

/// A layer as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The digest of the blob.
    pub digest: Digest,
    /// Its size, compressed.
    pub bytes: u64,
}

impl Image {
    /// Returns the reference by digest, which never points to another image.
    pub fn by_digest(&self) -> String {
        format!("{}@{}", self.repository, self.digest)
    }

    /// Returns the variant, in a stack with variants.
    pub fn variant(&self) -> Option<&str> {
        self.label.split_once('/').map(|(variant, _)| variant)
    }

    /// Returns the image's name.
    pub fn name(&self) -> &str {
        self.label
            .split_once('/')
            .map_or(&self.label, |(_, name)| name)
    }
}

/// Objects as YAML, each a document.
pub fn yaml(documents: &[Value]) -> String {
    let options = serde_saphyr::ser_options! {
        // A long reference is one word; folded it would be harder to read and to search for.
        prefer_block_scalars: false,
    };
    serde_saphyr::to_string_multiple_with_options(documents, options).expect("plain data")
}

/// The part of a name that an object in Kubernetes can have: lower-case letters, digits and `-`, at
/// most `longest` (RFC 1123, as the API's "DNS label names" have it). A text that has to be changed
/// for it also gets a part of its hash, so that two texts never become one name.
fn dns_label(text: &str, longest: usize) -> String {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let plain: String = text
        .to_ascii_lowercase()
        .chars()
        .map(|c| if legal(c) { c } else { '-' })
        .collect();
    let plain = plain.trim_matches('-');
    if plain == text && text.len() <= longest {
        return plain.to_owned();
    }
    let hash = Digest::of(text.as_bytes());
    let hash = &hash.hex()[..6];
    let short: String = plain.chars().take(longest - hash.len() - 1).collect();
    match short.trim_end_matches('-') {
        "" => hash.to_owned(),
        short => format!("{short}-{hash}"),
    }
}

/// A name for each image, that of its label if that is unique.
fn dns_labels(images: &[Image], longest: usize) -> Vec<String> {
    let mut seen = BTreeSet::new();
    images
        .iter()
        .map(|image| {
            // `2021.2/ml` reads as `ml-2021-2`; only two that read alike need their hashes.
            let text = match image.variant() {
                Some(variant) => format!("{}-{}", image.name(), variant.to_ascii_lowercase()),
                None => image.name().to_owned(),
            };
            let text = text.replace(['.', '_'], "-");
            let name = dns_label(&text, longest);
            if seen.insert(name.clone()) {
                name
            } else {
                let name = dns_label(&format!("{}/", image.label), longest);
                seen.insert(name.clone());
                name
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
