//! Flags that a variable sets, through the binary: a variable set to `false` counts as not set.

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
