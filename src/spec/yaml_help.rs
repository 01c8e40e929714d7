//! What to do about a file that is not valid YAML: granit-parser's messages report what it expected.

/// A part of a message, and what its cause usually is.
pub(super) const HELP: [(&str, &str); 13] = [
    ("tab", "use spaces: YAML allows no tabs here"),
    (
        "mapping values are not allowed",
        "quote a text that contains `: `, or indent the line like the other keys of its mapping",
    ),
    (
        "did not find expected key",
        "indent the line like the other keys of its mapping",
    ),
    (
        "did not find expected '-'",
        "indent the line like the other entries of its list",
    ),
    (
        "block sequence entries are not allowed",
        "start the list on the line below its key",
    ),
    (
        "simple key expected",
        "write `:` after a key, or indent the line as part of the text above it",
    ),
    ("trailing content", "quote the whole text"),
    (
        "did not find expected ',' or '}'",
        "write `,` between entries, and quote the whole of a text that contains quotes, brackets or commas",
    ),
    (
        "expected ',' or ']'",
        "write `,` between entries, and quote the whole of a text that contains quotes, brackets or commas",
    ),
    (
        "unknown escape character",
        r"write `\\` for a backslash, or use single quotes",
    ),
    (
        "unexpected character",
        "quote a text that starts with this character",
    ),
    ("unknown anchor", "quote a text that starts with `*`"),
    ("unclosed", "close it, or quote a text that contains it"),
];

/// Returns what to do about an error of the parser; `None` if its message leaves the cause open.
pub(super) fn help(message: &str) -> Option<&'static str> {
    let mut known = HELP.iter();
    let found = known.find(|(part, _)| message.contains(part));
    found.map(|(_, help)| *help)
}
