//! All releases of a staging repository and the channels at them, read once; what a name means among
//! them, and what an image of one stands on.

use futures_util::future::try_join_all;
use serde::Serialize;

use super::record::{entry, tagged};
use super::{Entry, Error, Release, ReleaseImage};
use crate::name::{Digest, Repository, Tag};
use crate::registry::{Locator, Registry};

/// What the tag of a channel's last entry ends with, behind its name.
const CURRENT: &str = "-current";

/// What a staging repository knows at one moment.
#[derive(Clone, Debug, Default)]
pub struct Releases {
    /// Newest first.
    pub list: Vec<(Digest, Release)>,
    /// The entry each channel is at, by the channels' names.
    pub channels: Vec<Entry>,
}

impl Releases {
    pub async fn load(registry: &Registry, staging: &Repository) -> Result<Self, Error> {
        let tags = registry.tags(staging).await?;
        let named = |tag: &Tag| tag.as_str().strip_suffix(CURRENT).map(str::to_owned);
        let current = try_join_all(tags.iter().filter(|tag| named(tag).is_some()).map(
            |tag| async move {
                let found = entry(registry, staging, &Locator::Tag(tag.clone())).await?;
                Ok::<_, Error>(found.map(|(_, entry)| entry))
            },
        ));
        let (list, current) = tokio::try_join!(tagged(registry, staging, &tags), current)?;
        let mut channels: Vec<Entry> = current.into_iter().flatten().collect();
        channels.sort_by(|a, b| a.channel.cmp(&b.channel));
        Ok(Self { list, channels })
    }

    /// The release a user means: by its digest, commit (its newest release), run or fixed tag, or the
    /// one a channel is at now, by the channel's name or one of its tags.
    pub fn find(&self, name: &str) -> Result<&(Digest, Release), Error> {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let is_meant = |(digest, release): &&(Digest, Release)| {
            let commit = name.len() >= 7 && release.commit.starts_with(name);
            let short = hex.len() >= 7 && digest.hex().starts_with(hex);
            let mut tags = release.images.iter().flat_map(|image| &image.tags);
            commit || short || release.run == name || tags.any(|tag| tag == name)
        };
        let found = self.list.iter().find(is_meant);
        let found = found.or_else(|| {
            let named = self.channels.iter().find(|entry| entry.channel == name);
            let entry = named.or_else(|| {
                let has = |entry: &&Entry| entry.images.iter().any(|step| step.tag == name);
                self.channels.iter().find(has)
            })?;
            self.list
                .iter()
                .find(|(digest, _)| digest.as_str() == entry.release)
        });
        found.ok_or_else(|| Error::NoRelease {
            name: name.to_owned(),
        })
    }

    /// The release published before this one.
    pub fn before(&self, digest: &Digest) -> Option<&(Digest, Release)> {
        let at = self.list.iter().position(|(other, _)| other == digest)?;
        self.list.get(at + 1)
    }

    /// The entries of channels that are at this release.
    pub fn at(&self, digest: &Digest) -> impl Iterator<Item = &Entry> {
        let digest = digest.to_string();
        self.channels
            .iter()
            .filter(move |entry| entry.release == digest)
    }

    /// Releases in which an image has another digest than in the one before that has it, newest first.
    pub fn turns<'a>(&'a self, label: &str) -> Vec<Turn<'a>> {
        let having: Vec<Point> = self
            .list
            .iter()
            .filter_map(|(digest, release)| {
                let image = release.image(label)?;
                Some(Point {
                    digest,
                    release,
                    image,
                })
            })
            .collect();
        let turn = |at: usize| {
            let (now, before) = (having[at], having.get(at + 1).copied());
            let same = before.is_some_and(|before| before.image.digest == now.image.digest);
            (!same).then_some(Turn { now, before })
        };
        (0..having.len()).filter_map(turn).collect()
    }
}

/// An image in a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point<'a> {
    /// The release's.
    pub digest: &'a Digest,
    pub release: &'a Release,
    pub image: &'a ReleaseImage,
}

/// A release that gave an image another digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    pub now: Point<'a>,
    /// `None`: no release before has it.
    pub before: Option<Point<'a>>,
}

/// Something an image stands on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Ancestor {
    /// An image of the same stack.
    Image {
        #[serde(rename = "image")]
        name: String,
        digest: String,
    },
    /// From outside; the digest is missing if it was not known.
    Outside {
        reference: String,
        digest: Option<String>,
    },
}

impl Ancestor {
    /// What the spec calls it.
    pub fn name(&self) -> &str {
        match self {
            Self::Image { name, .. } => name,
            Self::Outside { reference, .. } => reference,
        }
    }

    /// With the digest's first digits.
    pub fn short(&self) -> String {
        match self {
            Self::Image { name, digest } => format!("{name}@{}", short(digest)),
            Self::Outside { reference, digest } => match digest {
                Some(digest) if !reference.contains('@') => {
                    format!("{reference}@{}", short(digest))
                }
                _ => reference.clone(),
            },
        }
    }
}

impl std::fmt::Display for Ancestor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Image { name, digest } => write!(f, "{name}@{digest}"),
            Self::Outside { reference, digest } => match digest {
                // A spec may pin its base itself.
                Some(digest) if !reference.contains('@') => write!(f, "{reference}@{digest}"),
                _ => f.write_str(reference),
            },
        }
    }
}

impl Release {
    pub fn image(&self, label: &str) -> Option<&ReleaseImage> {
        self.images.iter().find(|image| image.label() == label)
    }

    /// What an image of it is built on; `None` if that is not in the record.
    pub fn base(&self, image: &ReleaseImage) -> Option<Ancestor> {
        let name = image.base.clone()?;
        if image.depth == 0 {
            return Some(Ancestor::Outside {
                reference: name,
                digest: image.base_digest.clone(),
            });
        }
        let digest = self.parent(image)?.digest.clone();
        Some(Ancestor::Image { name, digest })
    }

    /// The image of the stack that it is built on.
    pub fn parent(&self, image: &ReleaseImage) -> Option<&ReleaseImage> {
        let name = image.base.as_ref()?;
        let is_it = |other: &&ReleaseImage| {
            other.image == *name && other.variant == image.variant && other.depth < image.depth
        };
        self.images.iter().find(is_it)
    }

    /// All that an image stands on, its base first.
    pub fn lineage(&self, image: &ReleaseImage) -> Vec<Ancestor> {
        let above = std::iter::successors(Some(image), |image| self.parent(image));
        above.filter_map(|image| self.base(image)).collect()
    }
}

/// The first 12 digits of a digest or commit.
pub fn short(digest: &str) -> &str {
    let hex = digest.strip_prefix("sha256:").unwrap_or(digest);
    hex.get(..12).unwrap_or(hex)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::{Kind, Move};

    fn image(name: &str, digest: &str, base: &str, depth: usize) -> ReleaseImage {
        ReleaseImage {
            image: name.to_owned(),
            variant: None,
            repository: format!("ghcr.io/campus/{name}"),
            digest: Digest::of(digest.as_bytes()).to_string(),
            key: Digest::of(digest.as_bytes()).to_string(),
            tags: vec![format!("1-{digest}")],
            depth,
            base: Some(base.to_owned()),
            base_digest: (depth == 0).then(|| "sha256:00112233445566".to_owned()),
            size: 0,
            verdicts: Vec::new(),
            dropped: Vec::new(),
            checks: None,
            checks_key: None,
            evidence: None,
        }
    }

    fn release(commit: &str, base: &str, leaf: Option<&str>) -> (Digest, Release) {
        let mut images = vec![image("base", base, "debian:bookworm", 0)];
        images.extend(leaf.map(|leaf| image("leaf", leaf, "base", 1)));
        let release = Release {
            stack: "s".to_owned(),
            commit: commit.repeat(40),
            time: String::new(),
            run: format!("run{commit}"),
            git_ref: None,
            spec: None,
            images,
        };
        (Digest::of(commit.as_bytes()), release)
    }

    fn all() -> Releases {
        let list = vec![
            release("d", "base2", Some("leaf3")),
            release("c", "base2", Some("leaf2")),
            release("b", "base1", Some("leaf2")),
            release("a", "base1", None),
        ];
        let entry = |channel: &str, tag: &str, at: usize| Entry {
            kind: Kind::Promote,
            channel: channel.to_owned(),
            seq: 1,
            previous: None,
            release: list[at].0.to_string(),
            commit: list[at].1.commit.clone(),
            actor: String::new(),
            time: String::new(),
            reason: None,
            waived: Vec::new(),
            required: Vec::new(),
            drift: Vec::new(),
            images: vec![Move {
                label: "base".to_owned(),
                repository: String::new(),
                tag: tag.to_owned(),
                old: None,
                new: String::new(),
                depth: 0,
            }],
        };
        let channels = vec![
            entry("quarter", "1-stable", 1),
            entry("stable", "stable", 2),
        ];
        Releases { list, channels }
    }

    #[test]
    fn a_release_has_many_names() {
        let all = all();
        let found = |name: &str| all.find(name).ok().map(|(_, release)| &release.commit[..1]);
        let digest = all.list[1].0.to_string();
        for name in [
            digest.as_str(),
            &digest[..19],
            "ccccccc",
            "runc",
            "quarter",
            "1-stable",
        ] {
            assert_eq!(found(name), Some("c"), "{name}");
        }
        assert_eq!(found("stable"), Some("b"));
        assert_eq!(found("1-leaf2"), Some("c"), "the newest that has the tag");
        assert_eq!(found("cccccc"), None);
        assert_eq!(found("elsewhere"), None);
        let before = all.before(&all.list[1].0).map(|(_, r)| &r.commit[..1]);
        assert_eq!(before, Some("b"));
        assert_eq!(all.before(&all.list[3].0), None);
    }

    #[test]
    fn an_image_turns_where_its_digest_changed() {
        let all = all();
        let turns = |label: &str| -> Vec<String> {
            let one = |turn: Turn| {
                let before = turn
                    .before
                    .map_or("-", |before| &before.release.commit[..1]);
                format!("{}<{before}", &turn.now.release.commit[..1])
            };
            all.turns(label).into_iter().map(one).collect()
        };
        assert_eq!(turns("leaf"), ["d<c", "b<-"]);
        assert_eq!(turns("base"), ["c<b", "a<-"]);
        assert_eq!(turns("x"), [""; 0]);
    }

    #[test]
    fn a_lineage_ends_outside() {
        let all = all();
        let (_, release) = &all.list[0];
        let leaf = release.image("leaf").expect("it is there");
        let shown: Vec<String> = release.lineage(leaf).iter().map(Ancestor::short).collect();
        let base = Digest::of(b"base2");
        assert_eq!(
            shown,
            [
                format!("base@{}", &base.hex()[..12]),
                "debian:bookworm@001122334455".to_owned()
            ]
        );
    }
}
