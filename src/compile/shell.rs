//! Words of a POSIX shell.

/// Returns a text as one word of a shell.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Returns words as one command line.
pub fn line<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| quote(word)).collect();
    words.join(" ")
}

/// Returns a shell's program and arguments with `-e`, which stops it at the first command that fails.
/// Only shells that are known to have the option get it.
pub fn with_errexit(shell: &[String]) -> Vec<String> {
    let mut args = shell.to_vec();
    let program = args.first().map(String::as_str).unwrap_or_default();
    let name = program.rsplit('/').next().unwrap_or_default();
    if matches!(name, "sh" | "bash" | "dash" | "ash" | "zsh" | "ksh") {
        args.insert(1, "-e".to_owned());
    }
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_keeps_every_character() {
        assert_eq!(quote("/opt/x.y-z"), "/opt/x.y-z");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
    }

    #[test]
    fn only_shells_get_errexit() {
        let args = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            with_errexit(&args(&["/bin/bash", "-o", "pipefail", "-c"])),
            args(&["/bin/bash", "-e", "-o", "pipefail", "-c"])
        );
        assert_eq!(
            with_errexit(&args(&["/usr/bin/python3", "-c"])),
            args(&["/usr/bin/python3", "-c"])
        );
    }
}
