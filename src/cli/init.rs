//! `laminate init`: writes a small stack that builds.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::args::{Global, InitArgs};
use super::import::{below, next, stack_name};
use super::{Answer, Exit, Failure};
use crate::disk::write_atomically;
use crate::name::{Reference, StackName};

/// The base of a new stack.
const BASE: &str = "debian:bookworm-slim";

const SPEC: &str = r#"stack: STACK
REGISTRY
tags: ["${commit7}"]                   # every image of a commit gets this tag
images:
  base:
    base: BASE
    env: { LEVEL: "1" }
  app:
    base: base
    copy: { /usr/local/bin/hello: { from: hello, mode: "755" } }
    config: { cmd: [hello] }
    tests: { hello: { run: hello | grep "level 1" } }
"#;

const HELLO: &str = "#!/bin/sh\necho \"hello from level $LEVEL\"\n";

const WORKFLOW: &str = r"# Shows what a pull request would build; builds and publishes on main.
on:
  pull_request:
  push: { branches: [main] }
jobs:
  stack:
    # Pin both to a commit of laminate.
    uses: REPOSITORY/.github/workflows/stack.yml@main
    with: { laminate: main }
    permissions: { contents: read, packages: write }
";

/// Writes the files of a new stack. None is replaced.
pub fn run(global: &Global, args: &InitArgs) -> Result<Answer, Failure> {
    let folder = match (&global.directory, &args.folder) {
        (Some(directory), Some(folder)) => below(directory, folder),
        (Some(folder), None) | (None, Some(folder)) => folder.clone(),
        (None, None) => Utf8PathBuf::from("."),
    };
    let base = args.from.as_deref().unwrap_or(BASE);
    if let Err(error) = Reference::parse(base) {
        let text = format!("invalid image reference `{base}`: {error}");
        return Err(Failure::new(Exit::Usage, text));
    }
    if !Reference::is_exact(base) {
        let text = format!("missing tag in image reference `{base}`");
        return Err(
            Failure::new(Exit::Usage, text).help(format!("write `{base}:latest`, or another tag"))
        );
    }
    let unwritable = |path: &Utf8Path, error: &std::io::Error| {
        Failure::new(Exit::Environment, format!("cannot write `{path}`: {error}"))
    };
    fs_err::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    let stack = match &args.stack {
        Some(name) => name.clone(),
        None => stack_name(&folder),
    };
    if let Err(error) = StackName::parse(&stack) {
        let text = format!("invalid stack name `{stack}`: {error}");
        return Err(Failure::new(Exit::Usage, text).help("set one with --stack"));
    }
    let files = files(&stack, base, global.registry.as_deref());
    let existing = files
        .iter()
        .find(|(path, _)| *path != ".gitignore" && below(&folder, path).exists());
    if let Some((path, _)) = existing {
        let path = below(&folder, path);
        return Err(
            Failure::new(Exit::Usage, format!("`{path}` exists already"))
                .help("use another folder; or `laminate import`, if you have Dockerfiles"),
        );
    }
    let mut written = Vec::new();
    for (path, text) in files {
        let target = below(&folder, path);
        if target.exists() {
            continue;
        }
        let above = target.parent().unwrap_or(&folder);
        fs_err::create_dir_all(above)
            .and_then(|()| write_atomically(&target, text.as_bytes()))
            .map_err(|error| unwritable(&target, &error))?;
        written.push(path);
    }
    let text = format!(
        "wrote {}\n{}",
        written.join(", "),
        next(global.registry.is_some(), None)
    );
    Ok(Answer::new(Exit::Done, json!({ "written": written }), text))
}

/// Returns the files by their path.
fn files(stack: &str, base: &str, registry: Option<&str>) -> [(&'static str, String); 4] {
    let registry = match registry {
        Some(registry) => format!("registry: {registry}"),
        None => "# registry: ghcr.io/CAMPUS           # images are pushed to <registry>/<image>"
            .to_owned(),
    };
    let spec = SPEC
        .replace("STACK", stack)
        .replace("REGISTRY", &registry)
        .replace("base: BASE", &format!("base: {base}"));
    [
        ("specs.yml", spec),
        ("images/app/hello", HELLO.to_owned()),
        (".gitignore", "__pycache__/\n".to_owned()),
        (
            ".github/workflows/stack.yml",
            WORKFLOW.replace("REPOSITORY", repository()),
        ),
    ]
}

/// Returns the repository of laminate as a workflow names it.
fn repository() -> &'static str {
    env!("CARGO_PKG_REPOSITORY").trim_start_matches("https://github.com/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_stack_is_valid() {
        for registry in [None, Some("ghcr.io/campus")] {
            let [(_, spec), (path, hello), ..] = files("new", BASE, registry);
            let stack = crate::testing::stack_with(&spec, &[(path, &hello)]);
            let names: Vec<String> = stack.ids().map(|id| stack.label(id)).collect();
            assert_eq!(names, ["base", "app"]);
            assert_eq!(
                stack.registry().map(ToString::to_string).as_deref(),
                registry
            );
        }
    }
}
