//! Steps and settings as JSON whose bytes depend on nothing but what they do: no spans, no names for
//! people, map keys in one order. `key` hashes it and `plan --expand` prints it.

use serde_json::{Map, Value, json};

use crate::stack::{
    AppendFrom, Config, CopyFrom, Env, EnvChange, EnvPart, EnvText, Kind, Mode, Network, Perms,
    PipTool, Secret, Step,
};

/// A step, without its name and place.
pub fn step(step: &Step) -> Value {
    let mut map = Map::new();
    let (kind, value) = kind(&step.kind);
    map.insert(kind.into(), value);
    let mut add = |name: &str, value: Value| {
        map.insert(name.into(), value);
    };
    if let Some(user) = &step.user {
        add("as", json!(user));
    }
    if let Some(cwd) = &step.cwd {
        add("cwd", json!(cwd));
    }
    if !step.env.is_empty() {
        add("env", env(&step.env));
    }
    if let Some(shell) = &step.shell {
        add("shell", json!(shell));
    }
    if !step.secrets.is_empty() {
        add("secrets", secrets(&step.secrets));
    }
    if let Some(said) = step.network {
        add("network", network(said));
    }
    if !step.finish.is_empty() {
        add("finish", step.finish.iter().map(perms).collect());
    }
    Value::Object(map)
}

/// Secrets and where each is mounted.
pub fn secrets(secrets: &[Secret]) -> Value {
    let map: Map<String, Value> = secrets
        .iter()
        .map(|s| (s.id.clone(), json!(s.target)))
        .collect();
    Value::Object(map)
}

pub fn network(network: Network) -> Value {
    json!(match network {
        Network::Default => "default",
        Network::None => "none",
    })
}

fn kind(kind: &Kind) -> (&'static str, Value) {
    match kind {
        Kind::Apt {
            packages,
            recommends,
        } => (
            "apt",
            json!({ "packages": packages, "recommends": recommends }),
        ),
        Kind::Pip(pip) => (
            "pip",
            json!({
                "requirements": pip.requirements,
                "includes": pip.includes,
                "packages": pip.packages,
                "tool": match pip.tool { PipTool::Uv => "uv", PipTool::Pip => "pip" },
                "index": pip.index,
                "extra-index": pip.extra_index,
                "upgrade": pip.upgrade,
            }),
        ),
        Kind::Conda(conda) => (
            "conda",
            json!({ "packages": conda.packages, "channels": conda.channels, "file": conda.file }),
        ),
        Kind::Copy(copies) => (
            "copy",
            copies
                .iter()
                .map(|copy| {
                    let from = match &copy.from {
                        // The pattern found these; how it was written changes nothing.
                        CopyFrom::Files { entries, .. } => entries
                            .iter()
                            .map(|entry| json!([entry.file, entry.to]))
                            .collect(),
                        CopyFrom::Image { reference, path } => {
                            json!({ "image": reference.value.to_string(), "path": path })
                        }
                    };
                    json!({ "to": copy.to, "from": from, "owner": copy.owner, "mode": mode(&copy.mode) })
                })
                .collect(),
        ),
        Kind::Write(writes) => (
            "write",
            writes
                .iter()
                .map(|w| {
                    json!({ "to": w.to, "text": w.text, "owner": w.owner, "mode": mode(&w.mode) })
                })
                .collect(),
        ),
        Kind::Append(appends) => (
            "append",
            appends
                .iter()
                .map(|append| match &append.from {
                    AppendFrom::Text(text) => json!({ "to": append.to, "text": text }),
                    AppendFrom::File(file) => json!({ "to": append.to, "from": file }),
                })
                .collect(),
        ),
        Kind::Link(links) => (
            "link",
            links
                .iter()
                .map(|link| json!({ "path": link.path, "target": link.target }))
                .collect(),
        ),
        Kind::Perms(list) => ("perms", list.iter().map(perms).collect()),
        Kind::Run(text) => ("run", json!(text)),
        Kind::Exec(args) => ("exec", json!(args)),
        Kind::Script(path) => ("script", json!(path)),
        Kind::Group(steps) => ("group", steps.iter().map(step).collect()),
    }
}

fn perms(perms: &Perms) -> Value {
    json!({
        "path": perms.path,
        "owner": perms.owner,
        "mode": mode(&perms.mode),
        "recursive": perms.recursive,
    })
}

fn mode(mode: &Option<Mode>) -> Value {
    match mode {
        None => Value::Null,
        Some(Mode::Octal(bits)) => json!(format!("{bits:04o}")),
        Some(Mode::Symbolic(text)) => json!(text),
    }
}

/// Changes to the environment.
pub fn env(env: &Env) -> Value {
    let map: Map<String, Value> = env
        .iter()
        .map(|(name, change)| {
            let value = match change {
                EnvChange::Set(value) => text(value),
                EnvChange::Append { text: value, sep } => {
                    json!({ "append": text(value), "sep": sep })
                }
                EnvChange::Prepend { text: value, sep } => {
                    json!({ "prepend": text(value), "sep": sep })
                }
            };
            (name.clone(), value)
        })
        .collect();
    Value::Object(map)
}

/// A text as the spec writes it: a literal `${` as `$${`.
fn text(text: &EnvText) -> Value {
    let written: String = text
        .0
        .iter()
        .map(|part| match part {
            EnvPart::Text(text) => text.replace("${", "$${"),
            EnvPart::Env(name) => format!("${{env:{name}}}"),
        })
        .collect();
    json!(written)
}

/// The settings of `config:`, unset ones as null or empty.
pub fn config(config: &Config) -> Vec<(&'static str, Value)> {
    let set = |items: &std::collections::BTreeSet<String>| match items.is_empty() {
        true => Value::Null,
        false => json!(items),
    };
    let healthcheck = config.healthcheck.as_ref().map(|check| {
        json!({
            "test": check.test,
            "interval": check.interval,
            "timeout": check.timeout,
            "start_period": check.start_period,
            "start_interval": check.start_interval,
            "retries": check.retries,
        })
    });
    vec![
        ("user", json!(config.user)),
        ("workdir", json!(config.workdir)),
        ("env", env(&config.env)),
        ("labels", json!(config.labels)),
        ("entrypoint", json!(config.entrypoint)),
        ("cmd", json!(config.cmd)),
        ("ports", set(&config.ports)),
        ("volumes", set(&config.volumes)),
        ("stop_signal", json!(config.stop_signal)),
        ("healthcheck", json!(healthcheck)),
        ("shell", json!(config.shell)),
    ]
}
