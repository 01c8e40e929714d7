//! What requirements files and environment files bring along, and their faults on their lines.

use super::*;
use crate::stack::{Kind, Part, Pip, Text};

const PROJECT: [(&str, &str); 3] = [
    ("images/a/mypkg/pyproject.toml", ""),
    ("images/a/mypkg/src/x.py", ""),
    ("images/shared/own/setup.py", ""),
];

/// Returns the paths that a text names, `P` before those of projects.
fn shown(text: &Text) -> String {
    let parts = text.iter().map(|part| match part {
        Part::Plain(text) => text.clone(),
        Part::Included(path) => format!("<I {path}>"),
        Part::Local(local) if local.is_project => format!("<P {}>", local.path),
        Part::Local(local) => format!("<{}>", local.path),
    });
    parts.collect()
}

fn pip(settings: &str, files: &[(&str, &str)]) -> Pip {
    let mut steps = steps_with(settings, files);
    match steps.remove(0).kind {
        Kind::Pip(pip) => pip,
        other => panic!("expected a pip step, found {other:?}"),
    }
}

/// Returns the files of the key of an image.
fn files_of(settings: &str, files: &[(&str, &str)]) -> Vec<String> {
    let spec = format!("stack: x\nimages:\n  a:\n    base: debian:12\n{settings}");
    let stack = crate::testing::stack_with(&spec, files);
    let paths = stack.files().iter().map(|(path, _)| path);
    paths.map(ToString::to_string).collect()
}

/// Returns each fault of a requirements file: the place, the message, the label and the help.
fn faults_in(settings: &str, files: &[(&str, &str)]) -> String {
    let spec = format!("stack: x\nimages:\n  a:\n    base: debian:12\n{settings}");
    parse(&spec, files, &Overrides::default()).expect_err("it is invalid")
}

#[test]
fn local_projects_and_archives_are_brought_along() {
    let requirements = "# all\n./mypkg[x] ; os_name == 'posix'\nown @ file:../shared/own\nw-1.whl\n--find-links ./w\nsix\n";
    let mut files = PROJECT.to_vec();
    files.extend([
        ("images/a/r.txt", requirements),
        ("images/a/w-1.whl", ""),
        ("images/a/w/x-1.whl", ""),
        ("images/a/unused", ""),
    ]);
    let pip = pip("    pip: r.txt\n", &files);
    let lines = &pip.requirements.lines[camino::Utf8Path::new("images/a/r.txt")];
    let lines: Vec<String> = lines.iter().map(shown).collect();
    assert_eq!(
        lines,
        [
            "<P images/a/mypkg>[x] ; os_name == 'posix'",
            "own @ file://<P images/shared/own>",
            "<images/a/w-1.whl>",
            "--find-links <images/a/w>",
            "six",
        ]
    );
    assert_eq!(
        files_of("    pip: r.txt\n", &files),
        [
            "images/a/mypkg",
            "images/a/mypkg/pyproject.toml",
            "images/a/mypkg/src",
            "images/a/mypkg/src/x.py",
            "images/a/r.txt",
            "images/a/w",
            "images/a/w/x-1.whl",
            "images/a/w-1.whl",
            "images/shared/own",
            "images/shared/own/setup.py",
        ]
    );
}

#[test]
fn a_package_of_the_spec_can_be_local() {
    let pip = pip("    pip: [./mypkg, six, ../shared/own/]\n", &PROJECT);
    let packages: Vec<String> = pip.requirements.packages.values().map(shown).collect();
    assert_eq!(packages, ["<P images/shared/own>", "<P images/a/mypkg>"]);
}

#[test]
fn a_local_path_is_relative_to_its_file_or_to_the_image() {
    let mut files = PROJECT.to_vec();
    files.extend([
        ("images/a/r.txt", "-r ../shared/more.txt\n"),
        ("images/shared/more.txt", "./own\n./mypkg\n"),
    ]);
    let pip = pip("    pip: r.txt\n", &files);
    let local = pip.requirements.local.iter();
    let local: Vec<&str> = local.map(|local| local.path.as_str()).collect();
    assert_eq!(local, ["images/a/mypkg", "images/shared/own"]);
}

#[test]
fn absolute_paths_are_those_of_the_image() {
    let files = [(
        "images/a/r.txt",
        "-c /opt/constraints.txt\n-r /opt/x.txt\n/opt/x.whl\npkg @ file:///opt/y\n-f /opt/w\n",
    )];
    let pip = pip("    pip: r.txt\n", &files);
    assert!(pip.requirements.includes.is_empty() && pip.requirements.local.is_empty());
    assert!(pip.requirements.lines.is_empty());
}

#[test]
fn a_byte_order_mark_and_other_lines_are_read_as_pip_does() {
    for text in [
        "\u{feff}-r base.txt\n",
        "six\r\n-r base.txt\r\n",
        "-r \\\n  base.txt # why\n",
        "-rbase.txt",
        "--requirement='base.txt'\n",
        "six \\\n# note\n-r base.txt",
    ] {
        let files = [("images/a/r.txt", text), ("images/a/base.txt", "")];
        let found = pip("    pip: r.txt\n", &files).requirements.includes;
        assert_eq!(found, ["images/a/base.txt"], "{text:?}");
    }
}

#[test]
fn options_that_uv_ignores_in_files_are_passed_to_it() {
    let files = [
        ("images/a/r.txt", "--pre\n-r more.txt\n"),
        (
            "images/a/more.txt",
            "--trusted-host=host:80\n--no-binary six\nsix --hash=sha256:aa\n",
        ),
    ];
    let options = pip("    pip: r.txt\n", &files).requirements.options;
    assert_eq!(options, ["--pre", "--trusted-host", "host:80"]);
    let of_pip = pip("    pip: { requirements: r.txt, tool: pip }\n", &files);
    assert!(of_pip.requirements.options.is_empty());
    let key = |tool: &str| {
        let settings = format!("    pip: {{ requirements: r.txt, tool: {tool} }}\n");
        steps_with(&settings, &files)[0].canonical().to_string()
    };
    assert!(key("uv").contains("--pre"));
    assert!(!key("pip").contains("options"));
}

#[test]
fn an_environment_file_brings_its_pip_section_along() {
    let mut files = PROJECT[..2].to_vec();
    files.extend([
        (
            "images/a/environment.yml",
            "channels: [conda-forge]\ndependencies:\n  - numpy # [linux]\n  - pip:\n    - -r r.txt\n    - ./mypkg\n    - six\n",
        ),
        ("images/a/r.txt", "-c c.txt\n"),
        ("images/a/c.txt", ""),
    ]);
    assert_eq!(
        files_of("    conda: environment.yml\n", &files),
        [
            "images/a/c.txt",
            "images/a/environment.yml",
            "images/a/mypkg",
            "images/a/mypkg/pyproject.toml",
            "images/a/mypkg/src",
            "images/a/mypkg/src/x.py",
            "images/a/r.txt",
        ]
    );
}

#[test]
fn faults_are_on_their_lines() {
    let files = [
        (
            "images/a/r.txt",
            "six\n-e ./x\n-e git+https://host/x.git\n./none\n./empty\n./six.py\n-r ${X}.txt\n-r none.txt\n--user\n-c ../../x\n--prefer-binary\npkg @ git+https://me:word@host/x\n",
        ),
        ("images/a/empty/x", ""),
        ("images/a/six.py", ""),
    ];
    insta::assert_snapshot!(faults_in("    pip: r.txt\n", &files));
}

#[test]
fn faults_of_an_environment_file_are_on_its_lines() {
    let files = [(
        "images/a/environment.yml",
        "channels: [\"https://me:word@host/c\"]\ndependencies:\n  - pip: [\"-e .\", six]\n",
    )];
    insta::assert_snapshot!(faults_in("    conda: environment.yml\n", &files));
    let files = [(
        "images/a/environment.yml",
        "dependencies:\n  - pip: [\"-e .\", \"./x\"]\n",
    )];
    insta::assert_snapshot!(faults_in("    conda: environment.yml\n", &files));
}

#[test]
fn an_environment_file_has_no_other_keys() {
    let files = [(
        "images/a/environment.yml",
        "name: x\nvariables: { A: b }\nchannels: a\ndependencies:\n  - npm: [x]\n  - [y]\n",
    )];
    insta::assert_snapshot!(faults_in("    conda: environment.yml\n", &files));
}

#[test]
fn a_fault_of_an_included_file_is_on_the_line_that_includes_it() {
    let files = [
        ("images/a/r.txt", "six\n-r b.txt\n"),
        ("images/a/b.txt", "-c c.txt\n"),
        (
            "images/a/c.txt",
            "# \u{0}\nx\u{0}\n-i ./simple\n${PROJECT_ROOT}/p\nx --pre\n",
        ),
    ];
    let faults = faults_in("    pip: r.txt\n", &files);
    for place in ["c.txt:2:1", "c.txt:3:1", "c.txt:4:1", "c.txt:5:1"] {
        assert!(
            faults.contains(&format!("images/a/{place}")),
            "{place}: {faults}"
        );
    }
}

#[test]
fn folders_of_archives_are_brought_along_also_as_urls() {
    let files = [
        ("images/a/r.txt", "-f file:w\n"),
        ("images/a/w/x-1.whl", ""),
    ];
    assert_eq!(
        files_of("    pip: r.txt\n", &files),
        ["images/a/r.txt", "images/a/w", "images/a/w/x-1.whl"]
    );
}

#[test]
fn files_that_the_step_would_lack_are_errors() {
    for (step, expected) in [
        (
            "pip: { packages: [x], index: ./simple }",
            "index `./simple` is not a URL",
        ),
        (
            "pip: { packages: [x], extra-index: [simple] }",
            "index `simple` is not a URL",
        ),
        (
            "pip: { packages: [x], args: [-c, c.txt] }",
            "file in `args`: `c.txt`",
        ),
        (
            "pip: { packages: [x], args: [-e, .] }",
            "editable requirement `-e`",
        ),
    ] {
        let faults = faults_in(&format!("    {step}\n"), &[]);
        assert!(faults.contains(expected), "{faults}");
    }
}

#[test]
fn a_path_in_a_url_is_unescaped() {
    let files = [
        ("images/a/r.txt", "p @ file:./my%20p\nq @ ./my%20q\n"),
        ("images/a/my p/setup.py", ""),
        ("images/a/my%20q/setup.py", ""),
    ];
    let pip = pip("    pip: r.txt\n", &files);
    let local: Vec<&str> = (pip.requirements.local.iter())
        .map(|local| local.path.as_str())
        .collect();
    assert_eq!(local, ["images/a/my p", "images/a/my%20q"]);
}

#[test]
fn credentials_in_packages_of_conda_are_errors() {
    let list = "\u{feff}@EXPLICIT\nhttps://h/x.conda\nhttps://me:word@h/y.conda\nhttps://h/t/word/z.conda\n";
    let faults = faults_in("    conda: e.txt\n", &[("images/a/e.txt", list)]);
    assert!(
        faults.contains("e.txt:3:1") && faults.contains("e.txt:4:1"),
        "{faults}"
    );
    let faults = faults_in("    conda: [\"https://h/t/word/z.conda\"]\n", &[]);
    assert!(faults.contains("token in the URL"), "{faults}");
    let yml = "dependencies:\n  - https://h/t/word/z.conda\n";
    let faults = faults_in("    conda: e.yml\n", &[("images/a/e.yml", yml)]);
    assert!(faults.contains("token in the URL"), "{faults}");
}
