//! What is rendered of a text with very long lines: the renderer takes time and memory for each character of a line.

use std::borrow::Cow;
use std::ops::Range;

/// Longer lines are cut, bytes.
const LONGEST_LINE: usize = 1000;

/// How much of a long line stays on each side of a place, bytes.
const NEAR: usize = 200;

/// Stands for what is left out of a line.
const LEFT_OUT: &str = "…";

/// A text without what is far from its marked places in long lines. It has the lines of the whole, so their numbers are the same.
pub struct Excerpt<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// What stayed, in order: its place in the whole, and where it starts now. Empty if all of it stayed.
    pieces: Vec<(Range<usize>, usize)>,
}

impl<'a> Excerpt<'a> {
    /// Returns what is rendered of `whole` if `places` are marked; both of their ends are characters' ends.
    pub fn new(whole: &'a str, places: &[Range<usize>]) -> Self {
        if whole.lines().all(|line| line.len() <= LONGEST_LINE) {
            let text = Cow::Borrowed(whole);
            let pieces = Vec::new();
            return Self { text, pieces };
        }
        let mut text = String::new();
        let mut pieces = Vec::new();
        let mut start = 0;
        for line in whole.split_inclusive('\n') {
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
            pieces,
        }
    }

    /// Whether something is left out.
    pub fn is_cut(&self) -> bool {
        !self.pieces.is_empty()
    }

    /// Returns where a place that is marked stands in the text.
    pub fn place(&self, place: &Range<usize>) -> Range<usize> {
        self.position(place.start)..self.position(place.end)
    }

    fn position(&self, at: usize) -> usize {
        let before = self.pieces.partition_point(|(piece, _)| piece.start <= at);
        match before.checked_sub(1).map(|index| &self.pieces[index]) {
            Some((piece, start)) => start + (at - piece.start),
            None => at,
        }
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
        let text = "é\n".repeat(1000);
        let excerpt = Excerpt::new(&text, std::slice::from_ref(&(2..5)));
        assert!(matches!(excerpt.text, Cow::Borrowed(_)));
        assert_eq!(excerpt.place(&(2..5)), 2..5);
    }

    #[test]
    fn of_a_long_line_what_is_near_the_places_stays() {
        let (a, b) = ("a".repeat(1000), "b".repeat(1000));
        let text = format!("one\n{a}X{b}YZ\r\n{a}{b}\nlast");
        let (x, y) = (1004, 2005);
        let excerpt = Excerpt::new(&text, &[x..x + 1, y..y + 1]);
        let (near_a, near_b) = (&a[..NEAR], &b[..NEAR]);
        let expected = format!("one\n…{near_a}X{near_b}…{near_b}YZ\r\n{near_a}…\nlast");
        assert_eq!(excerpt.text, expected);
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
            let excerpt = Excerpt::new(&text, &places);
            prop_assert_eq!(excerpt.text.matches('\n').count(), text.matches('\n').count());
            for place in places {
                let now = excerpt.place(&place);
                let line = |text: &str, at: usize| text[..at].matches('\n').count();
                prop_assert_eq!(line(&excerpt.text, now.start), line(&text, place.start));
                prop_assert_eq!(line(&excerpt.text, now.end), line(&text, place.end));
                let next = |text: &str, at: usize| text[at..].chars().next();
                prop_assert_eq!(next(&excerpt.text, now.start), next(&text, place.start));
                prop_assert_eq!(next(&excerpt.text, now.end), next(&text, place.end));
            }
        }
    }
}
