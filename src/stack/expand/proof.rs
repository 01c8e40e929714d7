//! `tests`, `info` and `policy`, written out.

use camino::Utf8Path;
use serde_json::{Map, Value, json};

use super::step::{network_value, secrets_value};
use super::{env, literal, literals};
use crate::stack::units::duration_text;
use crate::stack::{Base, Image, Serve, Stack, Suite, Test};

/// Returns the suites of the stack that some of its images run.
pub fn of_stack(images: &[&Image]) -> Map<String, Value> {
    let suites = images.iter().flat_map(|image| &image.proof.suites);
    let suites = suites.filter(|suite| suite.from.is_none());
    let value = |suite: &Suite| (suite.name.value.clone(), suite_value("images", suite));
    suites.map(value).collect()
}

/// Returns the suites that an image declares, and those that it inherits and does not run.
pub fn of_image(stack: &Stack, image: &Image) -> Map<String, Value> {
    let folder = format!("images/{}", image.name.value);
    let inherited: Vec<&str> = match &image.base {
        Base::Image(parent) => {
            let suites = stack[*parent].proof.suites.iter();
            let suites = suites.filter(|suite| !suite.only_here);
            suites.map(|suite| suite.name.value.as_str()).collect()
        }
        Base::External(_) | Base::Scratch => (stack.images().iter())
            .flat_map(|image| &image.proof.suites)
            .filter(|suite| suite.from.is_none())
            .map(|suite| suite.name.value.as_str())
            .collect(),
    };
    let own = image.proof.suites.iter();
    let own = own.filter(|suite| suite.from.as_ref() == Some(&image.name.value));
    let mut map: Map<String, Value> = own
        .map(|suite| {
            let mut value = suite_value(&folder, suite);
            if inherited.contains(&suite.name.value.as_str()) {
                value["replace"] = json!("true");
            }
            (suite.name.value.clone(), value)
        })
        .collect();
    for dropped in &image.proof.dropped {
        map.insert(
            dropped.suite.clone(),
            json!({ "skip": literal(&dropped.reason) }),
        );
    }
    map
}

fn relative(folder: &str, path: &Utf8Path) -> String {
    literal(&match path.strip_prefix(folder) {
        Ok(path) if path.as_str().is_empty() => ".".to_owned(),
        Ok(path) => path.to_string(),
        Err(_) => format!("../{}", path.strip_prefix("images").unwrap_or(path)),
    })
}

fn suite_value(folder: &str, suite: &Suite) -> Value {
    // Without `..`: a new setting must be written out, or be listed here as one that is not.
    let Suite {
        name: _,
        from: _,
        serve,
        test,
        user,
        groups,
        only_here,
        env: variables,
        shell: _,
        timeout,
        network,
        secrets,
    } = suite;
    let test = test.as_ref().map(|test| test_value(folder, test));
    let mut map = match (serve, test) {
        (Some(serve), test) => {
            let mut map = serve_value(serve);
            if serve.port.is_none() {
                map.extend(test.unwrap_or_default());
            } else if let Some(test) = test {
                map.insert("then".to_owned(), Value::Object(test));
            }
            map
        }
        (None, test) => test.unwrap_or_default(),
    };
    let mut add = |name: &str, value: Value| {
        map.insert(name.to_owned(), value);
    };
    if let Some(user) = user {
        add("as", json!(literal(user)));
    }
    if !groups.is_empty() {
        add("groups", json!(literals(groups)));
    }
    if *only_here {
        add("only", json!("here"));
    }
    if !variables.is_empty() {
        add("env", env(variables));
    }
    let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
    add("timeout", json!(duration_text(nanos)));
    add("network", network_value(*network));
    if !secrets.is_empty() {
        add("secrets", secrets_value(secrets));
    }
    Value::Object(map)
}

fn serve_value(serve: &Serve) -> Map<String, Value> {
    let Serve {
        port,
        ready,
        cmd,
        args,
    } = serve;
    let mut map = Map::new();
    if let Some(port) = port {
        map.insert("serve".to_owned(), json!(port));
    }
    if let Some(ready) = ready {
        map.insert("ready".to_owned(), json!(literal(ready)));
    }
    if let Some(cmd) = cmd {
        map.insert("cmd".to_owned(), json!(literals(cmd)));
    }
    if !args.is_empty() {
        map.insert("args".to_owned(), json!(literals(args)));
    }
    map
}

fn test_value(folder: &str, test: &Test) -> Map<String, Value> {
    let mut map = Map::new();
    let mut add = |name: &str, value: Value| {
        map.insert(name.to_owned(), value);
    };
    match test {
        Test::Run(text) => add("run", json!(text)),
        Test::Script(path) => add("script", json!(relative(folder, path))),
        Test::Healthcheck => add("healthcheck", json!("true")),
        Test::Pytest {
            folder: tests,
            requirements,
            select,
            args,
        } => {
            add("pytest", json!(relative(folder, tests)));
            if let Some(path) = requirements.files.first() {
                add("requirements", json!(relative(folder, path)));
            }
            if let Some(names) = &select.names {
                add("select", json!(literal(names)));
            } else if !select.tests.is_empty() {
                add("select", json!(literals(&select.tests)));
            }
            if let Some(marks) = &select.marks {
                add("marks", json!(literal(marks)));
            }
            if !args.is_empty() {
                add("args", json!(literals(args)));
            }
        }
    }
    map
}

/// Returns `info:` with what the image inherits.
pub fn info(image: &Image) -> Value {
    let value = |command: &crate::stack::InfoCommand| {
        let value = json!({ "title": literal(&command.title), "run": command.run });
        (command.name.clone(), value)
    };
    image.proof.info.iter().map(value).collect()
}

/// Returns `policy:` with what the image inherits.
pub fn policy(image: &Image) -> Value {
    let policy = &image.proof.policy;
    let mut map = Map::new();
    let mut add = |name: &str, value: Value| {
        map.insert(name.to_owned(), value);
    };
    if policy.root_locked.is_some() {
        add("root", json!("locked"));
    }
    if policy.not_root.is_some() {
        add("user", json!("not-root"));
    }
    if let Some(writable) = &policy.writable {
        let paths = literals(&writable.paths);
        add(
            "writable",
            match writable.gid {
                Some(gid) => json!({ "gid": gid, "paths": paths }),
                None => json!(paths),
            },
        );
    }
    if let Some(layers) = &policy.layers {
        let mut value = Map::new();
        for (name, number) in [
            ("count", layers.count.map(|count| count as u64)),
            ("size", layers.size),
            ("twice", layers.twice),
        ] {
            if let Some(number) = number {
                value.insert(name.to_owned(), json!(number));
            }
        }
        add("layers", Value::Object(value));
    }
    if !policy.allow.is_empty() {
        let allow = policy.allow.iter();
        add(
            "allow",
            allow
                .map(|(path, it)| (literal(path), json!(literal(&it.reason))))
                .collect(),
        );
    }
    Value::Object(map)
}
