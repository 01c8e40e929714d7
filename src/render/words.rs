//! Words of a Dockerfile.

use crate::diagnostic::Diagnostic;
use crate::source::Span;

/// Longer lines are not written into a Dockerfile, bytes: its parser reads at most 64 KiB of one.
pub const LONGEST_LINE: usize = 30_000;

/// Returns words as the JSON form of an instruction.
pub fn array(words: &[String]) -> String {
    let words: Vec<String> = words
        .iter()
        .map(|word| serde_json::Value::from(word.as_str()).to_string())
        .collect();
    format!("[{}]", words.join(", "))
}

/// Returns a text for an instruction that replaces variables: in double quotes, without any variable.
pub fn value(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("\"{}\"", inside(text))
}

/// Returns a text as a part of a word in double quotes.
pub fn inside(text: &str) -> String {
    escaped(text, &['\\', '"', '$'])
}

/// Returns the two paths of `COPY` as its arguments.
pub fn paths(source: &str, target: &str) -> String {
    let plain = |text: &str| {
        text.chars()
            .all(|c| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c))
    };
    if plain(source) && plain(target) {
        return format!("{source} {target}");
    }
    array(&[no_variables(source), no_variables(target)])
}

/// Returns a word of the JSON form of an instruction that replaces variables and removes quotes, as `COPY` and `VOLUME` do.
pub fn no_variables(text: &str) -> String {
    escaped(text, &['\\', '$', '"', '\''])
}

/// Returns a text with a backslash before each of some characters.
fn escaped(text: &str, special: &[char]) -> String {
    let mut made = String::new();
    for c in text.chars() {
        if special.contains(&c) {
            made.push('\\');
        }
        made.push(c);
    }
    made
}

/// Returns whether a path is written into `--mount` as it is, and into `COPY` as a source without wildcards.
pub fn is_plain_path(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-+:@%~".contains(c))
}

/// Fails for a path that `--mount` cannot have.
pub fn mountable(text: &str, span: Span) -> Result<(), Diagnostic> {
    if is_plain_path(text) {
        return Ok(());
    }
    Err(
        Diagnostic::error(format!("path `{text}` cannot be written in a Dockerfile"))
            .at(span, "a mount at this path")
            .help("use letters, digits, `/`, `.`, `_` and `-`"),
    )
}

/// Returns a text as a here-document and its delimiter; `None` if a here-document cannot have it.
pub fn here_document(text: &str) -> Option<(String, String)> {
    let has_long_line = text.lines().any(|line| line.len() > LONGEST_LINE);
    if !text.ends_with('\n') || text.contains(['\r', '\0']) || has_long_line {
        return None;
    }
    let mut name = "EOF".to_owned();
    while text.lines().any(|line| line == name) {
        name.push('_');
    }
    Some((format!("<<'{name}'"), format!("{text}{name}\n")))
}

/// Returns whether an instruction has a text for a shell as it is: an instruction is one line, without blanks at its ends
/// and a backslash at its end, and what is a list in JSON is taken for one.
pub fn is_shell_form(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && !text.contains(['\n', '\r', '\0'])
        && !text.ends_with('\\')
        && serde_json::from_str::<Vec<serde_json::Value>>(text).is_err()
        && text.len() < LONGEST_LINE
}

/// Returns whether a text that a shell runs with `-e` does the same without it, and on one line: a chain of `&&`.
pub fn is_one_command(text: &str) -> bool {
    let rest = text.replace("&&", "");
    let special = [
        ';', '|', '&', '(', ')', '{', '}', '\n', '\r', '\\', '`', '#', '!',
    ];
    !rest.contains(special)
        && !text.contains("<<")
        && !text.starts_with(['[', '-', ' '])
        && !text.ends_with(' ')
        && text.len() < LONGEST_LINE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_no_variables() {
        let target = r#"/it 'is' "a" $B\"#;
        let escaped = r#"["f", "/it \\'is\\' \\\"a\\\" \\$B\\\\"]"#;
        assert_eq!(paths("f", target), escaped);
        assert_eq!(value("a/b:c"), "a/b:c");
        assert_eq!(value("a \"$b\" \\"), r#""a \"\$b\" \\""#);
        assert_eq!(value(""), "\"\"");
    }

    #[test]
    fn paths_with_blanks_are_an_array() {
        assert_eq!(paths("files/a", "/b"), "files/a /b");
        assert_eq!(paths("files/a", "/b c$"), r#"["files/a", "/b c\\$"]"#);
    }

    #[test]
    fn a_here_document_ends_with_a_line_that_the_text_does_not_have() {
        let made = here_document("a\nEOF\n").expect("it can");
        assert_eq!(made, ("<<'EOF_'".to_owned(), "a\nEOF\nEOF_\n".to_owned()));
        assert_eq!(here_document("no end of line"), None);
    }

    #[test]
    fn a_shell_form_is_one_line_without_blanks_at_its_ends() {
        for text in [
            "curl -f \"$URL\" || exit 1",
            "a  b",
            "a #b",
            "[ -e /x ]",
            "a\tb 'c\\'",
        ] {
            assert!(is_shell_form(text), "{text}");
        }
        for text in [
            "", " ", " a", "a ", "\ta", "a\u{a0}", "a\nb", "a\\", "[\"a\"]", "a\r",
        ] {
            assert!(!is_shell_form(text), "{text:?}");
        }
        assert!(!is_shell_form(&"a".repeat(LONGEST_LINE)));
    }

    #[test]
    fn only_chains_need_no_errexit() {
        assert!(is_one_command("make && make install"));
        for text in [
            "a; b",
            "a | b",
            "a & b",
            "if a\nthen b\nfi",
            "a || b",
            "[ -e x ]",
        ] {
            assert!(!is_one_command(text), "{text}");
        }
    }
}
