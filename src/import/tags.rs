//! The tags that images have in another tool. Images of a stack get those of `tags:`, which never move, and those of channels.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::link::{Linked, tag_of};
use super::{Note, Settings, Target};
use crate::list;
use crate::name::ImageName;
use crate::tags::{LONGEST_CHANNEL, RESERVED};

/// A tag that images have in another tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageTag {
    /// The tag.
    pub tag: String,
    /// The images that have it, in the order of the spec.
    pub images: Vec<String>,
}

/// Images of a tag that a note names.
const NAMED: usize = 4;

/// Returns the tags that targets are published with, or that other targets name them by.
pub fn tags(
    parts: &[(Target, Linked)],
    names: &BTreeMap<String, String>,
    series: Option<&str>,
) -> Vec<ImageTag> {
    // With a series, arguments set the tags of bases.
    if series.is_some() {
        return Vec::new();
    }
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (target, _) in parts {
        let image = &names[&target.name];
        let published = target.published.iter().filter_map(|it| tag_of(it));
        let linked = parts.iter().flat_map(|(_, linked)| &linked.tags);
        let named = linked.filter(|(name, _)| name == image);
        for tag in published.chain(named.map(|(_, tag)| tag.clone())) {
            let images = found.entry(tag).or_default();
            if images.last() != Some(image) {
                images.push(image.clone());
            }
        }
    }
    let found = found.into_iter();
    found
        .map(|(tag, images)| ImageTag { tag, images })
        .collect()
}

/// Adds the channel of tags to a spec, unless it keeps its keys beside `images`, and notes what becomes of the tags.
pub fn declare(
    tags: &[ImageTag],
    settings: &Settings,
    spec: &mut Map<String, Value>,
    notes: &mut Vec<Note>,
) {
    if settings.has_spec {
        return;
    }
    note(tags, notes);
    if let Some(tag) = channel(tags) {
        spec.insert("channels".to_owned(), json!({ tag: { "tag": tag } }));
    }
}

/// Returns the tag that becomes a channel: the only one, if it is not that of a version.
fn channel(tags: &[ImageTag]) -> Option<&str> {
    match tags {
        [only] if is_floating(&only.tag) => Some(&only.tag),
        _ => None,
    }
}

/// Whether a tag is one that tools move from build to build, such as `latest`: neither a version nor a commit.
fn is_floating(tag: &str) -> bool {
    let version = tag.strip_prefix('v').unwrap_or(tag);
    let is_commit = tag.len() >= 7 && tag.bytes().all(|b| b.is_ascii_hexdigit());
    let is_version = version.starts_with(|c: char| c.is_ascii_digit());
    // A channel has the name of its tag; both names have the same grammar.
    let is_name =
        ImageName::parse(tag).is_ok() && tag.len() <= LONGEST_CHANNEL && !RESERVED.contains(&tag);
    !is_version && !is_commit && is_name
}

/// Notes what becomes of tags.
fn note(tags: &[ImageTag], notes: &mut Vec<Note>) {
    let channel = channel(tags);
    for ImageTag { tag, images } in tags {
        let of = list::first(images, NAMED);
        let found = format!("tag {tag} of {of}");
        let key = format!("`channels: {{ {tag}: {{ tag: {tag} }} }}`");
        let note = if channel == Some(tag) {
            Note::done(
                "specs.yml",
                found,
                format!("{key}: `promote` moves it for all images"),
            )
        } else if is_floating(tag) {
            let became = format!(
                "left out: to keep it, add {key}, and run `laminate promote --to {tag}` after `laminate build --push`"
            );
            Note::open("specs.yml", found, became)
        } else {
            let became = "left out: images get the tags of `tags:`";
            Note::open("specs.yml", found, became)
        };
        notes.push(note);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::tests::{import, target};
    use crate::import::{Found, bake};

    fn of(tags: &[&str]) -> Vec<ImageTag> {
        let tags = tags.iter();
        tags.map(|tag| ImageTag {
            tag: (*tag).to_owned(),
            images: vec!["a".to_owned()],
        })
        .collect()
    }

    #[test]
    fn the_only_tag_that_moves_becomes_a_channel() {
        assert_eq!(channel(&of(&["latest"])), Some("latest"));
        for tags in [
            &[][..],
            &["1.4"],
            &["v2"],
            &["2026-fall"],
            &["0509d09"],
            &["Latest"],
            &["latest", "stable"],
        ] {
            assert_eq!(channel(&of(tags)), None, "{tags:?}");
        }
    }

    #[test]
    fn no_tag_is_lost_without_a_note() {
        let mut notes = Vec::new();
        note(&of(&["1.4", "latest"]), &mut notes);
        assert!(notes.iter().all(|note| note.is_open));
        assert_eq!(notes[0].became, "left out: images get the tags of `tags:`");
        assert!(notes[1].became.contains("`laminate promote --to latest`"));
        notes.clear();
        let mut tags = of(&["latest"]);
        tags[0].images = "a b c d e f".split(' ').map(str::to_owned).collect();
        note(&tags, &mut notes);
        assert_eq!(notes[0].found, "tag latest of a, b, c, d and 2 more");
        assert!(!notes[0].is_open);
    }

    #[test]
    fn a_spec_is_written_as_the_manual_writes_it() {
        let files = [
            ("base/Dockerfile", "FROM debian:12\n"),
            (
                "mid/Dockerfile",
                "ARG BASE=ghcr.io/campus/base:latest\nFROM $BASE\n",
            ),
            ("top/Dockerfile", "FROM ghcr.io/campus/mid:latest\n"),
        ];
        let found = Found {
            targets: files.iter().map(|(path, _)| target(path)).collect(),
            ..Found::default()
        };
        let made = import(found, &files);
        let expected = "\
stack: campus
tags: [\"${commit7}\"]
channels: { latest: { tag: latest } }
images:
  base:
    dockerfile: Dockerfile
  mid:
    dockerfile:
      args: { BASE: base }
  top:
    dockerfile:
      contexts: { \"ghcr.io/campus/mid:latest\": mid }
";
        assert_eq!(made.text, expected);
        let notes: Vec<&str> = made.notes.iter().map(|note| note.became.as_str()).collect();
        assert!(
            notes.contains(&"`contexts: { \"ghcr.io/campus/mid:latest\": mid }`"),
            "{notes:?}"
        );
    }

    #[test]
    fn a_name_alone_has_no_tag() {
        let files = [
            ("base/Dockerfile", "FROM debian:12\n"),
            ("top/Dockerfile", "FROM base\n"),
        ];
        let found = Found {
            targets: files.iter().map(|(path, _)| target(path)).collect(),
            ..Found::default()
        };
        assert_eq!(import(found, &files).tags, []);
    }

    #[test]
    fn tags_that_differ_are_listed_and_make_no_channel() {
        let document = json!({ "target": {
        "a": { "context": "a", "tags": ["ghcr.io/me/a:1.4", "ghcr.io/me/a:latest"] },
        "b": { "context": "b", "tags": ["ghcr.io/me/b:latest", "quay.io/me/b:latest"] },
    } });
        let found = bake("docker-bake.json", "", &document).expect("a bake file");
        let files = [
            ("a/Dockerfile", "FROM debian:12\n"),
            ("b/Dockerfile", "FROM debian:12\n"),
        ];
        let made = import(found, &files);
        assert_eq!(made.spec.get("channels"), None);
        let open = made.notes.iter().filter(|note| note.is_open);
        let open: Vec<&str> = open.map(|note| note.found.as_str()).collect();
        let expected = [
            "tag quay.io/me/b:latest",
            "tag 1.4 of a",
            "tag latest of a, b",
        ];
        assert_eq!(open, expected);
    }

    #[test]
    fn a_tag_that_an_argument_sets_makes_no_channel() {
        let files = [
            ("base/Dockerfile", "FROM debian:12\n"),
            ("web/Dockerfile", "ARG TAG\nFROM ghcr.io/me/base:$TAG\n"),
        ];
        let found = Found {
            targets: files.iter().map(|(path, _)| target(path)).collect(),
            ..Found::default()
        };
        let made = import(found, &files);
        assert_eq!(made.spec.get("channels"), None);
        assert!(made.tags.is_empty());
    }
}
