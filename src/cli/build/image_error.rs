//! The error of an image that failed, for people and as JSON.

use std::ops::Range;

use serde_json::{Value, json};

use super::hint::{hint, left_out};
use super::log::shortened;
use crate::cli::args::GivenOptions;
use crate::cli::{color, exit};
use crate::compile::instruction_title;
use crate::diagnostic::{Diagnostic, render};
use crate::plan::Planned;
use crate::report::{Ink, Paint};
use crate::run::{ImageError, StepName};
use crate::source::Span;
use crate::stack::{Image, Kind, Stack, Step};
use crate::{buildkit, dockerfile, shown};

/// Lines of a failed step's output that are shown with it.
const SHOWN: usize = 20;

/// Returns the member of a group that failed.
fn failed_member(step: &Step, member: Option<usize>) -> Option<&Step> {
    match &step.kind {
        Kind::Group(members) => members.get(member?),
        _ => None,
    }
}

/// Returns the instruction of the Dockerfile of an image that a failure is at.
fn instruction(stack: &Stack, image: &Image, failure: &buildkit::Failure) -> Option<Span> {
    let file = image.dockerfile()?;
    let place = failure
        .place
        .as_ref()
        .filter(|place| place.file == file.file)?;
    let mut sources = stack.sources().iter();
    let (source, found) = sources.find(|(_, source)| source.path == place.file)?;
    let range = instruction_at(&found.text, place.line)?;
    Some(Span {
        source,
        start: u32::try_from(range.start).ok()?,
        end: u32::try_from(range.end).ok()?,
    })
}

/// Returns the instruction on a line.
fn instruction_at(text: &str, line: u32) -> Option<Range<usize>> {
    let above = usize::try_from(line.saturating_sub(1)).ok()?;
    let start: usize = text.split_inclusive('\n').take(above).map(str::len).sum();
    let whole = text.get(start..)?.lines().next()?;
    let lines = dockerfile::lines(text).ok();
    let mut instructions = lines.into_iter().flat_map(|lines| lines.instructions);
    let is_there = |range: &Range<usize>| range.start <= start + whole.len() && range.end > start;
    let found = instructions.find(|found| is_there(&found.range));
    Some(found.map_or(start..start + whole.len(), |found| found.range))
}

/// Returns what has failed. `title`: that of the step, which counts without an instruction.
fn fault_of(has_instruction: bool, failure: &buildkit::Failure, title: &str) -> String {
    match &failure.name {
        Some(name) if has_instruction => format!("{} failed", title_of(name)),
        // No operation has failed: the frontend has made none.
        None if has_instruction && failure.vertex.is_none() => {
            "the Dockerfile cannot be parsed".to_owned()
        }
        _ => format!("{title} failed"),
    }
}

/// Returns lines of output with the bar that is beside the lines of a file in a rendered error.
fn beside(rendered: &str, output: &[String]) -> String {
    let plain = anstream::adapter::strip_str(rendered).to_string();
    let bar = plain.lines().find(|line| line.trim() == "|");
    let bar = bar.map_or("  |", str::trim_end);
    output
        .iter()
        .map(|line| format!("{bar} {line}\n"))
        .collect()
}

/// The most characters of a title in the first line of an error: the whole instruction is below it.
const LONGEST_TITLE: usize = 60;

/// Returns the title of an instruction for people, by the name of its operation.
fn title_of(name: &str) -> String {
    let title = shown::one_line(&instruction_title(name));
    match title.char_indices().nth(LONGEST_TITLE) {
        Some((end, _)) => format!("`{}…`", title[..end].trim_end()),
        None => format!("`{title}`"),
    }
}

/// Returns a failed image, for programs and for people.
/// `given`: the options of this command.
pub fn image_error(
    stack: &Stack,
    planned: &Planned,
    error: &ImageError,
    given: &GivenOptions,
) -> (Value, String) {
    let image = &stack[planned.id];
    let label = &planned.label;
    let mut exit_code = None;
    let mut log: &[String] = &[];
    let (kind, problem) = match error {
        ImageError::Step {
            step,
            member,
            failure,
            log: lines,
            process,
        } => {
            exit_code = failure.exit_code;
            log = lines;
            let step = step.and_then(|index| image.steps.get(index));
            let failed = step.map(|step| failed_member(step, *member).unwrap_or(step));
            let title = match (failed, &failure.name) {
                (Some(step), _) => format!("step `{}`", shown::one_line(&step.title)),
                (None, Some(name)) => title_of(name),
                (None, None) => "a step".to_owned(),
            };
            let span = failed.map_or(image.name.span, |step| step.span);
            let line = instruction(stack, image, failure);
            let title = fault_of(line.is_some(), failure, &title);
            let span = line.unwrap_or(span);
            let problem = Diagnostic::error(format!("image `{label}`: {title}"));
            let problem = problem.at(span, error.to_string());
            let help = step.and_then(|step| hint(image, step, process, lines));
            let help = help.or_else(|| left_out(stack, image, &failure.message));
            let problem = match help {
                Some(help) => problem.help(help),
                None => problem,
            };
            ("step", problem)
        }
        ImageError::Spec(problem) => ("spec", (**problem).clone()),
        ImageError::Base { .. } => {
            let problem = Diagnostic::error(format!("image `{label}`: {error}"));
            ("base", problem.at(image.name.span, "this image"))
        }
    };
    let last = shortened(&log[log.len().saturating_sub(SHOWN)..]);
    let mut annotated = problem.clone();
    if matches!(error, ImageError::Step { .. }) {
        annotated.message = format!("{}: {error}\n{}", annotated.message, last.join("\n"));
    }
    exit::annotate(stack.sources(), &annotated);
    let span = problem.primary.as_ref().map(|label| label.span);
    // After the output: the end of a message is what is read first.
    let (mut without_help, mut hints) = (problem, Vec::new());
    if !last.is_empty() {
        hints.extend(without_help.help.take());
    }
    let problem = std::slice::from_ref(&without_help);
    let mut text = render(problem, stack.sources(), color());
    text.push_str(&beside(&text, &last));
    let shell = shell_words(stack, planned, error, span);
    hints.extend(shell.as_ref().map(|words| {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        format!("open a shell at the failure: `{}`", given.command(&words))
    }));
    let shell = shell.map(|words| format!("laminate {}", words.join(" ")));
    let help = Paint { color: color() }.text(Ink::Name, "help:");
    for hint in hints {
        text.push_str(&format!("{help} {hint}\n"));
    }
    text.push('\n');
    let json = json!({
        "kind": kind,
        "where": span.map(|span| exit::place(stack.sources(), span)),
        "exit_code": exit_code,
        "log_tail": log,
        "text": error.to_string(),
        "shell": shell,
    });
    (json, text)
}

/// Returns the arguments that open a shell at the failure of a step; `None` for what had no process. `span`: where the
/// failure is shown.
fn shell_words(
    stack: &Stack,
    planned: &Planned,
    error: &ImageError,
    span: Option<Span>,
) -> Option<Vec<String>> {
    let ImageError::Step {
        step: Some(step),
        failure,
        ..
    } = error
    else {
        return None;
    };
    failure.exit_code?;
    let name = match stack[planned.id].dockerfile() {
        None => StepName::Number(step + 1),
        // Its instructions have numbers of their own.
        Some(_) => {
            let span = span?;
            StepName::Line {
                file: stack.sources().shown_path(span.source),
                line: stack.sources().start(span).line,
            }
        }
    };
    let words = ["shell", &planned.label, "--at", &name.to_string()];
    Some(words.map(str::to_owned).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Action, HoldReason, Proofs};
    use crate::run::FailedProcess;
    use crate::stack::ImageId;

    #[test]
    fn a_short_key_that_fails_beside_steps_gets_a_hint() {
        let none = GivenOptions::default();
        for (steps, is_hinted) in [("", false), ("\n    steps: [{ run: 'true' }]", true)] {
            let spec =
                format!("stack: x\nimages:\n  a:\n    base: debian:12\n    apt: [git]{steps}");
            let stack = crate::testing::stack(&spec);
            let planned = Planned {
                id: ImageId(0),
                label: "a".to_owned(),
                keyed: None,
                action: Action::Hold {
                    because: HoldReason::NotSelected,
                },
                ignore_cache: false,
                kept: None,
                proofs: Proofs::default(),
                tags: Vec::new(),
            };
            let error = |step: usize| ImageError::Step {
                step: Some(step),
                member: None,
                failure: Box::default(),
                log: vec!["Unable to locate package git".to_owned()],
                process: FailedProcess::default(),
            };
            let (_, text) = image_error(&stack, &planned, &error(0), &none);
            assert_eq!(
                text.contains("short keys run before `steps:`"),
                is_hinted,
                "{text}"
            );
            let log = "  | Unable to locate package git\n";
            let ending = if is_hinted {
                let help = "short keys run before `steps:`; if it needs one of these, move it into `steps:`";
                format!("{log}help: {help}\n\n")
            } else {
                let help = "no source of apt has `git`: check its name and version for the release of the base, or add `sources` to `apt`";
                format!("{log}help: {help}\n\n")
            };
            assert!(text.ends_with(&ending), "{text}");
            let (_, text) = image_error(&stack, &planned, &error(1), &none);
            assert!(!text.contains("short keys"), "{text}");
        }
    }

    #[test]
    fn an_instruction_is_shown_with_all_its_lines() {
        let text = "FROM a\n  RUN x && \\\n    y z\nRUN <<E\none\nE\nCOPY a b\n";
        let shown = |line| {
            let range = instruction_at(text, line).expect("there is a line");
            &text[range]
        };
        assert_eq!(shown(1), "FROM a");
        assert_eq!(shown(2), "RUN x && \\\n    y z");
        assert_eq!(shown(3), "RUN x && \\\n    y z");
        assert_eq!(shown(4), "RUN <<E\none\nE");
        assert_eq!(shown(7), "COPY a b");
        assert_eq!(instruction_at("FROM a\nRUN <<E\n", 2), Some(7..14));
        assert_eq!(instruction_at(text, 99), None);
    }
}
