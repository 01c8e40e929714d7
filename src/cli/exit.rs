//! How the program ends: exit codes, and failures of a whole command.
//!
//! Main types: [`Exit`] and [`Failure`]. Every command returns one or the other; `cli` prints it.

use serde_json::{Value, json};

use crate::diagnostic::{self, Diagnostic, Severity};
use crate::release::refs::Denied;
use crate::source::Sources;
use crate::{buildkit, export, gather, git, plan, publish, registry, release, staging};

/// How the process ends. Programs rely on the codes: they are documented in `docs/cli.md` and never
/// change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Success, also if there was nothing to do.
    Done,
    /// The command line is invalid.
    Usage,
    /// specs.yml, specs.lock or a file under images/ is invalid.
    Spec,
    /// The environment lacks something: engine, registry, credentials, git, disk.
    Environment,
    /// A build step failed.
    Step,
    /// A check, suite or gate failed, or was not proven.
    Gate,
    /// Publishing or a move of a channel was refused or failed.
    Publish,
    /// Success, and there is a difference.
    Difference,
    /// A bug in laminate.
    Bug,
    /// The user or a signal interrupted the command.
    Interrupted,
}

impl Exit {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 10] = [
        Self::Done,
        Self::Usage,
        Self::Spec,
        Self::Environment,
        Self::Step,
        Self::Gate,
        Self::Publish,
        Self::Difference,
        Self::Bug,
        Self::Interrupted,
    ];

    /// Returns the exit code of the process.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 2,
            Self::Spec => 3,
            Self::Environment => 4,
            Self::Step => 5,
            Self::Gate => 6,
            Self::Publish => 7,
            Self::Difference => 10,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }

    /// Returns the meaning of the code, for the help and `docs/cli.md`.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Done => "success, or nothing to do",
            Self::Usage => "invalid command line",
            Self::Spec => "invalid specs.yml, specs.lock or file under images/",
            Self::Environment => {
                "problem with the environment: engine, registry, credentials, git or disk"
            }
            Self::Step => "a build step failed",
            Self::Gate => "a check, suite or gate failed or was not proven",
            Self::Publish => {
                "publish, promote, revert or docs was refused or failed; the message shows which tags moved"
            }
            Self::Difference => "success with a difference: plan, diff, status, prepull --stale",
            Self::Bug => "a bug in laminate; the message explains how to report it",
            Self::Interrupted => "interrupted; no tag is half-moved",
        }
    }
}

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    text: String,
    help: Option<String>,
    /// Errors in the user's files. If there are any, people see them instead of `text`.
    problems: Vec<Diagnostic>,
    sources: Sources,
}

impl Failure {
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self {
            exit,
            text: text.into(),
            help: None,
            problems: Vec::new(),
            sources: Sources::default(),
        }
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Returns the failure for errors in the user's files.
    pub fn spec(sources: Sources, problems: Vec<Diagnostic>) -> Self {
        let count = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error)
            .count();
        let text = match count {
            1 => "the spec has an error".to_owned(),
            n => format!("the spec has {n} errors"),
        };
        Self {
            problems,
            sources,
            ..Self::new(Exit::Spec, text)
        }
    }

    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted; nothing was tagged")
    }

    /// Returns the message for people.
    pub fn shown(&self, color: bool) -> String {
        if !self.problems.is_empty() {
            return diagnostic::render(&self.problems, &self.sources, color);
        }
        let (red, bold, plain) = match color {
            true => ("\u{1b}[1;31m", "\u{1b}[1m", "\u{1b}[0m"),
            false => ("", "", ""),
        };
        let mut text = format!("{red}error{plain}{bold}:{plain} {}\n", self.text);
        if let Some(help) = &self.help {
            text.push_str(&format!("{bold}help:{plain} {help}\n"));
        }
        text
    }

    /// Returns the message for programs, the value of `error` in the JSON document.
    pub fn json(&self) -> Value {
        let problems: Vec<Value> = self
            .problems
            .iter()
            .map(|problem| {
                json!({
                    "severity": match problem.severity {
                        Severity::Error => "error",
                        Severity::Warning => "warning",
                    },
                    "text": problem.message,
                    "where": problem.primary.as_ref().map(|label| place(&self.sources, label.span)),
                    "help": problem.help,
                })
            })
            .collect();
        json!({
            "exit": self.exit.code(),
            "text": self.text,
            "help": self.help,
            "problems": problems,
        })
    }

    /// Annotates the lines of the spec, on GitHub Actions.
    pub fn annotate(&self) {
        for problem in &self.problems {
            annotate(&self.sources, problem);
        }
    }
}

/// Returns a place for programs: file, line and column.
pub fn place(sources: &Sources, span: crate::source::Span) -> Value {
    let start = sources.start(span);
    json!({ "file": sources.path(span), "line": start.line, "column": start.column })
}

/// Prints a diagnostic as an annotation, on GitHub Actions only.
pub fn annotate(sources: &Sources, problem: &Diagnostic) {
    if std::env::var_os("GITHUB_ACTIONS").is_none_or(|value| value != "true") {
        return;
    }
    if let Some(label) = &problem.primary {
        let start = sources.start(label.span);
        let escape = |text: &str| {
            text.replace('%', "%25")
                .replace('\r', "%0D")
                .replace('\n', "%0A")
        };
        let level = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        // The runner reads both streams; stdout is for data.
        eprintln!(
            "::{level} file={},line={},col={}::{}",
            sources.path(label.span),
            start.line,
            start.column,
            escape(&problem.message)
        );
    }
}

impl From<gather::Error> for Failure {
    fn from(error: gather::Error) -> Self {
        Self::new(Exit::Environment, error.to_string())
    }
}

impl From<staging::Error> for Failure {
    fn from(error: staging::Error) -> Self {
        Self::new(Exit::Environment, error.to_string())
    }
}

impl From<git::Error> for Failure {
    fn from(error: git::Error) -> Self {
        Self::new(Exit::Environment, error.to_string())
    }
}

impl From<plan::NoFreeTag> for Failure {
    fn from(error: plan::NoFreeTag) -> Self {
        Self::new(Exit::Environment, error.to_string())
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        Self::new(Exit::Environment, error.to_string())
    }
}

impl From<buildkit::EngineError> for Failure {
    fn from(error: buildkit::EngineError) -> Self {
        let failure = Self::new(Exit::Environment, error.to_string());
        match error.help() {
            Some(help) => failure.help(help),
            None => failure,
        }
    }
}

impl From<buildkit::Error> for Failure {
    fn from(error: buildkit::Error) -> Self {
        match error {
            buildkit::Error::Cancelled => Self::interrupted(),
            buildkit::Error::Address { .. } => Self::new(Exit::Usage, error.to_string()),
            buildkit::Error::Connect { .. } => Self::new(Exit::Environment, error.to_string())
                .help("start a buildkitd there, set another address with --engine or BUILDKIT_HOST, or set none to have one started"),
            error => Self::new(Exit::Environment, error.to_string()),
        }
    }
}

impl From<publish::Error> for Failure {
    fn from(error: publish::Error) -> Self {
        let failure = Self::new(Exit::Publish, error.to_string());
        match error {
            publish::Error::Partly { .. } => failure.help(
                "run the same command again; it adds the missing tags",
            ),
            publish::Error::Taken { .. } => failure.help(
                "nothing was tagged; run the command again to tag the whole release with the next suffix",
            ),
            _ => failure,
        }
    }
}

impl From<release::Error> for Failure {
    fn from(error: release::Error) -> Self {
        use release::Error;
        let exit = match &error {
            Error::Registry(_) | Error::Staging(_) | Error::Numbers { .. } => Exit::Environment,
            Error::NoRelease { .. } | Error::NoChannel { .. } | Error::NothingEarlier { .. } => {
                Exit::Usage
            }
            _ => Exit::Publish,
        };
        let failure = Self::new(exit, error.to_string());
        match &error {
            Error::Pending { channel, .. } => failure.help(format!(
                "if no other run is moving the channel, finish the move with `laminate promote --to {channel} --resume` or undo it with `--abort`"
            )),
            Error::Between { channel, .. } | Error::Unrecorded { channel, .. } => {
                failure.help(format!(
                    "finish the move with `laminate promote --to {channel} --resume` or undo it with `--abort`; add --accept-drift to overwrite tags that someone else moved"
                ))
            }
            Error::Drift { .. } => {
                failure.help("find out who moved them; --accept-drift overwrites them and records it")
            }
            Error::Lost { .. } | Error::Overtaken { .. } => failure.help("check `laminate status`, then try again"),
            Error::NoRelease { .. } => failure.help("`laminate history` lists releases"),
            _ => failure,
        }
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        let failure = Self::new(Exit::Publish, denied.to_string());
        match denied {
            Denied::Request(_) => {
                failure.help("run `laminate build` without --push: it builds and proves everything")
            }
            Denied::RequestEvidence => failure,
            Denied::Ref {
                writes, allowed, ..
            }
            | Denied::NoRef { writes, allowed } => {
                let key = writes.key();
                failure.help(if allowed.is_empty() {
                    format!("`policy.refs.{key}` allows no ref")
                } else {
                    format!("`policy.refs.{key}` allows: {}", allowed.join(", "))
                })
            }
        }
    }
}

impl From<export::Error> for Failure {
    fn from(error: export::Error) -> Self {
        Self::new(Exit::Environment, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_shown_with_its_help() {
        let failure = Failure::new(Exit::Usage, "there is no image `x`").help("did you mean `y`?");
        insta::assert_snapshot!(failure.shown(false), @r"
        error: there is no image `x`
        help: did you mean `y`?
        ");
    }
}
