//! `.dockerignore`: which files of a context are left out.
//!
//! Patterns mean what they do in Docker (moby/patternmatcher 0.6.1, `MatchesOrParentMatches`): a pattern that matches a folder
//! matches what is in it, `!` takes files in again, and the last pattern that matches counts.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::path::{LONGEST_PATH, clean};

/// The patterns of a `.dockerignore`.
#[derive(Clone, Debug, Default)]
pub struct Ignore(Vec<Pattern>);

#[derive(Clone, Debug)]
struct Pattern {
    glob: GlobSet,
    /// Whether it takes files in again.
    includes: bool,
}

impl Ignore {
    /// Reads the text of a file. Returns the first pattern that is invalid as an error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim_start_matches('\u{feff}');
        let mut patterns = Vec::new();
        for line in text.lines() {
            if line.starts_with('#') {
                continue;
            }
            let line = line.trim();
            let (pattern, includes) = match line.strip_prefix('!') {
                Some(rest) => (rest.trim(), true),
                None => (line, false),
            };
            let cleaned = clean(pattern);
            if cleaned.is_empty() {
                continue;
            }
            if cleaned.len() > LONGEST_PATH {
                return Err(line.to_owned());
            }
            // Braces do not stand for alternatives here.
            let escaped = cleaned.replace('{', "\\{").replace('}', "\\}");
            let mut builder = GlobBuilder::new(&escaped);
            let builder = builder.literal_separator(true).backslash_escape(true);
            // Some are valid and too large, which shows when they are compiled.
            let glob = builder.build();
            let glob = glob.and_then(|glob| GlobSetBuilder::new().add(glob).build());
            let glob = glob.map_err(|_| line.to_owned())?;
            patterns.push(Pattern { glob, includes });
        }
        Ok(Self(patterns))
    }

    /// Whether a file is left out; its path is relative to the context.
    pub fn matches(&self, path: &str) -> bool {
        let mut is_matched = false;
        for pattern in &self.0 {
            if pattern.includes == is_matched && pattern.matches(path) {
                is_matched = !pattern.includes;
            }
        }
        is_matched
    }
}

impl Pattern {
    /// Whether it matches a path or a folder above it.
    fn matches(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(at, _)| at);
        let mut paths = ends.chain([path.len()]).map(|end| &path[..end]);
        paths.any(|path| self.glob.is_match(path))
    }
}
