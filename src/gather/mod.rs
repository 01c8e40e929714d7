//! Finds the facts a plan is made from: git, the lock, the registry, the clock.
//!
//! [`gather`] is called by every command that plans, and returns [`Gathered`].

mod bases;
mod comparison;
mod stored;
#[cfg(any(test, fuzzing))]
pub use bases::fuzz;

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use futures_util::future::try_join_all;

use crate::event::{Event, Events};
use crate::evidence::Evidence;
use crate::git;
use crate::name::{Digest, Reference, Repository, Tag};
use crate::plan::{self, Facts, KeyFacts, Keys, Periods, Request, TagDigests};
use crate::record::StoredRelease;
use crate::registry::{self, Locator, Registry};
use crate::spec::lock::Lock;
use crate::stack::Stack;
use crate::staging::{self, Staging, State};
use crate::trace::{self, Track};

pub use bases::{Needs, external_images};
use comparison::checkout;
pub use comparison::{Comparison, change, ensure_unchanged};

/// What facts are gathered for.
#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The folder of the spec.
    pub folder: &'a Utf8Path,
    /// The files and folders that make up the stack, relative to that.
    pub files: &'a [String],
    /// `linux/amd64`.
    pub platform: &'a str,
    /// The lock, if the stack has one.
    pub lock: Option<&'a Lock>,
    /// What the user wants built and proven.
    pub request: &'a Request,
    /// The time of the run.
    pub now: jiff::Timestamp,
    /// Whether all images that are reused will be read from staging, so that each is looked up there.
    pub reads_all: bool,
}

/// Everything a plan is made from, and what else was found on the way.
#[derive(Clone, Debug)]
pub struct Gathered {
    /// The key of each image.
    pub keys: Keys,
    /// The facts a plan is made from.
    pub facts: Facts,
    /// The digest of each external image that is known.
    pub external: BTreeMap<Reference, Digest>,
    /// External images that are not locked, so that a registry was asked for them.
    pub unlocked: Vec<Reference>,
    /// The marks of this run's `--refresh` by label, to be stored when their images are built.
    pub refreshed: BTreeMap<String, String>,
    /// Sizes of images built before, bytes.
    pub sizes: BTreeMap<Digest, u64>,
    /// The generation of the last build of each image, by label.
    pub generations: BTreeMap<String, u64>,
    /// Whether the state in staging was written over before.
    pub is_state_movable: bool,
    /// The release of one of the last commits of the branch.
    pub near: Option<StoredRelease>,
}

/// Why facts could not be gathered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// git failed.
    #[error(transparent)]
    Git(#[from] git::Error),
    /// A file is not what was read of it.
    #[error("`{path}` changed while laminate read the stack")]
    Changed {
        /// Relative to the folder of the spec.
        path: String,
    },
    /// Files were written with what they had, or there are others.
    #[error("files of the stack were written while laminate read them")]
    Writing,
    /// A registry failed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// A document in staging cannot be read.
    #[error(transparent)]
    Staging(#[from] staging::Error),
    /// An external image does not exist for us.
    #[error("external image `{reference}` not found: it does not exist, or requires a login")]
    NoImage {
        /// The image.
        reference: String,
    },
    /// An external image that the spec names cannot be looked up.
    #[error("{source}")]
    External {
        /// The image.
        reference: Reference,
        /// Why.
        source: Box<Error>,
    },
}

/// Asks git, unless there is a comparison already, and, if there is a registry to ask, the registry. Without one, images
/// that need an external image which is not locked cannot be planned and are skipped.
pub async fn gather(
    stack: &Stack,
    options: &Options<'_>,
    comparison: Option<Comparison>,
    registry: Option<&Registry>,
    events: &Events,
) -> Result<Gathered, Error> {
    if registry.is_some() {
        events.send(Event::Phase {
            text: "asking the registry".to_owned(),
        });
    }
    let checkout = async {
        let (checkout, git_missing) = checkout(options, comparison).await?;
        let commit = checkout.as_ref().map(|checkout| &checkout.commit);
        let tags = match registry {
            Some(registry) => {
                let tags = plan::first_tags(stack, commit, options.request);
                tag_digests(registry, tags).await?
            }
            None => TagDigests::new(),
        };
        Ok::<_, Error>((checkout, git_missing, tags))
    };
    let ((checkout, git_missing, tags), known) =
        tokio::try_join!(checkout, look_up(stack, options, registry, events))?;
    let mut facts = Facts {
        checkout,
        git_missing,
        stored: known.stored,
        evidence: known.evidence,
        records: known.state.records(),
        released: BTreeMap::new(),
        released_commit: None,
        last_builds: BTreeSet::new(),
        is_offline: registry.is_none(),
        locked: options.lock.is_some(),
        tags,
    };
    let keys = known.keys;
    if let Some(registry) = registry {
        if let Some(staging) = stack.staging() {
            let staging = Staging::new(registry, staging);
            let (unsure, request) = (known.unsure, options.request);
            stored::ensure_stored(stack, &keys, &mut facts, unsure, request, &staging).await?;
        }
        if !keys
            .digests()
            .iter()
            .all(|key| facts.stored.contains_key(*key))
            && !known.is_new
            && let Some(staging) = stack.staging()
            && let Some(last) = stored::last_release(
                &Staging::new(registry, staging),
                known.near.as_ref(),
                options.folder,
            )
            .await
        {
            (facts.released_commit, facts.released) = last;
        }
        facts.last_builds =
            existing(registry, stack, plan::last_builds(stack, &keys, &facts)).await?;
        loop {
            let tags = plan::tags_to_look_up(stack, &keys, &facts, options.request);
            if tags.is_empty() {
                break;
            }
            facts.tags.extend(tag_digests(registry, tags).await?);
        }
    }
    Ok(Gathered {
        keys,
        facts,
        external: known.external,
        unlocked: known.unlocked,
        refreshed: known.refreshed,
        sizes: sizes(&known.state, known.near.as_ref()),
        generations: known.state.generations(),
        is_state_movable: known.state.is_movable,
        near: known.near,
    })
}

/// Returns the sizes that are known of images, bytes.
fn sizes(state: &State, near: Option<&StoredRelease>) -> BTreeMap<Digest, u64> {
    let released = near.into_iter().flat_map(|near| &near.release.images);
    let released = released.map(|image| (image.digest.clone(), image.size));
    released.chain(state.sizes()).collect()
}

/// The keys of a stack, and what staging has for them.
#[derive(Clone, Debug)]
pub struct Known {
    /// The key of each image.
    pub keys: Keys,
    /// The digest of each external image that is known.
    external: BTreeMap<Reference, Digest>,
    /// The digest that staging has for a key.
    pub stored: BTreeMap<Digest, Digest>,
    /// The evidence of images, by their keys.
    pub evidence: BTreeMap<Digest, Evidence>,
    /// The last build of each image.
    pub state: State,
    /// Whether nothing was built in staging so far.
    is_new: bool,
    unlocked: Vec<Reference>,
    refreshed: BTreeMap<String, String>,
    /// The keys of images that were not looked up, because documents in staging agree about them.
    unsure: BTreeSet<Digest>,
    /// The release of one of the last commits of the branch.
    near: Option<StoredRelease>,
}

/// Computes the keys of a stack and looks them up in staging, without git and the tags of a commit.
pub async fn look_up(
    stack: &Stack,
    options: &Options<'_>,
    registry: Option<&Registry>,
    events: &Events,
) -> Result<Known, Error> {
    let staging = registry.zip(stack.staging());
    let staging = staging.map(|(registry, repository)| Staging::new(registry, repository));
    let staging = staging.as_ref();
    let near = async { Ok(stored::near_release(staging, options.folder).await) };
    let pins = pins(stack, options.lock, registry);
    let (state, (external, unlocked), near) = tokio::try_join!(state(staging, events), pins, near)?;
    let is_new = state.is_none() && near.is_none();
    let state = state.unwrap_or_default();
    let refreshed = refresh_marks(stack, options, &state);
    let mut marks = state.refreshed.clone();
    marks.extend(refreshed.clone());
    let span = trace::span(Track::Spec, || "make the keys".to_owned());
    let keys = Keys::new(
        stack,
        &KeyFacts {
            platform: options.platform.to_owned(),
            external: external.clone(),
            periods: periods(options.now),
            refreshed: marks,
        },
    );
    drop(span);
    let _span = trace::span(Track::Spec, || "look up the keys".to_owned());
    let trusted = near.as_ref().filter(|_| !options.reads_all);
    let agreed = stored::agreed(stack, &keys, &state, trusted);
    let (stored, evidence) = match staging {
        Some(staging) => stored::stored_and_proven(stack, &keys, staging, &agreed).await?,
        None => Default::default(),
    };
    Ok(Known {
        keys,
        external,
        stored,
        evidence,
        state,
        is_new,
        unlocked,
        refreshed,
        unsure: agreed.into_keys().collect(),
        near,
    })
}

/// Returns the state, if there is one. One that cannot be read is reported and left out: it only explains, but for the
/// marks of `--refresh`.
async fn state(staging: Option<&Staging>, events: &Events) -> Result<Option<State>, Error> {
    let Some(staging) = staging else {
        return Ok(None);
    };
    match staging.state().await {
        Ok(state) => Ok(state),
        Err(error) if error.is_broken() => {
            let text = format!(
                "{error}; continuing without it: reasons are not shown, and marks of `--refresh` are lost"
            );
            events.send(Event::Warning { text });
            Ok(Some(State::default()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns a mark for each image that `--refresh` selects, by label.
fn refresh_marks(stack: &Stack, options: &Options<'_>, state: &State) -> BTreeMap<String, String> {
    let images = options.request.refresh.iter();
    images
        .map(|id| {
            let label = stack.label(*id);
            let mark = state.next_mark(&label, options.now);
            (label, mark)
        })
        .collect()
}

/// Returns the manifests that staging has.
async fn existing(
    registry: &Registry,
    stack: &Stack,
    digests: BTreeSet<Digest>,
) -> Result<BTreeSet<Digest>, Error> {
    let Some(staging) = stack.staging() else {
        return Ok(BTreeSet::new());
    };
    let found = try_join_all(digests.into_iter().map(|digest| async move {
        let at = Locator::Digest(digest.clone());
        let found = registry.head_manifest(staging, &at).await?;
        Ok::<_, Error>(found.map(|_| digest))
    }));
    Ok(found.await?.into_iter().flatten().collect())
}

/// Looks up what each tag points at.
async fn tag_digests(
    registry: &Registry,
    tags: BTreeSet<(Repository, Tag)>,
) -> Result<TagDigests, Error> {
    let found = try_join_all(tags.into_iter().map(|(repository, tag)| async move {
        let at = Locator::Tag(tag.clone());
        let found = registry.head_manifest(&repository, &at).await?;
        Ok::<_, Error>(((repository, tag), found.map(|found| found.digest)))
    }));
    Ok(found.await?.into_iter().collect())
}

type Pins = (BTreeMap<Reference, Digest>, Vec<Reference>);

/// Returns the digests of the external images, from the reference itself, the lock, or the registry, in
/// this order; and the references a registry was asked for.
async fn pins(
    stack: &Stack,
    lock: Option<&Lock>,
    registry: Option<&Registry>,
) -> Result<Pins, Error> {
    let mut pins = BTreeMap::new();
    let mut asked = Vec::new();
    for reference in stack.external_images() {
        let known = reference
            .digest
            .as_ref()
            .or_else(|| lock.and_then(|lock| lock.bases.get(reference)));
        match known {
            Some(digest) => {
                pins.insert(reference.clone(), digest.clone());
            }
            None => asked.push(reference.clone()),
        }
    }
    let Some(registry) = registry else {
        return Ok((pins, asked));
    };
    let found = try_join_all(asked.iter().map(|reference| async move {
        match resolve(registry, reference).await {
            Ok(digest) => Ok((reference.clone(), digest)),
            Err(source) => Err(Error::External {
                reference: reference.clone(),
                source: Box::new(source),
            }),
        }
    }));
    pins.extend(found.await?);
    Ok((pins, asked))
}

/// Returns the digest that a registry has for a reference; that of the index if it is one.
pub async fn resolve(registry: &Registry, reference: &Reference) -> Result<Digest, Error> {
    let tag = reference.tag.clone().map(Locator::Tag);
    let digest = reference.digest.clone().map(Locator::Digest);
    let at = digest.or(tag).expect("a reference has a tag or a digest");
    match registry.head_manifest(&reference.repository, &at).await? {
        Some(descriptor) => Ok(descriptor.digest),
        None => Err(Error::NoImage {
            reference: reference.to_string(),
        }),
    }
}

/// Returns the periods of `refresh:`, by the UTC calendar; weeks are ISO 8601's.
fn periods(now: jiff::Timestamp) -> Periods {
    let day = jiff::tz::Offset::UTC.to_datetime(now).date();
    let week = day.iso_week_date();
    Periods {
        day: day.to_string(),
        week: format!("{:04}-W{:02}", week.year(), week.week()),
        month: format!("{:04}-{:02}", day.year(), day.month()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tags;
    use crate::testing::fake::Fake;

    fn stack(fake: &Fake) -> Stack {
        crate::testing::stack(&format!(
            "stack: s\nregistry: {}/ns\nimages: {{ a: {{ base: \"debian@{}\" }} }}",
            fake.host,
            Digest::of(b"base")
        ))
    }

    fn options(request: &Request) -> Options<'_> {
        Options {
            folder: Utf8Path::new("."),
            files: &[],
            platform: "linux/amd64",
            lock: None,
            request,
            now: jiff::Timestamp::UNIX_EPOCH,
            reads_all: false,
        }
    }

    #[tokio::test]
    async fn releases_are_looked_for_only_where_something_was_built() {
        let fake = Fake::start().await;
        let stack = stack(&fake);
        let registry = Registry::new(registry::Options::default()).expect("a client");
        let staging = Staging::new(&registry, stack.staging().expect("it has a registry"));
        let request = Request::default();
        let options = options(&request);
        let (events, _) = Events::channel();
        for lists in [0, 1] {
            let gathered = gather(&stack, &options, None, Some(&registry), &events).await;
            gathered.expect("gathered");
            assert_eq!(fake.count("GET", "tags/list"), lists);
            let none = BTreeMap::new();
            let written = staging.add_to_state(&none, &BTreeMap::new()).await;
            written.expect("written");
        }
    }

    #[tokio::test]
    async fn a_broken_state_is_reported_and_left_out() {
        let fake = Fake::start().await;
        let stack = stack(&fake);
        let registry = Registry::new(registry::Options::default()).expect("a client");
        let staging = Staging::new(&registry, stack.staging().expect("it has a registry"));
        let tag = tags::state();
        let put = async |text: &'static str| {
            let put = registry.put_document(&staging.repository, &tag, "x", text);
            put.await.expect("written");
        };
        put(r#"{"what": 1}"#).await;
        let request = Request::default();
        let options = options(&request);
        let (events, received) = Events::channel();
        let known = look_up(&stack, &options, Some(&registry), &events).await;
        assert_eq!(known.expect("gathered").state, State::default());
        let warned: Vec<Event> = received.try_iter().collect();
        let [Event::Warning { text }] = warned.as_slice() else {
            panic!("{warned:?}");
        };
        assert!(text.starts_with("invalid document "), "{text}");
        // It is replaced, but what a newer laminate wrote is not, whatever it looks like.
        let none = BTreeMap::new();
        let written = staging.add_to_state(&none, &BTreeMap::new()).await;
        written.expect("replaced");
        let state = staging.state().await.expect("read");
        assert_eq!(state, Some(State::default()));
        put(r#"{"version": 7, "pictures": []}"#).await;
        let newer = look_up(&stack, &options, Some(&registry), &events).await;
        let newer = newer.expect_err("newer").to_string();
        assert!(newer.starts_with("unsupported version 7 "), "{newer}");
        let newer = staging.add_to_state(&none, &BTreeMap::new()).await;
        assert!(newer.is_err());
    }

    #[test]
    fn periods_are_days_iso_weeks_and_months() {
        let now = "2027-01-02T23:59:59Z".parse().expect("a time");
        let periods = periods(now);
        assert_eq!(
            (
                periods.day.as_str(),
                periods.week.as_str(),
                periods.month.as_str()
            ),
            ("2027-01-02", "2026-W53", "2027-01")
        );
    }
}
