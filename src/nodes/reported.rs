//! The images that nodes report, compared with those of a channel.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::name::{Digest, Reference, Repository};
use crate::record::LedgerEntry;

/// The repository and the digest of an image.
type PinnedImage = (Repository, Digest);

/// Why a list of images cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list is not JSON.
    #[error("{origin}: {error}")]
    Json {
        /// The file it came from.
        origin: String,
        /// The fault.
        error: serde_json::Error,
    },
    /// The JSON is of another kind.
    #[error(
        "{origin} is neither a list of images (`crictl images -o json`) nor a node (`kubectl get nodes -o json`)"
    )]
    Unsupported {
        /// The file it came from.
        origin: String,
    },
}

/// A node and its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, or the name of the file.
    pub name: String,
    /// The names of each image.
    images: Vec<Vec<PinnedImage>>,
    /// Whether it may have more images than it reports.
    pub cut: bool,
}

/// A kubelet reports only its largest images (`nodeStatusMaxImages` of its configuration, 50 unless set).
const NAMED: usize = 50;

/// Reads the output of `crictl images -o json`, a node of the Kubernetes API, a list of nodes, or an array
/// of any of them. A list without the name of its node is that of the node `origin`.
pub fn nodes(origin: &str, text: &str) -> Result<Vec<Node>, Error> {
    let value: Value = serde_json::from_str(text).map_err(|error| Error::Json {
        origin: origin.to_owned(),
        error,
    })?;
    let unsupported = || Error::Unsupported {
        origin: origin.to_owned(),
    };
    let mut list = Vec::new();
    read(origin, &value, &mut list).ok_or_else(unsupported)?;
    let nameless = list.iter().filter(|node| node.name == origin).count();
    if nameless > 1 {
        let lists = list.iter_mut().filter(|node| node.name == origin);
        for (number, node) in (1..).zip(lists) {
            node.name = format!("{origin}[{number}]");
        }
    }
    Ok(list)
}

fn read(origin: &str, value: &Value, list: &mut Vec<Node>) -> Option<()> {
    if let Some(several) = value.as_array().or_else(|| value["items"].as_array()) {
        return several.iter().try_for_each(|one| read(origin, one, list));
    }
    let node = if let Some(images) = value["images"].as_array() {
        Node {
            name: origin.to_owned(),
            images: pinned_images(images, "repoDigests"),
            cut: false,
        }
    } else if value["kind"] == "Node" || value["status"]["images"].is_array() {
        // A node without images has no `images`.
        let images = value["status"]["images"].as_array();
        let images = images.map_or(&[][..], Vec::as_slice);
        Node {
            name: value["metadata"]["name"].as_str()?.to_owned(),
            images: pinned_images(images, "names"),
            cut: images.len() >= NAMED,
        }
    } else {
        return None;
    };
    list.push(node);
    Some(())
}

/// Returns the names with a digest of each image. One that is not a reference (`<none>@<none>`) was never a
/// channel's.
fn pinned_images(images: &[Value], field: &str) -> Vec<Vec<PinnedImage>> {
    let image = |name: &Value| {
        let reference = Reference::parse(name.as_str()?).ok()?;
        Some((reference.repository, reference.digest?))
    };
    images
        .iter()
        .filter_map(|image| image[field].as_array())
        .map(|names| names.iter().filter_map(image).collect())
        .collect()
}

impl Node {
    /// Returns all names of the images that have this one.
    fn named(&self, image: &PinnedImage) -> impl Iterator<Item = &PinnedImage> {
        let images = self.images.iter();
        images.filter(|names| names.contains(image)).flatten()
    }
}

/// The images of a channel: those it is at, and those it was at.
#[derive(Clone, Debug, Default)]
pub struct ChannelImages {
    /// Its images now, each with its labels: variants may have the same image.
    current: BTreeMap<PinnedImage, BTreeSet<String>>,
    /// Those it was at, and is not at now.
    old: BTreeMap<PinnedImage, BTreeSet<String>>,
    /// Those that other channels are at.
    kept: BTreeMap<PinnedImage, BTreeSet<String>>,
}

impl ChannelImages {
    /// Takes them from a channel's entries, newest first, and from the entries other channels are at.
    pub fn new<'a>(
        history: &[LedgerEntry],
        others: impl IntoIterator<Item = &'a LedgerEntry>,
    ) -> Self {
        let mut known = Self::default();
        for (number, entry) in history.iter().enumerate() {
            for step in &entry.images {
                let image = |digest: &Digest| (step.repository.clone(), digest.clone());
                for digest in step.old.iter().chain([&step.new]) {
                    let labels = known.old.entry(image(digest)).or_default();
                    labels.insert(step.label.clone());
                }
                if number == 0 {
                    let labels = known.current.entry(image(&step.new)).or_default();
                    labels.insert(step.label.clone());
                }
            }
        }
        known
            .old
            .retain(|image, _| !known.current.contains_key(image));
        for entry in others {
            for step in &entry.images {
                let image = (step.repository.clone(), step.new.clone());
                let channels = known.kept.entry(image).or_default();
                channels.insert(entry.channel.clone());
            }
        }
        known
    }
}

/// The state of an image on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The channel's tag is on it.
    Current,
    /// The channel was at it, and is not now.
    Stale,
    /// The same, but these other channels are at it.
    Kept(Vec<String>),
    /// The same, but the node's image also has a current name (two manifests of one image): removing it by
    /// one name would remove both.
    Same,
    /// The channel is at it, and the node does not have it.
    Missing,
}

impl State {
    /// Returns the word for tables and JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Stale => "stale",
            Self::Kept(_) => "kept",
            Self::Same => "same",
            Self::Missing => "missing",
        }
    }
}

/// An image of a channel on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeImage {
    /// The labels of the images with this digest.
    pub labels: Vec<String>,
    /// Its repository.
    pub repository: Repository,
    /// The digest of its manifest.
    pub digest: Digest,
    /// Its state.
    pub state: State,
}

/// Returns the images of a channel that a node has, the current ones first.
pub fn compare(known: &ChannelImages, node: &Node) -> Vec<NodeImage> {
    let node_image = |(image, labels): (&PinnedImage, &BTreeSet<String>), state: State| NodeImage {
        labels: labels.iter().cloned().collect(),
        repository: image.0.clone(),
        digest: image.1.clone(),
        state,
    };
    let current = known.current.iter().map(|one| {
        let state = match node.named(one.0).next() {
            Some(_) => State::Current,
            None => State::Missing,
        };
        node_image(one, state)
    });
    let old = known.old.iter().filter_map(|one| {
        node.named(one.0).next()?;
        let wanted = |name| known.current.contains_key(name) || known.kept.contains_key(name);
        let state = match known.kept.get(one.0) {
            Some(channels) => State::Kept(channels.iter().cloned().collect()),
            None if node.named(one.0).any(wanted) => State::Same,
            None => State::Stale,
        };
        Some(node_image(one, state))
    });
    current.chain(old).collect()
}

/// Returns the command that removes stale images from a node, to be run on it.
pub fn command(images: &[NodeImage]) -> Option<Vec<String>> {
    let stale: Vec<String> = images
        .iter()
        .filter(|one| one.state == State::Stale)
        .map(|one| format!("{}@{}", one.repository, one.digest))
        .collect();
    if stale.is_empty() {
        return None;
    }
    let command = ["crictl", "rmi"].map(str::to_owned);
    Some(command.into_iter().chain(stale).collect())
}
