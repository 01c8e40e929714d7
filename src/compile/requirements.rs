//! Requirements that bring files of the stack along: a build writes into the folder of a project, so
//! projects are copied before, and the lines that name something local get its path in the step.

use camino::Utf8Path;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::command::{Arg, Command, MountNames, PLACE, path_in_step};
use super::shell::quote;
use crate::stack::{Local, Part, Requirements, Text};

/// Characters of a path that have another meaning in a URL.
const IN_URL: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b';')
    .add(b'?')
    .add(b'[')
    .add(b']');

/// Returns the path of the copy that a step may write to.
fn copy_in_step(path: &Utf8Path) -> String {
    format!("{PLACE}/local/{path}")
}

fn local_in_step(local: &Local) -> String {
    if local.is_project {
        copy_in_step(&local.path)
    } else {
        path_in_step(&local.path)
    }
}

/// Returns a text with the paths that what it names has in the step.
fn fill(text: &Text) -> String {
    let mut filled = String::new();
    for part in text {
        let path = match part {
            Part::Plain(text) => {
                filled.push_str(text);
                continue;
            }
            Part::Local(local) => local_in_step(local),
            Part::Included(path) => copy_in_step(path),
        };
        if filled.ends_with("file://") {
            filled.extend(utf8_percent_encode(&path, IN_URL));
        } else {
            filled.push_str(&path);
        }
    }
    filled
}

/// Returns lines of shell that copy files or folders of the stack to where the step may write.
pub fn copy_script<'a>(paths: impl Iterator<Item = &'a Utf8Path>) -> String {
    let copy = |path: &Utf8Path| {
        let to = copy_in_step(path);
        let folder = quote(to.rsplit_once('/').map_or("/", |(folder, _)| folder));
        let (from, to) = (quote(&path_in_step(path)), quote(&to));
        format!("mkdir -p {folder}\nrm -rf {to}\ncp -R {from} {to}\n")
    };
    paths.map(copy).collect()
}

/// Adds what requirements read to a command; returns the shell that must run before the tool.
pub fn bring(requirements: &Requirements, made: &mut Command) -> Arg {
    made.files.extend(requirements.all_files().cloned());
    let projects = requirements.local.iter().filter(|local| local.is_project);
    let mut script = Arg::default();
    script.push(&copy_script(projects.map(|local| local.path.as_path())));
    for (index, (file, lines)) in requirements.lines.iter().enumerate() {
        let name = format!("requirements{index}");
        let to = copy_in_step(file);
        let folder = quote(to.rsplit_once('/').map_or("/", |(folder, _)| folder));
        script.push(&format!("mkdir -p {folder}\ncp "));
        script.push_text_path(&name);
        script.push(&format!(" {}\n", quote(&to)));
        let text: String = lines.iter().map(|line| fill(line) + "\n").collect();
        made.texts.insert(name, text);
    }
    script
}

/// Adds lines of requirements as a new file, beside the file that has them. Returns the shell that must
/// run after that of [`bring`], and the path of the new file.
pub fn bring_lines(
    file: &Utf8Path,
    lines: &[Text],
    requirements: &Requirements,
    made: &mut Command,
) -> (Arg, String) {
    let name = "conda_pip";
    let text: String = lines.iter().map(|line| fill(line) + "\n").collect();
    made.texts.insert(name.to_owned(), text);
    let to = format!("{}.pip", copy_in_step(file));
    let folder = quote(to.rsplit_once('/').map_or("/", |(folder, _)| folder));
    let mut script = Arg::default();
    if requirements.lines.is_empty() {
        // The lines name them by their paths relative to the file.
        let included = requirements.includes.iter();
        script.push(&copy_script(included.map(|path| path.as_path())));
    }
    script.push(&format!("mkdir -p {folder}\ncp "));
    script.push_text_path(name);
    script.push(&format!(" {}\n", quote(&to)));
    (script, to)
}

/// Returns [`bring`]'s shell for a command that is not part of a group.
pub fn bring_alone(requirements: &Requirements, made: &mut Command) -> String {
    bring(requirements, made).expand(&MountNames::default())
}

/// Returns ` -r FILE` for each file that the spec names.
pub fn file_arguments(requirements: &Requirements) -> String {
    let files = requirements.files.iter().map(|file| {
        let path = if requirements.lines.is_empty() {
            path_in_step(file)
        } else {
            copy_in_step(file)
        };
        format!(" -r {}", quote(&path))
    });
    files.collect()
}

/// Returns packages of the spec as the tool must read them.
pub fn packages(requirements: &Requirements, packages: &[String]) -> Vec<String> {
    let package = |package: &String| match requirements.packages.get(package) {
        Some(text) => fill(text),
        None => package.clone(),
    };
    packages.iter().map(package).collect()
}

/// Returns the path that the environment file of a `conda` step has, and the shell before it. conda makes
/// a file for pip beside it, so it must be where the step may write if that file names others.
pub fn environment_file(file: &Utf8Path, requirements: &Requirements) -> (String, String) {
    if requirements.includes.is_empty() && requirements.local.is_empty() {
        return (path_in_step(file), String::new());
    }
    let included = requirements.includes.iter().map(|path| path.as_path());
    let local = requirements.local.iter().map(|local| local.path.as_path());
    // A project may be the folder of the file itself.
    let script = copy_script(local.chain([file]).chain(included));
    (copy_in_step(file), script)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_in_a_url_is_escaped() {
        let local = Part::Local(Local {
            path: "images/a/b%20 c".into(),
            is_project: true,
        });
        let filled = |before: &str| fill(&vec![Part::Plain(before.to_owned()), local.clone()]);
        assert_eq!(filled(""), format!("{PLACE}/local/images/a/b%20 c"));
        assert_eq!(
            filled("p @ file://"),
            format!("p @ file://{PLACE}/local/images/a/b%2520%20c")
        );
    }
}
