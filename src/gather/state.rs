//! What staging remembers of each image's last build: its key, its digest and what it was made from,
//! so that a later plan can say what changed. One small OCI artifact under the tag `state`.
//!
//! It explains; nothing is decided by it but the marks of `--refresh`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Error;
use super::shared::{Place, change, of_version, read};
use crate::name::{Digest, Repository, Tag};
use crate::plan::{Component, Record};
use crate::registry::Registry;

const TYPE: &str = "application/vnd.laminate.state.v1+json";
const VERSION: u32 = 1;

/// What is remembered, by image label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    images: BTreeMap<String, Entry>,
    /// The last `--refresh` of each image: part of its key from then on.
    #[serde(default)]
    pub refreshed: BTreeMap<String, String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    key: String,
    digest: String,
    /// When its run began, RFC 3339: of two runs at one moment the later one is remembered.
    #[serde(default)]
    time: String,
    /// Of its config and layers as stored, bytes.
    #[serde(default)]
    size: u64,
    components: Vec<Component>,
}

fn tag() -> Tag {
    Tag::parse("state").expect("a legal tag")
}

fn parse(bytes: &[u8]) -> Result<State, String> {
    let state: State = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let version = state.version;
    of_version(state, version, VERSION)
}

impl State {
    /// Reads it; empty if staging has none.
    pub async fn read(registry: &Registry, staging: &Repository) -> Result<Self, Error> {
        let place = Place {
            registry,
            staging,
            tag: &tag(),
            kind: TYPE,
        };
        Ok(read(&place, parse).await?.unwrap_or_default())
    }

    /// Adds what was built and the marks of refreshed images to what staging has now.
    pub async fn update(
        registry: &Registry,
        staging: &Repository,
        built: &BTreeMap<String, (Record, u64)>,
        refreshed: &BTreeMap<String, String>,
        time: &str,
    ) -> Result<(), Error> {
        let place = Place {
            registry,
            staging,
            tag: &tag(),
            kind: TYPE,
        };
        let apply = |before: Option<&Self>| {
            let mut after = before.cloned().unwrap_or_default();
            after.version = VERSION;
            for (label, (record, size)) in built {
                let entry = Entry {
                    key: record.key.to_string(),
                    digest: record.digest.to_string(),
                    time: time.to_owned(),
                    size: *size,
                    components: record.components.clone(),
                };
                let order = |entry: &Entry| (entry.time.clone(), entry.key.clone());
                match after.images.get(label) {
                    Some(known) if order(known) >= order(&entry) => {}
                    _ => {
                        after.images.insert(label.clone(), entry);
                    }
                }
            }
            for (label, mark) in refreshed {
                // Of two refreshes at one moment the later one counts.
                let known = after.refreshed.entry(label.clone()).or_default();
                if *known < *mark {
                    known.clone_from(mark);
                }
            }
            after
        };
        change(&place, parse, apply).await?;
        Ok(())
    }

    /// The size of each image it knows, by digest; bytes.
    pub fn sizes(&self) -> BTreeMap<Digest, u64> {
        let entries = self.images.values();
        entries
            .filter_map(|entry| Some((Digest::parse(&entry.digest).ok()?, entry.size)))
            .collect()
    }

    /// The records, for a plan. An entry that makes no sense is none.
    pub fn records(&self) -> BTreeMap<String, Record> {
        self.images
            .iter()
            .filter_map(|(label, entry)| {
                let record = Record {
                    key: Digest::parse(&entry.key).ok()?,
                    digest: Digest::parse(&entry.digest).ok()?,
                    components: entry.components.clone(),
                };
                Some((label.clone(), record))
            })
            .collect()
    }
}
