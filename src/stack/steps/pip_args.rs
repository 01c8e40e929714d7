//! `args:` of `pip`. Files that they name are not part of the step: they would be missing in it.

use super::requirement_files::is_relative;
use super::requirements::local_path;
use crate::diagnostic::Diagnostic;
use crate::source::Span;
use crate::stack::reader::Reader;

/// Options of uv and pip whose value is a file.
const FILES: [&str; 16] = [
    "--requirement",
    "--requirements",
    "--constraint",
    "--constraints",
    "--override",
    "--overrides",
    "--exclude",
    "--excludes",
    "--build-constraint",
    "--build-constraints",
    "--group",
    "--config-file",
    "--env-file",
    "-r",
    "-c",
    "-b",
];

/// Options whose value is a URL or a folder.
const FOLDERS: [&str; 6] = [
    "--find-links",
    "-f",
    "--index-url",
    "-i",
    "--extra-index-url",
    "--index",
];

/// Options that install a project in the place where its source is.
const EDITABLE: [&str; 2] = ["--editable", "-e"];

/// Reports arguments that name files below `images/`.
pub(super) fn check(reader: &Reader, args: &[String], span: Span) -> Option<()> {
    let before = std::iter::once("").chain(args.iter().map(String::as_str));
    for (arg, before) in args.iter().zip(before) {
        if let Some((name, _)) = option(arg).filter(|(name, _)| EDITABLE.contains(name)) {
            let problem = Diagnostic::error(format!("editable requirement `{name}` in an image"));
            let problem = problem.at(span, "its source is only there while the step runs");
            let help = "remove it, and name the project in `packages`";
            reader.report(problem.help(help));
            return None;
        }
        if names_file(arg, before) {
            reader.report(
                Diagnostic::error(format!("file in `args`: `{arg}`"))
                    .at(span, "files that `args` name are missing in the step")
                    .help(
                        "name requirements files in `requirements` and projects in `packages`; \
                         options such as `-c` can be lines of a requirements file",
                    ),
            );
            return None;
        }
    }
    Some(())
}

/// Whether an argument is, or has, a relative path that must exist. `before` is the argument before it.
fn names_file(arg: &str, before: &str) -> bool {
    let (name, value) = match (option(arg), option(before)) {
        (Some((_, None)), _) => return false,
        (Some((name, Some(value))), _) => (name, value),
        (None, Some((name, None))) => (name, arg),
        // The value of an option that names no file.
        (None, _) if arg.starts_with('-') || before.starts_with('-') => return false,
        (None, _) => return local_path(arg).is_some(),
    };
    // `--index NAME=URL`.
    is_relative(value) && !(FOLDERS.contains(&name) && value.contains('='))
}

/// Returns an option that names a file or a folder, and its value if that is in the same argument.
fn option(arg: &str) -> Option<(&'static str, Option<&str>)> {
    let all = FILES.iter().chain(&FOLDERS).chain(&EDITABLE);
    all.copied().find_map(|name| {
        let rest = arg.strip_prefix(name)?;
        if rest.is_empty() {
            return Some((name, None));
        }
        match rest.strip_prefix('=') {
            Some(value) => Some((name, Some(value))),
            None if name.starts_with("--") => None,
            None => Some((name, Some(rest))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_files() {
        for args in [
            ["-c", "c.txt"],
            ["--constraint", "c.txt"],
            ["", "--constraint=c.txt"],
            ["", "-cc.txt"],
            ["-f", "wheels"],
            ["--index-url", "./simple"],
            ["six", "./project"],
            ["six", "six-1.0-py3-none-any.whl"],
        ] {
            assert!(names_file(args[1], args[0]), "{args:?}");
        }
    }

    #[test]
    fn other_arguments_are_not_files() {
        for args in [
            ["-c", "/opt/c.txt"],
            ["", "--constraint=https://host/c.txt"],
            ["-f", "https://host/wheels"],
            ["--index", "pytorch=https://host/simple"],
            ["--target", "lib/x"],
            ["--only-binary", ":all:"],
            ["--config-settings", "a=b"],
            ["", "six"],
            ["", "--pre"],
            ["", "--no-build-isolation"],
        ] {
            assert!(!names_file(args[1], args[0]), "{args:?}");
        }
    }
}
