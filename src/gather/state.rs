//! What staging remembers of each image's last build: its key, its digest and what it was made from,
//! so that a later plan can say what changed. One small OCI artifact under the tag `state`.
//!
//! It explains; nothing is decided by it but the marks of `--refresh`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Error;
use crate::name::{Digest, Repository, Tag};
use crate::plan::{Component, Record};
use crate::registry::{Locator, Registry};

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
    /// Of its config and layers as stored, bytes.
    #[serde(default)]
    size: u64,
    components: Vec<Component>,
}

fn tag() -> Tag {
    Tag::parse("state").expect("a legal tag")
}

impl State {
    /// Reads it; empty if staging has none.
    pub async fn read(registry: &Registry, staging: &Repository) -> Result<Self, Error> {
        let at = Locator::Tag(tag());
        let Some(document) = registry.document(staging, &at).await? else {
            return Ok(Self::default());
        };
        let broken = |reason: String| Error::State {
            place: format!("{staging}:{}", tag()),
            reason,
        };
        let bytes = document.bytes;
        let state: Self = serde_json::from_slice(&bytes).map_err(|e| broken(e.to_string()))?;
        match state.version {
            VERSION => Ok(state),
            other => Err(broken(format!(
                "it is of version {other}, and this laminate understands {VERSION}; use a newer one"
            ))),
        }
    }

    /// Adds what was built and the marks of refreshed images to what staging has now.
    pub async fn update(
        registry: &Registry,
        staging: &Repository,
        built: &BTreeMap<String, (Record, u64)>,
        refreshed: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        // Read again: another run may have written meanwhile.
        let before = Self::read(registry, staging).await?;
        let mut after = before.clone();
        after.version = VERSION;
        for (label, (record, size)) in built {
            let entry = Entry {
                key: record.key.to_string(),
                digest: record.digest.to_string(),
                size: *size,
                components: record.components.clone(),
            };
            after.images.insert(label.clone(), entry);
        }
        after.refreshed.extend(refreshed.clone());
        if after == before {
            return Ok(());
        }
        let bytes = serde_json::to_vec(&after).expect("plain data");
        registry
            .put_document(staging, &[tag()], TYPE, bytes)
            .await?;
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
