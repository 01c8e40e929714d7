//! `laminate init`: writes a small stack that builds, or what a stack lacks.

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::args::{Global, InitArgs};
use super::import::{next, stack_name};
use super::paths::below;
use super::{Answer, Exit, Failure, workflow};
use crate::disk::write_atomically;
use crate::import::ExistingSpec;
use crate::name::{Reference, StackName};

/// The base of a new stack.
const BASE: &str = "debian:bookworm-slim";

const SPEC_NAME: &str = "specs.yml";

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

/// Writes the files of a stack that it lacks. None is replaced.
pub fn run(global: &Global, args: &InitArgs) -> Result<Answer, Failure> {
    let folder = match (&global.directory, &args.folder) {
        (Some(directory), Some(folder)) => below(directory, folder),
        (Some(folder), None) | (None, Some(folder)) => folder.clone(),
        (None, None) => Utf8PathBuf::from("."),
    };
    let base = base(args)?;
    fs_err::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    let spec = below(&folder, SPEC_NAME);
    let mut registry = global.registry.clone();
    let mut files = Vec::new();
    let mut promotes = true;
    let mut left = Vec::new();
    if spec.exists() {
        ensure_new_options_are_unused(&spec, args)?;
        let text = fs_err::read_to_string(&spec).ok();
        let existing = text.as_deref().and_then(ExistingSpec::read);
        let own = existing.and_then(|it| it.get("registry").map(str::to_owned));
        registry = registry.or(own);
        promotes = text.is_none_or(|text| text.contains("auto:"));
        left.push(SPEC_NAME.to_owned());
    } else {
        files.extend(new_stack(&folder, base, args, registry.as_deref())?);
    }
    files.push((".gitignore", "__pycache__/\n".to_owned()));
    let place = workflow::Place::find(&folder);
    if let workflow::Place::Free(path) = place {
        files.push((path, workflow::text(registry.as_deref())));
    }
    let mut done = Done {
        is_new: left.is_empty(),
        promotes,
        left,
        ..Done::default()
    };
    for (path, text) in files {
        let target = below(&folder, path);
        if target.exists() {
            done.left.push(path.to_owned());
            continue;
        }
        let above = target.parent().unwrap_or(&folder);
        fs_err::create_dir_all(above)
            .and_then(|()| write_atomically(&target, text.as_bytes()))
            .map_err(|error| unwritable(&target, &error))?;
        done.written.push(path);
    }
    let text = done.text(&folder, &place, registry.as_deref());
    if let workflow::Place::There(path) = place {
        done.left.push(path);
    }
    let json = json!({ "written": done.written, "left": done.left });
    Ok(Answer::new(Exit::Done, json, text))
}

fn unwritable(path: &Utf8Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::Environment, format!("cannot write `{path}`: {error}"))
}

/// Fails if an option sets something of a new stack, and there is one.
fn ensure_new_options_are_unused(spec: &Utf8Path, args: &InitArgs) -> Result<(), Failure> {
    let options = [
        ("--from", args.from.is_some()),
        ("--stack", args.stack.is_some()),
    ];
    match options.iter().find(|(_, is_set)| *is_set) {
        Some((option, _)) => {
            let text = format!("cannot use {option}: `{spec}` exists already");
            let help = format!("leave {option} out, or use another folder");
            Err(Failure::new(Exit::Usage, text).help(help))
        }
        None => Ok(()),
    }
}

/// Returns the base of a new stack.
fn base(args: &InitArgs) -> Result<&str, Failure> {
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
    Ok(base)
}

/// Returns the files of a new stack by their path. Fails if one of them would be part of it and exists.
fn new_stack(
    folder: &Utf8Path,
    base: &str,
    args: &InitArgs,
    registry: Option<&str>,
) -> Result<[(&'static str, String); 2], Failure> {
    let stack = match &args.stack {
        Some(name) => name.clone(),
        None => stack_name(folder),
    };
    if let Err(error) = StackName::parse(&stack) {
        let text = format!("invalid stack name `{stack}`: {error}");
        return Err(Failure::new(Exit::Usage, text).help("set one with --stack"));
    }
    let files = spec_files(&stack, base, registry);
    let (hello, _) = &files[1];
    let path = below(folder, hello);
    if path.exists() {
        return Err(
            Failure::new(Exit::Usage, format!("`{path}` exists already"))
                .help("use another folder; or `laminate import`, if you have Dockerfiles"),
        );
    }
    Ok(files)
}

/// Returns the spec of a new stack, and the file of its image, by their path.
fn spec_files(stack: &str, base: &str, registry: Option<&str>) -> [(&'static str, String); 2] {
    let registry = match registry {
        Some(registry) => format!("registry: {registry}"),
        None => "# registry: ghcr.io/CAMPUS           # images are pushed to <registry>/<image>"
            .to_owned(),
    };
    let spec = SPEC
        .replace("STACK", stack)
        .replace("REGISTRY", &registry)
        .replace("base: BASE", &format!("base: {base}"));
    [(SPEC_NAME, spec), ("images/app/hello", HELLO.to_owned())]
}

/// What was done.
#[derive(Debug, Default)]
struct Done {
    /// Whether there was no spec.
    is_new: bool,
    /// Whether a channel of the spec can have `auto: true`.
    promotes: bool,
    written: Vec<&'static str>,
    /// Files that exist already.
    left: Vec<String>,
}

impl Done {
    fn text(&self, folder: &Utf8Path, place: &workflow::Place, registry: Option<&str>) -> String {
        let mut text = match self.written.len() {
            0 => "nothing to write\n".to_owned(),
            _ => format!("wrote {}\n", self.written.join(", ")),
        };
        if !self.left.is_empty() {
            text.push_str(&format!("exists already: {}\n", self.left.join(", ")));
        }
        match place {
            workflow::Place::There(path) => {
                text.push_str(&format!("{path} runs laminate already\n"));
            }
            workflow::Place::Taken => text.push_str(
                "no workflow was written: both of its names are used; rename .github/workflows/laminate.yml, and run `laminate init` once more\n",
            ),
            workflow::Place::Free(path) => {
                text.push_str(&of_workflow(folder, path, registry));
                if !self.promotes {
                    text.push_str(&format!(
                        "{path} moves no channel: none has `auto: true` in specs.yml\n"
                    ));
                }
            }
        }
        if self.is_new {
            text.push_str(&next(registry.is_some(), None));
        } else if !self.written.is_empty() {
            text.push_str(match registry {
                Some(_) => "next: commit what was written\n",
                None => "next: set `registry:` in specs.yml, and commit the files\n",
            });
        }
        text
    }
}

/// Returns what a new workflow needs before it runs.
fn of_workflow(folder: &Utf8Path, path: &str, registry: Option<&str>) -> String {
    let mut text = String::new();
    if let Some((root, inner)) = workflow::repository_above(folder) {
        text.push_str(&format!(
            "GitHub reads workflows only at the root of a repository: move {path} to {root}/{path}, and add `folder: {inner}` to its `with:`\n"
        ));
    }
    if let Some(host) = workflow::other_registry(registry) {
        text.push_str(&format!(
            "{path} logs in to {host}: set the variable REGISTRY_USERNAME and the secret REGISTRY_PASSWORD in the settings of the repository at GitHub\n"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_stack_is_valid() {
        for registry in [None, Some("ghcr.io/campus")] {
            let [(_, spec), (path, hello)] = spec_files("new", BASE, registry);
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
