//! The difference between two releases, from their records: packages, bases, configs, parts of the keys, and
//! verdicts.
//!
//! [`difference`] takes two [`Snapshot`]s and returns a [`Difference`], which [`text`] and [`markdown`]
//! show; [`reasons`] returns why one image has another digest in a release. Called by `diff` and `why`.

mod packages;
mod shown;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

pub use packages::{PackageChange, PackageList};
pub use shown::{markdown, text};

use crate::evidence::Evidence;
use crate::name::{Commit, Digest, Repository};
use crate::plan::{self, Reason, ReasonKind};
use crate::record::{Ancestor, Point, Release, ReleaseImage, ReleaseVerdict, StoredSpec};

/// A release and what is stored beside it.
#[derive(Clone, Debug)]
pub struct Snapshot<'a> {
    /// The digest of its record.
    pub digest: &'a Digest,
    /// The release.
    pub release: &'a Release,
    /// The spec it was built from, if it is stored.
    pub spec: Option<&'a StoredSpec>,
    /// Evidence by label, of images that changed.
    pub evidence: BTreeMap<String, Evidence>,
}

/// A value before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    /// The value before.
    pub from: T,
    /// The value after.
    pub to: T,
}

impl<T: PartialEq> Change<T> {
    /// Returns the change; `None` if the values are equal.
    fn between(from: T, to: T) -> Option<Self> {
        (from != to).then_some(Self { from, to })
    }
}

/// The changes from one release to another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The release before.
    pub from: End,
    /// The release after.
    pub to: End,
    /// Images only the release after has.
    pub added: Vec<Named>,
    /// Images only the release before has.
    pub removed: Vec<Named>,
    /// Bases come before the images based on them.
    pub changed: Vec<ImageDifference>,
    /// The number of images that did not change.
    pub unchanged: usize,
}

impl Difference {
    /// Returns whether no image differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

/// One of the two releases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct End {
    /// The digest of its record.
    pub release: Digest,
    /// The commit it was built from; `None`: it is adopted.
    pub commit: Option<Commit>,
    /// When it was recorded.
    pub time: Timestamp,
}

/// An image only one of the releases has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// The image's name.
    pub image: String,
    /// Its variant, in a stack with variants.
    pub variant: Option<String>,
    /// Its repository.
    pub repository: Repository,
    /// The digest of its manifest.
    pub digest: Digest,
    /// `VARIANT/IMAGE`, or `IMAGE`.
    #[serde(skip)]
    pub label: String,
}

/// An image that both have, but not the same.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageDifference {
    /// The image's name.
    pub image: String,
    /// Its variant, in a stack with variants.
    pub variant: Option<String>,
    /// Its repository.
    pub repository: Repository,
    /// The digests of its manifests.
    pub digest: Change<Digest>,
    /// Bytes as stored; `None` where it is not known.
    pub size: Change<Option<u64>>,
    /// By the name of the info, those that differ; `None`: no list is known of both releases.
    pub packages: Option<BTreeMap<String, PackageList>>,
    /// Lists only one release has.
    pub not_compared: Vec<String>,
    /// Outputs of info commands that are not lists.
    pub info: Vec<InfoChange>,
    /// The base, if it changed; `None` in it if no base is recorded.
    pub base: Option<Change<Option<Ancestor>>>,
    /// Settings of the spec that changed.
    pub config: Vec<Setting>,
    /// Parts of its key that changed: files, variables, steps.
    pub reasons: Vec<Reason>,
    /// Suites with another verdict.
    pub verdicts: Vec<VerdictChange>,
    /// Whether the checks of its policy passed.
    pub checks: Option<Change<Option<bool>>>,
    /// `VARIANT/IMAGE`, or `IMAGE`.
    #[serde(skip)]
    pub label: String,
}

/// The output of an info command that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InfoChange {
    /// The name of the info command.
    pub info: String,
    /// Its title.
    pub title: String,
    /// Its output before.
    pub from: String,
    /// Its output after.
    pub to: String,
}

/// A setting of the spec: `env.LANG`, `config.cmd`, `user`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// The path of the setting: `env.LANG`.
    pub what: String,
    /// `None`: it was not set.
    pub from: Option<Value>,
    /// `None`: it is not set any more.
    pub to: Option<Value>,
}

/// A suite that came out otherwise, is new, or is no longer run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerdictChange {
    /// The name of the suite.
    pub suite: String,
    /// The verdict before; `None` if it did not run.
    pub from: Option<ReleaseVerdict>,
    /// The verdict after; `None` if it did not run.
    pub to: Option<ReleaseVerdict>,
    /// Why the spec drops it now.
    pub dropped: Option<String>,
}

/// Labels of images that both releases have with different digests: those whose evidence is compared.
pub fn changed(from: &Release, to: &Release) -> Vec<String> {
    let digest = |image: &ReleaseImage| image.digest.clone();
    let has_changed = |image: &&ReleaseImage| {
        let before = from.image(&image.label()).map(digest);
        before.is_some_and(|before| before != image.digest)
    };
    let images = to.images.iter().filter(has_changed);
    images.map(ReleaseImage::label).collect()
}

/// What changed from one release to the other.
pub fn difference(from: &Snapshot, to: &Snapshot) -> Difference {
    let only = |one: &Release, other: &Release| -> Vec<Named> {
        let lacks = |image: &&ReleaseImage| other.image(&image.label()).is_none();
        one.images.iter().filter(lacks).map(named).collect()
    };
    let mut changed = Vec::new();
    let mut unchanged = 0;
    for image in &to.release.images {
        let Some(before) = from.release.image(&image.label()) else {
            continue;
        };
        match image_difference(from, before, to, image) {
            Some(difference) => changed.push(difference),
            None => unchanged += 1,
        }
    }
    inherit(&mut changed, to.release);
    Difference {
        from: end(from),
        to: end(to),
        added: only(to.release, from.release),
        removed: only(from.release, to.release),
        changed,
        unchanged,
    }
}

fn end(snapshot: &Snapshot) -> End {
    End {
        release: snapshot.digest.clone(),
        commit: snapshot.release.commit.clone(),
        time: snapshot.release.time,
    }
}

fn named(image: &ReleaseImage) -> Named {
    Named {
        image: image.image.clone(),
        variant: image.variant.clone(),
        repository: image.repository.clone(),
        digest: image.digest.clone(),
        label: image.label(),
    }
}

fn image_difference(
    from: &Snapshot,
    before: &ReleaseImage,
    to: &Snapshot,
    image: &ReleaseImage,
) -> Option<ImageDifference> {
    let verdicts = verdicts(before, image);
    let checks = Change::between(before.checks, image.checks);
    let same = before.digest == image.digest && before.key == image.key;
    if same && verdicts.is_empty() && checks.is_none() {
        return None;
    }
    let label = image.label();
    let of_both = (from.evidence.get(&label)).zip(to.evidence.get(&label));
    let lists = of_both
        .map(|(old, new)| lists(old, new))
        .unwrap_or_default();
    let stored = from.spec.and_then(|spec| spec.image(&label));
    let stored = stored.zip(to.spec.and_then(|spec| spec.image(&label)));
    let known = |size: u64| (size > 0).then_some(size);
    Some(ImageDifference {
        image: image.image.clone(),
        variant: image.variant.clone(),
        repository: image.repository.clone(),
        digest: Change {
            from: before.digest.clone(),
            to: image.digest.clone(),
        },
        size: Change {
            from: known(before.size),
            to: known(image.size),
        },
        packages: lists.packages,
        not_compared: lists.not_compared,
        info: lists.info,
        base: Change::between(from.release.base(before), to.release.base(image)),
        config: stored
            .map(|(old, new)| settings(&old.resolved, &new.resolved))
            .unwrap_or_default(),
        reasons: stored
            .map(|(old, new)| plan::reason::reasons(&old.components, &new.components, false))
            .unwrap_or_default(),
        verdicts,
        checks,
        label,
    })
}

fn verdicts(old: &ReleaseImage, new: &ReleaseImage) -> Vec<VerdictChange> {
    let of = |image: &ReleaseImage, suite: &str| {
        let mut verdicts = image.verdicts.iter();
        verdicts.find(|verdict| verdict.suite == suite).cloned()
    };
    let dropped = |suite: &str| {
        let mut dropped = new.dropped.iter();
        let found = dropped.find(|dropped| dropped.suite == suite)?;
        Some(found.reason.clone())
    };
    // On which digest it ran, and whether it ran again, is not a change.
    let core = |verdict: &Option<ReleaseVerdict>| {
        let verdict = verdict.as_ref()?;
        Some((verdict.passed, verdict.tests, verdict.failed))
    };
    let all = old.verdicts.iter().chain(&new.verdicts);
    let suites: BTreeSet<&String> = all.map(|verdict| &verdict.suite).collect();
    let change = |suite: &String| VerdictChange {
        suite: suite.clone(),
        from: of(old, suite),
        to: of(new, suite),
        dropped: dropped(suite),
    };
    let all = suites.into_iter().map(change);
    all.filter(|change| core(&change.from) != core(&change.to))
        .collect()
}

#[derive(Default)]
struct Lists {
    packages: Option<BTreeMap<String, PackageList>>,
    not_compared: Vec<String>,
    info: Vec<InfoChange>,
}

fn lists(old: &Evidence, new: &Evidence) -> Lists {
    let mut lists = Lists::default();
    let names: BTreeSet<&String> = old.info.keys().chain(new.info.keys()).collect();
    for name in names {
        let (before, after) = (old.info.get(name), new.info.get(name));
        let packages = |info: Option<&'_ crate::evidence::Info>| {
            info.is_some_and(|info| info.packages.is_some())
        };
        if packages(before) != packages(after) {
            lists.not_compared.push(name.clone());
        }
        let (Some(before), Some(after)) = (before, after) else {
            continue;
        };
        match (&before.packages, &after.packages) {
            (Some(from), Some(to)) => {
                let all = lists.packages.get_or_insert_default();
                let changes = packages::changes(from, to);
                if !changes.is_empty() {
                    let title = after.title.clone();
                    all.insert(name.clone(), PackageList { title, changes });
                }
            }
            (None, None) if before.text != after.text => lists.info.push(InfoChange {
                info: name.clone(),
                title: after.title.clone(),
                from: before.text.clone(),
                to: after.text.clone(),
            }),
            _ => {}
        }
    }
    lists
}

/// Marks what an image has from its base.
fn inherit(changed: &mut [ImageDifference], release: &Release) {
    for at in 0..changed.len() {
        let parent = release
            .image(&changed[at].label)
            .and_then(|image| release.parent(image));
        let Some(label) = parent.map(ReleaseImage::label) else {
            continue;
        };
        let base = changed.iter().find(|other| other.label == label);
        let Some(base) = base.and_then(|base| base.packages.clone()) else {
            continue;
        };
        for (name, list) in changed[at].packages.iter_mut().flatten() {
            let Some(of_base) = base.get(name) else {
                continue;
            };
            for change in &mut list.changes {
                change.inherited = of_base.changes.iter().any(|other| {
                    (&other.name, &other.from, &other.to)
                        == (&change.name, &change.from, &change.to)
                });
            }
        }
    }
}

/// Settings that differ, those in a mapping one by one.
fn settings(old: &Value, new: &Value) -> Vec<Setting> {
    let (old, new) = (flat(old), flat(new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let setting = |name: &String| Setting {
        what: name.clone(),
        from: old.get(name).map(|value| (*value).clone()),
        to: new.get(name).map(|value| (*value).clone()),
    };
    let all = names.into_iter().map(setting);
    all.filter(|setting| setting.from != setting.to).collect()
}

/// The settings of a resolved image, without what is compared by other means.
fn flat(resolved: &Value) -> BTreeMap<String, &Value> {
    let mut flat = BTreeMap::new();
    for (name, value) in resolved.as_object().into_iter().flatten() {
        match (name.as_str(), value) {
            ("image" | "variant" | "base" | "steps", _) | (_, Value::Null) => {}
            (_, Value::Object(entries)) => {
                let entries = entries.iter();
                flat.extend(entries.map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            _ => {
                flat.insert(name.clone(), value);
            }
        }
    }
    flat
}

/// Returns why an image has another digest in `now` than in `before`; for a parent that is rebuilt, also
/// why it is. Not empty.
pub fn reasons(
    before: Option<(&Point, Option<&StoredSpec>)>,
    now: (&Point, Option<&StoredSpec>),
) -> Vec<Reason> {
    let (point, spec) = now;
    let label = point.image.label();
    let Some((old, old_spec)) = before else {
        let text = "this is its first release";
        return vec![Reason::new(ReasonKind::New, label, text)];
    };
    let (Some(old_spec), Some(spec)) = (old_spec, spec) else {
        let text = "one of the two releases was written without its spec";
        return vec![Reason::new(ReasonKind::Missing, "spec", text)];
    };
    let mut list = Vec::new();
    let mut image = Some(point.image);
    while let Some(current) = image {
        let name = current.label();
        let stored = old_spec.image(&name).zip(spec.image(&name));
        let Some((was, is)) = stored else {
            break;
        };
        let found = plan::reason::reasons(&was.components, &is.components, false);
        let parent = found.iter().any(|reason| reason.kind == ReasonKind::Parent);
        list.extend(found.into_iter().map(|reason| {
            if name == label {
                reason
            } else {
                Reason {
                    text: format!("{name}: {}", reason.text),
                    ..reason
                }
            }
        }));
        image = if parent {
            point.release.parent(current)
        } else {
            None
        };
    }
    if list.is_empty() {
        let text = if old.image.key.is_some() && old.image.key == point.image.key {
            "it was rebuilt from the same inputs, with another result"
        } else {
            "its inputs are not recorded"
        };
        list.push(Reason::new(ReasonKind::Missing, label, text));
    }
    list
}
