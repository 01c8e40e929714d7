//! Documents on stdout, with `--json`.

use std::io::Write;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

use crate::shown;

/// Makes a document while it is written: that of a large stack takes more memory than the rest of a command.
pub type Stream = Box<dyn FnOnce(&mut dyn Write) -> std::io::Result<()>>;

/// So much is passed on at once, bytes.
const PIECE: usize = 64 << 10;

/// Writes a document as it is printed, with a line feed at its end.
pub fn write(document: &impl Serialize, out: impl Write) -> std::io::Result<()> {
    let mut lines = Lines {
        out,
        open: Vec::with_capacity(PIECE),
    };
    document.serialize(&mut Serializer::with_formatter(
        &mut lines,
        Indented::default(),
    ))?;
    lines.write_all(b"\n")?;
    lines.flush()
}

/// Returns a document as it is printed, with a line feed at its end.
pub fn pretty(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).expect("plain data");
    text.push('\n');
    shown::json(&text).into_owned()
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
        let lines = std::str::from_utf8(&self.open[..length]);
        let lines = lines.expect("JSON is UTF-8, and a line feed is one byte");
        self.out.write_all(shown::json(lines).as_bytes())?;
        self.open.drain(..length);
        Ok(())
    }
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.open.extend_from_slice(bytes);
        if self.open.len() >= PIECE
            && let Some(end) = self.open.iter().rposition(|byte| *byte == b'\n')
        {
            self.pass(end + 1)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.pass(self.open.len())?;
        self.out.flush()
    }
}

/// A line feed after a comma, and the blanks of the deepest documents.
const LINE: &[u8] = b",\n                                ";

/// Writes what serde_json's `PrettyFormatter` writes, and each line feed with its blanks at once: a large document has
/// more of them than texts.
#[derive(Default)]
struct Indented {
    /// How many lists and mappings are open.
    depth: usize,
    /// Whether the innermost of them has anything.
    has_value: bool,
}

impl Indented {
    fn begin(&mut self, out: &mut (impl Write + ?Sized), bracket: u8) -> std::io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        out.write_all(&[bracket])
    }

    fn end(&mut self, out: &mut (impl Write + ?Sized), bracket: u8) -> std::io::Result<()> {
        self.depth -= 1;
        if self.has_value {
            self.line(out, true)?;
        }
        out.write_all(&[bracket])
    }

    fn line(&self, out: &mut (impl Write + ?Sized), is_first: bool) -> std::io::Result<()> {
        let blanks = 2 * self.depth;
        let at_once = blanks.min(LINE.len() - 2);
        out.write_all(&LINE[usize::from(is_first)..2 + at_once])?;
        (at_once..blanks).try_for_each(|_| out.write_all(b" "))
    }
}

impl Formatter for Indented {
    fn begin_array<W: Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.begin(out, b'[')
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.end(out, b']')
    }

    fn begin_array_value<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        is_first: bool,
    ) -> std::io::Result<()> {
        self.line(out, is_first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _out: &mut W) -> std::io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.begin(out, b'{')
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        self.end(out, b'}')
    }

    fn begin_object_key<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        is_first: bool,
    ) -> std::io::Result<()> {
        self.line(out, is_first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> std::io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, _out: &mut W) -> std::io::Result<()> {
        self.has_value = true;
        Ok(())
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
        let deep = (0..40).fold(json!({}), |inner, n| json!({ "n": n, "deep": [[], inner] }));
        let document = json!({ "list": texts.collect::<Vec<_>>(), "deep": deep, "last": {} });
        let mut out = Counted::default();
        write(&document, &mut out).expect("written");
        assert_eq!(out.all, pretty(&document).into_bytes());
        assert!(out.all.len() > 4 * PIECE && out.most < 2 * PIECE);
    }
}
