//! `run`, `exec` and `script`: commands.

use camino::{Utf8Path, Utf8PathBuf};

use super::context::StepReader;
use crate::diagnostic::Diagnostic;
use crate::spec::node::Node;

/// Reads shell text, byte for byte.
pub(super) fn read_run(step: &StepReader, node: &Node) -> Option<String> {
    let text = step.reader.literal(node, "`run`")?;
    if text.trim().is_empty() {
        let problem = Diagnostic::error("`run` must not be empty");
        step.reader.report(problem.at(node.span, "no command here"));
        return None;
    }
    Some(text.to_owned())
}

/// Reads a program and its arguments.
pub(super) fn read_exec(step: &StepReader, node: &Node) -> Option<Vec<String>> {
    step.reader.texts(node, "`exec`")
}

/// Reads the path of a file that starts with `#!`.
pub(super) fn read_script(step: &StepReader, node: &Node) -> Option<Utf8PathBuf> {
    let text = step.reader.text(node, "`script`")?;
    let path = step.paths.file(step.reader, &text, node.span)?;
    let start = step.paths.start(step.reader, &path, node.span, 2)?;
    if start == b"#!" {
        return Some(path);
    }
    step.reader.report(
        Diagnostic::error(format!("missing `#!` line in `{path}`"))
            .at(node.span, "the file does not start with `#!`")
            .help("start it with its interpreter, for example `#!/bin/sh`"),
    );
    None
}

pub(super) fn title_run(text: &str) -> String {
    format!("run {}", text.trim_start())
}

pub(super) fn title_exec(args: &[String]) -> String {
    format!("exec {}", args.join(" "))
}

pub(super) fn title_script(path: &Utf8Path) -> String {
    format!("script {}", path.file_name().unwrap_or_default())
}
