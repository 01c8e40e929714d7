//! `writable:`: everything below a path belongs to a group and is writable for it.

use super::fault::{Fault, FaultKind};
use super::tree::{Kind, Tree};
use crate::evidence::Rule;

/// Adds the faults at and below one path.
pub fn faults(tree: &Tree, gid: u32, path: &str, list: &mut Vec<Fault>) {
    let mut add = |kind: FaultKind, path: &str, text: String| {
        list.push(Fault {
            rule: Rule::Writable,
            kind,
            path: path.to_owned(),
            text,
        });
    };
    for (path, entry) in tree.at_and_below(path) {
        let expected = match entry.kind {
            Kind::Folder => 0o2070,
            Kind::Regular => 0o060,
            Kind::Link | Kind::Other => continue,
        };
        if entry.gid != gid {
            let text = format!("belongs to group {}, not to {gid}", entry.gid);
            add(FaultKind::Group, path, text);
        } else if entry.mode & expected != expected {
            let what = match entry.kind {
                Kind::Folder if entry.mode & 0o070 == 0o070 => "is not setgid",
                _ => "is not writable",
            };
            let text = format!("{what} for group {gid} (mode {:04o})", entry.mode);
            add(FaultKind::GroupMode, path, text);
        }
    }
}
