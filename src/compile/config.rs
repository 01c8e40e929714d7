//! The finished image's config: the base's JSON with the spec's settings edited in, so that keys which
//! laminate does not know are kept.
//!
//! Field names are those of the OCI image specification (v1.1, "Image Configuration") and Docker's
//! additions to it (`Healthcheck`, `OnBuild`, `Shell`).

use serde_json::{Map, Value, json};

use super::config_fields::{WrongField, check_fields};
use super::config_text::words;
use super::environment::Environment;
use crate::stack::{Base, Config, Healthcheck, Image};

/// The path of programs where a config sets none, as BuildKit and Docker have it (util/system/path.go of
/// BuildKit 0.32.2).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Prefixes of labels that describe the image that has them: its source, revision, version, licences.
/// The second is that of their predecessor.
const DESCRIBING_LABELS: [&str; 2] = ["org.opencontainers.image.", "org.label-schema."];

/// An image's config, as its registry stores it: a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseConfig(pub Value);

/// Why bytes are not an image config.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// They are not JSON.
    #[error("the config is not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// They are JSON, but not an object.
    #[error("the config is not a JSON object")]
    Shape,
    /// A field has a type that engines and runtimes refuse.
    #[error(transparent)]
    Field(#[from] WrongField),
}

impl Default for BaseConfig {
    /// Returns a config without settings.
    fn default() -> Self {
        Self(json!({}))
    }
}

impl BaseConfig {
    /// Parses the bytes of a config.
    pub fn parse(bytes: &[u8]) -> Result<Self, ConfigError> {
        let value: Value = serde_json::from_slice(bytes)?;
        match value {
            Value::Object(_) => {
                check_fields(&value["config"])?;
                Ok(Self(value))
            }
            _ => Err(ConfigError::Shape),
        }
    }

    /// Fills in the platform where it is missing, as Docker does: engines refuse a config without it.
    #[must_use]
    pub fn with_platform(mut self, os: &str, architecture: &str) -> Self {
        for (name, value) in [("os", os), ("architecture", architecture)] {
            if self.0[name].as_str().is_none_or(str::is_empty) {
                self.0[name] = json!(value);
            }
        }
        self
    }

    /// Returns its platform, as `linux/amd64`, if it has one.
    pub fn platform(&self) -> Option<String> {
        let part = |name: &str| self.0[name].as_str().filter(|text| !text.is_empty());
        Some(format!("{}/{}", part("os")?, part("architecture")?))
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.0.get("config").and_then(|config| config.get(name))
    }

    fn text(&self, name: &str) -> Option<&str> {
        let text = self.field(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    }

    fn list(&self, name: &str) -> Option<Vec<String>> {
        let items = self.field(name)?.as_array()?;
        let list: Vec<String> = items
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect();
        (!list.is_empty()).then_some(list)
    }

    /// Returns `Env`, with the `PATH` that runtimes use if it sets none or an empty one.
    pub fn env(&self) -> Environment {
        let entries = self.list("Env").unwrap_or_default();
        let mut env = Environment::new(entries.iter().map(String::as_str));
        if env.get("PATH").is_none_or(str::is_empty) {
            env.set("PATH", DEFAULT_PATH);
        }
        env
    }

    /// Returns the number of layers.
    pub fn layers(&self) -> usize {
        self.diff_ids().len()
    }

    /// Returns the number of layers that its history has.
    pub fn listed_layers(&self) -> usize {
        let history = self.0["history"].as_array().map_or(&[][..], Vec::as_slice);
        let entries = history.iter();
        entries
            .filter(|entry| entry["empty_layer"] != json!(true))
            .count()
    }

    /// Returns the digest of each layer without compression.
    pub fn diff_ids(&self) -> &[Value] {
        let layers = self.0["rootfs"]["diff_ids"].as_array();
        layers.map_or(&[], Vec::as_slice)
    }

    /// Returns `OnBuild`: instructions for a build on this image.
    pub fn triggers(&self) -> Vec<String> {
        self.list("OnBuild").unwrap_or_default()
    }

    /// Returns `User`; `None` where it is missing or empty.
    pub fn user(&self) -> Option<&str> {
        self.text("User")
    }

    /// Returns `WorkingDir`, or `/`. A relative one is below `/`, as for Dockerfiles.
    pub fn workdir(&self) -> String {
        let folder = self.text("WorkingDir").unwrap_or("/");
        if folder.starts_with('/') {
            folder.to_owned()
        } else {
            format!("/{folder}")
        }
    }

    /// Returns the command that a runtime starts: `Entrypoint` followed by `Cmd`.
    pub fn command(&self) -> Vec<String> {
        self.command_with(None)
    }

    /// Returns the command with other arguments than `Cmd`, if there are any.
    pub fn command_with(&self, cmd: Option<&Vec<String>>) -> Vec<String> {
        let (mut all, own) = self.process();
        all.extend(cmd.cloned().unwrap_or(own));
        all
    }

    /// Returns `Entrypoint` and `Cmd`.
    pub fn process(&self) -> (Vec<String>, Vec<String>) {
        let list = |name| self.list(name).unwrap_or_default();
        (list("Entrypoint"), list("Cmd"))
    }

    /// Returns `Healthcheck` if it has a command, not `NONE`.
    pub fn healthcheck(&self) -> Option<&Value> {
        let check = self.field("Healthcheck")?;
        let kind = check["Test"].get(0).and_then(Value::as_str);
        kind.filter(|kind| !kind.is_empty() && *kind != "NONE")
            .map(|_| check)
    }

    /// Returns `Shell`; `None` where it is missing or empty.
    pub fn shell(&self) -> Option<Vec<String>> {
        self.list("Shell")
    }
}

/// Returns the config of an image on a base, with the base's history.
pub fn config(image: &Image, base: &BaseConfig) -> BaseConfig {
    let mut whole = base.0.clone();
    let of_steps = base.env().with(&image.env);
    let env = of_steps.with(&image.config.env);
    let shell = image.config.shell.clone().or_else(|| base.shell());
    let fields = whole
        .as_object_mut()
        .expect("BaseConfig::parse takes objects only")
        .entry("config")
        .or_insert_with(|| json!({}));
    if !fields.is_object() {
        *fields = json!({});
    }
    let fields = fields.as_object_mut().expect("made an object above");
    // The base of a Dockerfile's steps is what the Dockerfile made.
    let is_own = image.dockerfile().is_some();
    if !is_own {
        // They are for one build, as in Docker, and were refused or are to be ignored.
        fields.shift_remove("OnBuild");
    }
    if let (Base::External(_), false, Some(Value::Object(labels))) =
        (&image.base, is_own, fields.get_mut("Labels"))
    {
        labels.retain(|name, _| {
            !DESCRIBING_LABELS
                .iter()
                .any(|prefix| name.starts_with(prefix))
        });
    }
    if image.config.entrypoint.is_some() {
        // As Docker does: the inherited arguments were for the other program.
        fields.shift_remove("Cmd");
    }
    let mut set = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    let entries = env.entries();
    if !entries.is_empty() {
        set("Env", json!(entries));
    }
    let own = &image.config;
    if let Some(user) = &own.user {
        set("User", json!(env.fill(user)));
    } else if let Some(user) = &image.user {
        set("User", json!(of_steps.fill(user)));
    }
    if let Some(workdir) = &own.workdir {
        set("WorkingDir", json!(env.fill(workdir)));
    }
    if let Some(entrypoint) = &own.entrypoint {
        set("Entrypoint", json!(words(entrypoint, &env, shell.as_ref())));
    }
    if let Some(cmd) = &own.cmd {
        set("Cmd", json!(words(cmd, &env, shell.as_ref())));
    }
    if let Some(signal) = &own.stop_signal {
        set("StopSignal", json!(signal));
    }
    if let Some(shell) = &own.shell {
        set("Shell", json!(shell));
    }
    if let Some(check) = &own.healthcheck {
        set("Healthcheck", healthcheck(check));
    }
    change_maps(fields, own);
    BaseConfig(whole)
}

/// Adds labels, ports and volumes, and removes inherited ones.
fn change_maps(fields: &mut Map<String, Value>, own: &Config) {
    for (name, removes) in [
        ("ExposedPorts", own.removes_ports),
        ("Volumes", own.removes_volumes),
    ] {
        if removes {
            fields.shift_remove(name);
        }
    }
    for (name, value) in &own.labels {
        if let (None, Some(Value::Object(labels))) = (value, fields.get_mut("Labels")) {
            labels.shift_remove(name);
        }
    }
    let labels = own.labels.iter();
    add_entries(
        fields,
        "Labels",
        labels.filter_map(|(name, value)| Some((name, json!(value.as_ref()?)))),
    );
    add_entries(
        fields,
        "ExposedPorts",
        own.ports.iter().map(|p| (p, json!({}))),
    );
    add_entries(
        fields,
        "Volumes",
        own.volumes.iter().map(|v| (v, json!({}))),
    );
}

/// Returns `Healthcheck`; times in nanoseconds, and none that is 0, which stands for Docker's default.
fn healthcheck(check: &Healthcheck) -> Value {
    let mut value = Map::new();
    value.insert("Test".to_owned(), json!(check.test));
    for (name, number) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
        ("Retries", u64::from(check.retries)),
    ] {
        if number > 0 {
            value.insert(name.to_owned(), json!(number));
        }
    }
    Value::Object(value)
}

/// Returns a config with its history: the base's entries, and one for the layer of each step.
///
/// `epoch` becomes the time of creation, seconds since 1970. Without it the exporter fills in the present;
/// it does not change a time that is there (exporter/containerimage/writer.go in buildkit v0.32.2).
pub fn finished(config: &BaseConfig, titles: &[String], epoch: Option<i64>) -> BaseConfig {
    let mut whole = config.0.clone();
    let layers = config.layers();
    let created = epoch
        .and_then(|epoch| jiff::Timestamp::from_second(epoch).ok())
        .map(|time| time.to_string());
    let fields = whole
        .as_object_mut()
        .expect("BaseConfig::parse takes objects only");
    let mut history = match fields.get("history") {
        Some(Value::Array(list)) => list.clone(),
        _ => Vec::new(),
    };
    let listed = history
        .iter()
        .filter(|entry| entry["empty_layer"] != json!(true))
        .count();
    // Readers match entries with layers by their order, so a base with too few entries gets the rest.
    for _ in listed..layers {
        history.push(json!({ "comment": "a layer of the base" }));
    }
    for title in titles {
        let mut entry = json!({ "created_by": title, "comment": "laminate" });
        if let Some(created) = &created {
            entry["created"] = json!(created);
        }
        history.push(entry);
    }
    fields.insert("history".to_owned(), Value::Array(history));
    match created {
        Some(created) => fields.insert("created".to_owned(), json!(created)),
        None => fields.shift_remove("created"),
    };
    BaseConfig(whole)
}

/// Adds entries to a map of the config and keeps those it has.
fn add_entries<'a>(
    fields: &mut Map<String, Value>,
    name: &str,
    entries: impl Iterator<Item = (&'a String, Value)>,
) {
    for (key, value) in entries {
        let map = fields.entry(name).or_insert_with(|| json!({}));
        if !map.is_object() {
            *map = json!({});
        }
        let map = map.as_object_mut().expect("made an object above");
        map.insert(key.clone(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::tests::image;

    #[test]
    fn an_empty_path_and_a_relative_folder_are_those_of_docker() {
        let base = BaseConfig::parse(br#"{"config":{"Env":["PATH="],"WorkingDir":"srv"}}"#);
        let base = base.expect("an object");
        assert_eq!(base.env().get("PATH"), Some(DEFAULT_PATH));
        assert_eq!(base.workdir(), "/srv");
    }

    #[test]
    fn a_config_without_a_platform_gets_one() {
        let platform = |text: &str| {
            let config = BaseConfig::parse(text.as_bytes()).expect("an object");
            let whole = config.with_platform("linux", "amd64").0;
            [whole["os"].to_string(), whole["architecture"].to_string()]
        };
        let given = [r#""linux""#, r#""amd64""#];
        assert_eq!(platform(r#"{ "config": {} }"#), given);
        assert_eq!(platform(r#"{ "os": "", "architecture": null }"#), given);
        let own = r#"{ "os": "linux", "architecture": "arm64" }"#;
        assert_eq!(platform(own)[1], r#""arm64""#);
    }

    #[test]
    fn history_has_an_entry_a_layer() {
        let base = json!({
            "created": "2020-01-01T00:00:00Z",
            "rootfs": { "diff_ids": ["a", "b"] },
            "history": [{ "created_by": "x" }, { "created_by": "ENV", "empty_layer": true }],
        });
        let base = BaseConfig::parse(base.to_string().as_bytes()).expect("an object");
        let made = finished(&base, &["apt git".to_owned()], Some(1_750_000_000));
        assert_eq!(
            made.0["history"],
            json!([
                { "created_by": "x" },
                { "created_by": "ENV", "empty_layer": true },
                { "comment": "a layer of the base" },
                { "created_by": "apt git", "comment": "laminate", "created": "2025-06-15T15:06:40Z" },
            ])
        );
        assert_eq!(made.0["created"], json!("2025-06-15T15:06:40Z"));
        assert_eq!(finished(&base, &[], None).0.get("created"), None);
    }

    #[test]
    fn other_keys_are_kept_and_an_entrypoint_clears_the_command() {
        let base = json!({
            "architecture": "amd64", "os": "linux", "x-unknown": [1, null],
            "config": {
                "Env": ["PATH=/bin"], "Cmd": ["bash"], "Odd": null,
                "Labels": {"a": "1"}, "StopSignal": "SIGINT",
            },
            "history": [{"created_by": "x"}],
        });
        let base = BaseConfig::parse(base.to_string().as_bytes()).expect("an object");
        assert_eq!(config(&image(""), &base), base);
        let image = image(
            "user: \"1000\"\n\
             config: { entrypoint: [/start], workdir: /work, labels: { b: \"2\" }, ports: [8888] }",
        );
        assert_eq!(
            config(&image, &base).0,
            json!({
                "architecture": "amd64", "os": "linux", "x-unknown": [1, null],
                "config": {
                    "Env": ["PATH=/bin"], "Odd": null,
                    "Labels": {"a": "1", "b": "2"}, "StopSignal": "SIGINT",
                    "Entrypoint": ["/start"], "WorkingDir": "/work", "User": "1000",
                    "ExposedPorts": {"8888/tcp": {}},
                },
                "history": [{"created_by": "x"}],
            })
        );
    }

    fn base(config: &Value) -> BaseConfig {
        let text = json!({ "config": config }).to_string();
        BaseConfig::parse(text.as_bytes()).expect("an object")
    }

    #[test]
    fn the_default_path_counts_as_that_of_a_base_without_one() {
        let env = "config: { env: { PATH: \"/opt/x/bin:${env:PATH}\" } }";
        let made = config(&image(env), &base(&json!({})));
        let expected = format!("PATH=/opt/x/bin:{DEFAULT_PATH}");
        assert_eq!(made.0["config"]["Env"], json!([expected]));
        let own = base(&json!({ "Env": ["PATH=/bin"] }));
        assert_eq!(own.env().entries(), ["PATH=/bin"]);
    }

    #[test]
    fn labels_that_describe_an_external_base_are_not_inherited() {
        let labels = json!({
            "org.opencontainers.image.source": "https://x", "org.opencontainers.image.version": "1",
            "org.label-schema.vcs-ref": "a", "maintainer": "b",
        });
        let base = base(&json!({ "Labels": labels }));
        let own = "config: { labels: { org.opencontainers.image.version: \"2\" } }";
        let made = config(&image(own), &base);
        let expected = json!({ "maintainer": "b", "org.opencontainers.image.version": "2" });
        assert_eq!(made.0["config"]["Labels"], expected);
    }

    #[test]
    fn labels_of_an_image_of_the_stack_are_inherited() {
        let spec = "stack: t\nimages:\n  a: { base: \"debian:12\" }\n  b: { base: a }\n";
        let stack = crate::testing::stack(spec);
        let base = base(&json!({ "Labels": { "org.opencontainers.image.source": "x" } }));
        let made = config(&stack.images()[1], &base);
        assert_eq!(
            made.0["config"]["Labels"]["org.opencontainers.image.source"],
            "x"
        );
    }

    #[test]
    fn null_removes_what_is_inherited() {
        let base = base(&json!({
            "Env": ["PATH=/bin", "A=1", "B=2"], "Labels": { "a": "1", "b": "2" },
            "ExposedPorts": { "80/tcp": {} }, "Volumes": { "/data": {} },
        }));
        let keys = "env: { A: }\nconfig: { env: { B: ~ }, labels: { a: }, ports: , volumes: null }";
        let made = config(&image(keys), &base);
        let expected = json!({ "Env": ["PATH=/bin"], "Labels": { "b": "2" } });
        assert_eq!(made.0["config"], expected);
    }

    #[test]
    fn triggers_of_a_base_are_not_kept() {
        let base = base(&json!({ "OnBuild": ["RUN x"] }));
        assert_eq!(base.triggers(), ["RUN x"]);
        assert!(config(&image(""), &base).triggers().is_empty());
    }
}
