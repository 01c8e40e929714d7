//! The grammar of `owner:` and `mode:`.

use serde_json::{Value as Json, json};

use crate::diagnostic::Diagnostic;
use crate::stack::reader::{Fields, Reader};

/// A mode of a file, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `0755`: permission bits with setuid, setgid and sticky, at most `0o7777`.
    Octal(u32),
    /// `g+rwX`: clauses of `chmod` (POSIX), separated by commas.
    Symbolic(String),
}

/// `owner:` and `mode:` of one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// `1000:100`, `1000`, `jovyan`, `jovyan:users` or `:100`.
    pub owner: Option<String>,
    /// The mode.
    pub mode: Option<Mode>,
}

/// Returns a mode as JSON: four octal digits, or the symbolic text.
pub fn canonical_mode(mode: &Option<Mode>) -> Json {
    match mode {
        None => Json::Null,
        Some(Mode::Octal(bits)) => json!(format!("{bits:04o}")),
        Some(Mode::Symbolic(text)) => json!(text),
    }
}

/// Reads `owner:` and `mode:`; `None` if one of them is invalid.
pub fn read(reader: &Reader, fields: &Fields) -> Option<Ownership> {
    let mut ownership = Ownership::default();
    if let Some(node) = fields.get("owner") {
        let text = reader.text(node, "`owner`")?;
        if !is_owner(&text) {
            let reason = "expected `1000:100`, `1000`, `jovyan`, `jovyan:users` or `:100`";
            reader.report(Diagnostic::invalid("owner", &text, node.span, reason));
            return None;
        }
        ownership.owner = Some(text);
    }
    if let Some(node) = fields.get("mode") {
        let text = reader.text(node, "`mode`")?;
        let mode = parse_mode(&text);
        if mode.is_none() {
            let reason = "expected `755`, `0644`, `1777` or `g+rwX`";
            reader.report(Diagnostic::invalid("mode", &text, node.span, reason));
            return None;
        }
        ownership.mode = mode;
    }
    Some(ownership)
}

/// Whether a text is a name, or a number that can be an id. The kernel takes the greatest of 32 bits for "leave
/// it as it is" (chown(2)).
fn is_name_or_id(text: &str) -> bool {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    !is_number || text.parse::<u32>().is_ok_and(|id| id < u32::MAX)
}

/// Whether a text is `USER`, `USER:GROUP` or `:GROUP`, each a name or a number.
fn is_owner(text: &str) -> bool {
    let is_part = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
            && is_name_or_id(text)
    };
    match text.split_once(':') {
        Some((user, group)) => (user.is_empty() || is_part(user)) && is_part(group),
        None => is_part(text),
    }
}

fn parse_mode(text: &str) -> Option<Mode> {
    let octal = matches!(text.len(), 3..=5) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
    if octal
        && let Ok(bits) = u32::from_str_radix(text, 8)
        && bits <= 0o7777
    {
        return Some(Mode::Octal(bits));
    }
    let symbolic = text.split(',').all(|clause| {
        let rest = clause.trim_start_matches(['u', 'g', 'o', 'a']);
        // `o=` takes everything; `o+` and `o-` would change nothing.
        rest.starts_with(['+', '-', '='])
            && rest.split(['+', '-', '=']).all(|part| {
                // The permissions of a class, as in `g=u`, stand alone.
                matches!(part, "u" | "g" | "o") || part.chars().all(|c| "rwxXst".contains(c))
            })
            && !rest.ends_with(['+', '-'])
    });
    symbolic.then(|| Mode::Symbolic(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octal_modes_have_three_to_five_digits() {
        assert_eq!(parse_mode("755"), Some(Mode::Octal(0o755)));
        assert_eq!(parse_mode("01777"), Some(Mode::Octal(0o1777)));
        for text in ["75", "888", "17777", "77777", ""] {
            assert_eq!(parse_mode(text), None, "{text}");
        }
    }

    #[test]
    fn symbolic_modes_are_clauses_of_chmod() {
        for text in [
            "g+rwX",
            "u=rwx,go=rx",
            "a-w",
            "+t",
            "u=rw,go=",
            "u+x-w",
            "g=u,o-g",
        ] {
            let mode = Mode::Symbolic(text.to_owned());
            assert_eq!(parse_mode(text), Some(mode));
        }
        for text in [
            "g", "g+", "x+r", "g+rwz", "u=r,", "rwx", "u+x-", "g=ur", "g=uu",
        ] {
            assert_eq!(parse_mode(text), None, "{text}");
        }
    }

    #[test]
    fn owners_are_a_user_and_perhaps_a_group() {
        assert!(["0", "1000:100", "jovyan:users", "a.b-c_d", ":100"].map(is_owner) == [true; 5]);
        assert!(["4294967294", "1000:4294967294", "j1"].map(is_owner) == [true; 3]);
        assert!(["4294967295", "0:4294967295", "99999999999"].map(is_owner) == [false; 3]);
        assert!(["", ":", "a:", "a b", "-a", "a:b:c", "::b"].map(is_owner) == [false; 7]);
    }
}
