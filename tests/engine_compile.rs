//! Compiled steps, run by a real buildkitd through `buildctl`: the commands work in a small Debian, texts
//! arrive byte for byte, and each layer leaves its writable paths writable.
//!
//! Needs `LAMINATE_TEST_ENGINE` (an address) and `LAMINATE_TEST_BASE` (a Debian in a registry that the
//! engine reaches), which `integration/test` sets. Without them the test prints that it did not run; in
//! CI it fails.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::needed::needed;
use laminate::testing::compile::{BaseConfig, BaseState, CA_SECRET, Compiler, StepEnvironment};
use laminate::testing::llb::{Graph, Platform, ServedEntry, ServedOrigin, ServedTree};
use laminate::testing::name::Reference;
use laminate::testing::spec::{ImageId, Stack};
use prost::Message as _;

const TEXT: &str =
    "plain ${HOME} $${x} $$ \"double\" 'single' `back` \\ \\n %s é 🚀\n  indented\ttab\n";

/// A step of each kind, with and without files below writable paths. `@TEXT@` and `@HERE@` stand for
/// [`TEXT`], as it is and in a shell script.
const SPEC: &str = r#"
stack: engine
images:
  base:
    base: "@BASE@"
    user: jovyan
    writable: { gid: 100, paths: [/home/jovyan, /opt/conda] }
    env: { PATH: "/opt/conda/bin:${env:PATH}" }
    steps:
      - apt: [python3, python3-venv]
      - run: |
          useradd --uid 1000 --gid 100 --create-home jovyan
          python3 -m venv /opt/conda
          chown -R jovyan /opt/conda
        as: root
      - pip: { requirements: requirements.txt, tool: pip }
      - pip: { packages: [six==1.16.0], tool: pip }
      - run: |
          umask 077
          mkdir -p /opt/conda/closed/deep
          echo x >/opt/conda/closed/deep/file
          cp /bin/true /opt/conda/bin/own
      - run: @HERE@
        as: root
      - write: { /write.txt: @TEXT@ }
      - append: { /write.txt: @TEXT@ }
      - write: { /opt/conda/etc/write.txt: @TEXT@ }
      - append: { /opt/conda/etc/write.txt: @TEXT@ }
      - copy: { /opt/conda/bin/tool: { from: tool, mode: "755" } }
      - link: { /usr/local/bin/py: /opt/conda/bin/python }
      - run: mkdir /run/screen
        as: root
        finish: { /run/screen: { mode: "1777" } }
      - group:
          - run: echo one >/home/jovyan/group
          - append: { /home/jovyan/group: @TEXT@ }
        as: root
      - run: |
          test "$(python -c 'import idna, six; print(idna.__version__, six.__version__)')" = '3.10 1.16.0'
          test "$(id -u):$(id -g)" = 1000:100
          test "$(readlink /usr/local/bin/py)" = /opt/conda/bin/python
          tool
"#;

fn stack(base: &Reference) -> Stack {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let spec = SPEC
        .replace("@BASE@", &base.to_string())
        .replace(
            "@HERE@",
            &quoted(&format!("cat >/run.txt <<'THE-END'\n{TEXT}THE-END\n")),
        )
        .replace("@TEXT@", &quoted(TEXT));
    let files = [
        ("images/base/requirements.txt", "idna==3.10\n"),
        ("images/base/tool", "#!/bin/sh\nexit 0\n"),
    ];
    laminate::testing::stack_with(&spec, &files)
}

/// An entry of a layer.
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
            let expected = match entry.kind {
                tar::EntryType::Directory => 0o2070,
                tar::EntryType::Regular => 0o060,
                _ => 0,
            };
            // A link's target counts, and has an entry of its own.
            let plain = folder || entry.kind == tar::EntryType::Regular;
            if ours && plain && (entry.gid != 100 || entry.mode & expected != expected) {
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

/// Writes a tree that the session would serve, for buildctl to serve it.
fn write_tree(tree: &ServedTree, place: &Path) {
    std::fs::create_dir(place).expect("a folder");
    for (path, entry) in tree.iter() {
        let path = place.join(path);
        let mode = match entry {
            ServedEntry::Link(target) => {
                std::os::unix::fs::symlink(target, &path).expect("a link");
                continue;
            }
            ServedEntry::Folder(mode) => {
                std::fs::create_dir(&path).expect("a folder");
                mode
            }
            ServedEntry::File { mode, content } => {
                let ServedOrigin::Memory(bytes) = &content.origin else {
                    panic!("the stack is in memory");
                };
                std::fs::write(&path, bytes).expect("written");
                mode
            }
        };
        let permissions = std::fs::Permissions::from_mode(*mode);
        std::fs::set_permissions(&path, permissions).expect("its own file");
    }
}

#[test]
fn every_kind_of_step_runs() {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let machine = variable("LAMINATE_TEST_ENGINE").zip(variable("LAMINATE_TEST_BASE"));
    let what = "LAMINATE_TEST_ENGINE and LAMINATE_TEST_BASE";
    let Some((engine, base)) = needed("every_kind_of_step_runs", what, machine) else {
        return;
    };
    let base = Reference::parse(&base).expect("a reference");
    let stack = stack(&base);
    let ca = variable("LAMINATE_CA");
    let environment = StepEnvironment {
        ca: ca.is_some(),
        ..StepEnvironment::default()
    };
    let platform = Platform::linux(std::env::consts::ARCH);
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
    let definition = compiler.graph.marshal(compiled.output);

    let folder = tempfile::tempdir().expect("a folder");
    let archive = folder.path().join("image.tar");
    let mut command = Command::new("buildctl");
    command
        .args(["--addr", &engine, "build", "--progress", "plain"])
        .args(["--output", &format!("type=oci,dest={}", archive.display())])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    for (name, tree) in &compiler.served {
        let place = folder.path().join(name);
        write_tree(tree, &place);
        command.args(["--local", &format!("{name}={}", place.display())]);
    }
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
    let steps = stack.images()[0].steps.len();
    assert_eq!(layers.len(), 1 + steps, "one step is one layer");
    check(&layers);
}
