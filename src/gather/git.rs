//! Two questions to git: which commit this is, and whether the stack differs from it.

use camino::Utf8Path;
use tokio::process::Command;

use super::Error;
use crate::plan::Commit;

/// The commit `folder` is at; `None` if it is in no repository, or in one without commits.
/// `files` are what makes the stack, relative to `folder`.
pub async fn commit(folder: &Utf8Path, files: &[&str]) -> Result<Option<Commit>, Error> {
    let Some(head) = ask(folder, &["log", "-1", "--format=%H %ct"], true).await? else {
        return Ok(None);
    };
    let (hash, time) = head.trim().split_once(' ').unwrap_or_default();
    let time = time.parse().map_err(|_| Error::Git {
        text: format!("`git log` says {head:?}"),
    })?;
    let mut question = vec!["status", "--porcelain", "--"];
    question.extend(files);
    let changes = ask(folder, &question, false).await?.unwrap_or_default();
    Ok(Some(Commit {
        hash: hash.to_owned(),
        time,
        dirty: !changes.trim().is_empty(),
    }))
}

/// The branch that is checked out, `refs/heads/main`; `None` for none, or without git.
pub async fn branch(folder: &Utf8Path) -> Option<String> {
    let said = ask(folder, &["symbolic-ref", "--quiet", "HEAD"], true).await;
    let name = said.ok().flatten()?;
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

/// What git says; `None` where it is absent or there is no commit, if that may be.
async fn ask(
    folder: &Utf8Path,
    arguments: &[&str],
    may_lack: bool,
) -> Result<Option<String>, Error> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(folder)
        .args(arguments)
        // Reads only: no lock is taken that another git could run into. Messages are compared.
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C");
    let output = match command.output().await {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_lack => return Ok(None),
        Err(error) => {
            return Err(Error::Git {
                text: format!("git cannot be run: {error}"),
            });
        }
    };
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    let text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let lacks = ["not a git repository", "does not have any commits"];
    match may_lack && lacks.iter().any(|lack| text.contains(lack)) {
        true => Ok(None),
        false => Err(Error::Git { text }),
    }
}
