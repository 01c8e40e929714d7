//! Files as a new clone has them, on a machine without settings.
//!
//! They are checked out again, into an empty folder: of a repository that has no settings, the blobs of the real one, and
//! an index with only these files and the attributes that rule them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::{Entry, Index, attributes, input_of, read_path, temporary_folder};
use crate::checkout::ObjectFormat;
use crate::git::{Error, Git};

/// What git is run for, in errors.
const TASK: &str = "compare files with those of a new clone";

/// Settings of line ends, as git has them without a configuration.
const LINE_ENDS: [&str; 3] = ["core.autocrlf=false", "core.eol=lf", "core.safecrlf=false"];

/// Variables with which git reads no configuration and no attributes of this machine or its user; older ones than 2.32
/// find those of the user by `HOME`.
const WITHOUT_CONFIGURATION: [(&str, &str); 7] = [
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_CONFIG_COUNT", "0"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_PARAMETERS", ""),
    ("HOME", "/dev/null"),
    ("XDG_CONFIG_HOME", "/dev/null"),
];

/// How a pointer of Git LFS begins (git-lfs, "Git LFS Specification").
const POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// How much of a file is read at once, bytes.
const PIECE: usize = 64 << 10;

/// Lets git write line ends as in a new clone.
pub fn with_line_ends(git: Git) -> Git {
    let add = |git: Git, setting: &&str| git.setting(*setting);
    LINE_ENDS.iter().fold(git, add)
}

/// Returns a git that reads no settings but its own and those of the repository in `folder`.
fn without_configuration(folder: &Path) -> Git {
    let git = with_line_ends(Git::plain(folder));
    // The names of files that are there are good.
    let git = git.setting("core.protectHFS=false");
    let git = git.setting("core.protectNTFS=false");
    let add = |git: Git, (name, value): &(&'static str, &str)| git.variable(name, *value);
    WITHOUT_CONFIGURATION.iter().fold(git, add)
}

/// A repository without settings, with files of another one.
pub struct Neutral {
    git: Git,
    folder: tempfile::TempDir,
    /// The folder of the real repository to which paths are relative, relative to the repository.
    prefix: PathBuf,
}

impl Neutral {
    /// Makes a repository for files of `index`, which is that of `folder`, with their attributes.
    pub async fn new(git: &Git, folder: &Path, index: &Index) -> Result<Self, Error> {
        let (objects, prefix) = tokio::try_join!(
            read_path(git, TASK, &["--git-path", "objects"]),
            read_path(git, TASK, &["--show-prefix"]),
        )?;
        let objects = fs_err::canonicalize(folder.join(objects)).map_err(failed)?;
        let made = temporary_folder().map_err(failed)?;
        let hash = match index.format() {
            ObjectFormat::Sha1 => "sha1",
            ObjectFormat::Sha256 => "sha256",
        };
        let git = without_configuration(made.path()).variable("GIT_DEFAULT_HASH", hash);
        let init = ["init", "--quiet", "--template="];
        git.read_bytes(TASK, &init, &[]).await?;
        let made = Self {
            git: git.variable("GIT_OBJECT_DIRECTORY", objects),
            folder: made,
            prefix,
        };
        made.add(index.attributes.iter()).await?;
        Ok(made)
    }

    /// Returns those of `files` to which attributes give another content than the commit has. Files with a filter for
    /// which `is_filter` is true are left out.
    pub async fn converted<'a>(
        &self,
        files: &[&'a Entry],
        is_filter: impl Fn(&str) -> bool,
    ) -> Result<Vec<&'a Entry>, Error> {
        let names = ["eol", "ident", "working-tree-encoding", "filter"];
        let paths = files.iter().map(|file| self.path(file));
        let values = attributes::read(&self.git, TASK, &["--cached"], &names, paths).await?;
        let mut converted = Vec::new();
        for (file, values) in files.iter().zip(values) {
            let is_converted = values[0] == "crlf"
                || values[1] == "set"
                || !matches!(values[2].as_str(), "unspecified" | "unset");
            if is_converted && !is_filter(&values[3]) {
                converted.push(*file);
            }
        }
        Ok(converted)
    }

    /// Checks files out, and returns those that are not the same in `folder`. One that is a pointer of Git LFS here is: the
    /// pointer has the digest of the content.
    pub async fn differing<'a>(
        &self,
        folder: &Path,
        files: &[&'a Entry],
    ) -> Result<Vec<&'a Entry>, Error> {
        self.add(files.iter().copied()).await?;
        let arguments = ["checkout-index", "--quiet", "-z", "--stdin"];
        let input = input_of(files.iter().map(|file| self.path(file)));
        self.git.read_bytes(TASK, &arguments, &input).await?;
        let mut differing = Vec::new();
        for file in files {
            let written = self.folder.path().join(self.path(file));
            if !is_same(&written, &folder.join(&file.path)).map_err(failed)? {
                differing.push(*file);
            }
        }
        Ok(differing)
    }

    /// Adds files to the index.
    async fn add(&self, files: impl Iterator<Item = &Entry>) -> Result<(), Error> {
        let mut input = Vec::new();
        for file in files {
            // git-update-index(1), "USING --INDEX-INFO"
            input.extend_from_slice(format!("100644 {}\t", file.blob).as_bytes());
            input.extend_from_slice(self.path(file).as_os_str().as_encoded_bytes());
            input.push(0);
        }
        let arguments = ["update-index", "-z", "--index-info"];
        self.git.read_bytes(TASK, &arguments, &input).await?;
        Ok(())
    }

    /// Returns the path in the repository.
    fn path(&self, file: &Entry) -> PathBuf {
        let mut path = PathBuf::new();
        for part in self.prefix.join(&file.path).components() {
            match part {
                std::path::Component::ParentDir => {
                    path.pop();
                }
                part => path.push(part),
            }
        }
        path
    }
}

fn failed(source: std::io::Error) -> Error {
    Error::File { task: TASK, source }
}

/// Returns whether a file has the content of one that was written here, or that has the pointer to it.
fn is_same(written: &Path, file: &Path) -> std::io::Result<bool> {
    let mut written = fs_err::File::open(written)?;
    // The file may be gone by now.
    let Ok(mut file) = fs_err::File::open(file) else {
        return Ok(false);
    };
    let is_same_size = written.metadata()?.len() == file.metadata()?.len();
    let (mut piece, mut other) = (vec![0; PIECE], vec![0; PIECE]);
    let mut is_first = true;
    loop {
        let count = written.read(&mut piece)?;
        if is_first && piece[..count].starts_with(POINTER) {
            return Ok(true);
        }
        if !is_same_size || file.read_exact(&mut other[..count]).is_err() {
            return Ok(false);
        }
        if count == 0 || piece[..count] != other[..count] {
            return Ok(count == 0);
        }
        is_first = false;
    }
}
