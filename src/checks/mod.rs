//! What a policy forbids, found in the list of an image's files.
//!
//! [`faults`] looks at a [`Tree`] (and at that of the outside base, for what is new), [`findings`] puts
//! what it found together for a reader. Pure: `run` reads the trees through the engine, so that nothing
//! of it needs a tool in the image.

mod group;
mod root;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

pub use group::findings;

use crate::evidence::Rule;
use crate::size;
use crate::stack::{LayerLimits, Policy};

/// All entries of a file system, by absolute path; `/` is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, Entry>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    /// Permissions with setuid, setgid and sticky: `0o4755`.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Bytes of a regular file.
    pub size: u64,
    /// Those it is run with, a bit each (linux/capability.h).
    pub capabilities: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Regular,
    Folder,
    Link,
    Other,
}

/// Files whose content the checks want, where an image has them.
pub const TEXTS: [&str; 3] = ["/etc/passwd", "/etc/shadow", "/etc/sudoers"];

/// Every file of this folder, too.
pub const TEXT_FOLDER: &str = "/etc/sudoers.d";

/// What is asked of one image.
#[derive(Clone, Copy)]
pub struct CheckInput<'a> {
    pub policy: &'a Policy,
    /// Paths below which everything belongs to a group and is writable for it.
    pub writable: &'a BTreeSet<(u32, String)>,
    /// `User` of its config.
    pub user: Option<&'a str>,
    pub tree: &'a Tree,
    /// That of the outside base it stands on.
    pub base: &'a Tree,
    /// Contents of [`TEXTS`] and of what is in [`TEXT_FOLDER`].
    pub texts: &'a BTreeMap<String, String>,
}

/// One path and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    pub rule: Rule,
    /// Faults of one sort are told together.
    pub kind: FaultKind,
    pub path: String,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    Setuid,
    Capabilities,
    Everybody,
    Owner,
    Login,
    Group,
    GroupMode,
    Image,
}

/// Whether a folder of an image is of interest; `/` is the empty text.
pub fn looks_into(policy: &Policy, writable: &BTreeSet<(u32, String)>, folder: &str) -> bool {
    let on_the_way = |path: &str| is_at_or_below(path, folder) || is_at_or_below(folder, path);
    policy.root_locked.is_some()
        || policy.not_root.is_some() && on_the_way("/etc/passwd")
        || writable.iter().any(|(_, path)| on_the_way(path))
}

/// Everything the policy forbids of what the tree has.
pub fn faults(asked: &CheckInput) -> Vec<Fault> {
    let mut list = Vec::new();
    if asked.policy.root_locked.is_some() {
        list.extend(root::faults(asked));
    }
    if asked.policy.not_root.is_some() {
        let passwd = asked.texts.get("/etc/passwd");
        list.extend(user(asked.user, passwd.map_or("", String::as_str)));
    }
    for (gid, path) in asked.writable {
        writable(asked.tree, *gid, path, &mut list);
    }
    list.sort();
    list
}

/// Names of user 0.
fn roots(passwd: &str) -> impl Iterator<Item = &str> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == "0").then_some(name)
    })
}

fn user(user: Option<&str>, passwd: &str) -> Option<Fault> {
    let name = user
        .unwrap_or_default()
        .split(':')
        .next()
        .unwrap_or_default();
    let text = match name {
        "" => "no user is set, so it runs as root".to_owned(),
        "0" | "root" => "it runs as root".to_owned(),
        name if roots(passwd).any(|root| root == name) => {
            format!("it runs as `{name}`, which is another name of root")
        }
        _ => return None,
    };
    Some(Fault {
        rule: Rule::User,
        kind: FaultKind::Image,
        path: String::new(),
        text,
    })
}

fn writable(tree: &Tree, gid: u32, path: &str, list: &mut Vec<Fault>) {
    let mut say = |kind: FaultKind, path: &str, text: String| {
        list.push(Fault {
            rule: Rule::Writable,
            kind,
            path: path.to_owned(),
            text,
        });
    };
    for (path, entry) in tree.at_and_below(path) {
        let wanted = match entry.kind {
            Kind::Folder => 0o2070,
            Kind::Regular => 0o060,
            Kind::Link | Kind::Other => continue,
        };
        if entry.gid != gid {
            say(
                FaultKind::Group,
                path,
                format!("belongs to group {}, not to {gid}", entry.gid),
            );
        } else if entry.mode & wanted != wanted {
            let what = match entry.kind {
                Kind::Folder if entry.mode & 0o070 == 0o070 => "is not setgid",
                _ => "is not writable",
            };
            say(
                FaultKind::GroupMode,
                path,
                format!("{what} for group {gid} (mode {:04o})", entry.mode),
            );
        }
    }
}

impl Tree {
    /// An entry and everything below it.
    pub fn at_and_below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.0
            .range(path.to_owned()..)
            .take_while(move |(found, _)| found.starts_with(path))
            .filter(move |(found, _)| is_at_or_below(found, path))
            .map(|(path, entry)| (path.as_str(), entry))
    }
}

/// Whether a path is another one or below it.
pub fn is_at_or_below(path: &str, above: &str) -> bool {
    match path.strip_prefix(above) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || above == "/",
        None => false,
    }
}

/// Every folder a path lies in, from `/`, which is the empty text.
pub fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// What a step's layer stores again: regular files that were there before it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duplicates {
    pub step: usize,
    /// Bytes of the copies below, which nobody sees any more.
    pub bytes: u64,
    /// The path with the most of them.
    pub largest: String,
}

/// Puts a step's layer on the tree before it, and says what it stores again.
pub fn apply_layer(before: &mut Tree, layer: &Tree, step: usize) -> Duplicates {
    let mut again = Duplicates {
        step,
        ..Duplicates::default()
    };
    let mut most = 0;
    for (path, entry) in &layer.0 {
        if let Some(old) = before.0.insert(path.clone(), *entry)
            && old.kind == Kind::Regular
        {
            again.bytes += old.size;
            if old.size > most {
                most = old.size;
                again.largest.clone_from(path);
            }
        }
    }
    again
}

/// What is wrong with the layers of an image: their number, and what they store twice.
pub fn layer_faults(
    limits: &LayerLimits,
    count: usize,
    again: &[Duplicates],
) -> Vec<(Fault, Option<usize>)> {
    let mut list = Vec::new();
    let fault = |path: &str, text: String| Fault {
        rule: Rule::Layers,
        kind: FaultKind::Image,
        path: path.to_owned(),
        text,
    };
    if let Some(most) = limits.count.filter(|most| count > *most) {
        let are = if most == 1 { "is" } else { "are" };
        let text = format!("it has {count} layers, and {most} {are} allowed");
        list.push((fault("", text), None));
    }
    let twice: u64 = again.iter().map(|again| again.bytes).sum();
    if let Some(most) = limits.twice.filter(|most| twice > *most)
        && let Some(worst) = again.iter().max_by_key(|again| again.bytes)
    {
        let (all, most) = size::both(twice, most);
        let here = size::human(worst.bytes);
        let text = match worst.bytes == twice {
            true => format!(
                "is the largest file of what this step stores a second time: {all} in all, and {most} \
                 are allowed"
            ),
            false => format!(
                "is the largest file of what this step stores a second time: {here} in all, {all} \
                 with what other steps do, and {most} are allowed"
            ),
        };
        list.push((fault(&worst.largest, text), Some(worst.step)));
    }
    list
}

/// What is wrong with the size of an image, bytes of its layers as stored.
pub fn size_fault(limits: &LayerLimits, size: u64) -> Option<Fault> {
    let most = limits.size.filter(|most| size > *most)?;
    let (size, most) = size::both(size, most);
    Some(Fault {
        rule: Rule::Layers,
        kind: FaultKind::Image,
        path: String::new(),
        text: format!("its layers are {size}, and {most} are allowed"),
    })
}
