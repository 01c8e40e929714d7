//! Whole images, compiled and read back as operations. The texts of each kind of step are tested beside
//! the code that makes them, and compared whole in `tests/compile_texts.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::diagnostic::Diagnostic;
use crate::llb::{Graph, Platform};
use crate::name::{ImageName, Reference, StackName};
use crate::source::{Sources, Span, Spanned};
use crate::stack::{
    self, Append, AppendFrom, Base, Build, Config, Copy, CopyFrom, File as StackFile, Files, Image,
    ImageId, Kind, Mode, OutsideBase, Pip, PipTool, Stack, Step, Variant, Writable, Write,
};

pub fn span() -> Span {
    let mut sources = Sources::default();
    Span {
        source: sources.add("specs.yml", "x"),
        start: 0,
        end: 1,
    }
}

pub fn image() -> Image {
    Image {
        name: Spanned::new(ImageName::parse("base").expect("a name"), span()),
        variant: 0,
        base: Base::Outside(OutsideBase {
            reference: Spanned::new(Reference::parse("debian:bookworm").expect("valid"), span()),
            vars: BTreeSet::new(),
        }),
        repository: None,
        vars: BTreeMap::new(),
        env: BTreeMap::new(),
        user: None,
        shell: None,
        steps: Vec::new(),
        config: Config::default(),
        writable: None,
        tags: Vec::new(),
        refresh: None,
        proof: Default::default(),
    }
}

pub fn step(kind: Kind) -> Step {
    Step {
        span: span(),
        title: "a step".to_owned(),
        kind,
        user: None,
        cwd: None,
        env: BTreeMap::new(),
        shell: None,
        secrets: Vec::new(),
        network: None,
        finish: Vec::new(),
        vars: BTreeSet::new(),
    }
}

pub fn write(to: &str, text: &str) -> Step {
    step(Kind::Write(vec![Write {
        to: to.to_owned(),
        text: text.to_owned(),
        owner: None,
        mode: None,
        span: span(),
    }]))
}

pub fn pip(tool: PipTool) -> Step {
    step(Kind::Pip(Pip {
        requirements: vec!["images/base/requirements.txt".into()],
        includes: Vec::new(),
        packages: Vec::new(),
        tool,
        index: None,
        extra_index: Vec::new(),
        upgrade: false,
    }))
}

/// A copy of `/x` to `/x`.
pub fn copy_from_image(reference: &str) -> Step {
    let reference = Reference::parse(reference).expect("valid");
    step(Kind::Copy(vec![Copy {
        from: CopyFrom::Image {
            reference: Spanned::new(reference, span()),
            path: "/x".to_owned(),
        },
        to: "/x".to_owned(),
        owner: None,
        mode: None,
        span: span(),
    }]))
}

fn stack(image: Image) -> Stack {
    let mut sources = Sources::default();
    sources.add("specs.yml", "x");
    let requirements = StackFile::Regular {
        content: b"numpy==1\n"[..].into(),
        executable: false,
    };
    Stack {
        name: StackName::parse("datahub").expect("a name"),
        registry: None,
        staging: None,
        build: Build::default(),
        variants: vec![Variant {
            name: None,
            series: None,
        }],
        images: vec![image],
        files: Files(BTreeMap::from([(
            "images/base/requirements.txt".into(),
            requirements,
        )])),
        channels: Vec::new(),
        refs: Default::default(),
        sources: Arc::new(sources),
        warnings: Vec::new(),
    }
}

fn base_config() -> BaseConfig {
    let config = json!({ "config": { "Env": ["PATH=/bin"], "User": "jovyan" } });
    BaseConfig::parse(config.to_string().as_bytes()).expect("an object")
}

/// Every operation of the image as text.
fn compile(image: Image, environment: &StepEnvironment) -> Result<String, Diagnostic> {
    let stack = stack(image);
    let platform = Platform {
        os: "linux".to_owned(),
        architecture: "amd64".to_owned(),
        variant: String::new(),
    };
    let mut compiler = Compiler::new(&stack, environment, Graph::new(platform));
    let reference = Reference::parse("debian:bookworm").expect("valid");
    let output = compiler.reference(&reference, "base");
    let state = BaseState {
        output,
        config: base_config(),
    };
    let compiled = compiler.image(ImageId(0), state)?;
    let sources: Vec<_> = stack.sources.iter().map(|(_, file)| file.clone()).collect();
    let definition = compiler.graph.marshal(compiled.output, &sources);
    assert_eq!(
        compiled.operations.values().max().map(|last| last + 1),
        (!stack.images[0].steps.is_empty()).then_some(stack.images[0].steps.len())
    );
    let ops: Vec<String> = definition
        .pb
        .def
        .iter()
        .map(|bytes| {
            let op: bollard_buildkit_proto::pb::Op =
                prost::Message::decode(bytes.as_slice()).expect("our own bytes");
            format!("{:?}", op.op)
        })
        .collect();
    Ok(ops.join("\n"))
}

fn with(steps: Vec<Step>) -> Image {
    Image { steps, ..image() }
}

#[test]
fn a_shell_text_reaches_the_engine_byte_for_byte() {
    let text = "echo \"${X}\" '\\n' $${Y} \t`z`\n";
    let ops = compile(
        with(vec![step(Kind::Run(text.to_owned()))]),
        &StepEnvironment::default(),
    )
    .expect("compiles");
    let args = format!("args: {:?}", ["/bin/sh", "-e", "-c", text]);
    assert!(ops.contains(&args), "{ops}");
    assert!(ops.contains("user: \"jovyan\""), "{ops}");
}

#[test]
fn files_are_written_without_a_command_except_below_writable_paths_and_with_special_modes() {
    let with_mode = |to: &str, mode: Option<Mode>| {
        step(Kind::Write(vec![Write {
            to: to.to_owned(),
            text: "a ${b}\n".to_owned(),
            owner: None,
            mode,
            span: span(),
        }]))
    };
    let write = |to: &str| with_mode(to, None);
    for (mode, command) in [
        (Mode::Octal(0o755), false),
        (Mode::Octal(0o2755), true),
        (Mode::Symbolic("u+x".to_owned()), false),
        (Mode::Symbolic("u+s".to_owned()), true),
    ] {
        let image = with(vec![with_mode("/etc/x", Some(mode.clone()))]);
        let ops = compile(image, &StepEnvironment::default()).expect("compiles");
        assert_eq!(ops.contains("ExecOp"), command, "{mode:?}");
    }
    let mut image = with(vec![write("/etc/x")]);
    image.writable = Some(Writable {
        gid: 100,
        paths: vec!["/opt/conda".to_owned()],
        span: span(),
    });
    let ops = compile(image.clone(), &StepEnvironment::default()).expect("compiles");
    assert!(!ops.contains("ExecOp"), "{ops}");
    image.steps = vec![write("/opt/conda/x")];
    let ops = compile(image, &StepEnvironment::default()).expect("compiles");
    assert!(ops.contains("ExecOp"), "{ops}");
    assert!(ops.contains("chgrp -h 100"), "{ops}");
    assert!(
        ops.contains("network: None") || ops.contains("network: 2"),
        "{ops}"
    );
}

#[test]
fn certificates_are_given_to_steps_with_the_network_and_enter_no_layer() {
    let ca = StepEnvironment {
        ca: true,
        ..StepEnvironment::default()
    };
    let ops = compile(with(vec![pip(PipTool::Uv)]), &ca).expect("compiles");
    assert!(ops.contains("SSL_CERT_FILE=/run/laminate/ca.pem"), "{ops}");
    assert!(ops.contains("laminate-ca"), "{ops}");
    assert!(ops.contains("laminate-uv-jovyan"), "{ops}");
    assert!(ops.contains("-r /run/laminate/files/images/base/requirements.txt"));
    let mut alone = step(Kind::Run("true".to_owned()));
    alone.network = Some(stack::Network::None);
    let ops = compile(with(vec![alone]), &ca).expect("compiles");
    assert!(!ops.contains("laminate-ca"), "{ops}");
}

#[test]
fn a_group_is_one_operation() {
    let append = step(Kind::Append(vec![Append {
        to: "/etc/x".to_owned(),
        from: AppendFrom::Text("more\n".to_owned()),
        span: span(),
    }]));
    let run = step(Kind::Run("echo hi".to_owned()));
    let mut group = step(Kind::Group(vec![append, run]));
    group.user = Some("root".to_owned());
    let ops = compile(with(vec![group]), &StepEnvironment::default()).expect("compiles");
    assert_eq!(ops.matches("Some(Exec(").count(), 1, "{ops}");
    assert!(ops.contains("/run/laminate/texts/0-append0"), "{ops}");
}

#[test]
fn the_same_image_gives_the_same_bytes() {
    let image = with(vec![step(Kind::Apt {
        packages: vec!["git".to_owned(), "jq".to_owned()],
        recommends: false,
    })]);
    let once = compile(image.clone(), &StepEnvironment::default()).expect("compiles");
    assert_eq!(
        once,
        compile(image, &StepEnvironment::default()).expect("compiles")
    );
    assert!(once.contains("--no-install-recommends git jq"), "{once}");
}
