//! The verdict on a suite, from what the suite left behind.

use std::time::Duration;

use jiff::Timestamp;

use super::junit;
use super::verdict::{Case, Outcome, Verdict};
use crate::name::Digest;

/// Cases of one suite that are kept beside those that failed.
const CASES: usize = 1000;

/// pytest's exit code when it collected no test (`ExitCode.NO_TESTS_COLLECTED` in its `config`).
const NO_TESTS: i32 = 5;

/// The exit code of a process killed by SIGKILL: 128 + 9.
const KILLED: i32 = 137;

/// What is known of a suite's run beside its output.
#[derive(Clone, Debug)]
pub struct SuiteRun {
    /// The suite's key.
    pub key: Digest,
    /// The image whose `tests:` declares the suite; `None`: the stack's.
    pub from: Option<String>,
    /// How long it had.
    pub timeout: Duration,
    /// Whether it writes a JUnit report.
    pub reports: bool,
    /// How long it ran.
    pub seconds: f64,
    /// When it ran.
    pub time: Timestamp,
}

/// What a suite left behind.
#[derive(Clone, Debug, Default)]
pub struct SuiteOutput {
    /// Its exit code; `None` if it wrote none.
    pub exit: Option<i32>,
    /// The end of what it wrote to its output and error streams.
    pub log: String,
    /// Why its wrapper could not run it.
    pub reason: Option<String>,
    /// Its JUnit report.
    pub junit: Option<String>,
    /// Whether its wrapper stopped it after its timeout.
    pub overdue: bool,
    /// The test that ran last, if it did not end.
    pub running: Option<String>,
}

/// Returns the reason of a suite that took longer than its timeout.
pub fn stopped_after(timeout: Duration) -> String {
    format!("it was stopped after {} s", timeout.as_secs_f64())
}

impl Verdict {
    /// Returns the verdict on a suite that has no output to read.
    pub fn failed(key: Digest, from: Option<String>, time: Timestamp, reason: String) -> Self {
        Self {
            key,
            from,
            passed: false,
            reason: Some(reason),
            tests: 1,
            failed: 1,
            skipped: 0,
            seconds: 0.0,
            time,
            cases: Vec::new(),
            log: String::new(),
        }
    }

    /// Returns the verdict on a suite that ran. It passes only if it exits with 0, gives no reason against
    /// it, and reports no failed test.
    pub fn from_output(run: SuiteRun, output: SuiteOutput) -> Self {
        let (mut cases, unreadable) = match output.junit.as_deref().map(junit::parse) {
            Some(Ok(cases)) => (cases, None),
            Some(Err(error)) => (
                Vec::new(),
                Some(format!("its report cannot be read: {error}")),
            ),
            None => (Vec::new(), None),
        };
        let failed = count(&cases, Case::has_failed);
        let skipped = count(&cases, |case| case.outcome == Outcome::Skipped);
        let exit = output.exit;
        // Tests can end their process with success; only a report proves that they ran.
        let unreported = run.reports && exit == Some(0) && cases.is_empty();
        let reason = output
            .overdue
            .then(|| stopped_after(run.timeout))
            .or(unreadable)
            .or(output.reason)
            .or_else(|| unreported.then(|| "pytest ended without a report of any test".to_owned()));
        let passed = exit == Some(0) && reason.is_none() && failed == 0;
        let reason = match reason {
            None if !passed && failed == 0 => Some(exit_reason(exit, &output.log)),
            reason => reason,
        };
        let running = output.running.filter(|test| !test.is_empty());
        let reason = match (reason, running) {
            (Some(reason), Some(test)) => Some(format!("{reason}, while {test} ran")),
            (reason, _) => reason,
        };
        let tests = u32::try_from(cases.len().max(1)).unwrap_or(u32::MAX);
        keep_some(&mut cases);
        Self {
            key: run.key,
            from: run.from,
            passed,
            reason,
            tests,
            failed: if passed { failed } else { failed.max(1) },
            skipped,
            seconds: run.seconds,
            time: run.time,
            cases,
            log: output.log,
        }
    }

    /// Cuts long texts of its tests. Secrets must be hidden before that.
    pub fn shorten(&mut self) {
        self.cases.iter_mut().for_each(Case::shorten);
    }

    /// Changes every text of the verdict that comes from its suite.
    pub fn edit_texts(&mut self, edit: impl Fn(&mut String)) {
        edit(&mut self.log);
        self.reason.iter_mut().for_each(&edit);
        for case in &mut self.cases {
            edit(&mut case.name);
            edit(&mut case.class);
            case.message.iter_mut().for_each(&edit);
            case.text.iter_mut().for_each(&edit);
        }
    }
}

fn count(cases: &[Case], is_counted: impl Fn(&Case) -> bool) -> u32 {
    let count = cases.iter().filter(|case| is_counted(case)).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn exit_reason(exit: Option<i32>, log: &str) -> String {
    match exit {
        Some(NO_TESTS) if log.contains("no tests ran") => "no test was found".to_owned(),
        Some(KILLED) => "killed (exit code 137): out of memory?".to_owned(),
        Some(code) => format!("exit code {code}"),
        None => "no exit code".to_owned(),
    }
}

/// Keeps the first cases, and all that failed.
fn keep_some(cases: &mut Vec<Case>) {
    let mut seen = 0;
    cases.retain(|case| {
        seen += 1;
        case.has_failed() || seen <= CASES
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(reports: bool) -> SuiteRun {
        SuiteRun {
            key: Digest::of(b"suite"),
            from: Some("base".to_owned()),
            timeout: Duration::from_secs(600),
            reports,
            seconds: 1.5,
            time: Timestamp::UNIX_EPOCH,
        }
    }

    fn exited(code: i32) -> SuiteOutput {
        SuiteOutput {
            exit: Some(code),
            ..SuiteOutput::default()
        }
    }

    /// pytest's output with one test an outcome: `.` passed, `F` failed, `s` skipped.
    fn pytest(code: i32, outcomes: &str) -> SuiteOutput {
        let case = |outcome| match outcome {
            'F' => r#"<testcase name="t" time="0"><failure message="no"/></testcase>"#,
            's' => r#"<testcase name="t" time="0"><skipped message="why"/></testcase>"#,
            _ => r#"<testcase name="t" time="0"/>"#,
        };
        let cases: String = outcomes.chars().map(case).collect();
        SuiteOutput {
            junit: Some(format!("<testsuite>{cases}</testsuite>")),
            ..exited(code)
        }
    }

    /// `passed: SUMMARY` or `failed: SUMMARY`.
    fn shown(run: SuiteRun, output: SuiteOutput) -> String {
        let verdict = Verdict::from_output(run, output);
        let word = if verdict.passed { "passed" } else { "failed" };
        format!("{word}: {}", verdict.summary())
    }

    #[test]
    fn a_script_that_exits_with_0_passes() {
        assert_eq!(shown(run(false), exited(0)), "passed: 1 passed");
    }

    #[test]
    fn a_script_that_exits_with_another_code_fails() {
        assert_eq!(shown(run(false), exited(3)), "failed: exit code 3");
    }

    #[test]
    fn a_suite_without_an_exit_code_fails() {
        let output = SuiteOutput::default();
        assert_eq!(shown(run(false), output), "failed: no exit code");
    }

    #[test]
    fn a_killed_suite_names_memory_as_a_likely_cause() {
        assert_eq!(
            shown(run(true), exited(137)),
            "failed: killed (exit code 137): out of memory?"
        );
    }

    #[test]
    fn passed_and_skipped_tests_pass() {
        assert_eq!(
            shown(run(true), pytest(0, "..s")),
            "passed: 2 passed, 1 skipped"
        );
    }

    #[test]
    fn one_failed_test_fails_the_suite() {
        assert_eq!(shown(run(true), pytest(1, ".F.")), "failed: 1 of 3 failed");
    }

    #[test]
    fn a_failed_test_fails_the_suite_whatever_its_exit_code() {
        assert_eq!(shown(run(true), pytest(0, ".F")), "failed: 1 of 2 failed");
    }

    #[test]
    fn an_exit_code_fails_the_suite_although_all_tests_passed() {
        assert_eq!(shown(run(true), pytest(1, "..")), "failed: exit code 1");
    }

    #[test]
    fn pytest_without_a_report_fails() {
        assert_eq!(
            shown(run(true), exited(0)),
            "failed: pytest ended without a report of any test"
        );
    }

    #[test]
    fn pytest_with_a_report_of_no_test_fails() {
        assert_eq!(
            shown(run(true), pytest(0, "")),
            "failed: pytest ended without a report of any test"
        );
    }

    #[test]
    fn pytest_that_found_no_test_fails_for_that() {
        let output = SuiteOutput {
            log: "no tests ran in 0.01s".to_owned(),
            ..exited(5)
        };
        assert_eq!(shown(run(true), output), "failed: no test was found");
    }

    #[test]
    fn exit_code_5_of_another_suite_is_only_a_code() {
        assert_eq!(shown(run(false), exited(5)), "failed: exit code 5");
    }

    #[test]
    fn an_unreadable_report_fails() {
        let output = SuiteOutput {
            junit: Some("<testsuite".to_owned()),
            ..exited(0)
        };
        let shown = shown(run(true), output);
        assert!(
            shown.starts_with("failed: its report cannot be read: "),
            "{shown}"
        );
    }

    #[test]
    fn an_overdue_suite_fails_whatever_else_it_left() {
        let output = SuiteOutput {
            overdue: true,
            reason: Some("the server is not ready".to_owned()),
            ..pytest(0, "..")
        };
        assert_eq!(
            shown(run(true), output),
            "failed: it was stopped after 600 s"
        );
    }

    #[test]
    fn a_test_that_did_not_end_is_named() {
        let output = |running: &str| SuiteOutput {
            overdue: true,
            running: Some(running.to_owned()),
            ..exited(137)
        };
        assert_eq!(
            shown(run(true), output("test_a.py::test_b")),
            "failed: it was stopped after 600 s, while test_a.py::test_b ran"
        );
        assert_eq!(
            shown(run(true), output("")),
            "failed: it was stopped after 600 s"
        );
    }

    #[test]
    fn the_wrappers_reason_counts_before_the_exit_code() {
        let output = SuiteOutput {
            reason: Some("the server is not ready".to_owned()),
            ..exited(1)
        };
        assert_eq!(shown(run(false), output), "failed: the server is not ready");
    }

    #[test]
    fn a_failed_suite_counts_one_failure_at_least() {
        let verdict = Verdict::from_output(run(false), exited(1));
        assert_eq!((verdict.tests, verdict.failed), (1, 1));
        let verdict = Verdict::from_output(run(false), exited(0));
        assert_eq!((verdict.tests, verdict.failed), (1, 0));
    }

    #[test]
    fn the_runs_own_facts_are_kept() {
        let verdict = Verdict::from_output(run(false), exited(0));
        assert_eq!(verdict.key, Digest::of(b"suite"));
        assert_eq!(verdict.from.as_deref(), Some("base"));
        assert_eq!(verdict.seconds.to_string(), "1.5");
        assert_eq!(verdict.time, Timestamp::UNIX_EPOCH);
    }

    #[test]
    fn of_many_cases_the_first_and_the_failed_are_kept() {
        let outcomes = format!("{}F", ".".repeat(CASES + 5));
        let verdict = Verdict::from_output(run(true), pytest(1, &outcomes));
        assert_eq!(verdict.cases.len(), CASES + 1);
        assert_eq!(
            verdict.tests,
            u32::try_from(CASES + 6).expect("it is small")
        );
        assert!(verdict.cases[CASES].has_failed());
    }

    #[test]
    fn a_secret_is_hidden_in_every_text() {
        let mut verdict = Verdict::from_output(run(true), pytest(1, "F"));
        verdict.log = "token=s3cret.".to_owned();
        verdict.reason = Some("s3cret".to_owned());
        verdict.cases[0].message = Some("got s3cret".to_owned());
        verdict.cases[0].text = Some("s3crets3cret".to_owned());
        verdict.cases[0].name = "test[s3cret]".to_owned();
        verdict.cases[0].class = "s3cret".to_owned();
        verdict.edit_texts(|text| *text = text.replace("s3cret", "[secret]"));
        assert!(!format!("{verdict:?}").contains("s3cret"));
        assert_eq!(verdict.log, "token=[secret].");
    }
}
