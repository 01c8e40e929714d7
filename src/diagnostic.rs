//! What is wrong in the user's files, on its place, in the words of the spec.
//!
//! `spec` and `stack` collect [`Diagnostic`]s; [`render`] shows them the way rustc does.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::source::{Sources, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// A place and what is to be said about it; the text may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    pub span: Span,
    pub text: String,
}

/// One thing that is wrong, with its places and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    /// The place to correct.
    pub primary: Option<Label>,
    /// Other places that explain it.
    pub others: Vec<Label>,
    pub help: Option<String>,
}

impl Diagnostic {
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            primary: None,
            others: Vec::new(),
            help: None,
        }
    }

    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Sets the place to correct.
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label {
            span,
            text: text.into(),
        });
        self
    }

    /// Adds a place that explains it.
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.others.push(Label {
            span,
            text: text.into(),
        });
        self
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }

    /// Adds "did you mean" if one of `known` is near `written`.
    pub fn did_you_mean<'a>(self, written: &str, known: impl IntoIterator<Item = &'a str>) -> Self {
        match nearest(written, known) {
            Some(near) => {
                let text = format!("did you mean `{near}`?");
                self.help(text)
            }
            None => self,
        }
    }
}

/// The name of `known` that `written` was probably meant to be.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (written.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, name)| name)
}

/// All of `list` as text, an empty line between two; sorted by place, warnings behind errors.
pub fn render(list: &[Diagnostic], sources: &Sources, color: bool) -> String {
    let renderer = match color {
        true => Renderer::styled(),
        false => Renderer::plain(),
    };
    let mut sorted: Vec<&Diagnostic> = list.iter().collect();
    sorted.sort_by_key(|d| (d.severity, d.primary.as_ref().map(|label| label.span)));
    let texts: Vec<String> = sorted
        .into_iter()
        .map(|diagnostic| {
            let mut text = renderer.render(&groups(diagnostic, sources)).to_string();
            text.push('\n');
            text
        })
        .collect();
    texts.join("\n")
}

fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a Sources) -> Vec<Group<'a>> {
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
    let snippet = |label: &'a Label, kind: AnnotationKind| {
        let file = sources.file(label.span.source);
        Snippet::source(&*file.text)
            .path(file.path.as_str())
            .annotation(annotation(label, kind))
    };
    let mut main = snippet(primary, AnnotationKind::Primary);
    for other in &diagnostic.others {
        if other.span.source == primary.span.source {
            main = main.annotation(annotation(other, AnnotationKind::Context));
        }
    }
    let mut group = title.element(main);
    for other in &diagnostic.others {
        if other.span.source != primary.span.source {
            group = group.element(snippet(other, AnnotationKind::Context));
        }
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    vec![group]
}

fn annotation(label: &Label, kind: AnnotationKind) -> annotate_snippets::Annotation<'_> {
    kind.span(label.span.start as usize..label.span.end as usize)
        .label(label.text.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_place_and_a_hint() {
        let text = "stack: x\nimages:\n  base:\n    base: debian:12\n  sci:\n    base: bse\n";
        let mut sources = Sources::default();
        let source = sources.add("specs.yml", text);
        let at = text.find("bse").expect("it is there") as u32;
        let span = Span {
            source,
            start: at,
            end: at + 3,
        };
        let error = Diagnostic::error("image `sci` is built on an unknown image `bse`")
            .at(span, "no image of that name")
            .did_you_mean("bse", ["base", "sci"]);
        assert_eq!(
            render(&[error], &sources, false),
            "error: image `sci` is built on an unknown image `bse`\n \
             --> specs.yml:6:11\n  \
             |\n\
             6 |     base: bse\n  \
             |           ^^^ no image of that name\n  \
             |\n  \
             = help: did you mean `base`?\n"
        );
    }

    #[test]
    fn only_near_names_are_proposed() {
        assert_eq!(nearest("bse", ["base", "sci"]), Some("base"));
        assert_eq!(nearest("tensor", ["base", "sci"]), None);
    }
}
