//! A buildkitd of our own for the time of a run; its state stays for the next one.

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

use super::{Address, Client, Error, unique};

/// Where a private engine keeps what.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its cache, kept between runs; made if need be.
    pub state: PathBuf,
    /// For its socket, which must have a short path; made if need be.
    pub runtime: PathBuf,
}

/// Why no engine could be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error(
        "no engine was named, and there is no `{program}` on PATH to start one\n\
         help: install {program}, or name a running buildkitd with --engine or BUILDKIT_HOST"
    )]
    Missing { program: &'static str },
    #[error("cannot prepare the engine's folder {path}: {error}", path = .path.display())]
    Folder {
        path: PathBuf,
        error: std::io::Error,
    },
    #[error("buildkitd did not start: {reason}\nthe end of its log, {log}:\n{tail}", log = .log.display())]
    Start {
        reason: String,
        log: PathBuf,
        tail: String,
    },
    #[error("{0}")]
    Connect(#[from] Error),
}

/// A running engine; killed when dropped, stopped in order by [`PrivateEngine::stop`].
pub struct PrivateEngine {
    child: Child,
    pub client: Client,
    runtime: PathBuf,
    pid_file: PathBuf,
    _lock: File,
}

const START: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(10);

impl PrivateEngine {
    /// Starts `buildkitd`, through `rootlesskit` unless we are root, and waits until it answers.
    /// `waiting` is called once if another run uses the same state and must end first.
    pub async fn start(options: &Options, waiting: impl FnOnce()) -> Result<Self, EngineError> {
        let root = nix::unistd::geteuid().is_root();
        let buildkitd = program("buildkitd")?;
        if find("buildkit-runc").is_none() {
            program("runc")?;
        }
        let folder = |path: &Path, error| EngineError::Folder {
            path: path.to_owned(),
            error,
        };
        let state = options.state.as_path();
        std::fs::create_dir_all(state).map_err(|e| folder(state, e))?;
        let lock = lock(&state.join("laminate.lock"), waiting)
            .await
            .map_err(|e| folder(state, e))?;
        let pid_file = state.join("buildkitd.pid");
        end_orphan(&pid_file, state).await;

        let runtime = options.runtime.join(&unique()[..8]);
        std::fs::create_dir_all(&runtime).map_err(|e| folder(&runtime, e))?;
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&runtime, private).map_err(|e| folder(&runtime, e))?;
        let log = state.join("buildkitd.log");
        let output = File::create(&log).map_err(|e| folder(&log, e))?;
        let errors = output.try_clone().map_err(|e| folder(&log, e))?;
        let socket = runtime.join("buildkitd.sock");
        let address = Address::Unix(socket.clone());

        let mut command = match root {
            true => Command::new(&buildkitd),
            false => {
                let mut command = Command::new(program("rootlesskit")?);
                command.arg("--net=host");
                command.arg("--state-dir").arg(runtime.join("rootlesskit"));
                command.arg(&buildkitd);
                command.arg("--oci-worker-no-process-sandbox");
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
            .stdout(output)
            .stderr(errors)
            // Ctrl-C is for us: the build is cancelled first, then the engine stopped.
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| EngineError::Start {
            reason: error.to_string(),
            log: log.clone(),
            tail: String::new(),
        })?;
        if let Some(pid) = child.id() {
            std::fs::write(&pid_file, pid.to_string()).map_err(|e| folder(&pid_file, e))?;
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

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        // What cannot be removed is in a folder for such things.
        let _left = std::fs::remove_dir_all(&self.runtime);
        let _left = std::fs::remove_file(&self.pid_file);
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|place| place.is_file())
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
                if let Some(say) = waiting.take() {
                    say();
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            Err(std::fs::TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Ends the engine of a run that was killed; it would hold the state for ever.
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
        let signal = match start.elapsed() < STOP {
            true => Signal::SIGTERM,
            false => Signal::SIGKILL,
        };
        if kill(Pid::from_raw(number), signal).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The last lines of a log, at most 4 KiB of it.
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
