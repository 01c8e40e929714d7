//! Documents on stdout, with `--json`.

use std::io::Write;

use serde::Serialize;
use serde_json::Value;

use crate::shown;

/// Makes a document while it is written: that of a large stack takes more memory than the rest of a command.
pub type Stream = Box<dyn FnOnce(&mut dyn Write) -> std::io::Result<()>>;

/// So much is passed on at once, bytes.
const PIECE: usize = 64 << 10;

/// Writes a document as it is printed, with a line feed at its end.
pub fn write(document: &impl Serialize, out: impl Write) -> std::io::Result<()> {
    let mut lines = Lines {
        out,
        open: Vec::new(),
    };
    serde_json::to_writer_pretty(&mut lines, document)?;
    lines.write_all(b"\n")?;
    lines.flush()
}

/// Returns a document as it is printed, with a line feed at its end.
pub fn pretty(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("plain data");
    text.push('\n');
    shown::json(text)
}

/// Passes on the lines of a document, without characters and texts that are commands. None of them is on two lines: a
/// text of JSON has no line feed.
struct Lines<W> {
    out: W,
    /// What was not passed on.
    open: Vec<u8>,
}

impl<W: Write> Lines<W> {
    fn pass(&mut self, length: usize) -> std::io::Result<()> {
        let rest = self.open.split_off(length);
        let lines = std::mem::replace(&mut self.open, rest);
        let lines = String::from_utf8(lines).expect("JSON is UTF-8, and a line feed is one byte");
        self.out.write_all(shown::json(lines).as_bytes())
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.open.extend_from_slice(bytes);
        if self.open.len() >= PIECE
            && let Some(end) = self.open.iter().rposition(|byte| *byte == b'\n')
        {
            self.pass(end + 1)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.pass(self.open.len())?;
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Counts the most bytes that are written at once.
    #[derive(Default)]
    struct Counted {
        all: Vec<u8>,
        most: usize,
    }

    impl Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.most = self.most.max(bytes.len());
            self.all.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_document_is_written_in_pieces_without_commands() {
        let texts = (0..20_000).map(|n| format!("\u{e9}##[group]\u{202e}{n}"));
        let document = json!({ "list": texts.collect::<Vec<_>>(), "last": {} });
        let mut out = Counted::default();
        write(&document, &mut out).expect("written");
        assert_eq!(out.all, pretty(&document).into_bytes());
        assert!(out.all.len() > 4 * PIECE && out.most < 2 * PIECE);
    }
}
