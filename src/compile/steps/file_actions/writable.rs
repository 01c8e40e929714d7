//! Files and folders at and below writable paths: they get the group and the modes that
//! `scripts/writable.sh` gives after a command.

use std::collections::BTreeMap;

use super::{FileActions, file_mode, mode_of_new, name_of, parent};
use crate::compile::mode::apply;
use crate::compile::tree::Entry;
use crate::compile::writable::for_group;
use crate::llb::{FileMode, Owner, Who};
use crate::stack::{Mode, Writable, is_private};

impl FileActions<'_> {
    /// Places what is in a folder at or below a writable path.
    pub(super) fn group_contents(
        &mut self,
        target: &str,
        entries: &BTreeMap<String, Entry>,
        mode: Option<&Mode>,
        owner: Option<Owner>,
        writable: &Writable,
    ) {
        let bits = for_group(mode_of_new(mode), true);
        self.make_group_folder(target, bits, owner.clone(), writable);
        let (mut kept, mut all) = (BTreeMap::new(), BTreeMap::new());
        // Those with bits that entries of a tree cannot have.
        let (mut files, mut folders) = (BTreeMap::new(), BTreeMap::new());
        for (path, entry) in entries {
            let whole = format!("{target}/{path}");
            let path = path.clone();
            let Some(bits) = group_bits(&whole, entry, mode) else {
                kept.insert(path, entry.clone());
                continue;
            };
            let given = with_bits(entry, bits);
            let special = match entry {
                Entry::Folder(_) => Some(&mut folders),
                Entry::File { .. } if bits & 0o7000 != 0 => Some(&mut files),
                Entry::File { .. } | Entry::Link(_) => None,
            };
            if let Some(special) = special {
                let part: &mut BTreeMap<_, _> = special.entry(bits).or_default();
                part.insert(path.clone(), given.clone());
            }
            all.insert(path, given);
        }
        // A copy also sets the folders above a file that are in its part: those of the group come last.
        self.part(target, kept, owner.clone(), file_mode(mode));
        let owner = Some(in_group(owner, writable));
        self.part(target, all, owner.clone(), FileMode::Keep);
        for (bits, part) in files.into_iter().chain(folders) {
            self.part(target, part, owner.clone(), FileMode::Octal(bits));
        }
    }

    /// Copies entries into a folder.
    fn part(
        &mut self,
        target: &str,
        entries: BTreeMap<String, Entry>,
        owner: Option<Owner>,
        mode: FileMode,
    ) {
        if entries.is_empty() {
            return;
        }
        let part = self.next_part();
        self.insert_all(&part, entries);
        self.copy(part, target, owner, mode, true);
    }

    /// Makes a folder at or below a writable path, and those above it. The folder of the writable path
    /// gets setgid, and new folders below inherit it.
    pub(super) fn make_group_folder(
        &mut self,
        path: &str,
        bits: u32,
        owner: Option<Owner>,
        writable: &Writable,
    ) {
        let root = writable.root_of(path).expect("it is at or below one");
        let is_root = root == path;
        let root_bits = if is_root {
            bits
        } else {
            for_group(0o755, true)
        };
        self.make_parents(root, owner.clone());
        let owner = Some(in_group(owner, writable));
        self.special_folder(root, root_bits, owner.clone());
        if is_root {
            return;
        }
        let above = parent(path);
        if above != root {
            self.plain_folder(above, 0o775, owner.clone());
        }
        if bits & 0o5000 == 0 {
            self.plain_folder(path, bits & 0o777, owner);
        } else {
            self.special_folder(path, bits, owner);
        }
    }

    /// Makes a folder with bits that `mkdir` of the engine does not know; an existing one stays as it is.
    fn special_folder(&mut self, path: &str, bits: u32, owner: Option<Owner>) {
        let source = format!("{}/{}", self.next_part(), name_of(path));
        self.tree.insert(source.clone(), Entry::Folder(0o775));
        self.copy(source, parent(path), owner, FileMode::Octal(bits), false);
    }
}

/// Returns the mode that an entry has below a writable path; `None` if it keeps its owner and mode, as
/// private keys and setuid and setgid files do. That of a link has no meaning.
pub fn group_bits(path: &str, entry: &Entry, mode: Option<&Mode>) -> Option<u32> {
    let (bits, folder) = match entry {
        Entry::Folder(bits) => (mode.map_or(*bits, |mode| apply(mode, *bits, true)), true),
        Entry::File { mode: bits, .. } => {
            (mode.map_or(*bits, |mode| apply(mode, *bits, false)), false)
        }
        Entry::Link(_) => (0o777, true),
    };
    let is_set_id = !folder && bits & 0o6000 != 0;
    (!is_set_id && !is_private(path, bits, folder)).then(|| for_group(bits, folder))
}

/// Returns an entry of a tree with these permission bits, without setuid, setgid and sticky.
pub fn with_bits(entry: &Entry, bits: u32) -> Entry {
    let bits = bits & 0o777;
    match entry {
        Entry::Folder(_) => Entry::Folder(bits),
        Entry::File { content, .. } => Entry::File {
            mode: bits,
            content: content.clone(),
        },
        Entry::Link(_) => entry.clone(),
    }
}

/// Returns the mode of a copy of [`with_bits`].
pub fn special_bits(bits: u32) -> FileMode {
    if bits & 0o7000 == 0 {
        FileMode::Keep
    } else {
        FileMode::Octal(bits)
    }
}

/// Returns an owner with the group of the writable paths.
pub fn in_group(owner: Option<Owner>, writable: &Writable) -> Owner {
    Owner {
        user: owner.map_or(Who::Id(0), |owner| owner.user),
        group: Some(Who::Id(writable.gid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::tree::Content;

    #[test]
    fn private_and_set_id_files_keep_their_modes() {
        let file = Entry::File {
            mode: 0o755,
            content: Content::Text(String::new()),
        };
        let bits = |path: &str, entry: &Entry, mode: u32| {
            group_bits(path, entry, Some(&Mode::Octal(mode)))
        };
        let folder = Entry::Folder(0o755);
        assert_eq!(bits("/a/x", &file, 0o4755), None);
        assert_eq!(bits("/a/x", &file, 0o2755), None);
        assert_eq!(bits("/a/id_rsa", &file, 0o600), None);
        assert_eq!(bits("/a/.ssh", &folder, 0o755), None);
        assert_eq!(bits("/a/.ssh/x", &Entry::Link("y".to_owned()), 0o755), None);
        assert_eq!(bits("/a/x", &file, 0o1744), Some(0o1774));
        assert_eq!(bits("/a/x", &folder, 0o4755), Some(0o6775));
        assert_eq!(group_bits("/a/x", &file, None), Some(0o775));
    }
}
