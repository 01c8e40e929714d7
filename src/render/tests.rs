//! Tests of whole Dockerfiles.

mod config;
mod keys;

use std::collections::BTreeMap;

use super::*;
use crate::testing::stack_with;

const DEBIAN: &str = "docker.io/library/debian:12";

fn facts(config: &str) -> Facts {
    let reference = Reference::parse(DEBIAN).expect("valid");
    let config = BaseConfig::parse(format!("{{\"config\":{config}}}").as_bytes());
    Facts {
        external: BTreeMap::from([(reference.clone(), Digest::of(b"debian"))]),
        bases: BTreeMap::from([(reference, config.expect("an object"))]),
        dockerfiles: BTreeMap::new(),
    }
}

fn rendered(images: &str, config: &str) -> Rendered {
    let mut files = vec![
        ("images/a/one", "1\n"),
        ("images/a/tree/x", "x\n"),
        ("images/a/tree/deep/y", "y\n"),
        ("images/a/requirements.txt", "six\n"),
    ];
    if images.contains("  d:") {
        files.push(("images/d/Dockerfile", "FROM a\nCOPY f /\n"));
        files.push(("images/d/f", "f\n"));
    }
    let stack = stack_with(&format!("stack: t\nimages:\n{images}"), &files);
    render(&stack, &facts(config)).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn text(made: &Rendered, path: &str) -> String {
    match made.files.0.get(path) {
        Some(File::Regular {
            content: Content::Bytes(bytes),
            ..
        }) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("{path}: {other:?}"),
    }
}

/// Returns the instructions of an image behind its base.
fn instructions(keys: &str, config: &str) -> String {
    let made = rendered(&format!("  a:\n    base: debian:12\n    {keys}\n"), config);
    let text = text(&made, "a/Dockerfile");
    let (_, rest) = text.split_once("\nFROM ").expect("it has a base");
    let lines = rest
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty() && !line.starts_with("# "));
    lines.map(|line| format!("{line}\n")).collect()
}

const PATH: &str = r#"{"Env":["PATH=/bin"]}"#;

#[test]
fn an_external_base_has_its_digest() {
    let made = rendered("  a: { base: \"debian:12\" }\n", PATH);
    let expected = format!("FROM {DEBIAN}@{}\n", Digest::of(b"debian"));
    assert!(text(&made, "a/Dockerfile").contains(&expected));
}

#[test]
fn files_are_copied_from_where_the_stack_has_them() {
    let made = instructions(
        "copy: { /srv/one: { from: one, owner: \"1000:100\", mode: \"755\" }, /srv/tree: tree/ }",
        PATH,
    );
    assert_eq!(
        made,
        "COPY --chown=1000:100 --chmod=755 files/one /srv/one\nCOPY files/tree/ /srv/tree/\n"
    );
}

#[test]
fn a_part_of_a_folder_is_copied_from_a_folder_of_the_step() {
    let both = "steps: [{ copy: { /a: { from: \"tree/*\" } } }, { copy: { /b/: [one] } }]";
    let made = instructions(both, PATH);
    assert!(made.ends_with("COPY steps/02/0/ /b/\n"), "{made}");
}

#[test]
fn a_mode_that_also_new_folders_would_get_is_set_in_a_stage() {
    let keys = "steps: [{ write: { /opt/x: { text: \"x\\n\", mode: \"600\", owner: \"7\" } } }, { copy: { /etc/new/y: { from: one, mode: \"2750\" } } }]";
    let made = rendered(&format!("  a:\n    base: debian:12\n    {keys}\n"), PATH);
    let text = text(&made, "a/Dockerfile");
    let stage = "FROM scratch AS files\nCOPY --chmod=600 <<'EOF' /01-0\nx\nEOF\nCOPY --chmod=2750 files/one /02-0\n\nFROM docker.io";
    assert!(text.contains(stage), "{text}");
    for line in [
        "\nCOPY --from=files --chown=7 /01-0 /opt/x\n",
        "\nCOPY --from=files /02-0 /etc/new/y\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
}

#[test]
fn a_run_step_is_an_instruction_that_stops_at_the_first_error() {
    let run = |text: &str| instructions(&format!("steps: [{{ run: \"{text}\" }}]"), PATH);
    assert_eq!(run("make && make install"), "RUN make && make install\n");
    assert_eq!(run("a; b"), "RUN <<'EOF'\nset -e\na; b\nEOF\n");
    assert_eq!(run("a\\nEOF\\n"), "RUN <<'EOF_'\nset -e\na\nEOF\nEOF_\n");
}

#[test]
fn another_shell_runs_a_file() {
    let keys = "shell: [/bin/bash, -o, pipefail, -c]\n    steps: [{ run: \"a\\nb\\n\" }]";
    let made = instructions(keys, PATH);
    let last = r#"    ["/bin/bash", "-e", "-o", "pipefail", "-c", ". /run/laminate/01-run.sh"]"#;
    assert_eq!(made.lines().last(), Some(last));
}

#[test]
fn the_user_of_a_step_is_that_of_its_instruction_and_home_that_of_the_user() {
    let config = r#"{"Env":["PATH=/bin","HOME=/home/jovyan"],"User":"jovyan"}"#;
    let made = instructions("steps: [{ run: a, as: root }, { run: b }]", config);
    assert_eq!(
        made,
        "USER root\nRUN <<'EOF'\nset -e\nexport HOME=/root\na\nEOF\nUSER jovyan\nRUN b\n"
    );
    let made = instructions("steps: [{ run: a, as: root }]", config);
    assert!(made.ends_with("EOF\nUSER jovyan\n"), "{made}");
}

#[test]
fn variables_see_those_before_them() {
    let keys = "env: { A: \"x ${env:PATH}\", PATH: { prepend: /opt/bin, sep: \":\" } }";
    assert_eq!(
        instructions(keys, PATH),
        "ENV A=\"x ${PATH}\" \\\n    PATH=\"/opt/bin:${PATH}\"\n"
    );
    let without = instructions("env: { A: \"$1\" }", "{}");
    assert!(
        without.starts_with("ENV PATH=/usr/local/sbin:"),
        "{without}"
    );
    assert!(without.ends_with("    A=\"\\$1\"\n"), "{without}");
}

#[test]
fn what_a_dockerfile_cannot_have_is_noted() {
    let config = r#"{"Env":["PATH=/bin","A=1"],"Labels":{"l":"1"},"ExposedPorts":{"80/tcp":{}}}"#;
    let keys =
        "env: { A: null }, config: { labels: { l: null }, ports: null }, tests: { t: { run: x } }";
    let made = rendered(&format!("  a: {{ base: \"debian:12\", {keys} }}\n"), config);
    let notes: Vec<&str> = made.notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(
        notes,
        [
            "variable `A` is empty: a Dockerfile cannot remove it",
            "`l` of `Labels` of the base stays: a Dockerfile cannot remove it",
            "`80/tcp` of `ExposedPorts` of the base stays: a Dockerfile cannot remove it",
            "`tests:` is left out",
        ]
    );
    assert!(text(&made, "README.md").contains("cannot remove it"));
}

#[test]
fn a_value_of_several_lines_is_an_error() {
    let spec = "stack: t\nimages:\n  a: { base: \"debian:12\", env: { A: \"1\\n2\" } }\n";
    let problems = render(&stack_with(spec, &[]), &facts(PATH)).expect_err("no instruction");
    assert_eq!(
        problems[0].message,
        "variable `A` of image `a` has several lines, which a Dockerfile cannot set"
    );
}

#[test]
fn a_base_whose_config_is_not_known_is_an_error() {
    let spec = "stack: t\nimages:\n  a: { base: \"debian:12\" }\n";
    let problems = render(&stack_with(spec, &[]), &Facts::default()).expect_err("no config");
    let expected = "cannot read the config of base `docker.io/library/debian:12`";
    assert_eq!(problems[0].message, expected);
}

#[test]
fn a_step_below_a_writable_path_is_given_to_the_group() {
    let keys =
        "writable: { gid: 100, paths: [/srv] }\n    steps: [{ copy: { /srv/x: one } }, { run: a }]";
    let made = instructions(keys, PATH);
    let commands: Vec<&str> = made
        .lines()
        .filter(|line| line.starts_with("    ["))
        .collect();
    assert_eq!(
        commands,
        [
            r#"    ["/bin/sh", "/run/laminate/writable.sh", "/bin/sh", "-e", "/run/laminate/01-copy.sh"]"#,
            r#"    ["/bin/sh", "/run/laminate/writable.sh", "/bin/sh", "-e", "-c", "a"]"#,
        ]
    );
}

#[test]
fn modes_that_git_does_not_keep_are_set_by_the_script() {
    let keys = "steps: [{ group: [{ write: { /etc/new/x: { text: x, mode: \"600\" } } }] }]";
    let made = rendered(&format!("  a:\n    base: debian:12\n    {keys}\n"), PATH);
    let dockerfile = text(&made, "a/Dockerfile");
    assert!(
        dockerfile.contains("target=/run/laminate/tree,rw"),
        "{dockerfile}"
    );
    let script = text(&made, "a/steps/01-group.sh");
    assert!(
        script.starts_with("chmod 600 /run/laminate/tree/0-0\n"),
        "{script}"
    );
}

#[test]
fn tools_are_stages_that_a_named_context_can_replace() {
    let made = rendered(
        "  a: { base: \"debian:12\", pip: requirements.txt }\n",
        PATH,
    );
    let dockerfile = text(&made, "a/Dockerfile");
    assert!(
        dockerfile.contains("\nFROM docker.io/library/python:3.13-slim AS uv\nRUN echo 'uv=="),
        "{dockerfile}"
    );
    let mount = "--mount=type=bind,from=uv,source=/uv/bin/uv,target=/run/laminate/uv/bin/uv";
    assert!(dockerfile.contains(mount), "{dockerfile}");
    let file = "source=files/requirements.txt,target=/run/laminate/files/images/a/requirements.txt";
    assert!(dockerfile.contains(file), "{dockerfile}");
}

#[test]
fn a_dockerfile_stays_and_its_names_are_contexts() {
    let made = rendered(
        "  a: { base: \"debian:12\" }\n  d: { dockerfile: Dockerfile }\n",
        PATH,
    );
    let target = made.targets.iter().find(|target| target.name == "d");
    let target = target.expect("it is one");
    let expected = BTreeMap::from([("a".to_owned(), Context::Target("a".to_owned()))]);
    assert_eq!(target.contexts, expected);
    assert_eq!(text(&made, "d/Dockerfile"), "FROM a\nCOPY f /\n");
    assert_eq!(text(&made, "d/context/f"), "f\n");
    let bake: serde_json::Value =
        serde_json::from_str(&text(&made, "docker-bake.json")).expect("JSON");
    assert_eq!(bake["target"]["d"]["contexts"]["a"], "target:a");
    assert_eq!(bake["target"]["d"]["dockerfile"], "../Dockerfile");
}

/// Returns the Dockerfile of the steps on that of an image, and the notes, or the first problem. The finished image has
/// the config.
fn on_dockerfile(keys: &str, config: &str) -> Result<(String, Vec<String>), Diagnostic> {
    let spec = format!("stack: t\nimages:\n  d:\n    dockerfile: Dockerfile\n    {keys}\n");
    let stack = stack_with(&spec, &[("images/d/Dockerfile", "FROM debian:12\n")]);
    let id = stack.ids().next().expect("it has one");
    let built = BaseConfig::parse(format!("{{\"config\":{config}}}").as_bytes());
    let mut facts = facts(PATH);
    facts.dockerfiles.insert(id, built.expect("an object"));
    let made = render(&stack, &facts).map_err(|mut problems| problems.remove(0))?;
    let text = text(&made, "d/Dockerfile");
    let (_, rest) = text.split_once("\nFROM d-dockerfile\n").expect("a base");
    let lines = rest
        .lines()
        .filter(|it| !it.is_empty() && !it.starts_with('#'));
    let notes = made.notes.into_iter().map(|note| note.text);
    Ok((
        lines.map(|line| format!("{line}\n")).collect(),
        notes.collect(),
    ))
}

#[test]
fn what_config_sets_on_a_dockerfile_is_written_once() {
    let keys = "env: { PATH: { prepend: /opt, sep: \":\" } }\n    steps: [{ run: a }]\n    \
                config: { user: daemon, workdir: /w, labels: { l: \"1\", m: null }, ports: [80], stop-signal: SIGINT }";
    let config = r#"{"Env":["PATH=/opt:/bin"],"User":"daemon","WorkingDir":"/w",
        "Labels":{"l":"1"},"ExposedPorts":{"80/tcp":{}},"StopSignal":"SIGINT"}"#;
    let (text, notes) = on_dockerfile(keys, config).expect("it can be");
    assert_eq!(
        text,
        "ENV PATH=\"/opt${PATH:+:${PATH}}\"\nRUN a\nUSER daemon\nWORKDIR /w\nSTOPSIGNAL SIGINT\nLABEL l=1\n\
         EXPOSE 80/tcp\n"
    );
    assert_eq!(
        notes,
        ["label `m` stays if the Dockerfile sets it: another one cannot remove it"]
    );
}

#[test]
fn a_step_needs_no_instruction_that_its_dockerfile_may_contradict() {
    let config = r#"{"Env":["PATH=/bin","A=late"],"User":"daemon"}"#;
    let message = |keys: &str| on_dockerfile(keys, config).map_err(|problem| problem.message);
    let user = "config: { user: daemon }, steps";
    let fails = |what: &str| {
        Err(format!(
            "unknown {what} of a step on the Dockerfile of image `d`"
        ))
    };
    let yaml = |keys: &str| keys.replace(", steps", "\n    steps");
    assert!(
        message(&yaml(&format!(
            "{user}: [{{ run: a }}, {{ run: b, as: root }}]"
        )))
        .is_ok()
    );
    let back = format!("{user}: [{{ run: b, as: root }}, {{ run: a }}]");
    assert_eq!(message(&yaml(&back)), fails("user"));
    let shell = "config: { shell: [/bin/bash, -c] }, steps: [{ run: a }]";
    assert_eq!(message(&yaml(shell)), fails("shell"));
    let folder = "config: { workdir: /w }, steps: [{ run: a, cwd: /x }, { run: b }]";
    assert_eq!(message(&yaml(folder)), fails("folder"));
    let env = "config: { env: { A: late } }, steps: [{ run: a, env: { B: \"${env:A}\" } }]";
    assert_eq!(message(&yaml(env)), fails("environment"));
}

#[test]
fn the_files_of_a_dockerfile_are_ignored_once() {
    let made = rendered(
        "  a: { base: \"debian:12\" }\n  d: { dockerfile: Dockerfile }\n",
        PATH,
    );
    let ignored = text(&made, "d/Dockerfile.dockerignore");
    assert!(ignored.starts_with('#'), "{ignored}");
}

#[test]
fn a_file_that_is_copied_with_two_modes_keeps_its_own() {
    let keys =
        "steps: [{ copy: { /etc/a: one } }, { copy: { /etc/b: { from: one, mode: \"755\" } } }]";
    let made = rendered(&format!("  a:\n    base: debian:12\n    {keys}\n"), PATH);
    assert!(text(&made, "a/Dockerfile").contains("COPY --chmod=755 files/one /etc/b\n"));
    let file = &made.files.0["a/files/one"];
    assert!(
        matches!(file, File::Regular { mode: 0o644, .. }),
        "{file:?}"
    );
}

#[test]
fn a_path_of_another_image_is_not_a_pattern() {
    let copy = |path: &str| {
        let spec =
            format!("steps: [{{ copy: {{ /x: {{ image: \"debian:12\", from: \"{path}\" }} }} }}]");
        instructions(&spec, PATH)
    };
    assert!(copy("/a b").starts_with("COPY --from="), "{}", copy("/a b"));
    assert!(
        copy("/a[1]").starts_with("RUN --mount="),
        "{}",
        copy("/a[1]")
    );
}

#[test]
fn a_step_of_another_user_has_the_home_of_that_user() {
    let config = r#"{"Env":["PATH=/bin","HOME=/home/jovyan","A=1"],"User":"jovyan"}"#;
    let made = instructions("steps: [{ run: a, as: daemon, env: { A: null } }]", config);
    assert!(made.contains("set -e\nunset A\nHOME=$(while "), "{made}");
    let exec = instructions("steps: [{ exec: [a], as: daemon }]", config);
    assert!(exec.contains(r#""laminate", "env", "a"]"#), "{exec}");
}

#[test]
fn what_a_base_has_and_a_dockerfile_loses_is_noted() {
    let config = r#"{"Env":["PATH=/bin"],"OnBuild":["RUN x"],"StopTimeout":5,"Hostname":"h"}"#;
    let keys = "base: \"debian:12\", config: { onbuild: ignore }";
    let made = rendered(&format!("  a: {{ {keys} }}\n"), config);
    let notes: Vec<&str> = made.notes.iter().map(|note| note.text.as_str()).collect();
    let expected = [
        "ONBUILD triggers of the base run: a Dockerfile cannot ignore them",
        "`StopTimeout` of the config of the base is lost",
    ];
    assert_eq!(notes, expected);
}

#[test]
fn images_of_variants_are_apart() {
    let spec = "stack: t\nvariants: { \"1.0\": {}, \"2.0\": {} }\nimages:\n  a: { base: \"debian:12\" }\n  b: { base: a }\n";
    let made = render(&stack_with(spec, &[]), &facts(PATH)).expect("it can be");
    let names: Vec<&str> = made
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    assert_eq!(names, ["1-0-a", "1-0-b", "2-0-a", "2-0-b"]);
    let expected = BTreeMap::from([("a".to_owned(), Context::Target("2-0-a".to_owned()))]);
    assert_eq!(made.targets[3].contexts, expected);
    assert!(made.files.0.contains_key("2.0/b/Dockerfile"));
}
