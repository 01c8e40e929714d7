//! Variables of the spec in texts that are not changed: shell text, and the content of files.

use std::collections::HashMap;
use std::ops::Range;

/// What a shell or the runtime sets.
const OF_SHELLS: [&str; 16] = [
    "EUID", "HOME", "HOSTNAME", "IFS", "LINENO", "OLDPWD", "OPTARG", "OPTIND", "PATH", "PPID",
    "PWD", "RANDOM", "REPLY", "SECONDS", "SHLVL", "UID",
];

/// Words by which a text runs another one, which can set any variable.
const RUN_OTHERS: [&str; 3] = ["eval", "source", "."];

/// Words before a command that are not its name.
const KEYWORDS: [&str; 9] = [
    "!", "do", "elif", "else", "if", "then", "time", "until", "while",
];

/// Commands that set the variables that they are given, or make them the script's own.
const SETTERS: [&str; 11] = [
    "declare",
    "export",
    "for",
    "getopts",
    "let",
    "local",
    "mapfile",
    "read",
    "readarray",
    "readonly",
    "typeset",
];

/// In which language a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Commands of a shell.
    Shell,
    /// The content of a file in any language.
    AnyFile,
}

/// Returns where a text has `${name}` of a variable that nothing else in it seems to set, as bytes, and the variable.
///
/// A shell sets it by `name=`, `read name`, `printf -v name` and the like. A file can set it wherever it has the name, unless
/// the value there is `${name}` itself. What is between single quotes, or in a text with a here-document that a shell does not
/// change, is not looked at.
pub fn unset_variable(
    language: Language,
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
    let mut set: HashMap<&str, bool> = HashMap::new();
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
        let mut is_set = || {
            *set.entry(name)
                .or_insert_with(|| sets(language, text, name))
        };
        let is_unset = !is_escaped && !OF_SHELLS.contains(&name) && !is_set();
        is_unset.then_some((start..close + 1, variable))
    })
}

/// Returns whether a text can set a variable.
fn sets(language: Language, text: &str, name: &str) -> bool {
    if name.is_empty() {
        return false;
    }
    let mut found = text.match_indices(name);
    found.any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + name.len()..]);
        let is_word = !before.ends_with(is_part) && !after.starts_with(is_part);
        is_word
            && match language {
                Language::Shell => is_set_by_shell(before, name, after),
                Language::AnyFile => is_set_in_file(before, name, after),
            }
    })
}

fn is_set_in_file(before: &str, name: &str, after: &str) -> bool {
    let is_use = before.ends_with("${") || before.ends_with("${#");
    let is_option = before.ends_with('-');
    !is_use && !is_option && !is_of_itself(name, after)
}

/// Whether what comes after a name is, behind a few signs or blanks, its own value: `=${name}`, ` ${name}`.
fn is_of_itself(name: &str, after: &str) -> bool {
    let value = after.trim_start_matches(|c: char| !is_part(c) && !"$\n;".contains(c));
    let value = value.strip_prefix("${").unwrap_or_default();
    let rest = value.strip_prefix(name);
    rest.is_some_and(|rest| !rest.starts_with(is_part))
}

fn is_set_by_shell(before: &str, name: &str, after: &str) -> bool {
    if before.ends_with("${") {
        return after.starts_with(":=") || after.starts_with('=');
    }
    if before.ends_with('{') && after.starts_with('}') {
        // `exec {name}>file`
        return true;
    }
    let command = &before[start_of_command(before)..];
    let is_assigned = ["=", "+=", "["].iter().any(|sign| after.starts_with(sign));
    let is_arithmetic = before.trim_end().ends_with("((");
    let mut words = command.split_whitespace().skip_while(|word| {
        let is_assignment = word.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| is_part(c) || "+[]".contains(c))
        });
        KEYWORDS.contains(word) || is_assignment
    });
    let is_given = !before.ends_with(['$', '-']);
    match words.next() {
        None => is_arithmetic || is_assigned && is_given && !is_of_itself(name, after),
        Some("printf") => before.ends_with("-v "),
        Some(word) => SETTERS.contains(&word) && is_given && !is_of_itself(name, after),
    }
}

/// How far the beginning of a command is looked for, bytes: a text can have megabytes without an end of one.
const NEAR: usize = 1000;

/// Returns where the command begins that a text ends in.
fn start_of_command(text: &str) -> usize {
    let from = text.ceil_char_boundary(text.len().saturating_sub(NEAR));
    let text = &text[from..];
    let mut ends = text.rmatch_indices([';', '&', '|', '(', ')', '{', '}', '`', '\n']);
    let end = ends.find(|(at, sign)| *sign != "\n" || !text[..*at].ends_with('\\'));
    from + end.map_or(0, |(at, _)| at + 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn found(language: Language, text: &str) -> Option<&str> {
        let is_variable = |name: &str| matches!(name, "py" | "tag" | "UID");
        let (at, _) = unset_variable(language, text, is_variable)?;
        Some(&text[at])
    }

    #[test]
    fn a_variable_is_found_unless_a_shell_sets_it() {
        for (text, expected) in [
            ("python${py} -V", "${py}"),
            ("py=1; echo ${py} ${tag}", "${tag}"),
            ("apy=1; echo ${py}", "${py}"),
            ("echo 'a' ${py%.*}", "${py%.*}"),
            ("echo ${#py} ${py:0:3}", "${#py}"),
            ("echo \"py=${py}\" >/etc/release", "${py}"),
            ("py=${py}", "${py}"),
            ("export py=\"${py}\"", "${py}"),
            ("conda install py=${py} && python -c 'import py'", "${py}"),
            ("pip install \\\n  py==${py}", "${py}"),
            ("make py=3 install; echo ${py}", "${py}"),
            ("curl -o py.tgz https://x/py-${py}.tgz?py=${py}", "${py}"),
            ("cmake -D py=3 --py=3 .; echo ${py}", "${py}"),
            ("useradd -u 1 py; echo $py ${py}", "${py}"),
            ("echo read py; echo ${py}", "${py}"),
        ] {
            assert_eq!(found(Language::Shell, text), Some(expected), "{text}");
        }
        for text in [
            "py=3; echo ${py}",
            "if true; then py=3 && echo ${py}; fi",
            "a=1 py+=3\necho ${py}",
            "export -n a=1 py=3; echo ${py}",
            "f() { local py; echo ${py}; }",
            "py[1]=3; echo ${py}",
            "(( py = 3 )); echo ${py}",
            "let py=3; echo ${py}",
            "exec {py}>f; echo ${py}",
            "py=$(x); py=${py%.*}",
            "for py in 1 2; do echo ${py}; done",
            "while IFS= read -r py; do echo ${py}; done",
            "printf -v py 3; echo ${py}",
            ": ${py:=3}; echo $py ${py}",
            ". ./env; echo ${py}",
            "sed 's/${py}/x/' f",
            "cat <<'E'\n${py}\nE\n",
            "echo ${other} $py",
            "echo \\${py} $${py}",
            "echo ${py:-1}",
            "echo ${py",
            "echo ${UID}",
        ] {
            assert_eq!(found(Language::Shell, text), None, "{text}");
        }
    }

    #[test]
    fn a_file_sets_a_variable_where_it_has_the_name() {
        for text in [
            "py=${py}\n",
            "py ${py}",
            "--py 3 ${py}",
            "\"$py ${py}\"",
            "py: ${py}",
        ] {
            assert_eq!(found(Language::AnyFile, text), Some("${py}"), "{text}");
        }
        for text in [
            "set $py 3; x ${py}",
            "py := 3\nall: ${py}\n",
            "<py>3</py><x>${py}</x>",
            "py=3\necho ${py}",
            "set(py 3)\nx(${py})",
        ] {
            assert_eq!(found(Language::AnyFile, text), None, "{text}");
        }
    }

    /// The same by its definition, which looks at the whole text for each `${`.
    fn by_definition(language: Language, text: &str) -> Option<Range<usize>> {
        text.match_indices("${").find_map(|(start, _)| {
            let (inner, _) = text[start + 2..].split_once('}')?;
            let line = text[..start].rsplit('\n').next().unwrap_or_default();
            let is_escaped = line.ends_with(['$', '\\']) || line.matches('\'').count() % 2 == 1;
            let name = name_in(inner);
            let is_variable = [inner, name].iter().any(|name| IS_SET(name));
            let is_free = name.is_empty() || !sets(language, text, name);
            (!is_escaped && is_variable && is_free).then_some(start..start + inner.len() + 3)
        })
    }

    const IS_SET: fn(&str) -> bool = |name| matches!(name, "a" | "b" | "a-b");

    proptest::proptest! {
        #[test]
        fn one_look_at_a_text_finds_what_its_definition_does(
            parts in proptest::collection::vec(
                proptest::sample::select(vec!["${", "}", "a", "b", "-", "#", "%", "$", "=", ";", "read ", "'", "\\", "\n", " ", "é"]),
                0..40,
            ),
            is_shell in proptest::bool::ANY,
        ) {
            let language = if is_shell { Language::Shell } else { Language::AnyFile };
            let text = parts.concat();
            let found = unset_variable(language, &text, IS_SET).map(|(at, _)| at);
            proptest::prop_assert_eq!(found, by_definition(language, &text), "{}", text);
        }
    }
}
