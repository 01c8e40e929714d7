//! An entry of a channel's ledger, the tags it moves, and tags that others moved.

use std::fmt;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::name::{Commit, Digest, Repository, Tag};

/// A move of a channel; `previous` chains the entries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The oldest version of the form that it can be read as: 2 for an adoption.
    #[serde(
        default = "super::release::first",
        skip_serializing_if = "super::release::is_first"
    )]
    pub version: u32,
    /// What kind of move it is.
    pub kind: MoveKind,
    /// The name of the channel.
    pub channel: String,
    /// Counts from 1.
    pub seq: u64,
    /// The manifest digest of the channel's entry before.
    pub previous: Option<Digest>,
    /// The manifest digest of the release the channel is at after it.
    pub release: Digest,
    /// The commit of that release; `None`: it is adopted.
    #[serde(default)]
    pub commit: Option<Commit>,
    /// Who moved it.
    pub actor: String,
    /// When the move began.
    pub time: Timestamp,
    /// Why, in the words of who moved it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Gates that had not passed and were waived.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waived: Vec<String>,
    /// Gates that were required beside the channel's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required: Vec<String>,
    /// Tags that others had moved, which was accepted.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "drift"
    )]
    pub drift: Vec<Drift>,
    /// Every tag of the channel, also those that stay.
    pub images: Vec<TagMove>,
}

impl LedgerEntry {
    /// Returns what was passed over for the move, for people: gates that were waived, and accepted drift.
    pub fn exceptions(&self) -> Vec<String> {
        let waived = self.waived.iter();
        let waived = waived.map(|gate| format!("gate {gate} was waived"));
        let drift = self.drift.iter();
        let drift = drift.map(|drift| format!("drift was accepted: {drift}"));
        waived.chain(drift).collect()
    }

    /// Returns the first tag that it moves, as it can be pulled, and how many there are beside it; `None` if there is none.
    pub fn first_tag(&self) -> Option<String> {
        let TagMove {
            repository, tag, ..
        } = self.images.first()?;
        let more = match self.images.len() - 1 {
            0 => String::new(),
            1 => " and 1 more tag".to_owned(),
            n => format!(" and {n} more tags"),
        };
        Some(format!("{repository}:{tag}{more}"))
    }

    /// Returns the tags that an entry before has and this one has not: the channel no longer moves them, and they
    /// stay where that entry has them.
    pub fn left_of(&self, before: &Self) -> Vec<TagMove> {
        let is_left = |old: &&TagMove| {
            let mut images = self.images.iter();
            images.all(|new| (&new.repository, &new.tag) != (&old.repository, &old.tag))
        };
        before.images.iter().filter(is_left).cloned().collect()
    }
}

/// What kind of move an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MoveKind {
    /// To a release a user chose.
    Promote,
    /// Back to an earlier release.
    Revert,
    /// The end of a move that was taken back, with everything as before.
    Abort,
    /// The first one, to images that were there before laminate.
    Adopt,
}

impl fmt::Display for MoveKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Promote => "promotion",
            Self::Revert => "revert",
            Self::Abort => "abort",
            Self::Adopt => "adoption",
        })
    }
}

/// A channel tag and where it is moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TagMove {
    /// The label of the image, `2021.2/scipy-ml-notebook`.
    pub label: String,
    /// The repository of the image.
    pub repository: Repository,
    /// The tag that is moved.
    pub tag: Tag,
    /// The digest it was on; `None`: it did not exist.
    pub old: Option<Digest>,
    /// The digest it is moved to.
    pub new: Digest,
    /// Moves of one depth go together, lower ones first.
    pub depth: usize,
}

impl TagMove {
    /// Whether the tag changes.
    pub fn is_change(&self) -> bool {
        self.old.as_ref() != Some(&self.new)
    }
}

/// A tag that is not where the ledger has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// The repository of the tag.
    pub repository: Repository,
    /// The tag.
    pub tag: Tag,
    /// The digest the ledger has for it; `None`: it should not exist.
    pub expected: Option<Digest>,
    /// The digest it was found on; `None`: it was not found.
    pub found: Option<Digest>,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |digest: &Option<Digest>| match digest {
            Some(digest) => digest.to_string(),
            None => "nothing".to_owned(),
        };
        let (repository, tag) = (&self.repository, &self.tag);
        let (found, expected) = (shown(&self.found), shown(&self.expected));
        write!(f, "{repository}:{tag} is at {found}, not at {expected}")
    }
}

impl Drift {
    /// Reads the line that laminate stored before it stored values:
    /// `  HOST/ns/image:tag is at sha256:…, not at sha256:…`, with `nothing` for no digest.
    fn from_line(line: &str) -> Option<Self> {
        let (place, digests) = line.trim_start().split_once(" is at ")?;
        let (found, expected) = digests.split_once(", not at ")?;
        let (repository, tag) = place.rsplit_once(':')?;
        let digest = |text: &str| match text {
            "nothing" => Some(None),
            text => Digest::parse(text).ok().map(Some),
        };
        Some(Self {
            repository: Repository::parse(repository).ok()?,
            tag: Tag::parse(tag).ok()?,
            expected: digest(expected)?,
            found: digest(found)?,
        })
    }
}

/// Drift as it was written at any time: a value, or a line of text.
fn drift<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Drift>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Value(Drift),
        Line(String),
    }
    let list = Vec::<Written>::deserialize(from)?.into_iter();
    list.map(|written| match written {
        Written::Value(drift) => Ok(drift),
        Written::Line(line) => Drift::from_line(&line)
            .ok_or_else(|| D::Error::custom(format_args!("invalid drift `{line}`"))),
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn entry(drift: Value) -> serde_json::Result<LedgerEntry> {
        serde_json::from_value(json!({
            "kind": "promote", "channel": "stable", "seq": 2,
            "previous": Digest::of(b"entry 1"), "release": Digest::of(b"release"),
            "commit": "d0215700", "actor": "kim", "time": "2026-11-24T12:00:00.5Z",
            "drift": drift, "images": [],
        }))
    }

    #[test]
    fn drift_is_read_as_lines_and_as_values() {
        let (is, was) = (Digest::of(b"is"), Digest::of(b"was"));
        let lines = json!([
            format!("  host.example:5000/ns/a:1-stable is at {is}, not at {was}"),
            format!("  host.example:5000/ns/b:1-stable is at nothing, not at {was}"),
        ]);
        let read = entry(lines).expect("lines");
        let shown: Vec<String> = read.drift.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                format!("host.example:5000/ns/a:1-stable is at {is}, not at {was}"),
                format!("host.example:5000/ns/b:1-stable is at nothing, not at {was}"),
            ]
        );
        let written = serde_json::to_value(&read).expect("plain data");
        assert_eq!(written["drift"][1]["found"], Value::Null);
        assert_eq!(written["drift"][1]["tag"], "1-stable");
        assert_eq!(
            serde_json::from_value::<LedgerEntry>(written).expect("values"),
            read
        );
    }

    #[test]
    fn tags_that_an_entry_no_longer_has_are_left() {
        let step = |tag: &str| TagMove {
            label: "a".to_owned(),
            repository: Repository::parse("host.example/ns/a").expect("valid"),
            tag: Tag::parse(tag).expect("a tag"),
            old: None,
            new: Digest::of(tag.as_bytes()),
            depth: 0,
        };
        let with = |tags: &[&str]| LedgerEntry {
            images: tags.iter().map(|tag| step(tag)).collect(),
            ..entry(json!([])).expect("an entry")
        };
        let before = with(&["1-stable", "2-stable"]);
        assert_eq!(
            with(&["2-stable", "3-stable"]).left_of(&before),
            [step("1-stable")]
        );
        assert_eq!(with(&["1-stable", "2-stable"]).left_of(&before), []);
        assert_eq!(with(&[]).first_tag(), None);
        assert_eq!(
            before.first_tag().as_deref(),
            Some("host.example/ns/a:1-stable and 1 more tag")
        );
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["", "host/a:b", "host/a:b is at sha256:1, not at nothing"] {
            let refused = entry(json!([line])).expect_err("no drift").to_string();
            assert!(refused.contains("invalid drift"), "{refused}");
        }
    }

    #[test]
    fn times_compare_as_times() {
        let early = entry(json!([])).expect("an entry");
        let late = LedgerEntry {
            time: "2026-11-24T12:00:00.123456789Z".parse().expect("a time"),
            ..early.clone()
        };
        // As texts, `.5Z` would be after `.123456789Z`, but not `Z` before `.5Z`.
        assert!(late.time < early.time);
        let written = serde_json::to_value(&early).expect("plain data");
        assert_eq!(written["time"], "2026-11-24T12:00:00.5Z");
    }
}
