//! The programs an engine is started with, and how they end with laminate.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::process::Command;

use super::EngineError;
use crate::buildkit::Address;

/// The first argument with which laminate starts an engine in its own place: see [`exec_engine`].
const EXEC: &str = "exec-engine";

/// How long the test of the sandbox may take.
const PROBE: Duration = Duration::from_secs(10);

/// The programs an engine is started with.
pub(super) struct Programs {
    buildkitd: PathBuf,
    /// `None`: we are root.
    pub rootlesskit: Option<PathBuf>,
    /// Where they were looked for, and where they look for others.
    path: OsString,
}

/// What an engine is started with.
pub(super) struct Arguments<'a> {
    /// The folder of its state.
    pub state: &'a Path,
    /// The folder of its sockets.
    pub runtime: &'a Path,
    /// Where it listens.
    pub address: &'a Address,
    /// Whether steps have process namespaces of their own.
    pub has_sandbox: bool,
}

impl Programs {
    /// Looks for all that an engine needs on PATH, and where a user's PATH often lacks what only root needs.
    pub fn find() -> Result<Self, EngineError> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
        // None of them has a separator in it: they were split at separators.
        let path = std::env::join_paths(folders).unwrap_or(path);
        let find = |name: &str| which::which_in_global(name, Some(&path)).ok()?.next();
        let program = |name: &'static str| find(name).ok_or(EngineError::Missing { program: name });
        let buildkitd = program("buildkitd")?;
        if find("buildkit-runc").is_none() {
            program("runc")?;
        }
        let rootlesskit = if nix::unistd::geteuid().is_root() {
            None
        } else {
            Some(program("rootlesskit")?)
        };
        Ok(Self {
            buildkitd,
            rootlesskit,
            path,
        })
    }

    /// Returns whether steps can have process namespaces of their own. Root always has that right; without it a kernel
    /// or a container may forbid to mount `/proc`.
    pub async fn has_sandbox(&self, runtime: &Path) -> bool {
        let Some(rootlesskit) = &self.rootlesskit else {
            return true;
        };
        let mut probe = Command::new(rootlesskit);
        probe
            .args(["--net=host", "--pidns", "--state-dir"])
            .arg(runtime.join("probe"))
            .arg("true")
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let ended = tokio::time::timeout(PROBE, probe.status()).await;
        ended.is_ok_and(|status| status.is_ok_and(|status| status.success()))
    }

    /// Returns the command that starts an engine.
    pub fn command(&self, arguments: &Arguments<'_>) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(rootlesskit) = &self.rootlesskit {
            words.extend([rootlesskit.into(), "--net=host".into()]);
            if arguments.has_sandbox {
                // All processes of the engine end with the first one of this namespace.
                words.push("--pidns".into());
            }
            words.push("--state-dir".into());
            words.push(arguments.runtime.join("rootlesskit").into());
        }
        words.push(self.buildkitd.clone().into());
        if !arguments.has_sandbox {
            words.push("--oci-worker-no-process-sandbox".into());
        }
        words.extend(["--root".into(), arguments.state.join("state").into()]);
        words.extend(["--addr".into(), arguments.address.to_string().into()]);
        words.push("--otel-socket-path".into());
        words.push(arguments.runtime.join("otel.sock").into());
        words.push("--oci-worker-net=host".into());
        words.push("--containerd-worker=false".into());
        // This file is laminate, whatever became of its name.
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(EXEC)
            .arg(std::process::id().to_string())
            .args(words)
            .env("PATH", &self.path)
            .stdin(Stdio::null())
            // Ctrl-C is for us: the build is cancelled first, then the engine stopped.
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

/// If the arguments of this process are those of [`Programs::command`], runs the engine in its place and returns only if
/// that fails, with the error. The kernel ends the engine when laminate ends, however that is (prctl(2),
/// `PR_SET_PDEATHSIG`, which execve keeps).
pub fn exec_engine(arguments: impl IntoIterator<Item = OsString>) -> Option<std::io::Error> {
    let mut words = arguments.into_iter().skip(1);
    if words.next()? != OsStr::new(EXEC) {
        return None;
    }
    let parent = words.next()?;
    let program = words.next()?;
    if let Err(error) = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM) {
        return Some(error.into());
    }
    // It may have ended before it was watched.
    if OsString::from(nix::unistd::getppid().to_string()) != parent {
        return Some(std::io::Error::other("laminate has ended"));
    }
    Some(std::process::Command::new(program).args(words).exec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(rootless: bool, has_sandbox: bool) -> Vec<String> {
        let programs = Programs {
            buildkitd: "/bin/buildkitd".into(),
            rootlesskit: rootless.then(|| "/bin/rootlesskit".into()),
            path: "/bin:/sbin".into(),
        };
        let command = programs.command(&Arguments {
            state: Path::new("/state"),
            runtime: Path::new("/run/x"),
            address: &Address::Unix("/run/x/buildkitd.sock".into()),
            has_sandbox,
        });
        let command = command.as_std();
        let path = command.get_envs().find(|(name, _)| *name == "PATH");
        assert_eq!(
            path,
            Some((OsStr::new("PATH"), Some(OsStr::new("/bin:/sbin"))))
        );
        let words = command.get_args().skip(2);
        words
            .map(|word| word.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn processes_of_steps_are_separated_unless_that_is_not_possible() {
        const NONE: &str = "--oci-worker-no-process-sandbox";
        let has = |words: &[String], word: &str| words.iter().any(|found| found == word);
        let root = words(false, true);
        assert_eq!(root[0], "/bin/buildkitd");
        assert!(!has(&root, NONE) && !has(&root, "--pidns"));
        let rootless = words(true, true);
        assert!(!has(&rootless, NONE) && has(&rootless, "--pidns"));
        let fallback = words(true, false);
        assert!(has(&fallback, NONE) && !has(&fallback, "--pidns"));
    }

    #[test]
    fn other_arguments_are_not_those_of_an_engine() {
        for words in [&["laminate"] as &[&str], &["laminate", "build"]] {
            assert!(exec_engine(words.iter().map(OsString::from)).is_none());
        }
    }

    #[test]
    fn an_engine_is_not_started_for_a_process_that_has_ended() {
        let words = ["laminate", EXEC, "0", "/bin/true"].map(OsString::from);
        let error = exec_engine(words).expect("it is not started");
        assert_eq!(error.to_string(), "laminate has ended");
        nix::sys::prctl::set_pdeathsig(None).expect("reset for other tests");
    }
}
