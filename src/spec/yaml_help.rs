//! What to do about a file that is not valid YAML: granit-parser's messages report what it expected.

/// A part of a message, and what mends its usual causes.
pub(super) const HELP: [(&str, &str); 17] = [
    ("tab", "use spaces: YAML allows no tabs here"),
    (
        "mapping values are not allowed",
        "quote a text that contains `: `, or indent the line like the other keys of its mapping",
    ),
    (
        "did not find expected key",
        "indent the line like the other keys of its mapping, without `- `; quote a text that starts with `[` or `{`",
    ),
    (
        "did not find expected '-'",
        "start the line with `- `, or indent it like the keys of the entry above it",
    ),
    (
        "block sequence entries are not allowed",
        "start the list on the line below its key",
    ),
    (
        "simple key expected",
        "write `: ` after a key and `- ` before an entry, or indent the line as part of the text above it",
    ),
    (
        "trailing content",
        r#"quote the whole text, with `''` or `\"` for a quote in it; write `,` between entries"#,
    ),
    (
        "expected ',' or ",
        "write `,` between entries and close the bracket, and quote the whole of a text that contains quotes, brackets or commas",
    ),
    (
        "unknown escape character",
        r"write `\\` for a backslash, or use single quotes",
    ),
    (
        "unexpected character",
        "quote a text that starts with this character",
    ),
    (
        "unknown anchor",
        "define it above with `&`, or quote a text that starts with `*`",
    ),
    (
        "bracket",
        "close each bracket with its own, or quote a text that contains it",
    ),
    (
        "unclosed quote",
        "close it, or quote a text that starts with it",
    ),
    (
        "expected comment or line break",
        "start the text on the line below, or quote a text that starts with `|` or `>`",
    ),
    (
        "scanning an anchor or alias",
        "quote a text that starts with `&` or `*`",
    ),
    (
        "mapping keys are not allowed",
        "quote a text that starts with `?`",
    ),
    (
        "illegal placement of ':'",
        "close the bracket above it, or quote the text",
    ),
];

/// What git writes into a file of which two branches changed the same lines.
const CONFLICT: &str = "<<<<<<< ";

/// Returns what to do about an error of the parser in a file; `None` if its message leaves the cause open.
pub(super) fn help(message: &str, text: &str) -> Option<&'static str> {
    if text.lines().any(|line| line.starts_with(CONFLICT)) {
        return Some("resolve the conflict between `<<<<<<<` and `>>>>>>>`");
    }
    let mut known = HELP.iter();
    let found = known.find(|(part, _)| message.contains(part));
    found.map(|(_, help)| *help)
}
