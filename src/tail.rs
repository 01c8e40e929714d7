//! The end of what a process writes, as a terminal would show it.
//!
//! Main type: [`Tail`], used by `run`, for the log of a step that failed, and by `report`, for what runs.

use std::collections::VecDeque;

/// The last lines that a process writes, as a person would read them on a screen: without colours and
/// other escapes, of a progress line drawn over itself only its last state, whatever is not UTF-8
/// replaced. Keeps a bounded amount, however long the streams or one of their lines are.
///
/// The lines of the output and of the error stream are kept apart, so that neither cuts a line of the other,
/// and the end of a long output does not hide the error before it.
#[derive(Clone, Debug)]
pub struct Tail {
    limit: usize,
    /// In the order in which they were completed; of each stream at most `limit`.
    complete: VecDeque<(Stream, String)>,
    output: OpenLine,
    errors: OpenLine,
    /// The stream that was written last.
    current: Stream,
}

/// A stream of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Errors,
}

/// A longer line is cut, bytes: a step can write megabytes without a line break.
const LONGEST_LINE: usize = 8 * 1024;

/// The line that is being written.
#[derive(Clone, Debug, Default)]
struct OpenLine {
    /// Bytes behind the last line break, without what was drawn over.
    open: Vec<u8>,
    /// What `open` is drawn over, in case it turns out to only clear the line.
    covered: Vec<u8>,
    /// The last byte was a carriage return: a line break follows, or the line is drawn over.
    returned: bool,
}

impl Tail {
    /// Keeps `limit` lines.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            complete: VecDeque::new(),
            output: OpenLine::default(),
            errors: OpenLine::default(),
            current: Stream::Output,
        }
    }

    /// Takes the next bytes of a stream, cut anywhere. Returns the lines that are complete now.
    pub fn push(&mut self, stream: Stream, bytes: &[u8]) -> Vec<String> {
        self.current = stream;
        let line = match stream {
            Stream::Output => &mut self.output,
            Stream::Errors => &mut self.errors,
        };
        let lines = line.push(bytes);
        for line in &lines {
            self.keep(stream, line.clone());
        }
        lines
    }

    /// Ends the streams: last lines without a line break are complete too, and returned.
    pub fn end(&mut self) -> Vec<String> {
        let mut ended = Vec::new();
        for stream in [Stream::Output, Stream::Errors] {
            let line = match stream {
                Stream::Output => &mut self.output,
                Stream::Errors => &mut self.errors,
            };
            if line.shown().is_some() {
                let line = line.close();
                ended.push(line.clone());
                self.keep(stream, line);
            }
        }
        ended
    }

    /// Returns the lines kept, oldest first, those being written last. Half of them are left to the error
    /// stream, if it has as many.
    pub fn lines(&self) -> Vec<String> {
        let mut all: Vec<(Stream, String)> = self.complete.iter().cloned().collect();
        let open = [
            (Stream::Output, &self.output),
            (Stream::Errors, &self.errors),
        ];
        let open = open.into_iter();
        all.extend(open.filter_map(|(stream, line)| Some((stream, line.shown()?))));
        let mut errors = self.limit.div_ceil(2);
        let mut kept: Vec<bool> = vec![false; all.len()];
        for (index, (stream, _)) in all.iter().enumerate().rev() {
            if *stream == Stream::Errors && errors > 0 {
                kept[index] = true;
                errors -= 1;
            }
        }
        let mut left = self.limit - kept.iter().filter(|kept| **kept).count();
        for kept in kept.iter_mut().rev() {
            if !*kept && left > 0 {
                *kept = true;
                left -= 1;
            }
        }
        let lines = all.into_iter().zip(kept);
        lines
            .filter_map(|((_, line), kept)| kept.then_some(line))
            .collect()
    }

    /// Returns the last line that is not blank.
    pub fn last(&self) -> Option<String> {
        let line = match self.current {
            Stream::Output => &self.output,
            Stream::Errors => &self.errors,
        };
        let complete = || self.complete.iter().rev();
        line.shown().or_else(|| {
            let last = complete().find(|(_, line)| !line.trim().is_empty());
            last.map(|(_, line)| line.clone())
        })
    }

    fn keep(&mut self, stream: Stream, line: String) {
        self.complete.push_back((stream, line));
        let is_of = |(of, _): &(Stream, String)| *of == stream;
        if self.complete.iter().filter(|line| is_of(line)).count() > self.limit
            && let Some(oldest) = self.complete.iter().position(is_of)
        {
            self.complete.remove(oldest);
        }
    }
}

impl OpenLine {
    /// Takes the next bytes. Returns the lines that are complete now.
    fn push(&mut self, bytes: &[u8]) -> Vec<String> {
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

    /// Returns the line, unless it is blank.
    fn shown(&self) -> Option<String> {
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
        *self = Self::default();
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
            tail.push(Stream::Output, chunk);
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
        let complete = tail.push(Stream::Output, &text.as_bytes()[1..]);
        assert_eq!(complete.len(), 1);
        assert!(tail.lines().concat().ends_with("\u{ef}"));
        assert_eq!(tail.lines().concat().matches('\u{fffd}').count(), 1);
    }

    #[test]
    fn push_and_end_return_every_line_once() {
        let mut tail = Tail::new(1);
        assert_eq!(tail.push(Stream::Output, b"a\n\nb\nc"), ["a", "", "b"]);
        assert_eq!(tail.last().as_deref(), Some("c"));
        assert_eq!(tail.end(), ["c"]);
        assert!(tail.end().is_empty());
        assert_eq!(tail.lines(), ["c"]);
    }

    #[test]
    fn a_long_output_does_not_hide_the_errors_before_it() {
        let mut tail = Tail::new(4);
        tail.push(Stream::Output, b"1\n2\nhalf ");
        tail.push(Stream::Errors, b"a\nb\nthe cause\n");
        tail.push(Stream::Output, b"a line\n3\n4\n5\n6\n7\n");
        assert_eq!(tail.lines(), ["b", "the cause", "6", "7"]);
        assert_eq!(tail.last().as_deref(), Some("7"));
    }

    #[test]
    fn lines_of_both_streams_are_in_their_order() {
        let mut tail = Tail::new(9);
        tail.push(Stream::Output, b"1\n2");
        tail.push(Stream::Errors, b"error\n");
        tail.push(Stream::Output, b"3\n");
        assert_eq!(tail.lines(), ["1", "error", "23"]);
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
