//! `--mount`, `--network` and `--security` of `RUN`.

use serde_json::{Map, Value as Json, json};

use super::context::{Context, Found};
use super::state::{Reason, State, is_root_name};
use super::value::{Quotes, expand};
use crate::dockerfile::Instruction;

/// The options of a `RUN`.
#[derive(Debug, Default)]
pub struct Options {
    /// `mounts:`.
    pub mounts: Map<String, Json>,
    /// `secrets:`.
    pub secrets: Map<String, Json>,
    /// `network:`.
    pub network: Option<&'static str>,
}

impl Options {
    /// Adds the keys to a step.
    pub fn add_to(self, keys: &mut Map<String, Json>) {
        if !self.mounts.is_empty() {
            keys.insert("mounts".to_owned(), Json::Object(self.mounts));
        }
        if !self.secrets.is_empty() {
            keys.insert("secrets".to_owned(), Json::Object(self.secrets));
        }
        if let Some(network) = self.network {
            keys.insert("network".to_owned(), json!(network));
        }
    }

    /// Returns the paths that something is mounted at, with the defaults of variables.
    pub fn targets(&self, state: &State) -> Vec<String> {
        let secrets = self.secrets.values();
        let secrets = secrets.filter_map(|it| it.as_str().or(it["path"].as_str()));
        let all = self.mounts.keys().map(String::as_str).chain(secrets);
        // A path that cannot be known hides all others.
        let resolved = |path: &str| {
            let value = expand(path, &state.vars, &state.vars, Quotes::Kept).ok();
            let path = value.and_then(|it| it.resolved(&state.vars));
            path.unwrap_or_else(|| "/".to_owned())
        };
        all.map(resolved).collect()
    }

    /// Removes caches that a native step has itself, at these paths; returns whether there were any.
    pub fn remove_caches(&mut self, is_own: impl Fn(&str) -> bool) -> bool {
        let before = self.mounts.len();
        self.mounts
            .retain(|path, mount| mount.get("cache").is_none() || !is_own(path));
        self.mounts.len() < before
    }
}

/// Reads the options of a `RUN`.
pub fn options(
    instruction: &Instruction,
    state: &State,
    context: &Context,
) -> Result<Options, Reason> {
    let mut made = Options::default();
    for (name, word) in instruction.options().0 {
        match (name.as_str(), word.value.as_str()) {
            ("mount", value) => mount(value, &mut made, state, context)?,
            ("network", "none") => made.network = Some("none"),
            ("network", "default") | ("security", "sandbox") => {}
            _ => return Err(format!("steps have no `--{name}={}`", word.value)),
        }
    }
    Ok(made)
}

/// The settings of one mount.
struct Settings<'a> {
    all: Vec<(&'a str, &'a str)>,
    state: &'a State,
}

impl Settings<'_> {
    fn get(&self, names: &[&str]) -> Result<Option<String>, Reason> {
        let found = self.all.iter().find(|(name, _)| names.contains(name));
        let Some((_, value)) = found else {
            return Ok(None);
        };
        let value = self.state.known(value)?;
        Ok(Some(value.written()))
    }

    fn only(&self, known: &[&str]) -> Result<(), Reason> {
        let other = self.all.iter().find(|(name, _)| !known.contains(name));
        other.map_or(Ok(()), |(name, value)| {
            Err(format!("mounts of steps have no `{name}={value}`"))
        })
    }

    fn path(&self, names: &[&str]) -> Result<Option<String>, Reason> {
        let Some((_, value)) = self.all.iter().find(|(name, _)| names.contains(name)) else {
            return Ok(None);
        };
        let path = self.state.absolute(&self.state.known(value)?)?;
        Ok(Some(path.written()))
    }
}

const TARGET: [&str; 3] = ["target", "dst", "destination"];

fn mount(value: &str, made: &mut Options, state: &State, context: &Context) -> Result<(), Reason> {
    if value.contains(['"', '\'']) {
        return Err("a mount has quotes".to_owned());
    }
    let all = value
        .split(',')
        .map(|part| part.split_once('=').unwrap_or((part, "true")));
    let settings = Settings {
        all: all.collect(),
        state,
    };
    let kind = settings
        .get(&["type"])?
        .unwrap_or_else(|| "bind".to_owned());
    let target = settings.path(&TARGET)?;
    if kind == "secret" {
        return secret(&settings, target, made);
    }
    let target = target.ok_or("a mount has no target")?;
    let mount = match kind.as_str() {
        "bind" => bind(&settings, context)?,
        "cache" => cache(&settings, &target)?,
        "tmpfs" => {
            settings.only(&["type", "size", "target", "dst", "destination"])?;
            json!({ "tmpfs": settings.get(&["size"])? })
        }
        _ => return Err(format!("steps have no mount of type `{kind}`")),
    };
    made.mounts.insert(target, mount);
    Ok(())
}

fn bind(settings: &Settings, context: &Context) -> Result<Json, Reason> {
    settings.only(&[
        "type",
        "source",
        "src",
        "target",
        "dst",
        "destination",
        "from",
        "rw",
        "readwrite",
        "ro",
        "readonly",
    ])?;
    let source = settings.get(&["source", "src"])?;
    let is_on = |names: &[&str]| -> Result<bool, Reason> {
        Ok(settings.get(names)?.is_some_and(|value| value == "true"))
    };
    let is_writable = is_on(&["rw", "readwrite"])?;
    let mut mount = Map::new();
    match settings.get(&["from"])? {
        Some(from) => {
            mount.insert("image".to_owned(), json!(context.image(&from)?));
            if let Some(source) = source.filter(|path| path != "/") {
                mount.insert(
                    "from".to_owned(),
                    json!(format!("/{}", source.trim_start_matches('/'))),
                );
            }
        }
        None => {
            let source = source.unwrap_or_else(|| ".".to_owned());
            let found = context.find(&source)?;
            if found.found == Found::Pattern {
                return Err("a mount has a pattern".to_owned());
            }
            mount.insert("bind".to_owned(), json!(context.written(&found)));
        }
    }
    if is_writable {
        mount.insert("rw".to_owned(), json!(true));
    }
    Ok(Json::Object(mount))
}

fn cache(settings: &Settings, target: &str) -> Result<Json, Reason> {
    settings.only(&[
        "type",
        "id",
        "target",
        "dst",
        "destination",
        "sharing",
        "uid",
        "gid",
        "mode",
        "rw",
        "readwrite",
    ])?;
    let mut mount = Map::new();
    let id = settings.get(&["id"])?.unwrap_or_else(|| target.to_owned());
    mount.insert("cache".to_owned(), json!(id));
    for name in ["sharing", "uid", "gid", "mode"] {
        if let Some(value) = settings.get(&[name])? {
            mount.insert(name.to_owned(), json!(value));
        }
    }
    // A new cache belongs to the step's user; that of a Dockerfile to root.
    let user = settings
        .state
        .user
        .as_ref()
        .and_then(|user| settings.state.resolved(user));
    if user.is_some_and(|user| !is_root_name(&user)) {
        for name in ["uid", "gid"] {
            mount.entry(name).or_insert_with(|| json!("0"));
        }
    }
    Ok(Json::Object(mount))
}

fn secret(settings: &Settings, target: Option<String>, made: &mut Options) -> Result<(), Reason> {
    settings.only(&[
        "type",
        "id",
        "target",
        "dst",
        "destination",
        "required",
        "mode",
        "uid",
        "gid",
    ])?;
    let last = target
        .as_deref()
        .and_then(|path| path.rsplit('/').next().map(str::to_owned));
    let id = settings
        .get(&["id"])?
        .or(last)
        .ok_or("a secret has no id")?;
    let path = target.unwrap_or_else(|| format!("/run/secrets/{id}"));
    let mut map = Map::new();
    for name in ["mode", "uid", "gid"] {
        if let Some(value) = settings.get(&[name])? {
            map.insert(name.to_owned(), json!(value));
        }
    }
    let value = if map.is_empty() {
        json!(path)
    } else {
        map.insert("path".to_owned(), json!(path));
        Json::Object(map)
    };
    let reason = format!("it mounts the secret `{id}` twice, and a step has a secret once");
    match made.secrets.insert(id, value) {
        Some(_) => Err(reason),
        None => Ok(()),
    }
}
