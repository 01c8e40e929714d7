//! Whole images, compiled and read back as operations. The texts of each kind of step are tested beside
//! the code that makes them, and compared whole in `tests/compile_texts.rs`.

mod compression;
mod refresh;
mod requirements;
mod steps;
mod suites;

use bollard_buildkit_proto::pb;
use prost::Message as _;

use super::command::Command;
use super::*;
use crate::diagnostic::Diagnostic;
use crate::llb::{Graph, Output, Platform, Proxy};
use crate::name::{Digest, Reference};
use crate::source::Span;
use crate::stack::{Image, ImageId, Stack, Step};
use crate::testing::stack_with;

/// Returns a stack with one image, `base`; `keys` are lines of YAML.
pub fn stack(keys: &str) -> Stack {
    let keys = keys.replace('\n', "\n    ");
    let spec = format!("stack: datahub\nimages:\n  base:\n    base: debian:bookworm\n    {keys}\n");
    let files = [
        ("images/base/requirements.txt", "-r more.txt\nnumpy==1\n"),
        ("images/base/more.txt", "six\n"),
        (
            "images/base/environment.yml",
            "channels: [conda-forge]\ndependencies: [python=3.11, { pip: [six] }]\n",
        ),
        ("images/base/x", "x\n"),
        ("images/base/setup.sh", "#!/bin/sh\n"),
        ("images/base/checks/test_a.py", "def test_a(): pass\n"),
        ("images/base/pinned.txt", "pytest==8\n"),
    ];
    stack_with(&spec, &files)
}

/// Returns the image of [`stack`].
pub fn image(keys: &str) -> Image {
    stack(keys).images()[0].clone()
}

/// Returns one step: `{ run: "true" }`.
pub fn step(yaml: &str) -> Step {
    image(&format!("steps: [{yaml}]")).steps[0].clone()
}

/// Returns the command of one step that is not a group.
pub fn command(yaml: &str) -> Command {
    let shell = ["/bin/sh", "-c"].map(str::to_owned);
    let stack = stack(&format!("steps: [{yaml}]"));
    let step = &stack.images()[0].steps[0];
    super::steps::command(step, &shell, stack.files()).expect("it is not a group")
}

/// Returns the script of a command which is not in a group.
pub fn script(command: &Command) -> String {
    command.args[2].expand(&Default::default())
}

/// Returns the place of an image in its spec.
pub fn span() -> Span {
    image("").name.span
}

/// Operations in the order they are sent.
struct Operations(Vec<pb::op::Op>);

impl Operations {
    fn read(compiler: &Compiler, output: Output) -> Self {
        let definition = compiler.graph.marshal(output);
        let read = |bytes: &Vec<u8>| pb::Op::decode(bytes.as_slice()).expect("our own bytes").op;
        Self(definition.pb.def.iter().filter_map(read).collect())
    }

    /// Returns the commands, in their order.
    fn commands(&self) -> Vec<&pb::ExecOp> {
        let mut commands = Vec::new();
        for op in &self.0 {
            if let pb::op::Op::Exec(exec) = op {
                commands.push(exec);
            }
        }
        commands
    }

    /// Returns the last command: that of the last step.
    fn last(&self) -> &pb::ExecOp {
        self.commands().pop().expect("there is a command")
    }

    /// Returns the identifiers of all sources.
    fn sources(&self) -> Vec<&str> {
        let mut sources = Vec::new();
        for op in &self.0 {
            if let pb::op::Op::Source(source) = op {
                sources.push(source.identifier.as_str());
            }
        }
        sources
    }

    /// Returns the paths of all files that operations make.
    fn made_files(&self) -> Vec<&str> {
        let mut paths = Vec::new();
        for op in &self.0 {
            if let pb::op::Op::File(file) = op {
                for action in &file.actions {
                    if let Some(pb::file_action::Action::Mkfile(file)) = &action.action {
                        paths.push(file.path.as_str());
                    }
                }
            }
        }
        paths
    }

    /// Returns the text of a file that operations make, by the end of its path.
    fn made_text(&self, end: &str) -> Option<String> {
        let files = self.0.iter().filter_map(|op| match op {
            pb::op::Op::File(file) => Some(&file.actions),
            _ => None,
        });
        let mut made = files.flatten().filter_map(|action| match &action.action {
            Some(pb::file_action::Action::Mkfile(file)) => Some(file),
            _ => None,
        });
        let file = made.find(|file| file.path.ends_with(end))?;
        Some(String::from_utf8_lossy(&file.data).into_owned())
    }

    /// Returns the actions of the last operation on files.
    fn actions(&self) -> Vec<&pb::file_action::Action> {
        let mut actions = Vec::new();
        for op in &self.0 {
            if let pb::op::Op::File(file) = op {
                actions.extend(file.actions.iter().filter_map(|a| a.action.as_ref()));
            }
        }
        actions
    }
}

/// Returns the user, environment and arguments of a command.
fn meta(exec: &pb::ExecOp) -> &pb::Meta {
    exec.meta.as_ref().expect("a command has one")
}

/// Returns the mount at a path.
fn mount<'a>(exec: &'a pb::ExecOp, target: &str) -> Option<&'a pb::Mount> {
    exec.mounts.iter().find(|mount| mount.dest == target)
}

const NO_NETWORK: i32 = pb::NetMode::None as i32;

const BASE: &str = r#"{"config":{"Env":["PATH=/bin"],"User":"jovyan","Cmd":["start"]}}"#;

/// Compiles the image of a stack, then calls `then` with the compiler.
fn with_image<T>(
    stack: &Stack,
    environment: &StepEnvironment,
    then: impl FnOnce(&mut Compiler, Compiled) -> T,
) -> Result<T, Diagnostic> {
    let graph = Graph::new(Platform::linux("amd64"));
    let environment = StepEnvironment {
        uv: crate::testing::uv(),
        rattler: crate::testing::rattler(),
        ..environment.clone()
    };
    let mut compiler = Compiler::new(stack, &environment, graph);
    for image in stack.external_images() {
        let digest = Digest::of(image.to_string().as_bytes());
        compiler.external.insert(image.clone(), digest);
    }
    let reference = Reference::parse("debian:bookworm").expect("valid");
    let state = BaseState {
        output: compiler.base(&reference, "base"),
        config: BaseConfig::parse(BASE.as_bytes()).expect("an object"),
    };
    let compiled = compiler.image(ImageId(0), state)?;
    Ok(then(&mut compiler, compiled))
}

/// Returns the operations of an image with these keys.
fn compile_in(keys: &str, environment: &StepEnvironment) -> Operations {
    let read = |compiler: &mut Compiler, made: Compiled| Operations::read(compiler, made.output);
    with_image(&stack(keys), environment, read).expect("it compiles")
}

fn compile(keys: &str) -> Operations {
    compile_in(keys, &StepEnvironment::default())
}

fn with_ca() -> StepEnvironment {
    StepEnvironment {
        ca: true,
        ..StepEnvironment::default()
    }
}
