//! The data of templates: texts, not escaped, and the page of each link.
//!
//! Main type: [`Book`], a [`Wiki`] with the names of its pages.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::Wiki;
use super::names::{self, Names};
use super::parts::{Link, size, time};
use super::verdicts::verdicts;
use crate::evidence::Evidence;
use crate::name::{Commit, Digest};
use crate::record::{ADOPTED, LedgerEntry, MoveKind, ReleaseImage, StoredRelease};

/// The number of moves that are listed of a channel.
const MOVES: usize = 20;

/// An image of a release, as a row of a table.
#[derive(Serialize)]
pub struct Row {
    image: String,
    image_page: Option<String>,
    variant: Option<String>,
    tag: String,
    page: Option<String>,
    reference: String,
    pinned: String,
    digest: String,
    size: String,
    base: Link,
    verdicts: String,
    channels: String,
    commit: String,
    time: String,
}

/// The first page.
#[derive(Serialize)]
pub struct Home {
    stack: String,
    release: String,
    commit: String,
    time: String,
    has_variants: bool,
    rows: Vec<Row>,
    channels: Vec<ChannelView>,
}

/// The page of all channels.
#[derive(Serialize)]
pub struct Stable {
    stack: String,
    channels: Vec<ChannelView>,
}

/// A channel.
#[derive(Serialize)]
struct ChannelView {
    name: String,
    /// The last move; `None` before the first one.
    at: Option<MoveView>,
    images: Vec<TagView>,
    moves: Vec<MoveView>,
    left_out: usize,
}

/// A move of a channel.
#[derive(Serialize)]
struct MoveView {
    seq: u64,
    kind: String,
    release: String,
    commit: String,
    time: String,
    by: String,
    reason: String,
    /// What was passed over for it.
    exceptions: Vec<String>,
}

#[derive(Serialize)]
struct TagView {
    image: Link,
    reference: String,
    digest: String,
}

/// The page of bases and children.
#[derive(Serialize)]
pub struct Lineage {
    stack: String,
    release: String,
    commit: String,
    nodes: Vec<Node>,
    arrows: Vec<(String, String)>,
    tree: Vec<Branch>,
}

#[derive(Serialize)]
struct Node {
    id: String,
    text: String,
    is_external: bool,
}

#[derive(Serialize)]
struct Branch {
    indent: String,
    /// An external base has no page.
    link: Link,
    digest: Option<String>,
}

/// The sidebar of a wiki.
#[derive(Serialize)]
pub struct Sidebar {
    stack: String,
    images: Vec<Link>,
}

/// The page of an image.
#[derive(Serialize)]
pub struct Image {
    image: String,
    has_variants: bool,
    newest: Vec<Row>,
    rows: Vec<Row>,
}

/// A [`Wiki`] with the names of its pages.
pub struct Book<'a> {
    wiki: &'a Wiki,
    names: Names,
    has_variants: bool,
}

impl<'a> Book<'a> {
    /// Names all pages.
    pub fn new(wiki: &'a Wiki) -> Self {
        let images = || {
            wiki.releases
                .iter()
                .flat_map(|stored| &stored.release.images)
        };
        Self {
            wiki,
            names: Names::new(wiki.releases.iter()),
            has_variants: images().any(|image| image.variant.is_some()),
        }
    }

    /// Returns every image of every release, with its page.
    pub fn images(&self) -> impl Iterator<Item = (&str, &'a str)> {
        let images = self
            .wiki
            .releases
            .iter()
            .flat_map(|stored| &stored.release.images);
        let names: BTreeSet<&str> = images.map(|image| image.image.as_str()).collect();
        names
            .into_iter()
            .filter_map(|image| Some((self.names.image(image)?, image)))
    }

    /// Returns the page of an image in a release, if it is generated now or exists already.
    pub fn page(&self, release: &Digest, image: &ReleaseImage) -> Option<&str> {
        let page = self.names.release(release, image)?;
        let is_there = self.wiki.details.contains_key(release)
            || self.wiki.written.contains(&names::file(page));
        is_there.then_some(page)
    }

    /// Returns the release on the first page.
    fn shown(&self) -> &'a StoredRelease {
        let mut releases = self.wiki.releases.iter();
        releases
            .find(|stored| stored.digest == self.wiki.shown)
            .expect("`shown` is one of the releases")
    }

    /// Returns the row of an image.
    pub fn row(&self, stored: &StoredRelease, image: &ReleaseImage) -> Row {
        let StoredRelease { digest, release } = stored;
        let evidence = self.evidence(stored, image);
        let tag = names::tag(image);
        let base = match release.parent(image) {
            Some(base) => Link {
                text: base.image.clone(),
                page: self.page(digest, base).map(str::to_owned),
            },
            None => Link {
                text: image.base.clone().unwrap_or_else(|| "none".to_owned()),
                page: None,
            },
        };
        Row {
            image: image.image.clone(),
            image_page: self.names.image(&image.image).map(str::to_owned),
            variant: image.variant.clone(),
            tag: tag.to_owned(),
            page: self.page(digest, image).map(str::to_owned),
            reference: format!("{}:{tag}", image.repository),
            pinned: format!("{}@{}", image.repository, image.digest),
            digest: image.digest.short().to_owned(),
            size: size(image.size),
            base,
            verdicts: verdicts(image, evidence),
            channels: self.channels_at(image).join(", "),
            commit: abbreviated(release.commit.as_ref()),
            time: time(release.time),
        }
    }

    fn evidence(&self, stored: &StoredRelease, image: &ReleaseImage) -> Option<&'a Evidence> {
        let known = self.wiki.details.get(&stored.digest)?;
        let label = image.label();
        let mut images = stored.release.images.iter();
        let index = images.position(|image| image.label() == label)?;
        known.get(index)?.evidence.as_ref()
    }

    /// Returns the channels that have this digest of the image.
    fn channels_at(&self, image: &ReleaseImage) -> Vec<String> {
        let label = image.label();
        let at = |entry: &LedgerEntry| {
            let mut images = entry.images.iter();
            images.any(|step| step.label == label && step.new == image.digest)
        };
        let channels = self.wiki.channels.iter();
        channels
            .filter(|channel| channel.entries.first().is_some_and(at))
            .map(|channel| channel.name.clone())
            .collect()
    }

    fn rows(&self, stored: &StoredRelease) -> Vec<Row> {
        let images = stored.release.images.iter();
        images.map(|image| self.row(stored, image)).collect()
    }

    /// Returns the first page.
    pub fn home(&self) -> Home {
        let shown = self.shown();
        Home {
            stack: self.wiki.stack.clone(),
            release: shown.digest.short().to_owned(),
            commit: whole(shown.release.commit.as_ref()),
            time: time(shown.release.time),
            has_variants: self.has_variants,
            rows: self.rows(shown),
            channels: self.channels(),
        }
    }

    /// Returns the page of all channels.
    pub fn stable(&self) -> Stable {
        Stable {
            stack: self.wiki.stack.clone(),
            channels: self.channels(),
        }
    }

    fn channels(&self) -> Vec<ChannelView> {
        let channels = self.wiki.channels.iter();
        channels
            .map(|channel| {
                let at = channel.entries.first();
                let moves = channel.entries.iter().take(MOVES);
                ChannelView {
                    name: channel.name.clone(),
                    at: at.map(move_view),
                    images: at.map(|entry| self.tags(entry)).unwrap_or_default(),
                    moves: moves.map(move_view).collect(),
                    left_out: channel.entries.len().saturating_sub(MOVES),
                }
            })
            .collect()
    }

    fn tags(&self, entry: &LedgerEntry) -> Vec<TagView> {
        let mut releases = self.wiki.releases.iter();
        let release = releases.find(|stored| entry.release == stored.digest);
        let images = entry.images.iter().map(|step| {
            let image = release.and_then(|StoredRelease { digest, release }| {
                let mut images = release.images.iter();
                let image = images.find(|image| image.label() == step.label)?;
                self.page(digest, image)
            });
            TagView {
                image: Link {
                    text: step.label.clone(),
                    page: image.map(str::to_owned),
                },
                reference: format!("{}:{}", step.repository, step.tag),
                digest: step.new.to_string(),
            }
        });
        images.collect()
    }

    /// Returns the sidebar.
    pub fn sidebar(&self) -> Sidebar {
        let images = self.images().map(|(page, image)| Link {
            text: image.to_owned(),
            page: Some(page.to_owned()),
        });
        Sidebar {
            stack: self.wiki.stack.clone(),
            images: images.collect(),
        }
    }

    /// Returns the page of bases and children.
    pub fn lineage(&self) -> Lineage {
        let stored = self.shown();
        let StoredRelease { digest, release } = stored;
        let mut nodes = Vec::new();
        let mut arrows = Vec::new();
        let mut external: BTreeMap<String, String> = BTreeMap::new();
        let mut children: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (index, image) in release.images.iter().enumerate() {
            let id = format!("i{index}");
            let from = match release.parent(image) {
                Some(parent) => {
                    let same = |other: &ReleaseImage| std::ptr::eq(other, parent);
                    let at = release.images.iter().position(same);
                    format!("i{}", at.expect("it was found there"))
                }
                None => {
                    let number = external.len();
                    let text = external_base(image);
                    let id = external.entry(text).or_insert_with_key(|text| {
                        let id = format!("o{number}");
                        nodes.push(Node {
                            id: id.clone(),
                            text: text.split('@').next().unwrap_or(text).to_owned(),
                            is_external: true,
                        });
                        id
                    });
                    id.clone()
                }
            };
            nodes.push(Node {
                id: id.clone(),
                text: image.label(),
                is_external: false,
            });
            children.entry(from.clone()).or_default().push(index);
            arrows.push((from, id));
        }
        let mut tree = Vec::new();
        for (text, id) in &external {
            let (name, pinned) = match text.split_once('@') {
                Some((name, pinned)) => (name, Some(pinned)),
                None => (text.as_str(), None),
            };
            tree.push(Branch {
                indent: String::new(),
                link: Link {
                    text: name.to_owned(),
                    page: None,
                },
                digest: pinned.map(str::to_owned),
            });
            self.branches(stored, &children, id, 1, &mut tree);
        }
        Lineage {
            stack: self.wiki.stack.clone(),
            release: digest.short().to_owned(),
            commit: whole(release.commit.as_ref()),
            nodes,
            arrows,
            tree,
        }
    }

    fn branches(
        &self,
        stored: &StoredRelease,
        children: &BTreeMap<String, Vec<usize>>,
        id: &str,
        depth: usize,
        tree: &mut Vec<Branch>,
    ) {
        for &index in children.get(id).into_iter().flatten() {
            let image = &stored.release.images[index];
            tree.push(Branch {
                indent: "    ".repeat(depth),
                link: Link {
                    text: image.label(),
                    page: self.page(&stored.digest, image).map(str::to_owned),
                },
                digest: Some(image.digest.short().to_owned()),
            });
            let id = format!("i{index}");
            self.branches(stored, children, &id, depth + 1, tree);
        }
    }

    /// Returns the page of an image.
    pub fn image(&self, image: &str) -> Image {
        let mut rows = Vec::new();
        let mut newest = Vec::new();
        let mut variants = BTreeSet::new();
        for stored in &self.wiki.releases {
            for found in stored.release.images.iter().filter(|i| i.image == image) {
                if variants.insert(found.variant.clone()) {
                    newest.push(self.row(stored, found));
                }
                rows.push(self.row(stored, found));
            }
        }
        Image {
            image: image.to_owned(),
            has_variants: rows.iter().any(|row| row.variant.is_some()),
            newest,
            rows,
        }
    }
}

fn external_base(image: &ReleaseImage) -> String {
    let base = image.base.as_deref().unwrap_or("none");
    match &image.base_digest {
        Some(digest) if !base.contains('@') => format!("{base}@{digest}"),
        _ => base.to_owned(),
    }
}

/// Returns a commit in its short form, or what stands in its place for an adopted release.
fn abbreviated(commit: Option<&Commit>) -> String {
    let commit = commit.map(Commit::abbreviated);
    commit.unwrap_or(ADOPTED).to_owned()
}

/// Returns a whole commit, or what stands in its place for an adopted release.
pub(super) fn whole(commit: Option<&Commit>) -> String {
    commit.map_or_else(|| ADOPTED.to_owned(), Commit::to_string)
}

fn move_view(entry: &LedgerEntry) -> MoveView {
    MoveView {
        seq: entry.seq,
        kind: match entry.kind {
            MoveKind::Promote => "promoted",
            MoveKind::Revert => "reverted",
            MoveKind::Abort => "aborted",
            MoveKind::Adopt => "adopted",
        }
        .to_owned(),
        release: entry.release.short().to_owned(),
        commit: abbreviated(entry.commit.as_ref()),
        time: time(entry.time),
        by: entry.actor.clone(),
        reason: entry.reason.clone().unwrap_or_default(),
        exceptions: entry.exceptions(),
    }
}
