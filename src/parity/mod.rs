//! Compares two images as a user of theirs sees them: files, config and packages.
//!
//! [`Files`] are the files of an image, made of its layers by `layers.rs`; [`compare`] lists what differs. Times are not
//! compared, and some paths are left out by default ([`IGNORED`]). Called by `cli`.

mod config;
mod layers;
mod packages;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde_json::Value;

pub use layers::{Compressed, add_layer};

use crate::name::Digest;
use crate::path::{by_parts, is_below};

/// Paths that differ from build to build, with the reason.
pub const IGNORED: [(&str, &str); 16] = [
    ("**/__pycache__", "compiled Python, with times"),
    ("**/__pycache__/**", "compiled Python, with times"),
    ("**/*.pyc", "compiled Python, with times"),
    (
        "**/*.dist-info/INSTALLER",
        "the tool that installed a package",
    ),
    (
        "**/*.dist-info/RECORD",
        "the files of a package, as that tool lists them",
    ),
    ("**/conda-meta/history", "what conda did, with times"),
    ("etc/ld.so.cache", "made by ldconfig"),
    ("etc/*-", "copies that useradd and groupadd keep"),
    ("home/*/.cache/**", "caches"),
    ("root/.cache/**", "caches"),
    ("tmp/**", "temporary files"),
    ("usr/share/info/dir", "made by install-info"),
    ("var/cache/**", "caches"),
    ("var/lib/apt/**", "lists and logs of apt"),
    ("var/lib/dpkg/*-old", "copies that dpkg keeps"),
    ("var/log/**", "logs"),
];

/// The files of an image by their paths, without a `/` at the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    entries: BTreeMap<String, Entry>,
    /// The texts of databases of packages, by path.
    texts: BTreeMap<String, Vec<u8>>,
}

/// A file, folder or link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    kind: Kind,
    /// Permissions with setuid, setgid and sticky.
    mode: u32,
    uid: u64,
    gid: u64,
    /// Extended attributes by name.
    attributes: BTreeMap<String, Vec<u8>>,
}

/// The kinds of entries.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    File {
        size: u64,
        digest: Digest,
    },
    Link(String),
    /// A device or a FIFO.
    Other(&'static str),
}

/// An image that is compared.
#[derive(Clone, Debug, Default)]
pub struct Side {
    /// Its files.
    pub files: Files,
    /// Its config, JSON.
    pub config: Value,
}

/// What differs between two images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Settings of the config: name, value of the first, value of the second.
    pub config: Vec<Changed>,
    /// Packages: name, version in the first, version in the second.
    pub packages: Vec<Changed>,
    /// Files: path, and what each has there.
    pub files: Vec<Changed>,
    /// How many files that differ are left out.
    pub ignored: usize,
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The path, package or setting.
    pub what: String,
    /// What the first image has; `None`: nothing.
    pub first: Option<String>,
    /// What the second image has; `None`: nothing.
    pub second: Option<String>,
    /// The same two without what only this file has: its size, its digest, the target of a link. Empty for settings and
    /// packages.
    pub alike: [Option<String>; 2],
}

impl Differences {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.config.is_empty() && self.packages.is_empty() && self.files.is_empty()
    }
}

/// Returns the paths to leave out: [`IGNORED`] and others, with the rules of `.gitignore`. The error is the first of the others
/// that is invalid, or without a meaning.
pub fn patterns(others: &[String]) -> Result<Gitignore, String> {
    let mut builder = GitignoreBuilder::new("");
    for (pattern, _) in IGNORED {
        let added = builder.add_line(None, pattern);
        added.map_err(|error| error.to_string())?;
    }
    for text in others {
        let added = builder.add_line(None, text);
        if added.is_err() || !has_meaning(text) {
            return Err(text.clone());
        }
    }
    builder.build().map_err(|error| error.to_string())
}

/// Whether a line of a `.gitignore` is a pattern of some path.
fn has_meaning(line: &str) -> bool {
    let mut alone = GitignoreBuilder::new("");
    let made = alone.add_line(None, line).and_then(|it| it.build());
    !line.trim_matches(['/', ' ']).is_empty() && made.is_ok_and(|made| !made.is_empty())
}

/// Returns what differs between two images, without the files that `ignored` matches.
pub fn compare(first: &Side, second: &Side, ignored: &Gitignore) -> Differences {
    let (packages_first, packages_second) = (
        packages::packages(&first.files),
        packages::packages(&second.files),
    );
    let mut made = Differences {
        config: changes(
            &config::settings(&first.config),
            &config::settings(&second.config),
        ),
        packages: changes(&packages_first, &packages_second),
        ..Differences::default()
    };
    let (ours, theirs) = (&first.files.entries, &second.files.entries);
    let mut paths: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
    // What is in a folder follows it: `a`, `a/x`, `a-b`.
    paths.sort_by(|one, other| by_parts(one, other));
    paths.dedup();
    let mut missing: Option<MissingFolder> = None;
    for path in paths {
        let (one, other) = (ours.get(path), theirs.get(path));
        if one == other {
            continue;
        }
        let either = one.or(other);
        let is_folder = either.is_some_and(|entry| entry.kind == Kind::Folder);
        let is_ignored = ignored
            .matched_path_or_any_parents(path, is_folder)
            .is_ignore();
        if let Some(folder) = &mut missing
            && is_below(path, &folder.path)
            && (one.is_none() || other.is_none())
        {
            folder.entries += usize::from(!is_ignored);
            folder.ignored += usize::from(is_ignored);
            continue;
        }
        made.end_folder(&mut missing);
        if is_ignored {
            made.ignored += 1;
            continue;
        }
        let is_folder = |entry: &Option<&Entry>| entry.is_some_and(|it| it.kind == Kind::Folder);
        if one.is_none() && is_folder(&other) || other.is_none() && is_folder(&one) {
            missing = Some(MissingFolder {
                path: path.clone(),
                entries: 0,
                ignored: 0,
            });
        }
        made.files.push(changed(path, one, other));
    }
    made.end_folder(&mut missing);
    made
}

/// A folder that only one image has: it stands for what is in it.
struct MissingFolder {
    path: String,
    /// How many entries below it count.
    entries: usize,
    /// How many entries below it are left out.
    ignored: usize,
}

impl Differences {
    /// Adds the number of entries to a folder that only one image has. Takes a folder back of which all entries are left
    /// out.
    fn end_folder(&mut self, missing: &mut Option<MissingFolder>) {
        let Some(folder) = missing.take() else {
            return;
        };
        self.ignored += folder.ignored;
        if folder.entries == 0 && folder.ignored > 0 {
            self.ignored += 1;
            self.files.pop();
        } else if folder.entries > 0
            && let Some(last) = self.files.last_mut()
            && let Some(text) = last.first.as_mut().or(last.second.as_mut())
        {
            text.push_str(&format!(", with {} files and folders", folder.entries));
        }
    }
}

/// Returns the difference at a path.
fn changed(path: &str, one: Option<&Entry>, other: Option<&Entry>) -> Changed {
    let (first, second) = described(one, other, Kind::describe);
    let alike = described(one, other, |kind| kind.name().to_owned());
    Changed {
        what: format!("/{path}"),
        first,
        second,
        alike: [alike.0, alike.1],
    }
}

/// Returns what two images have at a path: only what differs if both have something.
fn described(
    one: Option<&Entry>,
    other: Option<&Entry>,
    kind: impl Fn(&Kind) -> String,
) -> (Option<String>, Option<String>) {
    let (Some(one), Some(other)) = (one, other) else {
        let whole = |it: &Entry| {
            let kind = kind(&it.kind);
            format!("{kind}, {}:{}, mode {:o}", it.uid, it.gid, it.mode)
        };
        return (one.map(whole), other.map(whole));
    };
    let mut parts: (Vec<String>, Vec<String>) = Default::default();
    let mut add = |is_same: bool, one: String, other: String| {
        if !is_same {
            parts.0.push(one);
            parts.1.push(other);
        }
    };
    add(one.kind == other.kind, kind(&one.kind), kind(&other.kind));
    let owner = |it: &Entry| format!("{}:{}", it.uid, it.gid);
    add(owner(one) == owner(other), owner(one), owner(other));
    let mode = |it: &Entry| format!("mode {:o}", it.mode);
    add(one.mode == other.mode, mode(one), mode(other));
    let attributes = |it: &Entry| {
        let names: Vec<&str> = it.attributes.keys().map(String::as_str).collect();
        format!("attributes [{}]", names.join(", "))
    };
    add(
        one.attributes == other.attributes,
        attributes(one),
        attributes(other),
    );
    (Some(parts.0.join(", ")), Some(parts.1.join(", ")))
}

impl Kind {
    fn describe(&self) -> String {
        match self {
            Self::File { size, digest } => format!("file of {size} bytes ({})", digest.short()),
            Self::Link(target) => format!("link to {target}"),
            Self::Folder | Self::Other(_) => self.name().to_owned(),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Folder => "folder",
            Self::File { .. } => "file",
            Self::Link(_) => "link",
            Self::Other(kind) => kind,
        }
    }
}

/// Returns the entries of two maps that differ.
fn changes(first: &BTreeMap<String, String>, second: &BTreeMap<String, String>) -> Vec<Changed> {
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let differ = names
        .into_iter()
        .filter(|name| first.get(*name) != second.get(*name));
    let changed = differ.map(|name| Changed {
        what: name.clone(),
        first: first.get(name).cloned(),
        second: second.get(name).cloned(),
        alike: Default::default(),
    });
    changed.collect()
}
