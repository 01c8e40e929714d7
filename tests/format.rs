//! What equal specs compile to is part of every key: when this test fails, equal keys would mean other
//! images, and `FORMAT` in `src/plan/key.rs` must be raised with it.

use camino::Utf8Path;
use laminate::testing::compile::{BaseConfig, BaseState, CA_SECRET, Compiler, StepEnvironment};
use laminate::testing::llb::{Graph, Platform};
use laminate::testing::name::{Digest, Reference};
use laminate::testing::plan::FORMAT;
use laminate::testing::plan::{Component, ComponentKind, KeyFacts, Keys, Periods};
use laminate::testing::spec::{ImageId, Overrides, Stack, expanded, load};

pub const SPEC: &str = r#"
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
        write(&image.join(name), text);
    }
    std::fs::write(folder.join("specs.yml"), SPEC).expect("a file");
    let stack = load(&folder.join("specs.yml"), &Overrides::default()).expect("a stack");
    let base = BaseConfig::parse(
        br#"{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/usr/bin:/bin"]}}"#,
    )
    .expect("a config");
    let mut found = String::new();
    for ca in [false, true] {
        let environment = StepEnvironment {
            ca,
            uv: laminate::testing::uv(),
            rattler: laminate::testing::rattler(),
            ..StepEnvironment::default()
        };
        let graph = Graph::new(Platform::linux("amd64"));
        let mut compiler = Compiler::new(&stack, &environment, graph);
        let digest = Digest::of(b"the base");
        let reference = Reference::parse("debian:bookworm")
            .expect("valid")
            .pinned(digest);
        let state = BaseState {
            output: compiler.base(&reference, "all"),
            config: base.clone(),
        };
        let made = compiler.image(ImageId(0), state).expect("it compiles");
        let definition = compiler.graph.marshal(made.output).pb;
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

/// Every kind of step and every key of an image, in two variants.
pub const EVERYTHING: &str = r#"
stack: keys
registry: registry.example.org/team
series: none
vars: { python: "3.11", word: one, joined: "${word}-${python}" }
shell: [/bin/bash, -c]
writable: { gid: 100, paths: [/opt/conda/, /opt/conda/lib, /srv] }
policy: { root: locked, writable: [/opt] }
tests: { starts: { run: "true" } }
info: { python: { run: python --version } }
variants:
  old: { vars: { python: "3.10" }, series: "2021" }
  new: { skip: [leaf] }
images:
  ground:
    base: "python:${python}"
    apt: { packages: [git, jq], recommends: true }
    conda: { packages: [numpy, "blas=*=openblas"], channels: [conda-forge], file: environment.yml }
    pip: { requirements: [requirements.txt], packages: ["six==1.16.0"], tool: pip, index: "https://example.org/simple", extra-index: ["https://example.org/extra"], upgrade: true }
    copy:
      /etc/x: x
      /etc/: "*.txt"
      /opt/tree/: { from: tree/, owner: "1000:100", mode: "755" }
      /opt/bin/tool: { image: "busybox:${word}", from: /bin/busybox, mode: u+s }
      /etc/link: link
    refresh: weekly
  middle:
    base: ground
    user: jovyan
    env: { PATH: "/opt/${word}:${env:PATH}", LIST: { append: b, sep: "," }, FIRST: { prepend: "a$${x}" }, EMPTY: }
    vars: { own: "of ${image}" }
    writable: { gid: 0, paths: [/home] }
    steps:
      - write: { /a: "text ${word}\n", /b: { text: "filled ${own}", vars: true, owner: root, mode: "0600" } }
      - append: { /a: more, /c: { from: x }, /d: { text: "${joined}", vars: true } }
      - link: { /usr/local/bin/py: "/opt/${word}/python" }
      - perms: { /run/screen: { mode: "1777" }, /opt/x: { owner: "0:100", mode: g+rwX, recursive: true } }
      - run: |
          echo "$HOME ${word}"
        name: greet
        as: root
        cwd: /tmp
        env: { X: "${word}" }
        shell: [/bin/sh, -c]
        secrets: [token]
        network: none
        finish: [{ perms: { /home: { mode: g+rx } } }]
      - run: |
          echo "$HOME ${word}"
        name: greet
      - exec: [/opt/tool, "--word=${word}"]
        secrets: { other: /run/secrets/there }
        finish: { /opt/tool: { owner: jovyan } }
      - script: setup.sh
        when: { word: [two, one] }
      - run: never
        when: { python: "2.7" }
      - group:
          - run: echo one
          - apt: [rsync]
          - copy: { /srv/x: x }
        as: root
    config:
      user: "1000:100"
      workdir: /home
      env: { C: "${env:PATH}" }
      labels: { a: b, empty: }
      entrypoint: []
      cmd: [run, "${word}"]
      ports: [8888, 53/udp]
      volumes: [/data]
      stop-signal: SIGINT
      healthcheck: { test: curl localhost, interval: 30s, timeout: 500ms, start-period: 1m, start-interval: 1s, retries: 3 }
      shell: [/bin/sh]
  leaf:
    base: middle
    pip: [tqdm]
    conda: environment.yml
    config: { healthcheck: none }
"#;

/// Keys decide what is rebuilt: a change here rebuilds every stack.
#[test]
fn keys_of_every_kind_of_step_stay_the_same() {
    let kept = tempfile::tempdir().expect("a folder");
    let folder = Utf8Path::from_path(kept.path()).expect("UTF-8");
    write_files(folder);
    std::fs::write(folder.join("specs.yml"), EVERYTHING).expect("a file");
    let stack = load(&folder.join("specs.yml"), &Overrides::default()).expect("a stack");
    let mut facts = KeyFacts {
        platform: "linux/amd64".to_owned(),
        periods: Periods {
            week: "2026-W48".to_owned(),
            ..Periods::default()
        },
        ..KeyFacts::default()
    };
    for version in ["3.10", "3.11"] {
        let reference = Reference::parse(&format!("python:{version}")).expect("valid");
        let digest = Digest::of(version.as_bytes());
        facts.external.insert(reference, digest);
    }
    let busybox = Reference::parse("busybox:one").expect("valid");
    facts.external.insert(busybox, Digest::of(b"busybox"));
    let keys = Keys::new(&stack, &facts);
    let found: Vec<String> = (0..stack.images().len())
        .map(|index| {
            let keyed = keys.get(ImageId(index)).expect("its base is known");
            let mut text = format!("{}\n", keyed.key);
            for component in &keyed.components {
                let Component {
                    kind,
                    what,
                    value,
                    vars,
                } = component;
                text.push_str(&format!("  {kind:?} {what:?} = {value} {vars:?}\n"));
            }
            text
        })
        .collect();
    insta::assert_snapshot!(found.concat());
}

/// The expanded spec of every image has the key of the image, but for the variables that it no longer uses.
#[test]
fn an_expanded_spec_has_the_same_key() {
    let kept = tempfile::tempdir().expect("a folder");
    let folder = Utf8Path::from_path(kept.path()).expect("UTF-8");
    write_files(folder);
    let extra = r#"
  more:
    base: leaf
    user: "${env:UID}:100"
    writable: { add: [/data] }
    env: { REMOVED:, "a.b": "$${x}" }
    copy: { /d/: [x, "y*"], /i/: { image: "busybox:one", from: [/a, /b], owner: root } }
    apt: { packages: apt.txt, sources: [{ uri: "https://a.example", suite: s, components: [c], key: ../shared/k.asc }] }
    steps:
      - run: a
        mounts: { /b: { bind: x, rw: true }, /i: { image: ground }, /c: { cache: c, uid: 1, mode: "700" }, /t: { tmpfs: 1m }, /u: { tmpfs: } }
        secrets: { s: { path: /s, mode: "440", gid: 1 } }
        finish: [{ perms: { /f: { mode: g+w } } }, { perms: { /f: { owner: ":1" } } }]
      - pip: { packages: ["./project", six], no-deps: true, index-strategy: unsafe-best-match, args: [--x] }
      - link: { /l: { to: "/$${m}", replace: true } }
    config: { entrypoint: "start ${env:A}", workdir: "${env:HOME}/w", ports:, labels: { l: }, onbuild: ignore }
"#;
    for (name, text) in [
        ("more/x", ""),
        ("more/y1", ""),
        ("more/apt.txt", "git jq\n"),
        ("more/project/setup.py", ""),
        ("shared/k.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n"),
    ] {
        put(folder, name, text);
    }
    let spec = format!(
        "{}{extra}",
        EVERYTHING.replace("skip: [leaf]", "skip: [leaf, more]")
    );
    // The other variant leaves images out, whose folders an expanded spec would have to lack.
    let (stack, keys) = keyed(folder, &spec, &["old".to_owned()]);
    let written = expanded(&stack, &stack.ids().collect()).to_string();
    let (stack, again) = keyed(folder, &written, &[]);
    assert_eq!(again, keys, "{written}");
    let twice = expanded(&stack, &stack.ids().collect()).to_string();
    assert_eq!(twice, written);
}

/// Returns the stack of a spec, and the components of the keys of its images.
fn keyed(folder: &Utf8Path, spec: &str, variants: &[String]) -> (Stack, Vec<Vec<Component>>) {
    std::fs::write(folder.join("specs.yml"), spec).expect("a file");
    let overrides = Overrides {
        variants: variants.to_vec(),
        ..Overrides::default()
    };
    let stack = load(&folder.join("specs.yml"), &overrides).expect("a stack");
    let images = stack.external_images();
    let digest = |it: &&Reference| ((*it).clone(), Digest::of(it.to_string().as_bytes()));
    let facts = KeyFacts {
        external: images.iter().map(digest).collect(),
        ..KeyFacts::default()
    };
    let keys = Keys::new(&stack, &facts);
    let components = stack.ids().map(|id| {
        let keyed = keys.get(id).expect("its base is known");
        let mut list = keyed.components.clone();
        // Keys contain those of parents, which contain variables.
        list.retain(|it| {
            let skipped = [
                ComponentKind::Var,
                ComponentKind::Parent,
                ComponentKind::Dependency,
            ];
            !skipped.contains(&it.kind)
        });
        list.iter_mut().for_each(|it| it.vars.clear());
        list
    });
    let components = components.collect();
    (stack, components)
}

/// Writes the files of [`EVERYTHING`].
fn write_files(folder: &Utf8Path) {
    for (name, text) in [
        ("ground/requirements.txt", "-r more.txt\nsix\n"),
        ("ground/more.txt", "-c ../shared/constraints.txt\n"),
        ("ground/environment.yml", "name: x\n"),
        ("ground/x", "x\n"),
        ("ground/tree/y", "y\n"),
        ("ground/tree/deep/z", "z\n"),
        ("shared/constraints.txt", "numpy<2\n"),
        ("middle/x", "x\n"),
        ("middle/setup.sh", "#!/bin/sh\ntrue\n"),
        ("leaf/environment.yml", "name: leaf\n"),
    ] {
        put(folder, name, text);
    }
    std::os::unix::fs::symlink("x", folder.join("images/ground/link")).expect("a link");
}

fn put(folder: &Utf8Path, name: &str, text: &str) {
    let path = folder.join("images").join(name);
    std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
    write(&path, text);
}

/// Writes a file, an executable one if it is a script.
fn write(path: &Utf8Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).expect("a file");
    if text.starts_with("#!") {
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, mode).expect("our own file");
    }
}
