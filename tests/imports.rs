//! `import` and `init`, through the binary.

use crate::support::laminate::Laminate;

#[tokio::test]
async fn init_adds_what_an_imported_stack_lacks() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let write = |path: &str, text: &str| std::fs::write(root.join(path), text).expect("written");
    std::fs::create_dir(root.join("web")).expect("a folder");
    write("web/Dockerfile", "FROM debian:12\n");
    write(".gitignore", "dist/\n");
    let laminate = Laminate::new().working_folder(root);
    let import = &["import", "--registry", "quay.io/campus", "--stack", "x"];
    let answer = laminate.run(import).await;
    assert!(answer.stdout.contains("`laminate init`"), "{answer:?}");
    let spec = std::fs::read_to_string(root.join("specs.yml")).expect("written");
    let workflow = ".github/workflows/stack.yml";
    let answer = laminate.run(&["--json", "init"]).await;
    assert_eq!(
        answer.json(),
        serde_json::json!({ "written": [workflow], "left": ["specs.yml", ".gitignore"] })
    );
    let text = |path: &str| std::fs::read_to_string(root.join(path)).expect("there");
    assert_eq!(
        (text("specs.yml"), text(".gitignore")),
        (spec, "dist/\n".to_owned())
    );
    assert!(text(workflow).contains("login: quay.io"));
    assert!(!root.join("images/app").exists());
    let answer = laminate.run(&["init"]).await;
    let expected = "nothing to write\nexists already: specs.yml, .gitignore\n.github/workflows/stack.yml runs laminate already\n";
    assert_eq!(answer.stdout, expected);
    assert_eq!(laminate.run(&["init", "--stack", "y"]).await.code, 2);
    let answer = laminate.run(&["import", "--force"]).await;
    assert!(!answer.stdout.contains("`laminate init`"), "{answer:?}");
}

#[tokio::test]
async fn a_bake_file_in_a_folder_uses_the_whole_repository() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    for path in [".git", "g/images/own", "shared", "web"] {
        std::fs::create_dir_all(root.join(path)).expect("a folder");
    }
    let write = |path: &str, text: &str| std::fs::write(root.join(path), text).expect("written");
    for path in ["g/images/own", "shared", "web"] {
        write(&format!("{path}/Dockerfile"), "FROM debian:12\n");
    }
    let bake = |targets: &str| format!("{{ \"target\": {{ {targets} }} }}");
    let up = bake(r#""up": { "context": "../shared" }, "own": { "context": "images/own" }"#);
    write("g/docker-bake.json", &up);
    write("g/root.json", &bake(r#""web": { "context": "web" }"#));
    write("g/out.json", &bake(r#""web": { "context": "../../x" }"#));
    let laminate = Laminate::new().working_folder(root);
    let copied = |answer: &crate::support::laminate::Answer| {
        let copied = answer.json()["copied"].clone();
        let copied = copied.as_array().cloned().unwrap_or_default().into_iter();
        let paths = copied.map(|it| format!("{} {}", it["from"], it["to"]).replace('"', ""));
        paths.collect::<Vec<_>>()
    };
    let answer = laminate
        .run(&["--json", "import", "g/root.json", "--dry-run"])
        .await;
    assert_eq!(copied(&answer), ["web/Dockerfile images/web/Dockerfile"]);
    let answer = laminate.run(&["import", "g/out.json", "--dry-run"]).await;
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(
        answer.stderr.contains("leads out of the folder"),
        "{answer:?}"
    );
    let answer = laminate.run(&["-C", "g", "--json", "import"]).await;
    assert_eq!(copied(&answer), ["shared/Dockerfile images/up/Dockerfile"]);
    for path in ["g/images/own/Dockerfile", "g/images/up/Dockerfile"] {
        let text = std::fs::read_to_string(root.join(path)).expect("there");
        assert_eq!(text, "FROM debian:12\n", "{path}");
    }
}

#[tokio::test]
async fn an_import_lists_what_git_warns_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let search = std::env::var_os("PATH").expect("set");
    let init = std::process::Command::new("git")
        .args(["init", "--quiet"])
        .current_dir(folder.path())
        .status();
    assert!(init.expect("git starts").success());
    std::fs::create_dir(folder.path().join("a")).expect("a folder");
    std::fs::write(folder.path().join("a/Dockerfile"), "FROM debian:12\n").expect("written");
    // git does not follow it.
    std::os::unix::fs::symlink("ignored", folder.path().join(".gitignore")).expect("a link");
    let laminate = Laminate::new()
        .working_folder(folder.path())
        .variable("PATH", search);
    let answer = laminate.run(&["import", "--dry-run", "--json"]).await;
    let notes = answer.json()["report"].clone();
    let found: Vec<_> = notes
        .as_array()
        .expect("a list")
        .iter()
        .filter(|note| note["where"] == "git")
        .collect();
    assert_eq!(found.len(), 1, "{answer:?}");
    assert_eq!(
        found[0]["found"], "unable to access '.gitignore': Too many levels of symbolic links",
        "{answer:?}"
    );
}
