//! One step, written out.

use std::collections::BTreeMap;

use camino::Utf8Path;
use serde_json::{Map, Value, json};

use super::{env, literal, literals};
use crate::stack::{
    Append, AppendFrom, Apt, Conda, CondaEnvironment, CondaTool, Copy, CopyFrom, Cwd, Dockerfile,
    Image, Kind, Link, Mode, MountSource, Network, Perms, Pip, PipTool, Secret, Step, StepMount,
    Write,
};

/// Returns a step as the spec of its image writes it.
pub fn value(image: &Image, step: &Step) -> Value {
    // Without `..`: a new setting must be written out, or be listed here as one that is not.
    let Step {
        span: _,
        title,
        kind,
        user,
        cwd,
        env: variables,
        shell,
        secrets,
        mounts,
        network,
        finish,
        vars: _,
        is_short: _,
    } = step;
    let mut map = Map::new();
    let mut add = |name: &str, value: Value| {
        map.insert(name.to_owned(), value);
    };
    let (name, content) = kind_value(image, kind);
    add(name, content);
    if *title != kind.title() {
        add("name", json!(literal(title)));
    }
    if let Some(user) = user {
        add("as", json!(literal(user)));
    }
    if let Some(Cwd { path, must_exist }) = cwd {
        add(
            "cwd",
            if *must_exist {
                json!({ "path": literal(path), "must-exist": "true" })
            } else {
                json!(literal(path))
            },
        );
    }
    if !variables.is_empty() {
        add("env", env(variables));
    }
    if let Some(shell) = shell {
        add("shell", json!(literals(shell)));
    }
    if !secrets.is_empty() {
        add("secrets", secrets_value(secrets));
    }
    if !mounts.is_empty() {
        add(
            "mounts",
            mounts
                .iter()
                .map(|it| (literal(&it.target), mount(it)))
                .collect(),
        );
    }
    if let Some(network) = network {
        add("network", network_value(*network));
    }
    if !finish.is_empty() {
        // One at a time: a path can be there twice.
        let perms = finish
            .iter()
            .map(|it| json!({ "perms": perms(std::slice::from_ref(it)) }));
        add("finish", perms.collect());
    }
    Value::Object(map)
}

/// Returns the value of the key `dockerfile` of an image.
pub fn dockerfile(image: &Image, file: &Dockerfile) -> Value {
    let mut value = json!({ "file": relative(image, &file.file) });
    let folder = format!("images/{}", image.name.value);
    if file.context != folder {
        value["context"] = json!(relative(image, &file.context));
    }
    if let Some(ignore) = &file.ignore {
        value["ignore"] = json!(relative(image, ignore));
    }
    if let Some(target) = &file.target {
        value["target"] = json!(literal(target));
    }
    let literals = |(name, value): (&String, String)| (literal(name), json!(literal(&value)));
    if !file.args.is_empty() {
        let args = file.args.iter().map(|(name, value)| (name, value.clone()));
        value["args"] = args.map(literals).collect();
    }
    let images = file.contexts.iter();
    let images = images.map(|(name, source)| (literal(name), json!(literal(&source.to_string()))));
    let folders = file.folders.iter().map(|(name, context)| {
        let folder = relative(image, &context.folder);
        (literal(name), json!({ "folder": folder }))
    });
    let contexts: BTreeMap<String, Value> = images.chain(folders).collect();
    if !contexts.is_empty() {
        value["contexts"] = json!(contexts);
    }
    let secrets = image.steps.first().map(|step| step.secrets.as_slice());
    let ids = secrets.unwrap_or_default().iter();
    let ids: Vec<String> = ids.map(|secret| literal(&secret.id)).collect();
    if !ids.is_empty() {
        value["secrets"] = json!(ids);
    }
    value
}

fn kind_value(image: &Image, kind: &Kind) -> (&'static str, Value) {
    let file = |path: &Utf8Path| json!(relative(image, path));
    match kind {
        Kind::Apt(apt) => ("apt", apt_value(image, apt)),
        Kind::Pip(pip) => ("pip", pip_value(image, pip)),
        Kind::Conda(conda) => ("conda", conda_value(image, conda)),
        Kind::Copy(copies) => ("copy", copy(copies)),
        Kind::Write(writes) => {
            let entry = |write: &Write| {
                let mut value = json!({ "text": write.text });
                ownership(&mut value, write.owner.as_ref(), write.mode.as_ref());
                (literal(&write.to), value)
            };
            ("write", writes.iter().map(entry).collect())
        }
        Kind::Append(appends) => {
            let entry = |append: &Append| {
                let value = match &append.from {
                    AppendFrom::Text(text) => json!({ "text": text }),
                    AppendFrom::File(path) => json!({ "from": file(path) }),
                };
                (literal(&append.to), value)
            };
            ("append", appends.iter().map(entry).collect())
        }
        Kind::Link(links) => {
            let entry = |link: &Link| {
                let mut value = json!({ "to": literal(&link.target) });
                if link.replace {
                    value["replace"] = json!("true");
                }
                (literal(&link.path), value)
            };
            ("link", links.iter().map(entry).collect())
        }
        Kind::Perms(list) => ("perms", perms(list)),
        Kind::Run(text) => ("run", json!(text)),
        Kind::Exec(args) => ("exec", json!(literals(args))),
        Kind::Script(path) => ("script", file(path)),
        Kind::Workdir(path) => ("workdir", json!(path.written())),
        Kind::Dockerfile(file) => ("dockerfile", dockerfile(image, file)),
        Kind::Group(members) => {
            let members = members.iter().map(|member| value(image, member));
            ("group", members.collect())
        }
    }
}

/// Returns a path relative to the folder of the image.
fn relative(image: &Image, path: &Utf8Path) -> String {
    let own = path.strip_prefix(format!("images/{}", image.name.value));
    literal(&match own {
        Ok(path) => path.to_string(),
        Err(_) => format!("../{}", path.strip_prefix("images").unwrap_or(path)),
    })
}

fn list(map: &mut Map<String, Value>, name: &str, items: &[String]) {
    if !items.is_empty() {
        map.insert(name.to_owned(), json!(literals(items)));
    }
}

fn apt_value(image: &Image, apt: &Apt) -> Value {
    let mut map = Map::new();
    list(&mut map, "packages", &apt.packages);
    if apt.recommends {
        map.insert("recommends".to_owned(), json!("true"));
    }
    if !apt.sources.is_empty() {
        let sources = apt.sources.iter().map(|source| {
            let mut map = Map::new();
            for (name, text) in [
                ("name", &source.name),
                ("uri", &source.uri),
                ("suite", &source.suite),
            ] {
                map.insert(name.to_owned(), json!(literal(text)));
            }
            list(&mut map, "components", &source.components);
            map.insert("key".to_owned(), json!(relative(image, &source.key)));
            Value::Object(map)
        });
        map.insert("sources".to_owned(), sources.collect());
    }
    Value::Object(map)
}

fn conda_value(image: &Image, conda: &Conda) -> Value {
    let Conda {
        packages,
        channels,
        file: environment_file,
        content: _,
        requirements: _,
        environment,
        tool,
        channel_priority,
        upgrade,
    } = conda;
    let mut map = Map::new();
    list(&mut map, "packages", packages);
    list(&mut map, "channels", channels);
    if let Some(path) = environment_file {
        map.insert("file".to_owned(), json!(relative(image, path)));
    }
    match environment {
        CondaEnvironment::OnPath => {}
        CondaEnvironment::Prefix(path) => {
            map.insert("prefix".to_owned(), json!(literal(path)));
        }
        CondaEnvironment::Named(name) => {
            map.insert("env".to_owned(), json!(literal(name)));
        }
    }
    if *tool != CondaTool::Rattler {
        map.insert("tool".to_owned(), json!(tool.name()));
    }
    if let Some(priority) = channel_priority {
        map.insert("channel-priority".to_owned(), json!(priority));
    }
    if *upgrade {
        map.insert("upgrade".to_owned(), json!("true"));
    }
    Value::Object(map)
}

fn pip_value(image: &Image, pip: &Pip) -> Value {
    let Pip {
        requirements,
        packages,
        tool,
        index,
        extra_index,
        upgrade,
        no_deps,
        index_strategy,
        args,
    } = pip;
    let mut map = Map::new();
    let files = requirements.files.iter().map(|path| relative(image, path));
    let files: Vec<String> = files.collect();
    if !files.is_empty() {
        map.insert("requirements".to_owned(), json!(files));
    }
    list(&mut map, "packages", packages);
    let tool = match tool {
        PipTool::Uv => "uv",
        PipTool::Pip => "pip",
    };
    map.insert("tool".to_owned(), json!(tool));
    if let Some(index) = index {
        map.insert("index".to_owned(), json!(literal(index)));
    }
    list(&mut map, "extra-index", extra_index);
    for (name, flag) in [("upgrade", upgrade), ("no-deps", no_deps)] {
        if *flag {
            map.insert(name.to_owned(), json!("true"));
        }
    }
    if let Some(strategy) = index_strategy {
        map.insert("index-strategy".to_owned(), json!(strategy));
    }
    list(&mut map, "args", args);
    Value::Object(map)
}

/// Returns the entries of a `copy`; several paths of an image that go to one target are a list.
fn copy(copies: &[Copy]) -> Value {
    let mut map: Map<String, Value> = Map::new();
    for copy in copies {
        let (image, paths) = match &copy.from {
            CopyFrom::Files { patterns, .. } => (None, patterns.clone()),
            CopyFrom::Image { source, path } => (Some(source.to_string()), vec![path.clone()]),
        };
        let target = literal(&copy.to);
        if let Some(Value::Array(from)) = map.get_mut(&target).map(|value| &mut value["from"]) {
            from.extend(literals(&paths).into_iter().map(Value::from));
            continue;
        }
        let paths = literals(&paths);
        let is_one = paths.len() == 1 && image.is_none();
        let mut value = json!({ "from": if is_one { json!(paths[0]) } else { json!(paths) } });
        if let Some(image) = image {
            value["image"] = json!(literal(&image));
        }
        ownership(&mut value, copy.owner.as_ref(), copy.mode.as_ref());
        map.insert(target, value);
    }
    Value::Object(map)
}

fn perms(list: &[Perms]) -> Value {
    let entry = |perms: &Perms| {
        let mut value = json!({});
        ownership(&mut value, perms.owner.as_ref(), perms.mode.as_ref());
        if perms.recursive {
            value["recursive"] = json!("true");
        }
        (literal(&perms.path), value)
    };
    list.iter().map(entry).collect()
}

fn ownership(value: &mut Value, owner: Option<&String>, mode: Option<&Mode>) {
    if let Some(owner) = owner {
        value["owner"] = json!(literal(owner));
    }
    match mode {
        Some(Mode::Octal(bits)) => value["mode"] = json!(format!("{bits:04o}")),
        Some(Mode::Symbolic(text)) => value["mode"] = json!(text),
        None => {}
    }
}

/// Returns `secrets:` of a step or a suite.
pub fn secrets_value(secrets: &[Secret]) -> Value {
    let value = |secret: &Secret| {
        let Secret {
            id: _,
            target,
            mode,
            uid,
            gid,
        } = secret;
        let mut value = json!({ "path": literal(target) });
        if let Some(mode) = mode {
            value["mode"] = json!(format!("{mode:03o}"));
        }
        for (name, number) in [("uid", uid), ("gid", gid)] {
            if let Some(number) = number {
                value[name] = json!(number);
            }
        }
        value
    };
    secrets
        .iter()
        .map(|it| (literal(&it.id), value(it)))
        .collect()
}

/// Returns `network:` of a step or a suite.
pub fn network_value(network: Network) -> Value {
    json!(match network {
        Network::Default => "default",
        Network::None => "none",
    })
}

fn mount(mount: &StepMount) -> Value {
    let with_rw = |mut value: Value, rw: bool| {
        if rw {
            value["rw"] = json!("true");
        }
        value
    };
    match &mount.source {
        MountSource::Files { path, rw, .. } => with_rw(json!({ "bind": literal(path) }), *rw),
        MountSource::Image { source, path, rw } => {
            let image = literal(&source.to_string());
            with_rw(json!({ "image": image, "from": literal(path) }), *rw)
        }
        MountSource::Cache {
            id,
            sharing,
            mode,
            uid,
            gid,
        } => {
            let mut value = json!({ "cache": literal(id), "sharing": sharing.name() });
            if let Some(mode) = mode {
                value["mode"] = json!(format!("{mode:04o}"));
            }
            for (name, number) in [("uid", uid), ("gid", gid)] {
                if let Some(number) = number {
                    value[name] = json!(number);
                }
            }
            value
        }
        MountSource::Tmpfs { size } => json!({ "tmpfs": size }),
    }
}
