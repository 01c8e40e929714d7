//! Files that a Dockerfile names and its context lacks.

use super::Dockerfile;
use super::read::Reading;
use crate::diagnostic::{Diagnostic, Severity};
use crate::dockerfile::{Uses, Word};
use crate::spec::tree::Lost;
use crate::stack::paths::Paths;

impl Reading<'_> {
    /// Adds the files that are not in the context: an error of the image on the line that names the file. If the platform of
    /// the engine chooses the stages, it is a warning.
    pub fn missing(&self, made: &mut Dockerfile, uses: &Uses) {
        let paths = Paths {
            files: self.step.paths.files,
            folder: made.context.clone(),
        };
        for word in &uses.required {
            if !has(made, &word.value)
                && let Some(mut problem) = self.fault(made, &paths, word)
            {
                if uses.chosen_by_platform {
                    problem.severity = Severity::Warning;
                    self.step.reader.report(problem.clone());
                }
                made.missing.entry(word.value.clone()).or_insert(problem);
            }
        }
    }

    /// Returns why a file is not in the context; `None` if it can be there by a link.
    fn fault(&self, made: &Dockerfile, paths: &Paths, word: &Word) -> Option<Diagnostic> {
        let (path, span) = (word.value.as_str(), self.span(&word.range));
        match paths.files.follow(&made.context, path) {
            Err(lost @ (Lost::Missing | Lost::LeftOut { .. })) => {
                Some(paths.lost(path, span, &lost))
            }
            Ok(_) if made.ignored.contains(path) => {
                let ignore = made.ignore.as_ref()?;
                let message = format!("`{}/{path}` is not part of the context", made.context);
                let problem = Diagnostic::error(message).at(span, format!("ignored by `{ignore}`"));
                Some(problem.help(format!(
                    "change `{ignore}`, or remove the path from this line"
                )))
            }
            Ok(_) | Err(_) => None,
        }
    }
}

/// Whether a file, or a folder with something in it, is sent.
fn has(made: &Dockerfile, path: &str) -> bool {
    let below = format!("{path}/");
    let mut inside = made.files.range(below.clone()..);
    made.files.contains_key(path)
        || inside
            .next()
            .is_some_and(|(path, _)| path.starts_with(&below))
}

#[cfg(test)]
mod tests {
    use crate::diagnostic::Severity;

    #[test]
    fn a_file_that_is_not_in_the_context_is_an_error_on_its_line() {
        let text = "FROM debian:12 AS unused\nCOPY no-stage /\n\
                    FROM debian:12 AS build\nADD [\"no such\", \"/\"]\n\
                    FROM debian:12\nONBUILD COPY trigger /\n\
                    COPY --from=build /elsewhere /\n\
                    COPY there.txt folder ./folder/ /x/\nCOPY . /all\n\
                    COPY thers.txt other/*.txt $NAME https://example.org/x /x/\n\
                    COPY hidden.txt kept/in /x/\nCOPY ../a ignored.txt link/x /x/\n\
                    RUN --mount=type=bind,source=wheels,target=/w true\n\
                    COPY <<EOF /doc\ntext\nEOF\n";
        let files = [
            ("images/a/Dockerfile", text),
            ("images/a/there.txt", ""),
            ("images/a/hidden.txt", ""),
            ("images/a/kept/in", ""),
            ("images/a/folder/x", ""),
            ("images/a/.dockerignore", "hidden.txt\nkept\n!kept/in\n"),
        ];
        let spec = "stack: x\nimages:\n  a: { dockerfile: Dockerfile }\n";
        let stack = crate::testing::stack_with(spec, &files);
        assert!(stack.warnings().is_empty());
        let file = stack.images()[0].dockerfile().expect("it has one");
        let mut shown: Vec<(usize, &str)> = file
            .missing
            .values()
            .map(|it| {
                assert_eq!(it.severity, Severity::Error);
                let span = it.primary.as_ref().expect("it has a place").span;
                let line = text[..span.start as usize].matches('\n').count() + 1;
                (line, it.message.as_str())
            })
            .collect();
        shown.sort();
        let expected = [
            (4, "missing file `images/a/no such`"),
            (10, "missing file `images/a/thers.txt`"),
            (11, "`images/a/hidden.txt` is not part of the context"),
            (12, "missing file `images/a/ignored.txt`"),
            (12, "missing file `images/a/link/x`"),
            (13, "missing file `images/a/wheels`"),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_file_of_a_stage_that_the_platform_chooses_is_a_warning() {
        let text = "FROM scratch AS final-amd64\nFROM scratch AS final-arm64\nCOPY x /\nFROM final-${TARGETARCH}\n";
        let spec = "stack: x\nimages:\n  a: { dockerfile: Dockerfile }\n";
        let stack = crate::testing::stack_with(spec, &[("images/a/Dockerfile", text)]);
        let warnings: Vec<&str> = stack.warnings().iter().map(|it| &*it.message).collect();
        assert_eq!(warnings, ["missing file `images/a/x`"]);
    }

    #[test]
    fn a_file_that_is_not_named_is_missing_at_the_key() {
        let spec = "stack: x\nimages:\n  a: { dockerfile: { args: { X: y } } }\n";
        let shown = crate::testing::parse(spec, &[], &crate::stack::Overrides::default())
            .expect_err("no such file");
        assert!(
            shown.contains("missing file `images/a/Dockerfile`"),
            "{shown}"
        );
        assert!(shown.contains("specs.yml:3:8"), "{shown}");
    }
}
