//! Diagnostics as text, in rustc's form.

use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

use super::excerpt::Excerpt;
use super::{Diagnostic, Label, Severity};
use crate::source::{Position, Sources, column_after};

/// The most characters that are marked of a place if its text would not fit beside the whole.
const MOST_MARKED: usize = 40;

/// The most that are rendered at once.
const MOST: usize = 100;

/// Returns `list` as text with an empty line between entries, sorted by place, errors first.
pub fn render(list: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut sorted: Vec<&Diagnostic> = list.iter().collect();
    sorted.sort_by_key(|d| (d.severity, d.primary.as_ref().map(|label| label.span)));
    let hidden = sorted.len().saturating_sub(MOST);
    let mut texts: Vec<String> = sorted
        .into_iter()
        .take(MOST)
        .map(|diagnostic| {
            let mut columns = Vec::new();
            let groups = groups(diagnostic, sources, &mut columns);
            let mut text = renderer.render(&groups).to_string();
            for Column { shown, right } in columns {
                text = text.replacen(&shown, &right, 1);
            }
            text.push('\n');
            text
        })
        .collect();
    if hidden > 0 {
        texts.push(format!("and {hidden} more\n"));
    }
    texts.join("\n")
}

/// A place in a line that was cut: the renderer counts columns in what is left of it.
struct Column {
    /// The path, line and column that it shows.
    shown: String,
    /// Those of the file.
    right: String,
}

fn groups<'a>(
    diagnostic: &'a Diagnostic,
    sources: &'a Sources,
    columns: &mut Vec<Column>,
) -> Vec<Group<'a>> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str());
    let Some(primary) = &diagnostic.primary else {
        let group = Group::with_title(title);
        return match &diagnostic.help {
            Some(help) => vec![group.element(Level::HELP.message(help.as_str()))],
            None => vec![group],
        };
    };
    let labels: Vec<(&Label, AnnotationKind)> = std::iter::once((primary, AnnotationKind::Primary))
        .chain(
            diagnostic
                .others
                .iter()
                .map(|label| (label, AnnotationKind::Context)),
        )
        .collect();
    let (beside, elsewhere): (Vec<_>, Vec<_>) = labels
        .into_iter()
        .partition(|(label, _)| label.span.source == primary.span.source);
    let mut group = snippet(Group::with_title(title), &beside, sources, columns);
    for label in elsewhere {
        group = snippet(group, &[label], sources, columns);
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    vec![group]
}

/// Adds the lines of labels in one file; the first is the place that is named.
fn snippet<'a>(
    group: Group<'a>,
    labels: &[(&'a Label, AnnotationKind)],
    sources: &'a Sources,
    columns: &mut Vec<Column>,
) -> Group<'a> {
    let Some((first, _)) = labels.first() else {
        return group;
    };
    let file = sources.file(first.span.source);
    let text = &*file.text;
    let path = sources.shown_path(first.span.source);
    let marks: Vec<Range<usize>> = labels.iter().map(|(label, _)| mark(label, text)).collect();
    let lines = all_lines(first, text);
    let excerpt = Excerpt::new(file, &[&*marks, lines.as_slice()].concat());
    let annotations = labels
        .iter()
        .zip(&marks)
        .map(|((label, kind), mark)| kind.span(excerpt.place(mark)).label(label.text.as_str()));
    let visible = lines.map(|lines| AnnotationKind::Visible.span(excerpt.place(&lines)));
    let annotations: Vec<Annotation<'a>> = annotations.chain(visible).collect();
    if let Some(mark) = marks.first() {
        let Position { line, column } = sources.start(first.span);
        let now = column_after(&excerpt.text[..excerpt.place(mark).start]);
        if now != column {
            columns.push(Column {
                shown: format!("{path}:{line}:{now}"),
                right: format!("{path}:{line}:{column}"),
            });
        }
    }
    let snippet = Snippet::source(excerpt.text).line_start(excerpt.first_line);
    group.element(snippet.path(path).annotations(annotations))
}

/// Returns a place of which all lines are shown, unless there are many.
fn all_lines(label: &Label, text: &str) -> Option<Range<usize>> {
    /// A longer place is cut after its first lines.
    const MOST: usize = 15;
    let range = range(label, text);
    let lines = text[range.clone()].lines().take(MOST + 1).count();
    (1 < lines && lines <= MOST).then_some(range)
}

/// Returns the part of a label's place that is marked.
fn mark(label: &Label, text: &str) -> Range<usize> {
    let Range { start, end } = range(label, text);
    start..start + marked(&text[..start], &text[start..end], &label.text)
}

/// Returns the place of a label in a text; at its ends no character is cut.
fn range(label: &Label, text: &str) -> Range<usize> {
    let start = text.floor_char_boundary(label.span.start as usize);
    let end = text.ceil_char_boundary(label.span.end as usize);
    start..end.max(start)
}

/// Returns how many bytes of a place are marked: its first word if it has several lines, as the fault can be in any of them, and
/// its start if a terminal would cut the text beside the whole. `before`: what the file has before the place.
fn marked(before: &str, place: &str, text: &str) -> usize {
    /// Of 100 columns, the number of a line needs some.
    const COLUMNS: usize = 93;
    if place.contains('\n') {
        return place.find(char::is_whitespace).unwrap_or(place.len());
    }
    let on_line = before.rsplit('\n').next().unwrap_or_default();
    let columns = [on_line, place, text].map(|part| part.chars().count());
    if columns.iter().sum::<usize>() < COLUMNS {
        return place.len();
    }
    let mut characters = place.char_indices().map(|(at, _)| at);
    characters.nth(MOST_MARKED).unwrap_or(place.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Span;
    use proptest::prelude::*;

    #[test]
    fn an_error_shows_its_place_and_a_hint() {
        let text = "stack: x\nimages:\n  base:\n    base: debian:12\n  sci:\n    base: bse\n";
        let mut sources = Sources::default();
        let source = sources.add("specs.yml", text);
        let at = text.find("bse").expect("the text has it") as u32;
        let span = Span {
            source,
            start: at,
            end: at + 3,
        };
        let error = Diagnostic::unknown("image", "bse", span, ["base", "sci"]);
        assert_eq!(
            render(&[error], &sources, false),
            "error: unknown image `bse`\n \
             --> specs.yml:6:11\n  \
             |\n\
             6 |     base: bse\n  \
             |           ^^^ no such image\n  \
             |\n  \
             = help: did you mean `base`?\n"
        );
    }

    #[test]
    fn a_span_that_cuts_a_character_is_widened() {
        let mut sources = Sources::default();
        let source = sources.add("specs.yml", "a: é\nb");
        for (start, end) in [(4, 4), (0, 4), (4, 99), (5, 3), (99, 99)] {
            let span = Span { source, start, end };
            let diagnostic = Diagnostic::error("a fault").at(span, "here");
            assert!(render(&[diagnostic], &sources, false).contains("here"));
        }
    }

    #[test]
    fn of_a_place_that_leaves_no_room_for_its_text_the_start_is_marked() {
        let long = format!("RUN {}", "x".repeat(100));
        assert_eq!(marked("", "RUN x", "exit code 1"), 5);
        assert_eq!(marked("", &long, "exit code 1"), MOST_MARKED);
        assert_eq!(marked("a\n", &long[..80], "exit code 1"), 80);
        assert_eq!(marked("a\n  ", &long[..80], "exit code 1"), MOST_MARKED);
        assert_eq!(marked("", "short", &long), 5);
        assert_eq!(marked("", "RUN a &&\n  b\n", "here"), 3);
    }

    #[test]
    fn a_place_in_a_line_of_megabytes_has_its_column_and_what_is_near() {
        let mut sources = Sources::default();
        let long = "a".repeat(1 << 22);
        let source = sources.add("specs.yml", format!("one\n{long}bse{long}\n"));
        let at = 4 + (1 << 22);
        let span = |start, end| Span { source, start, end };
        let other = sources.add("images/b/requirements.txt", format!("{long}\n"));
        let elsewhere = Span {
            source: other,
            start: 1 << 21,
            end: (1 << 21) + 2,
        };
        let error = Diagnostic::error("unknown image `bse`")
            .at(span(at, at + 3), "no such image")
            .also(span(0, 3), "the first")
            .also(elsewhere, "used here")
            .help("do this");
        let text = render(&vec![error; 100], &sources, false);
        for place in [
            "--> specs.yml:2:4194305\n",
            "::: images/b/requirements.txt:1:2097153\n",
        ] {
            assert_eq!(text.matches(place).count(), 100, "{place}");
        }
        let marked = text.lines().filter(|line| line.contains("aaabseaaa"));
        assert_eq!(marked.count(), 100);
        let longest = text.lines().map(str::len).max();
        assert!(longest < Some(500), "{longest:?}");
    }

    proptest! {
        #[test]
        fn only_the_lines_of_the_places_are_needed(
            text in "[a \n]{0,4}(é|\r\n)?[a\n]{0,4}",
            places in prop::collection::vec((0..20_u32, 0..6_u32), 1..4),
        ) {
            let mut sources = Sources::default();
            let source = sources.add("specs.yml", &*text);
            let labels: Vec<Label> = places
                .iter()
                .map(|&(start, length)| Label {
                    span: Span { source, start, end: start + length },
                    text: "here".to_owned(),
                })
                .collect();
            let of_whole = labels.iter().flat_map(|label| {
                let mark = AnnotationKind::Context.span(mark(label, &text)).label("here");
                let lines = all_lines(label, &text).map(|lines| AnnotationKind::Visible.span(lines));
                std::iter::once(mark).chain(lines.filter(|_| label.span == labels[0].span))
            });
            let whole = Snippet::source(&text).path("specs.yml").annotations(of_whole);
            let title = || Group::with_title(Level::ERROR.primary_title("a fault"));
            let expected = Renderer::plain().render(&[title().element(whole)]).to_string();

            let marked: Vec<_> = labels.iter().map(|label| (label, AnnotationKind::Context)).collect();
            let groups = [snippet(title(), &marked, &sources, &mut Vec::new())];
            prop_assert_eq!(Renderer::plain().render(&groups).to_string(), expected);
        }
    }
}
