//! The files of a stack: they give a stack, whose images compile, or diagnostics with a place.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde_json::json;

use crate::compile::{self, BaseConfig, BaseState, Compiler, StepEnvironment};
use crate::diagnostic::{Diagnostic, Severity, render};
use crate::llb::{Graph, Platform};
use crate::name::Digest;
use crate::path::LONGEST_PATH;
use crate::plan::{Facts, KeyFacts, Keys, Plan, Request};
use crate::source::Sources;
use crate::spec::lock::Lock;
use crate::spec::template::{Template, TemplateError};
use crate::stack::{Base, File, Files, ImageId, Overrides, Stack};
use crate::testing::text_files;

/// Files that the specs of the corpus use.
const FILES: [(&str, &str); 16] = [
    ("images/all/requirements.txt", "six\n"),
    ("images/all/x", "x\n"),
    ("images/all/tree/y", "y\n"),
    ("images/all/setup.sh", "#!/bin/sh\ntrue\n"),
    (
        "images/ground/requirements.txt",
        "six==1.16.0\n-r more.txt\n./local\n",
    ),
    ("images/ground/more.txt", "-c ../shared/constraints.txt\n"),
    ("images/ground/environment.yml", "name: x\n"),
    ("images/ground/x", "x\n"),
    ("images/ground/a.txt", "x\n"),
    ("images/ground/tree/deep/z", "z\n"),
    ("images/ground/link", "-> x"),
    ("images/ground/local/setup.py", "x\n"),
    ("images/shared/constraints.txt", "numpy<2\n"),
    ("images/middle/x", "x\n"),
    ("images/middle/setup.sh", "#!/bin/sh\ntrue\n"),
    ("images/leaf/environment.yml", "name: leaf\n"),
];

/// Returns the files of images that a text declares: a folder without an image is a fault.
pub(super) fn files_of(text: &str) -> Files {
    let has = |folder: &str| text.contains(&format!("{folder}:"));
    let is_used = |path: &str| match path.split('/').nth(1) {
        Some("shared") => text.contains("shared") || has("ground") && text.contains("requirements"),
        Some(folder) => has(folder),
        None => false,
    };
    let used: Vec<_> = FILES
        .into_iter()
        .filter(|(path, _)| is_used(path))
        .collect();
    text_files(&used)
}

/// The config of every external base.
const CONFIG: &str = r#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/bin:/bin"],
    "User":"jovyan","Cmd":["start"],"WorkingDir":"/home"}}"#;

/// `specs.yml`.
pub fn spec(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    resolve(&text, files_of(&text));
}

/// `images/ground/image.yml`, beside a spec that has an image below it and one above.
pub fn image(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut files = files_of(&format!("all: leaf: ground: {text}"));
    put(&mut files, "images/ground/image.yml", bytes);
    let spec = "stack: t\nvars: { word: one }\nimages:\n  all: { base: \"debian:12\" }\n  leaf: { base: ground }\n";
    resolve(spec, files);
}

/// Requirements files, constraints and environment files.
pub fn requirements(bytes: &[u8]) {
    for step in [
        "pip: requirements.txt",
        "pip: { requirements: [requirements.txt, more.txt], tool: pip }",
        "conda: environment.yml",
        "apt: packages.txt",
        "tests: { own: { pytest: tree, requirements: requirements.txt } }",
    ] {
        let mut files = files_of(&format!("ground: {}", String::from_utf8_lossy(bytes)));
        for name in [
            "requirements.txt",
            "more.txt",
            "environment.yml",
            "packages.txt",
        ] {
            put(&mut files, &format!("images/ground/{name}"), bytes);
        }
        let spec = format!("stack: t\nimages:\n  ground:\n    base: debian:12\n    {step}\n");
        resolve(&spec, files);
    }
}

/// A script whose first line names its interpreter.
pub fn script(bytes: &[u8]) {
    let mut files = files_of("ground:");
    put(&mut files, "images/ground/setup.sh", bytes);
    let spec =
        "stack: t\nimages:\n  ground: { base: \"debian:12\", steps: [{ script: setup.sh }] }\n";
    resolve(spec, files);
}

/// The first line is a pattern, the others are files it is matched against.
pub fn patterns(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (pattern, paths) = text.split_once('\n').unwrap_or((&text, ""));
    let mut files = files_of("ground:");
    let is_usable = |path: &&str| {
        let mut parts = path.split('/');
        path.len() < LONGEST_PATH
            && !path.contains('\0')
            && parts.all(|part| !matches!(part, "" | "." | ".."))
    };
    for path in paths.lines().filter(is_usable).take(100) {
        put(&mut files, &format!("images/ground/{path}"), b"x");
    }
    crate::release::fuzz::patterns(pattern, paths.lines());
    let policy = json!({
        "writable": [pattern],
        "allow": { pattern: "a reason" },
        "refs": { "publish": [pattern] },
    });
    for (stack, image) in [
        (json!({}), json!({ "copy": { "/x/": pattern } })),
        (json!({ "policy": policy }), json!({})),
    ] {
        let mut spec = json!({ "stack": "t" });
        let mut ground = json!({ "base": "debian:12" });
        for (to, from) in [(&mut spec, stack), (&mut ground, image)] {
            for (key, value) in from.as_object().into_iter().flatten() {
                to[key] = value.clone();
            }
        }
        spec["images"] = json!({ "ground": ground });
        resolve(&spec.to_string(), files.clone());
    }
}

/// A text with variables: what it parses to is written as the same again, and a fault is inside of it.
pub fn variables(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Template::parse(&text) {
        Ok(template) => {
            let written = template.to_string();
            // A `$` before an escape cannot be written.
            if !text.contains("$$") {
                assert_eq!(Template::parse(&written), Ok(template), "of `{written}`");
            }
        }
        Err(TemplateError::Open { start }) => assert!(text[start..].starts_with("${")),
        Err(TemplateError::Name { name, start, end }) => {
            assert_eq!(&text[start..end], format!("${{{name}}}"));
        }
    }
    let spec = json!({
        "stack": "t",
        "vars": { "v": "one", "w": text },
        "images": { "a": {
            "base": "debian:12",
            "env": { "A": text },
            "steps": [{ "run": text }, { "write": { "/x": { "text": text, "vars": true } } }],
            "config": { "labels": { "a": text } },
        } },
    });
    resolve(&spec.to_string(), Files::default());
}

/// `specs.lock`: what it parses to is written as the same again.
pub fn lock(bytes: &[u8]) {
    let parse = |text: &str| {
        let mut sources = Sources::default();
        let id = sources.add("specs.lock", text);
        Lock::parse(&sources, id).map_err(|problems| (problems, sources))
    };
    match parse(&String::from_utf8_lossy(bytes)) {
        Ok(lock) => {
            let read = parse(&lock.to_string()).unwrap_or_else(|_| panic!("not read: {lock}"));
            assert_eq!(read, lock);
        }
        Err((problems, sources)) => check_faults(&problems, &sources),
    }
}

fn put(files: &mut Files, path: &str, bytes: &[u8]) {
    for folder in Utf8Path::new(path).ancestors().skip(1) {
        if !matches!(folder.as_str(), "" | "images") {
            files.insert(folder, File::Folder);
        }
    }
    let file = File::Regular {
        content: bytes.into(),
        executable: false,
    };
    files.insert(path, file);
}

fn resolve(text: &str, files: Files) {
    let spec = crate::spec::parse("specs.yml", text, files);
    match Stack::new(&spec, &Overrides::default()) {
        Ok(stack) => {
            check(stack.warnings(), stack.sources());
            compile(&stack);
        }
        Err(faults) => check_faults(&faults.problems, &faults.sources),
    }
}

fn check_faults(problems: &[Diagnostic], sources: &Sources) {
    let is_error = |problem: &Diagnostic| problem.severity == Severity::Error;
    assert!(problems.iter().any(is_error), "refused without a fault");
    check(problems, sources);
}

/// Every place is inside of its file, and the messages can be shown.
fn check(problems: &[Diagnostic], sources: &Sources) {
    for problem in problems {
        assert!(!problem.message.is_empty(), "{problem:?}");
        for label in problem.primary.iter().chain(&problem.others) {
            let text = &sources.file(label.span.source).text;
            let (start, end) = (label.span.start as usize, label.span.end as usize);
            assert!(start <= end && end <= text.len(), "{problem:?}");
        }
    }
    if !problems.is_empty() {
        assert!(!render(problems, sources, true).is_empty());
    }
}

/// The images of a stack have keys and a plan, and compile or are refused with a place.
fn compile(stack: &Stack) {
    let external: BTreeMap<_, _> = (stack.external_images().into_iter())
        .map(|image| (image.clone(), Digest::of(image.to_string().as_bytes())))
        .collect();
    let facts = KeyFacts {
        platform: "linux/amd64".to_owned(),
        external: external.clone(),
        ..KeyFacts::default()
    };
    let keys = Keys::new(stack, &facts);
    let plan = Plan::new(stack, &keys, &Facts::default(), &Request::default());
    let plan = plan.unwrap_or_else(|_| panic!("without facts each tag is free"));
    assert!(plan.images.iter().all(|image| image.keyed.is_some()));
    let config = BaseConfig::parse(CONFIG.as_bytes()).expect("a config");
    let configs = external.keys().map(|image| (image.clone(), config.clone()));
    let configs = configs.collect();
    check(
        &compile::preview(stack, &configs, |_| true),
        stack.sources(),
    );
    check(
        &compile::starts_as_root(stack, &configs, |_| true),
        stack.sources(),
    );
    let environment = StepEnvironment {
        ca: true,
        uv: crate::testing::uv(),
        rattler: crate::testing::rattler(),
        ..StepEnvironment::default()
    };
    let mut compiler = Compiler::new(stack, &environment, Graph::new(Platform::linux("amd64")));
    compiler.external = external.clone();
    let mut states: BTreeMap<ImageId, BaseState> = BTreeMap::new();
    for id in stack.ids() {
        let image = &stack[id];
        let base = match &image.base {
            Base::Image(parent) => states.get(parent).cloned(),
            Base::Scratch => None,
            Base::External(base) => {
                let reference = &base.reference.value;
                let digest = external[reference].clone();
                Some(BaseState {
                    output: compiler.reference(&reference.pinned(digest), "base"),
                    config: config.clone(),
                })
            }
        };
        let is_known = |id: &ImageId| compiler.in_stack.contains_key(id);
        // What a Dockerfile makes is the engine's to say.
        let base = base.filter(|_| image.dockerfile().is_none());
        let (Some(base), true) = (base, image.copied.values().all(is_known)) else {
            continue;
        };
        match compiler.image(id, base) {
            Ok(made) => {
                for suite in image.proof.suites.iter().take(4) {
                    let suite = compiler.suite(id, &made.state(), suite);
                    check(
                        &suite.err().into_iter().collect::<Vec<_>>(),
                        stack.sources(),
                    );
                }
                if stack.images().len() - id.0 <= 2 {
                    let definition = compiler.graph.marshal(made.output);
                    assert!(!definition.pb.def.is_empty());
                }
                compiler.in_stack.insert(id, made.output);
                states.insert(id, made.state());
            }
            Err(problem) => check_faults(&[problem], stack.sources()),
        }
    }
}
