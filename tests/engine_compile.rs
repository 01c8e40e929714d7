//! What the compiler makes, run by a real buildkitd through `buildctl`: the commands laminate writes
//! work in a small Debian, texts arrive byte for byte, writable paths are right in their own layer.
//!
//! Wants `LAMINATE_TEST_ENGINE` (an address) and `LAMINATE_TEST_BASE` (a Debian in a registry the
//! engine reaches), which `integration/test` sets. Without them the test says that it did not run; in
//! CI that is a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use laminate::compile::{BaseConfig, BaseState, CA_SECRET, Compiler, StepEnvironment};
use laminate::llb::{Graph, Platform};
use laminate::name::{ImageName, Reference, StackName};
use laminate::source::{Sources, Span, Spanned};
use laminate::stack::{
    Append, AppendFrom, Base, Build, Config, Copy, CopyEntry, CopyFrom, EnvChange, EnvPart,
    EnvText, File, Files, Image, ImageId, Kind, Link, Mode, OutsideBase, Perms, Pip, PipTool,
    Stack, Step, Variant, Writable, Write,
};
use prost::Message as _;

const TEXT: &str =
    "plain ${HOME} $${x} $$ \"double\" 'single' `back` \\ \\n %s é 🚀\n  indented\ttab\n";

fn span() -> Span {
    let mut sources = Sources::default();
    Span {
        source: sources.add("specs.yml", "x"),
        start: 0,
        end: 1,
    }
}

fn step(title: &str, kind: Kind) -> Step {
    Step {
        span: span(),
        title: title.to_owned(),
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

fn run(text: &str) -> Step {
    step("run", Kind::Run(text.to_owned()))
}

fn root(step: Step) -> Step {
    Step {
        user: Some("root".to_owned()),
        ..step
    }
}

fn pip(requirements: &[&str], packages: &[&str], tool: PipTool) -> Step {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let pip = Pip {
        requirements: requirements.iter().map(|path| (*path).into()).collect(),
        includes: Vec::new(),
        packages: owned(packages),
        tool,
        index: None,
        extra_index: Vec::new(),
        upgrade: false,
    };
    step("pip", Kind::Pip(pip))
}

fn written(to: &str) -> Step {
    let write = Write {
        to: to.to_owned(),
        text: TEXT.to_owned(),
        owner: None,
        mode: None,
        span: span(),
    };
    step("write", Kind::Write(vec![write]))
}

fn appended(to: &str) -> Step {
    let append = Append {
        to: to.to_owned(),
        from: AppendFrom::Text(TEXT.to_owned()),
        span: span(),
    };
    step("append", Kind::Append(vec![append]))
}

fn steps() -> Vec<Step> {
    let copied = Copy {
        from: CopyFrom::Files {
            pattern: "tool".to_owned(),
            entries: vec![CopyEntry {
                file: "images/base/tool".into(),
                to: String::new(),
            }],
        },
        to: "/opt/conda/bin/tool".to_owned(),
        owner: None,
        mode: Some(Mode::Octal(0o755)),
        span: span(),
    };
    let link = Link {
        path: "/usr/local/bin/py".to_owned(),
        target: "/opt/conda/bin/python".to_owned(),
        span: span(),
    };
    let perms = Perms {
        path: "/run/screen".to_owned(),
        owner: None,
        mode: Some(Mode::Octal(0o1777)),
        recursive: false,
        span: span(),
    };
    let packages = ["python3", "python3-venv"].map(str::to_owned).to_vec();
    let mut finished = run("mkdir /run/screen");
    finished.finish = vec![perms];
    vec![
        step(
            "apt",
            Kind::Apt {
                packages,
                recommends: false,
            },
        ),
        root(run("useradd --uid 1000 --gid 100 --create-home jovyan\n\
             python3 -m venv /opt/conda\n\
             chown -R jovyan /opt/conda\n")),
        pip(&["images/base/requirements.txt"], &[], PipTool::Uv),
        pip(&[], &["six==1.16.0"], PipTool::Pip),
        run(
            "umask 077\nmkdir -p /opt/conda/closed/deep\necho x >/opt/conda/closed/deep/file\n\
             cp /bin/true /opt/conda/bin/own\n",
        ),
        root(run(&format!("cat >/run.txt <<'THE-END'\n{TEXT}THE-END\n"))),
        written("/write.txt"),
        appended("/write.txt"),
        written("/opt/conda/etc/write.txt"),
        appended("/opt/conda/etc/write.txt"),
        step("copy", Kind::Copy(vec![copied])),
        step("link", Kind::Link(vec![link])),
        root(finished),
        root(step(
            "group",
            Kind::Group(vec![
                run("echo one >/home/jovyan/group"),
                appended("/home/jovyan/group"),
            ]),
        )),
        run(
            "test \"$(python -c 'import idna, six; print(idna.__version__, six.__version__)')\" = '3.10 1.16.0'\n\
             test \"$(id -u):$(id -g)\" = 1000:100\n\
             test \"$(readlink /usr/local/bin/py)\" = /opt/conda/bin/python\n\
             tool\n",
        ),
    ]
}

fn stack(base: &Reference) -> Stack {
    let mut sources = Sources::default();
    sources.add("specs.yml", "x");
    let file = |content: &str, executable| File::Regular {
        content: content.as_bytes().into(),
        executable,
    };
    let path = EnvText(vec![
        EnvPart::Text("/opt/conda/bin:".to_owned()),
        EnvPart::Env("PATH".to_owned()),
    ]);
    let image = Image {
        name: Spanned::new(ImageName::parse("base").expect("a name"), span()),
        variant: 0,
        base: Base::Outside(OutsideBase {
            reference: Spanned::new(base.clone(), span()),
            vars: BTreeSet::new(),
        }),
        repository: None,
        vars: BTreeMap::new(),
        env: BTreeMap::from([("PATH".to_owned(), EnvChange::Set(path))]),
        user: Some("jovyan".to_owned()),
        shell: None,
        steps: steps(),
        config: Config::default(),
        writable: Some(Writable {
            gid: 100,
            paths: vec!["/home/jovyan".to_owned(), "/opt/conda".to_owned()],
            span: span(),
        }),
        tags: Vec::new(),
        refresh: None,
        proof: Default::default(),
    };
    Stack {
        name: StackName::parse("engine").expect("a name"),
        registry: None,
        staging: None,
        build: Build::default(),
        variants: vec![Variant {
            name: None,
            series: None,
        }],
        images: vec![image],
        files: Files(BTreeMap::from([
            (
                "images/base/requirements.txt".into(),
                file("idna==3.10\n", false),
            ),
            (
                "images/base/tool".into(),
                file("#!/bin/sh\nexit 0\n", false),
            ),
        ])),
        channels: Vec::new(),
        refs: Default::default(),
        sources: Arc::new(sources),
        warnings: Vec::new(),
    }
}

/// What a layer has at each path: type, mode, group, content.
struct Entry {
    kind: tar::EntryType,
    mode: u32,
    gid: u64,
    content: Vec<u8>,
}

/// The layers of an OCI archive, lowest first.
fn layers(archive: &Path) -> Vec<BTreeMap<String, Entry>> {
    let mut blobs: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let file = std::fs::File::open(archive).expect("buildctl wrote it");
    for entry in tar::Archive::new(file).entries().expect("a tar file") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).expect("its content");
        blobs.insert(name, content);
    }
    let json =
        |name: &str| -> serde_json::Value { serde_json::from_slice(&blobs[name]).expect("JSON") };
    let blob = |digest: &serde_json::Value| {
        let digest = digest.as_str().expect("a digest");
        format!("blobs/{}", digest.replace(':', "/"))
    };
    let manifest = json(&blob(&json("index.json")["manifests"][0]["digest"]));
    let found = manifest["layers"].as_array().expect("layers").iter();
    found
        .map(|layer| {
            let packed = &blobs[&blob(&layer["digest"])];
            let mut entries = BTreeMap::new();
            let mut tree = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
            for entry in tree.entries().expect("a layer") {
                let mut entry = entry.expect("an entry");
                let path = entry.path().expect("a path").display().to_string();
                let path = path
                    .trim_start_matches("./")
                    .trim_end_matches('/')
                    .to_owned();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).expect("its content");
                let header = entry.header();
                let made = Entry {
                    kind: header.entry_type(),
                    mode: header.mode().expect("a mode"),
                    gid: header.gid().expect("a group"),
                    content,
                };
                entries.insert(path, made);
            }
            entries
        })
        .collect()
}

fn check(layers: &[BTreeMap<String, Entry>]) {
    // The base is one layer; one step is one layer.
    let own = &layers[1..];
    let mut stored: BTreeMap<&str, &[u8]> = BTreeMap::new();
    let (mut wrong, mut twice, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for layer in own {
        for (path, entry) in layer {
            let ours = ["opt/conda", "home/jovyan"]
                .iter()
                .any(|place| Path::new(path).starts_with(place));
            let folder = entry.kind == tar::EntryType::Directory;
            let wanted = match entry.kind {
                tar::EntryType::Directory => 0o2070,
                tar::EntryType::Regular => 0o060,
                _ => 0,
            };
            // A link's target counts, and has an entry of its own.
            let plain = folder || entry.kind == tar::EntryType::Regular;
            if ours && plain && (entry.gid != 100 || entry.mode & wanted != wanted) {
                wrong.push(format!("{path} {:o} {}", entry.mode, entry.gid));
            }
            if entry.kind == tar::EntryType::Regular && !entry.content.is_empty() {
                let before = stored.insert(path, &entry.content);
                let theirs = path.starts_with("etc/") || path.starts_with("var/");
                if !theirs && before == Some(entry.content.as_slice()) {
                    twice.push(path.clone());
                }
            }
            let brought = ["run/laminate", "root/.cache", "home/jovyan/.cache"];
            let lists = ["var/lib/apt/lists/", "var/cache/apt/"];
            if brought.iter().any(|place| path.starts_with(place))
                || !folder && lists.iter().any(|place| path.starts_with(place))
                || path.ends_with("bin/uv")
            {
                left.push(path.clone());
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "not writable for the group");
    assert_eq!(twice, Vec::<String>::new(), "stored twice");
    assert_eq!(left, Vec::<String>::new(), "left by what built it");
    let text = |path: &str| String::from_utf8_lossy(stored[path]).into_owned();
    assert_eq!(text("run.txt"), TEXT);
    assert_eq!(text("write.txt"), [TEXT, TEXT].concat());
    assert_eq!(text("opt/conda/etc/write.txt"), [TEXT, TEXT].concat());
    assert_eq!(text("home/jovyan/group"), format!("one\n{TEXT}"));
    let screen = own.iter().find_map(|layer| layer.get("run/screen"));
    assert_eq!(screen.expect("the step made it").mode & 0o7777, 0o1777);
    let tool = own.iter().find_map(|layer| layer.get("opt/conda/bin/own"));
    assert_eq!(tool.expect("the step made it").mode & 0o070, 0o070);
}

#[test]
fn every_kind_of_step_runs() {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let (Some(engine), Some(base)) = (
        variable("LAMINATE_TEST_ENGINE"),
        variable("LAMINATE_TEST_BASE"),
    ) else {
        assert!(
            variable("CI").is_none(),
            "LAMINATE_TEST_ENGINE or LAMINATE_TEST_BASE is not set"
        );
        eprintln!("not run: LAMINATE_TEST_ENGINE or LAMINATE_TEST_BASE is not set");
        return;
    };
    let base = Reference::parse(&base).expect("a reference");
    let stack = stack(&base);
    let ca = variable("LAMINATE_CA");
    let environment = StepEnvironment {
        ca: ca.is_some(),
        ..StepEnvironment::default()
    };
    let platform = Platform {
        os: "linux".to_owned(),
        architecture: match std::env::consts::ARCH {
            "x86_64" => "amd64".to_owned(),
            "aarch64" => "arm64".to_owned(),
            other => other.to_owned(),
        },
        variant: String::new(),
    };
    let mut compiler = Compiler::new(&stack, &environment, Graph::new(platform));
    let output = compiler.reference(&base, "base");
    let config = BaseConfig::parse(
        br#"{"config":{"Env":["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]}}"#,
    );
    let state = BaseState {
        output,
        config: config.expect("an object"),
    };
    let compiled = compiler.image(ImageId(0), state).expect("compiles");
    let sources: Vec<_> = stack.sources.iter().map(|(_, file)| file.clone()).collect();
    let definition = compiler.graph.marshal(compiled.output, &sources);

    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("image.tar");
    let mut command = Command::new("buildctl");
    command
        .args(["--addr", &engine, "build", "--progress", "plain"])
        .args(["--output", &format!("type=oci,dest={}", archive.display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    if let Some(ca) = ca {
        command.args(["--secret", &format!("id={CA_SECRET},src={ca}")]);
    }
    let mut child = command.spawn().expect("buildctl is on PATH");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin
        .write_all(&definition.pb.encode_to_vec())
        .expect("buildctl reads it");
    drop(stdin);
    let ended = child.wait_with_output().expect("buildctl ends");
    assert!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    let layers = layers(&archive);
    assert_eq!(layers.len(), 1 + steps().len(), "one step is one layer");
    check(&layers);
}
