//! Documents of a registry, one a line: each is written as the same again, and all together are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::compare::{self, Snapshot};
use crate::docs::{Channel, ImageDetails, Links, Wiki, pages};
use crate::evidence::{Evidence, junit};
use crate::name::{Commit, Digest};
use crate::record::{GateVerdict, LedgerEntry, Release, Releases, StoredRelease, StoredSpec};
use crate::staging::State;

/// The most documents of one input: pages of releases link to each other.
const MOST: usize = 24;

/// Documents as staging stores them.
pub fn records(bytes: &[u8]) {
    let mut stored = Vec::new();
    let (mut entries, mut specs, mut evidence) = (Vec::new(), Vec::new(), Vec::new());
    for line in bytes.split(|byte| *byte == b'\n').take(MOST) {
        if let Some(release) = read::<Release>(line) {
            stored.push(StoredRelease::from((Digest::of(line), release)));
        }
        entries.extend(read::<LedgerEntry>(line));
        evidence.extend(read::<Evidence>(line));
        specs.extend(read::<StoredSpec>(line));
        if let Some(state) = read::<State>(line) {
            let _sizes = (state.sizes(), state.records());
        }
        let _gate = read::<GateVerdict>(line);
    }
    for one in &evidence {
        show_evidence(one, &evidence);
    }
    for entry in &entries {
        let _exceptions = entry.exceptions();
    }
    let releases = Releases::new(stored, entries.clone());
    ask(&releases);
    differences(&releases, &specs, &evidence);
    wiki(releases, entries, &specs, &evidence);
}

/// Reads a document; what was read is written as the same again.
fn read<T: Serialize + DeserializeOwned + Debug>(bytes: &[u8]) -> Option<T> {
    let read: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&read).expect("documents are plain data");
    let again: T = serde_json::from_slice(&written).expect("it was written");
    assert!(is_same(&again, &read), "{again:?} is not {read:?}");
    Some(read)
}

/// Whether two documents are equal, but for the last digits of fractions: reading one may round it.
pub fn is_same<T: Serialize>(one: &T, other: &T) -> bool {
    fn same(one: &Value, other: &Value) -> bool {
        match (one, other) {
            (Value::Array(one), Value::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same(a, b))
            }
            (Value::Object(one), Value::Object(other)) => {
                let found = |(key, value)| other.get(key).is_some_and(|b| same(value, b));
                one.len() == other.len() && one.iter().all(found)
            }
            (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
                let (one, other) = (one.as_f64(), other.as_f64());
                let pair = one.zip(other);
                pair.is_some_and(|(one, other)| (one - other).abs() <= one.abs() * 1e-12)
            }
            (one, other) => one == other,
        }
    }
    let value = |of: &T| serde_json::to_value(of).expect("plain data");
    same(&value(one), &value(other))
}

fn show_evidence(one: &Evidence, all: &[Evidence]) {
    let suites = one.suites.iter();
    let suites = suites.map(|(name, verdict)| (name.clone(), verdict));
    let report = junit::report(&one.image, suites);
    assert!(junit::parse(&report).is_ok(), "{report}");
    for verdict in one.suites.values() {
        assert!(!verdict.summary().is_empty() || verdict.reason.is_some());
    }
    for other in all {
        let (mut ab, mut ba) = (one.clone(), other.clone());
        ab.merge(other);
        ba.merge(one);
        let once = ab.clone();
        ab.merge(other);
        assert_eq!(ab, once, "merging again changes nothing");
    }
}

fn ask(releases: &Releases) {
    for stored in &releases.list {
        let Release { commit, images, .. } = &stored.release;
        let commit = commit.as_ref().map(Commit::as_str);
        for name in commit.into_iter().chain([stored.digest.as_str()]) {
            assert!(releases.find(name).is_some());
        }
        let _around = (
            releases.before(&stored.digest),
            releases.at(&stored.digest).count(),
        );
        for image in images.iter().take(MOST) {
            assert!(!releases.turns(&image.label()).is_empty());
            for verdict in &image.verdicts {
                assert!(!verdict.outcome().is_empty());
            }
        }
    }
}

fn differences(releases: &Releases, specs: &[StoredSpec], evidence: &[Evidence]) {
    let snapshot = |stored: &'_ StoredRelease| {
        let images = stored.release.images.iter().zip(evidence.iter().cycle());
        let evidence = images.map(|(image, evidence)| (image.label(), evidence.clone()));
        evidence.collect::<BTreeMap<_, _>>()
    };
    for pair in releases.list.windows(2) {
        let ends = [&pair[0], &pair[1]].map(|stored| Snapshot {
            digest: &stored.digest,
            release: &stored.release,
            spec: specs.first(),
            evidence: snapshot(stored),
        });
        let difference = compare::difference(&ends[0], &ends[1]);
        let _shown = (compare::text(&difference), compare::markdown(&difference));
        let _changed = compare::changed(&pair[0].release, &pair[1].release);
    }
}

fn wiki(
    releases: Releases,
    entries: Vec<LedgerEntry>,
    specs: &[StoredSpec],
    evidence: &[Evidence],
) {
    let Some(shown) = releases.list.first().map(|stored| stored.digest.clone()) else {
        return;
    };
    let details = releases.list.iter().map(|stored| {
        let details = stored.release.images.iter().map(|image| {
            let spec = specs.iter().find_map(|spec| spec.image(&image.label()));
            ImageDetails {
                outside: Vec::new(),
                evidence: evidence.first().cloned(),
                resolved: spec.map(|image| image.resolved.clone()),
                stored: None,
                dockerfile: None,
            }
        });
        (stored.digest.clone(), details.collect())
    });
    let made = pages(&Wiki {
        stack: "t".to_owned(),
        links: Links::Plain,
        shown,
        details: details.collect(),
        channels: vec![Channel {
            name: "stable".to_owned(),
            entries,
        }],
        releases: releases.list,
        written: BTreeSet::new(),
    });
    assert!(made.pages.len() >= 4);
}
