//! What starts a step or a suite: the programs that the image must have, and the user.

use camino::Utf8Path;

use super::command::{ROOT, user_of};
use super::config::BaseConfig;
use super::defaults::{StepDefaults, shell_of};
use super::steps;
use crate::path::is_at_or_below;
use crate::stack::{self, Files, Image, Kind, Step, Suite, Test};

/// The shell of everything that laminate runs itself.
const SH: &str = "/bin/sh";

/// As much of a script as has its first line, bytes (`BINPRM_BUF_SIZE` of the kernel).
const FIRST_LINE: usize = 256;

/// A program that an image must have to start something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// An absolute path, or a name that is looked up on `PATH`.
    pub name: String,
    /// The part of the spec or of a file that names it; `None`: laminate runs it.
    pub named_by: Option<String>,
}

/// What starts a step or a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The programs, each started by the one before.
    pub programs: Vec<Program>,
    /// Its user, as the spec has it; `None`: root, or not known.
    pub user: Option<String>,
    /// The folders of its `PATH`.
    pub path: Vec<String>,
}

/// Returns what starts a step of an image; for a group, a member of it. `None` for what is not a process.
pub fn process_of_step(
    image: &Image,
    base: &BaseConfig,
    (step, member): (&Step, Option<usize>),
    files: &Files,
) -> Option<Process> {
    let defaults = StepDefaults::new(image, base);
    let mut failed = step.clone();
    if let Kind::Group(members) = &step.kind {
        failed = members.get(member.unwrap_or_default())?.clone();
        failed.user = failed.user.or_else(|| step.user.clone());
    }
    let command = steps::command(&failed, defaults.shell(&failed), files)?;
    let user = defaults.user(&failed, &command);
    let shell = defaults.shell(&failed);
    let mut programs = match &failed.kind {
        Kind::Run(_) => of_words(shell, "the shell of the step"),
        Kind::Exec(args) => of_words(args, "`exec`"),
        Kind::Script(file) => of_script(file, files),
        _ => Vec::new(),
    };
    let is_plain = matches!(step.kind, Kind::Run(_) | Kind::Exec(_) | Kind::Script(_));
    if !is_plain || image.writable.is_some() || !step.finish.is_empty() {
        programs.insert(0, shell_of_steps());
    }
    let mounts = step.mounts.iter().chain(&failed.mounts);
    let mounts: Vec<&str> = mounts.map(|mount| mount.target.as_str()).collect();
    let env = defaults.env.with(&step.env).with(&failed.env);
    let is_mounted = |path: &str| mounts.iter().any(|mount| is_at_or_below(path, mount));
    programs.retain(|program| !is_mounted(&program.name));
    let path: Vec<String> = folders(env.get("PATH"));
    // A program in a mount cannot be looked up.
    if path.iter().any(|folder| is_mounted(folder)) {
        programs.retain(|program| program.name.starts_with('/'));
    }
    Some(Process {
        programs,
        user: (user != ROOT).then_some(user),
        path,
    })
}

/// Returns what starts a suite on an image.
pub fn process_of_suite(suite: &Suite, config: &BaseConfig, files: &Files) -> Process {
    let mut programs = vec![shell_of_steps()];
    match &suite.test {
        Some(Test::Run(_)) => {
            let shell = shell_of(suite.shell.as_ref(), config);
            programs.extend(of_words(&shell, "the shell of the suite"));
        }
        Some(Test::Script(file)) => programs.extend(of_script(file, files)),
        Some(Test::Pytest { .. } | Test::Healthcheck) | None => {}
    }
    let user = suite.user.as_deref().or(config.user()).map(user_of);
    Process {
        programs,
        user: user.filter(|user| user != ROOT),
        path: folders(config.env().with(&suite.env).get("PATH")),
    }
}

fn shell_of_steps() -> Program {
    Program {
        name: SH.to_owned(),
        named_by: None,
    }
}

fn folders(path: Option<&str>) -> Vec<String> {
    let folders = path.unwrap_or_default().split(':');
    let absolute = folders.filter(|folder| folder.starts_with('/'));
    absolute.map(str::to_owned).collect()
}

/// Returns the interpreters in the first line of a script.
fn of_script(file: &Utf8Path, files: &Files) -> Vec<Program> {
    let Some(stack::File::Regular { content, .. }) = files.get(file) else {
        return Vec::new();
    };
    let start = content.start(FIRST_LINE).unwrap_or_default();
    let start = String::from_utf8_lossy(&start);
    let line = start
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("#!"));
    let words: Vec<String> = line
        .unwrap_or_default()
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    of_words(&words, &format!("the first line of `{file}`"))
}

/// Returns the program of a command line, and the one that `env` starts. A relative path depends on the folder.
fn of_words(words: &[String], named_by: &str) -> Vec<Program> {
    let program = |name: &String| Program {
        name: name.clone(),
        named_by: Some(named_by.to_owned()).filter(|_| name != SH),
    };
    let mut found: Vec<Program> = words.first().map(program).into_iter().collect();
    if let [env, rest @ ..] = words
        && env.rsplit('/').next() == Some("env")
    {
        let mut rest = rest.iter();
        let is_other = |word: &&String| !word.starts_with('-') && !word.contains('=');
        found.extend(rest.find(is_other).map(program));
    }
    found.retain(|program| program.name.starts_with('/') || !program.name.contains('/'));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(words: &str) -> Vec<String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let programs = of_words(&words, "it").into_iter();
        programs.map(|program| program.name).collect()
    }

    #[test]
    fn env_starts_another_program() {
        assert_eq!(names("/bin/bash -c"), ["/bin/bash"]);
        assert_eq!(names("/usr/bin/env python3"), ["/usr/bin/env", "python3"]);
        assert_eq!(names("env -S A=1 perl -w"), ["env", "perl"]);
        assert_eq!(names("bin/tool"), [""; 0]);
    }

    fn process(keys: &str, member: Option<usize>) -> Process {
        let spec = format!("stack: t\nimages:\n  a: {{ base: 'debian:12', {keys} }}\n");
        let stack = crate::testing::stack(&spec);
        let image = &stack.images()[0];
        let base = br#"{"config":{"User":"jovyan","Env":["PATH=/opt/bin:rel:/bin"]}}"#;
        let base = BaseConfig::parse(base).expect("an object");
        process_of_step(image, &base, (&image.steps[0], member), stack.files()).expect("a process")
    }

    fn programs(keys: &str) -> Vec<String> {
        let found = process(keys, Some(0)).programs.into_iter();
        found.map(|program| program.name).collect()
    }

    #[test]
    fn a_step_is_started_by_its_shell_or_its_program() {
        assert_eq!(programs("steps: [{ run: a, shell: [zsh, -c] }]"), ["zsh"]);
        assert_eq!(programs("steps: [{ exec: [tool, a] }]"), ["tool"]);
        assert_eq!(programs("apt: [git]"), ["/bin/sh"]);
        let group = "steps: [{ group: [{ run: a, shell: [zsh, -c] }] }]";
        assert_eq!(programs(group), ["/bin/sh", "zsh"]);
        let writable = "writable: { gid: 1, paths: [/x] }, steps: [{ exec: [/x/tool] }]";
        assert_eq!(programs(writable), ["/bin/sh", "/x/tool"]);
        assert_eq!(process("apt: [git]", None).path, ["/opt/bin", "/bin"]);
    }

    #[test]
    fn what_a_mount_may_have_is_not_looked_up() {
        let mounts = "mounts: { /opt: { tmpfs: } }";
        let step = |keys: &str| programs(&format!("steps: [{{ {keys}, {mounts} }}]"));
        assert_eq!(step("exec: [/opt/tool]"), [""; 0]);
        assert_eq!(step("exec: [tool]"), [""; 0]);
        assert_eq!(step("exec: [/bin/tool]"), ["/bin/tool"]);
    }

    #[test]
    fn the_user_of_a_process_is_that_of_the_step_or_the_base() {
        let user = |keys: &str| process(keys, Some(0)).user;
        assert_eq!(user("steps: [{ run: a }]").as_deref(), Some("jovyan"));
        assert_eq!(user("steps: [{ run: a, as: root }]"), None);
        assert_eq!(user("apt: [git]"), None);
        assert_eq!(user("steps: [{ group: [{ run: a }], as: '0' }]"), None);
    }
}
