//! Summary and outputs of a job on GitHub Actions: appends to the files of `GITHUB_STEP_SUMMARY` and
//! `GITHUB_OUTPUT`. Elsewhere these variables are not set, and nothing happens.

use std::io::Write as _;
use std::path::Path;

use super::context::Context;
use super::{Exit, Failure};
use crate::table;

/// Adds a table to the summary.
pub fn add_table<Rows: AsRef<[Vec<String>]>>(
    heading: &str,
    headers: &[&str],
    rows: impl FnOnce() -> Rows,
) -> Result<(), Failure> {
    append_to_variable("GITHUB_STEP_SUMMARY", || {
        let table = table::markdown(headers, rows().as_ref());
        format!("### {heading}\n\n{table}\n")
    })
}

/// Adds the table of a build to the summary, and its outputs.
pub fn build(
    context: &Context,
    headers: &[&str],
    rows: &[Vec<String>],
    outputs: &[(&str, &str)],
) -> Result<(), Failure> {
    add_table(context.stack.name().as_str(), headers, || rows)?;
    append_to_variable("GITHUB_OUTPUT", || output_lines(outputs))
}

/// Returns outputs as lines of `GITHUB_OUTPUT`.
fn output_lines(outputs: &[(&str, &str)]) -> String {
    let lines = outputs
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"));
    lines.collect()
}

/// Appends to the file a variable is set to; without one, no text is made.
fn append_to_variable(variable: &str, text: impl FnOnce() -> String) -> Result<(), Failure> {
    let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    append(Path::new(&path), &text())
        .map_err(|error| Failure::new(Exit::Environment, format!("{variable}: {error}")))
}

fn append(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = fs_err::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path)?;
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_lines() {
        let lines = output_lines(&[("run", "r-1"), ("published", "true")]);
        assert_eq!(lines, "run=r-1\npublished=true\n");
    }

    #[test]
    fn a_summary_keeps_what_is_already_in_the_file() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("summary.md");
        for text in ["one\n", "two\n"] {
            append(&file, text).expect("it can be written");
        }
        let text = std::fs::read_to_string(&file).expect("it is there");
        assert_eq!(text, "one\ntwo\n");
    }
}
