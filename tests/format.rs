//! What equal specs compile to is part of every key: when this test fails, equal keys would mean other
//! images, and `FORMAT` in `src/plan/key.rs` must be raised with it.

use camino::Utf8Path;
use laminate::compile::{BaseConfig, BaseState, CA_SECRET, Compiler, Surroundings};
use laminate::llb::{Graph, Platform};
use laminate::name::{Digest, Reference};
use laminate::plan::key::FORMAT;
use laminate::stack::{ImageId, Overrides, load};

const SPEC: &str = r#"
stack: format
writable: { gid: 100, paths: [/opt/conda] }
images:
  all:
    base: debian:bookworm
    user: jovyan
    env: { PATH: "/opt/conda/bin:${env:PATH}" }
    apt: [git, jq]
    conda: [numpy, "blas=*=openblas"]
    pip: requirements.txt
    copy: { /etc/x: x, /opt/conda/etc/x: x, /opt/: { from: tree/, owner: "1000:100", mode: "755" } }
    steps:
      - write: { /etc/profile.d/stack.sh: "export STACK=x\n", /opt/conda/y: { text: y, mode: "600" } }
      - append: { /etc/x: { from: x } }
      - link: { /usr/local/bin/py: /opt/conda/bin/python }
      - perms: { /run/screen: { mode: "1777" }, /opt/x: { owner: "0:100", mode: g+rwX, recursive: true } }
      - run: useradd -m jovyan
        as: root
        finish: { /home: { mode: g+rx } }
      - exec: [/opt/tool, --setup]
      - script: setup.sh
        secrets: { token: /run/secrets/token }
      - pip: { packages: [six], tool: pip, index: "https://example.org/simple" }
      - group:
          - run: echo one
          - apt: [rsync]
        as: root
    config: { user: "1000:100", cmd: [run], ports: [8888] }
"#;

#[test]
fn equal_specs_give_equal_operations() {
    let kept = tempfile::tempdir().expect("a folder");
    let folder = Utf8Path::from_path(kept.path()).expect("UTF-8");
    let image = folder.join("images/all");
    std::fs::create_dir_all(image.join("tree")).expect("a folder");
    for (name, text) in [
        ("requirements.txt", "six\n"),
        ("x", "x\n"),
        ("tree/y", "y\n"),
        ("setup.sh", "#!/bin/sh\ntrue\n"),
    ] {
        std::fs::write(image.join(name), text).expect("a file");
    }
    std::fs::write(folder.join("specs.yml"), SPEC).expect("a file");
    let stack = load(&folder.join("specs.yml"), &Overrides::default()).expect("a stack");
    let base = BaseConfig::parse(
        br#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/bin:/bin"]}}"#,
    )
    .expect("a config");
    let mut found = String::new();
    for ca in [false, true] {
        let surroundings = Surroundings {
            ca,
            ..Surroundings::default()
        };
        let graph = Graph::new(Platform::linux("amd64"));
        let mut compiler = Compiler::new(&stack, &surroundings, graph);
        let digest = Digest::of(b"the base");
        let reference = Reference::parse("debian:bookworm")
            .expect("valid")
            .pinned(digest);
        let state = BaseState {
            output: compiler.reference(&reference, "all"),
            config: base.clone(),
        };
        let made = compiler.image(ImageId(0), state).expect("it compiles");
        let definition = compiler.graph.marshal(made.output, &[]).pb;
        let text = definition.def.concat();
        assert_eq!(String::from_utf8_lossy(&text).contains(CA_SECRET), ca);
        let operations = Digest::of(&text);
        let config = Digest::of(made.config.0.to_string().as_bytes());
        found.push_str(&format!(
            "{} operations {}, config {}\n",
            definition.def.len(),
            &operations.hex()[..12],
            &config.hex()[..12]
        ));
    }
    insta::assert_snapshot!(format!("FORMAT {FORMAT}\n{found}"));
}
