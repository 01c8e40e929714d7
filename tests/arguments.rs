//! The command line, through the binary: a variable set to `false` counts as not set, an invalid command line
//! also gives a document, and paths are those of the user.

use std::process::Command;

/// Runs laminate in a folder without a spec. Returns 3 if the command line is valid, 2 if it is not.
fn exit_code(words: &[&str], variable: (&str, &str)) -> Option<i32> {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_laminate"))
        .args(words)
        .current_dir(&folder)
        .env_clear()
        .env(variable.0, variable.1)
        .output()
        .expect("it starts");
    output.status.code()
}

#[test]
fn a_variable_set_to_false_conflicts_with_nothing() {
    let offline: &[&str] = &["build", "--offline", "--export", "oci:x"];
    for (words, variable) in [
        (&["promote", "--to", "x", "--resume"] as &[&str], "DRY_RUN"),
        (&["promote", "--to", "x", "--abort"], "DRY_RUN"),
        (&["build", "--push"], "OFFLINE"),
        (offline, "PUSH"),
        (&["why", "x", "--since", "y"], "OFFLINE"),
        (&["why", "x", "--in", "y"], "OFFLINE"),
    ] {
        let variable = format!("LAMINATE_{variable}");
        for (value, expected) in [("false", 3), ("0", 3), ("", 3), ("true", 2)] {
            let code = exit_code(words, (&variable, value));
            assert_eq!(code, Some(expected), "{variable}={value} {words:?}");
        }
    }
    assert_eq!(
        exit_code(&["build"], ("LAMINATE_OFFLINE", "false")),
        Some(3)
    );
    assert_eq!(exit_code(&["build"], ("LAMINATE_OFFLINE", "true")), Some(2));
}

/// Runs laminate in a folder. Returns its exit code, stdout and stderr.
fn run(
    folder: &std::path::Path,
    words: &[&str],
    variables: &[(&str, &str)],
) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_laminate"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .expect("it starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn an_invalid_command_line_gives_a_document() {
    let folder = tempfile::tempdir().expect("a folder");
    for (words, variables) in [
        (&["--json", "biuld"] as &[&str], &[] as &[(&str, &str)]),
        (&["plan", "--nosuch", "--json"], &[]),
        (&["plan", "--nosuch"], &[("LAMINATE_JSON", "1")]),
        (&["build", "--offline", "--push", "--json"], &[]),
    ] {
        let (code, stdout, stderr) = run(folder.path(), words, variables);
        let document: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        assert_eq!(code, Some(2), "{words:?}");
        assert_eq!(document["error"]["exit"], 2, "{words:?}");
        assert!(stderr.starts_with("error: "), "{words:?}: {stderr}");
    }
    let (_, stdout, _) = run(folder.path(), &["plan", "--nosuch"], &[]);
    assert_eq!(stdout, "");
    let (code, stdout, _) = run(folder.path(), &["--json", "--version"], &[]);
    assert_eq!(code, Some(0));
    assert!(stdout.starts_with("laminate "));
}

#[test]
fn the_usage_has_no_option_of_a_variable() {
    let folder = tempfile::tempdir().expect("a folder");
    let variables = [
        ("LAMINATE_CA", "ca.pem"),
        ("LAMINATE_REGISTRY", "x.example/y"),
    ];
    let (code, _, stderr) = run(folder.path(), &["promote", "--nosuch"], &variables);
    assert_eq!(code, Some(2));
    assert!(
        !stderr.contains("--ca") && !stderr.contains("--registry"),
        "{stderr}"
    );
}

#[test]
fn paths_of_faults_are_those_of_the_user_and_of_the_repository() {
    let kept = tempfile::tempdir().expect("a folder");
    let folder = kept.path().canonicalize().expect("a folder");
    let stack = folder.join("a,b/stack");
    std::fs::create_dir_all(stack.join("deep")).expect("a folder");
    std::fs::write(stack.join("specs.yml"), "stack: [x]\n").expect("a file");
    let workspace = folder.to_str().expect("UTF-8");
    let runner = [("GITHUB_ACTIONS", "true"), ("GITHUB_WORKSPACE", workspace)];
    let annotation = "::error file=a%2Cb/stack/specs.yml,line=1,";
    for (here, words, shown) in [
        (
            &folder,
            &["-C", "a,b/stack"] as &[&str],
            "a,b/stack/specs.yml",
        ),
        (
            &folder,
            &["-f", "a,b/stack/specs.yml"],
            "a,b/stack/specs.yml",
        ),
        (&stack, &[], "specs.yml"),
        (&stack.join("deep"), &[], "../specs.yml"),
    ] {
        let words = [words, &["--json", "plan", "--offline"]].concat();
        let (_, stdout, stderr) = run(here, &words, &runner);
        assert!(stderr.contains(&format!("--> {shown}:1:8")), "{stderr}");
        assert!(stderr.contains(annotation), "{stderr}");
        let document: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
        let place = &document["error"]["problems"][0]["where"];
        assert_eq!(place["file"], shown);
    }
}
