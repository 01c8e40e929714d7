//! Variables of the environment in the values of compose and bake files. `import` reads no environment: what it makes would
//! differ from machine to machine.

use std::collections::BTreeSet;

/// A value with the variables that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interpolated {
    /// The value if no variable is set, and the variables whose defaults it has.
    Value(String, BTreeSet<String>),
    /// A variable without a default.
    Unset(String),
}

/// Replaces variables as compose does if none is set: `$NAME`, `${NAME}`, `${NAME-default}`, `${NAME+value}`,
/// `${NAME?message}`, also with `:`; `$$` stands for `$` (compose specification, "Interpolation").
pub fn of_compose(text: &str) -> Interpolated {
    let mut used = BTreeSet::new();
    match replaced(text, &mut used) {
        Ok(text) => Interpolated::Value(text, used),
        Err(name) => Interpolated::Unset(name),
    }
}

/// Returns a value of a bake file in JSON. `$${` and `%%{` stand for `${` and `%{` (HCL, "Template literals"); `bake --print`
/// writes its values so.
pub fn of_bake(text: &str) -> Interpolated {
    let parts: Vec<&str> = text.split("$${").collect();
    if let Some((_, rest)) = parts.iter().find_map(|part| part.split_once("${")) {
        return Interpolated::Unset(rest[..name_end(rest)].to_owned());
    }
    Interpolated::Value(parts.join("${").replace("%%{", "%{"), BTreeSet::new())
}

fn replaced(text: &str, used: &mut BTreeSet<String>) -> Result<String, String> {
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        made.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            made.push('$');
            rest = after;
        } else if let Some((inner, after)) = rest.strip_prefix('{').and_then(braces) {
            made.push_str(&variable(inner, used)?);
            rest = after;
        } else if name_end(rest) > 0 {
            return Err(rest[..name_end(rest)].to_owned());
        } else {
            made.push('$');
        }
    }
    made.push_str(rest);
    Ok(made)
}

/// Returns the value of what is between braces.
fn variable(inner: &str, used: &mut BTreeSet<String>) -> Result<String, String> {
    let (name, rest) = inner.split_at(name_end(inner));
    let rest = rest.strip_prefix(':').unwrap_or(rest);
    let value = match rest.split_at_checked(1) {
        Some(("-", default)) => replaced(default, used)?,
        Some(("+", _)) => String::new(),
        _ => return Err(name.to_owned()),
    };
    used.insert(name.to_owned());
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
            let Interpolated::Value(made, names) = of_compose(text) else {
                panic!("{text}");
            };
            let names: Vec<String> = names.into_iter().collect();
            assert_eq!(
                (made.as_str(), names.join(" ").as_str()),
                (value, used),
                "{text}"
            );
        }
        let bake = [("a$b", "a$b"), ("$${A} %%{x} $$$${B}", "${A} %{x} $$${B}")];
        for (text, value) in bake {
            let expected = Interpolated::Value(value.to_owned(), BTreeSet::new());
            assert_eq!(of_bake(text), expected, "{text}");
        }
        assert_eq!(of_bake("$${B} ${A}"), Interpolated::Unset("A".to_owned()));
        for text in ["$A", "x${A}", "${A:?message}", "${B:-$A}"] {
            assert_eq!(
                of_compose(text),
                Interpolated::Unset("A".to_owned()),
                "{text}"
            );
        }
    }
}
