//! The keys of an image, from the state at the end of its Dockerfile.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::apt::is_sensitive;
use super::state::{CommandDraft, Draft, Known, Reason, Sensitivity, State, is_root_name};
use super::value::{Environment, Part, Value, literal};
use crate::import::format::COMMENT;

/// Short keys of an image, in the order of their steps.
const SHORT: [&str; 4] = ["apt", "conda", "pip", "copy"];

/// An image in the language of the spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Its keys, without `base`.
    pub keys: Map<String, Json>,
    /// What its children know of it.
    pub known: Known,
    /// Differences that the steps have, for the report.
    pub differences: Vec<String>,
}

/// Returns the keys of an image.
pub fn finish(mut state: State, base: &Known) -> Result<(Image, State), Reason> {
    state.settle_folder();
    let mut finisher = Finisher {
        env: image_env(&state, base)?,
        user: None,
        shell: None,
        base,
        state: &state,
        differences: BTreeSet::new(),
    };
    let mut keys = Map::new();
    let mut config = Map::new();
    finisher.choose_user(&mut keys, &mut config)?;
    finisher.choose_shell(&mut keys, &mut config);
    if !finisher.env.is_empty() {
        keys.insert("env".to_owned(), written(&finisher.env));
    }
    let mut late = Environment::new();
    for (name, value) in &state.config_env {
        if !finisher.env.contains_key(name) && base.env.get(name) != Some(value) {
            late.insert(name.clone(), value.clone());
        }
    }
    check_siblings(&late)?;
    for name in late.keys().filter(|_| !state.steps.is_empty()) {
        let became =
            "`config: { env }`, and `env` of the steps after it: those before it do not see it";
        finisher
            .differences
            .insert(format!("ENV {name} → {became}"));
    }
    if !late.is_empty() {
        config.insert("env".to_owned(), written(&late));
    }
    if let Some(workdir) = state
        .workdir
        .as_ref()
        .filter(|_| state.workdir != base.workdir)
    {
        config.insert("workdir".to_owned(), json!(workdir.written()));
    }
    config.extend(state.config.clone());
    let steps: Result<Vec<Map<String, Json>>, Reason> = state
        .steps
        .iter()
        .map(|draft| finisher.step(draft))
        .collect();
    let differences = finisher.differences.into_iter().collect();
    add_steps(&mut keys, steps?);
    if let Some(writable) = writable(&state, base)? {
        keys.insert("writable".to_owned(), writable);
    }
    if !config.is_empty() {
        keys.insert("config".to_owned(), Json::Object(config));
    }
    let image = Image {
        keys,
        known: known(&state, base),
        differences,
    };
    Ok((image, state))
}

/// Returns the variables that hold from the first step on.
fn image_env(state: &State, base: &Known) -> Result<Environment, Reason> {
    let is_early = |name: &str, value: &Value| {
        let commands = state
            .steps
            .iter()
            .filter_map(|draft| draft.command.as_ref());
        let mut commands = commands.filter(|command| counts(command, name));
        commands.all(|command| command.env.get(name) == Some(value))
    };
    let all = state.config_env.iter();
    let all =
        all.filter(|(name, value)| is_early(name, value) && base.env.get(name) != Some(value));
    let mut env: Environment = all.cloned().collect();
    // A value that is set on steps would see the changed value of a variable of the base.
    loop {
        let late = state
            .steps
            .iter()
            .filter_map(|draft| draft.command.as_ref());
        let late = late
            .flat_map(|command| &command.env)
            .chain(state.config_env.iter().map(|(name, value)| (name, value)));
        let late = late.filter(|(name, value)| env.get(*name) != Some(value));
        let used: BTreeSet<String> = late
            .flat_map(|(_, value)| names(value))
            .map(str::to_owned)
            .collect();
        let before = env.len();
        env.retain(|name, _| !used.contains(name));
        if env.len() == before {
            break;
        }
    }
    check_siblings(&env)?;
    Ok(env)
}

/// Returns the variables of the base that a value uses.
fn names(value: &Value) -> impl Iterator<Item = &str> {
    value.0.iter().filter_map(|part| match part {
        Part::Env(name) => Some(name.as_str()),
        Part::Text(_) | Part::Var(_) => None,
    })
}

/// Fails where a value uses the old value of another variable, which the spec does not allow.
fn check_siblings(env: &Environment) -> Result<(), Reason> {
    for (name, value) in env {
        for used in names(value) {
            let is_new = env
                .get(used)
                .is_some_and(|other| !names(other).any(|it| it == used));
            if used != name && is_new {
                return Err(format!(
                    "`{name}` uses the value that `{used}` has in the base, and `{used}` is set as well"
                ));
            }
        }
    }
    Ok(())
}

/// Whether a variable can change what a step does.
fn counts(command: &CommandDraft, name: &str) -> bool {
    command.sensitivity == Sensitivity::Everything || is_sensitive(name)
}

fn written(env: &Environment) -> Json {
    let map = env
        .iter()
        .map(|(name, value)| (literal(name), json!(value.written())));
    Json::Object(map.collect())
}

/// Writes the steps of an image.
struct Finisher<'a> {
    /// `env:`.
    env: Environment,
    /// The user of the steps; `None` is that of the base.
    user: Option<Value>,
    /// The shell of the steps; `None` is that of the base.
    shell: Option<Vec<String>>,
    base: &'a Known,
    state: &'a State,
    differences: BTreeSet<String>,
}

impl Finisher<'_> {
    /// Sets the user of the image, or only that of its config if a step runs as the unknown user of the base.
    fn choose_user(
        &mut self,
        keys: &mut Map<String, Json>,
        config: &mut Map<String, Json>,
    ) -> Result<(), Reason> {
        let user = &self.state.user;
        self.user = self.base.user.clone();
        let Some(last) = user.as_ref().filter(|_| *user != self.base.user) else {
            return Ok(());
        };
        let mut commands = self
            .state
            .steps
            .iter()
            .filter_map(|draft| draft.command.as_ref());
        let needs_base = commands
            .any(|command| command.user.is_none() && (!command.is_root || command.is_group));
        if needs_base {
            config.insert("user".to_owned(), json!(last.written()));
            return Ok(());
        }
        keys.insert("user".to_owned(), json!(last.written()));
        self.user.clone_from(user);
        Ok(())
    }

    /// Sets the shell of the image.
    fn choose_shell(&mut self, keys: &mut Map<String, Json>, config: &mut Map<String, Json>) {
        let shell = &self.state.shell;
        self.shell.clone_from(&self.base.shell);
        let Some(last) = shell.as_ref().filter(|_| *shell != self.base.shell) else {
            return;
        };
        let mut texts = self
            .state
            .steps
            .iter()
            .filter(|draft| has_text(&draft.keys));
        let is_only = texts.all(|draft| {
            draft
                .command
                .as_ref()
                .is_some_and(|command| command.shell == *shell)
        });
        if is_only && self.state.steps.iter().any(|draft| has_text(&draft.keys)) {
            keys.insert("shell".to_owned(), json!(last));
            self.shell.clone_from(shell);
        }
        config.insert("shell".to_owned(), json!(last));
    }

    /// Returns the keys of a step.
    fn step(&mut self, draft: &Draft) -> Result<Map<String, Json>, Reason> {
        let mut keys = Map::new();
        if !draft.comment.is_empty() {
            keys.insert(COMMENT.to_owned(), json!(draft.comment));
        }
        let last = ["secrets", "mounts", "network"];
        let is_last = |key: &String| last.contains(&key.as_str());
        keys.extend(
            draft
                .keys
                .iter()
                .filter(|(key, _)| !is_last(key))
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        if let Some(command) = &draft.command {
            self.command(draft, command, &mut keys)?;
        }
        keys.extend(
            draft
                .keys
                .iter()
                .filter(|(key, _)| is_last(key))
                .map(|(k, v)| (k.clone(), v.clone())),
        );
        Ok(keys)
    }

    /// Adds the keys that follow from the state.
    fn command(
        &mut self,
        draft: &Draft,
        command: &CommandDraft,
        keys: &mut Map<String, Json>,
    ) -> Result<(), Reason> {
        let resolved = |user: &Value| self.state.resolved(user);
        let is_root = self
            .user
            .as_ref()
            .and_then(resolved)
            .is_some_and(|user| is_root_name(&user));
        let other = if command.is_root && command.is_group {
            (!is_root).then(|| Value::text("root"))
        } else if command.is_root || command.user == self.user {
            None
        } else {
            command.user.clone()
        };
        if let Some(user) = &other {
            if user.uses_environment() {
                return Err(format!(
                    "a step runs as `{}`, which is a variable of the base",
                    user.written()
                ));
            }
            keys.insert("as".to_owned(), json!(user.written()));
        }
        if let Some(cwd) = command
            .cwd
            .as_ref()
            .filter(|_| command.cwd != self.base.workdir)
        {
            keys.insert("cwd".to_owned(), json!(cwd.written()));
        }
        let mut env = Environment::new();
        for (name, value) in command.env.iter().filter(|(name, _)| counts(command, name)) {
            let before = self.env.get(name).or_else(|| self.base.env.get(name));
            if before != Some(value) {
                env.insert(name.clone(), value.clone());
            }
        }
        if other.is_some()
            && let Some(home) = command.env.get("HOME")
        {
            let text = Json::Object(draft.keys.clone()).to_string();
            if text.contains("HOME") || text.contains('~') {
                env.insert("HOME".to_owned(), home.clone());
            } else {
                let home = home.written();
                self.differences.insert(format!(
                    "HOME={home} in steps of another user → the home folder of that user"
                ));
            }
        }
        check_siblings(&env)?;
        if !env.is_empty() {
            keys.insert("env".to_owned(), written(&env));
        }
        if has_text(keys) && command.shell != self.shell {
            let shell = command.shell.clone();
            let shell = shell.unwrap_or_else(|| vec!["/bin/sh".to_owned(), "-c".to_owned()]);
            set_shell(keys, &json!(shell));
        }
        Ok(())
    }
}

/// Sets the shell of a step; that of a group is a key of its members.
fn set_shell(keys: &mut Map<String, Json>, shell: &Json) {
    let Some(members) = keys.get_mut("group").and_then(Json::as_array_mut) else {
        keys.insert("shell".to_owned(), shell.clone());
        return;
    };
    for member in members.iter_mut().filter_map(Json::as_object_mut) {
        if member.contains_key("run") {
            member.insert("shell".to_owned(), shell.clone());
        }
    }
}

/// Whether a step has a text of the shell.
fn has_text(keys: &Map<String, Json>) -> bool {
    let of_group = keys.get("group").and_then(Json::as_array);
    let mut members = of_group.into_iter().flatten().filter_map(Json::as_object);
    keys.contains_key("run") || members.any(|member| member.contains_key("run"))
}

/// Adds the steps, the first ones as short keys where that is the same.
fn add_steps(keys: &mut Map<String, Json>, steps: Vec<Map<String, Json>>) {
    let mut rest = steps.into_iter().peekable();
    let mut at = 0;
    while let Some(step) = rest.peek() {
        let mut names = step.keys();
        let (Some(name), None) = (names.next().cloned(), names.next()) else {
            break;
        };
        let Some(place) = SHORT.iter().skip(at).position(|short| *short == name) else {
            break;
        };
        at += place + 1;
        if let Some(step) = rest.next() {
            keys.extend(step);
        }
    }
    let rest: Vec<Json> = rest.map(Json::Object).collect();
    if !rest.is_empty() {
        keys.insert("steps".to_owned(), json!(rest));
    }
}

/// Returns `writable:`, with the paths that the base does not have.
fn writable(state: &State, base: &Known) -> Result<Option<Json>, Reason> {
    let mut groups = state.writable.iter();
    let (Some((gid, paths)), other) = (groups.next(), groups.next()) else {
        return Ok(None);
    };
    if other.is_some() {
        return Err("fix-permissions has different groups".to_owned());
    }
    let known = base.writable.get(gid);
    let new: Vec<&String> = paths
        .iter()
        .filter(|path| known.is_none_or(|known| !known.contains(path)))
        .collect();
    if new.is_empty() {
        return Ok(None);
    }
    Ok(Some(match known {
        Some(_) => json!({ "add": new }),
        None => json!({ "gid": gid, "paths": new }),
    }))
}

/// Returns what children know of the image.
fn known(state: &State, base: &Known) -> Known {
    // What depends on the environment of the external base is only known by its name.
    let by_name = |(name, value): (&String, &Value)| {
        let value = if value.uses_environment() {
            Value(vec![Part::Env(name.clone())])
        } else {
            value.clone()
        };
        (name.clone(), value)
    };
    let mut env: Environment = base.env.clone();
    let own: BTreeMap<String, Value> = state.config_env.iter().cloned().collect();
    env.extend(own.iter().map(by_name));
    let plain = |value: &Option<Value>| value.clone().filter(|value| !value.uses_environment());
    let mut folders = state.folders.clone();
    folders.extend(state.workdir.as_ref().and_then(|path| state.resolved(path)));
    Known {
        is_known: true,
        env,
        user: plain(&state.user),
        workdir: plain(&state.workdir),
        shell: state.shell.clone(),
        folders,
        writable: state.writable.clone(),
        configured: state.configured.clone(),
    }
}
