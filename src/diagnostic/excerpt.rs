//! What is rendered of a text with very long lines: the renderer takes time and memory for each character of a line.

use std::borrow::Cow;
use std::ops::Range;

use crate::source::SourceFile;

/// Longer lines are cut, bytes.
const LONGEST_LINE: usize = 1000;

/// How much of a long line stays on each side of a place, bytes.
const NEAR: usize = 200;

/// Stands for what is left out of a line.
const LEFT_OUT: &str = "…";

/// The lines of a file from its first marked place to its last, without what is far from a place in long lines. It has as many
/// lines as the file has there.
pub struct Excerpt<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// The number of its first line in the file, from 1.
    pub first_line: usize,
    /// What stayed, in order: its place in the file, and where it starts now.
    pieces: Vec<(Range<usize>, usize)>,
}

impl<'a> Excerpt<'a> {
    /// Returns what is rendered of `file` if `places` are marked; both of their ends are characters' ends.
    pub fn new(file: &'a SourceFile, places: &[Range<usize>]) -> Self {
        let first = places.iter().map(|place| place.start).min();
        let last = places.iter().map(|place| place.end).max();
        let (lines, first_line) = file.lines_of(&(first.unwrap_or(0)..last.unwrap_or(0)));
        let whole = &*file.text;
        if whole[lines.clone()]
            .lines()
            .all(|l| l.len() <= LONGEST_LINE)
        {
            return Self {
                text: Cow::Borrowed(&whole[lines.clone()]),
                first_line,
                pieces: vec![(lines, 0)],
            };
        }
        let mut text = String::new();
        let mut pieces = Vec::new();
        let mut start = lines.start;
        for line in whole[lines].split_inclusive('\n') {
            let content = start..start + line.trim_end_matches(['\r', '\n']).len();
            let kept = if content.len() > LONGEST_LINE {
                near(whole, &content, places)
            } else {
                vec![content.clone()]
            };
            let mut end = start;
            for piece in kept {
                if piece.start > end {
                    text.push_str(LEFT_OUT);
                }
                end = piece.end;
                pieces.push((piece.clone(), text.len()));
                text.push_str(&whole[piece]);
            }
            if end < content.end {
                text.push_str(LEFT_OUT);
            }
            start += line.len();
            pieces.push((content.end..start, text.len()));
            text.push_str(&whole[content.end..start]);
        }
        Self {
            text: Cow::Owned(text),
            first_line,
            pieces,
        }
    }

    /// Returns where a place that is marked stands in the text.
    pub fn place(&self, place: &Range<usize>) -> Range<usize> {
        self.position(place.start)..self.position(place.end)
    }

    fn position(&self, at: usize) -> usize {
        let before = self.pieces.partition_point(|(piece, _)| piece.start <= at);
        let (piece, start) = &self.pieces[before - 1];
        start + (at - piece.start)
    }
}

/// Returns the parts of a line that are near the places; its beginning, if none is.
fn near(whole: &str, line: &Range<usize>, places: &[Range<usize>]) -> Vec<Range<usize>> {
    let around = |at: usize| {
        let start = at.saturating_sub(NEAR).max(line.start);
        let end = (at + NEAR).min(line.end);
        whole.floor_char_boundary(start)..whole.ceil_char_boundary(end)
    };
    let mut ends: Vec<usize> = places
        .iter()
        .flat_map(|place| [place.start, place.end])
        .filter(|at| line.start <= *at && *at <= line.end)
        .collect();
    if ends.is_empty() {
        ends.push(line.start);
    }
    ends.sort_unstable();
    let mut kept: Vec<Range<usize>> = Vec::new();
    for part in ends.into_iter().map(around) {
        match kept.last_mut() {
            Some(last) if part.start <= last.end => last.end = part.end,
            _ => kept.push(part),
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_text_without_long_lines_stays() {
        let file = SourceFile::new("specs.yml", "é\n".repeat(1000));
        let excerpt = Excerpt::new(&file, std::slice::from_ref(&(5..9)));
        assert!(matches!(excerpt.text, Cow::Borrowed("é\né\né\n")));
        assert_eq!(excerpt.first_line, 2);
        assert_eq!(excerpt.place(&(5..9)), 2..6);
    }

    #[test]
    fn of_a_long_line_what_is_near_the_places_stays() {
        let (a, b) = ("a".repeat(1000), "b".repeat(1000));
        let text = format!("one\n{a}X{b}YZ\r\n{a}{b}\nlast");
        let (x, y) = (1004, 2005);
        let end = text.len();
        let file = SourceFile::new("specs.yml", text);
        let excerpt = Excerpt::new(&file, &[x..x + 1, y..y + 1, end..end]);
        let (near_a, near_b) = (&a[..NEAR], &b[..NEAR]);
        let expected = format!("…{near_a}X{near_b}…{near_b}YZ\r\n{near_a}…\nlast");
        assert_eq!(excerpt.text, expected);
        assert_eq!(excerpt.first_line, 2);
        assert_eq!(&excerpt.text[excerpt.place(&(x..x + 1))], "X");
        assert_eq!(&excerpt.text[excerpt.place(&(y..y + 1))], "Y");
    }

    proptest! {
        #[test]
        fn places_keep_their_text_and_lines(
            text in "([aé\n]{0,8}|a{900,1200}|é{700,900}|\r\n){0,6}",
            at in prop::collection::vec((0..4000_usize, 0..4000_usize), 1..4),
        ) {
            let end = |at: usize| text.floor_char_boundary(at);
            let places: Vec<_> = at.iter().map(|(a, b)| end(*a.min(b))..end(*a.max(b))).collect();
            let file = SourceFile::new("specs.yml", &*text);
            let excerpt = Excerpt::new(&file, &places);
            let first = excerpt.first_line - 1;
            for place in places {
                let now = excerpt.place(&place);
                let line = |text: &str, at: usize| text[..at].matches('\n').count();
                prop_assert_eq!(first + line(&excerpt.text, now.start), line(&text, place.start));
                prop_assert_eq!(first + line(&excerpt.text, now.end), line(&text, place.end));
                let next = |text: &str, at: usize| text[at..].chars().next();
                prop_assert_eq!(next(&excerpt.text, now.start), next(&text, place.start));
                prop_assert_eq!(next(&excerpt.text, now.end), next(&text, place.end));
            }
        }
    }
}
