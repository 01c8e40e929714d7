//! Runs git; no other module does.
//!
//! Main type: [`Git`]. [`read_checkout`], [`branch`] and [`is_ancestor`] read a repository for `gather` and
//! `cli`; `cli::docs` fetches, commits and pushes a wiki with [`Git`] itself. Credentials are git's
//! own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use camino::Utf8Path;
use tokio::process::Command;

use crate::checkout::Checkout;
use crate::name::Commit;

/// Variables that tie git to the repository of the git that started laminate, from a hook
/// (`git rev-parse --local-env-vars`). Those that hold settings stay: CI passes credentials in them.
const LOCAL_VARIABLES: [&str; 10] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Why git did not do what it was run for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// git is not installed.
    #[error("cannot run git: `git` not found on PATH")]
    NotFound,
    /// git cannot be started.
    #[error("cannot run git: {0}")]
    Start(#[source] std::io::Error),
    /// The folder is in no repository.
    #[error("cannot {task}: not in a git repository")]
    NotARepository {
        /// What git was run for, "read the commit".
        task: String,
    },
    /// The repository has no commits yet.
    #[error("cannot {task}: the git repository has no commits")]
    NoCommits {
        /// What git was run for.
        task: String,
    },
    /// git failed; the reason is its own text.
    #[error("cannot {task}: git reports: {reason}")]
    Failed {
        /// What git was run for.
        task: String,
        /// git's standard error.
        reason: String,
    },
    /// git printed something else than its documentation describes.
    #[error("cannot {task}: unexpected output of git: {output:?}")]
    Output {
        /// What git was run for.
        task: String,
        /// git's standard output.
        output: String,
    },
}

impl Error {
    /// Returns the error for git's messages, which are in English.
    fn failed(task: &str, stderr: &str) -> Self {
        let (task, reason) = (task.to_owned(), stderr.trim().to_owned());
        if reason.contains("not a git repository") {
            Self::NotARepository { task }
        } else if reason.contains("does not have any commits") {
            Self::NoCommits { task }
        } else {
            Self::Failed { task, reason }
        }
    }
}

/// What a git that ran to its end printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// git exited with 0.
    pub success: bool,
    /// The exit code; `None` if a signal ended git.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Returns the error of a git that failed at `task`.
    pub fn error(&self, task: &str) -> Error {
        Error::failed(task, &self.stderr)
    }
}

/// git, to be run in one folder with the same settings each time.
#[derive(Clone, Debug, Default)]
pub struct Git {
    folder: Option<PathBuf>,
    settings: Vec<String>,
}

impl Git {
    /// Returns a git that needs no repository.
    pub fn anywhere() -> Self {
        Self::default()
    }

    /// Returns a git that runs in a folder.
    pub fn in_folder(folder: impl AsRef<Path>) -> Self {
        Self {
            folder: Some(folder.as_ref().to_owned()),
            settings: Vec::new(),
        }
    }

    /// Adds a setting, `core.symlinks=false`, that overrides the user's.
    pub fn setting(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        if let Some(folder) = &self.folder {
            command.arg("-C").arg(folder);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        for name in LOCAL_VARIABLES {
            command.env_remove(name);
        }
        command
            .args(arguments)
            // Some messages are compared.
            .env("LC_ALL", "C")
            .env("GIT_TERMINAL_PROMPT", "0")
            // No lock is taken that another git could run into.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Runs git to its end, whatever its exit code. Fails if git cannot be started.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output, Error> {
        let output = self.command(arguments).output().await;
        let output = output.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Error::NotFound,
            _ => Error::Start(error),
        })?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Output {
            success: output.status.success(),
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }

    /// Runs git and returns its standard output. `task` completes "cannot …" in the error of a git
    /// that fails.
    pub async fn read(&self, task: &str, arguments: &[&str]) -> Result<String, Error> {
        let output = self.run(arguments).await?;
        if output.success {
            Ok(output.stdout)
        } else {
            Err(output.error(task))
        }
    }
}

/// Returns the commit that is checked out in `folder`, and whether `files`, which are relative to
/// `folder`, differ from it. `None` outside of a repository, in one without commits, and without git.
pub async fn read_checkout(folder: &Utf8Path, files: &[&str]) -> Result<Option<Checkout>, Error> {
    // A signature would be printed before the commit.
    let git = Git::in_folder(folder).setting("log.showSignature=false");
    let task = "read the commit that is checked out";
    let head = match git.read(task, &["log", "-1", "--format=%H %ct"]).await {
        Ok(head) => head,
        Err(Error::NotFound | Error::NotARepository { .. } | Error::NoCommits { .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let Some((commit, time)) = parse_head(&head) else {
        return Err(Error::Output {
            task: task.to_owned(),
            output: head,
        });
    };
    let mut arguments = vec!["status", "--porcelain", "--"];
    arguments.extend(files);
    let changes = git.read("compare files with the commit", &arguments);
    Ok(Some(Checkout {
        commit,
        time,
        dirty: !changes.await?.trim().is_empty(),
    }))
}

/// Returns the branch that is checked out, `refs/heads/main`; `None` for a detached commit, and
/// where git fails.
pub async fn branch(folder: &Utf8Path) -> Option<String> {
    let git = Git::in_folder(folder);
    let arguments = ["symbolic-ref", "--quiet", "HEAD"];
    let name = git.read("read the branch", &arguments).await.ok()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// Returns whether git finds `ancestor` among the ancestors of `commit`. Fails where the repository lacks one
/// of them. In a shallow clone a `false` proves nothing: see [`is_shallow`].
pub async fn is_ancestor(
    folder: &Utf8Path,
    ancestor: &Commit,
    commit: &Commit,
) -> Result<bool, Error> {
    let task = format!(
        "compare commit {} with {}",
        ancestor.short(),
        commit.short()
    );
    let arguments = [
        "merge-base",
        "--is-ancestor",
        ancestor.as_str(),
        commit.as_str(),
    ];
    let output = Git::in_folder(folder).run(&arguments).await?;
    match output.code {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(output.error(&task)),
    }
}

/// Returns whether a repository lacks a part of its history.
pub async fn is_shallow(folder: &Utf8Path) -> Result<bool, Error> {
    let git = Git::in_folder(folder);
    let arguments = ["rev-parse", "--is-shallow-repository"];
    let answer = git.read("read whether the clone is shallow", &arguments);
    Ok(answer.await?.trim() == "true")
}

/// Reads `git log --format='%H %ct'`: the hash, and the time in seconds since 1970.
fn parse_head(output: &str) -> Option<(Commit, i64)> {
    let (hash, time) = output.trim().split_once(' ')?;
    Some((Commit::parse(hash).ok()?, time.parse().ok()?))
}

/// The branches of a remote repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RemoteBranches {
    /// The branch a clone checks out; `None` in a repository without commits.
    pub default: Option<String>,
    /// All branches.
    pub names: Vec<String>,
}

/// Reads `git ls-remote --symref URL HEAD refs/heads/*`: lines of a value, a tab and a name.
pub fn parse_remote_branches(output: &str) -> RemoteBranches {
    let mut found = RemoteBranches::default();
    for (value, name) in output.lines().filter_map(|line| line.split_once('\t')) {
        if let Some(branch) = name.strip_prefix("refs/heads/") {
            found.names.push(branch.to_owned());
        } else if name == "HEAD"
            && let Some(branch) = value.strip_prefix("ref: refs/heads/")
        {
            found.default.get_or_insert_with(|| branch.to_owned());
        }
    }
    found
}

/// Reads `git push --porcelain`: why a ref was rejected; `None` if none was. `!` marks a rejected
/// ref, and the reason comes last (git-push(1), "OUTPUT").
pub fn parse_rejection(output: &str) -> Option<&str> {
    let line = output.lines().find_map(|line| line.strip_prefix("!\t"))?;
    Some(line.rsplit('\t').next().unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_a_hash_and_a_time() {
        let hash = "a".repeat(40);
        let read = |time: &str| parse_head(&format!("{hash} {time}\n"));
        let commit = Commit::parse(&hash).expect("a hash");
        assert_eq!(read("1700000000"), Some((commit, 1_700_000_000)));
        assert_eq!(read("yesterday"), None);
        assert_eq!(parse_head("main 1700000000"), None);
        assert_eq!(parse_head(""), None);
    }

    #[test]
    fn the_default_branch_is_the_one_head_points_to() {
        let output =
            "ref: refs/heads/main\tHEAD\nabc\tHEAD\nabc\trefs/heads/main\nabd\trefs/heads/a/b\n";
        let expected = RemoteBranches {
            default: Some("main".to_owned()),
            names: vec!["main".to_owned(), "a/b".to_owned()],
        };
        assert_eq!(parse_remote_branches(output), expected);
    }

    #[test]
    fn a_repository_without_commits_has_no_branches() {
        assert_eq!(parse_remote_branches(""), RemoteBranches::default());
    }

    #[test]
    fn a_detached_head_is_not_a_branch() {
        let found = parse_remote_branches("abc\tHEAD\nabc\trefs/heads/main\n");
        assert_eq!((found.default, found.names.len()), (None, 1));
    }

    #[test]
    fn a_rejected_push_has_its_reason() {
        let output = "To /x\n!\tHEAD:refs/heads/main\t[rejected] (fetch first)\nDone\n";
        assert_eq!(parse_rejection(output), Some("[rejected] (fetch first)"));
        let accepted = "To /x\n \tHEAD:refs/heads/main\tabc..def\nDone\n";
        assert_eq!(parse_rejection(accepted), None);
        assert_eq!(parse_rejection(""), None);
    }

    #[test]
    fn failures_are_told_apart() {
        let failed = |stderr: &str| Error::failed("read x", stderr);
        let outside = "fatal: not a git repository (or any of the parent directories): .git\n";
        assert!(matches!(failed(outside), Error::NotARepository { .. }));
        let empty = "fatal: your current branch 'main' does not have any commits yet\n";
        assert!(matches!(failed(empty), Error::NoCommits { .. }));
        assert_eq!(
            failed("fatal: unable to access 'x'\n").to_string(),
            "cannot read x: git reports: fatal: unable to access 'x'"
        );
    }

    #[test]
    fn the_repository_of_a_hook_is_not_inherited() {
        let command = Git::in_folder("/x").setting("a.b=c").command(&["status"]);
        let command = command.as_std();
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["-C", "/x", "-c", "a.b=c", "status"]);
        let removed: Vec<_> = command
            .get_envs()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name)
            .collect();
        assert_eq!(removed, LOCAL_VARIABLES);
    }

    async fn git(folder: &Path, arguments: &[&str]) {
        let git = Git::in_folder(folder)
            .setting("user.name=x")
            .setting("user.email=x@example.org");
        git.read("prepare a test", arguments).await.expect("done");
    }

    #[tokio::test]
    async fn a_folder_without_commits_has_no_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(folder.path()).expect("UTF-8");
        assert_eq!(read_checkout(path, &["."]).await.expect("no error"), None);
        assert_eq!(branch(path).await, None);
        git(folder.path(), &["init", "--quiet", "--initial-branch=main"]).await;
        assert_eq!(read_checkout(path, &["."]).await.expect("no error"), None);
        assert_eq!(branch(path).await.as_deref(), Some("refs/heads/main"));
    }

    #[tokio::test]
    async fn a_commit_is_dirty_by_the_files_that_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = Utf8Path::from_path(folder.path()).expect("UTF-8");
        git(folder.path(), &["init", "--quiet"]).await;
        git(
            folder.path(),
            &["commit", "--quiet", "--allow-empty", "-m", "x"],
        )
        .await;
        fs_err::write(folder.path().join("new"), "").expect("written");
        let found = read_checkout(path, &["old"]).await.expect("read");
        let found = found.expect("a commit");
        assert_eq!((found.commit.as_str().len(), found.dirty), (40, false));
        let hash = found.commit;
        let found = read_checkout(path, &["old", "new"]).await.expect("read");
        assert!(found.expect("a commit").dirty);
        let elsewhere = Commit::parse(&"0".repeat(40)).expect("a hash");
        assert!(is_ancestor(path, &hash, &hash).await.expect("known"));
        assert!(is_ancestor(path, &elsewhere, &hash).await.is_err());
    }
}
