//! Loads images into docker or podman of this machine: the archive goes to the standard input of `docker load`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::{EngineArchive, Error, NamedImage, fill};
use crate::name::{Digest, Repository};
use crate::registry::Registry;

/// How long the streams of a program may stay open when it has ended: programs that it started may have them.
const GRACE: Duration = Duration::from_secs(2);

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
    /// It ended without an error, and has not read the archive to its end.
    #[error("`{program} load` ended before it had read all images: {reason}")]
    Unread {
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

    /// Loads images under their names. Returns the size of each image's config and layers as stored, bytes. The program
    /// is killed if this is dropped.
    pub async fn load(
        &self,
        images: &[NamedImage],
        engine: Option<&EngineArchive>,
        staging: Option<(&Registry, &Repository)>,
    ) -> Result<BTreeMap<Digest, u64>, Error> {
        let program = self.name;
        let failed = |reason| LoadError::Failed { program, reason };
        let (mut child, stdin) = self.spawn().map_err(|error| failed(error.to_string()))?;
        let filling = fill(stdin, Path::new("-"), images, engine, staging);
        // Its output is read while the archive is written, so that neither waits for the other.
        let (mut filling, mut ending) = (pin!(filling), pin!(ended(&mut child)));
        let (filled, output) = tokio::select! {
            filled = &mut filling => (Some(filled), ending.await),
            output = &mut ending => (tokio::time::timeout(GRACE, filling).await.ok(), output),
        };
        let output = output.map_err(|error| failed(error.to_string()))?;
        match filled {
            Some(Err(error)) if !is_unread(&error) => Err(error),
            _ if !output.status.success() => Err(failed(reason(&output)).into()),
            Some(Ok(sizes)) => Ok(sizes),
            Some(Err(_)) | None => {
                let reason = reason(&output);
                Err(LoadError::Unread { program, reason }.into())
            }
        }
    }

    /// Starts the program. Returns its standard input as well.
    fn spawn(&self) -> io::Result<(Child, File)> {
        let mut command = Command::new(&self.path);
        let piped = command
            .arg("load")
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = piped.spawn()?;
        let stdin = child.stdin.take().expect("it is piped");
        Ok((child, stdin.into_owned_fd()?.into()))
    }
}

/// Whether an archive could not be written because it is not read any more.
fn is_unread(error: &Error) -> bool {
    matches!(error, Error::File { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
}

/// Waits for the end of a program, and returns what it printed.
async fn ended(child: &mut Child) -> io::Result<Output> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let has_ended = CancellationToken::new();
    let waiting = async {
        let status = child.wait().await;
        has_ended.cancel();
        status
    };
    let (status, stdout, stderr) =
        tokio::join!(waiting, read(stdout, &has_ended), read(stderr, &has_ended));
    Ok(Output {
        status: status?,
        stdout,
        stderr,
    })
}

/// Reads a stream of a program until the stream or the program ends.
async fn read(stream: Option<impl AsyncRead + Unpin>, has_ended: &CancellationToken) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(mut stream) = stream else {
        return bytes;
    };
    let late = async {
        has_ended.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        _ = stream.read_to_end(&mut bytes) => {}
        () = late => {}
    }
    bytes
}

/// Returns the last line of what a program reports, or how it ended. Warnings come first.
fn reason(output: &Output) -> String {
    let last = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.lines().map(str::trim);
        lines.rfind(|line| !line.is_empty()).map(str::to_owned)
    };
    let last = last(&output.stderr).or_else(|| last(&output.stdout));
    last.unwrap_or_else(|| output.status.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;

    fn program(folder: &Path, script: &str) -> Loader {
        let path = folder.join("docker");
        // A process that another test starts would inherit a file that is open for writing here, which cannot be run then.
        let mut writer = std::process::Command::new("sh");
        writer.args([
            "-c",
            r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod 755 "$1""#,
            "sh",
        ]);
        let written = writer.arg(&path).arg(script).status();
        assert!(written.expect("started").success());
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

    /// Returns an image whose layer is larger than the buffer of a pipe.
    fn large_image() -> (NamedImage, EngineArchive) {
        let mut tar = tar::Builder::new(tempfile::tempfile().expect("a file"));
        let mut put = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            let name = format!("blobs/sha256/{}", digest.hex());
            let put = tar.append_data(&mut header, name, bytes);
            put.expect("written");
            (digest, bytes.len())
        };
        let descriptor = |(digest, size): (Digest, usize)| json!({ "mediaType": "application/octet-stream", "digest": digest.as_str(), "size": size });
        let (config, layer) = (descriptor(put(b"{}")), descriptor(put(&[0; 1 << 20])));
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": [layer] });
        let (digest, _) = put(manifest.to_string().as_bytes());
        let file = tar.into_inner().expect("written");
        let (blobs, _) = crate::export::scan(&file).expect("read");
        let archive = EngineArchive {
            file: Arc::new(file),
            blobs,
            images: BTreeMap::new(),
        };
        let names = vec!["a:b".to_owned()];
        (NamedImage { digest, names }, archive)
    }

    #[tokio::test]
    async fn a_program_that_does_not_read_to_the_end_is_reported() {
        let folder = tempfile::tempdir().expect("a folder");
        let (image, engine) = large_image();
        let load = async |script: &str| {
            let loader = program(folder.path(), script);
            let images = std::slice::from_ref(&image);
            let loaded = loader.load(images, Some(&engine), None).await;
            loaded.map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(load("cat >/dev/null").await, Ok(()));
        assert_eq!(load("tar -t >/dev/null").await, Ok(()));
        for script in [
            "head -c 1000 >/dev/null; echo no context",
            // A program that it left behind has the pipe.
            "exec 3<&0; sleep 5 & echo no context",
        ] {
            let expected = "`docker load` ended before it had read all images: no context";
            assert_eq!(load(script).await, Err(expected.to_owned()), "{script}");
        }
        let refused = load("head -c 1000 >/dev/null; echo full; exit 3").await;
        assert_eq!(refused, Err("`docker load` failed: full".to_owned()));
    }

    #[tokio::test]
    async fn a_program_that_reads_nothing_can_be_given_up() {
        let folder = tempfile::tempdir().expect("a folder");
        let (image, engine) = large_image();
        let loader = program(folder.path(), "exec sleep 100");
        let images = std::slice::from_ref(&image);
        let loading = loader.load(images, Some(&engine), None);
        let given_up = tokio::time::timeout(Duration::from_millis(300), loading).await;
        assert!(given_up.is_err());
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
