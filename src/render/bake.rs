//! The bake file.

use serde_json::{Map, Value, json};

use super::{Context, Target};

/// Returns `docker-bake.json`.
pub fn bake(targets: &[Target]) -> String {
    let images = targets.iter().filter(|target| target.is_image);
    let images: Vec<&str> = images.map(|target| target.name.as_str()).collect();
    let all: Map<String, Value> = targets
        .iter()
        .map(|target| (target.name.clone(), entry(target)))
        .collect();
    let document = json!({
        "variable": { "TAG": { "default": "latest" } },
        "group": { "default": { "targets": images } },
        "target": all,
    });
    let text = serde_json::to_string_pretty(&document).expect("plain data");
    format!("{text}\n")
}

fn entry(target: &Target) -> Value {
    let mut made = Map::new();
    made.insert("context".to_owned(), json!(target.context));
    made.insert("dockerfile".to_owned(), json!(dockerfile(target)));
    if let Some(stage) = &target.stage {
        made.insert("target".to_owned(), json!(stage));
    }
    let contexts = target.contexts.iter();
    let contexts = contexts.map(|(name, context)| (name.clone(), json!(of_context(context))));
    let contexts: Map<String, Value> = contexts.collect();
    if !contexts.is_empty() {
        made.insert("contexts".to_owned(), Value::Object(contexts));
    }
    if !target.args.is_empty() {
        let args = target.args.iter();
        let args = args.map(|(name, value)| (name.clone(), json!(plain(value))));
        let args: Map<String, Value> = args.collect();
        made.insert("args".to_owned(), Value::Object(args));
    }
    if !target.secrets.is_empty() {
        let secrets = target.secrets.iter().map(|id| json!(format!("id={id}")));
        made.insert("secret".to_owned(), secrets.collect());
    }
    if !target.agents.is_empty() {
        made.insert("ssh".to_owned(), json!(target.agents));
    }
    if let (true, Some(repository)) = (target.is_image, &target.repository) {
        let tag = match &target.variant {
            Some(variant) => format!("{variant}-${{TAG}}"),
            None => "${TAG}".to_owned(),
        };
        let tags = json!([format!("{}:{tag}", plain(repository))]);
        made.insert("tags".to_owned(), tags);
    }
    Value::Object(made)
}

/// Returns the path of the Dockerfile relative to the context, as bake reads it.
fn dockerfile(target: &Target) -> String {
    let inside = target.dockerfile.strip_prefix(&target.context);
    match inside.and_then(|rest| rest.strip_prefix('/')) {
        Some(inside) => inside.to_owned(),
        None => "../Dockerfile".to_owned(),
    }
}

fn of_context(context: &Context) -> String {
    match context {
        Context::Target(name) => format!("target:{name}"),
        Context::Folder(path) => path.clone(),
        Context::Image(reference) => format!("docker-image://{reference}"),
    }
}

/// Returns a text without variables of bake.
fn plain(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}
