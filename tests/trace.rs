//! `--trace`: written by every command, also by one that fails, and never the reason for another exit code.

use serde_json::Value;

use crate::support::laminate::{Answer, Laminate};

const SPEC: &str = "stack: x
registry: registry.example.org/x
images:
  a:
    base: registry.example.org/base@sha256:0000000000000000000000000000000000000000000000000000000000000000
    steps: [{ run: 'true' }]
";

/// Runs `plan --offline` on a spec with `--trace`; returns its answer and the phases that were recorded.
async fn planned(spec: &str) -> (Answer, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace.json");
    let laminate = Laminate::new().spec(spec).variable("LAMINATE_TRACE", &file);
    let answer = laminate.run(&["plan", "--offline"]).await;
    let trace = std::fs::read_to_string(file).expect("the trace was written");
    let trace: Value = serde_json::from_str(&trace).expect("valid JSON");
    let events = trace["traceEvents"].as_array().expect("a list");
    let spans = events
        .iter()
        .filter(|event| event["ph"] == "X" && event["cat"] == "command");
    let name = |event: &Value| event["name"].as_str().expect("a name").to_owned();
    (answer, spans.map(name).collect())
}

#[tokio::test]
async fn a_command_that_ends_well_and_one_that_fails_write_a_trace() {
    let (answer, names) = planned(SPEC).await;
    assert_eq!(answer.code, 10, "{answer:?}");
    assert_eq!(names, ["plan", "load the stack", "gather facts", "plan"]);
    let (answer, names) = planned("stack: [").await;
    assert_eq!(answer.code, 3, "{answer:?}");
    assert_eq!(names, ["plan", "load the stack"]);
}

#[tokio::test]
async fn a_trace_that_cannot_be_written_is_a_warning() {
    let laminate = Laminate::new().spec(SPEC);
    let words = ["plan", "--offline", "--trace", "missing/trace.json"];
    let answer = laminate.run(&words).await;
    assert_eq!(answer.code, 10, "{answer:?}");
    let warning = "warning: cannot write the trace to `missing/trace.json`: ";
    assert!(answer.stderr.contains(warning), "{answer:?}");
}
