//! Faults that show as soon as the configs of external bases are known, before anything is built.

use std::collections::BTreeMap;

use super::command::{ROOT, user_of};
use super::config::{BaseConfig, config};
use super::config_text::check_environment;
use super::defaults::StepDefaults;
use super::environment::Environment;
use super::group::merge;
use super::health::health_script;
use super::image::check_triggers;
use super::serve::serve_script;
use super::shell::takes_errexit;
use crate::diagnostic::Diagnostic;
use crate::name::Reference;
use crate::source::Span;
use crate::stack::{Base, Image, ImageId, Kind, Language, Stack, Step, Test, unset_variable};

/// An image with more layers is warned of. Docker uses at most 127 (`maxDepth` of overlay2), and tools add
/// some of their own.
const MANY_LAYERS: usize = 120;

/// What is known of an image before it is built.
struct Preview {
    config: BaseConfig,
    layers: usize,
    /// Each image below, and itself, with the number of its own layers.
    parts: Vec<(String, usize)>,
}

/// Returns faults and warnings of the images that `is_built` selects. `bases` are configs of external bases;
/// an image whose base is not there is left out.
pub fn preview(
    stack: &Stack,
    bases: &BTreeMap<Reference, BaseConfig>,
    is_built: impl Fn(ImageId) -> bool,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut known: BTreeMap<usize, Preview> = BTreeMap::new();
    for (number, image) in stack.images().iter().enumerate() {
        let below = match &image.base {
            Base::External(base) => {
                let reference = &base.reference.value;
                bases
                    .get(reference)
                    .map(|config| of_external(reference, config))
            }
            Base::Image(parent) => known.get(&parent.0).map(Preview::copy),
            Base::Scratch => None,
        };
        // What a Dockerfile makes is known when it is built.
        let below = below.filter(|_| image.dockerfile().is_none());
        let Some(below) = below else {
            if is_built(ImageId(number)) {
                // That base has hardly a variable in lower case.
                let is_lower = |name: &str| !name.contains(|c: char| c.is_ascii_uppercase());
                problems.extend(check_texts(image, &Environment::default(), is_lower));
            }
            continue;
        };
        let mut made = Preview::copy(&below);
        made.config = config(image, &below.config);
        made.layers += image.steps.len();
        made.parts
            .push((image.name.value.to_string(), image.steps.len()));
        if is_built(ImageId(number)) {
            problems.extend(check_triggers(stack, image, &below.config).err());
            problems.extend(check_environment(image, &below.config.env()));
            problems.extend(ignored_cmd(stack, image, &below.config));
            problems.extend(check_steps(stack, image, &below.config));
            problems.extend(check_texts(image, &below.config.env(), |_| true));
            problems.extend(check_suites(
                &stack.label(ImageId(number)),
                image,
                &made.config,
            ));
            problems.extend(check_layers(image, &below, &made));
        }
        known.insert(number, made);
    }
    problems
}

/// Returns an error for each image that starts as root though its policy forbids it. A user with a name
/// other than `root` is looked up when the image is there.
pub fn starts_as_root(
    stack: &Stack,
    bases: &BTreeMap<Reference, BaseConfig>,
    is_built: impl Fn(ImageId) -> bool,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut configs: BTreeMap<usize, BaseConfig> = BTreeMap::new();
    for (number, image) in stack.images().iter().enumerate() {
        let below = match &image.base {
            Base::External(base) => bases.get(&base.reference.value),
            Base::Image(parent) => configs.get(&parent.0),
            Base::Scratch => None,
        };
        let below = below.filter(|_| image.dockerfile().is_none());
        let Some(below) = below else { continue };
        let made = config(image, below);
        let user = made.user().and_then(|user| user.split(':').next());
        let is_root = user.is_none_or(|user| user_of(user) == ROOT);
        if let Some(rule) = image.proof.policy.not_root.filter(|_| is_root)
            && is_built(ImageId(number))
        {
            let name = &image.name.value;
            problems.push(
                Diagnostic::error(format!("image `{name}` starts as root"))
                    .at(image.name.span, "neither it nor its base sets another user")
                    .also(rule, "forbidden here")
                    .help("set `user:`, or `config: { user: NAME }` to keep its steps as they are"),
            );
        }
        configs.insert(number, made);
    }
    problems
}

impl Preview {
    fn copy(&self) -> Self {
        Self {
            config: self.config.clone(),
            layers: self.layers,
            parts: self.parts.clone(),
        }
    }
}

fn of_external(reference: &Reference, config: &BaseConfig) -> Preview {
    Preview {
        config: config.clone(),
        layers: config.layers(),
        parts: vec![(reference.to_string(), config.layers())],
    }
}

/// Warns of a `cmd` that does not reach the entrypoint of the external base: a shell runs it, as Docker writes
/// an `ENTRYPOINT` that is a string, and its text does not use the arguments.
fn ignored_cmd(stack: &Stack, image: &Image, base: &BaseConfig) -> Option<Diagnostic> {
    let text = image.config.cmd.as_ref()?.texts().first()?;
    let mut at = image;
    let external = loop {
        // An entrypoint of the stack is checked when the spec is read.
        if at.config.entrypoint.is_some() {
            return None;
        }
        match &at.base {
            Base::Image(parent) => at = &stack[*parent],
            Base::External(external) => break external,
            Base::Scratch => return None,
        }
    };
    let (entrypoint, _) = base.process();
    let [_, _, script] = entrypoint.as_slice() else {
        return None;
    };
    let arguments = [
        "@", "*", "#", "0", "1", "2", "{@", "{*", "{#", "{0", "{1", "{2",
    ];
    let uses = |name: &&str| script.contains(&format!("${name}"));
    if !takes_errexit(&entrypoint[..2]) || arguments.iter().any(uses) {
        return None;
    }
    let reference = &external.reference;
    Some(
        Diagnostic::warning(format!(
            "`cmd` is ignored by the entrypoint of base `{}`",
            reference.value
        ))
        .at(text.span, "does not reach the entrypoint")
        .also(reference.span, format!("starts `{}`", entrypoint.join(" ")))
        .help("set `entrypoint` as well, to a list with a program and its arguments"),
    )
}

/// Checks what a step gets from the base: its user, and its shell.
fn check_steps(stack: &Stack, image: &Image, base: &BaseConfig) -> Vec<Diagnostic> {
    let defaults = StepDefaults::new(image, base);
    let mut problems = Vec::new();
    let mut shells: Vec<&[String]> = Vec::new();
    for step in &image.steps {
        let members = match &step.kind {
            Kind::Group(members) => {
                problems.extend(merge(step, members, &defaults, stack.files()).err());
                members.as_slice()
            }
            _ => std::slice::from_ref(step),
        };
        for step in members {
            let shell = defaults.shell(step);
            let is_run = matches!(step.kind, Kind::Run(_));
            if is_run && !takes_errexit(shell) && !shells.contains(&shell) {
                shells.push(shell);
                problems.push(without_errexit(image, step, shell));
            }
        }
    }
    problems
}

/// Checks what suites get from the image: its command and its health check.
fn check_suites(label: &str, image: &Image, config: &BaseConfig) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for suite in &image.proof.suites {
        if let Some(serve) = &suite.serve {
            problems.extend(serve_script(label, config, serve, &suite.name, "").err());
        }
        if suite.test == Some(Test::Healthcheck) {
            problems.extend(health_script(label, config, &suite.name).err());
        }
        if let Some(Test::Run(text)) = &suite.test {
            let env = config.env().with(&suite.env);
            problems.extend(unset_in_run(image, &env, text, suite.name.span, |_| true));
        }
    }
    problems
}

/// Warns of variables of the spec in the steps of an image. `base`: what is known of the environment of its base.
fn check_texts(
    image: &Image,
    base: &Environment,
    is_looked_at: impl Fn(&str) -> bool,
) -> Vec<Diagnostic> {
    let env = base.with(&image.env);
    let members = image.steps.iter().flat_map(|step| match &step.kind {
        Kind::Group(members) => members.as_slice(),
        _ => std::slice::from_ref(step),
    });
    let problems = members.filter_map(|step| match &step.kind {
        Kind::Run(text) => {
            let env = env.with(&step.env);
            unset_in_run(image, &env, text, step.span, &is_looked_at)
        }
        _ => None,
    });
    problems.collect()
}

/// Warns of a variable of the spec in shell text, whose environment has no variable of this name.
fn unset_in_run(
    image: &Image,
    env: &Environment,
    text: &str,
    span: Span,
    is_looked_at: impl Fn(&str) -> bool,
) -> Option<Diagnostic> {
    let is_variable = |name: &str| {
        let is_known = image.vars.contains_key(name) || matches!(name, "commit" | "commit7");
        is_known && env.get(name).is_none() && is_looked_at(name)
    };
    let (at, name) = unset_variable(Language::Shell, text, is_variable)?;
    let variable = &text[at];
    let upper = name.to_ascii_uppercase();
    let message =
        format!("`{variable}` in `run` is not replaced, and the environment has no `{name}`");
    let help = if image.vars.contains_key(name) {
        format!("add `env: {{ {upper}: \"${{{name}}}\" }}`, and write `${{{upper}}}` in `run`")
    } else {
        "only `tags` can use it: an image does not depend on its commit".to_owned()
    };
    let problem = Diagnostic::warning(message).at(span, "the shell replaces it by nothing");
    Some(problem.help(help))
}

fn without_errexit(image: &Image, step: &Step, shell: &[String]) -> Diagnostic {
    let shell = shell.join(" ");
    let name = &image.name.value;
    Diagnostic::warning(format!(
        "image `{name}`: steps are run by `{shell}` without `-e`, so a command that fails does not stop them"
    ))
    .at(step.span, "the first of these steps")
    .help("set `shell:` to a shell that laminate knows, for example `[/bin/bash, -c]`")
}

/// Warns of an image that has too many layers, if the image below has not.
fn check_layers(image: &Image, below: &Preview, made: &Preview) -> Option<Diagnostic> {
    if made.layers <= MANY_LAYERS || below.layers > MANY_LAYERS && image.steps.is_empty() {
        return None;
    }
    let (name, layers) = (&image.name.value, made.layers);
    let parts = made.parts.iter();
    let parts: Vec<String> = parts.map(|(name, own)| format!("`{name}` {own}")).collect();
    Some(
        Diagnostic::warning(format!(
            "image `{name}` has {layers} layers ({}); Docker uses images of at most 127",
            parts.join(", ")
        ))
        .at(image.name.span, "this image")
        .help("put several steps into one `group:`"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn base(value: Value) -> BaseConfig {
        BaseConfig::parse(value.to_string().as_bytes()).expect("an object")
    }

    fn previewed(images: &str, base: BaseConfig) -> Vec<Diagnostic> {
        let stack = crate::testing::stack(&format!("stack: t\nimages:\n{images}"));
        let debian = Reference::parse("debian:12").expect("valid");
        let bases = BTreeMap::from([(debian, base)]);
        let mut list = preview(&stack, &bases, |_| true);
        list.extend(starts_as_root(&stack, &bases, |_| true));
        list
    }

    fn messages(images: &str, base: BaseConfig) -> Vec<String> {
        let list = previewed(images, base).into_iter();
        list.map(|problem| problem.message).collect()
    }

    #[test]
    fn a_plain_image_has_no_fault() {
        assert!(
            previewed(
                "  a: { base: \"debian:12\", apt: [git] }\n",
                base(json!({}))
            )
            .is_empty()
        );
    }

    #[test]
    fn triggers_of_a_base_are_an_error_unless_they_are_ignored() {
        let base = || base(json!({ "config": { "OnBuild": ["RUN make"] } }));
        assert_eq!(
            messages("  a: { base: \"debian:12\" }\n  b: { base: a }\n", base()),
            ["unsupported ONBUILD triggers in base `docker.io/library/debian:12`"]
        );
        let ignored = "  a: { base: \"debian:12\", config: { onbuild: ignore } }\n";
        assert!(messages(ignored, base()).is_empty());
    }

    #[test]
    fn a_cmd_that_the_entrypoint_of_the_base_ignores_is_a_warning() {
        let base =
            |script: &str| base(json!({ "config": { "Entrypoint": ["/bin/sh", "-c", script] } }));
        let own = "  a: { base: \"debian:12\", config: { cmd: [x] } }\n";
        let ignored = ["`cmd` is ignored by the entrypoint of base `docker.io/library/debian:12`"];
        assert_eq!(messages(own, base("exec start ${HOME}")), ignored);
        let below = "  a: { base: \"debian:12\" }\n  b: { base: a, config: { cmd: [x] } }\n";
        assert_eq!(messages(below, base("start")), ignored);
        assert!(messages(own, base("exec start \"$@\"")).is_empty());
        for images in [
            "  a: { base: \"debian:12\", config: { entrypoint: [s], cmd: [x] } }\n",
            "  a: { base: \"debian:12\" }\n",
        ] {
            assert!(messages(images, base("start")).is_empty(), "{images}");
        }
    }

    #[test]
    fn two_users_in_a_group_are_found() {
        let group = "  a: { base: \"debian:12\", steps: [{ group: [{ write: { /x: x } }, { run: b }] }] }\n";
        assert_eq!(
            messages(group, base(json!({ "config": { "User": "app" } }))),
            ["the steps of a group run as different users"]
        );
        assert!(messages(group, base(json!({}))).is_empty());
    }

    #[test]
    fn a_suite_that_the_image_has_nothing_for_is_found() {
        let health = "  a: { base: \"debian:12\", tests: { h: { healthcheck: true } } }\n  b: { base: a, config: { cmd: [x], healthcheck: { test: y } } }\n";
        let both = [
            "suite `h` cannot run: image `a` has no command",
            "suite `h` cannot run: image `a` has no health check",
        ];
        assert_eq!(messages(health, base(json!({}))), both);
        let config = |check: &str| json!({ "Cmd": ["x"], "Healthcheck": { "Test": [check, "y"] } });
        let inherited = |check: &str| messages(health, base(json!({ "config": config(check) })));
        assert!(inherited("CMD").is_empty());
        assert_eq!(inherited("NONE"), both[1..]);
        let serve = "  a: { base: \"debian:12\", tests: { s: { serve: 80 } } }\n";
        assert_eq!(
            messages(serve, base(json!({}))),
            ["suite `s` cannot run: image `a` has no command"]
        );
    }

    #[test]
    fn a_shell_of_the_base_without_errexit_is_a_warning() {
        let run = "  a: { base: \"debian:12\", steps: [{ run: a }, { run: b }] }\n";
        let shell = json!({ "config": { "Shell": ["/opt/shell.sh"] } });
        assert_eq!(
            messages(run, base(shell)),
            [
                "image `a`: steps are run by `/opt/shell.sh` without `-e`, so a command that fails does not stop them"
            ]
        );
    }

    #[test]
    fn a_variable_of_the_spec_in_shell_text_is_a_warning() {
        let images = |env: &str| {
            format!(
                "  a: {{ base: \"debian:12\", vars: {{ py: \"3\" }}, steps: [{{ run: \"echo ${{py}}\"{env} }}], tests: {{ t: {{ run: \"echo ${{image}}\" }} }} }}\n"
            )
        };
        let message = |variable: &str, name: &str| {
            format!("`{variable}` in `run` is not replaced, and the environment has no `{name}`")
        };
        let (step, suite) = (message("${py}", "py"), message("${image}", "image"));
        assert_eq!(
            messages(&images(""), base(json!({}))),
            [step, suite.clone()]
        );
        let set = base(json!({ "config": { "Env": ["py=1"] } }));
        assert_eq!(messages(&images(""), set), std::slice::from_ref(&suite));
        let own = images(", env: { py: \"${py}\" }");
        assert_eq!(messages(&own, base(json!({}))), [suite]);
        let below = "  a: { dockerfile: Dockerfile }\n  b: { base: a, vars: { py: \"3\", PY: x }, steps: [{ run: \"echo ${py%.*}\" }, { run: \"echo ${PY}\" }, { run: \"echo ${commit7}\" }] }\n";
        let files = [("images/a/Dockerfile", "FROM debian:12\n")];
        let stack = crate::testing::stack_with(&format!("stack: t\nimages:\n{below}"), &files);
        let list = preview(&stack, &BTreeMap::new(), |_| true);
        let found: Vec<&str> = list.iter().map(|it| it.message.as_str()).collect();
        let expected = [message("${py%.*}", "py"), message("${commit7}", "commit7")];
        assert_eq!(found, expected);
        let helps: Vec<&str> = list.iter().filter_map(|it| it.help.as_deref()).collect();
        let env = "add `env: { PY: \"${py}\" }`, and write `${PY}` in `run`";
        assert!(
            helps[0] == env && helps[1].starts_with("only `tags`"),
            "{helps:?}"
        );
    }

    #[test]
    fn many_layers_are_a_warning_with_where_they_come_from() {
        let base = base(json!({ "rootfs": { "diff_ids": vec!["x"; 119] } }));
        let images = "  a: { base: \"debian:12\", steps: [{ run: a }] }\n  b: { base: a, steps: [{ run: a }] }\n  c: { base: b }\n";
        assert_eq!(
            messages(images, base),
            [
                "image `b` has 121 layers (`docker.io/library/debian:12` 119, `a` 1, `b` 1); Docker uses images of at most 127"
            ]
        );
    }

    #[test]
    fn an_image_that_starts_as_root_though_it_must_not_is_found() {
        let image = |keys: &str| {
            format!("  a: {{ base: \"debian:12\", policy: {{ user: not-root }}{keys} }}\n")
        };
        let found = |keys: &str, user: &str| {
            messages(&image(keys), base(json!({ "config": { "User": user } })))
        };
        let expected = ["image `a` starts as root"];
        assert_eq!(found("", ""), expected);
        assert_eq!(found("", "root"), expected);
        assert_eq!(found(", user: \"0:100\"", "app"), expected);
        assert!(found("", "app").is_empty());
        assert!(found(", config: { user: app }", "").is_empty());
    }
}
