//! Runs git; no other module does.
//!
//! Main type: [`Git`]. [`read_checkout`], [`read_committed`], [`read_tracked`], [`read_work_tree`], [`branch`] and [`is_ancestor`] read a
//! repository for `gather` and `cli`; `cli::docs` fetches, commits and pushes a wiki with [`Git`] itself.
//! Credentials are git's own.

mod remote;
mod warnings;
mod work_tree;

pub use remote::{parse_rejection, parse_remote_branches};
pub use warnings::Warnings;
pub use work_tree::{read_checkout, read_committed, read_head, read_tracked, read_work_tree};

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use camino::Utf8Path;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::name::Commit;
use crate::trace::{self, Track};

/// Variables of git that are kept, by how they begin: where it is installed, how it reaches other machines and finds
/// credentials, who commits, and settings, in which CI passes credentials. All others are removed: they tie git to the repository
/// of a git that started laminate from a hook (`git rev-parse --local-env-vars`), or change what it prints.
const KEPT_VARIABLES: [&str; 13] = [
    "GIT_ALLOW_PROTOCOL",
    "GIT_ASKPASS",
    "GIT_AUTHOR_",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMITTER_",
    "GIT_CONFIG",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_EXEC_PATH",
    "GIT_HTTP_",
    "GIT_PROXY_",
    "GIT_SSH",
    "GIT_SSL_",
    "GIT_TEMPLATE_DIR",
];

/// Returns whether a variable is removed from git's environment.
fn is_removed(name: &str) -> bool {
    let is_kept = KEPT_VARIABLES.iter().any(|kept| name.starts_with(kept));
    name.starts_with("GIT_") && !is_kept
}

/// Settings under which git compares files by their content and hides none of them, whatever the user's settings are.
const PLAIN: [&str; 9] = [
    "core.checkStat=default",
    "core.fsmonitor=false",
    "core.ignoreStat=false",
    "core.symlinks=true",
    "core.trustctime=true",
    "core.untrackedCache=false",
    "diff.ignoreSubmodules=none",
    "log.showSignature=false",
    "status.showUntrackedFiles=all",
];

/// A git that runs longer hangs: on a file system or a server that does not answer.
const LIMIT: Duration = Duration::from_secs(600);

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
    /// Another commit was checked out each time that files were compared with one.
    #[error("cannot compare files with the commit: it changed 3 times meanwhile")]
    Moving,
    /// A file for git, or one that it wrote, cannot be written or read.
    #[error("cannot {task}: {source}")]
    File {
        /// What git was to be run for.
        task: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// git did not end.
    #[error("cannot {task}: git did not end within {} seconds", LIMIT.as_secs())]
    Timeout {
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
        // With another text the repository is there and broken.
        if reason.contains("not a git repository (or any") {
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
    /// Settings that no list of processes shows.
    secret_settings: Vec<(String, String)>,
    /// Variables of git, as `GIT_INDEX_FILE`.
    variables: Vec<(&'static str, OsString)>,
    /// Where to keep what a git that succeeds warns of.
    warnings: Option<Warnings>,
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
            ..Self::default()
        }
    }

    /// Returns a git that reads a folder with the settings [`PLAIN`].
    fn plain(folder: impl AsRef<Path>) -> Self {
        let git = Self::in_folder(folder);
        PLAIN.iter().fold(git, |git, setting| git.setting(*setting))
    }

    /// Returns a git like this one that runs in another folder.
    fn for_folder(&self, folder: &Path) -> Self {
        Self {
            folder: Some(folder.to_owned()),
            ..self.clone()
        }
    }

    /// Adds a setting, `core.symlinks=false`, that overrides the user's.
    pub fn setting(mut self, setting: impl Into<String>) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Adds a setting with a secret value, which is passed by the environment.
    pub fn secret_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.secret_settings.push((name.into(), value.into()));
        self
    }

    /// Keeps what git warns of although it succeeds.
    fn with_warnings(mut self, warnings: &Warnings) -> Self {
        self.warnings = Some(warnings.clone());
        self
    }

    /// Sets a variable of git.
    fn variable(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    fn command<T: AsRef<OsStr>>(&self, arguments: &[T]) -> Command {
        let mut command = Command::new("git");
        if let Some(folder) = &self.folder {
            command.arg("-C").arg(folder);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        for (name, _) in std::env::vars_os() {
            if is_removed(&name.to_string_lossy()) {
                command.env_remove(name);
            }
        }
        // git-config(1), "GIT_CONFIG_COUNT"; CI may have set some.
        let known = std::env::var("GIT_CONFIG_COUNT").ok();
        let known: usize = known.and_then(|count| count.parse().ok()).unwrap_or(0);
        for (number, (name, value)) in (known..).zip(&self.secret_settings) {
            command
                .env("GIT_CONFIG_COUNT", (number + 1).to_string())
                .env(format!("GIT_CONFIG_KEY_{number}"), name)
                .env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command
            .args(arguments)
            // Some messages are compared.
            .env("LC_ALL", "C")
            .env_remove("LANGUAGE")
            .env("GIT_TERMINAL_PROMPT", "0")
            // No lock is taken that another git could run into.
            .env("GIT_OPTIONAL_LOCKS", "0")
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            // A path is itself and no pattern; others do not see what replaces a commit here.
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs git to its end, whatever its exit code; `input` is its standard input.
    async fn output<T: AsRef<OsStr>>(
        &self,
        arguments: &[T],
        input: &[u8],
    ) -> Result<std::process::Output, Error> {
        let _span = trace::span(Track::Git, || {
            let name = arguments.first().map(AsRef::as_ref);
            format!("git {}", name.unwrap_or_default().to_string_lossy())
        });
        let mut command = self.command(arguments);
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().map_err(|error| match error.kind() {
            // The folder exists: the caller has read a file in it.
            std::io::ErrorKind::NotFound => Error::NotFound,
            _ => Error::Start(error),
        })?;
        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // A git that does not read all of it fails, and its exit code shows that.
                let _closed = stdin.write_all(input).await;
            }
        };
        let run = async { tokio::join!(write, child.wait_with_output()).1 };
        match tokio::time::timeout(LIMIT, run).await {
            Ok(output) => {
                let output = output.map_err(Error::Start)?;
                if let (true, Some(warnings)) = (output.status.success(), &self.warnings) {
                    warnings.add(&output.stderr);
                }
                Ok(output)
            }
            Err(_) => {
                let name = arguments.first().map(AsRef::as_ref);
                let name = name.unwrap_or_default().to_string_lossy();
                let task = format!("run `git {name}`");
                Err(Error::Timeout { task })
            }
        }
    }

    /// Runs git to its end, whatever its exit code. Fails if git cannot be started.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output, Error> {
        let output = self.output(arguments, &[]).await?;
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

    /// Runs git with an input, and returns its standard output, byte for byte.
    async fn read_bytes<T: AsRef<OsStr>>(
        &self,
        task: &str,
        arguments: &[T],
        input: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let output = self.output(arguments, input).await?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(Error::failed(
                task,
                &String::from_utf8_lossy(&output.stderr),
            ))
        }
    }
}

/// Returns the name that commits of a folder get, `user.name`; `None` without one, and if it is an address: those are not
/// published.
pub async fn user_name(folder: &Utf8Path) -> Option<String> {
    let git = Git::in_folder(folder);
    let found = git.run(&["config", "--get", "user.name"]).await.ok()?;
    let name = found.stdout.trim();
    let is_name = found.success && !name.is_empty() && !name.contains('@');
    is_name.then(|| name.to_owned())
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

/// Returns the newest commits of what is checked out, the newest first.
pub async fn recent_commits(folder: &Utf8Path, most: u32) -> Result<Vec<Commit>, Error> {
    let most = format!("--max-count={most}");
    let git = Git::in_folder(folder);
    let listed = git
        .read("list commits", &["rev-list", &most, "HEAD"])
        .await?;
    Ok(listed
        .lines()
        .filter_map(|line| Commit::parse(line).ok())
        .collect())
}

/// Returns the newest commits of the branch that is checked out, without those that it merged; the newest first.
pub async fn branch_commits(folder: &Utf8Path, most: u32) -> Result<Vec<Commit>, Error> {
    let most = format!("--max-count={most}");
    let arguments = ["rev-list", "--first-parent", &most, "HEAD"];
    let git = Git::in_folder(folder);
    let listed = git.read("list commits", &arguments).await?;
    let commits = listed.lines().filter_map(|line| Commit::parse(line).ok());
    Ok(commits.collect())
}

/// Returns whether a repository lacks a part of its history.
pub async fn is_shallow(folder: &Utf8Path) -> Result<bool, Error> {
    let git = Git::in_folder(folder);
    let arguments = ["rev-parse", "--is-shallow-repository"];
    let answer = git.read("read whether the clone is shallow", &arguments);
    Ok(answer.await?.trim() == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_TRACE"] {
            assert!(is_removed(name), "{name}");
        }
        for name in ["GIT_CONFIG_COUNT", "GIT_SSH_COMMAND", "GIT_ASKPASS", "HOME"] {
            assert!(!is_removed(name), "{name}");
        }
        let command = Git::in_folder("/x").setting("a.b=c").command(&["status"]);
        let arguments: Vec<_> = command.as_std().get_args().collect();
        assert_eq!(arguments, ["-C", "/x", "-c", "a.b=c", "status"]);
    }

    #[tokio::test]
    async fn a_broken_repository_is_not_taken_for_none() {
        let folder = tempfile::tempdir().expect("a folder");
        fs_err::write(folder.path().join(".git"), "gitdir: /nowhere\n").expect("written");
        let path = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let error = read_checkout(path, &["x"], None, &Warnings::default())
            .await
            .expect_err("broken");
        let text = error.to_string();
        assert!(
            text.contains("git reports: fatal: not a git repository: /nowhere"),
            "{text}"
        );
    }
}
