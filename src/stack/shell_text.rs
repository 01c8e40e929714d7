//! Variables of the spec in texts that are not changed: shell text, and the content of files.

use std::ops::Range;

/// What a shell or the runtime sets.
const OF_SHELLS: [&str; 16] = [
    "EUID", "HOME", "HOSTNAME", "IFS", "LINENO", "OLDPWD", "OPTARG", "OPTIND", "PATH", "PPID",
    "PWD", "RANDOM", "REPLY", "SECONDS", "SHLVL", "UID",
];

/// Words by which a text runs another one, which can set any variable.
const RUN_OTHERS: [&str; 3] = ["eval", "source", "."];

/// Returns where a text has `${name}` of a variable that nothing else in it seems to set, as bytes, and the variable.
///
/// A text that also has the name elsewhere can set it: `name=`, `read name`, `printf -v name`, `set $name`. What is between
/// single quotes, or in a text with a here-document that a shell does not change, is not looked at.
pub fn unset_variable(
    text: &str,
    is_variable: impl Fn(&str) -> bool,
) -> Option<(Range<usize>, &str)> {
    let is_literal = ["<<'", "<<\"", "<<\\", "<<-'", "<<-\"", "<<-\\"];
    let runs_others = text
        .split_whitespace()
        .any(|word| RUN_OTHERS.contains(&word));
    if runs_others || is_literal.iter().any(|mark| text.contains(mark)) {
        return None;
    }
    text.match_indices("${").find_map(|(start, _)| {
        let (inner, _) = text[start + 2..].split_once('}')?;
        let line = text[..start].rsplit('\n').next().unwrap_or_default();
        let is_escaped = line.ends_with(['$', '\\']) || line.matches('\'').count() % 2 == 1;
        let name = name_in(inner);
        let variable = [inner, name].into_iter().find(|name| is_variable(name))?;
        let is_unset = !OF_SHELLS.contains(&name) && !is_elsewhere(text, name);
        (!is_escaped && is_unset).then_some((start..start + inner.len() + 3, variable))
    })
}

/// Returns the variable whose value `${…}` is, or a part of it; empty if there is a default for it.
fn name_in(inner: &str) -> &str {
    let inner = inner.strip_prefix('#').unwrap_or(inner);
    let end = inner.find(|c: char| !is_part(c)).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(end);
    let mut rest = rest.chars();
    match (rest.next(), rest.next()) {
        (None | Some('%' | '#' | '/' | '^' | ','), _) => name,
        (Some(':'), Some(c)) if c.is_ascii_digit() => name,
        _ => "",
    }
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether a text has a name as a word of its own, not only in `${…}`.
fn is_elsewhere(text: &str, name: &str) -> bool {
    !name.is_empty()
        && text.match_indices(name).any(|(start, _)| {
            let (before, after) = (&text[..start], &text[start + name.len()..]);
            let is_word = !before.ends_with(is_part) && !after.starts_with(is_part);
            is_word && !before.ends_with("${") && !before.ends_with("${#")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_found_unless_the_text_can_set_it() {
        let found = |text: &'static str| {
            let (at, _) = unset_variable(text, |name| matches!(name, "py" | "tag" | "UID"))?;
            Some(&text[at])
        };
        assert_eq!(found("python${py} -V"), Some("${py}"));
        assert_eq!(found("py=1; echo ${py} ${tag}"), Some("${tag}"));
        assert_eq!(found("apy=1; echo ${py}"), Some("${py}"));
        assert_eq!(found("echo 'a' ${py%.*}"), Some("${py%.*}"));
        assert_eq!(found("echo ${#py} ${py:0:3}"), Some("${#py}"));
        for text in [
            "py=3; echo ${py}",
            "for py in 1 2; do echo ${py}; done",
            "while read -r py; do echo ${py}; done",
            "printf -v py 3; echo ${py}",
            ": ${py:=3}; echo $py ${py}",
            "set $py 3; x ${py}",
            ". ./env; echo ${py}",
            "sed 's/${py}/x/' f",
            "cat <<'E'\n${py}\nE\n",
            "echo ${other} $py",
            "echo \\${py} $${py}",
            "echo ${py:-1}",
            "echo ${py",
            "echo ${UID}",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
