//! The text of the user's files, and places in them.
//!
//! Every value a user may have to correct carries a [`Span`]; [`Sources`] turns it into a file, a
//! line and a column. `spec` fills [`Sources`]; `diagnostic` reads it.

use std::ops::Range;
use std::sync::Arc;

/// Identifies a file of one [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(u32);

/// A range of bytes in one file, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The file.
    pub source: SourceId,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// Returns the first byte, which marks the start of something long.
    pub fn first_byte(self) -> Self {
        Self {
            end: self.start + 1,
            ..self
        }
    }
}

/// A value and the place it was written at.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// The place.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Returns `value` with its place.
    pub fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }

    /// Keeps the place and changes the value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned {
            value: change(self.value),
            span: self.span,
        }
    }
}

impl<T> std::ops::Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Two values are equal wherever they were written.
impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

/// A line and a column, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

/// One file as it was read.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// Path relative to the folder of `specs.yml`, with `/`.
    pub path: String,
    /// All of it.
    pub text: Arc<str>,
    /// The first byte of each line, found once: a file with many faults has many places.
    line_starts: Arc<[usize]>,
}

impl SourceFile {
    /// Returns a file with this path and text.
    pub fn new(path: impl Into<String>, text: impl Into<Arc<str>>) -> Self {
        let text = text.into();
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(after_breaks).collect();
        Self {
            path: path.into(),
            text,
            line_starts,
        }
    }

    /// Returns the place of a byte of the text; one beyond its end is at its end.
    pub fn position(&self, at: usize) -> Position {
        let at = self.text.floor_char_boundary(at);
        let line = self.line_at(at);
        Position {
            line: u32::try_from(line + 1).unwrap_or(u32::MAX),
            column: column_after(&self.text[self.line_starts[line]..at]),
        }
    }

    /// Returns the whole lines of a place in the text, and the number of the first, from 1. The end of a text that ends with
    /// a line break belongs to the line before it.
    pub fn lines_of(&self, place: &Range<usize>) -> (Range<usize>, usize) {
        let line = |at: usize| match self.line_at(at) {
            0 => 0,
            line if self.line_starts[line] == self.text.len() => line - 1,
            line => line,
        };
        let (first, last) = (line(place.start), line(place.end));
        let end = self.line_starts.get(last + 1);
        let end = end.copied().unwrap_or(self.text.len());
        (self.line_starts[first]..end, first + 1)
    }

    /// Returns the index of the line of a byte.
    fn line_at(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at) - 1
    }
}

/// Returns the column just after a text.
pub fn column_after(text: &str) -> u32 {
    let on_line = text.rsplit('\n').next().unwrap_or_default();
    u32::try_from(on_line.chars().count() + 1).unwrap_or(u32::MAX)
}

/// The files read so far.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
    /// The folder of `specs.yml`, as the user gets there; empty for the current one.
    folder: String,
}

impl Sources {
    /// Adds a file; `path` is relative to the folder of `specs.yml`.
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<Arc<str>>) -> SourceId {
        let id = SourceId(u32::try_from(self.files.len()).expect("a stack has few files"));
        self.files.push(SourceFile::new(path, text));
        id
    }

    /// Returns the file of an id of these sources.
    pub fn file(&self, id: SourceId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// Returns all files in the order they were added.
    pub fn iter(&self) -> impl Iterator<Item = (SourceId, &SourceFile)> {
        (0..).map(SourceId).zip(&self.files)
    }

    /// Returns the path of a span's file.
    pub fn path(&self, span: Span) -> &str {
        &self.file(span.source).path
    }

    /// Sets the folder of `specs.yml` as the user gets there, for [`shown_path`](Self::shown_path).
    pub fn set_folder(&mut self, folder: impl Into<String>) {
        self.folder = folder.into();
    }

    /// Returns the path of a file as the user can open it.
    pub fn shown_path(&self, id: SourceId) -> String {
        let path = &self.file(id).path;
        match self.folder.trim_end_matches('/') {
            "" if self.folder.is_empty() => path.clone(),
            folder => format!("{folder}/{path}"),
        }
    }

    /// Returns the place a span starts at.
    pub fn start(&self, span: Span) -> Position {
        self.file(span.source).position(span.start as usize)
    }

    /// Returns the place just after a span.
    pub fn end(&self, span: Span) -> Position {
        self.file(span.source).position(span.end as usize)
    }
}

/// Returns the place of bytes `start..end` of a scalar's text, or of all of it if the file writes the
/// text in another way.
pub fn part_of(node: Span, text: &str, start: usize, end: usize) -> Span {
    let length = usize::try_from(node.end.saturating_sub(node.start)).unwrap_or(0);
    // Quotes before the text shift it by one.
    let shift = match length.checked_sub(text.len()) {
        Some(0) => 0,
        Some(2) => 1,
        _ => return node,
    };
    let at = |offset: usize| node.start + u32::try_from(offset + shift).unwrap_or(0);
    Span {
        start: at(start),
        end: at(end),
        ..node
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let mut sources = Sources::default();
        let id = sources.add("specs.yml", "é: 1\nb: 2\n");
        let span = Span {
            source: id,
            start: 6,
            end: 7,
        };
        assert_eq!(sources.start(span), Position { line: 2, column: 1 });
        let span = Span {
            source: id,
            start: 2,
            end: 3,
        };
        assert_eq!(sources.start(span), Position { line: 1, column: 2 });
    }

    proptest! {
        #[test]
        fn lines_end_at_line_breaks(text in "[aé\r\n]{0,12}", at in 0..20_usize, end in 0..20_usize) {
            let file = SourceFile::new("specs.yml", &*text);
            let before = &text[..text.floor_char_boundary(at)];
            let on_line = before.rsplit('\n').next().unwrap_or_default();
            let Position { line, column } = file.position(at);
            prop_assert_eq!(line as usize, before.matches('\n').count() + 1);
            prop_assert_eq!(column as usize, on_line.chars().count() + 1);

            let place = before.len()..text.floor_char_boundary(end.max(at));
            let (lines, number) = file.lines_of(&place);
            prop_assert!(lines.start <= place.start && place.end <= lines.end);
            prop_assert_eq!(number, text[..lines.start].matches('\n').count() + 1);
            prop_assert!(lines.start == 0 || text[..lines.start].ends_with('\n'));
            prop_assert!(lines.end == text.len() || text[..lines.end].ends_with('\n'));
            let wanted = text[place.start..].lines().next().is_some();
            prop_assert!(!wanted || !text[lines.start..place.start].contains('\n'));
            prop_assert!(text.is_empty() || !lines.is_empty());
        }
    }
}
