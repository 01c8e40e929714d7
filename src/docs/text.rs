//! Escapes text of images and people for Markdown: it cannot end a cell or a block, or become markup.

use std::fmt::Write as _;

/// Replaces characters that cannot be shown: control characters, and those that change the direction of
/// writing.
fn visible(c: char) -> char {
    match c {
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Returns text on one line, with single blanks.
fn line(text: &str) -> String {
    let plain = anstream::adapter::strip_str(text).to_string();
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.join(" ").chars().map(visible).collect()
}

fn entity(out: &mut String, c: char) {
    write!(out, "&#{};", u32::from(c)).expect("a string grows");
}

/// Returns one line of text for a table cell, a link or a list item. All flavours of Markdown read
/// entities in the same way; escapes with `\` differ.
pub fn cell(text: &str) -> String {
    let text = line(text);
    let mut out = String::new();
    for (at, c) in text.char_indices() {
        let is_markup = match c {
            // A `:` or a `.` that would turn an address into a link.
            ':' => text[at + 1..].starts_with('/'),
            '.' => text[..at].to_ascii_lowercase().ends_with("www"),
            ' ' | ',' | '-' | '/' | '+' | '=' | '%' | '(' | ')' | '"' | '\'' | '?' | ';' => false,
            c => c.is_ascii_punctuation(),
        };
        if is_markup {
            entity(&mut out, c);
        } else {
            out.push(c);
        }
    }
    out
}

/// Returns one line of text as code: between backticks, unless something in it could end them or the
/// cell, or is a link in some wikis.
pub fn code(text: &str) -> String {
    let text = line(text);
    let plain = |c: char| (c == ' ' || c.is_ascii_graphic()) && !"`|\\<>&".contains(c);
    if text.is_empty() {
        return String::new();
    }
    if text.chars().all(plain) && !text.contains("[[") {
        return format!("`{text}`");
    }
    let mut out = String::from("<code>");
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || c == ' ' || !c.is_ascii() {
            out.push(c);
        } else {
            entity(&mut out, c);
        }
    }
    out.push_str("</code>");
    out
}

/// Returns a block of literal text, in a fence longer than any in it. It ends with a line break.
pub fn fence(text: &str, language: &str) -> String {
    let text = anstream::adapter::strip_str(text)
        .to_string()
        .replace("\r\n", "\n")
        .replace('\r', "\n");
    let (mut longest, mut run) = (0, 0);
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat((longest + 1).max(3));
    let body: String = text
        .trim_end()
        .chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c => visible(c),
        })
        .collect();
    format!("{fence}{language}\n{body}\n{fence}\n")
}

/// Returns a label of a Mermaid flowchart, with quotes.
pub fn label(text: &str) -> String {
    let mut out = String::from("\"");
    for c in line(text).chars() {
        if c.is_ascii_alphanumeric() || " ._-/:@".contains(c) || !c.is_ascii() {
            out.push(c);
        } else {
            // Mermaid, "Entity codes to escape characters".
            write!(out, "#{};", u32::from(c)).expect("a string grows");
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_one_line_of_plain_text() {
        assert_eq!(cell("scipy-ml-notebook 2021.2"), "scipy-ml-notebook 2021.2");
        assert_eq!(
            cell("a|b\n`c` <b> [x](y)"),
            "a&#124;b &#96;c&#96; &#60;b&#62; &#91;x&#93;(y)"
        );
        assert_eq!(
            cell("see https://example.org/x, WWW.example.org: &amp;"),
            "see https&#58;//example.org/x, WWW&#46;example.org: &#38;amp;"
        );
        assert_eq!(cell("\u{1b}[31mred\u{1b}[0m\u{202e}\0"), "red\u{fffd}");
    }

    #[test]
    fn code_ends_where_its_text_does() {
        assert_eq!(code("numpy 2.2.0"), "`numpy 2.2.0`");
        assert_eq!(code(r#"["a", "*"]"#), r#"`["a", "*"]`"#);
        assert_eq!(code("[[a]]"), "<code>&#91;&#91;a&#93;&#93;</code>");
        assert_eq!(code(""), "");
        assert_eq!(code("a`|b"), "<code>a&#96;&#124;b</code>");
        assert_eq!(code("</code>"), "<code>&#60;&#47;code&#62;</code>");
    }

    #[test]
    fn a_fence_is_longer_than_those_in_its_text() {
        assert_eq!(fence("a\r\nb\n\n", ""), "```\na\nb\n```\n");
        assert_eq!(
            fence("````\n# no heading", "text"),
            "`````text\n````\n# no heading\n`````\n"
        );
    }

    #[test]
    fn a_label_keeps_its_quotes() {
        assert_eq!(label("a\"] --> b\n;#"), "\"a#34;#93; --#62; b #59;#35;\"");
    }
}
