//! Files as a new clone has them, on a machine without settings.
//!
//! They are checked out again, into an empty folder: of a repository that has no settings, the blobs of the real one, and
//! an index with only these files and the attributes that rule them.

use std::path::{Path, PathBuf};

use super::{Entry, Index, entries, path_of};
use crate::git::{Error, Git};

/// What git is run for, in errors.
const TASK: &str = "compare files with those of a new clone";

/// Settings of line ends, as git has them without a configuration.
const LINE_ENDS: [&str; 3] = ["core.autocrlf=false", "core.eol=lf", "core.safecrlf=false"];

/// Lets git write line ends as in a new clone.
pub fn with_line_ends(git: Git) -> Git {
    let add = |git: Git, setting: &&str| git.setting(*setting);
    LINE_ENDS.iter().fold(git, add)
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
        let arguments = ["rev-parse", "--show-prefix", "--git-path", "objects"];
        let printed = git.read_bytes(TASK, &arguments, &[]).await?;
        let printed = printed.strip_suffix(b"\n").unwrap_or(&printed);
        let Some(end) = printed.iter().rposition(|byte| *byte == b'\n') else {
            return Err(Error::Output {
                task: TASK.to_owned(),
                output: String::from_utf8_lossy(printed).into_owned(),
            });
        };
        let objects = folder.join(path_of(&printed[end + 1..]));
        let made = tempfile::tempdir().map_err(failed)?;
        // Hexadecimal digits of SHA-256.
        let is_sha256 = index.files.first().is_some_and(|it| it.blob.len() == 64);
        let hash = if is_sha256 { "sha256" } else { "sha1" };
        let neutral = Git::plain(made.path()).variable("GIT_ATTR_NOSYSTEM", "1");
        let neutral = neutral.setting("core.attributesFile=/dev/null");
        let neutral = with_line_ends(neutral).variable("GIT_DEFAULT_HASH", hash);
        let init = ["init", "--quiet", "--template="];
        neutral.read_bytes(TASK, &init, &[]).await?;
        write_alternates(made.path(), &objects).map_err(failed)?;
        let made = Self {
            git: neutral,
            folder: made,
            prefix: path_of(&printed[..end]),
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
        let mut converted = Vec::new();
        let names = ["eol", "ident", "working-tree-encoding", "filter"];
        let mut arguments = vec!["check-attr", "--cached", "-z", "--stdin"];
        arguments.extend(names);
        let output = self
            .git
            .read_bytes(TASK, &arguments, &self.list(files))
            .await?;
        // For each attribute of each file: path, attribute, value.
        let fields: Vec<&[u8]> = entries(&output).collect();
        for (file, attributes) in files.iter().zip(fields.chunks_exact(3 * names.len())) {
            let value = |number: usize| String::from_utf8_lossy(attributes[3 * number + 2]);
            let is_converted = value(0) == "crlf"
                || value(1) == "set"
                || !matches!(&*value(2), "unspecified" | "unset");
            if is_converted && !is_filter(&value(3)) {
                converted.push(*file);
            }
        }
        Ok(converted)
    }

    /// Checks files out, and returns those that are not the same in `folder`.
    pub async fn differing<'a>(
        &self,
        folder: &Path,
        files: &[&'a Entry],
    ) -> Result<Vec<&'a Entry>, Error> {
        self.add(files.iter().copied()).await?;
        let arguments = ["checkout-index", "--quiet", "-z", "--stdin"];
        self.git
            .read_bytes(TASK, &arguments, &self.list(files))
            .await?;
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

    fn list(&self, files: &[&Entry]) -> Vec<u8> {
        let mut input = Vec::new();
        for file in files {
            input.extend_from_slice(self.path(file).as_os_str().as_encoded_bytes());
            input.push(0);
        }
        input
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

/// Lets a repository have the blobs of another one (gitrepository-layout(5), "objects/info/alternates").
fn write_alternates(repository: &Path, objects: &Path) -> std::io::Result<()> {
    let objects = fs_err::canonicalize(objects)?;
    let mut line = objects.into_os_string().into_encoded_bytes();
    line.push(b'\n');
    let info = repository.join(".git/objects/info");
    fs_err::create_dir_all(&info)?;
    fs_err::write(info.join("alternates"), line)
}

/// Returns whether two files have the same content.
fn is_same(a: &Path, b: &Path) -> std::io::Result<bool> {
    if fs_err::metadata(a)?.len() != fs_err::metadata(b)?.len() {
        return Ok(false);
    }
    Ok(fs_err::read(a)? == fs_err::read(b)?)
}
