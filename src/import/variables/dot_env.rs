//! The file `.env` beside a compose file, which has values of its variables.

use std::collections::BTreeMap;

use super::{Interpolated, of_compose};

/// The name of the file.
pub const NAME: &str = ".env";

/// Parts of names whose values are secrets.
const SECRET: [&str; 7] = [
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "TOKEN",
    "CREDENTIAL",
    "PRIVATE",
    "APIKEY",
];

/// The variables of a `.env`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DotEnv(BTreeMap<String, String>);

impl DotEnv {
    /// Reads the file as compose does (`dotenv/parser.go` of compose-go 2.9.0): `NAME=VALUE`, with quotes and comments. A value with
    /// variables that are not in the file is left out: it is that of an environment.
    pub fn read(text: &str) -> Self {
        let mut found = Self::default();
        let mut rest = text;
        while let Some((name, after)) = next_name(rest) {
            let (value, after) = read_value(after);
            rest = after;
            let value = match value {
                Value::Literal(value) => Some(value),
                Value::Template(value) => match of_compose(&value, &found) {
                    Interpolated::Value(value, _) => Some(value),
                    Interpolated::Unset(_) => None,
                    Interpolated::Secret(_) => Some(value),
                },
            };
            found.0.extend(value.map(|value| (name.to_owned(), value)));
        }
        found
    }

    /// Returns the value of a variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Whether the value of a variable seems to be a secret, which must not be written into a spec.
    pub fn is_secret(&self, name: &str) -> bool {
        let name = name.to_uppercase();
        let is_key = name == "KEY" || name.ends_with("_KEY");
        is_key || SECRET.iter().any(|part| name.contains(part))
    }
}

/// A value as it is written.
enum Value {
    Literal(String),
    /// Its variables are not replaced yet.
    Template(String),
}

/// Returns the next name that has a value, and the text from its value on.
fn next_name(text: &str) -> Option<(&str, &str)> {
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let end = rest.find('\n').unwrap_or(rest.len());
        let line = rest[..end].trim_end();
        if line.is_empty() && end == rest.len() {
            return None;
        }
        let own = line.strip_prefix("export ").unwrap_or(line);
        let name_end = own.find(['=', ':']).filter(|_| !line.starts_with('#'));
        // A name without a value has that of the environment.
        let Some(at) = name_end else {
            rest = &rest[end..];
            continue;
        };
        let start = line.len() - own.len() + at + 1;
        return Some((own[..at].trim(), &rest[start..]));
    }
}

/// Reads a value; returns it with the text after it.
fn read_value(text: &str) -> (Value, &str) {
    let text = text.trim_start_matches([' ', '\t']);
    if let Some(rest) = text.strip_prefix('\'')
        && let Some(end) = rest.find('\'')
    {
        return (
            Value::Literal(rest[..end].to_owned()),
            after_line(&rest[end + 1..]),
        );
    }
    if let Some(rest) = text.strip_prefix('"')
        && let Some((value, rest)) = double_quoted(rest)
    {
        return (Value::Template(value), after_line(rest));
    }
    let end = text.find('\n').unwrap_or(text.len());
    let line = &text[..end];
    let comment = line
        .find(" #")
        .or_else(|| line.starts_with('#').then_some(0));
    let value = line[..comment.unwrap_or(line.len())].trim_end();
    (Value::Template(value.to_owned()), &text[end..])
}

/// Returns a value in double quotes, and the text after it.
fn double_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                '$' => value.push_str("$$"),
                escaped @ ('"' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

fn after_line(text: &str) -> &str {
    text.find('\n').map_or("", |end| &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_compose_reads_them() {
        let text = "# A=0\nA=1\n export B = two words # a comment\nC='$A # x'\nD=\"x\\n${A}\\$\"\nE=\nF: yaml\nINHERITED\nG=${A}-${B:-x}\nH=$MISSING\nI=a#b\nJ=\"more\nlines\" # x\nK=${A\nA=2\nL=\"open\n";
        let env = DotEnv::read(text);
        for (name, expected) in [
            ("A", Some("2")),
            ("B", Some("two words")),
            ("C", Some("$A # x")),
            ("D", Some("x\n1$")),
            ("E", Some("")),
            ("F", Some("yaml")),
            ("INHERITED", None),
            ("G", Some("1-two words")),
            ("H", None),
            ("I", Some("a#b")),
            ("J", Some("more\nlines")),
            ("L", Some("\"open")),
        ] {
            assert_eq!(env.get(name), expected, "{name}");
        }
        assert_eq!(DotEnv::read(""), DotEnv::default());
    }

    #[test]
    fn names_of_secrets_are_known() {
        let env = DotEnv::default();
        for name in ["GH_TOKEN", "db_password", "API_KEY", "KEY"] {
            assert!(env.is_secret(name), "{name}");
        }
        for name in ["TAG", "KEYBOARD", "KEYS"] {
            assert!(!env.is_secret(name), "{name}");
        }
    }
}
