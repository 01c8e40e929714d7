//! Makes text of others harmless where it is shown: names of files, output of steps, documents of a registry.
//!
//! A terminal takes some characters as commands, and so does GitHub's runner with some lines of a log.
//! [`text`] is for everything that people see, [`json`] for documents. `cli` and `report` use them for all
//! they print, so no message has to think of it.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns whether a character changes how others are shown: control characters, and those that change the
/// direction of writing.
fn is_command(c: char) -> bool {
    c.is_control() || is_direction(c)
}

/// Returns whether a character changes the direction of writing.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns the length of an escape for colours at the start of a text, bytes. Hidden and blinking text do
/// not count.
fn color(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("\u{1b}[")?;
    // Not further than the codes go: a text can have many of these beginnings and no end.
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    if !rest[end..].starts_with('m') {
        return None;
    }
    let codes = &rest[..end];
    let is_color = |code: &str| {
        let code = match code {
            "" => 0,
            code => code.parse().unwrap_or(u16::MAX),
        };
        matches!(code, 0..=4 | 22..=24 | 30..=39 | 90..=97)
    };
    // `38;5;N` and `38;2;R;G;B`: any number is a colour then.
    let is_wide = codes.starts_with("38;");
    (is_wide || codes.split(';').all(is_color)).then_some(end + 3)
}

/// Returns a title or a command on one line, with each run of blanks as one: lines of a Dockerfile that continue are indented.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns text with names of files in it, as one line without colours: each character that is a command is U+FFFD.
pub fn line(text: &str) -> Cow<'_, str> {
    if text.contains(is_command) {
        Cow::Owned(text.replace(is_command, "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns text of lines for people. What would command a terminal is replaced by U+FFFD, except colours;
/// on a `runner`, GitHub's, a zero-width space is put into what would command it.
pub fn text(text: &str, runner: bool) -> String {
    let is_plain = |byte| matches!(byte, b'\n' | b'\t' | b' '..=b'~');
    if !runner && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if let Some(length) = color(rest) {
            out.push_str(&rest[..length]);
            at += length;
            continue;
        }
        at += c.len_utf8();
        match c {
            '\n' | '\t' => out.push(c),
            '\r' if text[at..].starts_with('\n') => {}
            c if is_command(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    if runner { for_runner(&out) } else { out }
}

/// Returns text without commands of GitHub's runner. It takes `##[…]` anywhere in a line, and `::…` at the
/// beginning of a line as commands (actions/runner, `ActionCommand.cs`, `TryParse` and `TryParseV2`).
fn for_runner(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let start = line.len() - line.trim_start().len();
        let (blank, rest) = line.split_at(start);
        out.push_str(blank);
        if rest.starts_with("::") {
            out.push('\u{200b}');
        }
        out.push_str(&rest.replace("##[", "##\u{200b}["));
    }
    out
}

/// Returns a JSON document with the same values and without characters and texts that are commands.
pub fn json(document: &str) -> Cow<'_, str> {
    // Of the other control characters JSON has none, in its strings and between them.
    let commands = ['\u{7f}', '\r', '\t'];
    let has_command = commands.iter().any(|c| document.contains(*c)) || document.contains("##[");
    if document.is_ascii() && !has_command {
        return Cow::Borrowed(document);
    }
    // Outside of strings none of them can be in a document.
    let mut out = String::with_capacity(document.len());
    for c in document.replace("##[", "\\u0023#[").chars() {
        if c != '\n' && is_command(c) {
            write!(out, "\\u{:04x}", u32::from(c)).expect("a string grows");
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_commands_a_terminal_is_replaced() {
        assert_eq!(text("\u{1b}]0;pwn\u{7}x", false), "\u{fffd}]0;pwn\u{fffd}x");
        assert_eq!(
            text("a\u{202e}b\u{9b}2J\rc\r\nd\te", false),
            "a\u{fffd}b\u{fffd}2J\u{fffd}c\nd\te"
        );
        assert_eq!(
            text("\u{1b}[8mhidden\u{1b}[2J", false),
            "\u{fffd}[8mhidden\u{fffd}[2J"
        );
    }

    #[test]
    fn a_name_of_a_file_does_not_end_a_line() {
        assert_eq!(line("images/a/é b"), "images/a/é b");
        assert_eq!(line("a\n\u{1b}[31mb"), "a\u{fffd}\u{fffd}[31mb");
    }

    #[test]
    fn a_command_of_several_lines_is_shown_on_one() {
        let command = "RUN apt-get update &&     apt-get install \\\n\tgit ";
        assert_eq!(
            one_line(command),
            "RUN apt-get update && apt-get install \\ git"
        );
        assert_eq!(one_line(""), "");
    }

    #[test]
    fn many_beginnings_of_escapes_are_read_once() {
        let began = std::time::Instant::now();
        let shown = text(&"\u{1b}[".repeat(1 << 20), false);
        assert_eq!(shown, "\u{fffd}[".repeat(1 << 20));
        assert!(began.elapsed().as_secs() < 20);
    }

    #[test]
    fn colours_are_kept() {
        let colored = "\u{1b}[1m\u{1b}[91merror\u{1b}[0m \u{1b}[38;5;9mx\u{1b}[m";
        assert_eq!(text(colored, false), colored);
    }

    #[test]
    fn commands_of_a_runner_are_texts() {
        let lines = "a ##[set-output name=x]v\n  ::add-mask::x\n::error::x\na::b\n";
        let expected =
            "a ##\u{200b}[set-output name=x]v\n  \u{200b}::add-mask::x\n\u{200b}::error::x\na::b\n";
        assert_eq!(text(lines, true), expected);
        assert_eq!(text(lines, false), lines);
    }

    #[test]
    fn a_document_keeps_its_values() {
        let value =
            serde_json::json!({ "a##[b]": "\u{202e}\u{9b}\u{7f}\u{1b}##[set-output]\n\\##[x" });
        let written = serde_json::to_string_pretty(&value).expect("plain data");
        let written = json(&written);
        assert!(!written.contains("##[") && !written.contains(['\u{202e}', '\u{9b}', '\u{7f}']));
        let read: serde_json::Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(read, value);
    }

    proptest! {
        #[test]
        fn no_text_keeps_a_command(written in "[a\u{1b}\u{9b}\\[\\]8;0m:#\r\n\u{202e} ]{0,40}") {
            let shown = text(&written, true);
            prop_assert!(!shown.contains("##["));
            prop_assert!(!shown.lines().any(|line| line.trim().starts_with("::")));
            let has_commands = shown.contains(['\u{9b}', '\u{202e}', '\r']);
            prop_assert!(!has_commands);
            prop_assert_eq!(text(&shown, true), shown);
        }
    }
}
