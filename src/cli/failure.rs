//! Failures of a whole command: an exit code, a message, hints, and where there are any, errors in the
//! user's files.
//!
//! Main type: [`Failure`]. The errors of other modules become one; `cli` prints it.

use std::error::Error;

use serde_json::{Value, json};

use super::exit::{self, Exit};
use crate::diagnostic::{self, Diagnostic, Severity};
use crate::export::LoadError;
use crate::interrupt::TagLog;
use crate::list;
use crate::release::{adopt, refs::Denied};
use crate::report::{Ink, Paint};
use crate::source::Sources;
use crate::{buildkit, export, gather, git, plan, publish, registry, release, staging};

/// Why a command failed.
#[derive(Debug)]
pub struct Failure {
    /// The exit code of the process.
    pub exit: Exit,
    cause: Cause,
    /// The tags that the command had set before.
    tagged: Vec<String>,
    /// Instructions for the user.
    hints: Vec<String>,
    /// Errors in the user's files. If there are any, people see them instead of the cause.
    problems: Vec<Diagnostic>,
    sources: Sources,
}

/// The message of a failure.
#[derive(Debug)]
enum Cause {
    Text(String),
    Error(Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// Returns a failure with a message.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self::with(exit, Cause::Text(text.into()))
    }

    /// Returns the failure for an error, and keeps the error.
    pub fn from_error(exit: Exit, error: impl Error + Send + Sync + 'static) -> Self {
        Self::with(exit, Cause::Error(Box::new(error)))
    }

    fn with(exit: Exit, cause: Cause) -> Self {
        Self {
            exit,
            cause,
            tagged: Vec::new(),
            hints: Vec::new(),
            problems: Vec::new(),
            sources: Sources::default(),
        }
    }

    /// Adds a hint.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.hints.push(help.into());
        self
    }

    /// Adds the tags that the command had set before it failed.
    pub fn with_tags(mut self, log: &TagLog) -> Self {
        self.tagged = log.tags().iter().map(ToString::to_string).collect();
        self
    }

    fn help_if(self, help: Option<impl Into<String>>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// Returns the failure for errors in the user's files.
    pub fn spec(sources: Sources, problems: Vec<Diagnostic>) -> Self {
        Self::in_file("the spec", sources, problems)
    }

    /// Returns the failure for errors in one of the user's files, `the spec` or another one.
    pub fn in_file(file: &str, sources: Sources, problems: Vec<Diagnostic>) -> Self {
        let errors = problems
            .iter()
            .filter(|problem| problem.severity == Severity::Error);
        let text = match errors.count() {
            1 => format!("{file} has an error"),
            n => format!("{file} has {n} errors"),
        };
        Self {
            problems,
            sources,
            ..Self::new(Exit::Spec, text)
        }
    }

    /// Returns the failure of a command that was interrupted before it tagged anything.
    pub fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted; nothing was tagged")
    }

    /// Returns the message, without hints.
    pub fn text(&self) -> String {
        match &self.cause {
            Cause::Text(text) => text.clone(),
            Cause::Error(error) => error.to_string(),
        }
    }

    /// Returns the message for people.
    pub fn shown(&self, color: bool) -> String {
        if !self.problems.is_empty() {
            return diagnostic::render(&self.problems, &self.sources, color);
        }
        let paint = Paint { color };
        let error = paint.text(Ink::Bad, "error");
        let mut text = format!("{error}{} {}\n", paint.text(Ink::Name, ":"), self.text());
        if !self.tagged.is_empty() {
            let note = paint.text(Ink::Name, "note:");
            text.push_str(&format!(
                "{note} set before that: {}\n",
                list::of(&self.tagged)
            ));
        }
        for hint in &self.hints {
            text.push_str(&format!("{} {hint}\n", paint.text(Ink::Name, "help:")));
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
                    "where": problem.primary.as_ref().map(|label| exit::place(&self.sources, label.span)),
                    "help": problem.help,
                })
            })
            .collect();
        json!({
            "exit": self.exit.code(),
            "text": self.text(),
            "help": (!self.hints.is_empty()).then(|| self.hints.join("; ")),
            "tagged": self.tagged,
            "problems": problems,
        })
    }

    /// Annotates the lines of the spec, on GitHub Actions.
    pub fn annotate(&self) {
        for problem in &self.problems {
            exit::annotate(&self.sources, problem);
        }
    }
}

/// Returns what to do about a registry that cannot be reached.
fn unreachable(error: &registry::Error) -> Option<String> {
    match error {
        registry::Error::Unreachable {
            server,
            temporary: true,
            ..
        } => Some(format!(
            "check that `{server}` is the right address (`registry:` and `base:` in specs.yml, --registry), and that this machine reaches it"
        )),
        _ => None,
    }
}

impl From<gather::Error> for Failure {
    fn from(error: gather::Error) -> Self {
        match error {
            gather::Error::External { source, .. } => Self::from(*source),
            gather::Error::Registry(error) => Self::from(error),
            gather::Error::Staging(error) => Self::from(error),
            error @ (gather::Error::Changed { .. } | gather::Error::Writing) => {
                Self::from_error(Exit::Environment, error)
                    .help("run the command again when nothing writes to the files of the stack")
            }
            error => Self::from_error(Exit::Environment, error),
        }
    }
}

impl From<staging::Error> for Failure {
    fn from(error: staging::Error) -> Self {
        match error {
            staging::Error::Registry(error) => Self::from(error),
            error => Self::from_error(Exit::Environment, error),
        }
    }
}

impl From<git::Error> for Failure {
    fn from(error: git::Error) -> Self {
        Self::from_error(Exit::Environment, error)
    }
}

impl From<plan::NoFreeTag> for Failure {
    fn from(error: plan::NoFreeTag) -> Self {
        Self::from_error(Exit::Environment, error)
    }
}

impl From<registry::Error> for Failure {
    fn from(error: registry::Error) -> Self {
        let help = unreachable(&error);
        Self::from_error(Exit::Environment, error).help_if(help)
    }
}

impl From<buildkit::EngineError> for Failure {
    fn from(error: buildkit::EngineError) -> Self {
        let help = error.help();
        Self::from_error(Exit::Environment, error).help_if(help)
    }
}

impl From<buildkit::Error> for Failure {
    fn from(error: buildkit::Error) -> Self {
        match error {
            buildkit::Error::Cancelled => Self::interrupted(),
            buildkit::Error::Address { .. } => Self::from_error(Exit::Usage, error),
            buildkit::Error::Connect { .. } => Self::from_error(Exit::Environment, error)
                .help("start a buildkitd there, set another address with --engine or BUILDKIT_HOST, or set none to have one started"),
            buildkit::Error::Insecure { .. } => Self::from_error(Exit::Usage, error).help(
                "forward the engine's socket or port over SSH; or pass --insecure-engine, if everyone on the network is trusted",
            ),
            buildkit::Error::DiskFull { .. } => Self::from_error(Exit::Environment, error)
                .help("free space where the engine keeps its state, for example with `buildctl prune`"),
            buildkit::Error::TooLarge { .. } => Self::from_error(Exit::Environment, error)
                .help("build some of the images first, with `laminate build NAME…`"),
            error => Self::from_error(Exit::Environment, error),
        }
    }
}

impl From<publish::Error> for Failure {
    fn from(error: publish::Error) -> Self {
        let help = match error {
            publish::Error::Partly { .. }
            | publish::Error::Registry(registry::Error::Interrupted { .. }) => {
                Some("run the same command again; it adds the missing tags")
            }
            publish::Error::Taken { .. } => Some(
                "nothing was tagged; run the command again to tag the whole release with the next suffix",
            ),
            publish::Error::Changed { .. } => Some(
                "tags of this commit may be from two runs; make sure that one run publishes at a time, then run the command again",
            ),
            _ => None,
        };
        Self::from_error(Exit::Publish, error).help_if(help)
    }
}

impl From<release::Error> for Failure {
    fn from(error: release::Error) -> Self {
        let help = release_help(&error);
        Self::from_error(release_exit(&error), error).help_if(help)
    }
}

fn release_exit(error: &release::Error) -> Exit {
    use release::Error;
    match error {
        Error::Registry(registry::Error::Interrupted { .. })
        | Error::Staging(staging::Error::Registry(registry::Error::Interrupted { .. })) => {
            Exit::Publish
        }
        Error::Registry(_) | Error::Staging(_) | Error::Numbers { .. } => Exit::Environment,
        Error::NoRelease { .. } | Error::NoChannel { .. } | Error::NothingEarlier { .. } => {
            Exit::Usage
        }
        _ => Exit::Publish,
    }
}

fn release_help(error: &release::Error) -> Option<String> {
    use release::Error;
    let text = match error {
        Error::Pending { channel, .. } => format!(
            "if no other run is moving the channel, finish the move with `laminate promote --to {channel} --resume`, or undo it with `--abort`"
        ),
        Error::Between { channel, .. } | Error::Unrecorded { channel, .. } => format!(
            "finish the move with `laminate promote --to {channel} --resume`, or undo it with `--abort`; add --accept-drift to overwrite tags that someone else moved"
        ),
        Error::Drift { .. } => {
            "find out who moved them; --accept-drift overwrites them and records it".to_owned()
        }
        Error::Foreign {
            channel,
            has_moved: false,
            ..
        } => format!(
            "record them with `laminate adopt --channel {channel} --from-tags`, so that `laminate revert {channel}` gives them back; --accept-drift overwrites them"
        ),
        Error::Foreign { .. } => {
            "find out who made them; --accept-drift overwrites them and records where they were".to_owned()
        }
        Error::Lost { .. } | Error::Overtaken { .. } => {
            "check `laminate status`, then try again".to_owned()
        }
        Error::PointerLost { pointer, last, .. } => format!(
            "find out who deleted it; then tag the entry the channel is at, for example {last}, as {pointer} in staging"
        ),
        Error::Registry(registry::Error::Interrupted { .. })
        | Error::Staging(staging::Error::Registry(registry::Error::Interrupted { .. })) => {
            "check `laminate status`: a move that was begun is finished with `laminate promote --to CHANNEL --resume`".to_owned()
        }
        Error::Ancestry { .. } => "fetch the whole history with `git fetch --unshallow --filter=blob:none` (GitHub Actions: `fetch-depth: 0`), or promote with --to".to_owned(),
        Error::NoRelease { name } if name == "HEAD" || name.contains(['~', '^']) => {
            format!("write the commit, as git shows it: `$(git rev-parse --short '{name}')`")
        }
        Error::NoRelease { .. } => "`laminate history` lists releases".to_owned(),
        Error::Registry(error) | Error::Staging(staging::Error::Registry(error)) => {
            return unreachable(error);
        }
        Error::NothingEarlier { channel } => format!(
            "after the next promotion, `laminate revert {channel}` moves it back to the release that it is at now"
        ),
        _ => return None,
    };
    Some(text)
}

impl From<adopt::Error> for Failure {
    fn from(error: adopt::Error) -> Self {
        use adopt::Error;
        let (exit, help) = match error {
            Error::Release(error) => return error.into(),
            Error::Copy(error) => return error.into(),
            Error::Moved { ref channel, .. } => (
                Exit::Publish,
                format!("adopt a channel before its first promotion; `laminate revert {channel} --to RELEASE` moves this one back to one of its releases"),
            ),
            Error::Nothing { .. } => (
                Exit::Usage,
                "pass a list of images and their references; or promote a release: there is nothing to revert to".to_owned(),
            ),
            Error::Partial { .. } => (
                Exit::Publish,
                "add what is missing, or pass --partial to leave these images out: a revert then does not move their tags".to_owned(),
            ),
            Error::NotFound { .. } => (
                Exit::Environment,
                "correct the list, or check the access of `docker login`; nothing was written".to_owned(),
            ),
            Error::Other { .. } => (
                Exit::Publish,
                "no tag is moved: pass --from-tags to adopt the tags as they are, or correct the list".to_owned(),
            ),
            Error::Changed { .. } => (
                Exit::Publish,
                "stop the tool that moves them, and run the command again".to_owned(),
            ),
        };
        Self::from_error(exit, error).help(help)
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        let help = match &denied {
            Denied::Request(_) => Some(
                "run `laminate build` without --push: it builds and tests everything".to_owned(),
            ),
            Denied::RequestEvidence => None,
            Denied::Ref {
                writes, allowed, ..
            }
            | Denied::NoRef { writes, allowed } => {
                let key = writes.key();
                Some(if allowed.is_empty() {
                    format!("`policy.refs.{key}` allows no ref")
                } else {
                    format!("`policy.refs.{key}` allows: {}", allowed.join(", "))
                })
            }
        };
        Self::from_error(Exit::Publish, denied).help_if(help)
    }
}

impl From<export::Error> for Failure {
    fn from(error: export::Error) -> Self {
        let help = match &error {
            export::Error::Load(LoadError::Missing { .. }) => Some(
                "install it, name the other one with --load=docker or --load=podman, or write an archive with --export oci:FILE",
            ),
            export::Error::Load(LoadError::Unavailable { .. }) => {
                Some("start its daemon, or name the other one with --load=docker or --load=podman")
            }
            _ => None,
        };
        Self::from_error(Exit::Environment, error).help_if(help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_shown_with_its_hints() {
        let failure = Failure::new(Exit::Usage, "there is no image `x`").help("did you mean `y`?");
        insta::assert_snapshot!(failure.shown(false), @r"
        error: there is no image `x`
        help: did you mean `y`?
        ");
    }

    #[test]
    fn a_failure_for_programs_has_one_help() {
        let failure = Failure::new(Exit::Usage, "it failed");
        assert_eq!(failure.json()["help"], Value::Null);
        let failure = failure.help("do this").help("or that");
        assert_eq!(failure.json()["help"], "do this; or that");
        assert_eq!(failure.json()["exit"], 2);
    }

    #[test]
    fn color_only_adds_escapes() {
        let failure = Failure::new(Exit::Usage, "it failed").help("do this");
        let stripped = anstream::adapter::strip_str(&failure.shown(true)).to_string();
        assert_ne!(failure.shown(true), stripped);
        assert_eq!(stripped, failure.shown(false));
    }

    #[test]
    fn errors_in_the_spec_are_counted() {
        let two = vec![Diagnostic::error("a"), Diagnostic::error("b")];
        let failure = Failure::spec(Sources::default(), two);
        assert_eq!(failure.exit, Exit::Spec);
        assert_eq!(failure.json()["text"], "the spec has 2 errors");
    }

    #[test]
    fn a_warning_is_no_error_in_the_spec() {
        let problems = vec![Diagnostic::error("a"), Diagnostic::warning("b")];
        let failure = Failure::spec(Sources::default(), problems);
        assert_eq!(failure.json()["text"], "the spec has an error");
    }

    #[test]
    fn an_unreachable_engine_is_a_problem_of_the_environment() {
        let error: Result<buildkit::Address, _> = "nonsense".parse();
        let failure = Failure::from(error.expect_err("no address"));
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(
            Failure::from(buildkit::Error::Cancelled).exit,
            Exit::Interrupted
        );
    }

    #[test]
    fn an_unknown_release_is_an_invalid_command_line() {
        let error = release::Error::NoRelease {
            name: "x".to_owned(),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.exit, Exit::Usage);
        assert!(
            failure
                .shown(false)
                .ends_with("help: `laminate history` lists releases\n")
        );
        for name in ["HEAD", "main~2"] {
            let name = name.to_owned();
            let shown = Failure::from(release::Error::NoRelease { name }).shown(false);
            assert!(shown.contains("git rev-parse --short"), "{shown}");
        }
    }
}
