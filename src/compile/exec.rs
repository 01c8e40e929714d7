//! A command as an operation: with its user, environment, network and mounts.

use std::collections::BTreeMap;

use super::command::{Command, MountNames, PLACE, image_folder};
use super::compiler::Compiler;
use super::defaults::StepDefaults;
use super::environment::Environment;
use super::mounts::{read_only, secret, tmpfs};
use super::shell::{LONGEST_TEXT, line, with_env};
use super::steps::file_commands::set_perms;
use super::writable::with_writable;
use crate::llb::{Exec, Meta, Mount, Network, Output};
use crate::path::is_below;
use crate::stack::{self, Image, Step};

/// A step in its place: the image it belongs to and what it starts from.
#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    /// The image.
    pub image: &'a Image,
    /// The period of `refresh:` and the last `--refresh` of the image, if any.
    pub refreshed: Option<&'a str>,
    /// The image's name, as users know it.
    pub label: &'a str,
    /// What the step gets from the image and its base.
    pub defaults: &'a StepDefaults,
    /// The step.
    pub step: &'a Step,
    /// How the operation is shown.
    pub meta: &'a Meta,
    /// The file system before the step.
    pub root: Output,
}

impl Compiler<'_> {
    /// Adds the command of a step; returns the file system it leaves.
    pub(super) fn exec(&mut self, context: StepContext, command: &Command) -> Output {
        let StepContext {
            image,
            refreshed,
            label,
            defaults,
            step,
            meta,
            root,
        } = context;
        let user = defaults.user(step, command);
        let mut env = step_env(step, command, defaults, &user);
        let mut command = command.clone();
        let args = step_args(image, step, &mut command, &env);
        let command = &command;
        let network = match step.network {
            Some(stack::Network::None) => Network::None,
            Some(stack::Network::Default) => Network::Default,
            None if command.offline => Network::None,
            None => Network::Default,
        };
        let mut mounts = vec![tmpfs(PLACE)];
        self.trust(network, &mut env, &mut mounts);
        mounts.extend(self.input_mounts(command));
        mounts.extend(self.image_mounts(command, image, label));
        if command.uv {
            let input = self.uv();
            mounts.push(read_only(format!("{PLACE}/uv"), input));
        }
        if command.rattler {
            let input = self.rattler();
            mounts.push(read_only(format!("{PLACE}/rattler"), input));
        }
        let own = self.step_mounts(image, step, label, &user);
        let is_free = |target: &str| !own.iter().any(|mount| mount.target == target);
        for cache in command.caches.iter().filter(|it| is_free(&it.target)) {
            mounts.push(self.cache(cache, &user));
        }
        mounts.extend(own);
        mounts.extend(step.secrets.iter().map(|it| secret(it, &user)));
        let (args, cwd) = in_folder(step, args, &defaults.workdir);
        let mut env = env.entries();
        // The engine's own cache must not have what a step did before: an operation with another variable is
        // another one (BuildKit, `solver/llbsolver/ops/exec.go`, `CacheMap`).
        env.extend(refreshed.map(|text| format!("LAMINATE_REFRESH={text}")));
        let exec = Exec {
            args,
            env,
            cwd,
            user,
            network,
            root,
            mounts,
            proxy: self.environment.proxy.clone(),
        };
        self.graph.exec(exec, meta.clone()).root
    }

    fn image_mounts(&mut self, command: &Command, image: &Image, label: &str) -> Vec<Mount> {
        let mut mounts = Vec::new();
        for (index, source) in command.images.iter().enumerate() {
            let input = self.copied(image, source, label);
            mounts.push(read_only(image_folder(index), input));
        }
        mounts
    }
}

/// Shell text that fails because the folder `$1` is missing.
pub(super) const NO_FOLDER: &str =
    r#"{ printf 'laminate: the folder of the step is missing: %s\n' "$1" >&2; exit 1; }"#;

/// Returns the command and its folder: `cwd:`, else `workdir`. A shell enters a folder that must exist, and one
/// inside a mount: the engine would make it in the image, under the mount, and leave it there
/// (executor/runcexecutor of BuildKit 0.32.2).
fn in_folder(step: &Step, args: Vec<String>, workdir: &str) -> (Vec<String>, String) {
    let cwd = step.cwd.as_ref().map_or(workdir, |cwd| &cwd.path);
    let must_exist = step.cwd.as_ref().is_some_and(|cwd| cwd.must_exist);
    let mut mounts = step.mounts.iter();
    let is_inside = mounts.any(|mount| is_below(cwd, &mount.target));
    if !is_inside && !must_exist {
        return (args, cwd.to_owned());
    }
    let mut text = "cd \"$1\" && shift && exec \"$@\"".to_owned();
    if must_exist {
        text = format!("[ -d \"$1\" ] || {NO_FOLDER}\n{text}");
    }
    let enter = ["/bin/sh", "-c", &text, "laminate", cwd];
    let enter = enter.map(str::to_owned).into_iter();
    (enter.chain(args).collect(), "/".to_owned())
}

/// Returns the environment of a step: the image's, the command's, then the step's own `env:`.
fn step_env(step: &Step, command: &Command, defaults: &StepDefaults, user: &str) -> Environment {
    let mut env = defaults.env_of(user);
    for (name, value) in &command.env {
        env.set(name, value.clone());
    }
    env.with(&step.env)
}

/// Returns program and arguments, with `finish:` after the command and the writable paths after both. Long
/// scripts become texts of the command.
fn step_args(image: &Image, step: &Step, command: &mut Command, env: &Environment) -> Vec<String> {
    let args = command.expanded_args(&MountNames::default());
    let mut args = with_script_in_file(args, "script", &mut command.texts);
    if image.writable.is_some() || !step.finish.is_empty() {
        args = with_env(args, &env.lost_in_a_shell());
    }
    if !step.finish.is_empty() {
        let script = format!("set -e\n{}\n{}", line(&args), set_perms(&step.finish));
        args = vec!["/bin/sh".to_owned(), "-c".to_owned(), script];
        args = with_script_in_file(args, "with_finish", &mut command.texts);
    }
    match &image.writable {
        Some(writable) => with_writable(&args, writable, &step.mounts),
        None => args,
    }
}

/// Returns a command whose script is in a file if it is long. `name` is that of the file in `texts`.
fn with_script_in_file(
    mut args: Vec<String>,
    name: &str,
    texts: &mut BTreeMap<String, String>,
) -> Vec<String> {
    let [program, option, script, rest @ ..] = args.as_mut_slice() else {
        return args;
    };
    let is_script = program == "/bin/sh" && matches!(option.as_str(), "-c" | "-ec");
    if !is_script || script.len() <= LONGEST_TEXT {
        return args;
    }
    let mut made = vec![std::mem::take(program)];
    if option == "-ec" {
        made.push("-e".to_owned());
    }
    made.push(format!("{PLACE}/texts/{name}"));
    texts.insert(name.to_owned(), std::mem::take(script));
    // The first one is the name of the script, which is now that of the file.
    made.extend(rest.iter_mut().skip(1).map(std::mem::take));
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_script_is_read_from_a_file() {
        let mut texts = BTreeMap::new();
        let args = |script: &str| ["/bin/sh", "-ec", script, "name", "a b"].map(str::to_owned);
        let short = args("true").to_vec();
        assert_eq!(with_script_in_file(short.clone(), "x", &mut texts), short);
        let long = args(&"true\n".repeat(40_000)).to_vec();
        assert_eq!(
            with_script_in_file(long, "x", &mut texts),
            ["/bin/sh", "-e", "/run/laminate/texts/x", "a b"]
        );
        assert_eq!(texts["x"].len(), 200_000);
    }

    #[test]
    fn a_folder_inside_a_mount_is_entered_by_a_shell() {
        let step = crate::compile::tests::step("{ run: a, mounts: { /m: { tmpfs: } } }");
        let folder = |cwd: &str| in_folder(&step, vec!["a".to_owned()], cwd);
        let (args, cwd) = folder("/m/x");
        assert_eq!(
            (&args[3..], cwd.as_str()),
            (&["laminate", "/m/x", "a"].map(str::to_owned)[..], "/")
        );
        for outside in ["/m", "/m/", "/mx", "/"] {
            assert_eq!(folder(outside), (vec!["a".to_owned()], outside.to_owned()));
        }
    }

    #[test]
    fn a_folder_that_must_exist_is_not_made() {
        let step = crate::compile::tests::step("{ run: a, cwd: { path: /x, must-exist: true } }");
        let (args, cwd) = in_folder(&step, vec!["a".to_owned()], "/");
        assert_eq!(
            (&args[3..], cwd.as_str()),
            (&["laminate", "/x", "a"].map(str::to_owned)[..], "/")
        );
        assert!(args[2].starts_with("[ -d \"$1\" ] || {"), "{}", args[2]);
    }
}
