//! The command line, through the binary: a variable set to `false` counts as not set, an invalid command line
//! also gives a document, and paths are those of the user.

use crate::support::laminate::Laminate;

/// Without a spec, a valid command line ends with 3, an invalid one with 2.
#[tokio::test]
async fn a_variable_set_to_false_conflicts_with_nothing() {
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
            let answer = Laminate::new().variable(&variable, value).run(words).await;
            assert_eq!(answer.code, expected, "{variable}={value} {words:?}");
        }
    }
    for (value, expected) in [("false", 3), ("true", 2)] {
        let laminate = Laminate::new().variable("LAMINATE_OFFLINE", value);
        assert_eq!(laminate.run(&["build"]).await.code, expected, "{value}");
    }
}

#[tokio::test]
async fn an_invalid_command_line_gives_a_document() {
    let (plain, with_json) = (
        Laminate::new(),
        Laminate::new().variable("LAMINATE_JSON", "1"),
    );
    for (words, laminate) in [
        (&["--json", "biuld"] as &[&str], &plain),
        (&["plan", "--nosuch", "--json"], &plain),
        (&["plan", "--nosuch"], &with_json),
        (&["build", "--offline", "--push", "--json"], &plain),
    ] {
        let answer = laminate.run(words).await;
        assert_eq!(answer.code, 2, "{words:?}");
        assert_eq!(answer.json()["error"]["exit"], 2, "{words:?}");
        assert!(
            answer.stderr.starts_with("error: "),
            "{words:?}: {answer:?}"
        );
    }
    let answer = plain.run(&["plan", "--nosuch"]).await;
    assert_eq!(answer.stdout, "");
    let answer = plain.run(&["--json", "--version"]).await;
    assert_eq!(answer.code, 0);
    assert!(answer.stdout.starts_with("laminate "));
}

#[tokio::test]
async fn a_command_that_other_tools_have_gets_help() {
    let help = "`laminate revert CHANNEL` moves a channel back";
    let answer = Laminate::new().run(&["--json", "rollback", "stable"]).await;
    assert_eq!(answer.code, 2, "{answer:?}");
    let text = format!("error: unknown command `rollback`\nhelp: {help}\n");
    assert_eq!(answer.stderr, text);
    let error = &answer.json()["error"];
    assert_eq!(error["text"], "unknown command `rollback`");
    assert_eq!(error["help"], help);
}

#[tokio::test]
async fn the_usage_has_no_option_of_a_variable() {
    let laminate = Laminate::new()
        .variable("LAMINATE_CA", "ca.pem")
        .variable("LAMINATE_REGISTRY", "x.example/y");
    let answer = laminate.run(&["promote", "--nosuch"]).await;
    assert_eq!(answer.code, 2);
    for option in ["--ca", "--registry"] {
        assert!(!answer.stderr.contains(option), "{answer:?}");
    }
}

#[tokio::test]
async fn paths_of_faults_are_those_of_the_user_and_of_the_repository() {
    let kept = tempfile::tempdir().expect("a folder");
    let folder = kept.path().canonicalize().expect("a folder");
    let stack = folder.join("a,b/stack");
    std::fs::create_dir_all(stack.join("deep")).expect("a folder");
    std::fs::write(stack.join("specs.yml"), "stack: [x]\n").expect("a file");
    let workspace = folder.to_str().expect("UTF-8");
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
        let laminate = Laminate::new()
            .working_folder(here)
            .variable("GITHUB_ACTIONS", "true")
            .variable("GITHUB_WORKSPACE", workspace);
        let answer = laminate.run(&words).await;
        let errors = &answer.stderr;
        assert!(errors.contains(&format!("--> {shown}:1:8")), "{errors}");
        assert!(errors.contains(annotation), "{errors}");
        let document = answer.json();
        let place = &document["error"]["problems"][0]["where"];
        assert_eq!(place["file"], shown);
    }
}
