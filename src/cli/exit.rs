//! How the program ends: exit codes other programs rely on, and failures of a whole command.

use serde_json::{Value, json};

use crate::diagnostic::{self, Diagnostic, Severity};
use crate::source::Sources;
use crate::{buildkit, export, gather, publish, registry, release};

/// The process's exit codes; documented in `docs/cli.md`, and never renumbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// The command line is wrong.
    Usage,
    /// specs.yml or a file under images/ is wrong.
    Spec,
    /// No engine, no registry, no credentials, no git, no disk.
    Surroundings,
    /// A build step failed.
    Step,
    /// A check, test or gate failed, or was not proven.
    Gate,
    /// Publishing was refused or failed; the message says what is named and what is not.
    Publish,
    /// Fine, and there is a difference.
    Difference,
    /// A bug in laminate.
    Bug,
    /// Interrupted; nothing half-named.
    Interrupted,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Usage => 2,
            Self::Spec => 3,
            Self::Surroundings => 4,
            Self::Step => 5,
            Self::Gate => 6,
            Self::Publish => 7,
            Self::Difference => 10,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}

/// Why a command could not do what was asked.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    text: String,
    help: Option<String>,
    /// Errors on their places; then `text` is not shown to people.
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

    /// What is wrong in the user's files.
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
        Self::new(Exit::Interrupted, "interrupted; nothing was named")
    }

    /// The whole message for people.
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

    /// The message for programs.
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

    /// Marks the lines in a pull request, where GitHub runs us.
    pub fn annotate(&self) {
        for problem in &self.problems {
            annotate(&self.sources, problem);
        }
    }
}

/// A place for programs.
pub fn place(sources: &Sources, span: crate::source::Span) -> Value {
    let start = sources.start(span);
    json!({ "file": sources.path(span), "line": start.line, "column": start.column })
}

/// Says a diagnostic the way GitHub's runner marks lines; nothing elsewhere.
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
        Self::new(Exit::Surroundings, error.to_string())
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        Self::new(Exit::Surroundings, error.to_string())
    }
}

impl From<buildkit::EngineError> for Failure {
    fn from(error: buildkit::EngineError) -> Self {
        Self::new(Exit::Surroundings, error.to_string())
    }
}

impl From<buildkit::Error> for Failure {
    fn from(error: buildkit::Error) -> Self {
        match error {
            buildkit::Error::Cancelled => Self::interrupted(),
            buildkit::Error::Address { .. } => Self::new(Exit::Usage, error.to_string()),
            buildkit::Error::Connect { .. } => Self::new(Exit::Surroundings, error.to_string())
                .help("start a buildkitd there, name another with --engine or BUILDKIT_HOST, or name none to have one started"),
            error => Self::new(Exit::Surroundings, error.to_string()),
        }
    }
}

impl From<publish::Error> for Failure {
    fn from(error: publish::Error) -> Self {
        let failure = Self::new(Exit::Publish, error.to_string());
        match error {
            publish::Error::Partly { .. } => failure.help(
                "run the same command again: what has its tags is left alone, the rest gets them",
            ),
            publish::Error::Taken { .. } => failure.help(
                "nothing was named; run it again, and the whole release gets the next suffix",
            ),
            _ => failure,
        }
    }
}

impl From<release::Error> for Failure {
    fn from(error: release::Error) -> Self {
        use release::Error;
        let exit = match &error {
            Error::Registry(_)
            | Error::Gather(_)
            | Error::Strange { .. }
            | Error::Numbers { .. } => Exit::Surroundings,
            Error::NoRelease { .. } | Error::NoChannel { .. } | Error::NothingEarlier { .. } => {
                Exit::Usage
            }
            _ => Exit::Publish,
        };
        let failure = Self::new(exit, error.to_string());
        match &error {
            Error::Pending { channel, .. } => failure.help(format!(
                "if nobody is at it, `laminate promote --to {channel} --resume` ends it, `--abort` takes it back"
            )),
            Error::Between { channel, .. } | Error::Unrecorded { channel, .. } => {
                failure.help(format!(
                    "`laminate promote --to {channel} --resume` ends it, `--abort` takes it back; --accept-drift with it runs over tags that somebody else moved"
                ))
            }
            Error::Drift { .. } => {
                failure.help("find out who did it; --accept-drift goes on and records it")
            }
            Error::Lost { .. } | Error::Overtaken { .. } => failure.help("look at `laminate status`, and try again"),
            Error::NoRelease { .. } => failure.help("`laminate history` lists releases"),
            _ => failure,
        }
    }
}

impl From<export::Error> for Failure {
    fn from(error: export::Error) -> Self {
        Self::new(Exit::Surroundings, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_said_with_its_help() {
        let failure = Failure::new(Exit::Usage, "there is no image `x`").help("did you mean `y`?");
        insta::assert_snapshot!(failure.shown(false), @r"
        error: there is no image `x`
        help: did you mean `y`?
        ");
    }
}
