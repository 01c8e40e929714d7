//! Variables of the spec in texts that are not changed: shell text, and the content of files.

use std::collections::HashSet;
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
    let (mut close, mut looked, mut quotes) = (0, 0, 0);
    let mut words = None;
    // Each part of the text is looked at once, whatever it has.
    text.match_indices("${").find_map(|(start, _)| {
        let since = &text[looked..start];
        let line = since.rfind('\n').map_or(since, |end| &since[end + 1..]);
        let before = if line.len() == since.len() { quotes } else { 0 };
        quotes = before + line.matches('\'').count();
        looked = start;
        if close <= start {
            close = text[start..]
                .find('}')
                .map_or(text.len(), |end| start + end);
        }
        let inner = text.get(start + 2..close).filter(|_| close < text.len())?;
        let name = name_in(inner);
        let whole = if inner.contains("${") { "" } else { inner };
        let variable = [whole, name].into_iter().find(|name| is_variable(name))?;
        let is_escaped = text[..start].ends_with(['$', '\\']) || quotes % 2 == 1;
        let mut is_free = || !words.get_or_insert_with(|| words_of(text)).contains(name);
        let is_unset = !is_escaped && !OF_SHELLS.contains(&name) && is_free();
        is_unset.then_some((start..close + 1, variable))
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

/// Returns the words of a text, without those that are only in `${…}`.
fn words_of(text: &str) -> HashSet<&str> {
    let mut words = HashSet::new();
    let mut at = 0;
    while let Some(found) = text[at..].find(is_part) {
        let start = at + found;
        let rest = &text[start..];
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        let before = &text[..start];
        if !before.ends_with("${") && !before.ends_with("${#") {
            words.insert(word);
        }
        at = start + word.len();
    }
    words
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

    /// The same by its definition, which looks at the whole text for each `${`.
    fn by_definition(text: &str) -> Option<Range<usize>> {
        let is_elsewhere = |name: &str| {
            text.match_indices(name).any(|(start, _)| {
                let (before, after) = (&text[..start], &text[start + name.len()..]);
                let is_word = !before.ends_with(is_part) && !after.starts_with(is_part);
                is_word && !before.ends_with("${") && !before.ends_with("${#")
            })
        };
        text.match_indices("${").find_map(|(start, _)| {
            let (inner, _) = text[start + 2..].split_once('}')?;
            let line = text[..start].rsplit('\n').next().unwrap_or_default();
            let is_escaped = line.ends_with(['$', '\\']) || line.matches('\'').count() % 2 == 1;
            let name = name_in(inner);
            let is_variable = [inner, name].iter().any(|name| IS_SET(name));
            let is_free = name.is_empty() || !is_elsewhere(name);
            (!is_escaped && is_variable && is_free).then_some(start..start + inner.len() + 3)
        })
    }

    const IS_SET: fn(&str) -> bool = |name| matches!(name, "a" | "b" | "a-b");

    proptest::proptest! {
        #[test]
        fn one_look_at_a_text_finds_what_its_definition_does(
            parts in proptest::collection::vec(
                proptest::sample::select(vec!["${", "}", "a", "b", "-", "#", "%", "$", "'", "\\", "\n", " ", "é"]),
                0..40,
            )
        ) {
            let text = parts.concat();
            let found = unset_variable(&text, IS_SET).map(|(at, _)| at);
            proptest::prop_assert_eq!(found, by_definition(&text), "{}", text);
        }
    }
}
