//! [`Tree`]: the files of an image, as a list.

use std::collections::BTreeMap;

use crate::path::is_at_or_below;

/// All entries of a file system, by absolute path; `/` is not in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree(pub BTreeMap<String, Entry>);

/// One file, folder or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The type of the entry.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky: `0o4755`.
    pub mode: u32,
    /// The number of the user it belongs to.
    pub uid: u32,
    /// The number of the group it belongs to.
    pub gid: u32,
    /// Size of a regular file, bytes.
    pub size: u64,
    /// Capabilities that a process gets which runs it, a bit each (linux/capability.h).
    pub capabilities: u64,
}

/// The type of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, socket or pipe.
    Other,
}

impl Tree {
    /// Returns an entry and everything below it.
    pub fn at_and_below<'a>(&'a self, path: &'a str) -> impl Iterator<Item = (&'a str, &'a Entry)> {
        self.0
            .range(path.to_owned()..)
            .take_while(move |(found, _)| found.starts_with(path))
            .filter(move |(found, _)| is_at_or_below(found, path))
            .map(|(path, entry)| (path.as_str(), entry))
    }
}

/// Returns every folder a path is in, from `/`, which is the empty text.
pub fn folders_above(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_above_a_path_begin_with_the_root() {
        let folders: Vec<&str> = folders_above("/a/b/c").collect();
        assert_eq!(folders, ["", "/a", "/a/b"]);
    }

    #[test]
    fn entries_below_a_path_are_found_between_others() {
        let entry = Entry {
            kind: Kind::Other,
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            capabilities: 0,
        };
        let paths = ["/a", "/a-b", "/a/b", "/b"].map(|path| (path.to_owned(), entry));
        let tree = Tree(paths.into());
        let found: Vec<&str> = tree.at_and_below("/a").map(|(path, _)| path).collect();
        assert_eq!(found, ["/a", "/a/b"]);
    }
}
