//! Commands of a shell that are joined by `&&`.
//!
//! Everything that needs more of the grammar of a shell is not taken apart: the text stays as it is.

use super::value::{Environment, Part, Value, Vars};

/// Words after which a command is a compound one.
const KEYWORDS: [&str; 14] = [
    "if", "then", "else", "elif", "fi", "for", "do", "done", "while", "until", "case", "esac",
    "function", "select",
];

/// Commands that change the shell itself, so that the commands after them depend on it.
const OF_THE_SHELL: [&str; 22] = [
    "cd", "export", "set", "unset", "source", ".", "umask", "trap", "alias", "shopt", "ulimit",
    "exec", "pushd", "popd", "eval", "exit", "return", "readonly", "declare", "local", "typeset",
    "read",
];

/// Returns the commands of a text that is a chain of `&&`, without further blanks; `None` if it is anything else.
pub fn chain(text: &str) -> Option<Vec<String>> {
    let mut commands = Vec::new();
    let mut command = String::new();
    let mut scanner = Scanner::new(text);
    while let Some((found, is_plain)) = scanner.next() {
        let rest = scanner.rest;
        match found {
            _ if !is_plain => command.push(found),
            '&' if rest.starts_with('&') => {
                scanner.next();
                commands.push(std::mem::take(&mut command));
            }
            '&' if command.ends_with(['>', '<']) || rest.starts_with('>') => command.push('&'),
            '|' if rest.starts_with('|') => return None,
            '&' | ';' | '\n' | '`' => return None,
            '<' if rest.starts_with('<') => return None,
            '#' if command.is_empty() || command.ends_with(' ') => return None,
            blank if blank.is_whitespace() => {
                if !command.is_empty() && !command.ends_with(' ') {
                    command.push(' ');
                }
            }
            _ => command.push(found),
        }
    }
    commands.push(command);
    let commands: Vec<String> = commands.iter().map(|text| text.trim().to_owned()).collect();
    let is_simple = |text: &String| {
        let mut words = text.split(' ');
        let first = words.next().unwrap_or_default();
        !first.is_empty() && first != "{" && !text.split(' ').any(|word| KEYWORDS.contains(&word))
    };
    (!scanner.is_open() && commands.iter().all(is_simple)).then_some(commands)
}

/// A simple command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simple {
    /// Its text, without redirections.
    pub command: String,
    /// The files that its output is written to.
    pub targets: Vec<String>,
    in_target: bool,
}

impl Simple {
    fn push(&mut self, found: char) {
        match self.targets.last_mut() {
            Some(target) if self.in_target => target.push(found),
            _ => self.command.push(found),
        }
    }

    /// Ends a word; one that has not begun goes on.
    fn end_word(&mut self) {
        if !self.in_target {
            self.command.push(' ');
        } else if self.targets.last().is_some_and(|it| !it.is_empty()) {
            self.in_target = false;
            self.command.push(' ');
        }
    }

    /// Begins the file after a `>`, and removes its number from the command.
    fn begin_target(&mut self) {
        if !self.in_target {
            let command = self.command.trim_end_matches(|c: char| c.is_ascii_digit());
            if command.is_empty() || command.ends_with(' ') {
                self.command.truncate(command.len());
            }
        }
        self.in_target = true;
        self.targets.push(String::new());
    }

    /// Removes what does not name a file: the numbers of `2>&1`.
    fn finish(mut self) -> Self {
        let is_file = |target: &String| !target.chars().all(|c| c.is_ascii_digit() || c == '-');
        self.targets.retain(is_file);
        self.in_target = false;
        self.command.truncate(self.command.trim_end().len());
        self
    }
}

/// Returns the simple commands of a text that are joined by `&&`, `||`, `;`, `|` or lines; one of a compound command begins with
/// its keyword. `None` if there may be others.
pub fn simple_commands(text: &str) -> Option<Vec<Simple>> {
    let mut commands = Vec::new();
    let mut command = Simple::default();
    let mut scanner = Scanner::new(text);
    while let Some((found, is_plain)) = scanner.next() {
        let rest = scanner.rest;
        let begins_word = command.command.is_empty() || command.command.ends_with(' ');
        match found {
            _ if !is_plain => command.push(found),
            '>' => {
                command.begin_target();
                if rest.starts_with(['>', '|', '&']) {
                    scanner.next();
                }
            }
            '&' if rest.starts_with('>') => {}
            '&' | '|' | ';' | '\n' => {
                if matches!(found, '&' | '|') && rest.starts_with(found) {
                    scanner.next();
                } else if found == '&' {
                    return None;
                }
                commands.push(std::mem::take(&mut command).finish());
            }
            '`' => return None,
            '<' if rest.starts_with(['<', '&', '>']) => return None,
            '<' => command.push(' '),
            '#' if begins_word => return None,
            blank if blank.is_whitespace() => command.end_word(),
            _ => command.push(found),
        }
    }
    commands.push(command.finish());
    commands.retain(|it| !it.command.is_empty() || !it.targets.is_empty());
    (!scanner.is_open()).then_some(commands)
}

/// Reads a text one character after the other, and knows which ones are in quotes or parentheses.
struct Scanner<'a> {
    rest: &'a str,
    quote: Option<char>,
    is_escaped: bool,
    depth: usize,
}

impl<'a> Scanner<'a> {
    fn new(rest: &'a str) -> Self {
        Self {
            rest,
            quote: None,
            is_escaped: false,
            depth: 0,
        }
    }

    fn is_open(&self) -> bool {
        self.quote.is_some() || self.is_escaped || self.depth > 0
    }

    /// Returns the next character, and whether it is outside of quotes and parentheses.
    fn next(&mut self) -> Option<(char, bool)> {
        let found = self.rest.chars().next()?;
        self.rest = &self.rest[found.len_utf8()..];
        if std::mem::take(&mut self.is_escaped) {
            return Some((found, false));
        }
        match (found, self.quote) {
            ('\\', None | Some('"')) => self.is_escaped = true,
            (end, Some(begun)) if end == begun => self.quote = None,
            (_, Some(_)) => {}
            ('\'' | '"', None) => self.quote = Some(found),
            ('(', None) => self.depth += 1,
            (')', None) => self.depth = self.depth.saturating_sub(1),
            (_, None) => return Some((found, self.depth == 0)),
        }
        Some((found, false))
    }
}

/// Returns the words of a simple command with their variables replaced; `None` if the shell does more with them.
pub fn words(command: &str, env: &Environment, vars: &Vars) -> Option<Vec<Value>> {
    let mut list = Vec::new();
    let mut word: Option<Value> = None;
    let mut quote = None;
    let mut rest = command;
    while let Some(found) = rest.chars().next() {
        rest = &rest[found.len_utf8()..];
        match (found, quote) {
            (end, Some(begun)) if end == begun => quote = None,
            ('$', None | Some('"')) => {
                let (value, after) = variable(rest, env)?;
                let text = value.resolved(vars)?;
                let is_split = text.contains(|c: char| c.is_whitespace() || "*?[".contains(c));
                if quote.is_none() && (text.is_empty() || is_split) {
                    return None;
                }
                word.get_or_insert_default().extend(&value);
                rest = after;
            }
            ('\\', _) if quote != Some('\'') => return None,
            ('`', _) if quote != Some('\'') => return None,
            (_, Some(_)) => word
                .get_or_insert_default()
                .push(Part::Text(found.to_string())),
            ('\'' | '"', None) => {
                quote = Some(found);
                word.get_or_insert_default();
            }
            ('|' | '<' | '>' | '(' | ')' | '{' | '}' | ';' | '&' | '?', None) => return None,
            ('~', None) if word.is_none() => return None,
            (blank, None) if blank.is_whitespace() => list.extend(word.take()),
            (_, None) => word
                .get_or_insert_default()
                .push(Part::Text(found.to_string())),
        }
    }
    list.extend(word);
    quote.is_none().then_some(list)
}

/// Returns the value of a variable after its `$`, and what follows it; only those that the Dockerfile sets.
fn variable<'t>(rest: &'t str, env: &Environment) -> Option<(Value, &'t str)> {
    let braced = rest.strip_prefix('{');
    let inner = braced.unwrap_or(rest);
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = inner.find(|c| !is_part(c)).unwrap_or(inner.len());
    let (name, after) = inner.split_at(end);
    let after = match braced {
        Some(_) => after.strip_prefix('}')?,
        None => after,
    };
    Some((env.get(name)?.clone(), after))
}

/// Returns the name of an option, and the value that is written with it: `--name=value`.
pub fn split_option(text: &str) -> (&str, Option<&str>) {
    match text.split_once('=') {
        Some((name, value)) if name.starts_with("--") => (name, Some(value)),
        _ => (text, None),
    }
}

/// Whether a command changes the shell for those after it.
pub fn changes_shell(command: &str) -> bool {
    let first = command.split(' ').next().unwrap_or_default();
    let is_assignment = command.split(' ').all(|word| word.contains('='));
    OF_THE_SHELL.contains(&first) || is_assignment || first.ends_with("()")
}

/// Whether a text could go on after a command of it has failed, which `-e` prevents.
pub fn goes_on_after_failures(text: &str, shell: Option<&[String]>) -> bool {
    let sets_errexit = |word: &str| {
        let is_short = word.starts_with('-') && !word.starts_with("--") && word.contains('e');
        is_short || word == "errexit"
    };
    let of_shell = shell.unwrap_or_default();
    let of_shell = of_shell.iter().any(|word| sets_errexit(word));
    let trimmed = text.trim_start();
    let first = trimmed.split(['\n', ';', '&']).next().unwrap_or_default();
    let mut words = first.split_whitespace();
    let of_text = words.next() == Some("set") && words.any(sets_errexit);
    if of_shell || of_text {
        return false;
    }
    let mut scanner = Scanner::new(text);
    let has_substitution = text.contains("$(") || text.contains('`');
    while let Some((found, _)) = scanner.next() {
        let is_literal = scanner.is_escaped || scanner.quote == Some('\'');
        let is_quoted = scanner.quote == Some('"') && !has_substitution;
        if matches!(found, ';' | '\n') && !is_literal && !is_quoted {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_are_taken_apart() {
        let parts = |text: &str| chain(text).map(|parts| parts.join("|"));
        assert_eq!(
            parts("a  b &&   c 'd && e'"),
            Some("a b|c 'd && e'".to_owned())
        );
        assert_eq!(
            parts("a >/x 2>&1 && (b; c) && $(d && e)"),
            Some("a >/x 2>&1|(b; c)|$(d && e)".to_owned())
        );
        assert_eq!(
            parts("echo \"a\\\" && b\" && c"),
            Some("echo \"a\\\" && b\"|c".to_owned())
        );
        for text in [
            "a; b",
            "a || b",
            "a & b",
            "if a && b",
            "a && # b",
            "a 'b",
            "a <<E",
            "a\nb",
            "a &&",
        ] {
            assert_eq!(chain(text), None, "{text}");
        }
    }

    #[test]
    fn simple_commands_have_the_files_that_they_write() {
        let shown = |text: &str| {
            let commands = simple_commands(text)?.into_iter();
            let commands = commands.map(|it| format!("{} > {}", it.command, it.targets.join(" ")));
            Some(commands.collect::<Vec<_>>().join("|"))
        };
        for (text, expected) in [
            ("a b>/x 2>&1 && c", "a b > /x|c > "),
            (
                "a >> '/x y' d; b 2>/dev/null",
                "a  d > '/x y'|b > /dev/null",
            ),
            (
                "a &>x || b | c\nif d; then e; fi",
                "a > x|b > |c > |if d > |then e > |fi > ",
            ),
            (">x a", "a > x"),
            ("a <x", "a  x > "),
        ] {
            let found = shown(text).map(|it| it.replace("| ", "|").trim_start().to_owned());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        }
        for text in ["a & b", "a <<E", "a `b`", "a # b", "a 'b"] {
            assert_eq!(simple_commands(text), None, "{text}");
        }
    }

    #[test]
    fn a_text_that_goes_on_after_failures_is_known() {
        for text in [
            "a; b",
            "a\nb",
            "for x in a; do b; done",
            "a && (b; c)",
            "a \"$(b; c)\"",
        ] {
            assert!(goes_on_after_failures(text, None), "{text}");
        }
        for text in [
            "a && b",
            "set -e; a; b",
            "set -eux && a; b",
            "a | b",
            "a && (b && c)",
            "a || b",
            "a 'b;c'",
        ] {
            assert!(!goes_on_after_failures(text, None), "{text}");
        }
        let shell = ["bash", "-ec"].map(str::to_owned);
        assert!(!goes_on_after_failures("a; b", Some(&shell)));
    }

    #[test]
    fn words_have_the_values_of_the_dockerfile() {
        let env = [
            ("A".to_owned(), Value::text("x y")),
            ("B".to_owned(), Value::text("b")),
        ]
        .into();
        let texts = |text: &str| {
            let list = words(text, &env, &Vars::new())?;
            list.iter()
                .map(|word| word.resolved(&Vars::new()))
                .collect::<Option<Vec<_>>>()
        };
        assert_eq!(
            texts("a \"$A\" ${B}c 'd$B'"),
            Some(["a", "x y", "bc", "d$B"].map(str::to_owned).to_vec())
        );
        for text in [
            "a $A", "a $C", "a | b", "a >b", "a $(b)", "a {b,c}", "~/x", "a \"b",
        ] {
            assert_eq!(texts(text), None, "{text}");
        }
    }
}
