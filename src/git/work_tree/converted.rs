//! Files that are not on the disk as in the commit, although git takes them for equal: it converts line ends, and runs
//! the commands of filters.
//!
//! What `.gitattributes` alone decides is the same on every machine: `eol`, `ident`, `working-tree-encoding`. Settings
//! of this machine are not part of the commit.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::{Error, Git};
use super::{Changes, Index, entries, list_entries, path_of};
use crate::checkout::ChangeKind;

/// The settings of this machine that change what git writes.
const SETTINGS: &str = r"^(core\.(autocrlf|eol|filemode)|filter\..*\.(clean|smudge|process))$";

/// The filter of Git LFS. A pointer has the digest of the content, so it is the same everywhere.
const LFS: &str = "lfs";

/// How this machine converts files.
#[derive(Debug, PartialEq, Eq)]
pub struct Conversions {
    /// The modes of files on the disk count.
    pub has_modes: bool,
    /// git can write CRLF where the commit has LF.
    crlf: bool,
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
        let mut made = Self {
            has_modes: true,
            crlf: false,
            filters: BTreeSet::new(),
        };
        let (mut autocrlf, mut eol) = (false, false);
        for entry in output.split('\0').filter(|entry| !entry.is_empty()) {
            let (name, value) = entry.split_once('\n').unwrap_or((entry, "true"));
            let value = value.to_ascii_lowercase();
            match name {
                "core.autocrlf" => autocrlf = is_true(&value),
                "core.eol" => eol = value == "crlf",
                "core.filemode" => made.has_modes = is_true(&value),
                _ => {
                    let filter = name
                        .strip_prefix("filter.")
                        .and_then(|it| it.rsplit_once('.'));
                    made.filters
                        .extend(filter.map(|(filter, _)| filter.to_owned()));
                }
            }
        }
        made.crlf = autocrlf || eol;
        made.filters.remove(LFS);
        made
    }

    /// Returns the files that are on the disk as they are by a setting of this machine. `known`: changes that git finds.
    pub async fn changes(
        &self,
        git: &Git,
        folder: &Path,
        (index, paths): (&Index, &[PathBuf]),
        known: &Changes,
    ) -> Result<Changes, Error> {
        let mut found = Changes::new();
        if self.crlf {
            let files = with_crlf(git, paths).await?.into_iter();
            found.extend(files.map(|path| (path, ChangeKind::LineEnds)));
        }
        if !self.filters.is_empty() {
            let files = index.files.iter().filter(|path| !known.contains_key(*path));
            for path in self.filtered(git, files).await? {
                if !is_as_checked_out(git, folder, &path).await? {
                    found.insert(path, ChangeKind::Filtered);
                }
            }
        }
        Ok(found)
    }

    /// Returns the files that have one of the filters.
    async fn filtered(
        &self,
        git: &Git,
        files: impl Iterator<Item = &PathBuf>,
    ) -> Result<Vec<PathBuf>, Error> {
        let mut input = Vec::new();
        for file in files {
            input.extend_from_slice(file.as_os_str().as_encoded_bytes());
            input.push(0);
        }
        let arguments = ["check-attr", "-z", "--stdin", "filter"];
        let output = git
            .read_bytes("find the files with filters", &arguments, &input)
            .await?;
        // Path, attribute, value.
        let fields: Vec<&[u8]> = entries(&output).collect();
        let is_filtered = |fields: &&[&[u8]]| {
            let value = fields.last().map(|value| String::from_utf8_lossy(value));
            value.is_some_and(|value| self.filters.contains(&*value))
        };
        let filtered = fields.chunks_exact(3).filter(is_filtered);
        Ok(filtered.map(|fields| path_of(fields[0])).collect())
    }
}

/// Reads a boolean in lower case (git-config(1), "Values"): a number that is not 0 is true as well.
fn is_true(value: &str) -> bool {
    matches!(value, "true" | "yes" | "on") || value.parse::<i64>().is_ok_and(|number| number != 0)
}

/// Returns whether a file is what git would write here. Filters do not change links.
async fn is_as_checked_out(git: &Git, folder: &Path, path: &Path) -> Result<bool, Error> {
    let place = folder.join(path);
    let Ok(metadata) = fs_err::symlink_metadata(&place) else {
        return Ok(true);
    };
    if !metadata.is_file() {
        return Ok(true);
    }
    let mut object = std::ffi::OsString::from(":./");
    object.push(path);
    let arguments = [
        "cat-file".as_ref(),
        "--filters".as_ref(),
        object.as_os_str(),
    ];
    let task = format!("run the filter of `{}`", path.display());
    let written = git.read_bytes(&task, &arguments, &[]).await?;
    Ok(fs_err::read(&place).is_ok_and(|content| content == written))
}

/// Returns the files that git gave CRLF. With `eol=crlf` of `.gitattributes`, they are so on every machine.
async fn with_crlf(git: &Git, paths: &[PathBuf]) -> Result<Vec<PathBuf>, Error> {
    let output = list_entries(git, &["--eol"], paths).await?;
    // `i/lf    w/crlf  attr/text=auto eol=lf \t<path>` (git-ls-files(1), "OUTPUT")
    let converted = entries(&output).filter_map(|entry| {
        let tab = entry.iter().position(|byte| *byte == b'\t')?;
        let about = String::from_utf8_lossy(&entry[..tab]);
        let is_converted = about.starts_with("i/lf ") && about.contains(" w/crlf ");
        (is_converted && !about.contains("eol=crlf")).then(|| path_of(&entry[tab + 1..]))
    });
    Ok(converted.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_this_machine_are_read() {
        let read = Conversions::parse;
        assert!(read("").has_modes && !read("").crlf && read("").filters.is_empty());
        assert!(!read("core.filemode\nfalse\0").has_modes);
        assert!(read("core.filemode\n2\0").has_modes && !read("core.filemode\n0\0").has_modes);
        assert!(read("core.autocrlf\ntrue\0").crlf && read("core.autocrlf\0").crlf);
        assert!(read("core.eol\ncrlf\0").crlf);
        assert!(!read("core.autocrlf\ntrue\0core.autocrlf\ninput\0").crlf);
        let filters =
            read("filter.lfs.clean\ngit-lfs\0filter.a.b.smudge\nx\0filter.a.b.clean\ny\0");
        assert_eq!(filters.filters, BTreeSet::from(["a.b".to_owned()]));
    }
}
