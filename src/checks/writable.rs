//! `writable:`: everything below a path belongs to a group and is writable for it.

use super::fault::{Fault, FaultKind};
use super::tree::{Kind, Tree};
use crate::evidence::Rule;
use crate::stack::is_private;

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
        let is_special = entry.kind == Kind::Regular && entry.mode & 0o6000 != 0;
        if is_special || is_private(path, entry.mode, entry.kind == Kind::Folder) {
            continue;
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Entry;

    fn texts(kind: Kind, mode: u32, gid: u32) -> Vec<String> {
        texts_at("/opt", kind, mode, gid)
    }

    /// Returns the texts of the faults of one entry below a path of group 100.
    fn texts_at(path: &str, kind: Kind, mode: u32, gid: u32) -> Vec<String> {
        let entry = Entry {
            kind,
            mode,
            uid: 0,
            gid,
            size: 0,
            capabilities: 0,
        };
        let mut list = Vec::new();
        let tree = Tree([(path.to_owned(), entry)].into());
        faults(&tree, 100, "/opt", &mut list);
        list.into_iter().map(|fault| fault.text).collect()
    }

    #[test]
    fn a_folder_is_writable_and_setgid() {
        assert!(texts(Kind::Folder, 0o2775, 100).is_empty());
        assert_eq!(
            texts(Kind::Folder, 0o775, 100),
            ["is not setgid for group 100 (mode 0775)"]
        );
        assert_eq!(
            texts(Kind::Folder, 0o2755, 100),
            ["is not writable for group 100 (mode 2755)"]
        );
    }

    #[test]
    fn a_file_is_readable_and_writable() {
        assert!(texts(Kind::Regular, 0o660, 100).is_empty());
        assert_eq!(
            texts(Kind::Regular, 0o620, 100),
            ["is not writable for group 100 (mode 0620)"]
        );
    }

    #[test]
    fn the_group_is_looked_at_before_the_mode() {
        assert_eq!(
            texts(Kind::Regular, 0, 0),
            ["belongs to group 0, not to 100"]
        );
    }

    #[test]
    fn links_and_devices_have_no_mode_of_their_own() {
        assert!(texts(Kind::Link, 0, 0).is_empty());
        assert!(texts(Kind::Other, 0, 0).is_empty());
    }

    #[test]
    fn private_keys_and_special_files_are_left_alone() {
        assert!(texts_at("/opt/.ssh/config", Kind::Regular, 0o644, 0).is_empty());
        assert!(texts_at("/opt/.ssh", Kind::Folder, 0o700, 0).is_empty());
        assert!(texts(Kind::Regular, 0o4755, 0).is_empty());
        assert_eq!(texts(Kind::Folder, 0o4755, 100).len(), 1);
    }
}
