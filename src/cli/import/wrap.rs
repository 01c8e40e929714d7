//! Lines of a report that fit on a screen.

/// The longest line, characters.
pub const WIDTH: usize = 100;

/// Returns the lines of a text; those after the first one are indented. What is between backticks can be copied, so it stays
/// on one line.
pub fn wrapped(text: &str, width: usize, indent: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in words(text) {
        let is_full = line.chars().count() + 1 + word.chars().count() > width;
        if !line.trim().is_empty() && is_full {
            lines.push(std::mem::replace(&mut line, " ".repeat(indent)));
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// Splits a text at its blanks, except between backticks.
fn words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let (mut start, mut is_code) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            '`' => is_code = !is_code,
            ' ' if !is_code => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_stays_on_one_line() {
        assert_eq!(wrapped("a b", 9, 2), ["a b"]);
        assert_eq!(wrapped("one two three", 8, 2), ["one two", "  three"]);
        let lines = wrapped("x → `a b c d e f`, if y", 10, 2);
        assert_eq!(lines, ["x →", "  `a b c d e f`,", "  if y"]);
    }
}
