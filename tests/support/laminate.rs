//! The `laminate` binary, started from outside.
//!
//! Main type: [`Laminate`].

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

/// No command of a test takes longer; one that does is killed, and its test fails.
const LIMIT: Duration = Duration::from_secs(60);

/// Where standard output or standard error goes.
#[derive(Clone, Copy)]
pub enum Stream {
    /// Into the [`Answer`].
    Captured,
    /// A pipe whose reader is gone.
    Closed,
    /// A device without space.
    Full,
}

impl Stream {
    fn stdio(self) -> Stdio {
        match self {
            Self::Captured => Stdio::piped(),
            Self::Closed => {
                let (reader, writer) = std::io::pipe().expect("a pipe");
                drop(reader);
                writer.into()
            }
            Self::Full => {
                let device = std::fs::File::options().write(true).open("/dev/full");
                device.expect("a device").into()
            }
        }
    }
}

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// Returns standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }
}

/// How laminate is started: in a new, empty folder, without standard input, and with an environment that has nothing
/// but `HOME` (the same folder) and an empty `PATH`: no git, no engine, no login, no proxy.
pub struct Laminate {
    home: TempDir,
    working_folder: PathBuf,
    variables: Vec<(OsString, OsString)>,
    arguments: Vec<String>,
    stdout: Stream,
    stderr: Stream,
}

impl Laminate {
    pub fn new() -> Self {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().to_owned();
        let laminate = Self {
            home,
            working_folder: path.clone(),
            variables: Vec::new(),
            arguments: Vec::new(),
            stdout: Stream::Captured,
            stderr: Stream::Captured,
        };
        laminate.variable("HOME", path).variable("PATH", "")
    }

    /// Writes `specs.yml` into the new folder.
    pub fn spec(self, text: &str) -> Self {
        std::fs::write(self.home.path().join("specs.yml"), text).expect("written");
        self
    }

    /// Starts it in another folder.
    pub fn working_folder(mut self, folder: &Path) -> Self {
        folder.clone_into(&mut self.working_folder);
        self
    }

    pub fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// Has every command end with these words.
    pub fn arguments(mut self, words: &[&str]) -> Self {
        self.arguments = words.iter().map(ToString::to_string).collect();
        self
    }

    pub fn streams(mut self, stdout: Stream, stderr: Stream) -> Self {
        (self.stdout, self.stderr) = (stdout, stderr);
        self
    }

    /// Runs a command to its end, while the test's own registry answers it.
    pub async fn run(&self, words: &[&str]) -> Answer {
        let child = Command::new(env!("CARGO_BIN_EXE_laminate"))
            .args(words)
            .args(&self.arguments)
            .current_dir(&self.working_folder)
            .env_clear()
            .envs(self.variables.iter().cloned())
            .stdin(Stdio::null())
            .stdout(self.stdout.stdio())
            .stderr(self.stderr.stdio())
            .kill_on_drop(true)
            .spawn();
        let ended = child.expect("it starts").wait_with_output();
        let output = tokio::time::timeout(LIMIT, ended).await;
        let output = output.unwrap_or_else(|_| panic!("{words:?} takes longer than {LIMIT:?}"));
        let output = output.expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Answer {
            code: output.status.code().expect("no signal ends it"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }
}
