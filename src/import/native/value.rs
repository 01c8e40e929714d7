//! Texts of a Dockerfile with their variables, as the spec writes them.

use std::collections::BTreeMap;

/// Why an image keeps its Dockerfile, for people.
pub type Reason = String;

/// A text with variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value(pub Vec<Part>);

/// A part of a [`Value`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Literal text.
    Text(String),
    /// A variable of the spec.
    Var(String),
    /// A variable of the base's environment.
    Env(String),
}

/// The environment at one place of a Dockerfile: what `ARG` and `ENV` have set.
pub type Environment = BTreeMap<String, Value>;

/// Values of variables of the spec, by name.
pub type Vars = BTreeMap<String, Value>;

/// Whether quotes are removed from a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// They are removed, and `'…'` is literal.
    Removed,
    /// They are part of the text.
    Kept,
}

impl Value {
    /// Returns a literal text.
    pub fn text(text: &str) -> Self {
        let mut made = Self::default();
        made.push(Part::Text(text.to_owned()));
        made
    }

    /// Returns the text if it uses no variable of the environment; variables of the spec have their values.
    pub fn resolved(&self, vars: &Vars) -> Option<String> {
        let mut made = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => made.push_str(text),
                Part::Var(name) => made.push_str(&vars.get(name)?.resolved(vars)?),
                Part::Env(_) => return None,
            }
        }
        Some(made)
    }

    /// Whether it uses variables of the environment.
    pub fn uses_environment(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Env(_)))
    }

    /// Whether it uses variables of the spec.
    pub fn uses_vars(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Var(_)))
    }

    /// Returns the text as the spec writes it.
    pub fn written(&self) -> String {
        let part = |part: &Part| match part {
            Part::Text(text) => literal(text),
            Part::Var(name) => format!("${{{name}}}"),
            Part::Env(name) => format!("${{env:{name}}}"),
        };
        self.0.iter().map(part).collect()
    }

    /// Adds a part.
    pub fn push(&mut self, part: Part) {
        match (self.0.last_mut(), part) {
            (_, Part::Text(text)) if text.is_empty() => {}
            (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
            (_, part) => self.0.push(part),
        }
    }

    /// Adds all parts of another text.
    pub fn extend(&mut self, other: &Self) {
        for part in &other.0 {
            self.push(part.clone());
        }
    }
}

/// Returns a literal text as the spec writes it, where `${` begins a variable.
pub fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

/// Replaces the variables of a word, as the frontend does (`ProcessWord` in frontend/dockerfile/shell/lex.go of BuildKit
/// 0.32.2). Variables that are not set are those of the base. The error is for people.
pub fn expand(text: &str, env: &Environment, vars: &Vars, quotes: Quotes) -> Result<Value, String> {
    let mut made = Value::default();
    let mut rest = text;
    let mut quote = None;
    while let Some(found) = rest.chars().next() {
        rest = &rest[found.len_utf8()..];
        match (found, quote) {
            ('\'' | '"', None) if quotes == Quotes::Removed => quote = Some(found),
            (end, Some(begun)) if end == begun => quote = None,
            ('\\', None | Some('"')) => {
                let next = rest.chars().next();
                let is_escape = quote.is_none() || matches!(next, Some('"' | '$' | '\\'));
                if !is_escape {
                    made.push(Part::Text("\\".to_owned()));
                }
                if let Some(next) = next {
                    made.push(Part::Text(next.to_string()));
                    rest = &rest[next.len_utf8()..];
                }
            }
            ('$', None | Some('"')) => {
                let length = variable_length(rest)
                    .ok_or_else(|| format!("`${rest}` has an unsupported form of a variable"))?;
                let (inner, after) = rest.split_at(length);
                // A `$` right before a variable of the spec would be an escape.
                if matches!(made.0.last(), Some(Part::Text(text)) if text.ends_with('$')) {
                    return Err(format!("`{text}` has a `$` before a variable"));
                }
                made.extend(&variable(inner, env, vars)?);
                rest = after;
            }
            _ => made.push(Part::Text(found.to_string())),
        }
    }
    Ok(made)
}

/// Returns the length of a variable after its `$`: `NAME` or `{NAME…}`.
fn variable_length(rest: &str) -> Option<usize> {
    if rest.starts_with('{') {
        let mut depth = 0;
        for (at, found) in rest.char_indices() {
            match found {
                '{' => depth += 1,
                '}' if depth == 1 => return Some(at + 1),
                '}' => depth -= 1,
                _ => {}
            }
        }
        return None;
    }
    let length = name_length(rest);
    (length > 0).then_some(length)
}

/// Returns the length of a name at the start of a text.
fn name_length(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

/// Returns the value of a variable: `NAME` or `{NAME}`, `{NAME:-word}`, `{NAME:+word}`.
fn variable(inner: &str, env: &Environment, vars: &Vars) -> Result<Value, String> {
    let braced = inner
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let inner = braced.unwrap_or(inner);
    let (name, form) = inner.split_at(name_length(inner));
    let of_base = || Value(vec![Part::Env(name.to_owned())]);
    let value = env.get(name);
    if name.is_empty() {
        return Err(format!(
            "`${{{inner}}}` has an unsupported form of a variable"
        ));
    }
    if form.is_empty() {
        return Ok(value.cloned().unwrap_or_else(of_base));
    }
    let is_empty = match value {
        Some(value) => value.resolved(vars).map(|text| text.is_empty()),
        None => None,
    };
    let word = |text: &str| expand(text, env, vars, Quotes::Removed);
    match (form.get(..2), is_empty, value) {
        (Some(":-"), Some(false), Some(value)) => Ok(value.clone()),
        (Some(":-"), Some(true), _) => word(&form[2..]),
        (Some(":+"), Some(false), _) => word(&form[2..]),
        (Some(":+"), Some(true), _) => Ok(Value::default()),
        _ => Err(format!(
            "`${{{inner}}}` depends on the environment of the base, or has an unsupported form"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let env = [
            ("A", Value::text("a")),
            ("E", Value::default()),
            ("V", Value(vec![Part::Var("V".to_owned())])),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value)).into();
        let vars = [("V".to_owned(), Value::text("v"))].into();
        Ok(expand(text, &env, &vars, Quotes::Removed)?.written())
    }

    #[test]
    fn words_are_expanded_as_by_the_frontend() {
        for (text, expected) in [
            ("/x/$A-${A}", "/x/a-a"),
            ("\"$A b\"'$A'", "a b$A"),
            ("$V:$PATH", "${V}:${env:PATH}"),
            ("\\$A\\ x", "$A x"),
            ("${A:-x}${E:-$A}${V:+set}${E:+set}", "aaset"),
            ("'${A}'", "$${A}"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(expected), "{text}");
        }
        for text in ["${B:-x}", "${A#x}", "$1", "${A", "\\$$A"] {
            assert!(expanded(text).is_err(), "{text}");
        }
    }
}
