//! The shell scripts of `scripts/`, and [`expand`], which fills in their placeholders.
//!
//! The scripts are files so that shellcheck reads them. What runs in a step is part of every cache key:
//! the expanded text must stay the same to the byte (`tests/compile_texts.rs`).

use super::command::PLACE;

/// The tree that a suite or a set of info commands leaves has everything below this folder.
pub const LEFT: &str = "/left";

/// Returns the folder in which a suite or an info command leaves its results.
pub fn results() -> String {
    format!("{PLACE}/out{LEFT}")
}

/// Returns a script with its placeholders replaced.
///
/// A placeholder is `@NAME@`; `@PLACE@`, `@RESULTS@` and `@PYTHON@`, which is
/// `scripts/python.sh`, are known everywhere. A line that is nothing but
/// a placeholder with an empty value is left out. So are lines for readers and tools: those that begin
/// with `##` or with `# shellcheck `.
pub fn expand(script: &str, values: &[(&str, &str)]) -> String {
    let results = results();
    let python = include_str!("scripts/python.sh").lines();
    let python: Vec<&str> = python.filter(|line| !is_for_readers(line)).collect();
    let python = python.join("\n");
    let value = |name: &str| match name {
        "PLACE" => PLACE,
        "PYTHON" => python.as_str(),
        "RESULTS" => results.as_str(),
        _ => {
            let known = values.iter().find(|(known, _)| *known == name);
            known
                .map(|(_, value)| *value)
                .expect("each placeholder of a script is given a value")
        }
    };
    let mut text = String::new();
    for line in script.lines() {
        if is_for_readers(line) {
            continue;
        }
        let expanded = expand_line(line, &value);
        if line.is_empty() || !expanded.is_empty() {
            text.push_str(&expanded);
            text.push('\n');
        }
    }
    text
}

fn is_for_readers(line: &str) -> bool {
    line.starts_with("##") || line.starts_with("# shellcheck ")
}

fn expand_line<'a>(line: &str, value: &dyn Fn(&str) -> &'a str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('@') {
        text.push_str(before);
        let end = after.find(|c: char| !c.is_ascii_uppercase() && c != '_');
        match end {
            Some(end) if end > 0 && after[end..].starts_with('@') => {
                text.push_str(value(&after[..end]));
                rest = &after[end + 1..];
            }
            _ => {
                text.push('@');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_replaced_once() {
        let values = [("A", "@B@"), ("B", "b")];
        assert_eq!(expand("x @A@-@B@\n", &values), "x @B@-b\n");
    }

    #[test]
    fn other_uses_of_the_sign_stay() {
        assert_eq!(
            expand("\"$@\" a@b.c @ @@ @x@\n", &[]),
            "\"$@\" a@b.c @ @@ @x@\n"
        );
    }

    #[test]
    fn place_and_results_are_known_everywhere() {
        assert_eq!(
            expand("@PLACE@ @RESULTS@\n", &[]),
            "/run/laminate /run/laminate/out/left\n"
        );
    }

    #[test]
    fn lines_for_readers_and_tools_are_left_out() {
        let script = "# shellcheck shell=sh\n## Why.\n# kept\ntrue\n";
        assert_eq!(expand(script, &[]), "# kept\ntrue\n");
    }

    #[test]
    fn a_line_whose_placeholder_is_empty_is_left_out() {
        assert_eq!(expand("a\n@X@\nb@X@\n", &[("X", "")]), "a\nb\n");
    }

    #[test]
    fn a_value_may_have_several_lines() {
        assert_eq!(expand("(@X@\n)\n", &[("X", "a\nb")]), "(a\nb\n)\n");
    }

    #[test]
    #[should_panic(expected = "each placeholder of a script is given a value")]
    fn a_placeholder_without_a_value_is_a_bug() {
        expand("@X@\n", &[]);
    }
}
