//! JUnit's XML, which pytest and others write and CI systems read.
//!
//! There is no single schema. [`parse`] reads what the formats of pytest, Surefire, testthat and gotestsum
//! have in common, and takes missing attributes as empty.

use std::time::Duration;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::verdict::{Case, Outcome, Verdict};

/// The longest message kept of one test, characters.
const MESSAGE: usize = 2000;

/// The longest text kept of one failure, bytes.
const LONGEST: usize = 16 << 10;

/// The part of it that is its beginning, bytes.
const BEGINNING: usize = 4 << 10;

impl Case {
    /// Cuts long texts. Secrets must be hidden before that.
    pub fn shorten(&mut self) {
        self.message = self.message.take().map(|message| short(&message));
        self.text = self.text.take().map(|text| cut(&text));
    }
}

/// Returns the tests of a report, in its order, with whole texts. Fails on invalid XML, and on a DTD: its entities can ask
/// for any amount of memory, and no known tool writes one.
pub fn parse(xml: &str) -> Result<Vec<Case>, String> {
    let document = roxmltree::Document::parse(xml).map_err(|e| e.to_string())?;
    let cases = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"));
    Ok(cases.map(case).collect())
}

fn case(node: roxmltree::Node) -> Case {
    let attribute = |name: &str| node.attribute(name).unwrap_or_default().to_owned();
    let mut case = Case {
        name: attribute("name"),
        class: attribute("classname"),
        seconds: attribute("time")
            .replace(',', "")
            .parse()
            .ok()
            // JSON has no other numbers.
            .filter(|seconds: &f64| seconds.is_finite() && *seconds >= 0.0)
            .unwrap_or(0.0),
        outcome: Outcome::Passed,
        message: None,
        text: None,
    };
    for child in node.children().filter(roxmltree::Node::is_element) {
        let outcome = match child.tag_name().name() {
            "failure" => Outcome::Failed,
            "error" => Outcome::Error,
            "skipped" => Outcome::Skipped,
            _ => continue,
        };
        // pytest reports a test that failed and could not be torn down as two children.
        if case.outcome == Outcome::Passed {
            case.outcome = outcome;
            let text = child.text().unwrap_or_default().trim();
            let first = || text.lines().next().unwrap_or_default();
            let message = child.attribute("message").unwrap_or_else(first);
            case.message = some(message.trim());
            case.text = some(text);
        }
    }
    case
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns the beginning of a message, for a line or two.
fn short(text: &str) -> String {
    match text.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Returns the beginning of a text, where the test is, and its end, where the failure is.
fn cut(text: &str) -> String {
    if text.len() <= LONGEST {
        return text.to_owned();
    }
    let end = text.ceil_char_boundary(BEGINNING);
    let start = text.ceil_char_boundary(text.len() - (LONGEST - BEGINNING));
    format!(
        "{}\n[the middle is left out]\n{}",
        &text[..end],
        &text[start..]
    )
}

/// Returns a report of suites, each with its name for readers (`IMAGE SUITE`). A suite that failed without
/// a failed test gets one.
pub fn report<'a>(name: &str, suites: impl IntoIterator<Item = (String, &'a Verdict)>) -> String {
    let mut report = Report::new(name);
    for (name, verdict) in suites {
        let mut suite = TestSuite::new(&name);
        suite.set_time(seconds(verdict.seconds));
        for case in &verdict.cases {
            suite.add_test_case(made(case));
        }
        if verdict.cases.is_empty()
            || !verdict.passed && !verdict.cases.iter().any(Case::has_failed)
        {
            suite.add_test_case(made(&Case {
                name,
                class: String::new(),
                seconds: verdict.seconds,
                outcome: if verdict.passed {
                    Outcome::Passed
                } else {
                    Outcome::Failed
                },
                message: verdict.reason.clone(),
                text: some(&verdict.log),
            }));
        }
        report.add_test_suite(suite);
    }
    report
        .to_string()
        .expect("a report of texts is written to memory")
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

fn made(case: &Case) -> TestCase {
    let mut status = match case.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Error => TestCaseStatus::non_success(NonSuccessKind::Error),
        Outcome::Skipped => TestCaseStatus::skipped(),
    };
    if case.outcome != Outcome::Passed {
        if let Some(message) = &case.message {
            status.set_message(message);
        }
        if let Some(text) = &case.text {
            status.set_description(text);
        }
    }
    let mut made = TestCase::new(&case.name, status);
    made.set_time(seconds(case.seconds));
    if !case.class.is_empty() {
        made.set_classname(&case.class);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Digest;

    const PYTEST: &str = r#"<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest" errors="0" failures="1" skipped="1" tests="3" time="0.032" timestamp="2026-11-24T21:57:28.123456" hostname="x"><testcase classname="test_a.TestB" name="test_fine[x-1]" time="0.001" /><testcase classname="test_a" name="test_red" time="0.002"><failure message="assert 1 == 2">def test_red():
&gt;       assert 1 == 2
E       assert 1 == 2

test_a.py:4: AssertionError</failure><error message="failed on teardown">x</error></testcase><testcase classname="test_a" name="test_not" time="0.000"><skipped type="pytest.skip" message="not here">test_a.py:6: not here</skipped></testcase></testsuite></testsuites>"#;

    #[test]
    fn pytests_report_is_read() {
        let cases = parse(PYTEST).expect("XML");
        let short: Vec<_> = cases
            .iter()
            .map(|c| {
                (
                    c.name.as_str(),
                    c.class.as_str(),
                    c.outcome,
                    c.message.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            short,
            [
                ("test_fine[x-1]", "test_a.TestB", Outcome::Passed, None),
                ("test_red", "test_a", Outcome::Failed, Some("assert 1 == 2")),
                ("test_not", "test_a", Outcome::Skipped, Some("not here")),
            ]
        );
        assert!(parse("no XML").is_err());
        assert!(parse("<testsuites/>").expect("XML").is_empty());
    }

    #[test]
    fn a_written_report_is_read_back() {
        let cases = parse(PYTEST).expect("XML");
        let verdict = Verdict {
            key: Digest::of(b"suite"),
            from: None,
            passed: false,
            reason: None,
            tests: 3,
            failed: 1,
            skipped: 1,
            seconds: 0.5,
            time: "2026-11-24T21:57:28Z".parse().expect("a time"),
            cases: cases.clone(),
            log: String::new(),
        };
        let silent = Verdict {
            reason: Some("exit code 3".to_owned()),
            cases: Vec::new(),
            log: "it & <that>".to_owned(),
            ..verdict.clone()
        };
        let suites = [
            ("a common".to_owned(), &verdict),
            ("a own".to_owned(), &silent),
        ];
        let xml = report("datahub", suites);
        let read = parse(&xml).expect("XML");
        assert_eq!(read[..3], cases);
        assert_eq!(read[3].message.as_deref(), Some("exit code 3"));
        assert_eq!(read[3].text.as_deref(), Some("it & <that>"));
    }

    #[test]
    fn a_long_text_keeps_its_beginning_and_its_end() {
        let text = format!("begin{}end", "\u{ef}".repeat(LONGEST));
        let kept = cut(&text);
        assert!(kept.len() < LONGEST + 100);
        assert!(kept.starts_with("begin\u{ef}") && kept.ends_with("\u{ef}end"));
        assert!(kept.contains("\u{ef}\n[the middle is left out]\n\u{ef}"));
        assert_eq!(cut("short"), "short");
    }

    fn one(testcase: &str) -> Case {
        let xml = format!("<testsuites><testsuite>{testcase}</testsuite></testsuites>");
        parse(&xml).expect("XML").remove(0)
    }

    #[test]
    fn missing_attributes_are_empty() {
        let case = one("<testcase/>");
        assert_eq!((case.name.as_str(), case.class.as_str()), ("", ""));
        assert_eq!((case.seconds, case.outcome), (0.0, Outcome::Passed));
    }

    #[test]
    fn seconds_may_have_thousands_separators() {
        assert_eq!(one("<testcase time='1,234.5'/>").seconds, 1234.5);
        for time in ["soon", "nan", "inf", "-1"] {
            let case = one(&format!("<testcase time='{time}'/>"));
            assert_eq!(case.seconds, 0.0, "{time}");
        }
    }

    #[test]
    fn a_failure_without_a_message_has_its_first_line() {
        let case = one("<testcase><failure>one\ntwo</failure></testcase>");
        assert_eq!(case.message.as_deref(), Some("one"));
        assert_eq!(case.text.as_deref(), Some("one\ntwo"));
    }

    #[test]
    fn other_children_of_a_test_do_not_count() {
        let case = one("<testcase><system-out>x</system-out><error message='e'/></testcase>");
        assert_eq!(case.outcome, Outcome::Error);
        assert_eq!(case.message.as_deref(), Some("e"));
    }

    #[test]
    fn a_document_type_is_refused() {
        let entities = "<!DOCTYPE t [<!ENTITY a 'AAAAAAAA'>]><testcase name='&a;&a;'/>";
        assert!(parse(entities).is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_report_or_an_error(
            text in "(<[a-z/!?\\[]{0,3}(testcase|failure|x)( (name|time|message)='[a-z0-9.&;<]{0,9}')?/?>|[&a;\\]<]{0,5}){0,9}",
        ) {
            for case in parse(&text).unwrap_or_default() {
                proptest::prop_assert!(case.seconds.is_finite());
            }
        }
    }

    #[test]
    fn a_long_message_keeps_its_beginning() {
        let message = short(&"\u{ef}".repeat(MESSAGE + 1));
        assert_eq!(message.chars().count(), MESSAGE + 1);
        assert!(message.ends_with('…'));
        assert_eq!(short("short"), "short");
    }

    fn verdict(passed: bool, cases: Vec<Case>) -> Verdict {
        Verdict {
            key: Digest::of(b"suite"),
            from: None,
            passed,
            reason: None,
            tests: 1,
            failed: 0,
            skipped: 0,
            seconds: 0.0,
            time: jiff::Timestamp::UNIX_EPOCH,
            cases,
            log: String::new(),
        }
    }

    #[test]
    fn a_suite_without_tests_is_one_test() {
        let passed = verdict(true, Vec::new());
        let read = parse(&report("r", [("a own".to_owned(), &passed)])).expect("XML");
        assert_eq!(read.len(), 1);
        assert_eq!(
            (read[0].name.as_str(), read[0].outcome),
            ("a own", Outcome::Passed)
        );
    }

    #[test]
    fn a_failed_suite_has_a_failed_test() {
        let failed = verdict(false, vec![one("<testcase name='fine'/>")]);
        let read = parse(&report("r", [("a own".to_owned(), &failed)])).expect("XML");
        let outcomes: Vec<Outcome> = read.iter().map(|case| case.outcome).collect();
        assert_eq!(outcomes, [Outcome::Passed, Outcome::Failed]);
    }
}
