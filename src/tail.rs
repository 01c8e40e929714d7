//! The end of what a process writes, as a terminal would show it.
//!
//! [`Tail`] is used by `run`, for the log of a step that failed, and by `report`, for what runs.

use std::collections::VecDeque;

/// The last lines of a stream of bytes, as a person would read them on a screen: without colours and
/// other escapes, of a progress line drawn over itself only its last state, whatever is not UTF-8
/// replaced. Keeps a bounded amount, however long the stream or one of its lines is.
#[derive(Clone, Debug)]
pub struct Tail {
    limit: usize,
    complete: VecDeque<String>,
    /// Bytes behind the last line break, without what was drawn over.
    open: Vec<u8>,
    /// What `open` is drawn over, in case it turns out to only clear the line.
    covered: Vec<u8>,
    /// The last byte was a carriage return: a line break follows, or the line is drawn over.
    returned: bool,
}

/// A longer line is cut, bytes: a step can write megabytes without a line break.
const LONGEST_LINE: usize = 8 * 1024;

impl Tail {
    /// Keeps `limit` lines.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            complete: VecDeque::new(),
            open: Vec::new(),
            covered: Vec::new(),
            returned: false,
        }
    }

    /// Takes the next bytes, cut anywhere. Returns the lines that are complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            if byte == b'\n' {
                lines.push(self.close());
                continue;
            }
            if byte == b'\r' {
                self.returned = true;
                continue;
            }
            if std::mem::take(&mut self.returned) {
                let drawn_over = std::mem::take(&mut self.open);
                if !is_blank(&drawn_over) {
                    self.covered = drawn_over;
                }
            }
            self.open.push(byte);
            if self.open.len() >= LONGEST_LINE {
                let rest = self.open.split_off(whole_characters(&self.open));
                lines.push(self.close());
                self.open = rest;
            }
        }
        lines
    }

    /// Ends the stream: a last line without a line break is complete too, and returned.
    pub fn end(&mut self) -> Option<String> {
        let open = self.open_line()?;
        self.close();
        Some(open)
    }

    /// Returns the lines kept, oldest first, the one being written last.
    pub fn lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = self.complete.iter().cloned().collect();
        lines.extend(self.open_line());
        let surplus = lines.len().saturating_sub(self.limit);
        lines.split_off(surplus)
    }

    /// Returns the last line that is not blank.
    pub fn last(&self) -> Option<String> {
        let complete = || self.complete.iter().rev();
        self.open_line()
            .or_else(|| complete().find(|line| !line.trim().is_empty()).cloned())
    }

    /// Returns the line being written, unless it is blank.
    fn open_line(&self) -> Option<String> {
        let line = self.readable();
        (!line.trim().is_empty()).then_some(line)
    }

    fn readable(&self) -> String {
        if is_blank(&self.open) {
            readable(&self.covered)
        } else {
            readable(&self.open)
        }
    }

    fn close(&mut self) -> String {
        let line = self.readable();
        self.open.clear();
        self.covered.clear();
        self.returned = false;
        self.complete.push_back(line.clone());
        if self.complete.len() > self.limit {
            self.complete.pop_front();
        }
        line
    }
}

fn is_blank(bytes: &[u8]) -> bool {
    readable(bytes).trim().is_empty()
}

fn readable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = anstream::adapter::strip_str(&text).to_string();
    text.trim_end().to_owned()
}

/// Returns how many of `bytes` to take so that no character is cut at their end.
fn whole_characters(bytes: &[u8]) -> usize {
    let is_first = |byte: &u8| !(0x80..0xc0).contains(byte);
    let Some(last) = bytes.iter().rposition(is_first) else {
        return bytes.len();
    };
    match std::str::from_utf8(&bytes[last..]) {
        Err(error) if error.error_len().is_none() => last,
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(limit: usize, chunks: &[&[u8]]) -> Vec<String> {
        let mut tail = Tail::new(limit);
        for chunk in chunks {
            tail.push(chunk);
        }
        tail.lines()
    }

    #[test]
    fn lines_and_characters_can_be_cut_anywhere() {
        let cut: [&[u8]; 4] = [b"na\xc3", b"\xafve\ntw", b"o\r", b"\nthree"];
        assert_eq!(lines(9, &cut), ["na\u{ef}ve", "two", "three"]);
        assert_eq!(lines(2, &cut), ["two", "three"]);
        assert_eq!(lines(9, &[b"\xff\n"]), ["\u{fffd}"]);
    }

    #[test]
    fn escapes_are_not_kept() {
        let colored = b"\x1b[1;31mred\x1b[0m \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\\x07\tend\n";
        assert_eq!(lines(9, &[colored]), ["red link\tend"]);
    }

    #[test]
    fn of_a_progress_line_the_last_state_is_kept() {
        assert_eq!(
            lines(9, &[b" 10%\r 50%", b"\r100%\nnext\n"]),
            ["100%", "next"]
        );
        assert_eq!(lines(9, &[b" 10%\r 50%\r"]), [" 50%"]);
        let cleared = b"100%\r\x1b[K\ndone\n";
        assert_eq!(lines(9, &[cleared]), ["100%", "done"]);
    }

    #[test]
    fn an_endless_line_is_cut_between_characters() {
        let text = "\u{ef}".repeat(5000);
        let mut tail = Tail::new(2);
        let complete = tail.push(&text.as_bytes()[1..]);
        assert_eq!(complete.len(), 1);
        assert!(tail.lines().concat().ends_with("\u{ef}"));
        assert_eq!(tail.lines().concat().matches('\u{fffd}').count(), 1);
    }

    #[test]
    fn push_and_end_return_every_line_once() {
        let mut tail = Tail::new(1);
        assert_eq!(tail.push(b"a\n\nb\nc"), ["a", "", "b"]);
        assert_eq!(tail.last().as_deref(), Some("c"));
        assert_eq!(tail.end().as_deref(), Some("c"));
        assert_eq!(tail.end(), None);
        assert_eq!(tail.lines(), ["c"]);
    }

    proptest! {
        #[test]
        fn where_the_chunks_are_cut_changes_nothing(
            text in "[a\u{e9}\\r\\n\u{1b}\\[m]{0,60}",
            cut in 0usize..60,
        ) {
            let bytes = text.as_bytes();
            let cut = cut.min(bytes.len());
            prop_assert_eq!(lines(5, &[bytes]), lines(5, &[&bytes[..cut], &bytes[cut..]]));
        }
    }
}
