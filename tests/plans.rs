//! What a plan costs, in what can be counted.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::laminate::{Answer, Laminate};

/// The most times that `plan` starts git in a fresh clone, however many images there are.
const GITS: usize = 4;

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

/// Returns what a script prints.
fn run_shell(folder: &Path, script: &str) -> String {
    let mut shell = std::process::Command::new("sh");
    let output = shell.current_dir(folder).args(["-c", script]).output();
    let output = output.expect("sh starts");
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Makes a repository of a folder, with a commit of all its files.
fn commit_all(folder: &Path) {
    git(folder, &["init", "--quiet"]);
    git(folder, &["add", "--all"]);
    git(folder, &["commit", "--quiet", "--message", "x"]);
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
        // laminate looks itself whether there are other files.
        let looks = ["--untracked-files=all", "--others"].map(|option| started.contains(option));
        assert_eq!(looks, [false, false], "{started}");
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
async fn git_compares_while_the_stack_is_resolved() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = folder.path();
    // So many that git starts before they are resolved.
    write_stack(stack, 300);
    commit_all(stack);
    let trace = stack.join("trace.json");
    let laminate = Laminate::new()
        .working_folder(stack)
        .variable("PATH", std::env::var_os("PATH").expect("set"))
        .variable("LAMINATE_TRACE", &trace);
    let answer = laminate.run(&["--json", "plan", "--offline"]).await;
    assert_eq!(answer.json()["dirty"], false);
    let trace = std::fs::read(trace).expect("the trace was written");
    let trace: serde_json::Value = serde_json::from_slice(&trace).expect("valid JSON");
    assert!(begin_of(&trace, "git ls-tree") < begin_of(&trace, "gather facts"));
}

/// Returns a repository with a stack of one image, whose file has changed since the commit.
fn changed_stack() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write_stack(folder.path(), 1);
    commit_all(folder.path());
    std::fs::write(folder.path().join("images/image-0/text"), "other").expect("written");
    folder
}

/// Plans a stack with a program `git` that runs something before and after files are compared for the first time, while
/// laminate is stopped.
async fn plan_while(stack: &Path, before: &str, after: &str) -> Answer {
    let tools = tempfile::tempdir().expect("a folder");
    let once = tools.path().join("once");
    let script = format!(
        "case \" $* \" in *' ls-tree '*|*' status '*) if mkdir '{once}' 2>/dev/null; then
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
    laminate.run(&["--json", "plan", "--offline"]).await
}

/// Returns the commit that was planned for, whether files differ from it, and the keys.
fn planned(answer: &Answer) -> serde_json::Value {
    let plan = answer.json();
    let images = plan["images"].as_array().into_iter().flatten();
    let keys: Vec<_> = images.map(|image| image["key"].clone()).collect();
    serde_json::json!({ "commit": plan["commit"], "dirty": plan["dirty"], "keys": keys })
}

#[tokio::test]
async fn what_is_compared_with_the_commit_is_what_was_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = folder.path();
    write_stack(stack, 300);
    let more = "  ap: { base: image-0, steps: [{ apt: packages.txt }] }\n";
    let spec = std::fs::read_to_string(stack.join("specs.yml")).expect("read");
    std::fs::write(stack.join("specs.yml"), spec + more).expect("written");
    std::fs::create_dir(stack.join("images/ap")).expect("a folder");
    std::fs::write(stack.join("images/ap/packages.txt"), "git\n").expect("written");
    commit_all(stack);
    let clean = planned(&plan_while(stack, "true", "true").await);
    assert_eq!(clean["dirty"], false);
    for (path, change, is_read_before_git_looks) in [
        (
            "images/ap/packages.txt",
            "echo curl >>images/ap/packages.txt",
            false,
        ),
        (
            "images/image-200/text",
            "echo other >images/image-200/text",
            false,
        ),
        (
            "images/image-200/text",
            "chmod +x images/image-200/text",
            true,
        ),
        (
            "specs.yml",
            "sed -i s,/etc/200:,/etc/other:, specs.yml",
            true,
        ),
    ] {
        let restore = "git checkout --quiet .";
        // Changed after git has looked, and put back before.
        for (before, after) in [("true", change), (restore, "true")] {
            if before == restore {
                run_shell(stack, change);
            }
            let answer = plan_while(stack, before, after).await;
            if answer.code == 10 {
                let is_put_back = before == restore;
                assert!(!is_read_before_git_looks || !is_put_back, "{change}");
                let planned = planned(&answer);
                assert!(planned["dirty"] == true || planned == clean, "{change}");
            } else {
                let text = format!("`{path}` changed while laminate read the stack");
                assert!(
                    answer.code == 4 && answer.stderr.contains(&text),
                    "{answer:?}"
                );
            }
            run_shell(stack, restore);
        }
    }
}

#[tokio::test]
async fn files_that_appear_while_the_stack_is_read_are_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = folder.path();
    write_stack(stack, 3);
    let spec = std::fs::read_to_string(stack.join("specs.yml")).expect("read");
    std::fs::write(stack.join("specs.yml"), spec.replace(": text", ": .")).expect("written");
    commit_all(stack);
    let first = run_shell(stack, "git rev-parse HEAD");
    let commit = "git -c user.name=a -c user.email=a@example.org commit --quiet --message y";
    let before = planned(&plan_while(stack, "true", "true").await);
    assert_eq!(before["dirty"], false);
    // What was read is the commit that was checked out before.
    let add = format!("echo new >images/image-1/new && git add --all && {commit}");
    assert_eq!(planned(&plan_while(stack, &add, "true").await), before);
    let after = planned(&plan_while(stack, "true", "true").await);
    assert_eq!(after["dirty"], false);
    assert!(after["commit"] != before["commit"] && after["keys"] != before["keys"]);
    // Without the commit, and the file.
    git(stack, &["reset", "--quiet", "--hard", first.trim()]);
    // What was read is not what the commit has, although git ignores the file by now.
    run_shell(stack, "echo new >images/image-1/new");
    let hide = "echo images/image-1/new >.git/info/exclude";
    assert_eq!(
        planned(&plan_while(stack, hide, "true").await)["dirty"],
        true
    );
}

#[tokio::test]
async fn a_file_that_is_put_back_is_compared_again() {
    let folder = changed_stack();
    let stack = folder.path();
    let dirty = planned(&plan_while(stack, "true", "true").await);
    let answer = plan_while(stack, "git stash --quiet", "git stash pop --quiet").await;
    assert_eq!(planned(&answer), dirty);
    assert_eq!(dirty["dirty"], true);
}

#[tokio::test]
async fn files_are_compared_with_the_commit_that_is_reported() {
    let folder = changed_stack();
    let stack = folder.path();
    let before = planned(&plan_while(stack, "true", "true").await);
    assert_eq!(before["dirty"], true);
    let commit = "git -c user.name=a -c user.email=a@example.org commit --quiet --all --message y";
    let after = planned(&plan_while(stack, commit, "true").await);
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

/// git does not follow a link that is named `.gitignore`, and succeeds.
#[tokio::test]
async fn what_git_warns_of_is_shown_once() {
    let folder = tempfile::tempdir().expect("a folder");
    write_stack(folder.path(), 1);
    std::fs::write(folder.path().join("ignored"), "*.log\n").expect("written");
    let link = folder.path().join("images/.gitignore");
    std::os::unix::fs::symlink("../ignored", link).expect("linked");
    commit_all(folder.path());
    std::fs::write(folder.path().join("images/image-0/a.log"), "x").expect("written");
    let search = std::env::var_os("PATH").expect("set");
    let laminate = Laminate::new()
        .working_folder(folder.path())
        .variable("PATH", search);
    let answer = laminate.run(&["plan", "--offline"]).await;
    let reported = answer
        .stderr
        .matches("git reports: unable to access 'images/.gitignore'");
    assert_eq!(reported.count(), 1, "{}", answer.stderr);
    assert_eq!(answer.code, 10, "{}", answer.stderr);
}

#[tokio::test]
async fn a_plan_needs_the_certificates_of_the_spec() {
    let spec = "stack: x\nbuild: { ca: ca.pem }\nregistry: example.org/x\nimages:\n  a: { base: debian:12 }\n";
    let laminate = Laminate::new().spec(spec);
    let answer = laminate.run(&["plan", "--offline"]).await;
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(
        answer.stderr.contains("specs.yml:2:14") && answer.stderr.contains("no such file"),
        "{answer:?}"
    );
}
