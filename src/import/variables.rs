//! Variables in the values of compose and bake files. `import` reads `.env`, but no environment: what it makes would differ from
//! machine to machine.

mod dot_env;

use std::collections::BTreeSet;

pub use dot_env::{DotEnv, NAME as DOT_ENV};

/// A value with the variables that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interpolated {
    /// The value, and the variables in it.
    Value(String, Used),
    /// A variable without a value and a default.
    Unset(String),
    /// A variable whose value seems to be a secret.
    Secret(String),
}

/// The variables of a value, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// Those that have their default.
    pub defaults: BTreeSet<String>,
    /// Those that have their value of `.env`.
    pub env: BTreeSet<String>,
}

impl Used {
    /// Returns where the values of the variables are from, for people; nothing if there are none.
    pub fn shown(&self) -> String {
        let names = |names: &BTreeSet<String>| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            names.join(", ")
        };
        let mut text = String::new();
        if !self.env.is_empty() {
            text.push_str(&format!(", with {} of `{DOT_ENV}`", names(&self.env)));
        }
        if !self.defaults.is_empty() {
            let defaults = names(&self.defaults);
            text.push_str(&format!(", as without {defaults} in the environment"));
        }
        text
    }
}

/// Replaces variables as compose does if none is set but those of `.env`: `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME+value}`,
/// `${NAME?message}`, also with `:`; `$$` stands for `$` (compose specification, "Interpolation").
pub fn of_compose(text: &str, env: &DotEnv) -> Interpolated {
    let mut used = Used::default();
    match replaced(text, env, &mut used) {
        Ok(text) => Interpolated::Value(text, used),
        Err(name) if env.get(&name).is_some_and(|it| !it.is_empty()) => Interpolated::Secret(name),
        Err(name) => Interpolated::Unset(name),
    }
}

/// Returns a value of a bake file in JSON. `$${` and `%%{` stand for `${` and `%{` (HCL, "Template literals"); `bake --print`
/// writes its values so.
pub fn of_bake(text: &str, _env: &DotEnv) -> Interpolated {
    let parts: Vec<&str> = text.split("$${").collect();
    if let Some((_, rest)) = parts.iter().find_map(|part| part.split_once("${")) {
        return Interpolated::Unset(rest[..name_end(rest)].to_owned());
    }
    Interpolated::Value(parts.join("${").replace("%%{", "%{"), Used::default())
}

/// Returns the text with the values of its variables. The error is the name of one that has none, or whose value is a secret.
fn replaced(text: &str, env: &DotEnv, used: &mut Used) -> Result<String, String> {
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        made.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            made.push('$');
            rest = after;
        } else if let Some((inner, after)) = rest.strip_prefix('{').and_then(braces) {
            made.push_str(&variable(inner, env, used)?);
            rest = after;
        } else if name_end(rest) > 0 {
            let (name, after) = rest.split_at(name_end(rest));
            made.push_str(&variable(name, env, used)?);
            rest = after;
        } else {
            made.push('$');
        }
    }
    made.push_str(rest);
    Ok(made)
}

/// Returns the value of what is between braces.
fn variable(inner: &str, env: &DotEnv, used: &mut Used) -> Result<String, String> {
    let (name, rest) = inner.split_at(name_end(inner));
    let after = rest.strip_prefix(':').unwrap_or(rest);
    // With `:`, an empty value counts as none.
    let is_value = |value: &&str| after.len() == rest.len() || !value.is_empty();
    let set = env.get(name).filter(is_value);
    let (kind, word) = after.split_at_checked(1).unwrap_or_default();
    let value = match (set, kind) {
        (Some(_), "+") => replaced(word, env, used)?,
        (Some(value), _) => value.to_owned(),
        (None, "-") => replaced(word, env, used)?,
        (None, "+") => String::new(),
        (None, _) => return Err(name.to_owned()),
    };
    if set.is_none() {
        used.defaults.insert(name.to_owned());
    } else if kind != "+" && env.is_secret(name) {
        return Err(name.to_owned());
    } else {
        used.env.insert(name.to_owned());
    }
    Ok(value)
}

/// Splits a text at the brace that closes one before it.
fn braces(text: &str) -> Option<(&str, &str)> {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        match c {
            '{' if text[..at].ends_with('$') => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((&text[..at], &text[at + 1..]));
        }
    }
    None
}

fn name_end(text: &str) -> usize {
    let is_part = |(at, c): (usize, char)| {
        c == '_' || c.is_ascii_alphabetic() || at > 0 && c.is_ascii_digit()
    };
    let mut chars = text.char_indices();
    let end = chars.find(|place| !is_part(*place));
    end.map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_those_without_an_environment() {
        let found = [
            ("plain, 5 $, $1", "plain, 5 $, $1", ""),
            ("$$x $${y} $$$$", "$x ${y} $$", ""),
            ("a${TAG:-1}${B-}c", "a1c", "B TAG"),
            ("${A:-x${B:-{y}}}", "x{y}", "A B"),
            ("${A:+set}", "", "A"),
            ("${A:-$$B}", "$B", "A"),
            ("${A", "${A", ""),
        ];
        for (text, value, used) in found {
            let Interpolated::Value(made, names) = of_compose(text, &DotEnv::default()) else {
                panic!("{text}");
            };
            let names: Vec<String> = names.defaults.into_iter().collect();
            assert_eq!(
                (made.as_str(), names.join(" ").as_str()),
                (value, used),
                "{text}"
            );
        }
        let bake = [("a$b", "a$b"), ("$${A} %%{x} $$$${B}", "${A} %{x} $$${B}")];
        let of_bake = |text| of_bake(text, &DotEnv::default());
        for (text, value) in bake {
            let expected = Interpolated::Value(value.to_owned(), Used::default());
            assert_eq!(of_bake(text), expected, "{text}");
        }
        assert_eq!(of_bake("$${B} ${A}"), Interpolated::Unset("A".to_owned()));
        for text in ["$A", "x${A}", "${A:?message}", "${B:-$A}"] {
            assert_eq!(
                of_compose(text, &DotEnv::default()),
                Interpolated::Unset("A".to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn values_of_the_file_replace_defaults() {
        let env = DotEnv::read("A=1\nEMPTY=\nB='$A'\nTOKEN=x\n");
        for (text, value, of_file) in [
            ("$A ${A}", "1 1", "A"),
            ("${A:-2}${A-2}${A:?m}${A?m}", "1111", "A"),
            ("${A:+x}${A+$B}", "x$A", "A B"),
            ("${EMPTY:-d}", "d", ""),
            ("[${EMPTY-d}${EMPTY?m}]", "[]", "EMPTY"),
            ("${EMPTY:+x}", "", ""),
            ("${C:-$A}", "1", "A"),
            ("${TOKEN:+x}", "x", "TOKEN"),
        ] {
            let Interpolated::Value(made, used) = of_compose(text, &env) else {
                panic!("{text}");
            };
            let names: Vec<String> = used.env.into_iter().collect();
            assert_eq!(
                (made.as_str(), names.join(" ").as_str()),
                (value, of_file),
                "{text}"
            );
        }
        let unset = |name: &str| Interpolated::Unset(name.to_owned());
        assert_eq!(of_compose("$A$C", &env), unset("C"));
        assert_eq!(
            of_compose("${EMPTY:?m}", &env),
            Interpolated::Unset("EMPTY".to_owned())
        );
        let secret = Interpolated::Secret("TOKEN".to_owned());
        assert_eq!(of_compose("${TOKEN:-x}", &env), secret);
    }
}
