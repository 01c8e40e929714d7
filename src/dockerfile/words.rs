//! Variables in the words of a Dockerfile.

use std::collections::BTreeMap;

/// Why a word has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unexpandable {
    /// A form of `${…}` that is not known here.
    Form(String),
    /// `${NAME:?message}` of a variable that is not set.
    Required {
        /// The variable.
        name: String,
        /// The message.
        message: String,
    },
}

/// Replaces `$NAME` and `${NAME}`, `${NAME-word}`, `${NAME+word}` and `${NAME?word}`, also with `:`. A variable that is not
/// set is empty (Dockerfile reference, "Environment replacement").
pub fn expand(text: &str, vars: &BTreeMap<String, String>) -> Result<String, Unexpandable> {
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['$', '\\']) {
        made.push_str(&rest[..at]);
        let is_escape = rest[at..].starts_with('\\');
        rest = &rest[at + 1..];
        if is_escape {
            let next = rest.chars().next();
            made.extend(next);
            rest = &rest[next.map_or(0, char::len_utf8)..];
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = closing(inner).ok_or_else(|| Unexpandable::Form(format!("${{{inner}")))?;
            made.push_str(&braced(&inner[..end], vars)?);
            rest = &inner[end + 1..];
        } else {
            let end = name_end(rest);
            if end == 0 {
                made.push('$');
            }
            made.push_str(vars.get(&rest[..end]).map_or("", String::as_str));
            rest = &rest[end..];
        }
    }
    made.push_str(rest);
    Ok(made)
}

/// Returns the names of the variables in a text without a default (`:-`, `-`, `:+`, `:?`), also those in the words of `${NAME-word}`.
pub fn variables(text: &str) -> Vec<&str> {
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
        let (name, after) = rest.split_at(name_end(rest));
        let has_default = braced.is_some() && after.starts_with(['-', ':']);
        names.extend((!name.is_empty() && !has_default).then_some(name));
        rest = after;
    }
    names
}

/// Returns the value of what is between `${` and `}`.
fn braced(inner: &str, vars: &BTreeMap<String, String>) -> Result<String, Unexpandable> {
    let end = name_end(inner);
    let (name, rest) = inner.split_at(end);
    let value = vars.get(name);
    let (value, rest) = match rest.strip_prefix(':') {
        Some(rest) => (value.filter(|value| !value.is_empty()), rest),
        None => (value, rest),
    };
    let unknown = || Unexpandable::Form(format!("${{{inner}}}"));
    let mut form = rest.chars();
    match (form.next(), form.as_str()) {
        (None, _) if !name.is_empty() => Ok(vars.get(name).cloned().unwrap_or_default()),
        (Some('-'), word) => value.map_or_else(|| expand(word, vars), |value| Ok(value.clone())),
        (Some('+'), word) => value.map_or_else(|| Ok(String::new()), |_| expand(word, vars)),
        (Some('?'), word) => value.cloned().ok_or_else(|| Unexpandable::Required {
            name: name.to_owned(),
            message: word.to_owned(),
        }),
        _ => Err(unknown()),
    }
}

/// Returns where the `}` is that ends a text after `${`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut before = ' ';
    for (at, found) in text.char_indices() {
        match found {
            '{' if before == '$' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
        before = found;
    }
    None
}

/// Returns the length of the name of a variable at the start of a text.
fn name_end(text: &str) -> usize {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let end = text.find(|c| !is_part(c)).unwrap_or(text.len());
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return end.min(1);
    }
    end
}
