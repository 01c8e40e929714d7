//! Every operation that a stack compiles to, as text: the shell of each kind of step, alone, in a group
//! and below writable paths, and that of suites and info commands.
//!
//! The texts are part of every cache key. A change here means other images: see `tests/format.rs`.

use std::fmt::Write as _;

use laminate::testing::compile::{BaseConfig, BaseState, Compiler, StepEnvironment};
use laminate::testing::llb::{Definition, Graph, Platform};
use laminate::testing::name::{Digest, Reference};
use laminate::testing::spec::ImageId;
use prost::Message as _;

const SPEC: &str = r#"
stack: texts
images:
  plain:
    base: debian:bookworm
    user: jovyan
    apt: { packages: [git, jq], recommends: true }
    conda: { file: environment.yml, packages: [numpy, "blas=*=openblas"], channels: [conda-forge] }
    copy: { /etc/x: x, /opt/: { from: tree/, owner: "1000:100", mode: "2755" } }
    steps:
      - pip: { requirements: requirements.txt, packages: ["six>=1.16"], upgrade: true, index: "https://example.org/a=b&c" }
      - pip: { packages: [six], tool: pip, extra-index: ["https://example.org/x", "https://example.org/y"] }
      - write: { /etc/y: { text: "y\n", owner: root, mode: u+s } }
      - append: { /etc/x: { from: x }, /etc/y: "more\n" }
      - link: { "/usr/local/bin/a b": /opt/conda/bin/python }
      - perms: { /run/screen: { mode: "1777" }, /opt/x: { owner: "0:100", mode: g+rwX, recursive: true } }
      - run: "useradd -m 'jovyan' && echo \"$HOME\""
        as: root
        finish: { /home: { mode: g+rx, owner: "0:100" } }
      - exec: [/opt/tool, --set up]
      - script: setup.sh
        cwd: /opt
        network: none
        secrets: { token: /run/secrets/token }
  mixed:
    base: debian:bookworm
    user: jovyan
    writable: { gid: 100, paths: [/opt/conda, /home/jovyan] }
    env: { PATH: "/opt/conda/bin:${env:PATH}" }
    steps:
      - write: { /opt/conda/y: { text: y, mode: "600" } }
      - copy:
          /opt/conda/x: x
          "/opt/conda/a b/": { from: tree/, owner: jovyan }
          /opt/conda/go/: { image: golang:1, from: /usr/local/go/ }
          "/opt/conda/g h": { image: "alpine:3", from: "/etc/a b", mode: u+x }
      - link: { /opt/conda/bin/py: /opt/conda/bin/python }
      - run: echo one
        finish: { /opt: { mode: g+rx } }
      - group:
          - run: "echo /run/laminate/texts/x /run/laminate/image0/y"
            env: { A: "it's", B: "${env:PATH}" }
            cwd: /opt/a b
          - apt: [rsync]
          - pip: [six]
          - pip: { packages: [wheel], tool: pip }
          - conda: [numpy]
          - write: { /etc/a: a, /etc/b: { text: b, owner: "1:2" } }
          - append: { /etc/a: { from: x }, /etc/b: more }
          - copy: { /srv/go/: { image: golang:1, from: /usr/local/go/ } }
          - copy: { /srv/e: { image: "alpine:3", from: "/etc/a b" }, /srv/f/: { image: "busybox:1", from: /bin/ } }
          - link: { /srv/l: /etc/a }
          - perms: { /srv: { mode: "0755" } }
          - exec: [echo, a b]
          - script: setup.sh
        as: root
        finish: { /srv: { owner: "1000:100", recursive: true } }
    config: { cmd: [serve, "a b"] }
    info:
      os: { title: System, run: cat /etc/os-release }
      pip: { title: Packages, run: "pip list | sort" }
    tests:
      commands: { run: "test -e /opt/conda\necho \"$A\"", timeout: 90s, env: { A: a } }
      script: { script: setup.sh, as: "4242:100", network: none, secrets: { token: /run/secrets/token } }
      pytest: { pytest: checks }
      more: { pytest: checks, requirements: requirements.txt }
      own: { pytest: checks, requirements: pinned.txt }
      served: { serve: 8888, ready: "/api?x=a&b" }
      used: { serve: 80, then: { run: "curl localhost" } }
"#;

const FILES: [(&str, &str); 12] = [
    ("images/plain/environment.yml", "dependencies: [scipy]\n"),
    ("images/plain/requirements.txt", "-r more.txt\nsix\n"),
    ("images/plain/more.txt", "wheel\n"),
    ("images/plain/x", "x\n"),
    ("images/plain/tree/y", "y\n"),
    ("images/plain/setup.sh", "#!/bin/sh\ntrue\n"),
    ("images/mixed/x", "x\n"),
    ("images/mixed/tree/d/y", "y\n"),
    ("images/mixed/setup.sh", "#!/bin/sh\ntrue\n"),
    ("images/mixed/checks/test_a.py", "def test_a(): pass\n"),
    ("images/mixed/requirements.txt", "requests\n"),
    ("images/mixed/pinned.txt", "pytest==8\n"),
];

/// Appends the operations of a definition to `text`, each once in the whole.
fn show(definition: &Definition, seen: &mut Vec<String>, text: &mut String) {
    use bollard_buildkit_proto::pb;
    for bytes in &definition.pb.def {
        let digest = Digest::of(bytes).to_string();
        let Some(metadata) = definition.pb.metadata.get(&digest) else {
            continue;
        };
        if seen.contains(&digest) {
            continue;
        }
        seen.push(digest);
        let name = metadata.description.get("llb.customname");
        let _ = writeln!(text, "\n#### {}", name.map_or("", String::as_str));
        let op = pb::Op::decode(bytes.as_slice()).expect("our own bytes");
        match op.op.expect("every operation but the last has a kind") {
            pb::op::Op::Exec(exec) => {
                let meta = exec.meta.expect("a command");
                for arg in meta.args {
                    let arg = format!("|{}\n", arg.replace('\n', "\n|"));
                    // A long script is shown once.
                    if arg.lines().count() > 20 && text.contains(&arg) {
                        text.push_str("|(a script shown above)\n");
                    } else {
                        text.push_str(&arg);
                    }
                }
                for variable in meta.env {
                    let _ = writeln!(text, "{variable}");
                }
                let (user, cwd, network) = (meta.user, meta.cwd, exec.network);
                let _ = writeln!(text, "as {user} in {cwd}, network {network}");
                for mount in exec.mounts {
                    let _ = writeln!(
                        text,
                        "{} type {} selector {:?} output {} {:?} {:?}",
                        mount.dest,
                        mount.mount_type,
                        mount.selector,
                        mount.output,
                        mount.cache_opt,
                        mount.secret_opt
                    );
                }
            }
            pb::op::Op::File(file) => {
                for action in file.actions {
                    let action = action.action.expect("an action");
                    if let pb::file_action::Action::Mkfile(file) = &action {
                        let content = String::from_utf8_lossy(&file.data);
                        let _ = writeln!(text, "{} {:o} {content:?}", file.path, file.mode);
                    } else {
                        let _ = writeln!(text, "{action:?}");
                    }
                }
            }
            other => {
                let _ = writeln!(text, "{other:?}");
            }
        }
    }
}

#[test]
fn each_text_is_as_it_was() {
    let stack = laminate::testing::stack_with(SPEC, &FILES);
    let environment = StepEnvironment {
        ca: true,
        uv: laminate::testing::uv(),
        rattler: laminate::testing::rattler(),
        ..StepEnvironment::default()
    };
    let base = BaseConfig::parse(
        br#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/bin:/bin"]}}"#,
    )
    .expect("a config");
    let (mut text, mut seen) = (String::new(), Vec::new());
    for (index, image) in stack.images().iter().enumerate() {
        let id = ImageId(index);
        let graph = Graph::new(Platform::linux("amd64"));
        let mut compiler = Compiler::new(&stack, &environment, graph);
        for image in stack.external_images() {
            compiler
                .external
                .insert(image.clone(), Digest::of(b"an image"));
        }
        let reference = Reference::parse("debian:bookworm").expect("valid");
        let state = BaseState {
            output: compiler.base(&reference, "base"),
            config: base.clone(),
        };
        let made = compiler.image(id, state).expect("it compiles");
        let definition = compiler.graph.marshal(made.output);
        show(&definition, &mut seen, &mut text);
        let state = made.state();
        for suite in &image.proof.suites {
            let output = compiler.suite(id, &state, suite).expect("it compiles");
            let definition = compiler.graph.marshal(output);
            show(&definition, &mut seen, &mut text);
        }
        let info: Vec<_> = image.proof.info.iter().collect();
        if !info.is_empty() {
            let output = compiler.info(id, &state, &info);
            let definition = compiler.graph.marshal(output);
            show(&definition, &mut seen, &mut text);
        }
    }
    seen.sort();
    let all = Digest::of(seen.join("\n").as_bytes());
    let _ = writeln!(text, "\n{} operations, {all}", seen.len());
    insta::assert_snapshot!(text);
}
