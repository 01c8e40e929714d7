//! Texts of `user` and `config:` that use the environment of the image.

use super::environment::Environment;
use crate::diagnostic::Diagnostic;
use crate::stack::{Config, Image, ProcessWords};

/// Returns a program and its arguments; a string is run by the shell of the image, as Docker does.
pub fn words(words: &ProcessWords, env: &Environment, shell: Option<&Vec<String>>) -> Vec<String> {
    let texts = words.texts().iter().map(|text| env.fill(text));
    match words {
        ProcessWords::List(_) => texts.collect(),
        ProcessWords::Shell(_) => {
            let default = || ["/bin/sh", "-c"].map(str::to_owned).to_vec();
            let shell = shell.cloned().unwrap_or_else(default);
            shell.into_iter().chain(texts).collect()
        }
    }
}

/// Returns faults of texts that use the environment: variables that are not set, and what they make of a
/// path.
pub fn check_environment(image: &Image, base: &Environment) -> Vec<Diagnostic> {
    let of_steps = base.with(&image.env);
    let env = of_steps.with(&image.config.env);
    let Config {
        user,
        workdir,
        entrypoint,
        cmd,
        ..
    } = &image.config;
    let process = [entrypoint, cmd].into_iter().flatten();
    let own = [user, workdir].into_iter().flatten();
    let own = own.chain(process.flat_map(ProcessWords::texts));
    let own = own.map(|text| (text, &env));
    let all = image.user.iter().map(|text| (text, &of_steps)).chain(own);
    let mut problems = Vec::new();
    for (text, env) in all {
        if let Some(name) = env.lacks(text) {
            problems.push(
                Diagnostic::error(format!("environment variable `{name}` is not set"))
                    .at(text.span, "neither the base nor `env` sets it")
                    .help("set it in `env`, or write the value here"),
            );
        }
    }
    if let Some(text) = workdir
        && problems.is_empty()
        && !env.fill(text).starts_with('/')
    {
        let label = format!("found `{}`", env.fill(text));
        problems.push(
            Diagnostic::error("`workdir` must be an absolute path in the image")
                .at(text.span, label),
        );
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::compile::config::{BaseConfig, config};
    use crate::compile::tests::image;

    fn base(config: &Value) -> BaseConfig {
        let text = json!({ "config": config }).to_string();
        BaseConfig::parse(text.as_bytes()).expect("an object")
    }

    #[test]
    fn texts_use_the_environment_of_the_image() {
        let base = base(&json!({ "Env": ["PATH=/bin", "NB_UID=1000", "HOME=/home/j"] }));
        let keys = "user: \"${env:NB_UID}:100\"\nenv: { DIR: work }\n\
                    config: { env: { PORT: \"80\" }, workdir: \"${env:HOME}/${env:DIR}\", \
                    cmd: [serve, \"--port=${env:PORT}\"] }";
        let made = config(&image(keys), &base).0["config"].clone();
        assert_eq!(made["User"], json!("1000:100"));
        assert_eq!(made["WorkingDir"], json!("/home/j/work"));
        assert_eq!(made["Cmd"], json!(["serve", "--port=80"]));
        assert_eq!(check_environment(&image(keys), &base.env()), []);
    }

    #[test]
    fn a_variable_that_is_not_set_is_an_error() {
        let base = base(&json!({ "Env": ["PATH=/bin", "EMPTY="] }));
        let found = |keys: &str| {
            let problems = check_environment(&image(keys), &base.env()).into_iter();
            problems.map(|problem| problem.message).collect::<Vec<_>>()
        };
        let unset = ["environment variable `NB_UID` is not set"];
        assert_eq!(found("user: \"${env:NB_UID}\""), unset);
        assert_eq!(found("config: { cmd: \"a ${env:NB_UID}\" }"), unset);
        let empty = ["environment variable `EMPTY` is not set"];
        assert_eq!(found("config: { user: \"${env:EMPTY}\" }"), empty);
        let relative = ["`workdir` must be an absolute path in the image"];
        assert_eq!(
            found("env: { A: x }\nconfig: { workdir: \"${env:A}\" }"),
            relative
        );
        let own = "env: { NB_UID: \"1\" }\nuser: \"${env:NB_UID}\"";
        assert!(found(own).is_empty());
    }

    #[test]
    fn a_string_is_run_by_the_shell_of_the_image() {
        let words = |keys: &str, shell: Value| {
            let base = base(&json!({ "Shell": shell }));
            let made = config(&image(&format!("config: {{ {keys} }}")), &base);
            (
                made.0["config"]["Entrypoint"].clone(),
                made.0["config"]["Cmd"].clone(),
            )
        };
        let sh = json!(["/bin/sh", "-c", "a $B"]);
        assert_eq!(
            words("entrypoint: a $B", Value::Null),
            (sh.clone(), Value::Null)
        );
        assert_eq!(words("cmd: a $B", Value::Null), (Value::Null, sh));
        let bash = json!(["bash", "-lc", "a"]);
        assert_eq!(words("cmd: a", json!(["bash", "-lc"])).1, bash);
        assert_eq!(
            words("cmd: a, shell: [zsh]", json!(["bash"])).1,
            json!(["zsh", "a"])
        );
    }
}
