//! The Markdown summary and outputs of a job on GitHub (`GITHUB_STEP_SUMMARY`, `GITHUB_OUTPUT`).

use std::io::Write as _;

use super::context::Context;
use super::{Exit, Failure, plan as plan_command};
use crate::plan::Plan;
use crate::report::table;

/// Appends to the file a variable names; does nothing without one.
fn append(variable: &str, text: &str) -> Result<(), Failure> {
    let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let path = std::path::PathBuf::from(path);
    let written = fs_err::OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Failure::new(Exit::Environment, format!("{variable}: {error}")))
}

/// The plan as a table.
pub fn plan(context: &Context, plan: &Plan) -> Result<(), Failure> {
    let table = table::markdown(
        &["image", "action", "runs", "why"],
        &plan_command::rows(plan),
    );
    let name = context.stack.name.as_str();
    let count = plan_command::count(plan);
    append(
        "GITHUB_STEP_SUMMARY",
        &format!("### {name}: {count}\n\n{table}\n"),
    )
}

/// What a build did, as a table, and its outputs.
pub fn build(
    context: &Context,
    headers: &[&str],
    rows: &[Vec<String>],
    outputs: &[(&str, &str)],
) -> Result<(), Failure> {
    let table = table::markdown(headers, rows);
    let name = context.stack.name.as_str();
    append("GITHUB_STEP_SUMMARY", &format!("### {name}\n\n{table}\n"))?;
    let lines: String = outputs
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    append("GITHUB_OUTPUT", &lines)
}
