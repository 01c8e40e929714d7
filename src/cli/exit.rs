//! Exit codes, and places in the user's files for programs and for GitHub's annotations.
//!
//! Main type: [`Exit`]. A [`Failure`](super::Failure) has one, and so has the answer of a command.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::paths;

use crate::diagnostic::{Diagnostic, Severity};
use crate::shown;
use crate::source::{Sources, Span};

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
    /// `run` or `shell` failed before its process ended.
    NotRun,
    /// A bug in laminate.
    Bug,
    /// The user or a signal interrupted the command.
    Interrupted,
    /// The exit code of the process of `run` or `shell`.
    Process(u8),
}

impl Exit {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::Usage,
        Self::Spec,
        Self::Environment,
        Self::Step,
        Self::Gate,
        Self::Publish,
        Self::Difference,
        Self::Bug,
        Self::NotRun,
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
            Self::NotRun => 125,
            Self::Interrupted => 130,
            Self::Process(code) => code,
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
            Self::Difference => {
                "success with a difference, or with something to do: plan, diff, parity, status, prepull --stale"
            }
            Self::Bug => "a bug in laminate; the message explains how to report it",
            Self::NotRun => {
                "run, shell: laminate failed, not the process; other codes are those of the process"
            }
            Self::Interrupted => "interrupted; no tag is half-moved",
            Self::Process(_) => "the exit code of the process of run or shell",
        }
    }
}

/// Returns a place for programs: file, line and column.
pub fn place(sources: &Sources, span: Span) -> Value {
    let start = sources.start(span);
    json!({ "file": sources.shown_path(span.source), "line": start.line, "column": start.column })
}

/// Returns a file and a line for people: `specs.yml:5`.
pub fn place_text(sources: &Sources, span: Span) -> String {
    let line = sources.start(span).line;
    format!("{}:{line}", sources.shown_path(span.source))
}

/// Returns a warning on one line, with its place: `specs.yml:5: unused argument `X``.
pub fn warning(sources: &Sources, problem: &Diagnostic) -> String {
    let place = problem.primary.as_ref();
    let place = place.map(|label| format!("{}: ", place_text(sources, label.span)));
    let help = problem.help.as_ref().map(|help| format!("; {help}"));
    let (place, help) = (place.unwrap_or_default(), help.unwrap_or_default());
    format!("{place}{}{help}", problem.message)
}

/// Returns whether GitHub's runner reads what is printed.
pub fn is_github() -> bool {
    std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true")
}

/// Prints a diagnostic as an annotation of its line, on GitHub Actions only.
pub fn annotate(sources: &Sources, problem: &Diagnostic) {
    if !is_github() {
        return;
    }
    if let Some(line) = annotation(sources, problem) {
        // The runner reads both streams; stdout is for data.
        super::print_error(&format!("{line}\n"));
    }
}

/// Returns the workflow command that annotates a diagnostic's line; `None` if it has no place.
fn annotation(sources: &Sources, problem: &Diagnostic) -> Option<String> {
    let label = problem.primary.as_ref()?;
    let start = sources.start(label.span);
    let message = escape(&shown::text(&problem.message, true));
    let level = match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let file = repository_path(&sources.shown_path(label.span.source));
    // These end a property.
    let file = escape(&shown::text(&file, true));
    let file = file.replace(':', "%3A").replace(',', "%2C");
    let (line, column) = (start.line, start.column);
    Some(format!(
        "::{level} file={file},line={line},col={column}::{message}"
    ))
}

/// Returns a path relative to the folder in which GitHub's runner checks out repositories.
fn repository_path(path: &str) -> String {
    let workspace = std::env::var_os("GITHUB_WORKSPACE").map(PathBuf::from);
    let here = std::env::current_dir().ok();
    let relative = here.zip(workspace).and_then(|(here, workspace)| {
        let whole = paths::normalized(&here.join(path));
        let relative = whole.strip_prefix(&workspace).ok()?;
        Some(relative.to_str()?.to_owned())
    });
    relative.unwrap_or_else(|| path.to_owned())
}

/// Escapes a text for a workflow command: these characters end one or are escapes (GitHub, "Workflow
/// commands"; `escapeData` in actions/toolkit).
fn escape(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_never_change() {
        let codes = Exit::ALL.map(Exit::code);
        assert_eq!(codes, [0, 2, 3, 4, 5, 6, 7, 10, 70, 125, 130]);
    }

    #[test]
    fn meanings_are_different_phrases() {
        let mut meanings = Exit::ALL.map(Exit::meaning);
        meanings.sort_unstable();
        assert!(meanings.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(meanings.iter().all(|text| !text.ends_with('.')));
    }

    #[test]
    fn a_warning_names_its_place() {
        let mut sources = Sources::default();
        let source = sources.add("specs.yml", "stack: x\nimages: 1\n");
        let (start, end) = (9, 15);
        let span = Span { source, start, end };
        let problem = Diagnostic::warning("unused argument `X`").at(span, "here");
        let problem = problem.help("remove it");
        assert_eq!(
            warning(&sources, &problem),
            "specs.yml:2: unused argument `X`; remove it"
        );
        assert_eq!(warning(&sources, &Diagnostic::warning("text")), "text");
    }

    #[test]
    fn an_annotation_is_one_line() {
        let mut sources = Sources::default();
        let source = sources.add("specs.yml", "stack: x\nimages: 1\n");
        let span = Span {
            source,
            start: 9,
            end: 15,
        };
        let problem = Diagnostic::error("100% wrong\nreally").at(span, "");
        assert_eq!(
            annotation(&sources, &problem).as_deref(),
            Some("::error file=specs.yml,line=2,col=1::100%25 wrong%0Areally")
        );
        assert_eq!(annotation(&sources, &Diagnostic::warning("no place")), None);
        let source = sources.add("images/a\n::error::x,\u{1b}[2J:", "x");
        let problem = Diagnostic::error("a fault").at(
            Span {
                source,
                start: 0,
                end: 1,
            },
            "",
        );
        assert_eq!(
            annotation(&sources, &problem).as_deref(),
            Some(
                "::error file=images/a%0A\u{200b}%3A%3Aerror%3A%3Ax%2C\u{fffd}[2J%3A,line=1,col=1::a fault"
            )
        );
    }
}
