//! The last build of each image: its cache key, its digest and the components of the key, so that a
//! later plan can tell what changed. One document for the stack.
//!
//! It explains; nothing is decided by it but the marks of `--refresh`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Document, Error, Staging};
use crate::evidence::optional_time;
use crate::name::{Digest, Tag};
use crate::plan::{Component, Record};
use crate::tags;

const VERSION: u32 = 1;

/// The last builds, by image label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    version: u32,
    images: BTreeMap<String, Built>,
    /// The last `--refresh` of each image: part of its key from then on, as the text it is.
    #[serde(default)]
    pub refreshed: BTreeMap<String, String>,
}

/// The last build of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Its cache key.
    pub key: Digest,
    /// Its manifest digest.
    pub digest: Digest,
    /// When its run began: of two runs at one moment the later one counts. Documents of the first
    /// versions have no time, and an empty one is none.
    #[serde(
        default,
        deserialize_with = "optional_time",
        skip_serializing_if = "Option::is_none"
    )]
    pub time: Option<Timestamp>,
    /// Of its config and layers as stored, bytes.
    #[serde(default)]
    pub size: u64,
    /// The components of its key.
    pub components: Vec<Component>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            images: BTreeMap::new(),
            refreshed: BTreeMap::new(),
        }
    }
}

impl Document for State {
    type Id<'a> = ();
    const MEDIA_TYPE: &'static str = "application/vnd.laminate.state.v1+json";
    const VERSION: u32 = VERSION;
    const IS_REPLACED_IF_BROKEN: bool = true;

    fn tag((): ()) -> Tag {
        tags::state()
    }

    fn version(&self) -> u32 {
        self.version
    }
}

impl State {
    /// Returns the size of each image, by digest; bytes.
    pub fn sizes(&self) -> BTreeMap<Digest, u64> {
        let built = self.images.values();
        built
            .map(|built| (built.digest.clone(), built.size))
            .collect()
    }

    /// Returns the records, for a plan.
    pub fn records(&self) -> BTreeMap<String, Record> {
        let record = |(label, built): (&String, &Built)| {
            let record = Record {
                key: built.key.clone(),
                digest: built.digest.clone(),
                components: built.components.clone(),
            };
            (label.clone(), record)
        };
        self.images.iter().map(record).collect()
    }

    /// Adds builds and marks; of two of one image the later one counts.
    fn add(&mut self, built: &BTreeMap<String, Built>, refreshed: &BTreeMap<String, String>) {
        for (label, new) in built {
            let order = |built: &Built| (built.time, built.key.clone());
            match self.images.get(label) {
                Some(known) if order(known) >= order(new) => {}
                _ => {
                    self.images.insert(label.clone(), new.clone());
                }
            }
        }
        for (label, mark) in refreshed {
            let known = self.refreshed.entry(label.clone()).or_default();
            if is_before(known, mark) {
                known.clone_from(mark);
            }
        }
    }
}

/// Whether a mark is older than another; a mark is a time, in whatever precision.
fn is_before(known: &str, mark: &str) -> bool {
    let time = |text: &str| text.parse::<Timestamp>().ok();
    (time(known), known) < (time(mark), mark)
}

impl Staging {
    /// Returns the state; empty if there is none.
    pub async fn state(&self) -> Result<State, Error> {
        let found = self.read::<State>(()).await?;
        Ok(found.map(|(_, state)| state).unwrap_or_default())
    }

    /// Adds builds (by label) and the marks of refreshed images to the state.
    pub async fn add_to_state(
        &self,
        built: &BTreeMap<String, Built>,
        refreshed: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let apply = |before: Option<&State>| {
            let mut after = before.cloned().unwrap_or_default();
            after.add(built, refreshed);
            after
        };
        self.change((), apply).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(key: &str, time: Option<&str>) -> BTreeMap<String, Built> {
        let built = Built {
            key: Digest::of(key.as_bytes()),
            digest: Digest::of(b"image"),
            time: time.map(|time| time.parse().expect("a time")),
            size: 7,
            components: Vec::new(),
        };
        BTreeMap::from([("a".to_owned(), built)])
    }

    #[test]
    fn the_later_build_counts_whoever_comes_first() {
        let early = built("early", Some("2026-11-24T12:00:00Z"));
        // As a text it is smaller.
        let late = built("late", Some("2026-11-24T12:00:00.5Z"));
        let none = BTreeMap::new();
        for order in [[&early, &late], [&late, &early]] {
            let mut state = State::default();
            state.add(&built("without time", None), &none);
            for built in order {
                state.add(built, &none);
            }
            assert_eq!(state.images, late);
        }
    }

    #[test]
    fn the_later_mark_counts() {
        let mark = |text: &str| BTreeMap::from([("a".to_owned(), text.to_owned())]);
        let mut state = State::default();
        for (added, left) in [
            ("2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z"),
            ("2026-11-24T12:00:00.5Z", "2026-11-24T12:00:00.5Z"),
            ("2026-11-24T11:59:59.9Z", "2026-11-24T12:00:00.5Z"),
        ] {
            state.add(&BTreeMap::new(), &mark(added));
            assert_eq!(state.refreshed, mark(left));
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let mut state = State::default();
        state.add(
            &built("a", Some("2026-11-24T12:00:00Z")),
            &BTreeMap::from([("b".to_owned(), "2026-11-24T12:00:00Z".to_owned())]),
        );
        let text = serde_json::to_string(&state).expect("plain data");
        assert_eq!(
            serde_json::from_str::<State>(&text).expect("a state"),
            state
        );
        let without_time = text.replace(r#""time":"2026-11-24T12:00:00Z","#, r#""time":"","#);
        let state: State = serde_json::from_str(&without_time).expect("a state");
        assert_eq!(state.images["a"].time, None);
    }
}
