//! The operation of the step that the user names, found in the definition of its image.

use std::collections::BTreeMap;

use bollard_buildkit_proto::pb;
use prost::Message as _;

use crate::buildkit::Failure;
use crate::compile::BaseConfig;
use crate::list;
use crate::run::outcome::ImageError;
use crate::stack::{Image, Stack};

/// The state of an image in which a process starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The whole image.
    Finished,
    /// After a step; if the step fails, as it left the image and its mounts.
    After(StepName),
    /// Before a step, with its mounts.
    Before(StepName),
}

impl Place {
    /// Returns the step.
    pub fn step(&self) -> Option<&StepName> {
        match self {
            Self::Finished => None,
            Self::After(step) | Self::Before(step) => Some(step),
        }
    }
}

/// A step of an image, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepName {
    /// Its number in the image, from 1, as the progress of a build shows it.
    Number(usize),
    /// A line that it is on.
    Line {
        /// The file, as messages show it.
        file: String,
        /// The line, from 1.
        line: u32,
    },
}

impl std::fmt::Display for StepName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Line { file, line } => write!(f, "{file}:{line}"),
        }
    }
}

/// The help of a message about a step that an image does not have.
pub const STEP_NAMES: &str = "name a step by its number, as the progress of a build shows it, or by a line that it is on: FILE:LINE";

/// Returns the help of a message about a step that an image does not have, with its steps: number, title and place.
pub fn steps_help(steps: impl IntoIterator<Item = (usize, String, Option<String>)>) -> String {
    const SHOWN: usize = 20;
    let all: BTreeMap<usize, String> = steps
        .into_iter()
        .map(|(number, title, place)| {
            let title: String = title.chars().take(60).collect();
            let place = place.map(|place| format!(" ({place})"));
            (
                number,
                format!("{number} `{title}`{}", place.unwrap_or_default()),
            )
        })
        .collect();
    if all.is_empty() {
        return STEP_NAMES.to_owned();
    }
    let all: Vec<String> = all.into_values().collect();
    format!("{STEP_NAMES}; its steps: {}", list::first(&all, SHOWN))
}

/// An operation that can be named.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// Its digest.
    pub digest: String,
    /// Its number in the image, from 1.
    pub number: usize,
    /// The title of the step.
    pub title: String,
}

/// The operation of a step, and what it needs.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its digest.
    digest: String,
    /// The number of the step.
    pub number: usize,
    /// Its title.
    pub title: String,
    /// The config of the image, for an operation that is not a command.
    pub config: BaseConfig,
    op: pb::Op,
    whole: pb::Definition,
}

/// Returns the number, from 1, of the first step of a name; `None` if an image without a Dockerfile has none.
pub fn step_number(stack: &Stack, image: &Image, name: &StepName) -> Option<usize> {
    match name {
        StepName::Number(number) => Some(*number).filter(|it| (1..=image.steps.len()).contains(it)),
        StepName::Line { file, line } => {
            let mut steps = image.steps.iter();
            let found = steps.position(|step| {
                let sources = stack.sources();
                let (start, end) = (sources.start(step.span), sources.end(step.span));
                is_file(file, sources.path(step.span)) && (start.line..=end.line).contains(line)
            });
            Some(found? + 1)
        }
    }
}

/// Whether a path that a user wrote is a file of the stack: the path, with folders before it, or the end of it, as the image is
/// named already.
fn is_file(written: &str, path: &str) -> bool {
    let written = written.trim_start_matches("./");
    let is_end = |whole: &str, end: &str| whole.ends_with(&format!("/{end}"));
    written == path || is_end(written, path) || is_end(path, written)
}

impl Candidate {
    /// Returns the file and the line that it is on.
    pub fn place(&self, whole: &pb::Definition) -> Option<String> {
        let source = whole.source.as_ref()?;
        let place = source.locations.get(&self.digest)?.locations.first()?;
        let index = usize::try_from(place.source_index).ok()?;
        let line = place.ranges.first()?.start.as_ref()?.line;
        Some(format!("{}:{line}", source.infos.get(index)?.filename))
    }
}

impl Target {
    /// Returns the operation of a step; `None` if there is none of this name.
    pub fn find(
        name: &StepName,
        candidates: &[Candidate],
        whole: &pb::Definition,
        config: &BaseConfig,
    ) -> Option<Self> {
        let mut named = candidates.iter().filter(|candidate| match name {
            StepName::Number(number) => candidate.number == *number,
            StepName::Line { file, line } => covers(whole, &candidate.digest, file, *line),
        });
        let found = named.next()?;
        let bytes = whole.def.iter().find(|bytes| {
            let digest = crate::name::Digest::of(bytes);
            digest.as_str() == found.digest
        })?;
        Some(Self {
            digest: found.digest.clone(),
            number: found.number,
            title: found.title.clone(),
            config: config.clone(),
            op: pb::Op::decode(bytes.as_slice()).ok()?,
            whole: whole.clone(),
        })
    }

    /// Returns the command that it is.
    pub fn exec(&self) -> Option<&pb::ExecOp> {
        match &self.op.op {
            Some(pb::op::Op::Exec(exec)) => Some(exec),
            _ => None,
        }
    }

    /// Returns the state after it.
    pub fn after(&self) -> pb::Definition {
        self.ending(pb::Input {
            digest: self.digest.clone(),
            index: 0,
        })
    }

    /// Returns the state before it; `None` if it starts from nothing.
    pub fn before(&self) -> Option<pb::Definition> {
        let input = match &self.op.op {
            Some(pb::op::Op::Exec(exec)) => exec.mounts.iter().find(|it| it.dest == "/")?.input,
            Some(pb::op::Op::File(file)) => file.actions.first()?.input,
            _ => 0,
        };
        self.input(input)
    }

    /// Returns what a mount shows; `None` if it is not one of files.
    pub fn mount_input(&self, number: usize) -> Option<pb::Definition> {
        self.input(self.exec()?.mounts.get(number)?.input)
    }

    fn input(&self, number: i64) -> Option<pb::Definition> {
        let input = self.op.inputs.get(usize::try_from(number).ok()?)?;
        Some(self.ending(input.clone()))
    }

    /// Returns the failure of this operation, if it is what an image failed of.
    pub fn failure<'a>(&self, error: &'a ImageError) -> Option<&'a Failure> {
        match error {
            ImageError::Step { failure, .. } => {
                let is_this = failure.vertex.as_deref() == Some(&self.digest);
                is_this.then_some(failure)
            }
            ImageError::Spec(_) | ImageError::Base { .. } => None,
        }
    }

    /// Returns the definition with another result. Operations that it does not need are not run.
    fn ending(&self, input: pb::Input) -> pb::Definition {
        let mut definition = self.whole.clone();
        let terminal = pb::Op {
            inputs: vec![input],
            ..pb::Op::default()
        };
        definition.def.pop();
        definition.def.push(terminal.encode_to_vec());
        definition
    }
}

/// Whether an operation comes from a line.
fn covers(whole: &pb::Definition, digest: &str, file: &str, line: u32) -> bool {
    let Some(source) = &whole.source else {
        return false;
    };
    let places = source.locations.get(digest).map(|it| &it.locations);
    places.into_iter().flatten().any(|place| {
        let info = usize::try_from(place.source_index).ok();
        let info = info.and_then(|index| source.infos.get(index));
        let is_there = |range: &pb::Range| {
            let bounds = range.start.as_ref().zip(range.end.as_ref());
            let line = i32::try_from(line).unwrap_or(i32::MAX);
            bounds.is_some_and(|(start, end)| (start.line..=end.line).contains(&line))
        };
        info.is_some_and(|info| is_file(file, &info.filename)) && place.ranges.iter().any(is_there)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Digest;
    use crate::testing;

    #[test]
    fn a_file_can_be_written_with_more_or_fewer_folders() {
        let path = "images/a/Dockerfile";
        for written in [
            path,
            "./images/a/Dockerfile",
            "repo/images/a/Dockerfile",
            "a/Dockerfile",
            "Dockerfile",
        ] {
            assert!(is_file(written, path), "{written}");
        }
        for written in ["file", "b/Dockerfile", "images/a"] {
            assert!(!is_file(written, path), "{written}");
        }
    }

    #[test]
    fn a_message_about_a_missing_step_lists_the_steps() {
        let step = |number: usize| (number, "RUN make".to_owned(), Some("D:3".to_owned()));
        let text = steps_help([step(2), step(1), step(2)]);
        let end = "FILE:LINE; its steps: 1 `RUN make` (D:3), 2 `RUN make` (D:3)";
        assert!(text.ends_with(end), "{text}");
        let text = steps_help((1..=23).map(step));
        assert!(text.ends_with(" and 3 more"), "{text}");
        assert_eq!(steps_help([]), STEP_NAMES);
    }

    /// A source, a command on it with a mount of the source, a copy on that.
    fn definition() -> (pb::Definition, Vec<Candidate>) {
        let digest_of = |op: &pb::Op| Digest::of(&op.encode_to_vec()).to_string();
        let input = |digest: &str| pb::Input {
            digest: digest.to_owned(),
            index: 0,
        };
        let source = pb::Op {
            op: Some(pb::op::Op::Source(pb::SourceOp::default())),
            ..pb::Op::default()
        };
        let mount = |dest: &str, input: i64| pb::Mount {
            input,
            dest: dest.to_owned(),
            ..pb::Mount::default()
        };
        let exec = pb::Op {
            inputs: vec![input(&digest_of(&source))],
            op: Some(pb::op::Op::Exec(pb::ExecOp {
                mounts: vec![mount("/", 0), mount("/m", 0), mount("/tmp", -1)],
                ..pb::ExecOp::default()
            })),
            ..pb::Op::default()
        };
        let action = pb::FileAction {
            input: 0,
            ..pb::FileAction::default()
        };
        let file = pb::Op {
            inputs: vec![input(&digest_of(&exec))],
            op: Some(pb::op::Op::File(pb::FileOp {
                actions: vec![action],
            })),
            ..pb::Op::default()
        };
        let last = pb::Op {
            inputs: vec![input(&digest_of(&file))],
            ..pb::Op::default()
        };
        let candidates = [(&exec, "run x"), (&file, "write /y")];
        let candidates = candidates.into_iter().zip(1..);
        let candidates = candidates.map(|((op, title), number)| Candidate {
            digest: digest_of(op),
            number,
            title: title.to_owned(),
        });
        let at = |line: i32| pb::Position { line, character: 1 };
        let location = pb::Location {
            source_index: 0,
            ranges: vec![pb::Range {
                start: Some(at(5)),
                end: Some(at(7)),
            }],
        };
        let locations = pb::Locations {
            locations: vec![location],
        };
        let source_map = pb::Source {
            locations: [(digest_of(&file), locations)].into(),
            infos: vec![pb::SourceInfo {
                filename: "specs.yml".to_owned(),
                ..pb::SourceInfo::default()
            }],
        };
        let whole = pb::Definition {
            def: [&source, &exec, &file, &last]
                .map(pb::Op::encode_to_vec)
                .to_vec(),
            source: Some(source_map),
            ..pb::Definition::default()
        };
        (whole, candidates.collect())
    }

    fn find(name: &StepName) -> Option<Target> {
        let (whole, candidates) = definition();
        Target::find(name, &candidates, &whole, &BaseConfig::default())
    }

    /// The number of the operation, from 0, that is the result of a definition.
    fn result(of: &pb::Definition) -> usize {
        let (last, operations) = of.def.split_last().expect("operations");
        let terminal = pb::Op::decode(last.as_slice()).expect("an operation");
        let digests = operations.iter().map(|bytes| Digest::of(bytes).to_string());
        let mut digests = digests.collect::<Vec<_>>().into_iter();
        digests
            .position(|digest| digest == terminal.inputs[0].digest)
            .expect("an input")
    }

    #[test]
    fn a_step_is_found_by_its_number_and_its_line() {
        let line = |file: &str, line| StepName::Line {
            file: file.to_owned(),
            line,
        };
        let title = |name: &StepName| find(name).map(|target| target.title);
        assert_eq!(title(&StepName::Number(1)).as_deref(), Some("run x"));
        for name in [
            StepName::Number(2),
            line("specs.yml", 6),
            line("../a/specs.yml", 7),
            line("./specs.yml", 5),
        ] {
            assert_eq!(title(&name).as_deref(), Some("write /y"), "{name}");
        }
        for name in [
            StepName::Number(3),
            line("specs.yml", 8),
            line("ecs.yml", 6),
        ] {
            assert_eq!(title(&name), None, "{name}");
        }
    }

    #[test]
    fn a_state_is_that_before_or_after_the_operation() {
        let exec = find(&StepName::Number(1)).expect("the command");
        assert_eq!(exec.before().as_ref().map(result), Some(0));
        assert_eq!(result(&exec.after()), 1);
        assert_eq!(exec.mount_input(1).as_ref().map(result), Some(0));
        assert_eq!(exec.mount_input(2), None, "a tmpfs");
        let file = find(&StepName::Number(2)).expect("the copy");
        assert_eq!(file.before().as_ref().map(result), Some(1));
        assert_eq!(result(&file.after()), 2);
        assert!(file.exec().is_none());
    }

    #[test]
    fn a_failure_is_of_the_operation_by_its_digest() {
        let (_, candidates) = definition();
        let error = |number: usize| {
            let mut failure = Box::new(Failure::new("failed"));
            failure.vertex = Some(candidates[number].digest.clone());
            ImageError::Step {
                step: None,
                member: None,
                failure,
                log: Vec::new(),
                process: crate::run::FailedProcess::default(),
            }
        };
        let target = find(&StepName::Number(1)).expect("the command");
        assert!(target.failure(&error(0)).is_some());
        assert!(target.failure(&error(1)).is_none());
    }

    #[test]
    fn steps_are_counted_before_anything_is_built() {
        let spec = "stack: x\nimages:\n  a:\n    base: debian:12\n    apt: [git]\n    steps:\n      - run: |\n          b\n          c\n";
        let stack = testing::stack(spec);
        let number = |name: &StepName| step_number(&stack, &stack.images()[0], name);
        let line = |line| StepName::Line {
            file: "specs.yml".to_owned(),
            line,
        };
        let numbers = [0, 1, 2, 3].map(|it| number(&StepName::Number(it)));
        assert_eq!(numbers, [None, Some(1), Some(2), None]);
        assert_eq!(
            [3, 5, 8].map(|it| number(&line(it))),
            [None, Some(1), Some(2)]
        );
    }
}
