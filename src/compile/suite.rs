//! Suites: they see a finished image as its users start it, with what they need mounted, and leave their
//! results in a tree of its own. Nothing of them is in the image.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde_json::json;

use super::command::{Command, PLACE, ROOT, path_in_step, user_of};
use super::compiler::{BaseState, Compiler, group_of};
use super::config::BaseConfig;
use super::defaults::shell_of;
use super::health::health_script;
use super::mounts::{read_only, secret};
use super::script::expand;
use super::serve::serve_script;
use super::shell::{line, quote, with_errexit};
use crate::diagnostic::Diagnostic;
use crate::llb::{Exec, Meta, Mount, Network, Output};
use crate::stack::{self, ImageId, Select, Suite, Test};

/// Runs pytest without a trace in the environment of what is tested: every process that the tests start
/// would see a variable.
const RUN_PYTEST: &str = include_str!("scripts/run_pytest.py");

/// A plugin of pytest with the fixture `entrypoint`.
const ENTRYPOINT: &str = include_str!("scripts/entrypoint.py");

impl Compiler<'_> {
    /// Adds a suite on an image; returns a tree with `exit` and `log`, and with `junit.xml`, `reason` and
    /// `overdue` where there are any, all below [`LEFT`](super::LEFT). Fails where a suite has `serve`
    /// and the image has no command.
    pub fn suite(
        &mut self,
        id: ImageId,
        state: &BaseState,
        suite: &Suite,
    ) -> Result<Output, Diagnostic> {
        let label = self.stack.label(id);
        let meta = Meta {
            name: format!("{label}: test {}", suite.name.value),
            group: Some(group_of(&label)),
            origin: Some(self.origin_of(suite.name.span)),
            // A suite that is run must report the present result.
            ignore_cache: true,
        };
        let mut inputs = Command::default();
        let mut mounts = Vec::new();
        let mut test = match &suite.test {
            Some(Test::Healthcheck) => health_script(&label, &state.config, &suite.name)?,
            Some(test) => self.test(state, test, suite, &meta, &mut inputs, &mut mounts),
            None => "true".to_owned(),
        };
        if let Some(serve) = &suite.serve {
            test = serve_script(&label, &state.config, serve, &suite.name, &test)?;
        }
        test = format!("{}{test}", enter(&state.config.workdir()));
        // The pytest is laminate's own: options that the image has for its users could leave out tests.
        let mut env = state.config.env();
        for name in ["PYTEST_ADDOPTS", "PYTEST_PLUGINS"] {
            env.remove(name);
        }
        let mut env = env.with(&suite.env);
        let network = match suite.network {
            stack::Network::None => Network::None,
            stack::Network::Default => Network::Default,
        };
        self.trust(network, &mut env, &mut mounts);
        mounts.extend(self.input_mounts(&inputs));
        let user = suite.user.as_deref().or(state.config.user());
        let user = user.map_or_else(|| ROOT.to_owned(), user_of);
        mounts.extend(suite.secrets.iter().map(|it| secret(it, &user)));
        let mut args = suite_args(suite, test);
        let mut runs_as = user.clone();
        if !suite.groups.is_empty() {
            let script = expand(include_str!("scripts/as_user.sh"), &[]);
            let home = if env.get("HOME").is_some() { "set" } else { "" };
            let start = [
                "/bin/sh",
                "-c",
                &script,
                "laminate",
                &user,
                &suite.groups.join(" "),
                home,
            ];
            args = start.map(str::to_owned).into_iter().chain(args).collect();
            runs_as = ROOT.to_owned();
        }
        let exec = Exec {
            args,
            env: env.entries(),
            cwd: "/".to_owned(),
            user: runs_as,
            network,
            root: state.output,
            mounts,
            // Proxy variables without a network would only mislead.
            proxy: match network {
                Network::Default => self.environment.proxy.clone(),
                Network::None => None,
            },
        };
        Ok(self.exec_with_results(exec, meta))
    }

    /// Returns the shell text of a test, and adds what it needs to `inputs` and `mounts`.
    fn test(
        &mut self,
        state: &BaseState,
        test: &Test,
        suite: &Suite,
        meta: &Meta,
        inputs: &mut Command,
        mounts: &mut Vec<Mount>,
    ) -> String {
        match test {
            Test::Run(text) => {
                let mut args = with_errexit(&shell_of(suite.shell.as_ref(), &state.config));
                args.push(text.clone());
                line(&args)
            }
            Test::Script(file) => {
                inputs.files.push(file.clone());
                quote(&path_in_step(file))
            }
            Test::Healthcheck => unreachable!("it has a script of its own"),
            Test::Pytest {
                folder,
                requirements,
                select,
                args,
            } => {
                let below = self
                    .stack
                    .files()
                    .below(folder)
                    .map(|(path, _)| path.clone());
                inputs.files.push(folder.clone());
                inputs.files.extend(below);
                for (name, text) in [
                    ("run_pytest.py", RUN_PYTEST.to_owned()),
                    ("entrypoint.py", ENTRYPOINT.to_owned()),
                    ("image.json", image_json(&state.config, suite)),
                ] {
                    inputs.texts.insert(name.to_owned(), text);
                }
                let input = self.pytest(state, requirements, meta);
                mounts.push(read_only(format!("{PLACE}/pytest"), input));
                let script = expand(
                    include_str!("scripts/pytest.sh"),
                    &[
                        ("FOLDER", &quote(&path_in_step(folder))),
                        ("ARGUMENTS", &arguments(select, args)),
                        ("TESTS", &tests(folder, select)),
                    ],
                );
                script.trim_end().to_owned()
            }
        }
    }
}

/// Returns what the fixture `entrypoint` knows of the image.
fn image_json(config: &BaseConfig, suite: &Suite) -> String {
    let (entrypoint, cmd) = config.process();
    let env = config.env().with(&suite.env).entries();
    let env = env.iter().filter_map(|entry| entry.split_once('='));
    json!({
        "entrypoint": entrypoint,
        "cmd": cmd,
        "env": env.collect::<BTreeMap<_, _>>(),
        "user": config.user().unwrap_or_default(),
        "workdir": config.workdir(),
    })
    .to_string()
}

/// Returns arguments of pytest, with a space after each. Those of laminate follow, and override them.
fn arguments(select: &Select, args: &[String]) -> String {
    let option = |name: &str, value: &Option<String>| {
        let value = value.as_ref();
        value.map_or_else(String::new, |value| format!("{name} {} ", quote(value)))
    };
    let args = args.iter().map(|arg| format!("{} ", quote(arg)));
    let selected = [option("-k", &select.names), option("-m", &select.marks)];
    args.chain(selected).collect()
}

/// Returns what pytest collects: the folder of the suite, or some of its tests.
fn tests(folder: &Utf8Path, select: &Select) -> String {
    let folder = path_in_step(folder);
    if select.tests.is_empty() {
        return quote(&folder);
    }
    let tests = select.tests.iter();
    let tests: Vec<String> = tests
        .map(|test| quote(&format!("{folder}/{test}")))
        .collect();
    tests.join(" ")
}

/// Returns shell text that goes to the folder the image is started in. The engine would make a missing one
/// for the user of the suite; a runtime makes it for root.
fn enter(folder: &str) -> String {
    if folder == "/" {
        return String::new();
    }
    let path = quote(folder);
    let reason = quote(&format!(
        "laminate: the image has no folder {folder}, in which it is to start: make it in a step, or set `config: {{ workdir: {folder} }}`"
    ));
    format!("cd {path} || {{ [ -e {path} ] || echo {reason} >&2; exit 1; }}\n")
}

fn suite_args(suite: &Suite, test: String) -> Vec<String> {
    let script = expand(include_str!("scripts/suite.sh"), &[]);
    let seconds = suite.timeout.as_secs_f64().ceil().to_string();
    let shell = ["/bin/sh", "-c", &script, "laminate"].map(str::to_owned);
    shell.into_iter().chain([test, seconds]).collect()
}
