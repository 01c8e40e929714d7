//! The last build of each image: its cache key, its digest and the components of the key, so that a
//! later plan can tell what changed. One document for the stack.
//!
//! It explains; nothing is decided by it but the marks of `--refresh`.

use std::collections::BTreeMap;

use futures_util::future::FutureExt as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::change::Lasting;
use super::{Document, Error, Settling, Staging, bytes};
use crate::evidence::optional_time;
use crate::name::{Digest, Tag};
use crate::plan::{Component, Record};
use crate::registry;
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
    /// Whether it was written over, so that the registry lets its tag move.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_movable: bool,
}

/// The last build of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Its cache key.
    pub key: Digest,
    /// Its manifest digest.
    pub digest: Digest,
    /// One more than that of the build it replaces: which of two builds is the later one must not depend on the clocks
    /// of the machines. Documents of the first versions have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub generation: u64,
    /// When its run began. Documents of the first versions have no time, and an empty one is none.
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

/// The state, if there is one, of which it is not known whether it can be written over.
#[derive(Debug)]
pub struct Unmoved(Option<State>);

impl Default for State {
    fn default() -> Self {
        Self {
            version: VERSION,
            images: BTreeMap::new(),
            refreshed: BTreeMap::new(),
            is_movable: false,
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

    /// Returns the last build of an image.
    pub fn last_build(&self, label: &str) -> Option<&Built> {
        self.images.get(label)
    }

    /// Returns the generation of the last build of each image.
    pub fn generations(&self) -> BTreeMap<String, u64> {
        let images = self.images.iter();
        images
            .map(|(label, built)| (label.clone(), built.generation))
            .collect()
    }

    /// Returns the mark of a `--refresh` of an image at a time, which is later than the last one whatever the clocks say.
    pub fn next_mark(&self, label: &str, now: Timestamp) -> String {
        let last = self
            .refreshed
            .get(label)
            .map_or(0, |mark| mark_number(mark));
        format!("{now} #{}", last.saturating_add(1))
    }

    /// Adds builds and marks; of two of one image the later one counts.
    fn add(&mut self, built: &BTreeMap<String, Built>, refreshed: &BTreeMap<String, String>) {
        for (label, new) in built {
            let order = |built: &Built| (built.generation, built.time, built.key.clone());
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

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Returns the number of a mark, `TIME #NUMBER`; 0 for one of the first versions, which was a time.
fn mark_number(mark: &str) -> u64 {
    let number = mark.rsplit_once(" #").map(|(_, number)| number);
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// Whether a mark is older than another: by its number, and of one number by its time, in whatever precision.
fn is_before(known: &str, mark: &str) -> bool {
    let order = |text: &str| {
        let time = text.split(' ').next().unwrap_or_default();
        (
            mark_number(text),
            time.parse::<Timestamp>().ok(),
            text.to_owned(),
        )
    };
    order(known) < order(mark)
}

impl Staging {
    /// Returns the state, if there is one: it is the first document that a build writes.
    pub async fn state(&self) -> Result<Option<State>, Error> {
        let found = self.read::<State>(()).await?;
        Ok(found.map(|(_, state)| state))
    }

    /// Returns the state if it is not known whether it can be written over.
    pub async fn state_to_move(&self) -> Result<Option<Unmoved>, Error> {
        let found = match self.read::<State>(()).await {
            Err(error) if error.is_broken() => None,
            found => found?.map(|(_, state)| state),
        };
        let is_movable = found.as_ref().is_some_and(|state| state.is_movable);
        Ok((!is_movable).then_some(Unmoved(found)))
    }

    /// Checks that the state can be written, and written over, and that the registry takes documents at all.
    ///
    /// If another run writes at the same time, that run notices when it reads its own back, and this one may be lost: a
    /// later build checks again.
    pub async fn ensure_state_moves(&self, Unmoved(found): Unmoved) -> Result<(), Error> {
        let is_new = found.is_none();
        let mut state = found.unwrap_or_default();
        if is_new {
            let (registry, document) = (&self.registry, bytes(&state));
            let tag = State::tag(());
            let written =
                registry.put_document_unread(&self.repository, &tag, State::MEDIA_TYPE, document);
            written.await?;
        }
        state.is_movable = true;
        match self.put((), &state).await {
            // Another run wrote over it, so it moves.
            Err(Error::Registry(registry::Error::Overwritten { .. })) => Ok(()),
            put => put.map(|_| ()),
        }
    }

    /// Adds builds (by label) and the marks of refreshed images to the state.
    pub async fn add_to_state(
        &self,
        built: &BTreeMap<String, Built>,
        refreshed: &BTreeMap<String, String>,
    ) -> Result<(), Error> {
        let begun = self.begin_state(built.clone(), refreshed.clone()).await?;
        begun.await
    }

    /// Adds builds (by label) and the marks of refreshed images to the state. What is returned must be waited for.
    pub async fn begin_state(
        &self,
        built: BTreeMap<String, Built>,
        refreshed: BTreeMap<String, String>,
    ) -> Result<Settling<'static>, Error> {
        // Without its last build, the reason of an image is found in the last release. Without its mark, an image that was
        // refreshed would be reused as it was before.
        let lasting = if refreshed.is_empty() {
            Lasting::No
        } else {
            Lasting::Yes
        };
        let apply = move |before: Option<&State>| {
            let mut after = before.cloned().unwrap_or_default();
            after.add(&built, &refreshed);
            after
        };
        let change = self.begin_change((), lasting, apply).await?;
        Ok(async move { change.settle().await.map(|_| ()) }.boxed_local())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(key: &str, time: Option<&str>) -> BTreeMap<String, Built> {
        let built = Built {
            key: Digest::of(key.as_bytes()),
            digest: Digest::of(b"image"),
            generation: 0,
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
    fn the_build_that_saw_the_other_one_is_the_later_whatever_the_clocks_say() {
        let mut early = built("early", Some("2031-11-24T12:00:00Z"));
        let mut late = built("late", Some("2026-11-24T12:00:00Z"));
        early.get_mut("a").expect("there").generation = 1;
        late.get_mut("a").expect("there").generation = 2;
        for order in [[&early, &late], [&late, &early]] {
            let mut state = State::default();
            for built in order {
                state.add(built, &BTreeMap::new());
            }
            assert_eq!(state.images, late);
            assert_eq!(state.generations()["a"], 2);
        }
    }

    #[test]
    fn a_mark_is_later_than_one_of_a_clock_that_was_ahead() {
        let mut state = State::default();
        let mut keep = |mark: &str| {
            let mark = BTreeMap::from([("a".to_owned(), mark.to_owned())]);
            state.add(&BTreeMap::new(), &mark);
            state.next_mark("a", "2026-11-24T12:00:00Z".parse().expect("a time"))
        };
        // A mark of an earlier version, a year ahead.
        let first = keep("2027-11-24T12:00:00Z");
        assert_eq!(first, "2026-11-24T12:00:00Z #1");
        let second = keep(&first);
        assert_eq!(second, "2026-11-24T12:00:00Z #2");
        assert_eq!(keep(&first), second);
        let last = format!("2026-11-24T12:00:00Z #{}", u64::MAX);
        assert_eq!(keep(&last), last);
        assert_eq!(keep(&second), last);
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
