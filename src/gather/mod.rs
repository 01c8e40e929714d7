//! Finds the facts a plan is made from: git, the lock, the registry, the clock.
//!
//! [`gather`] is called by every command that plans; [`Gathered`] is what it found.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8Path;
use futures_util::future::try_join_all;

use crate::event::{Event, Events};
use crate::git;
use crate::name::{Digest, Reference, Repository, Tag};
use crate::plan::{self, Facts, KeyFacts, Keyed, Periods, Plan, Request};
use crate::registry::{self, Locator, Registry};
use crate::spec::lock::Lock;
use crate::stack::{Base, ImageId, Stack};
use crate::staging::{self, Staging, State};
use crate::tags;

/// What is known of fixed tags: the digest each is on, `None` if it is free.
pub type Names = BTreeMap<(Repository, Tag), Option<Digest>>;

/// A suffix no release ever needs; behind it something else is wrong.
const MOST_ATTEMPTS: u32 = 1000;

#[derive(Clone, Copy)]
pub struct Options<'a> {
    /// The folder of the spec.
    pub folder: &'a Utf8Path,
    /// The spec's name in it.
    pub file: &'a str,
    /// `linux/amd64`.
    pub platform: &'a str,
    pub lock: Option<&'a Lock>,
    pub request: &'a Request,
    /// Images `--refresh` names.
    pub refresh: &'a BTreeSet<ImageId>,
    pub now: jiff::Timestamp,
}

/// The facts, and the plan made from them.
#[derive(Clone, Debug)]
pub struct Gathered {
    pub facts: Facts,
    pub plan: Plan,
    /// The digest of each outside base that is known.
    pub bases: BTreeMap<Reference, Digest>,
    /// Outside bases that are in no lock and were asked of a registry.
    pub unlocked: Vec<Reference>,
    /// Marks of `--refresh` made now, to be remembered when their images are built.
    pub refreshed: BTreeMap<String, String>,
    pub names: Names,
    /// Sizes of images built before, bytes.
    pub sizes: BTreeMap<Digest, u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Git(#[from] git::Error),
    #[error("{0}")]
    Registry(#[from] registry::Error),
    #[error(transparent)]
    Staging(#[from] staging::Error),
    #[error("the outside base {reference} does not exist, or is not for everybody to see")]
    NoBase { reference: String },
    #[error(
        "no fixed tag is free: {tag} and every suffix up to .{MOST_ATTEMPTS} are on other images"
    )]
    NoTag { tag: String },
}

/// Asks git and, if there is a registry to ask, the registry. Without one, images whose outside base
/// is in no lock cannot be planned and are held.
pub async fn gather(
    stack: &Stack,
    options: &Options<'_>,
    registry: Option<&Registry>,
    events: &Events,
) -> Result<Gathered, Error> {
    let files = [options.file, "specs.lock", "images"];
    let commit = git::commit(options.folder, &files);
    let repository = stack.staging.as_ref();
    let staging = registry
        .zip(repository)
        .map(|(registry, repository)| Staging::new(registry, repository));
    let staging = staging.as_ref();
    let state = async {
        match staging {
            Some(staging) => Ok(staging.state().await?),
            None => Ok(State::default()),
        }
    };
    if registry.is_some() {
        events.send(Event::Phase {
            text: "asking the registry".to_owned(),
        });
    }
    let commit = async { Ok::<_, Error>(commit.await?) };
    let (commit, state, (bases, unlocked)) =
        tokio::try_join!(commit, state, bases(stack, options.lock, registry))?;

    let mut refreshed = BTreeMap::new();
    for id in options.refresh {
        let label = plan::label(stack, &stack.images[id.0]);
        refreshed.insert(label, options.now.to_string());
    }
    let mut marks = state.refreshed.clone();
    marks.extend(refreshed.clone());
    let key_facts = KeyFacts {
        platform: options.platform.to_owned(),
        bases: bases.clone(),
        periods: periods(options.now),
        refreshed: marks,
    };
    let keys = plan::keys(stack, &key_facts);
    let stored = match staging {
        Some(staging) => stored(staging, &keys).await?,
        None => BTreeMap::new(),
    };
    let evidence = match staging {
        Some(staging) => {
            let wanted: BTreeSet<&Digest> = stack
                .images
                .iter()
                .zip(&keys)
                .filter(|(image, _)| image.proof.is_wanted() || image.writable.is_some())
                .filter_map(|(_, keyed)| Some(&keyed.as_ref()?.key))
                .filter(|key| stored.contains_key(key))
                .collect();
            staging.evidence(wanted).await?
        }
        None => BTreeMap::new(),
    };
    let mut facts = Facts {
        commit,
        stored,
        evidence,
        records: state.records(),
        locked: options.lock.is_some(),
        attempt: 1,
    };
    let mut names = Names::new();
    let mut plan = Plan::new(stack, &keys, &facts, options.request);
    if let Some(registry) = registry {
        loop {
            look_up(stack, &plan, registry, &mut names).await?;
            if !plan.is_taken(stack, &taken(&names)) {
                break;
            }
            facts.attempt += 1;
            if facts.attempt > MOST_ATTEMPTS {
                return Err(Error::NoTag {
                    tag: first_tag(&plan),
                });
            }
            plan = Plan::new(stack, &keys, &facts, options.request);
        }
    }
    Ok(Gathered {
        facts,
        plan,
        bases,
        unlocked,
        refreshed,
        names,
        sizes: state.sizes(),
    })
}

fn first_tag(plan: &Plan) -> String {
    let mut tags = plan.images.iter().flat_map(|image| &image.tags);
    tags.next().map(ToString::to_string).unwrap_or_default()
}

fn taken(names: &Names) -> BTreeMap<(Repository, Tag), Digest> {
    names
        .iter()
        .filter_map(|(name, digest)| Some((name.clone(), digest.clone()?)))
        .collect()
}

/// Adds what the registry has under the plan's fixed tags.
async fn look_up(
    stack: &Stack,
    plan: &Plan,
    registry: &Registry,
    names: &mut Names,
) -> Result<(), Error> {
    let mut wanted = BTreeSet::new();
    for planned in &plan.images {
        let held = matches!(planned.action, plan::Action::Hold { .. });
        if let Some(repository) = &stack.images[planned.id.0].repository
            && !held
        {
            for tag in &planned.tags {
                wanted.insert((repository.clone(), tag.clone()));
            }
        }
    }
    let found = try_join_all(wanted.into_iter().map(|name| async move {
        let there = registry
            .head_manifest(&name.0, &Locator::Tag(name.1.clone()))
            .await?;
        Ok::<_, Error>((name, there.map(|descriptor| descriptor.digest)))
    }));
    names.extend(found.await?);
    Ok(())
}

/// The digests staging holds for the keys.
async fn stored(
    staging: &Staging,
    keys: &[Option<Keyed>],
) -> Result<BTreeMap<Digest, Digest>, Error> {
    let wanted: BTreeSet<&Digest> = keys.iter().flatten().map(|keyed| &keyed.key).collect();
    let found = try_join_all(wanted.into_iter().map(|key| async move {
        let tag = Locator::Tag(tags::key(key));
        let there = (staging.registry)
            .head_manifest(&staging.repository, &tag)
            .await?;
        Ok::<_, Error>(there.map(|descriptor| (key.clone(), descriptor.digest)))
    }));
    Ok(found.await?.into_iter().flatten().collect())
}

/// The outside bases of a stack, each once.
pub fn outside(stack: &Stack) -> BTreeSet<&Reference> {
    let bases = stack.images.iter().filter_map(|image| match &image.base {
        Base::Outside(base) => Some(&base.reference.value),
        Base::Image(_) => None,
    });
    bases.collect()
}

type Pins = (BTreeMap<Reference, Digest>, Vec<Reference>);

/// Digests from the reference itself, the lock, or the registry, in this order; and which came from
/// a registry.
async fn bases(
    stack: &Stack,
    lock: Option<&Lock>,
    registry: Option<&Registry>,
) -> Result<Pins, Error> {
    let mut pins = BTreeMap::new();
    let mut asked = Vec::new();
    for reference in outside(stack) {
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
        let digest = resolve(registry, reference).await?;
        Ok::<_, Error>((reference.clone(), digest))
    }));
    pins.extend(found.await?);
    Ok((pins, asked))
}

/// The digest a registry has behind a reference; that of the index if it is one.
pub async fn resolve(registry: &Registry, reference: &Reference) -> Result<Digest, Error> {
    let tag = reference.tag.clone().map(Locator::Tag);
    let digest = reference.digest.clone().map(Locator::Digest);
    let at = digest.or(tag).expect("a reference has a tag or a digest");
    match registry.head_manifest(&reference.repository, &at).await? {
        Some(descriptor) => Ok(descriptor.digest),
        None => Err(Error::NoBase {
            reference: reference.to_string(),
        }),
    }
}

/// The periods of `refresh:`, by the UTC calendar; weeks are ISO 8601's.
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
