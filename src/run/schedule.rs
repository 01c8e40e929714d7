//! Decides which image is built when, and what a failure stops: a state machine without I/O.
//!
//! Images with one key are built once; the first of them is the leader and stands for all. `run` drives
//! a [`Schedule`]: it builds what [`Schedule::start`] and [`Schedule::built`] return, and reports what
//! [`Schedule::failed`] returns as skipped.

use std::collections::{BTreeMap, BTreeSet};

use crate::name::Digest;
use crate::plan::{Action, Plan};
use crate::stack::ImageId;

/// An image to build.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// The image.
    pub id: ImageId,
    /// Its key; images with the same key are the same bytes.
    pub key: &'a Digest,
    /// The images it needs that are built in this run as well.
    pub needs: Vec<ImageId>,
}

/// Where an image is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// An image it needs is not built yet.
    Waiting,
    /// It is being built.
    Running,
    /// The engine has it.
    Built,
    /// It could not be built.
    Failed,
    /// It was not built, or not to its end, since this image failed.
    Skipped(ImageId),
}

/// The images of one run and their states.
#[derive(Clone, Debug)]
pub struct Schedule {
    leaders: BTreeMap<ImageId, ImageId>,
    /// The images that each leader stands for, itself among them.
    followers: BTreeMap<ImageId, Vec<ImageId>>,
    /// The leaders that each leader needs and that are not built.
    needs: BTreeMap<ImageId, BTreeSet<ImageId>>,
    /// The leaders that need each leader.
    needed_by: BTreeMap<ImageId, Vec<ImageId>>,
    /// Of leaders alone.
    states: BTreeMap<ImageId, State>,
    fail_fast: bool,
    stopped: bool,
}

/// Returns the image that is built for each image to build: the first one with the same key.
pub fn leaders(plan: &Plan) -> BTreeMap<ImageId, ImageId> {
    let built = plan.images.iter().filter_map(|planned| {
        let is_built = matches!(planned.action, Action::Build { .. });
        let keyed = planned.keyed.as_ref().filter(|_| is_built)?;
        Some((planned.id, &keyed.key))
    });
    first_of_each_key(built)
}

fn first_of_each_key<'a>(
    images: impl Iterator<Item = (ImageId, &'a Digest)>,
) -> BTreeMap<ImageId, ImageId> {
    let mut first = BTreeMap::new();
    images
        .map(|(id, key)| (id, *first.entry(key).or_insert(id)))
        .collect()
}

/// Returns the first parts of pairs, in their order, by the second.
fn inverted(pairs: impl Iterator<Item = (ImageId, ImageId)>) -> BTreeMap<ImageId, Vec<ImageId>> {
    let mut by_second: BTreeMap<ImageId, Vec<ImageId>> = BTreeMap::new();
    for (first, second) in pairs {
        by_second.entry(second).or_default().push(first);
    }
    by_second
}

impl Schedule {
    /// Takes the images to build, each after those it needs. `fail_fast`: the first failure stops
    /// everything.
    pub fn new<'a>(entries: impl IntoIterator<Item = Entry<'a>>, fail_fast: bool) -> Self {
        let entries: Vec<Entry<'a>> = entries.into_iter().collect();
        let leaders = first_of_each_key(entries.iter().map(|entry| (entry.id, entry.key)));
        let is_leader = |entry: &&Entry<'_>| leaders[&entry.id] == entry.id;
        let needs = entries.iter().filter(is_leader).map(|entry| {
            let needed = entry.needs.iter().map(|id| leaders[id]);
            (entry.id, needed.collect())
        });
        let needs: BTreeMap<ImageId, BTreeSet<ImageId>> = needs.collect();
        Self {
            states: needs.keys().map(|id| (*id, State::Waiting)).collect(),
            followers: inverted(leaders.iter().map(|(id, leader)| (*id, *leader))),
            leaders,
            needed_by: inverted(needs.iter().flat_map(|(id, needed)| {
                let needed = needed.iter();
                needed.map(|needed| (*id, *needed))
            })),
            needs,
            fail_fast,
            stopped: false,
        }
    }

    /// Returns the images that are built, leaders alone, in the order of the stack.
    pub fn order(&self) -> impl Iterator<Item = ImageId> {
        self.states.keys().copied()
    }

    /// Begins with the images that wait for no other, and returns them.
    pub fn start(&mut self) -> Vec<ImageId> {
        let ready = self.order().filter(|id| self.needs[id].is_empty());
        self.run(ready.collect())
    }

    /// Notes that an image was built. Returns those that waited for nothing else, which begin now.
    pub fn built(&mut self, id: ImageId) -> Vec<ImageId> {
        self.states.insert(id, State::Built);
        let mut ready = Vec::new();
        for waiting in self.needed_by.get(&id).into_iter().flatten() {
            let needed = self.needs.get_mut(waiting).expect("it is a leader");
            needed.remove(&id);
            if needed.is_empty() && self.states[waiting] == State::Waiting {
                ready.push(*waiting);
            }
        }
        self.run(ready)
    }

    /// Notes that an image failed. Returns the images that are skipped for that: those that need
    /// it, and if the first failure stops everything, all that have not ended.
    pub fn failed(&mut self, id: ImageId) -> Vec<ImageId> {
        self.states.insert(id, State::Failed);
        self.stopped = self.fail_fast;
        let dependents = self.dependents(id);
        let open = |state: State| matches!(state, State::Waiting | State::Running);
        let skipped: Vec<ImageId> = self
            .states
            .iter()
            .filter(|(id, state)| dependents.contains(id) || self.stopped && open(**state))
            .map(|(id, _)| *id)
            .collect();
        for skipped in &skipped {
            self.states.insert(*skipped, State::Skipped(id));
        }
        skipped
    }

    /// Whether a failure has stopped everything.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Returns the images a leader stands for, itself among them.
    pub fn followers(&self, leader: ImageId) -> &[ImageId] {
        self.followers.get(&leader).map_or(&[], Vec::as_slice)
    }

    /// Returns the state of every image. One whose leader failed is skipped because of it.
    pub fn states(&self) -> BTreeMap<ImageId, State> {
        let state = |(id, leader): (&ImageId, &ImageId)| {
            let state = match self.states[leader] {
                State::Failed if id != leader => State::Skipped(*leader),
                state => state,
            };
            (*id, state)
        };
        self.leaders.iter().map(state).collect()
    }

    /// Returns the leader of an image to build.
    pub fn leader(&self, id: ImageId) -> ImageId {
        self.leaders[&id]
    }

    /// Begins with images, and returns them.
    fn run(&mut self, ready: Vec<ImageId>) -> Vec<ImageId> {
        for id in &ready {
            self.states.insert(*id, State::Running);
        }
        ready
    }

    /// Returns all images that need an image, directly or not.
    fn dependents(&self, id: ImageId) -> BTreeSet<ImageId> {
        let mut found = BTreeSet::from([id]);
        // Images come after those they need, so that one pass is enough.
        for (id, needed) in &self.needs {
            if !needed.is_disjoint(&found) {
                found.insert(*id);
            }
        }
        found.remove(&id);
        found
    }
}

#[cfg(test)]
mod tests;
