//! The part of a failed test's report that names the cause: the frames of the tests, and the error.

/// The most lines of a report that are shown.
const SHOWN: usize = 30;

/// Lines that are shown of the end of a longer report.
const END: usize = 14;

/// Lines that are shown of the beginning of a longer report.
const BEGINNING: usize = 8;

/// Parts of paths of files that come with Python.
const PYTHON: [&str; 4] = ["/lib/python", "<frozen ", "/_pytest/", "/pluggy/"];

/// Parts of paths of installed packages.
const PACKAGES: [&str; 3] = [
    "/site-packages/",
    "/dist-packages/",
    "/run/laminate/pytest/",
];

/// Returns lines of a report. `test` is the name of the test with its class, which names its file.
///
/// Consecutive frames of Python's libraries are one line; the last one is shown as well if it is that of an installed
/// package, which can be what is tested. Of what is still too long, the beginning, the lines that name the file of the test
/// and the end are left.
pub fn excerpt(test: &str, report: &str) -> Vec<String> {
    let lines = without_libraries(&report.lines().collect::<Vec<_>>());
    if lines.len() <= SHOWN {
        return lines;
    }
    let end = lines.len() - END;
    let mut kept: Vec<bool> = (0..lines.len())
        .map(|at| at < BEGINNING || at >= end)
        .collect();
    let mut left = SHOWN - BEGINNING - END;
    for at in (BEGINNING..end).filter(|at| names_file(test, &lines[*at])) {
        for is_kept in &mut kept[at..(at + 2).min(end)] {
            if left > 0 && !*is_kept {
                *is_kept = true;
                left -= 1;
            }
        }
    }
    let mut shown = Vec::new();
    let mut missing = 0;
    for (line, is_kept) in lines.into_iter().zip(kept) {
        if !is_kept {
            missing += 1;
            continue;
        }
        if missing > 0 {
            shown.push(format!("… {missing} lines are left out"));
            missing = 0;
        }
        shown.push(line);
    }
    shown
}

/// A frame of pytest's short traceback: its place, and the lines of its source.
struct Frame<'a> {
    lines: &'a [&'a str],
    is_python: bool,
    is_package: bool,
}

/// Returns the lines of a report, with one line for consecutive frames of libraries.
fn without_libraries(lines: &[&str]) -> Vec<String> {
    let starts: Vec<Option<Frame>> = (0..lines.len()).map(|at| frame(&lines[at..])).collect();
    let is_library = |frame: &Frame| frame.is_python || frame.is_package;
    let has_own = starts.iter().flatten().any(|frame| !is_library(frame));
    let mut shown = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let mut frames = Vec::new();
        while let Some(frame) = starts
            .get(at)
            .and_then(Option::as_ref)
            .filter(|it| is_library(it))
        {
            frames.push(frame);
            at += frame.lines.len();
        }
        let last = frames.pop_if(|last| !has_own || last.is_package);
        match frames.len() {
            0 => {}
            1 if last.is_none() => shown.push("… 1 frame of a library".to_owned()),
            1 => shown.extend(frames[0].lines.iter().map(|line| (*line).to_owned())),
            count => shown.push(format!("… {count} frames of libraries")),
        }
        shown.extend(
            last.iter()
                .flat_map(|last| last.lines)
                .map(|line| (*line).to_owned()),
        );
        if frames.is_empty() && last.is_none() {
            shown.push(lines[at].to_owned());
            at += 1;
        }
    }
    shown
}

/// Returns the frame that begins with these lines: `PATH:LINE: in FUNCTION`, and its indented source.
fn frame<'a>(lines: &'a [&'a str]) -> Option<Frame<'a>> {
    let (place, _) = lines.first()?.split_once(": in ")?;
    let (path, number) = place.rsplit_once(':')?;
    if path.starts_with(' ') || number.parse::<u32>().is_err() {
        return None;
    }
    let source = lines[1..]
        .iter()
        .take_while(|line| line.starts_with("    "));
    let has = |parts: &[&str]| parts.iter().any(|part| path.contains(part));
    let is_package = has(&PACKAGES) && !has(&PYTHON[2..]);
    Some(Frame {
        lines: &lines[..=source.count()],
        is_python: !is_package && has(&PYTHON),
        is_package,
    })
}

/// Whether a line has a place in the file of a test: `test_a.py:4` for `test_a.TestB`, `FooTest.java:4` for `edu.FooTest`.
fn names_file(test: &str, line: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut stems = test.split(|c| !is_word(c)).filter(|stem| stem.len() > 2);
    stems.any(|stem| {
        line.match_indices(stem).any(|(at, _)| {
            let begins = !line[..at].ends_with(is_word);
            let rest = line[at + stem.len()..].strip_prefix('.');
            let place = rest.and_then(|rest| rest.split_once(':'));
            let is_place = place.is_some_and(|(ending, number)| {
                ending.chars().all(char::is_alphanumeric)
                    && number.starts_with(|c: char| c.is_ascii_digit())
            });
            begins && is_place
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_libraries_between_a_test_and_the_error_are_one_line() {
        let report = "\
images/geo/tests/test_geo.py:8: in test_shapely
    subprocess.run([\"docker\", \"ps\"], check=True)
/usr/lib/python3.11/subprocess.py:548: in run
    with Popen(*popenargs, **kwargs) as process:
         ^^^^^^^^^^^^^^^^^^^^^^^^^^^
/usr/lib/python3.11/subprocess.py:1901: in _execute_child
    raise child_exception_type(errno_num, err_msg, err_filename)
E   FileNotFoundError: [Errno 2] No such file or directory: 'docker'";
        let expected = [
            "images/geo/tests/test_geo.py:8: in test_shapely",
            "    subprocess.run([\"docker\", \"ps\"], check=True)",
            "… 2 frames of libraries",
            "E   FileNotFoundError: [Errno 2] No such file or directory: 'docker'",
        ];
        assert_eq!(excerpt("test_geo::test_shapely", report), expected);
    }

    #[test]
    fn the_last_frame_of_a_package_is_shown() {
        let report = "\
test_a.py:3: in test_a
    tool.run()
/opt/venv/lib/python3.11/site-packages/tool/a.py:5: in run
    inner()
/opt/venv/lib/python3.11/site-packages/tool/b.py:6: in inner
    middle()
/opt/venv/lib/python3.11/site-packages/tool/b.py:7: in middle
    json.loads(x)
E   ValueError: x";
        let shown = excerpt("test_a::test_a", report);
        assert_eq!(shown[2], "… 2 frames of libraries");
        assert!(shown[3].ends_with("b.py:7: in middle"), "{shown:?}");
        assert_eq!(shown.len(), 6);
    }

    #[test]
    fn without_a_frame_of_the_tests_the_last_frame_is_shown() {
        let report = "\
/run/laminate/pytest/_pytest/python.py:493: in importtestmodule
    mod = import_path(
<frozen importlib._bootstrap>:1206: in _gcd_import
    ???
/usr/lib/python3.11/ast.py:50: in parse
    return compile(source)
E     File \"test_syntax.py\", line 1";
        let expected = [
            "… 2 frames of libraries",
            "/usr/lib/python3.11/ast.py:50: in parse",
            "    return compile(source)",
            "E     File \"test_syntax.py\", line 1",
        ];
        assert_eq!(excerpt("test_syntax", report), expected);
    }

    #[test]
    fn a_long_report_has_its_beginning_the_places_of_the_test_and_its_end() {
        let frame = |number: usize| format!("\tat org.junit.Runner.run(Runner.java:{number})\n");
        let frames = |from: usize| (from..from + 30).map(frame).collect::<String>();
        let report = format!(
            "java.lang.AssertionError: wrong\n{}\tat edu.campus.FooTest.works(FooTest.java:12)\n{}last",
            frames(100),
            frames(200)
        );
        let shown = excerpt("edu.campus.FooTest::works", &report);
        assert_eq!(shown[0], "java.lang.AssertionError: wrong");
        assert_eq!(shown.last().map(String::as_str), Some("last"));
        assert_eq!(shown[8], "… 23 lines are left out");
        assert_eq!(shown[9], "\tat edu.campus.FooTest.works(FooTest.java:12)");
        assert!(shown.len() <= SHOWN + 2, "{}", shown.len());
        let short = "a\nb";
        assert_eq!(excerpt("x", short), ["a", "b"]);
    }

    #[test]
    fn only_a_place_names_the_file_of_a_test() {
        assert!(names_file(
            "sub.test_a.TestB::test_c",
            "x/sub/test_a.py:4: in f"
        ));
        for line in ["test_a.py", "test_a:4", "my_test_a.py:4", "test_a.py: 4"] {
            assert!(!names_file("test_a::t", line), "{line}");
        }
    }
}
