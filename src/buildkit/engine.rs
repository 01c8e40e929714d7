//! A private buildkitd for the time of a run; its state stays for the next one.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use super::{Address, Client, unique};

/// The folders of a private engine.
#[derive(Clone, Debug)]
pub struct Options {
    /// For its cache, kept between runs; created if missing.
    pub state: PathBuf,
    /// For its socket, whose path must be short (108 bytes, unix(7)); created if missing.
    pub runtime: PathBuf,
}

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A program it needs is missing.
    #[error("cannot start an engine: `{program}` not found on PATH")]
    Missing {
        /// Its name.
        program: &'static str,
    },
    /// A folder or file of the engine cannot be used.
    #[error("cannot prepare {path} for the engine: {error}", path = .path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// Why not.
        #[source]
        error: std::io::Error,
    },
    /// It ended, or did not answer in time.
    #[error("cannot start an engine: {reason}\nthe end of its log, {log}:\n{tail}", log = .log.display())]
    Start {
        /// What was seen of it.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
}

impl EngineError {
    /// Returns what to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Missing { program } => Some(format!(
                "install {program}, or set --engine or BUILDKIT_HOST to a running buildkitd"
            )),
            Self::Folder { .. } | Self::Start { .. } => None,
        }
    }
}

/// A running engine; killed when dropped, stopped in order by [`PrivateEngine::stop`].
pub struct PrivateEngine {
    child: Child,
    /// The connection to it.
    pub client: Client,
    runtime: PathBuf,
    pid_file: PathBuf,
    _lock: File,
}

/// How long it may take to answer.
const START: Duration = Duration::from_secs(60);

/// How long it may take to stop by itself.
const STOP: Duration = Duration::from_secs(10);

impl PrivateEngine {
    /// Starts `buildkitd`, through `rootlesskit` unless we are root, and waits until it answers.
    /// `waiting` is called once if another run uses the same state and must end first.
    pub async fn start(options: &Options, waiting: impl FnOnce()) -> Result<Self, EngineError> {
        let programs = Programs::find()?;
        let state = options.state.as_path();
        std::fs::create_dir_all(state).map_err(in_folder(state))?;
        let lock = lock(&state.join("laminate.lock"), waiting)
            .await
            .map_err(in_folder(state))?;
        let pid_file = state.join("buildkitd.pid");
        end_orphan(&pid_file, state).await;

        let runtime = options.runtime.join(&unique()[..8]);
        std::fs::create_dir_all(&runtime).map_err(in_folder(&runtime))?;
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&runtime, private).map_err(in_folder(&runtime))?;
        let log = state.join("buildkitd.log");
        let output = File::create(&log).map_err(in_folder(&log))?;
        let errors = output.try_clone().map_err(in_folder(&log))?;
        let address = Address::Unix(runtime.join("buildkitd.sock"));

        let mut command = programs.command(state, &runtime, &address);
        command.stdout(output).stderr(errors);
        let mut child = command.spawn().map_err(|error| EngineError::Start {
            reason: error.to_string(),
            log: log.clone(),
            tail: String::new(),
        })?;
        if let Some(pid) = child.id() {
            std::fs::write(&pid_file, pid.to_string()).map_err(in_folder(&pid_file))?;
        }
        let failed = |reason: String| EngineError::Start {
            reason,
            tail: tail(&log),
            log: log.clone(),
        };
        let client = tokio::select! {
            connected = Client::connect(&address, START) => match connected {
                Ok(client) => client,
                Err(error) => return Err(failed(error.to_string())),
            },
            ended = child.wait() => return Err(failed(match ended {
                Ok(status) => format!("it ended with {status}"),
                Err(error) => error.to_string(),
            })),
        };
        Ok(Self {
            child,
            client,
            runtime,
            pid_file,
            _lock: lock,
        })
    }

    /// Stops it: SIGTERM, and after 10 s SIGKILL.
    pub async fn stop(mut self) {
        if let Some(pid) = self.pid() {
            // It may have ended by itself.
            let _gone = kill(pid, Signal::SIGTERM);
        }
        if tokio::time::timeout(STOP, self.child.wait()).await.is_err() {
            let _gone = self.child.kill().await;
        }
    }

    fn pid(&self) -> Option<Pid> {
        let id = self.child.id()?;
        Some(Pid::from_raw(i32::try_from(id).ok()?))
    }
}

/// The programs an engine is started with.
struct Programs {
    buildkitd: PathBuf,
    /// `None`: we are root.
    rootlesskit: Option<PathBuf>,
}

impl Programs {
    /// Looks for all that an engine needs.
    fn find() -> Result<Self, EngineError> {
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
        })
    }

    /// Returns the command that starts an engine.
    fn command(&self, state: &Path, runtime: &Path, address: &Address) -> Command {
        let mut command = match &self.rootlesskit {
            None => Command::new(&self.buildkitd),
            Some(rootlesskit) => {
                let mut command = Command::new(rootlesskit);
                command
                    .arg("--net=host")
                    .arg("--state-dir")
                    .arg(runtime.join("rootlesskit"))
                    .arg(&self.buildkitd)
                    .arg("--oci-worker-no-process-sandbox");
                command
            }
        };
        command
            .arg("--root")
            .arg(state.join("state"))
            .arg("--addr")
            .arg(address.to_string())
            .arg("--otel-socket-path")
            .arg(runtime.join("otel.sock"))
            .arg("--oci-worker-net=host")
            .arg("--containerd-worker=false")
            .stdin(Stdio::null())
            // Ctrl-C is for us: the build is cancelled first, then the engine stopped.
            .process_group(0)
            .kill_on_drop(true);
        command
    }
}

fn in_folder(path: &Path) -> impl FnOnce(std::io::Error) -> EngineError {
    let path = path.to_owned();
    move |error| EngineError::Folder { path, error }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        // What cannot be removed is in a folder for temporary files.
        let _left = std::fs::remove_dir_all(&self.runtime);
        let _left = std::fs::remove_file(&self.pid_file);
    }
}

/// Looks for a program on PATH, and where a user's PATH often lacks what only root needs.
fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let folders = std::env::join_paths(folders).ok()?;
    which::which_in_global(name, Some(folders)).ok()?.next()
}

fn program(name: &'static str) -> Result<PathBuf, EngineError> {
    find(name).ok_or(EngineError::Missing { program: name })
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
async fn end_orphan(pid_file: &Path, state: &Path) {
    let Ok(text) = std::fs::read_to_string(pid_file) else {
        return;
    };
    let Ok(number) = text.trim().parse::<i32>() else {
        return;
    };
    let is_ours = || {
        let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("buildkitd") && line.contains(&state.display().to_string())
    };
    let start = Instant::now();
    while is_ours() {
        let signal = if start.elapsed() < STOP {
            Signal::SIGTERM
        } else {
            Signal::SIGKILL
        };
        if kill(Pid::from_raw(number), signal).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Returns the last 15 lines of a log, at most 4 KiB.
fn tail(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}
