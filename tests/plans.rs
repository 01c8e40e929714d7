//! What a plan costs, in what can be counted.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::laminate::Laminate;

/// The most times that `plan` starts git, however many images there are.
const GITS: usize = 11;

/// How often git looks at all files of `images/` on the disk.
const WALKS: usize = 3;

fn git(folder: &Path, words: &[&str]) {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
    let command = std::process::Command::new("git")
        .current_dir(folder)
        .args(identity)
        .args(words)
        .output();
    let output = command.expect("git starts");
    assert!(output.status.success(), "{words:?}: {output:?}");
}

/// Makes a repository of a folder, with a commit of all its files.
fn commit_all(folder: &Path) {
    git(folder, &["init", "--quiet"]);
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", "x"]);
}

/// Waits until files that were written before count as settled.
async fn settle() {
    tokio::time::sleep(std::time::Duration::from_millis(2_100)).await;
}

/// Writes a program that notes its arguments in `log`, and runs git.
fn write_counting_git(folder: &Path, log: &Path) {
    write_git(
        folder,
        &format!("echo \"$*\" >>'{}'\nexec git \"$@\"", log.display()),
    );
}

/// Writes a program `git`, a script in which `git` is the real one.
fn write_git(folder: &Path, script: &str) {
    let path = folder.join("git");
    let search = std::env::var("PATH").expect("set");
    std::fs::write(&path, format!("#!/bin/sh\nPATH='{search}'\n{script}\n")).expect("written");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, mode).expect("set");
}

fn write_stack(folder: &Path, images: usize) {
    let digest = "a".repeat(64);
    let mut spec = "stack: x\nregistry: example.org/x\nimages:\n".to_owned();
    for n in 0..images {
        let base = match n {
            0 => format!("example.org/debian@sha256:{digest}"),
            _ => format!("image-{}", (n - 1) / 10),
        };
        let step = format!("{{ copy: {{ /etc/{n}: text }} }}");
        let _ = writeln!(spec, "  image-{n}: {{ base: {base}, steps: [{step}] }}");
        let own = folder.join(format!("images/image-{n}"));
        std::fs::create_dir_all(&own).expect("a folder");
        std::fs::write(own.join("text"), n.to_string()).expect("written");
    }
    std::fs::write(folder.join("specs.yml"), spec).expect("written");
}

#[tokio::test]
async fn a_plan_starts_git_as_often_for_many_images_as_for_one() {
    for images in [1, 60] {
        let folder = tempfile::tempdir().expect("a folder");
        let (stack, tools) = (folder.path().join("stack"), folder.path().join("tools"));
        for folder in [&stack, &tools] {
            std::fs::create_dir(folder).expect("a folder");
        }
        write_stack(&stack, images);
        commit_all(&stack);
        let log = folder.path().join("log");
        write_counting_git(&tools, &log);
        let laminate = Laminate::new()
            .working_folder(&stack)
            .variable("PATH", &tools);
        let answer = laminate.run(&["--json", "plan", "--offline"]).await;
        assert_eq!(answer.code, 10, "{answer:?}");
        let planned = answer.json()["images"].as_array().map(Vec::len);
        assert_eq!(planned, Some(images));
        assert_eq!(answer.json()["dirty"], false);
        let started = std::fs::read_to_string(&log).expect("git was started");
        assert!(
            started.lines().count() <= GITS,
            "{images} images: {started:?}"
        );
        let is_walk = |line: &&str| {
            let looks = line.contains(" status ") || line.contains(" --others ");
            looks && line.ends_with(" images")
        };
        assert_eq!(started.lines().filter(is_walk).count(), WALKS, "{started}");
    }
}

/// Returns when a phase or a git began, microseconds since laminate did.
fn begin_of(trace: &serde_json::Value, name: &str) -> f64 {
    let mut events = trace["traceEvents"].as_array().into_iter().flatten();
    let event = events.find(|event| event["ph"] == "X" && event["name"] == name);
    let begin = event.and_then(|event| event["ts"].as_f64());
    begin.unwrap_or_else(|| panic!("no {name}: {trace}"))
}

#[tokio::test]
async fn git_compares_while_the_stack_is_resolved_unless_a_file_has_just_changed() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = folder.path();
    // So many that git starts before they are resolved.
    write_stack(stack, 300);
    commit_all(stack);
    let plan = async || {
        let trace = stack.join("trace.json");
        let laminate = Laminate::new()
            .working_folder(stack)
            .variable("PATH", std::env::var_os("PATH").expect("set"))
            .variable("LAMINATE_TRACE", &trace);
        let answer = laminate.run(&["--json", "plan", "--offline"]).await;
        let trace = std::fs::read(trace).expect("the trace was written");
        let trace: serde_json::Value = serde_json::from_slice(&trace).expect("valid JSON");
        let is_early = begin_of(&trace, "git status") < begin_of(&trace, "gather facts");
        (is_early, answer.json()["dirty"].clone())
    };
    assert_eq!(plan().await, (false, false.into()));
    settle().await;
    assert_eq!(plan().await, (true, false.into()));
    std::fs::write(stack.join("images/image-1/text"), "changed").expect("written");
    assert_eq!(plan().await, (false, true.into()));
    settle().await;
    assert_eq!(plan().await, (true, true.into()));
}

/// Plans a stack with a program `git` that runs something before and after files are compared for the first time, while
/// laminate is stopped. Returns the commit, whether files differ from it, and the keys.
async fn plan_while(stack: &Path, before: &str, after: &str) -> serde_json::Value {
    let tools = tempfile::tempdir().expect("a folder");
    let once = tools.path().join("once");
    let script = format!(
        "case \" $* \" in *' status '*) if mkdir '{once}' 2>/dev/null; then
            kill -STOP $PPID
            (cd '{stack}' && sleep 0.2 && {before})
            git \"$@\" >'{once}/status'
            (cd '{stack}' && sleep 0.2 && {after})
            kill -CONT $PPID
            exec cat '{once}/status'
        fi;; esac
        exec git \"$@\"",
        once = once.display(),
        stack = stack.display(),
    );
    write_git(tools.path(), &script);
    let laminate = Laminate::new()
        .working_folder(stack)
        .variable("PATH", tools.path());
    let answer = laminate.run(&["--json", "plan", "--offline"]).await;
    let plan = answer.json();
    let images = plan["images"].as_array().into_iter().flatten();
    let keys: Vec<_> = images.map(|image| image["key"].clone()).collect();
    serde_json::json!({ "commit": plan["commit"], "dirty": plan["dirty"], "keys": keys })
}

#[tokio::test]
async fn a_file_that_changes_after_git_has_looked_is_not_taken_for_the_commits() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = folder.path();
    write_stack(stack, 300);
    let more = "  ap: { base: image-0, steps: [{ apt: packages.txt }] }\n";
    let spec = std::fs::read_to_string(stack.join("specs.yml")).expect("read");
    std::fs::write(stack.join("specs.yml"), spec + more).expect("written");
    let packages = stack.join("images/ap/packages.txt");
    std::fs::create_dir(stack.join("images/ap")).expect("a folder");
    std::fs::write(&packages, "git\n").expect("written");
    commit_all(stack);
    settle().await;
    let clean = plan_while(stack, "true", "true").await;
    assert_eq!(clean["dirty"], false);
    for (file, text) in [
        (&packages, "git\ncurl\n"),
        (&stack.join("images/image-200/text"), "other"),
    ] {
        let change = format!("printf '{text}' >'{}'", file.display());
        let plan = plan_while(stack, "true", &change).await;
        assert!(plan["dirty"] == true || plan == clean, "{file:?}");
        git(stack, &["checkout", "--quiet", "."]);
        settle().await;
    }
}

#[tokio::test]
async fn files_are_compared_with_the_commit_that_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = folder.path();
    write_stack(stack, 1);
    commit_all(stack);
    std::fs::write(stack.join("images/image-0/text"), "other").expect("written");
    let before = plan_while(stack, "true", "true").await;
    assert_eq!(before["dirty"], true);
    let commit = "git -c user.name=a -c user.email=a@example.org commit --quiet --all --message y";
    let after = plan_while(stack, commit, "true").await;
    assert_eq!(after["dirty"], false);
    assert_ne!(after["commit"], before["commit"]);
    assert_eq!(after["keys"], before["keys"]);
}

#[tokio::test]
async fn a_plan_without_a_registry_warns_that_a_build_needs_one() {
    let spec = |registry: &str| {
        format!(
            "stack: x\n{registry}images:\n  a: {{ base: 'registry.example.org/base@sha256:{:064}', steps: [{{ run: 'true' }}] }}\n",
            0
        )
    };
    let warning = "`build` needs a registry that it can write to: set `registry:`";
    for (registry, is_warned) in [("", true), ("registry: registry.example.org/x\n", false)] {
        let laminate = Laminate::new().spec(&spec(registry));
        let answer = laminate.run(&["plan", "--offline"]).await;
        assert_eq!(answer.code, 10, "{answer:?}");
        assert_eq!(answer.stderr.contains(warning), is_warned, "{answer:?}");
    }
}
