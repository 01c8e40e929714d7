//! Loads images into docker or podman of this machine: the archive goes to the standard input of `docker load`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::{EngineArchive, Error, NamedImage, fill};
use crate::name::{Digest, Repository};
use crate::registry::Registry;

/// A program that has images on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loader {
    /// Its name: `docker`.
    pub name: &'static str,
    path: PathBuf,
}

/// Why images cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// There is no such program.
    #[error("cannot load images: {} not found on PATH", list(.programs))]
    Missing {
        /// The programs that were looked for.
        programs: Vec<&'static str>,
    },
    /// It does not answer, such as docker without its daemon.
    #[error("cannot load images: `{program} version` failed: {reason}")]
    Unavailable {
        /// The program.
        program: &'static str,
        /// What it reports.
        reason: String,
    },
    /// It did not take the archive.
    #[error("`{program} load` failed: {reason}")]
    Failed {
        /// The program.
        program: &'static str,
        /// What it reports.
        reason: String,
    },
}

fn list(programs: &[&str]) -> String {
    let quoted: Vec<String> = programs.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(" and ")
}

impl Loader {
    /// Returns the first of some programs that is there.
    pub fn find(programs: &[&'static str]) -> Result<Self, LoadError> {
        let mut found = programs
            .iter()
            .filter_map(|name| Some((*name, which::which(name).ok()?)));
        let missing = || LoadError::Missing {
            programs: programs.to_vec(),
        };
        let (name, path) = found.next().ok_or_else(missing)?;
        Ok(Self { name, path })
    }

    /// Checks that it can be used: that its daemon answers.
    pub async fn check(&self) -> Result<(), LoadError> {
        let mut command = Command::new(&self.path);
        command.arg("version").stdin(Stdio::null());
        let output = command.kill_on_drop(true).output().await;
        let unavailable = |reason| LoadError::Unavailable {
            program: self.name,
            reason,
        };
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(unavailable(reason(&output))),
            Err(error) => Err(unavailable(error.to_string())),
        }
    }

    /// Loads images under their names. Returns the size of each image's config and layers as stored, bytes.
    pub async fn load(
        &self,
        images: &[NamedImage],
        engine: Option<&EngineArchive>,
        staging: Option<(&Registry, &Repository)>,
    ) -> Result<BTreeMap<Digest, u64>, Error> {
        let failed = |reason| LoadError::Failed {
            program: self.name,
            reason,
        };
        let mut command = Command::new(&self.path);
        command.arg("load").kill_on_drop(true);
        let piped = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn().map_err(|error| failed(error.to_string()))?;
        let stdin = child.stdin.take().expect("it is piped");
        let stdin = stdin
            .into_owned_fd()
            .map_err(|error| failed(error.to_string()))?;
        // It is read while the archive is written, so that neither waits for the other.
        let ending = tokio::spawn(child.wait_with_output());
        let stdin = File::from(stdin);
        let filled = fill(&stdin, Path::new("-"), images, engine, staging).await;
        drop(stdin);
        let output = ending.await.expect("waiting does not panic");
        let output = output.map_err(|error| failed(error.to_string()))?;
        // It may end without reading all.
        let is_pipe = |error: &Error| matches!(error, Error::File { .. });
        if !output.status.success() && filled.as_ref().err().is_none_or(is_pipe) {
            return Err(failed(reason(&output)).into());
        }
        filled
    }
}

/// Returns the first line of what a program reports of its failure.
fn reason(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut lines = errors
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    // Warnings come first.
    let last = lines.next_back();
    last.map_or_else(|| output.status.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn program(folder: &Path, script: &str) -> Loader {
        let path = folder.join("docker");
        fs_err::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(&path, mode).expect("set");
        Loader {
            name: "docker",
            path,
        }
    }

    #[tokio::test]
    async fn a_daemon_that_is_down_is_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        let loader = program(folder.path(), "echo 'is the daemon running?' >&2; exit 1");
        let error = loader.check().await.expect_err("it is down");
        assert_eq!(
            error.to_string(),
            "cannot load images: `docker version` failed: is the daemon running?"
        );
        let loader = program(folder.path(), "exit 0");
        assert!(loader.check().await.is_ok());
    }

    #[tokio::test]
    async fn the_archive_is_its_standard_input() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = format!("tar -t >{}/list", folder.path().display());
        let loader = program(folder.path(), &script);
        loader.load(&[], None, None).await.expect("loaded");
        let list = fs_err::read_to_string(folder.path().join("list")).expect("a list");
        assert_eq!(list, "oci-layout\nindex.json\nmanifest.json\n");
        let loader = program(
            folder.path(),
            "echo warning >&2; echo no space left >&2; exit 3",
        );
        let error = loader.load(&[], None, None).await.expect_err("refused");
        assert_eq!(error.to_string(), "`docker load` failed: no space left");
    }

    #[test]
    fn missing_programs_are_listed() {
        let error = Loader::find(&["no-such-a", "no-such-b"]).expect_err("missing");
        assert_eq!(
            error.to_string(),
            "cannot load images: `no-such-a` and `no-such-b` not found on PATH"
        );
    }
}
