//! A private buildkitd for the time of a run; its state stays for the next one.

mod error;
mod programs;
mod runtime;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::process::Child;
use tokio::time::Instant;

use super::{Address, Client};
pub use error::EngineError;
pub use programs::exec_engine;
use programs::{Arguments, Programs};

/// The folders of a private engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// For its cache, kept between runs; created if missing.
    pub state: PathBuf,
    /// Where a folder for its socket may be created, in the order of preference.
    pub runtime: Vec<PathBuf>,
}

/// What the user should know of an engine that starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Another run uses the same state and must end first.
    Waiting,
    /// Steps share the process namespace of the engine.
    NoSandbox,
    /// Its state is on a file system on which packages may fail to install.
    OnTmpfs(PathBuf),
}

/// A running engine; killed when dropped, stopped in order by [`PrivateEngine::stop`].
pub struct PrivateEngine {
    process: Process,
    /// The connection to it.
    pub client: Client,
}

/// The process of an engine and what it needs; killed and removed when dropped, also while it starts.
struct Process {
    child: Child,
    runtime: TempDir,
    pid_file: PathBuf,
    _lock: File,
}

/// How long it may take to answer.
const START: Duration = Duration::from_secs(60);

impl PrivateEngine {
    /// How long one may take to stop by itself.
    pub const STOP: Duration = Duration::from_secs(10);

    /// Starts `buildkitd`, through `rootlesskit` unless we are root, and waits until it answers.
    pub async fn start(options: &Options, notice: impl Fn(Notice)) -> Result<Self, EngineError> {
        let programs = Programs::find()?;
        let state = options.state.as_path();
        runtime::create_state(state).map_err(in_folder(state))?;
        let lock_file = state.join("laminate.lock");
        let lock = lock(&lock_file, || notice(Notice::Waiting));
        let lock = lock.await.map_err(in_folder(state))?;
        let pid_file = state.join("buildkitd.pid");
        end_orphan(&pid_file, state).await?;
        runtime::remove_left(state);

        let runtime = runtime::create(&options.runtime)?;
        runtime::record(state, runtime.path()).map_err(in_folder(state))?;
        let has_sandbox = programs.has_sandbox(runtime.path()).await;
        if !has_sandbox {
            notice(Notice::NoSandbox);
        }
        // In a user namespace an overlay on tmpfs cannot rename folders, as dpkg does.
        if programs.rootlesskit.is_some() && is_tmpfs(state) {
            notice(Notice::OnTmpfs(state.to_owned()));
        }
        let log = state.join("buildkitd.log");
        let output = File::create(&log).map_err(in_folder(&log))?;
        let errors = output.try_clone().map_err(in_folder(&log))?;
        let address = Address::Unix(runtime.path().join("buildkitd.sock"));
        let mut command = programs.command(&Arguments {
            state,
            runtime: runtime.path(),
            address: &address,
            has_sandbox,
        });
        command.stdout(output).stderr(errors);
        let failed = |reason: String| EngineError::not_started(reason, &log, &state.join("state"));
        let child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let mut process = Process {
            child,
            runtime,
            pid_file,
            _lock: lock,
        };
        process.write_pid().map_err(in_folder(&process.pid_file))?;
        let client = tokio::select! {
            connected = Client::connect(&address, START) => match connected {
                Ok(client) => client,
                Err(error) => return Err(failed(error.to_string())),
            },
            ended = process.child.wait() => return Err(failed(match ended {
                Ok(status) => format!("it ended with {status}"),
                Err(error) => error.to_string(),
            })),
        };
        Ok(Self { process, client })
    }

    /// Stops it: SIGTERM, and after [`Self::STOP`] SIGKILL. Returns whether it ended by itself.
    pub async fn stop(mut self) -> bool {
        if let Some(pid) = self.process.pid() {
            // It may have ended by itself.
            let _gone = kill(pid, Signal::SIGTERM);
        }
        let ending = self.process.child.wait();
        // What has not ended by then is killed when it is dropped.
        tokio::time::timeout(Self::STOP, ending).await.is_ok()
    }
}

impl Process {
    /// Returns its process; `None` if it has ended.
    fn pid(&self) -> Option<Pid> {
        let id = self.child.id()?;
        Some(Pid::from_raw(i32::try_from(id).ok()?))
    }

    fn write_pid(&self) -> std::io::Result<()> {
        match self.pid() {
            Some(pid) => std::fs::write(&self.pid_file, pid.to_string()),
            None => Ok(()),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            // With everything it has started: it has a process group of its own.
            let _gone = killpg(pid, Signal::SIGKILL);
        }
        let _left = std::fs::remove_file(&self.pid_file);
        // What cannot be removed is removed by the next run.
        let _left = std::fs::remove_dir_all(self.runtime.path());
    }
}

fn in_folder(path: &Path) -> impl FnOnce(std::io::Error) -> EngineError + use<> {
    let path = path.to_owned();
    move |error| EngineError::Folder { path, error }
}

fn is_tmpfs(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC)
}

/// One run at a time uses a state. The lock goes with the process, however it ends.
async fn lock(path: &Path, waiting: impl FnOnce()) -> std::io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    let mut waiting = Some(waiting);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                if let Some(waiting) = waiting.take() {
                    waiting();
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Stops the engine of a run that was killed; it would lock the state for ever.
async fn end_orphan(pid_file: &Path, state: &Path) -> Result<(), EngineError> {
    let Ok(text) = std::fs::read_to_string(pid_file) else {
        return Ok(());
    };
    let Ok(pid) = text.trim().parse::<i32>() else {
        return Ok(());
    };
    let is_ours = || {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("buildkitd") && line.contains(&state.display().to_string())
    };
    let start = Instant::now();
    while is_ours() {
        let ended = if start.elapsed() < PrivateEngine::STOP {
            kill(Pid::from_raw(pid), Signal::SIGTERM)
        } else {
            killpg(Pid::from_raw(pid), Signal::SIGKILL)
        };
        if ended == Err(Errno::ESRCH) {
            return Ok(());
        }
        // A process that waits for a disk is not even killed.
        if ended.is_err() || start.elapsed() > 2 * PrivateEngine::STOP {
            return Err(EngineError::Orphan { pid });
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_an_engine_of_the_same_state_is_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid_file = folder.path().join("pid");
        let mut other = std::process::Command::new("sleep");
        let mut other = other.arg("60").spawn().expect("it starts");
        fs_err::write(&pid_file, other.id().to_string()).expect("written");
        let ended = end_orphan(&pid_file, folder.path()).await;
        assert!(ended.is_ok());
        assert!(other.try_wait().expect("a child").is_none(), "it was ended");
        other.kill().expect("killed");
        other.wait().expect("ended");
    }

    #[test]
    fn a_process_that_is_dropped_ends_with_all_it_started() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let _entered = runtime.enter();
        let folder = tempfile::tempdir().expect("a folder");
        let marker = folder.path().join("child");
        let script = format!("sleep 60 & echo $! >{}; wait", marker.display());
        let mut command = tokio::process::Command::new("sh");
        command.args(["-c", &script]).process_group(0);
        let process = Process {
            child: command.spawn().expect("it starts"),
            runtime: tempfile::tempdir().expect("a folder"),
            pid_file: folder.path().join("pid"),
            _lock: File::create(folder.path().join("lock")).expect("a file"),
        };
        process.write_pid().expect("written");
        let started = || fs_err::read_to_string(&marker).unwrap_or_default();
        while started().trim().is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let (inner, path) = (started(), process.runtime.path().to_owned());
        drop(process);
        assert!(!path.exists() && !folder.path().join("pid").exists());
        let state = || fs_err::read_to_string(format!("/proc/{}/stat", inner.trim()));
        let is_gone = || state().map_or(true, |stat| stat.contains(") Z "));
        let start = std::time::Instant::now();
        while !is_gone() {
            assert!(start.elapsed() < Duration::from_secs(5), "it runs on");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
