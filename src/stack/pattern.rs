//! Patterns over paths and git refs.

use globset::{ErrorKind, GlobBuilder, GlobSet, GlobSetBuilder};

use crate::path::LONGEST_PATH;

/// A pattern such as `tree/**/*.py`; `*` and `?` do not match a `/`.
#[derive(Clone, Debug)]
pub struct Pattern(GlobSet);

impl Pattern {
    /// Reads a pattern; returns why it is invalid. One that is too large or too deeply nested is invalid, which
    /// shows when it is compiled.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > LONGEST_PATH {
            return Err(format!(
                "it is longer than a path can be, {LONGEST_PATH} bytes"
            ));
        }
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        let set = glob.and_then(|glob| GlobSetBuilder::new().add(glob).build());
        set.map(Self).map_err(|error| match error.kind() {
            // It quotes the whole expression that the pattern became.
            ErrorKind::Regex(_) => "it is too large or too deeply nested".to_owned(),
            kind => kind.to_string(),
        })
    }

    /// Whether it matches a whole path.
    pub fn is_match(&self, path: impl AsRef<std::path::Path>) -> bool {
        self.0.is_match(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_within_a_folder() {
        let pattern = Pattern::parse("a/*.{py,txt}").expect("valid");
        assert!(pattern.is_match("a/b.py") && !pattern.is_match("a/b/c.py"));
    }

    #[test]
    fn a_pattern_that_cannot_be_compiled_is_invalid() {
        let nested = format!("{}a{}", "{".repeat(1000), "}".repeat(1000));
        let large = "{a*,b*}?[!x]".repeat(300);
        assert!(Pattern::parse(&large).is_ok());
        let large = "{a*,b*}?[!x]".repeat(400);
        for text in [nested, large, "[".to_owned(), "{a".to_owned()] {
            assert!(Pattern::parse(&text).is_err(), "{}", &text[..1]);
        }
    }
}
