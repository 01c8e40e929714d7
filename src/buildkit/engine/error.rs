//! Why an engine could not be started, and what is shown of its log.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

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
    /// There is no folder for its socket.
    #[error("cannot start an engine: no safe folder for its socket: {}", .reasons.join("; "))]
    NoRuntimeFolder {
        /// Why each of those that were tried cannot be used.
        reasons: Vec<String>,
    },
    /// The engine of a run that was killed does not end.
    #[error("cannot start an engine: the one of an earlier run, process {pid}, cannot be ended")]
    Orphan {
        /// Its process.
        pid: i32,
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
    /// It crashed, as it does if its state was damaged by a power cut or a full disk.
    #[error("cannot start an engine: buildkitd crashed with `{reason}`; its log is {log}", log = .log.display())]
    Crash {
        /// The first line of its crash.
        reason: String,
        /// Its log.
        log: PathBuf,
        /// The state it was started with.
        state: PathBuf,
    },
}

impl EngineError {
    /// Returns what to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::Missing { program } => Some(format!(
                "install {program}, or set --engine or BUILDKIT_HOST to a running buildkitd; the README of laminate starts one with Docker"
            )),
            Self::NoRuntimeFolder { .. } => Some(
                "set XDG_RUNTIME_DIR or TMPDIR to a folder of yours that no other user can write to"
                    .to_owned(),
            ),
            Self::Orphan { .. } => Some(
                "end it, or set --engine or BUILDKIT_HOST to a running buildkitd".to_owned(),
            ),
            Self::Crash { state, .. } => Some(format!(
                "its state may be damaged: remove {}, which is only a cache, and run the command again",
                state.display()
            )),
            Self::Folder { .. } => Some(
                "set XDG_STATE_HOME to a folder of yours that no other user can write to".to_owned(),
            ),
            Self::Start { .. } => None,
        }
    }

    /// Returns the error for an engine that did not start.
    pub(super) fn not_started(reason: String, log: &Path, state: &Path) -> Self {
        let text = end_of(log);
        if let Some(reason) = crash(&text) {
            return Self::Crash {
                reason: reason.to_owned(),
                log: log.to_owned(),
                state: state.to_owned(),
            };
        }
        Self::Start {
            reason,
            tail: last_lines(&text),
            log: log.to_owned(),
        }
    }
}

/// How the Go runtime begins the report of a crash (runtime/panic.go, runtime/signal_unix.go).
const CRASHES: [&str; 3] = ["panic: ", "fatal error: ", "unexpected fault address "];

/// Returns the first line of a crash in a log.
fn crash(log: &str) -> Option<&str> {
    let mut lines = log.lines();
    lines.find(|line| CRASHES.iter().any(|begin| line.starts_with(begin)))
}

/// Returns the last 64 KiB of a log.
fn end_of(log: &Path) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(log)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(64 << 10)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

/// Returns the last 15 lines.
fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(log: &str) -> EngineError {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        fs_err::write(&path, log).expect("written");
        EngineError::not_started("it ended".to_owned(), &path, Path::new("/state"))
    }

    #[test]
    fn a_crash_is_one_line_and_names_what_to_remove() {
        let stack = "goroutine 1 [running]:\n\tmain.main()\n".repeat(20);
        let text = format!("level=info msg=starting\npanic: invalid page type: 0: 0\n\n{stack}");
        let error = error(&text);
        assert!(matches!(error, EngineError::Crash { .. }), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
        assert!(
            error
                .to_string()
                .contains("`panic: invalid page type: 0: 0`")
        );
        assert!(
            error
                .help()
                .is_some_and(|help| help.contains("remove /state,"))
        );
    }

    #[test]
    fn otherwise_the_end_of_the_log_is_shown() {
        let log: String = (0..40).map(|line| format!("line {line}\n")).collect();
        let error = error(&log);
        assert!(error.help().is_none());
        let lines: Vec<String> = error.to_string().lines().map(str::to_owned).collect();
        assert_eq!((lines.len(), lines[2].as_str()), (17, "line 25"));
    }
}
