//! Credential helpers: programs that keep a user's credentials, asked by Docker's protocol
//! (docker-credential-helpers, "Development").
//!
//! Main function: [`ask`], called by `credentials`.

use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;

use super::answer::printable;
use super::credential::{Credential, CredentialError};

/// How long a helper may take: some ask the user.
const TIME: Duration = Duration::from_secs(60);

/// A helper, and what it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Helper {
    /// The name of the program.
    pub program: String,
    /// The name of the entry.
    pub server: String,
}

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks a helper for the credential of a host; `None` if it has none. It is ended if it does not answer, and
/// with the run. `origin` is the config that names it.
pub(super) async fn ask(
    helper: &Helper,
    host: &str,
    origin: &str,
) -> Result<Option<Credential>, CredentialError> {
    ask_within(TIME, helper, host, origin).await
}

async fn ask_within(
    time: Duration,
    helper: &Helper,
    host: &str,
    origin: &str,
) -> Result<Option<Credential>, CredentialError> {
    let (program, host) = (helper.program.clone(), host.to_owned());
    let output = match tokio::time::timeout(time, run(helper)).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(CredentialError::HelperMissing {
                program,
                host,
                origin: origin.to_owned(),
            });
        }
        Ok(Err(error)) => {
            return Err(CredentialError::Helper {
                program,
                host,
                reason: error.to_string(),
            });
        }
        Err(_) => {
            return Err(CredentialError::HelperHangs {
                program,
                host,
                seconds: time.as_secs(),
            });
        }
    };
    let failed = |reason: &str| CredentialError::Helper {
        program: program.clone(),
        host: host.clone(),
        reason: printable(reason),
    };
    if !output.status.success() {
        // Helpers print errors on either.
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        if stdout.contains("credentials not found") || stderr.contains("credentials not found") {
            return Ok(None);
        }
        let is_silent = stderr.trim().is_empty();
        return Err(failed(if is_silent { &stdout } else { &stderr }));
    }
    // The output holds the secret, so it is not shown.
    let answer: Answer = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("its answer has no `Username` and `Secret`"))?;
    let is_token = answer.username == "<token>";
    let credential = Credential {
        username: if is_token {
            String::new()
        } else {
            answer.username
        },
        secret: answer.secret,
    };
    let is_usable = !credential.secret.is_empty() && (is_token || !credential.username.is_empty());
    Ok(is_usable.then_some(credential))
}

/// Runs a helper to its end.
async fn run(helper: &Helper) -> std::io::Result<std::process::Output> {
    let mut child = tokio::process::Command::new(&helper.program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read it answers all the same.
        let _ignored = stdin.write_all(helper.server.as_bytes()).await;
    }
    child.wait_with_output().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn asked(script: &str) -> Result<Option<(String, String)>, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("helper");
        // Another process writes it: one that another test starts at this moment would keep a file open that this one writes,
        // and the kernel runs none that is open for writing.
        let written = std::process::Command::new("sh")
            .args([
                "-c",
                r#"printf '%s\n' '#!/bin/sh' "$1" >"$0" && chmod 755 "$0""#,
            ])
            .args([program.as_os_str(), script.as_ref()])
            .status();
        assert!(written.expect("a shell").success());
        let helper = Helper {
            program: program.display().to_string(),
            server: "a.example".to_owned(),
        };
        let time = Duration::from_secs(2);
        let found = ask_within(time, &helper, "a.example", "config.json").await;
        let found = found.map(|found| found.map(|found| (found.username, found.secret)));
        found.map_err(|error| error.to_string().replace(&helper.program, "HELPER"))
    }

    #[tokio::test]
    async fn a_helper_is_asked_for_the_server() {
        let script = r#"[ "$1" = get ] && printf '{"Username":"u","Secret":"%s"}' "$(cat)""#;
        let pair = |user: &str, secret: &str| Ok(Some((user.to_owned(), secret.to_owned())));
        assert_eq!(asked(script).await, pair("u", "a.example"));
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        assert_eq!(asked(token).await, pair("", "t"));
        let none = "echo credentials not found in native keychain; exit 1";
        assert_eq!(asked(none).await, Ok(None));
    }

    #[tokio::test]
    async fn a_helper_that_fails_is_shown_with_its_text() {
        let boom = asked("echo boom >&2; exit 3").await;
        assert_eq!(
            boom.expect_err("failed"),
            "the credential helper `HELPER` failed for `a.example`: boom; try `echo a.example | HELPER get`"
        );
        let odd = asked("echo secret").await.expect_err("no JSON");
        assert!(!odd.contains("secret get"), "{odd}");
        assert!(odd.contains("has no `Username` and `Secret`"), "{odd}");
    }

    #[tokio::test]
    async fn a_helper_that_hangs_is_ended() {
        let hangs = asked("exec sleep 300").await.expect_err("hangs");
        assert!(hangs.contains("did not answer within 2 s"), "{hangs}");
    }
}
