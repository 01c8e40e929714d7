//! Files that are not on the disk as in a new clone, although git takes them for equal: it converts line ends, and runs
//! the commands of filters.
//!
//! What the committed `.gitattributes` alone decide is the same on every machine: `eol`, `ident`,
//! `working-tree-encoding`. Settings of this machine are not part of the commit, and a program can save a file with line
//! ends that git removes when the file is added.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::{Error, Git};
use super::neutral::{Neutral, with_line_ends};
use super::{Changes, Entry, Index, attributes};
use crate::checkout::{BlobId, ChangeKind};

/// The settings of this machine that change what git compares and writes.
const SETTINGS: &str = r"^(core\.filemode|filter\..*\.(clean|smudge|process))$";

/// The filter of Git LFS. A pointer has the digest of the content, so it is the same everywhere.
const LFS: &str = "lfs";

/// How this machine converts files.
#[derive(Debug, PartialEq, Eq)]
pub struct Conversions {
    /// The modes of files on the disk count.
    pub has_modes: bool,
    /// The filters that have commands here.
    filters: BTreeSet<String>,
}

impl Conversions {
    /// Reads the settings.
    pub async fn read(git: &Git) -> Result<Self, Error> {
        let found = git.run(&["config", "-z", "--get-regexp", SETTINGS]).await?;
        Ok(Self::parse(&found.stdout))
    }

    /// Parses `git config -z`: a name and, if there is one, a line end and the value. The last one counts.
    fn parse(output: &str) -> Self {
        let mut has_modes = true;
        let mut commands = BTreeMap::new();
        for entry in output.split('\0').filter(|entry| !entry.is_empty()) {
            let (name, value) = entry.split_once('\n').unwrap_or((entry, "true"));
            if name == "core.filemode" {
                has_modes = is_true(&value.to_ascii_lowercase());
            } else {
                commands.insert(name, value);
            }
        }
        // An empty command does nothing.
        let names = commands.into_iter().filter(|(_, value)| !value.is_empty());
        let names = names.filter_map(|(name, _)| name.strip_prefix("filter.")?.rsplit_once('.'));
        let filters = names.map(|(filter, _)| filter.to_owned());
        Self {
            has_modes,
            filters: filters.filter(|filter| filter != LFS).collect(),
        }
    }

    /// Returns the files of `index` that are not as in a new clone. `on_disk`: what is there of them. `known`: changes that git
    /// finds, which are left out.
    pub async fn changes(
        &self,
        git: &Git,
        folder: &Path,
        (index, on_disk): (&Index, &OnDisk),
        known: &Changes,
    ) -> Result<Changes, Error> {
        let unknown = |files: &[usize]| {
            let files = files.iter().map(|number| &index.files[*number]);
            let files = files.filter(|file| !known.contains_key(&file.path));
            files.collect::<Vec<&Entry>>()
        };
        let mut files = unknown(&on_disk.all);
        let mut converted = unknown(&on_disk.others);
        let filtered = self.filtered(git, &files).await?;
        let mut found = Changes::new();
        for path in &filtered {
            if !is_as_checked_out(git, folder, path).await? {
                found.insert(path.to_path_buf(), ChangeKind::Filtered);
            }
        }
        let is_filtered = |file: &&Entry| filtered.contains(file.path.as_path());
        converted.retain(|file| !is_filtered(file));
        files.retain(|file| !is_filtered(file));
        let can_convert = attributes::can_convert(folder, &index.attributes);
        if converted.is_empty() && !can_convert {
            return Ok(found);
        }
        let neutral = Neutral::new(git, folder, index).await?;
        if can_convert {
            let is_filter = |name: &str| self.filters.contains(name);
            converted.extend(neutral.converted(&files, is_filter).await?);
            converted.sort_by(|a, b| a.path.cmp(&b.path));
            converted.dedup();
        }
        for file in neutral.differing(folder, &converted).await? {
            found.insert(file.path.clone(), ChangeKind::Converted);
        }
        Ok(found)
    }

    /// Returns the files that have one of the filters.
    async fn filtered<'a>(
        &self,
        git: &Git,
        files: &[&'a Entry],
    ) -> Result<BTreeSet<&'a Path>, Error> {
        if self.filters.is_empty() || files.is_empty() {
            return Ok(BTreeSet::new());
        }
        let task = "find the files with filters";
        let paths = files.iter().map(|file| &file.path);
        let values = attributes::read(git, task, &[], &["filter"], paths).await?;
        let filtered = files.iter().zip(values).filter_map(|(file, values)| {
            let is_filter = self.filters.contains(&values[0]);
            is_filter.then_some(file.path.as_path())
        });
        Ok(filtered.collect())
    }
}

/// What is on the disk of the files of an [`Index`]: positions in its list.
#[derive(Default)]
pub struct OnDisk {
    /// Regular files.
    all: Vec<usize>,
    /// Those of them that do not have the bytes of their blobs. A file that was not read has them if it has their size: to make
    /// LF of CRLF, and to remove the text of `ident`, makes a file smaller.
    others: Vec<usize>,
}

impl OnDisk {
    /// Compares the files in `folder` with their blobs. `blob`: what was read of a file.
    pub async fn read<'a>(
        git: &Git,
        folder: &Path,
        index: &Index,
        blob: impl Fn(&Path) -> Option<&'a BlobId>,
    ) -> Result<Self, Error> {
        let mut found = Self::default();
        let (mut unread, mut sizes, mut input) = (Vec::new(), Vec::new(), String::new());
        for (number, file) in index.files.iter().enumerate() {
            if let Some(blob) = blob(&file.path) {
                found.all.push(number);
                if blob.hex() != file.blob {
                    found.others.push(number);
                }
                continue;
            }
            let metadata = fs_err::symlink_metadata(folder.join(&file.path)).ok();
            if let Some(metadata) = metadata.filter(std::fs::Metadata::is_file) {
                found.all.push(number);
                unread.push(number);
                sizes.push(metadata.len());
                input.push_str(&file.blob);
                input.push('\n');
            }
        }
        if unread.is_empty() {
            return Ok(found);
        }
        let arguments = ["cat-file", "--buffer", "--batch-check=%(objectsize)"];
        let output = git
            .read_bytes("read the sizes of files", &arguments, input.as_bytes())
            .await?;
        // A number, or `<hash> missing`.
        let blobs = output.split(|byte| *byte == b'\n');
        let files = unread.iter().zip(sizes).zip(blobs);
        let others = files.filter(|((_, size), blob)| blob != &size.to_string().as_bytes());
        found.others.extend(others.map(|((number, _), _)| *number));
        Ok(found)
    }
}

/// Reads a boolean in lower case (git-config(1), "Values"): a number that is not 0 is true as well.
fn is_true(value: &str) -> bool {
    matches!(value, "true" | "yes" | "on") || value.parse::<i64>().is_ok_and(|number| number != 0)
}

/// Returns whether a file is what git would write here, apart from line ends.
async fn is_as_checked_out(git: &Git, folder: &Path, path: &Path) -> Result<bool, Error> {
    let place = folder.join(path);
    let mut object = std::ffi::OsString::from(":./");
    object.push(path);
    let arguments = [
        "cat-file".as_ref(),
        "--filters".as_ref(),
        object.as_os_str(),
    ];
    let task = format!("run the filter of `{}`", path.display());
    let git = with_line_ends(git.clone());
    let written = git.read_bytes(&task, &arguments, &[]).await?;
    Ok(fs_err::read(&place).is_ok_and(|content| content == written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_this_machine_are_read() {
        let read = Conversions::parse;
        assert!(read("").has_modes && read("").filters.is_empty());
        assert!(!read("core.filemode\nfalse\0").has_modes);
        assert!(read("core.filemode\n2\0").has_modes && !read("core.filemode\n0\0").has_modes);
        let filters =
            read("filter.lfs.clean\ngit-lfs\0filter.a.b.smudge\nx\0filter.a.b.clean\ny\0");
        assert_eq!(filters.filters, BTreeSet::from(["a.b".to_owned()]));
        let emptied = read("filter.a.clean\nx\0filter.a.clean\n\0filter.b.smudge\n\0");
        assert!(emptied.filters.is_empty());
    }
}
