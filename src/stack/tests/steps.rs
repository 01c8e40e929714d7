//! Steps: short keys, kinds, settings and titles.

use super::*;
use crate::stack::steps::Apt;
use crate::stack::{Conda, Kind, Mode, Network, Pip, PipTool};

fn only(settings: &str) -> Step {
    let mut steps = steps_with(settings, &[]);
    assert_eq!(steps.len(), 1);
    steps.remove(0)
}

#[test]
fn short_keys_come_first_in_their_own_order() {
    let settings = "    steps: [{ run: x }]\n    pip: [six]\n    conda: [numpy]\n    apt: [git]\n";
    assert_eq!(
        titles(settings),
        ["apt git", "conda numpy", "pip six", "run x"]
    );
}

#[test]
fn apt_installs_no_recommended_packages_by_default() {
    let kind = only("    apt: [git, jq]\n").kind;
    let packages = vec!["git".to_owned(), "jq".to_owned()];
    assert_eq!(
        kind,
        Kind::Apt(Apt {
            packages,
            recommends: false,
            sources: Vec::new(),
        })
    );
    let kind = only("    apt: { packages: [git], recommends: true }\n").kind;
    assert!(matches!(
        kind,
        Kind::Apt(Apt {
            recommends: true,
            ..
        })
    ));
}

#[test]
fn pip_uses_uv_by_default() {
    let Kind::Pip(Pip {
        tool,
        packages,
        upgrade,
        ..
    }) = only("    pip: [six]\n").kind
    else {
        panic!("it is a pip step");
    };
    assert_eq!(
        (tool, packages.as_slice(), upgrade),
        (PipTool::Uv, &["six".to_owned()][..], false)
    );
}

#[test]
fn pip_finds_the_files_that_requirements_include() {
    let files = [
        ("images/a/r.txt", "-r more.txt # why\nsix\n"),
        (
            "images/a/more.txt",
            "--constraint=../shared/c.txt\n-r r.txt\n-r https://example.org/x\n",
        ),
        ("images/shared/c.txt", "numpy<2\n"),
    ];
    let steps = steps_with("    pip: r.txt\n", &files);
    let Kind::Pip(pip) = &steps[0].kind else {
        panic!("it is a pip step");
    };
    assert_eq!(pip.requirements.files, ["images/a/r.txt"]);
    assert_eq!(
        pip.requirements.includes,
        ["images/a/more.txt", "images/shared/c.txt"]
    );
}

#[test]
fn conda_takes_packages_a_file_or_both() {
    let text = "name: x\nchannels: [b]\ndependencies: [\"python>=3\"]\n";
    let files = [("images/a/environment.yml", text)];
    let steps = steps_with(
        "    conda: { packages: [numpy], file: environment.yml }\n",
        &files,
    );
    let mut expected = Conda {
        packages: vec!["numpy".to_owned()],
        file: Some("images/a/environment.yml".into()),
        ..Conda::default()
    };
    expected.content.packages = vec!["python>=3".to_owned()];
    expected.content.channels = vec!["b".to_owned()];
    assert_eq!(steps[0].kind, Kind::Conda(expected));
}

#[test]
fn a_list_of_packages_keeps_the_digests_of_urls() {
    let text = "# platform: linux-64\n@EXPLICIT\nhttps://host/c/linux-64/a-1-0.conda#d41d\n\n";
    let files = [("images/a/explicit.txt", text)];
    let steps = steps_with("    conda: explicit.txt\n", &files);
    let Kind::Conda(conda) = &steps[0].kind else {
        panic!("it is a conda step");
    };
    let expected = ["https://host/c/linux-64/a-1-0.conda#d41d"];
    assert_eq!(conda.content.packages, expected);
}

#[test]
fn run_is_literal_and_exec_is_not() {
    let settings =
        "    vars: { v: x }\n    steps:\n      - run: 'echo ${v}'\n      - exec: ['${v}']\n";
    let steps = steps_with(settings, &[]);
    assert_eq!(steps[0].kind, Kind::Run("echo ${v}".to_owned()));
    assert_eq!(steps[1].kind, Kind::Exec(vec!["x".to_owned()]));
}

#[test]
fn a_step_lists_the_variables_it_contains() {
    let settings = "    vars: { v: x, w: y }\n    steps:\n      - exec: ['${v}']\n        env: { A: '${w}' }\n      - run: x\n";
    let steps = steps_with(settings, &[]);
    assert_eq!(steps[0].vars.iter().collect::<Vec<_>>(), ["v", "w"]);
    assert!(steps[1].vars.is_empty());
}

#[test]
fn when_is_not_part_of_a_step() {
    let settings = "    vars: { v: x }\n    steps: [{ run: x, when: { v: [y, x] } }]\n";
    assert!(only(settings).vars.is_empty());
}

#[test]
fn all_variables_of_when_must_match() {
    let settings = "    vars: { v: x, w: y }\n    steps:\n      - { run: yes, when: { v: x, w: y } }\n      - { run: no, when: { v: x, w: x } }\n";
    assert_eq!(titles(settings), ["run yes"]);
}

#[test]
fn when_does_not_match_in_an_image_without_the_variable() {
    let spec = "stack: x\nimages:\n  a: { base: debian:12, vars: { gpu: 'yes' } }\n  b: { base: a, steps: [{ run: x, when: { gpu: 'yes' } }] }\n";
    assert!(image(&stack(spec), "b").steps.is_empty());
}

#[test]
fn a_value_of_when_that_nearly_is_one_of_the_variable_is_a_warning() {
    let warnings = |when: &str| {
        let spec = format!(
            "stack: x\nvariants: {{ \"1\": {{ vars: {{ py: \"3.10\" }} }}, \"2\": {{ vars: {{ py: \"3.11\" }} }} }}\nvars: {{ gpu: no }}\ntags: [\"${{variant}}-${{commit7}}\"]\nimages: {{ a: {{ base: \"debian:12\", steps: [{{ run: x, when: {{ {when} }} }}] }} }}\n"
        );
        let stack = crate::testing::stack_with(&spec, &[]);
        let messages = stack.warnings().iter().map(|it| it.message.clone());
        messages.collect::<Vec<_>>()
    };
    assert_eq!(warnings("py: 3.1"), ["variable `py` is never `3.1`"]);
    assert_eq!(
        warnings("py: [3.11, 3.1]"),
        ["variable `py` is never `3.1`"]
    );
    assert_eq!(
        warnings("variant: old"),
        ["variable `variant` is never `old`"]
    );
    for when in ["py: 3.10", "py: [\"3.11\"]", "gpu: yes", "image: a"] {
        assert!(warnings(when).is_empty(), "{when}");
    }
}

#[test]
fn steps_that_when_leaves_out_are_checked() {
    let spec = "stack: x\nvars: { v: x }\nimages: { a: { base: debian:12, steps: [{ pip: none.txt, when: { v: y } }] } }";
    assert_eq!(faults(spec), ["missing file `images/a/none.txt`"]);
}

#[test]
fn a_group_is_one_step() {
    let step = only("    steps:\n      - group: [{ run: x }, { apt: [git] }]\n        as: root\n");
    let Kind::Group(steps) = &step.kind else {
        panic!("it is a group");
    };
    assert_eq!(steps.len(), 2);
    assert_eq!(step.user.as_deref(), Some("root"));
    assert_eq!(step.title, "group: run x; apt git");
}

#[test]
fn a_group_contains_the_variables_of_its_steps() {
    let step =
        only("    vars: { v: x }\n    steps: [{ group: [{ exec: ['${v}'] }, { run: y }] }]\n");
    assert_eq!(step.vars.iter().collect::<Vec<_>>(), ["v"]);
}

#[test]
fn a_step_has_its_settings() {
    let step = only(
        "    steps:\n      - run: x\n        name: greet\n        as: root\n        cwd: /tmp\n        shell: [/bin/sh]\n        network: none\n        secrets: [token]\n        finish: { /home: { mode: g+rx } }\n",
    );
    assert_eq!(step.title, "greet");
    assert_eq!(
        (
            step.user.as_deref(),
            step.cwd.as_ref().map(|cwd| cwd.path.as_str())
        ),
        (Some("root"), Some("/tmp"))
    );
    assert_eq!(step.network, Some(Network::None));
    assert_eq!(step.secrets[0].target, "/run/secrets/token");
    assert_eq!(step.finish[0].mode, Some(Mode::Symbolic("g+rx".to_owned())));
}

#[test]
fn secrets_can_have_a_path_and_are_sorted() {
    let step = only("    steps: [{ run: x, secrets: { b: /b, a: /a } }]\n");
    let secrets: Vec<(&str, &str)> = step
        .secrets
        .iter()
        .map(|s| (s.id.as_str(), s.target.as_str()))
        .collect();
    assert_eq!(secrets, [("a", "/a"), ("b", "/b")]);
}

#[test]
fn finish_is_a_mapping_or_a_list_of_perms() {
    let step = only(
        "    steps: [{ run: x, finish: [{ perms: { /a: { mode: '755' } } }, { perms: { /b: { owner: root } } }] }]\n",
    );
    let paths: Vec<&str> = step
        .finish
        .iter()
        .map(|perms| perms.path.as_str())
        .collect();
    assert_eq!(paths, ["/a", "/b"]);
}

#[test]
fn a_long_title_is_shortened() {
    let long = "y".repeat(80);
    let titles = titles(&format!(
        "    steps: [{{ run: {long} }}, {{ run: \"one\\ntwo\" }}]\n"
    ));
    assert_eq!(titles[0].chars().count(), 60);
    assert!(titles[0].ends_with('…'));
    assert_eq!(titles[1], "run one …");
}

#[test]
fn refresh_is_a_period() {
    use crate::stack::Refresh;
    assert_eq!(
        one("    refresh: weekly\n").images[0].refresh,
        Some(Refresh::Weekly)
    );
    assert_eq!(one("").images[0].refresh, None);
}

#[test]
fn a_script_that_could_not_be_started_is_an_error_with_the_commands_that_help() {
    let spec = "stack: x\nimages: { a: { base: \"debian:12\", steps: [{ script: s.sh }] } }";
    for (text, message, help) in [
        (
            "echo\n",
            "missing `#!` line in `images/a/s.sh`",
            "#!/bin/sh",
        ),
        (
            "#!/bin/sh\r\necho\r\n",
            "`images/a/s.sh` has CRLF line endings",
            "sed -i",
        ),
    ] {
        let files = [("images/a/s.sh", text)];
        let rendered = crate::testing::parse(spec, &files, &Default::default());
        let rendered = rendered.expect_err("refused");
        assert!(
            rendered.contains(message) && rendered.contains(help),
            "{rendered}"
        );
    }
    // Without the executable bit.
    let mut files = crate::testing::text_files(&[("images/a/s.sh", "#!/bin/sh\n")]);
    let regular = crate::spec::tree::File::Regular {
        content: b"#!/bin/sh\n".as_slice().into(),
        executable: false,
    };
    files.insert("images/a/s.sh", regular);
    let spec = crate::spec::parse("specs.yml", spec, files);
    let faults = crate::stack::Stack::new(&spec, &Default::default()).expect_err("refused");
    let rendered = crate::diagnostic::render(&faults.problems, &faults.sources, false);
    assert!(
        rendered.contains("is not executable") && rendered.contains("chmod +x"),
        "{rendered}"
    );
}
