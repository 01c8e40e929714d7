//! `.dockerignore`: which files of a context are left out.
//!
//! Files are left out as by the session of BuildKit 0.32.2: lines are read as in moby/patternmatcher 0.6.1
//! (ignorefile/ignorefile.go), a pattern is compiled as there (`compile` in patternmatcher.go), and folders are walked as
//! in tonistiigi/fsutil (filter.go). A glob of another crate does not do: `**` crosses `/` wherever it is, `[!a]` is a class with
//! `!`, and what a pattern matches depends on the folders above.

use regex::{Regex, RegexBuilder};

use crate::path::{LONGEST_PATH, clean};

/// The patterns of a `.dockerignore`.
#[derive(Clone, Debug, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
    /// Whether a folder that is left out is not looked into unless an exception is below it: no exception has a
    /// wildcard, but at its end.
    is_pruned: bool,
}

#[derive(Clone, Debug)]
struct Pattern {
    text: String,
    matcher: Matcher,
    /// Whether it takes files in again.
    is_exception: bool,
}

/// How paths are compared with a pattern.
#[derive(Clone, Debug)]
enum Matcher {
    Exact,
    /// The pattern without `**` at its end.
    Prefix(String),
    /// The pattern without `**` at its start.
    Suffix(String),
    Regex(Regex),
}

impl Ignore {
    /// Reads the text of a file. Returns the first pattern that is invalid as an error.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut patterns = Vec::new();
        for line in text.lines() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let line = line.trim();
            let pattern = Pattern::parse(line).ok_or_else(|| line.to_owned())?;
            patterns.push(pattern);
        }
        let mut exceptions = patterns.iter().filter(|pattern| pattern.is_exception);
        Ok(Self {
            is_pruned: !exceptions.any(|pattern| pattern.fixed().contains(WILDCARDS)),
            patterns,
        })
    }

    /// Whether a file is left out; its path is relative to the context.
    pub fn matches(&self, path: &str) -> bool {
        if path.is_empty() {
            return false;
        }
        // A pattern that matches a folder matches all that is in it.
        let mut matched = vec![false; self.patterns.len()];
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in ends {
            let folder = &path[..end];
            if self.matches_in(folder, &mut matched) && self.is_pruned && !self.has_below(folder) {
                return true;
            }
        }
        self.matches_in(path, &mut matched)
    }

    /// Whether a path is left out. `matched`: which patterns match the folder that it is in; becomes which match the path.
    fn matches_in(&self, path: &str, matched: &mut [bool]) -> bool {
        let mut is_left_out = false;
        for (pattern, matched) in self.patterns.iter().zip(matched) {
            // One that changes nothing is not compared, and does not count for what is in a folder.
            *matched = *matched || pattern.is_exception == is_left_out && pattern.matches(path);
            if *matched {
                is_left_out = !pattern.is_exception;
            }
        }
        is_left_out
    }

    /// Whether an exception names something in a folder.
    fn has_below(&self, folder: &str) -> bool {
        let below = format!("{folder}/");
        let mut exceptions = self.patterns.iter().filter(|pattern| pattern.is_exception);
        exceptions.any(|pattern| format!("{}/", pattern.fixed()).starts_with(&below))
    }
}

/// Characters that a path with wildcards has.
const WILDCARDS: [char; 6] = ['*', '[', ']', '?', '^', '\\'];

impl Pattern {
    /// Returns a pattern by its line; `None` if it is invalid.
    fn parse(line: &str) -> Option<Self> {
        let (written, is_exception) = match line.strip_prefix('!') {
            Some(rest) => (rest.trim(), true),
            None => (line, false),
        };
        let text = cleaned(written);
        let is_nothing = is_exception && matches!(text.as_str(), "" | "/");
        if is_nothing || text.len() > LONGEST_PATH || !is_valid(&text) {
            return None;
        }
        Some(Self {
            matcher: matcher(&text)?,
            text,
            is_exception,
        })
    }

    /// Whether it matches a path itself.
    fn matches(&self, path: &str) -> bool {
        match &self.matcher {
            Matcher::Exact => path == self.text,
            Matcher::Prefix(start) => path.starts_with(start),
            Matcher::Suffix(end) => path.ends_with(end) || end.strip_prefix('/') == Some(path),
            Matcher::Regex(regex) => regex.is_match(path),
        }
    }

    /// Returns it without wildcards at its end.
    fn fixed(&self) -> &str {
        let text = self.text.as_str();
        let text = text.strip_suffix("/**").unwrap_or(text);
        text.strip_suffix("/*").unwrap_or(text)
    }
}

/// Returns a path without empty parts, `.`, `..` after a name, and a `/` at its start. `/`, `.` and what begins with `..`
/// match no file.
fn cleaned(path: &str) -> String {
    if path.starts_with('/') {
        let cleaned = clean(path);
        return if cleaned.is_empty() {
            "/".to_owned()
        } else {
            cleaned
        };
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match (part, parts.last()) {
            ("" | ".", _) => {}
            ("..", Some(above)) if *above != ".." => {
                parts.pop();
            }
            (part, _) => parts.push(part),
        }
    }
    if parts.is_empty() && !path.is_empty() {
        return ".".to_owned();
    }
    parts.join("/")
}

/// Whether Go's `path.Match` takes a pattern: its classes are closed, and something follows each `\`.
fn is_valid(pattern: &str) -> bool {
    let mut rest = pattern.chars().peekable();
    while let Some(found) = rest.next() {
        let is_valid = match found {
            '\\' => rest.next().is_some(),
            '[' => {
                rest.next_if_eq(&'^');
                is_class(&mut rest)
            }
            _ => true,
        };
        if !is_valid {
            return false;
        }
    }
    true
}

/// Whether the ranges of a class follow, and its end.
fn is_class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let mut is_first = true;
    loop {
        if !is_first && rest.next_if_eq(&']').is_some() {
            return true;
        }
        is_first = false;
        let is_end = |rest: &mut std::iter::Peekable<std::str::Chars<'_>>| match rest.next() {
            Some('\\') => rest.next().is_some(),
            Some('-' | ']') | None => false,
            Some(_) => true,
        };
        let is_range = is_end(rest) && (rest.next_if_eq(&'-').is_none() || is_end(rest));
        if !is_range || rest.peek().is_none() {
            return false;
        }
    }
}

/// Returns how paths are compared with a pattern; `None` if it is invalid or too large.
fn matcher(pattern: &str) -> Option<Matcher> {
    let mut made = String::from("^");
    // Patterns with wildcards only at an end are compared as texts.
    let mut kind = Matcher::Exact;
    let mut is_regex = false;
    let mut rest = pattern.chars().peekable();
    let mut is_first = true;
    while let Some(found) = rest.next() {
        match found {
            '*' if rest.next_if_eq(&'*').is_some() => {
                rest.next_if_eq(&'/');
                let is_plain = !is_regex && matches!(kind, Matcher::Exact);
                if rest.peek().is_some() {
                    made.push_str("(.*/)?");
                    is_regex = true;
                } else if is_plain {
                    kind = Matcher::Prefix(pattern[..pattern.len() - 2].to_owned());
                } else {
                    made.push_str(".*");
                    is_regex = true;
                }
                if is_first {
                    kind = Matcher::Suffix(pattern[2..].to_owned());
                    is_regex = false;
                }
            }
            '*' | '?' => {
                made.push_str(if found == '*' { "[^/]*" } else { "[^/]" });
                is_regex = true;
            }
            '.' | '+' | '(' | ')' | '|' | '{' | '}' | '$' => made.extend(['\\', found]),
            '\\' => {
                made.extend(['\\', rest.next()?]);
                is_regex = true;
            }
            '[' | ']' => {
                made.push(found);
                is_regex = true;
            }
            _ => made.push(found),
        }
        is_first = false;
    }
    if !is_regex {
        return Some(kind);
    }
    made.push('$');
    let regex = RegexBuilder::new(&of_go(&made)?).build().ok()?;
    Some(Matcher::Regex(regex))
}

/// Returns an expression of Go's `regexp` as one of `regex`; `None` if it is invalid, or has an escape that a file name does
/// not need.
fn of_go(expression: &str) -> Option<String> {
    let mut made = String::new();
    let mut rest = expression.chars().peekable();
    while let Some(found) = rest.next() {
        match found {
            '\\' => made.push_str(&escape(rest.next()?)?),
            '[' => {
                made.push('[');
                made.extend(rest.next_if_eq(&'^'));
                let mut is_first = true;
                // A `]` at the start is a character of the class. Operators of classes are not known there.
                loop {
                    match rest.next()? {
                        ']' if !is_first => break,
                        '\\' => made.push_str(&escape(rest.next()?)?),
                        '[' if rest.peek() == Some(&':') => return None,
                        '-' if !is_first && rest.peek() != Some(&']') => made.push('-'),
                        other => made.push_str(&regex::escape(&other.to_string())),
                    }
                    is_first = false;
                }
                made.push(']');
            }
            ']' => made.push_str("\\]"),
            other => made.push(other),
        }
    }
    Some(made)
}

/// Returns an escaped character.
fn escape(found: char) -> Option<String> {
    let class = match found {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        's' => "[\\t\\n\\f\\r ]",
        'S' => "[^\\t\\n\\f\\r ]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        'b' => "(?-u:\\b)",
        'a' | 'f' | 't' | 'n' | 'r' | 'v' | 'A' | 'z' => return Some(format!("\\{found}")),
        _ if found.is_ascii_alphanumeric() => return None,
        _ if found.is_ascii() => return Some(regex::escape(&found.to_string())),
        _ => return None,
    };
    Some(class.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the Go packages that are named at the top: a list of files, and for each `.dockerignore` which of them it
    /// leaves out.
    const TABLE: &str = include_str!("../../tests/fixtures/dockerignore.tsv");

    #[test]
    fn files_are_left_out_as_by_the_session_of_the_engine() {
        let (files, rows) = TABLE.split_once('\n').expect("a list of files");
        let files: Vec<&str> = files.split(' ').collect();
        for row in rows.lines() {
            let mut columns = row.split('\t');
            let mut next = || columns.next().expect("three columns");
            let (text, verb, expected) = (next(), next(), next());
            let unescaped = text.replace("\\n", "\n");
            let Ok(ignore) = Ignore::parse(&unescaped) else {
                assert_eq!(verb, "invalid", "{text}");
                continue;
            };
            let is_listed = |path: &&str| ignore.matches(path) == (verb == "leaves");
            let listed: Vec<&str> = files.iter().copied().filter(is_listed).collect();
            assert_eq!(listed.join(" "), expected, "{text} {verb}");
        }
    }

    #[test]
    fn the_root_is_never_left_out() {
        for text in ["*", "**", ".", "/"] {
            assert!(!Ignore::parse(text).expect("valid").matches(""), "{text}");
        }
    }
}
