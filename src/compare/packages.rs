//! The changes between two lists of packages.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::evidence::Package;

/// A package that came, went, or has another version. Versions are texts; several of one name are
/// joined by `, `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageChange {
    /// The name of the package.
    pub name: String,
    /// `None`: it came.
    pub from: Option<String>,
    /// `None`: it went.
    pub to: Option<String>,
    /// The base it comes from changed in the same way.
    pub inherited: bool,
}

/// The changes of one list: pip's, apt's, …
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageList {
    /// The title of the list.
    pub title: String,
    /// By name.
    pub changes: Vec<PackageChange>,
}

impl PackageList {
    /// Returns the packages that came.
    pub fn added(&self) -> impl Iterator<Item = &PackageChange> {
        self.changes.iter().filter(|change| change.from.is_none())
    }

    /// Returns the packages that went.
    pub fn removed(&self) -> impl Iterator<Item = &PackageChange> {
        self.changes.iter().filter(|change| change.to.is_none())
    }

    /// Returns the packages with another version.
    pub fn moved(&self) -> impl Iterator<Item = &PackageChange> {
        let moved = |change: &&PackageChange| change.from.is_some() && change.to.is_some();
        self.changes.iter().filter(moved)
    }
}

impl Serialize for PackageList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct One<'a> {
            name: &'a str,
            version: &'a Option<String>,
            inherited: bool,
        }
        #[derive(Serialize)]
        struct Two<'a> {
            name: &'a str,
            from: &'a Option<String>,
            to: &'a Option<String>,
            inherited: bool,
        }
        fn one<'a>(change: &'a PackageChange, version: &'a Option<String>) -> One<'a> {
            One {
                name: &change.name,
                version,
                inherited: change.inherited,
            }
        }
        let added: Vec<One> = self.added().map(|change| one(change, &change.to)).collect();
        let removed: Vec<One> = self
            .removed()
            .map(|change| one(change, &change.from))
            .collect();
        let changed: Vec<Two> = self
            .moved()
            .map(|change| Two {
                name: &change.name,
                from: &change.from,
                to: &change.to,
                inherited: change.inherited,
            })
            .collect();
        let mut list = serializer.serialize_struct("PackageList", 4)?;
        list.serialize_field("title", &self.title)?;
        list.serialize_field("added", &added)?;
        list.serialize_field("removed", &removed)?;
        list.serialize_field("changed", &changed)?;
        list.end()
    }
}

/// What changed from `old` to `new`, by name. A package whose name is only spelt differently
/// (`jupyter_core`, `jupyter-core`) is one.
pub fn changes(old: &[Package], new: &[Package]) -> Vec<PackageChange> {
    let (old, mut new) = (versions(old), versions(new));
    respell(&old, &mut new);
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let none = BTreeSet::new();
    let mut list = Vec::new();
    for name in names {
        let before = old.get(name).unwrap_or(&none);
        let after = new.get(name).unwrap_or(&none);
        let text = |versions: Vec<&&str>| {
            let versions: Vec<&str> = versions.into_iter().copied().collect();
            (!versions.is_empty()).then(|| versions.join(", "))
        };
        let from = text(before.difference(after).collect());
        let to = text(after.difference(before).collect());
        if from.is_some() || to.is_some() {
            list.push(PackageChange {
                name: name.clone(),
                from,
                to,
                inherited: false,
            });
        }
    }
    list
}

/// A name may have several versions: two architectures, two folders.
type Versions<'a> = BTreeMap<String, BTreeSet<&'a str>>;

fn versions(list: &[Package]) -> Versions<'_> {
    let mut versions = Versions::new();
    for package in list {
        let of_name = versions.entry(package.name.clone()).or_default();
        of_name.insert(package.version.as_str());
    }
    versions
}

/// Gives packages of `new` the spelling `old` has, where it is clear which is meant.
fn respell(old: &Versions, new: &mut Versions) {
    let only = |names: &Versions, other: &Versions| -> BTreeMap<String, Option<String>> {
        let mut folded = BTreeMap::new();
        for name in names.keys().filter(|name| !other.contains_key(*name)) {
            folded
                .entry(fold(name))
                .and_modify(|twice| *twice = None)
                .or_insert_with(|| Some(name.clone()));
        }
        folded
    };
    let (gone, come) = (only(old, new), only(new, old));
    for (folded, name) in come {
        if let (Some(name), Some(Some(before))) = (name, gone.get(&folded))
            && let Some(versions) = new.remove(&name)
        {
            new.insert(before.clone(), versions);
        }
    }
}

/// As Python compares names of packages (PEP 503, "Normalized Names").
fn fold(name: &str) -> String {
    let words = name.split(['-', '_', '.']).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-").to_lowercase()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Vec<Package> {
        let items = text.split_whitespace().filter_map(|item| {
            let (name, version) = item.split_once('=')?;
            Some(Package {
                name: name.to_owned(),
                version: version.to_owned(),
            })
        });
        items.collect()
    }

    fn shown(old: &str, new: &str) -> String {
        let one = |change: PackageChange| {
            let side = |version: Option<String>| version.unwrap_or_else(|| "-".to_owned());
            format!(
                "{}: {} > {}",
                change.name,
                side(change.from),
                side(change.to)
            )
        };
        let all: Vec<String> = changes(&list(old), &list(new))
            .into_iter()
            .map(one)
            .collect();
        all.join("; ")
    }

    #[test]
    fn exactly_what_changed() {
        let old = "numpy=2.2.0 six=1.16.0 torch=2.5";
        assert_eq!(shown(old, old), "");
        assert_eq!(
            shown(old, "einops=0.8.0 numpy=2.2.1 torch=2.5"),
            "einops: - > 0.8.0; numpy: 2.2.0 > 2.2.1; six: 1.16.0 > -"
        );
        // Texts, not numbers.
        assert_eq!(shown("a=1.0", "a=1.00"), "a: 1.0 > 1.00");
    }

    #[test]
    fn one_name_in_several_versions() {
        assert_eq!(shown("k=1 k=2", "k=2 k=1"), "");
        assert_eq!(shown("k=1 k=2", "k=2 k=3"), "k: 1 > 3");
        assert_eq!(shown("k=1", "k=1 k=2"), "k: - > 2");
        assert_eq!(shown("k=1 k=2", "k=2"), "k: 1 > -");
        assert_eq!(shown("k=1 k=2", "k=3 k=4"), "k: 1, 2 > 3, 4");
    }

    #[test]
    fn another_spelling_is_no_change() {
        assert_eq!(shown("jupyter_core=5 a=1", "jupyter-core=5 a=1"), "");
        assert_eq!(shown("PyYAML=6.0", "pyyaml=6.1"), "PyYAML: 6.0 > 6.1");
        // Two that are both there are two.
        assert_eq!(
            shown("a-b=1 a_b=1", "a.b=1"),
            "a-b: 1 > -; a.b: - > 1; a_b: 1 > -"
        );
    }

    proptest! {
        #[test]
        fn there_and_back_is_the_same(
            old in prop::collection::vec(("[a-c_-]{1,2}", "[12]"), 0..8),
            new in prop::collection::vec(("[a-c_-]{1,2}", "[12]"), 0..8),
        ) {
            let packages = |list: Vec<(String, String)>| -> Vec<Package> {
                list.into_iter().map(|(name, version)| Package { name, version }).collect()
            };
            let (old, new) = (packages(old), packages(new));
            prop_assert_eq!(changes(&old, &old), vec![]);
            let versions = |list: Vec<PackageChange>, back: bool| -> BTreeSet<_> {
                list.into_iter()
                    .map(|change| if back { (fold(&change.name), change.to, change.from) } else { (fold(&change.name), change.from, change.to) })
                    .collect()
            };
            let (there, back) = (changes(&old, &new), changes(&new, &old));
            prop_assert_eq!(versions(there, false), versions(back, true));
        }
    }
}
