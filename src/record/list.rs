//! All releases of a staging repository and the channels at them, as read at one moment; what a name
//! means among them.

use std::collections::BTreeSet;

use super::{LedgerEntry, Release, ReleaseImage};
use crate::name::Digest;

/// A release, and the digest of its manifest in the staging repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRelease {
    /// The digest: the name of the release for programs.
    pub digest: Digest,
    /// The release.
    pub release: Release,
}

impl From<(Digest, Release)> for StoredRelease {
    fn from((digest, release): (Digest, Release)) -> Self {
        Self { digest, release }
    }
}

/// What a staging repository has at one moment.
#[derive(Clone, Debug, Default)]
pub struct Releases {
    /// Newest first.
    pub list: Vec<StoredRelease>,
    /// The entry each channel is at, by the channels' names.
    pub channels: Vec<LedgerEntry>,
    /// Names that have entries of a ledger, and no pointer to the one they are at.
    pub without_pointer: BTreeSet<String>,
}

impl Releases {
    /// Sorts them: releases newest first, channels by name.
    pub fn new(mut list: Vec<StoredRelease>, mut channels: Vec<LedgerEntry>) -> Self {
        Self::sort(&mut list);
        channels.sort_by(|a, b| a.channel.cmp(&b.channel));
        Self {
            list,
            channels,
            without_pointer: BTreeSet::new(),
        }
    }

    /// Adds the entry of a channel that was found without its pointer.
    pub fn add_channel(&mut self, entry: LedgerEntry) {
        self.channels.push(entry);
        self.channels.sort_by(|a, b| a.channel.cmp(&b.channel));
    }

    /// Sorts releases, the newest first. Adopted ones were there before laminate, so they are the oldest.
    pub fn sort(list: &mut [StoredRelease]) {
        list.sort_by_key(|StoredRelease { release, .. }| {
            std::cmp::Reverse((!release.is_adopted(), release.time))
        });
    }

    /// Returns the release a name means: its digest, commit (the newest release of it), run or
    /// immutable tag, or a channel at it, by the channel's name or one of its tags.
    pub fn find(&self, name: &str) -> Option<&StoredRelease> {
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let is_meant = |StoredRelease { digest, release }: &&StoredRelease| {
            let commit = release.commit.as_ref();
            let commit = commit.is_some_and(|commit| commit.as_str().starts_with(name));
            let commit = name.len() >= 7 && commit;
            let short = hex.len() >= 7 && digest.hex().starts_with(hex);
            let mut tags = release.images.iter().flat_map(|image| &image.tags);
            commit || short || release.run == name || tags.any(|tag| tag.as_str() == name)
        };
        let found = self.list.iter().find(is_meant);
        found.or_else(|| {
            let named = self.channels.iter().find(|entry| entry.channel == name);
            let entry = named.or_else(|| {
                let has = |entry: &&LedgerEntry| {
                    entry.images.iter().any(|step| step.tag.as_str() == name)
                };
                self.channels.iter().find(has)
            })?;
            self.get(&entry.release)
        })
    }

    /// Returns the release with a digest.
    pub fn get(&self, release: &Digest) -> Option<&StoredRelease> {
        self.list.iter().find(|stored| stored.digest == *release)
    }

    /// Returns the release published before this one.
    pub fn before(&self, digest: &Digest) -> Option<&StoredRelease> {
        let at = self
            .list
            .iter()
            .position(|stored| stored.digest == *digest)?;
        self.list.get(at + 1)
    }

    /// Returns the entries of channels that are at this release.
    pub fn at<'a>(&'a self, digest: &'a Digest) -> impl Iterator<Item = &'a LedgerEntry> {
        self.channels
            .iter()
            .filter(move |entry| entry.release == *digest)
    }

    /// Returns the releases in which an image has another digest than in the one before that has it, newest first.
    pub fn turns<'a>(&'a self, label: &str) -> Vec<Turn<'a>> {
        let having: Vec<Point> = self
            .list
            .iter()
            .filter_map(|StoredRelease { digest, release }| {
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
    /// The digest of the release.
    pub digest: &'a Digest,
    /// The release.
    pub release: &'a Release,
    /// The image.
    pub image: &'a ReleaseImage,
}

/// A release that gave an image another digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn<'a> {
    /// The image in this release.
    pub now: Point<'a>,
    /// The image in the release before that has it; `None`: none has.
    pub before: Option<Point<'a>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    use crate::name::{Commit, Repository, Tag};
    use crate::record::{Ancestor, MoveKind, TagMove};

    fn repository(name: &str) -> Repository {
        Repository::parse(&format!("ghcr.io/campus/{name}")).expect("a repository")
    }

    fn tag(text: &str) -> Tag {
        Tag::parse(text).expect("a tag")
    }

    fn image(name: &str, digest: &str, base: &str, depth: usize) -> ReleaseImage {
        ReleaseImage {
            image: name.to_owned(),
            variant: None,
            repository: repository(name),
            digest: Digest::of(digest.as_bytes()),
            key: Some(Digest::of(digest.as_bytes())),
            adopted_from: None,
            tags: vec![tag(&format!("1-{digest}"))],
            depth,
            base: Some(base.to_owned()),
            base_digest: (depth == 0).then(|| Digest::of(b"debian")),
            copies: Vec::new(),
            size: 0,
            verdicts: Vec::new(),
            dropped: Vec::new(),
            checks: None,
            checks_key: None,
            evidence: None,
        }
    }

    fn release(commit: &str, base: &str, leaf: Option<&str>) -> StoredRelease {
        let mut images = vec![image("base", base, "debian:bookworm", 0)];
        images.extend(leaf.map(|leaf| image("leaf", leaf, "base", 1)));
        let release = Release {
            stack: "s".to_owned(),
            version: 1,
            commit: Commit::parse(&commit.repeat(40)).ok(),
            time: Timestamp::UNIX_EPOCH,
            run: format!("run{commit}"),
            git_ref: None,
            spec: None,
            manifests: None,
            images,
        };
        StoredRelease {
            digest: Digest::of(commit.as_bytes()),
            release,
        }
    }

    /// The first digit of its commit; `-` for an adopted one.
    fn letter(release: &Release) -> &str {
        let commit = release.commit.as_ref();
        commit.map_or("-", |commit| &commit.as_str()[..1])
    }

    fn all() -> Releases {
        let list = vec![
            release("d", "base2", Some("leaf3")),
            release("c", "base2", Some("leaf2")),
            release("b", "base1", Some("leaf2")),
            release("a", "base1", None),
        ];
        let entry = |channel: &str, tag: &str, at: usize| LedgerEntry {
            version: 1,
            kind: MoveKind::Promote,
            channel: channel.to_owned(),
            seq: 1,
            previous: None,
            release: list[at].digest.clone(),
            commit: list[at].release.commit.clone(),
            actor: String::new(),
            time: Timestamp::UNIX_EPOCH,
            reason: None,
            waived: Vec::new(),
            required: Vec::new(),
            drift: Vec::new(),
            images: vec![TagMove {
                label: "base".to_owned(),
                repository: repository("base"),
                tag: self::tag(tag),
                old: None,
                new: Digest::of(b"base"),
                depth: 0,
            }],
        };
        let channels = vec![
            entry("quarter", "1-stable", 1),
            entry("stable", "stable", 2),
        ];
        Releases {
            list,
            channels,
            ..Releases::default()
        }
    }

    #[test]
    fn a_release_has_many_names() {
        let all = all();
        let found = |name: &str| all.find(name).map(|stored| letter(&stored.release));
        let digest = all.list[1].digest.to_string();
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
        let before = all
            .before(&all.list[1].digest)
            .map(|stored| letter(&stored.release));
        assert_eq!(before, Some("b"));
        assert_eq!(all.before(&all.list[3].digest), None);
    }

    #[test]
    fn an_image_turns_where_its_digest_changed() {
        let all = all();
        let turns = |label: &str| -> Vec<String> {
            let one = |turn: Turn| {
                let before = turn.before.map_or("-", |before| letter(before.release));
                format!("{}<{before}", letter(turn.now.release))
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
        let release = &all.list[0].release;
        let leaf = release.image("leaf").expect("it is there");
        let shown: Vec<String> = release.lineage(leaf).iter().map(Ancestor::short).collect();
        let base = Digest::of(b"base2");
        assert_eq!(
            shown,
            [
                format!("base@{}", base.short()),
                format!("debian:bookworm@{}", Digest::of(b"debian").short()),
            ]
        );
    }

    #[test]
    fn releases_are_ordered_by_time_and_channels_by_name() {
        let mut all = all();
        let times = ["12:00:00Z", "12:00:00.5Z", "11:59:00Z", "12:00:00.25Z"];
        for (stored, time) in all.list.iter_mut().zip(times) {
            stored.release.time = format!("2026-11-24T{time}").parse().expect("a time");
        }
        all.channels.reverse();
        let sorted = Releases::new(all.list, all.channels);
        let commits = sorted.list.iter().map(|stored| letter(&stored.release));
        assert_eq!(commits.collect::<String>(), "cadb");
        assert_eq!(sorted.channels[0].channel, "quarter");
        let mut all = sorted;
        all.list[0].release.commit = None;
        all.list[0].release.time = Timestamp::MAX;
        Releases::sort(&mut all.list);
        let letters = all.list.iter().map(|stored| letter(&stored.release));
        assert_eq!(letters.collect::<String>(), "adb-");
    }
}
