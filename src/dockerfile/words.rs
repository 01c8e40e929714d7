//! Variables in the words of a Dockerfile.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use regex::Regex;

/// Why a word has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unexpandable {
    /// A form that the frontend does not know, in this word.
    Form(String),
    /// `${NAME:?message}` of a variable that is not set.
    Required {
        /// The variable.
        name: String,
        /// The message.
        message: String,
    },
}

/// Replaces `$NAME`, `${NAME}` and the forms of it that the frontend of the engine knows (frontend/dockerfile/shell/lex.go of
/// BuildKit 0.32.2). A variable that is not set is empty. Quotes are kept.
pub fn expand(text: &str, vars: &BTreeMap<String, String>) -> Result<String, Unexpandable> {
    Lexer::new(text, vars, true).until(None, false)
}

/// Replaces variables as [`expand`] does, and removes quotes; in those of `'`, nothing is replaced.
pub fn expand_word(text: &str, vars: &BTreeMap<String, String>) -> Result<String, Unexpandable> {
    Lexer::new(text, vars, false).until(None, false)
}

/// Returns the variable that a text is: `$NAME` or `${NAME}`, and nothing else.
pub fn only_variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix('$')?;
    let inner = name.strip_prefix('{').map(|name| name.strip_suffix('}'));
    let name = inner.unwrap_or(Some(name))?;
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(is_name)).then_some(name)
}

/// Reads a word.
struct Lexer<'a> {
    text: &'a str,
    rest: Peekable<Chars<'a>>,
    vars: &'a BTreeMap<String, String>,
    keeps_quotes: bool,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, vars: &'a BTreeMap<String, String>, keeps_quotes: bool) -> Self {
        Self {
            text,
            rest: text.chars().peekable(),
            vars,
            keeps_quotes,
        }
    }

    fn unknown(&self) -> Unexpandable {
        Unexpandable::Form(self.text.to_owned())
    }

    /// Returns the value of the text up to a character, which is taken as well, or to the end.
    fn until(&mut self, end: Option<char>, keeps_escapes: bool) -> Result<String, Unexpandable> {
        let mut made = String::new();
        while let Some(found) = self.rest.next() {
            match found {
                _ if end == Some(found) => return Ok(made),
                '$' => made.push_str(&self.variable()?),
                '\'' if !self.keeps_quotes => loop {
                    match self.rest.next().ok_or_else(|| self.unknown())? {
                        '\'' => break,
                        inner => made.push(inner),
                    }
                },
                '"' if !self.keeps_quotes => self.quoted(&mut made, keeps_escapes)?,
                '\\' => {
                    made.extend(keeps_escapes.then_some('\\'));
                    made.extend(self.rest.next());
                }
                other => made.push(other),
            }
        }
        match end {
            Some(_) => Err(self.unknown()),
            None => Ok(made),
        }
    }

    /// Adds what is between quotes of `"`; the first one has been read.
    fn quoted(&mut self, made: &mut String, keeps_escapes: bool) -> Result<(), Unexpandable> {
        loop {
            match self.rest.next().ok_or_else(|| self.unknown())? {
                '"' => return Ok(()),
                '$' => made.push_str(&self.variable()?),
                '\\' => {
                    let is_escaped = |next: &char| matches!(next, '"' | '$' | '\\');
                    let escaped = self.rest.next_if(is_escaped);
                    made.extend((keeps_escapes || escaped.is_none()).then_some('\\'));
                    made.extend(escaped);
                }
                other => made.push(other),
            }
        }
    }

    /// Returns the value of a variable whose `$` has been read.
    fn variable(&mut self) -> Result<String, Unexpandable> {
        if self.rest.next_if_eq(&'{').is_none() {
            let name = self.name();
            let value = self.vars.get(&name).cloned().unwrap_or_default();
            return Ok(if name.is_empty() {
                "$".to_owned()
            } else {
                value
            });
        }
        if matches!(self.rest.peek(), None | Some('{' | '}' | ':')) {
            return Err(self.unknown());
        }
        let name = self.name();
        let is_set = self.vars.contains_key(&name);
        let value = self.vars.get(&name).cloned().unwrap_or_default();
        let is_strict = self.rest.next_if_eq(&':').is_some();
        let has_value = is_set && !(is_strict && value.is_empty());
        match self.rest.next() {
            Some('}') if !is_strict => Ok(value),
            Some('-') => {
                let word = self.until(Some('}'), false)?;
                Ok(if has_value { value } else { word })
            }
            Some('+') => {
                let word = self.until(Some('}'), false)?;
                Ok(if has_value { word } else { String::new() })
            }
            Some('?') => {
                let message = self.until(Some('}'), false)?;
                if has_value {
                    Ok(value)
                } else {
                    Err(Unexpandable::Required { name, message })
                }
            }
            Some(form @ ('#' | '%')) if !is_strict => {
                let pattern = self.until(Some('}'), true)?;
                let longest = pattern.strip_prefix(form);
                let is_longest = longest.is_some();
                let pattern = longest.unwrap_or(&pattern);
                let trimmed = if form == '#' {
                    without_start(&value, pattern, is_longest)
                } else {
                    // An expression finds the first match, and this is the last one.
                    let reversed: String = value.chars().rev().collect();
                    let trimmed = without_start(&reversed, &reversed_pattern(pattern), is_longest);
                    trimmed.map(|text| text.chars().rev().collect())
                };
                trimmed.ok_or_else(|| self.unknown())
            }
            Some('/') if !is_strict => {
                let is_all = self.rest.next_if_eq(&'/').is_some();
                let pattern = self.until(Some('/'), true)?;
                let replacement = self.until(Some('}'), true)?;
                let found = expression(&pattern, true, "").ok_or_else(|| self.unknown())?;
                let count = if is_all { 0 } else { 1 };
                let replacement = regex::NoExpand(&replacement);
                Ok(found.replacen(&value, count, replacement).into_owned())
            }
            _ => Err(self.unknown()),
        }
    }

    /// Reads a name: a word, a number, or the character of a special parameter of a shell.
    fn name(&mut self) -> String {
        let mut name = String::new();
        let special = |c: &char| "@*#?-$!".contains(*c);
        if let Some(found) = self.rest.next_if(special) {
            return found.to_string();
        }
        let is_number = self.rest.peek().is_some_and(char::is_ascii_digit);
        let is_part = |c: &char| {
            if is_number {
                c.is_ascii_digit()
            } else {
                c.is_alphanumeric() || *c == '_'
            }
        };
        while let Some(found) = self.rest.next_if(is_part) {
            name.push(found);
        }
        name
    }
}

/// Returns a text without its start that matches a pattern; `None` if the pattern is invalid.
fn without_start(text: &str, pattern: &str, is_longest: bool) -> Option<String> {
    let start = expression(pattern, is_longest, "^")?;
    let end = start.find(text).map_or(0, |found| found.end());
    Some(text[end..].to_owned())
}

/// Returns a pattern from its end to its start; escaped characters stay escaped.
fn reversed_pattern(pattern: &str) -> String {
    let mut parts = Vec::new();
    let mut rest = pattern.chars();
    while let Some(found) = rest.next() {
        let escaped = if found == '\\' { rest.next() } else { None };
        parts.push([Some(found), escaped]);
    }
    parts.into_iter().rev().flatten().flatten().collect()
}

/// Returns a pattern of a shell, of which `*` and `?` are known, as an expression; `None` if it is invalid.
fn expression(pattern: &str, is_longest: bool, start: &str) -> Option<Regex> {
    let mut made = start.to_owned();
    let mut rest = pattern.chars().peekable();
    while let Some(found) = rest.next() {
        match found {
            '*' => made.push_str(if is_longest { ".*" } else { ".*?" }),
            '?' => made.push('.'),
            // These have a meaning in `${…}`, and none in the pattern.
            '\\' if matches!(rest.peek(), Some('}' | '/')) => {}
            '\\' => {
                let escaped = rest.next().filter(|c| matches!(c, '*' | '?' | '\\'))?;
                made.extend(['\\', escaped]);
            }
            other => made.push_str(&regex::escape(&other.to_string())),
        }
    }
    Regex::new(&made).ok()
}

/// Returns the names of the variables in a text, also those in the words of `${NAME-word}`, and whether they have a word in
/// place of a missing value (`:-`, `-`, `:+`, `:?`).
pub fn variables(text: &str) -> Vec<(&str, bool)> {
    let mut names = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        let is_escape = rest[at..].starts_with('\\');
        rest = &rest[at + 1..];
        if is_escape {
            rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
            continue;
        }
        let braced = rest.strip_prefix('{');
        rest = braced.unwrap_or(rest);
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let has_default = braced.is_some() && after.starts_with(['-', ':']);
        names.extend((!name.is_empty()).then_some((name, has_default)));
        rest = after;
    }
    names
}

/// Whether a source of `ADD` is read by the engine from elsewhere: a URL, or a git repository as `USER@HOST:PATH`
/// (util/sshutil/scpurl.go of BuildKit 0.32.2).
pub fn is_remote(source: &str) -> bool {
    let is_part = |text: &str, marks: &str| {
        let is_mark = |c: char| c.is_ascii_alphanumeric() || marks.contains(c);
        !text.is_empty() && text.chars().all(is_mark)
    };
    let repository = source.split_once('@').is_some_and(|(user, rest)| {
        let host = rest.split_once(':').map(|(host, _)| host);
        is_part(user, "-_") && host.is_some_and(|host| is_part(host, "-."))
    });
    repository || source.contains("://")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words and what `ProcessWord` of shell/lex.go makes of them; `None`: an error.
    #[rustfmt::skip]
    const WORDS: &[(&str, Option<&str>)] = &[
        ("x$a-${a}y$none", Some("x1-1y")),
        ("${none:-z$a}${a:-z}", Some("z11")),
        ("${empty:-z}${empty-z}", Some("z")),
        ("${a:+z}${none+z}", Some("z")),
        ("\\$a", Some("$a")),
        ("${none:-${a}}", Some("1")),
        ("${tag#v}", Some("1.2.3-rc.1")),
        ("${tag#*.}", Some("2.3-rc.1")),
        ("${tag##*.}", Some("1")),
        ("${tag%.*}", Some("v1.2.3-rc")),
        ("${tag%%.*}", Some("v1")),
        ("${tag%-*}", Some("v1.2.3")),
        ("${tag#V}", Some("v1.2.3-rc.1")),
        ("${tag/./-}", Some("v1-2.3-rc.1")),
        ("${tag//./-}", Some("v1-2-3-rc-1")),
        ("${tag/v/}", Some("1.2.3-rc.1")),
        ("${path//\\//-}", Some("-usr-local-bin")),
        ("${path/local?bin/x}", Some("/usr/x")),
        ("${tag/*/x}", Some("x")),
        ("${none#x}", Some("")),
        ("${tag#\\v}", None),
        ("${tag#v?}", Some(".2.3-rc.1")),
        ("${tag%rc*}", Some("v1.2.3-")),
        ("${tag%%[0-9]}", Some("v1.2.3-rc.1")),
        ("${tag:#v}", None),
        ("${a^^}", None),
        ("${}", None),
        ("${:x}", None),
        ("${a", None),
        ("${a:x}", None),
        ("$", Some("$")),
        ("$$", Some("")),
        ("$1", Some("")),
        ("${1}", Some("")),
        ("$12x", Some("x")),
        ("'$a'", Some("$a")),
        ("\"$a b\"", Some("1 b")),
        ("\"\\$a\\x\"", Some("$a\\x")),
        ("a'b", None),
        ("a\"b", None),
        ("${none:-'$a'}", Some("$a")),
        ("${none:-\"$a\"}", Some("1")),
        ("${a/1}", None),
        ("${empty:?}", None),
        ("x\\", Some("x")),
        ("${tag#'v'}", Some("1.2.3-rc.1")),
        ("é$a", Some("é1")),
        ("$aé", Some("")),
        ("${tag%\\}}", Some("v1.2.3-rc.1")),
        ("${tag#*[.]}", Some("v1.2.3-rc.1")),
        ("$-a", Some("a")),
        ("${tag//[.]/x}", Some("v1.2.3-rc.1")),
        ("${tag//1.2/$a}", Some("v1.3-rc.1")),
    ];

    #[test]
    fn variables_are_replaced_as_by_the_frontend() {
        let vars = [
            ("a", "1"),
            ("empty", ""),
            ("tag", "v1.2.3-rc.1"),
            ("path", "/usr/local/bin"),
        ];
        let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let vars = BTreeMap::from(vars);
        for (word, expected) in WORDS {
            let value = expand_word(word, &vars);
            assert_eq!(value.ok().as_deref(), *expected, "{word}");
        }
        assert_eq!(expand("'$a'", &vars).as_deref(), Ok("'1'"));
    }

    #[test]
    fn urls_and_repositories_are_elsewhere() {
        for source in [
            "https://h.org/x",
            "git@h.org:team/x.git",
            "deploy@h:t/x.git#main",
            "a_b-c@10.0.0.1:x",
        ] {
            assert!(is_remote(source), "{source}");
        }
        for source in [
            "a.b@h.org:x.git",
            "h.org:x.git",
            "x@y",
            "@h:x",
            "a b@h:x",
            "x",
        ] {
            assert!(!is_remote(source), "{source}");
        }
    }
}
