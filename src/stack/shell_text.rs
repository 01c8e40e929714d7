//! Variables of the spec in texts that are not changed: shell text, and the content of files.

/// Returns where a text has `${name}` of a variable that it does not set itself, as bytes.
///
/// A text sets a variable by `name=`, or by `for`, `read`, `export` and the like before the name.
pub fn unset_variable(text: &str, is_variable: impl Fn(&str) -> bool) -> Option<(usize, usize)> {
    text.match_indices("${").find_map(|(start, _)| {
        let (name, _) = text[start + 2..].split_once('}')?;
        let is_escaped = text[..start].ends_with(['$', '\\']);
        let found = !is_escaped && is_variable(name) && !sets(text, name);
        found.then_some((start, start + name.len() + 3))
    })
}

fn sets(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices(name).any(|(start, _)| {
        let (before, after) = (&text[..start], &text[start + name.len()..]);
        let words = [
            "for", "read", "export", "local", "declare", "readonly", "-r",
        ];
        let is_declared = words.iter().any(|word| before.trim_end().ends_with(word));
        let is_word = !before.ends_with(|c| is_part(c) || matches!(c, '{' | '$' | '-'));
        is_word && !after.starts_with(is_part) && (after.starts_with('=') || is_declared)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_found_unless_the_text_sets_it() {
        let found = |text: &'static str| {
            let (start, end) = unset_variable(text, |name| matches!(name, "py" | "tag"))?;
            Some(&text[start..end])
        };
        assert_eq!(found("python${py} -V"), Some("${py}"));
        assert_eq!(found("py=1; echo ${py} ${tag}"), Some("${tag}"));
        assert_eq!(found("apy=1; echo ${py}"), Some("${py}"));
        for text in [
            "py=3; echo ${py}",
            "for py in 1 2; do echo ${py}; done",
            "while read -r py; do echo ${py}; done",
            "echo ${other} $py",
            "echo \\${py} $${py}",
            "echo ${py:-1}",
            "echo ${py",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }
}
