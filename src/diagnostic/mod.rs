//! Errors and warnings about the user's files: a [`Diagnostic`] has a message, places and a hint.
//!
//! `spec`, `stack` and `compile` collect diagnostics; [`render`] prints them in rustc's form. Messages
//! of one kind have one constructor ([`Diagnostic::expected`], [`Diagnostic::invalid`], …), so that
//! they have one form.

mod excerpt;
mod render;

use rapidfuzz::distance::osa::{Args, BatchComparator};

use crate::source::Span;

pub use render::render;

/// A longer name is compared with no other, characters: that takes the product of both lengths.
const LONGEST_NAME: usize = 100;

/// Longer lists of known names are not shown in a hint.
const MOST_NAMES: usize = 20;

/// Longer messages are cut, characters: what others write can be a line of megabytes.
const LONGEST_MESSAGE: usize = 1000;

/// How serious a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing can be done with the file.
    Error,
    /// Allowed, but probably not intended.
    Warning,
}

/// A place and the text shown at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The marked bytes.
    pub span: Span,
    /// What was found there; empty to mark the place only.
    pub text: String,
}

/// One fault, with its places and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it is an error.
    pub severity: Severity,
    /// The fault, in lower case, with names in backticks and without a full stop.
    pub message: String,
    /// The place to correct.
    pub primary: Option<Label>,
    /// Other places that explain it.
    pub others: Vec<Label>,
    /// What to do, as an instruction.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Returns an error with this message and no place.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: shortened(message.into()),
            primary: None,
            others: Vec::new(),
            help: None,
        }
    }

    /// Returns a warning with this message and no place.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// A value of the wrong type: "`vars` must be a mapping", "found a list".
    pub fn expected(what: &str, expected: &str, span: Span, found: &str) -> Self {
        Self::error(format!("{what} must be {expected}")).at(span, format!("found {found}"))
    }

    /// A value that cannot be read as what it should be: "invalid port `eight`" and the reason.
    pub fn invalid(kind: &str, text: &str, span: Span, reason: impl Into<String>) -> Self {
        Self::error(format!("invalid {kind} `{text}`")).at(span, reason)
    }

    /// A name that does not exist: "unknown image `grund`", with the nearest of `known` as the hint,
    /// or all of them.
    pub fn unknown<'a>(
        kind: &str,
        name: &str,
        span: Span,
        known: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let known: Vec<&str> = known.into_iter().collect();
        let problem =
            Self::error(format!("unknown {kind} `{name}`")).at(span, format!("no such {kind}"));
        match nearest(name, known.iter().copied()) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None if known.is_empty() || known.len() > MOST_NAMES => problem,
            None => problem.help(format!("use one of: {}", known.join(", "))),
        }
    }

    /// Something that is there for the second time: "duplicate key `word`".
    pub fn duplicate(kind: &str, name: &str, second: Span, first: Span) -> Self {
        Self::error(format!("duplicate {kind} `{name}`"))
            .at(second, "defined again here")
            .also(first, "first defined here")
    }

    /// A required key that is not there: "missing `packages` in `apt`".
    pub fn missing(key: &str, owner: &str, span: Span) -> Self {
        Self::error(format!("missing `{key}` in {owner}")).at(span, format!("no `{key}:` here"))
    }

    /// Something without an effect: "unused `requirements` in suite `own`" and the reason.
    pub fn unused(what: &str, span: Span, reason: impl Into<String>) -> Self {
        Self::error(format!("unused {what}")).at(span, reason)
    }

    /// Two keys of which only one can be there: "`skip` and `only` cannot be used together in
    /// variant `a`".
    pub fn conflict(first: (&str, Span), second: (&str, Span), owner: &str) -> Self {
        Self::error(format!(
            "`{}` and `{}` cannot be used together in {owner}",
            first.0, second.0
        ))
        .at(second.1, format!("conflicts with `{}`", first.0))
        .also(first.1, format!("`{}` is set here", first.0))
    }

    /// Things that depend on each other: "dependency cycle: a → b → a". `members` are names and the
    /// place at which each refers to the next.
    pub fn cycle(kind: &str, members: &[(&str, Span)]) -> Self {
        let mut names: Vec<&str> = members.iter().map(|(name, _)| *name).collect();
        names.extend(members.first().map(|(name, _)| *name));
        let mut problem = Self::error(format!("{kind} cycle: {}", names.join(" → ")));
        for (pair, (_, span)) in names.windows(2).zip(members) {
            let text = format!("`{}` depends on `{}`", pair[0], pair[1]);
            problem = match problem.primary {
                None => problem.at(*span, text),
                Some(_) => problem.also(*span, text),
            };
        }
        problem
    }

    /// Sets the place to correct.
    pub fn at(mut self, span: Span, text: impl Into<String>) -> Self {
        self.primary = Some(Label {
            span,
            text: shortened(text.into()),
        });
        self
    }

    /// Adds a place that explains it.
    pub fn also(mut self, span: Span, text: impl Into<String>) -> Self {
        self.others.push(Label {
            span,
            text: shortened(text.into()),
        });
        self
    }

    /// Sets the hint.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(shortened(text.into()));
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

/// Returns a text without its middle if it is too long.
fn shortened(text: String) -> String {
    if text.len() <= LONGEST_MESSAGE {
        return text;
    }
    let half = LONGEST_MESSAGE / 2;
    let start = text.floor_char_boundary(half);
    let end = text.floor_char_boundary(text.len() - half);
    format!("{} … {}", &text[..start], &text[end..])
}

/// Returns the name of `known` that `written` probably stands for: one with other capitals, or one with few other characters.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = written.chars().count();
    if length > LONGEST_NAME {
        return None;
    }
    let limit = (length / 3).max(1);
    // A file has up to a thousand errors, and a stack thousands of names: each pair takes time for the length of the one name,
    // and not for the product of both.
    let comparator = BatchComparator::new(written.chars());
    let args = Args::default().score_cutoff(limit);
    known
        .into_iter()
        .filter_map(|name| {
            let distance = if name.eq_ignore_ascii_case(written) {
                Some(0)
            } else {
                comparator.distance_with_args(name.chars(), &args)
            };
            Some((distance?, name))
        })
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;

    #[test]
    fn a_message_of_megabytes_is_cut() {
        let long = "é".repeat(1 << 20);
        let problem = Diagnostic::invalid("pattern", &long, span(0), long.as_str()).help(&long);
        let label = problem.primary.as_ref().map_or("", |label| &label.text);
        let help = problem.help.as_deref().unwrap_or_default();
        for text in [problem.message.as_str(), label, help] {
            assert!(
                text.len() <= LONGEST_MESSAGE + 8 && text.contains(" … "),
                "{}",
                text.len()
            );
        }
    }

    /// The message, its labels in order and the hint, a line each.
    fn lines(diagnostic: &Diagnostic) -> String {
        let mut lines = vec![diagnostic.message.clone()];
        let labels = diagnostic.primary.iter().chain(&diagnostic.others);
        lines.extend(labels.map(|label| format!("{} {}", label.span.start, label.text)));
        lines.extend(diagnostic.help.iter().map(|help| format!("help: {help}")));
        lines.join("\n")
    }

    fn span(start: u32) -> Span {
        Span {
            source: Sources::default().add("specs.yml", ""),
            start,
            end: start,
        }
    }

    #[test]
    fn messages_of_one_kind_have_one_form() {
        let all = [
            Diagnostic::expected("`vars`", "a mapping", span(1), "a list"),
            Diagnostic::invalid("port", "x", span(1), "use a number"),
            Diagnostic::unknown("image", "bse", span(1), ["base", "sci"]),
            Diagnostic::unknown("image", "zzz", span(1), ["base", "sci"]),
            Diagnostic::unknown("image", "zzz", span(1), []),
            Diagnostic::duplicate("key", "a", span(2), span(1)),
            Diagnostic::missing("packages", "`apt`", span(1)),
            Diagnostic::unused("`ready`", span(1), "only used with `serve`"),
            Diagnostic::conflict(("skip", span(1)), ("only", span(2)), "variant `a`"),
            Diagnostic::cycle("dependency", &[("a", span(1)), ("b", span(2))]),
        ];
        let all: Vec<String> = all.iter().map(lines).collect();
        insta::assert_snapshot!(all.join("\n\n"), @r"
        `vars` must be a mapping
        1 found a list

        invalid port `x`
        1 use a number

        unknown image `bse`
        1 no such image
        help: did you mean `base`?

        unknown image `zzz`
        1 no such image
        help: use one of: base, sci

        unknown image `zzz`
        1 no such image

        duplicate key `a`
        2 defined again here
        1 first defined here

        missing `packages` in `apt`
        1 no `packages:` here

        unused `ready`
        1 only used with `serve`

        `skip` and `only` cannot be used together in variant `a`
        2 conflicts with `skip`
        1 `skip` is set here

        dependency cycle: a → b → a
        1 `a` depends on `b`
        2 `b` depends on `a`
        ");
    }

    #[test]
    fn only_near_names_are_proposed() {
        assert_eq!(nearest("bse", ["base", "sci"]), Some("base"));
        assert_eq!(nearest("tensor", ["base", "sci"]), None);
        assert_eq!(nearest("baes", ["bases", "base"]), Some("base"));
        assert_eq!(nearest("xbc", ["abcd", "b", "bbc", "abc"]), Some("abc"));
        assert_eq!(nearest("naïv", ["naive", "naïve"]), Some("naïve"));
        let (long, longer) = ("a".repeat(30_000), "a".repeat(30_001));
        assert_eq!(nearest(&long, [longer.as_str()]), None);
    }
}
