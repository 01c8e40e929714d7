//! `config:`: changes to the config of the finished image.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::env::{self, Env, canonical_env, warn_of_shell_variable};
use super::env_text::{EnvString, ProcessWords};
use super::reader::{Fields, Reader};
use super::units::duration;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::spec::node::{Node, Value};
use crate::stack::forms::Form;

/// Changes to the config of the finished image. `None` and empty mean inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// `user:`.
    pub user: Option<EnvString>,
    /// `workdir:`, absolute unless it uses the environment.
    pub workdir: Option<EnvString>,
    /// Only for the finished image, applied after the image's `env`.
    pub env: Env,
    /// `labels:`; `None` removes an inherited one.
    pub labels: BTreeMap<String, Option<String>>,
    /// `entrypoint:`; an empty list clears it.
    pub entrypoint: Option<ProcessWords>,
    /// `cmd:`; an empty list clears it.
    pub cmd: Option<ProcessWords>,
    /// `8888/tcp`.
    pub ports: BTreeSet<String>,
    /// Absolute paths.
    pub volumes: BTreeSet<String>,
    /// `ports: null`: inherited ports are removed.
    pub removes_ports: bool,
    /// `volumes: null`: inherited volumes are removed.
    pub removes_volumes: bool,
    /// `stop-signal:`.
    pub stop_signal: Option<String>,
    /// `healthcheck:`.
    pub healthcheck: Option<Healthcheck>,
    /// `shell:`.
    pub shell: Option<Vec<String>>,
    /// `onbuild: ignore`: ONBUILD triggers of the base are not an error.
    pub ignores_triggers: bool,
}

impl Config {
    /// Returns its settings as JSON, unset ones as null or empty. They are part of keys.
    pub fn canonical(&self) -> Vec<(&'static str, Json)> {
        let Self {
            user,
            workdir,
            env,
            labels,
            entrypoint,
            cmd,
            ports,
            volumes,
            stop_signal,
            healthcheck,
            shell,
            ignores_triggers,
            removes_ports,
            removes_volumes,
        } = self;
        let text = |text: &Option<EnvString>| json!(text.as_ref().map(EnvString::canonical));
        let words =
            |words: &Option<ProcessWords>| json!(words.as_ref().map(ProcessWords::canonical));
        let set = |items: &BTreeSet<String>, removes: bool| {
            if removes {
                json!("none")
            } else if items.is_empty() {
                Json::Null
            } else {
                json!(items)
            }
        };
        let healthcheck = healthcheck.as_ref().map(|check| {
            let Healthcheck {
                test,
                interval,
                timeout,
                start_period,
                start_interval,
                retries,
            } = check;
            json!({
                "test": test,
                "interval": interval,
                "timeout": timeout,
                "start_period": start_period,
                "start_interval": start_interval,
                "retries": retries,
            })
        });
        vec![
            ("user", text(user)),
            ("workdir", text(workdir)),
            ("env", canonical_env(env)),
            ("labels", json!(labels)),
            ("entrypoint", words(entrypoint)),
            ("cmd", words(cmd)),
            ("ports", set(ports, *removes_ports)),
            ("volumes", set(volumes, *removes_volumes)),
            ("stop_signal", json!(stop_signal)),
            ("healthcheck", json!(healthcheck)),
            ("shell", json!(shell)),
            ("onbuild", ignores_triggers.then_some("ignore").into()),
        ]
    }
}

/// Docker's health check. Durations are nanoseconds; 0 means inherited, as in the image config (moby,
/// `HealthcheckConfig`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", text]` or `["NONE"]`.
    pub test: Vec<String>,
    /// Time between two checks, in nanoseconds.
    pub interval: u64,
    /// Time a check can take, in nanoseconds.
    pub timeout: u64,
    /// Time after the start in which failures do not count, in nanoseconds.
    pub start_period: u64,
    /// Time between two checks in that period, in nanoseconds.
    pub start_interval: u64,
    /// Failures in a row after which the container is unhealthy.
    pub retries: u32,
}

/// Keys of `config:`.
pub const KEYS: [&str; 12] = [
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
    "onbuild",
];

/// Reads `config:`.
pub fn read(reader: &Reader, node: &Node) -> Config {
    let Some(fields) = reader.fields(node, "`config`", &KEYS) else {
        return Config::default();
    };
    let words = |name: &str| ProcessWords::read(reader, fields.get(name)?, &format!("`{name}`"));
    let workdir = fields.get("workdir").and_then(|node| {
        let text = EnvString::read(reader, node, "`workdir`")?;
        warn_of_shell_variable(reader, node, "`workdir`");
        match text.plain() {
            Some(plain) => reader
                .is_absolute(plain, node.span, "`workdir`")
                .map(|()| text),
            None => Some(text),
        }
    });
    let (entrypoint, cmd) = (words("entrypoint"), words("cmd"));
    if let (Some(ProcessWords::Shell(text)), Some(cmd)) = (&entrypoint, &cmd)
        && !cmd.texts().is_empty()
    {
        let cmd = fields.get("cmd").map_or(text.span, |node| node.span);
        reader.report(ignored_cmd(cmd, text.span));
    }
    let shell = fields.get("shell");
    let healthcheck = fields.get("healthcheck");
    let onbuild = fields.get("onbuild");
    let is_null = |name: &str| fields.get(name).is_some_and(Node::is_null);
    Config {
        user: fields.get("user").and_then(|node| user(reader, node)),
        workdir,
        env: fields
            .get("env")
            .map(|node| env::read(reader, node))
            .unwrap_or_default(),
        labels: labels(reader, &fields),
        entrypoint,
        cmd,
        ports: items(reader, &fields, "ports", port),
        volumes: items(reader, &fields, "volumes", volume),
        removes_ports: is_null("ports"),
        removes_volumes: is_null("volumes"),
        stop_signal: fields
            .get("stop-signal")
            .and_then(|node| stop_signal(reader, node)),
        healthcheck: healthcheck.and_then(|node| self::healthcheck(reader, node)),
        shell: shell.and_then(|node| reader.texts(node, "`shell`")),
        ignores_triggers: onbuild
            .and_then(|node| reader.one_of(node, "`onbuild`", &[("ignore", true)]))
            .unwrap_or_default(),
    }
}

/// Reads a user, by name or number.
pub fn user(reader: &Reader, node: &Node) -> Option<EnvString> {
    let text = EnvString::read(reader, node, "`user`")?;
    warn_of_shell_variable(reader, node, "`user`");
    Some(text)
}

/// Warns of arguments that the shell of an entrypoint does not pass on.
pub fn ignored_cmd(cmd: Span, entrypoint: Span) -> Diagnostic {
    Diagnostic::warning("`cmd` is ignored by an `entrypoint` that is a string")
        .at(cmd, "does not reach the entrypoint")
        .also(entrypoint, "run by a shell, which gets no arguments")
        .help("write `entrypoint` as a list: its program and arguments")
}

fn labels(reader: &Reader, fields: &Fields) -> BTreeMap<String, Option<String>> {
    let mut labels = BTreeMap::new();
    let Some(node) = fields.get("labels") else {
        return labels;
    };
    for entry in reader.entries(node, "`labels`").unwrap_or_default() {
        let value = if entry.value.is_null() {
            Some(None)
        } else {
            reader.text_like_docker(&entry.value, "a label").map(Some)
        };
        if let (Some(name), Some(value)) = (reader.key(&entry.key), value) {
            labels.insert(name, value);
        }
    }
    labels
}

fn items(
    reader: &Reader,
    fields: &Fields,
    name: &str,
    read: fn(&Reader, &Node) -> Option<String>,
) -> BTreeSet<String> {
    let Some(node) = fields.get(name).filter(|node| !node.is_null()) else {
        return BTreeSet::new();
    };
    let list = reader.list(node, &format!("`{name}`")).unwrap_or_default();
    list.iter().filter_map(|item| read(reader, item)).collect()
}

fn volume(reader: &Reader, node: &Node) -> Option<String> {
    let text = reader.text(node, "a volume")?;
    reader.absolute(&text, node.span, "a volume")
}

/// Signals of Linux by their names without `SIG` (moby/sys/signal, which BuildKit checks `STOPSIGNAL` with).
const SIGNALS: [&str; 36] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "RTMIN", "RTMAX",
];

fn stop_signal(reader: &Reader, node: &Node) -> Option<String> {
    let text = reader.text(node, "`stop-signal`")?;
    let upper = text.to_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |start: &str, most: u8| {
        let number = name.strip_prefix(start)?.parse::<u8>().ok()?;
        Some((1..=most).contains(&number))
    };
    let is_real_time = real_time("RTMIN+", 15).or_else(|| real_time("RTMAX-", 14));
    let is_number = text.parse::<u8>().is_ok_and(|number| number > 0);
    if is_number || is_real_time == Some(true) || SIGNALS.contains(&name) {
        return Some(text);
    }
    let reason = "expected a name such as `SIGTERM`, or a number";
    let problem = Diagnostic::invalid("signal", &text, node.span, reason);
    reader.report(problem.did_you_mean(name, SIGNALS));
    None
}

fn port(reader: &Reader, node: &Node) -> Option<String> {
    let text = reader.text(node, "a port")?;
    let (number, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
    let good = number.parse::<u16>().is_ok_and(|number| number > 0)
        && matches!(protocol, "tcp" | "udp" | "sctp");
    if !good {
        let reason = "expected a number from 1 to 65535, for example `8888` or `8888/udp`";
        reader.report(Diagnostic::invalid("port", &text, node.span, reason));
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
    if matches!(&node.value, Value::Scalar { text, .. } if text == "none") {
        return Some(Healthcheck {
            test: vec!["NONE".to_owned()],
            ..Healthcheck::default()
        });
    }
    let fields = reader.fields(node, "`healthcheck`", &known)?;
    let Some(test) = fields.get("test") else {
        if fields.is_misspelt(&["test"]) {
            return None;
        }
        reader.report(
            Diagnostic::missing("test", "`healthcheck`", fields.span).help(
                "add `test:`, a list (a program and its arguments) or a string for the shell; \
                 `healthcheck: none` removes an inherited one",
            ),
        );
        return None;
    };
    let form = reader.form(test, "`test`", &[Form::Text, Form::List])?;
    let test = if form == Form::Text {
        vec!["CMD-SHELL".to_owned(), reader.text(test, "`test`")?]
    } else {
        let mut list = vec!["CMD".to_owned()];
        list.extend(reader.texts(test, "`test`")?);
        list
    };
    let time = |name: &str| match fields.get(name) {
        Some(node) => duration(reader, node, name),
        None => Some(0),
    };
    Some(Healthcheck {
        test,
        interval: time("interval")?,
        timeout: time("timeout")?,
        start_period: time("start-period")?,
        start_interval: time("start-interval")?,
        retries: match fields.get("retries") {
            Some(node) => reader.number(node, "`retries`", 0..=1000)?,
            None => 0,
        },
    })
}
