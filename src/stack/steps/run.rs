//! `run`, `exec` and `script`: commands.

use camino::{Utf8Path, Utf8PathBuf};

use super::context::StepReader;
use crate::diagnostic::Diagnostic;
use crate::spec::node::Node;
use crate::spec::tree::File;
use crate::stack::paths::Paths;
use crate::stack::reader::Reader;

/// As much of the first line of a script as is looked at, bytes; the kernel takes 256 (`BINPRM_BUF_SIZE`).
const LONGEST_FIRST_LINE: usize = 256;

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
    let args = step.reader.texts(node, "`exec`")?;
    for arg in &args {
        let what = "an argument of `exec`";
        step.reader.fits_argument(arg, node.span, what)?;
    }
    Some(args)
}

/// Reads the path of a file that starts with `#!`, with a line that the kernel can read.
pub(super) fn read_script(step: &StepReader, node: &Node) -> Option<Utf8PathBuf> {
    script(step.reader, step.paths, node)
}

/// Reads the path of a script of a step or a suite.
pub fn script(reader: &Reader, paths: &Paths, node: &Node) -> Option<Utf8PathBuf> {
    let text = reader.text(node, "`script`")?;
    let path = paths.file(reader, &text, node.span)?;
    let start = paths.start(reader, &path, node.span, LONGEST_FIRST_LINE)?;
    let first = start.split(|byte| *byte == b'\n').next();
    let first = first.unwrap_or_default();
    let executable =
        matches!(paths.files.get(&path), Some(File::Regular { executable, .. }) if *executable);
    let problem = if !first.starts_with(b"#!") {
        Diagnostic::error(format!("missing `#!` line in `{path}`"))
            .at(node.span, "the file does not start with `#!`")
            .help("start it with its interpreter, for example `#!/bin/sh`")
    } else if first.ends_with(b"\r") {
        Diagnostic::error(format!("`{path}` has CRLF line endings"))
            .at(node.span, "its interpreter would not be found")
            .help(format!(
                "run `sed -i 's/\\r$//' {path}`, and write `*.sh text eol=lf` into `.gitattributes`"
            ))
    } else if !executable {
        Diagnostic::error(format!("`{path}` is not executable"))
            .at(node.span, "git has the file without the executable bit")
            .help(format!(
                "run `chmod +x {path}` and `git update-index --chmod=+x {path}`"
            ))
    } else {
        return Some(path);
    };
    reader.report(problem);
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
