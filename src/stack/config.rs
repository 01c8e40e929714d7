//! `env:`, `config:` and what else is said of an image beside its steps.

use super::decode::{Reader, part_of};
use super::{Config, Env, EnvChange, EnvPart, EnvText, Healthcheck, Writable};
use crate::diagnostic::Diagnostic;
use crate::spec::node::{Node, Value};
use crate::spec::template::Part;

/// `env:`.
pub fn env(reader: &Reader, node: &Node) -> Env {
    let mut env = Env::new();
    for entry in reader.entries(node, "`env`").unwrap_or_default() {
        let Some(name) = reader.key(&entry.key) else {
            continue;
        };
        if name.is_empty() || name.contains(['=', '\0']) {
            reader.say(
                Diagnostic::error(format!("`{name}` is no name of an environment variable"))
                    .at(entry.key.span, "it is not empty and has no `=` in it"),
            );
            continue;
        }
        if let Some(change) = env_change(reader, &entry.value) {
            env.insert(name, change);
        }
    }
    env
}

fn env_change(reader: &Reader, node: &Node) -> Option<EnvChange> {
    let Value::Map(_) = node.value else {
        return env_text(reader, node).map(EnvChange::Set);
    };
    let what = "a value of `env`";
    let fields = reader.fields(node, what, &["append", "prepend", "sep"])?;
    let sep = match fields.get("sep") {
        Some(node) => reader.text(node, "`sep`")?,
        None => ":".to_owned(),
    };
    match (fields.get("append"), fields.get("prepend")) {
        (Some(node), None) => Some(EnvChange::Append {
            text: env_text(reader, node)?,
            sep,
        }),
        (None, Some(node)) => Some(EnvChange::Prepend {
            text: env_text(reader, node)?,
            sep,
        }),
        _ => {
            reader.say(
                Diagnostic::error("a value of `env` is a text, or has `append` or `prepend`")
                    .at(node.span, "one of the two is wanted here"),
            );
            None
        }
    }
}

fn env_text(reader: &Reader, node: &Node) -> Option<EnvText> {
    // An empty value is one: `X: ""`, and `X:` for short.
    if node.is_null() {
        return Some(EnvText(Vec::new()));
    }
    let text = reader.literal(node, "a value of `env`")?;
    let template = reader.template(text, node.span)?;
    let mut parts = Vec::new();
    for part in &template.0 {
        match part {
            Part::Text(text) => parts.push(EnvPart::Text(text.clone())),
            Part::Env(variable) => parts.push(EnvPart::Env(variable.name.clone())),
            Part::Var(variable) => {
                let at = part_of(node.span, text, variable.start, variable.end);
                parts.push(EnvPart::Text(reader.variable(&variable.name, at)?));
            }
        }
    }
    // Texts side by side are one.
    let mut joined: Vec<EnvPart> = Vec::new();
    for part in parts {
        match (joined.last_mut(), part) {
            (Some(EnvPart::Text(before)), EnvPart::Text(text)) => before.push_str(&text),
            (_, part) => joined.push(part),
        }
    }
    Some(EnvText(joined))
}

const CONFIG: [&str; 11] = [
    "user",
    "workdir",
    "env",
    "labels",
    "entrypoint",
    "cmd",
    "ports",
    "volumes",
    "stop-signal",
    "healthcheck",
    "shell",
];

/// `config:`.
pub fn config(reader: &Reader, node: &Node) -> Config {
    let mut config = Config::default();
    let Some(fields) = reader.fields(node, "`config`", &CONFIG) else {
        return config;
    };
    let text = |name: &str| {
        let node = fields.get(name)?;
        reader.text(node, &format!("`{name}`"))
    };
    config.user = text("user");
    config.workdir = fields.get("workdir").and_then(|node| {
        let text = reader.text(node, "`workdir`")?;
        reader.absolute(&text, node.span, "`workdir`")
    });
    config.stop_signal = text("stop-signal");
    if let Some(node) = fields.get("env") {
        config.env = env(reader, node);
    }
    if let Some(node) = fields.get("labels") {
        for entry in reader.entries(node, "`labels`").unwrap_or_default() {
            let value = match entry.value.is_null() {
                true => Some(String::new()),
                false => reader.text(&entry.value, "a label"),
            };
            if let (Some(name), Some(value)) = (reader.key(&entry.key), value) {
                config.labels.insert(name, value);
            }
        }
    }
    let list = |name: &str| {
        let node = fields.get(name)?;
        reader.texts_or_none(node, &format!("`{name}`"))
    };
    config.entrypoint = list("entrypoint");
    config.cmd = list("cmd");
    config.shell = fields
        .get("shell")
        .and_then(|node| reader.texts(node, "`shell`"));
    if let Some(node) = fields.get("ports") {
        for item in reader.list(node, "`ports`").unwrap_or_default() {
            config.ports.extend(port(reader, item));
        }
    }
    if let Some(node) = fields.get("volumes") {
        for item in reader.list(node, "`volumes`").unwrap_or_default() {
            let text = reader.text(item, "a volume");
            let path = text.and_then(|text| reader.absolute(&text, item.span, "a volume"));
            config.volumes.extend(path);
        }
    }
    config.healthcheck = fields
        .get("healthcheck")
        .and_then(|node| healthcheck(reader, node));
    config
}

fn port(reader: &Reader, node: &Node) -> Option<String> {
    let text = reader.text(node, "a port")?;
    let (number, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
    let good = number.parse::<u16>().is_ok_and(|number| number > 0)
        && matches!(protocol, "tcp" | "udp" | "sctp");
    if !good {
        reader.say(Diagnostic::error(format!("`{text}` is no port")).at(
            node.span,
            "a number from 1 to 65535 is wanted, `8888` or `8888/udp`",
        ));
        return None;
    }
    Some(format!("{number}/{protocol}"))
}

fn healthcheck(reader: &Reader, node: &Node) -> Option<Healthcheck> {
    let known = [
        "test",
        "interval",
        "timeout",
        "start-period",
        "start-interval",
        "retries",
    ];
    let mut check = Healthcheck {
        test: Vec::new(),
        interval: 0,
        timeout: 0,
        start_period: 0,
        start_interval: 0,
        retries: 0,
    };
    if matches!(&node.value, Value::Scalar { text, .. } if text == "none") {
        check.test = vec!["NONE".to_owned()];
        return Some(check);
    }
    let fields = reader.fields(node, "`healthcheck`", &known)?;
    let Some(test) = fields.get("test") else {
        reader.say(
            Diagnostic::error("`healthcheck` has no `test`")
                .at(fields.span, "nothing is run")
                .help("`test:` is a list (a program and its arguments) or a text for the shell; `healthcheck: none` takes an inherited one away"),
        );
        return None;
    };
    check.test = match &test.value {
        Value::Scalar { .. } => vec!["CMD-SHELL".to_owned(), reader.text(test, "`test`")?],
        _ => {
            let mut list = vec!["CMD".to_owned()];
            list.extend(reader.texts(test, "`test`")?);
            list
        }
    };
    let time = |name: &str| match fields.get(name) {
        Some(node) => duration(reader, node, name),
        None => Some(0),
    };
    check.interval = time("interval")?;
    check.timeout = time("timeout")?;
    check.start_period = time("start-period")?;
    check.start_interval = time("start-interval")?;
    if let Some(node) = fields.get("retries") {
        check.retries = reader.number(node, "`retries`", 1000)?;
    }
    Some(check)
}

/// `30s`, `5m`, `500ms`, in nanoseconds.
pub fn duration(reader: &Reader, node: &Node, name: &str) -> Option<u64> {
    let text = reader.text(node, &format!("`{name}`"))?;
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "ms" => Some(1_000_000),
        "s" => Some(1_000_000_000),
        "m" => Some(60_000_000_000),
        "h" => Some(3_600_000_000_000_u64),
        _ => None,
    };
    let value = digits.parse::<u64>().ok();
    let nanos = value
        .zip(unit)
        .and_then(|(value, unit)| value.checked_mul(unit));
    if nanos.is_none() {
        reader.say(
            Diagnostic::error(format!("`{name}` is a time"))
                .at(node.span, format!("not `{text}`"))
                .help("write `30s`, `5m`, `1h` or `500ms`"),
        );
    }
    nanos
}

/// `writable:`.
pub fn writable(reader: &Reader, node: &Node) -> Option<Writable> {
    let fields = reader.fields(node, "`writable`", &["gid", "paths"])?;
    let missing = |name: &str| {
        reader.say(
            Diagnostic::error(format!("`writable` has no `{name}`"))
                .at(fields.span, "`gid` and `paths` are wanted"),
        );
    };
    let gid = match fields.get("gid") {
        Some(node) => reader.number(node, "`gid`", 65_534),
        None => {
            missing("gid");
            None
        }
    };
    let Some(list) = fields.get("paths") else {
        missing("paths");
        return None;
    };
    let mut paths = Vec::new();
    for item in reader.list(list, "`paths`")? {
        let text = reader.text(item, "a writable path")?;
        let text = match text.as_str() {
            "/" => "/",
            text => text.trim_end_matches('/'),
        };
        if text == "/" {
            reader.say(
                Diagnostic::error("all of an image cannot be writable")
                    .at(item.span, "name the folders that are"),
            );
            return None;
        }
        paths.push(reader.absolute(text, item.span, "a writable path")?);
    }
    paths.sort();
    paths.dedup();
    let all = paths.clone();
    paths.retain(|path| {
        !all.iter().any(|other| {
            path.strip_prefix(other.as_str())
                .is_some_and(|rest| rest.starts_with('/'))
        })
    });
    Some(Writable {
        gid: gid?,
        paths,
        span: node.span,
    })
}
