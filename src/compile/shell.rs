//! Words of a POSIX shell.

/// A longer text is not passed as an argument, bytes. The kernel takes 128 KiB (`MAX_ARG_STRLEN`, execve(2)).
pub const LONGEST_TEXT: usize = 100_000;

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

/// Returns whether a shell can have a variable of this name.
pub fn is_shell_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Returns a command that runs with these entries in its environment, whatever their names are.
pub fn with_env(args: Vec<String>, entries: &[String]) -> Vec<String> {
    if entries.is_empty() {
        return args;
    }
    let program = std::iter::once("env".to_owned());
    program.chain(entries.iter().cloned()).chain(args).collect()
}

/// Returns a shell's program and arguments with `-e`, which stops it at the first command that fails;
/// unchanged if it is not known where the shell takes the option.
pub fn with_errexit(shell: &[String]) -> Vec<String> {
    let mut args = shell.to_vec();
    if let Some(at) = errexit_position(shell) {
        args.insert(at, "-e".to_owned());
    }
    args
}

/// Returns whether [`with_errexit`] can add `-e`.
pub fn takes_errexit(shell: &[String]) -> bool {
    errexit_position(shell).is_some()
}

/// Returns the index at which a shell takes `-e`: behind its name, which may follow that of a program which
/// starts it (`env bash -c`, `conda run -n x bash -c`), and behind its long options, which bash takes only
/// before all others.
fn errexit_position(shell: &[String]) -> Option<usize> {
    let is_shell = |at: &usize| {
        let word = &shell[*at];
        let name = word.rsplit('/').next().unwrap_or_default();
        let is_value = at.checked_sub(1).is_some_and(|before| {
            // Of `su` and its like: the options that follow are theirs.
            matches!(shell[before].as_str(), "-s" | "--shell")
        });
        let is_known = matches!(
            name,
            "sh" | "bash" | "rbash" | "dash" | "ash" | "zsh" | "ksh" | "mksh"
        );
        is_known && !word.starts_with('-') && !is_value
    };
    let mut at = (0..shell.len()).rev().find(is_shell)? + 1;
    let options = &shell[at..];
    // Other words than options are another program, as in `conda run -n sh python -c`.
    if !options.first()?.starts_with(['-', '+']) || !options.iter().any(|word| takes_text(word)) {
        return None;
    }
    while let Some(word) = shell.get(at).filter(|word| word.starts_with("--")) {
        let has_value = matches!(word.as_str(), "--rcfile" | "--init-file");
        at += 1 + usize::from(has_value);
    }
    Some(at.min(shell.len()))
}

/// Returns whether a word is an option with which a shell runs a text: `-c`, or several as in `-lc`.
fn takes_text(word: &str) -> bool {
    let letters = word.strip_prefix('-').unwrap_or_default();
    letters.contains('c') && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
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
    fn a_shell_takes_errexit_behind_its_name_and_its_long_options() {
        for (shell, expected) in [
            ("/bin/sh -c", "/bin/sh -e -c"),
            ("/bin/bash -o pipefail -c", "/bin/bash -e -o pipefail -c"),
            ("/bin/bash --login -c", "/bin/bash --login -e -c"),
            (
                "bash --rcfile /x --login -c",
                "bash --rcfile /x --login -e -c",
            ),
            ("/bin/bash -lc", "/bin/bash -e -lc"),
            ("/usr/bin/env bash -c", "/usr/bin/env bash -e -c"),
            ("busybox sh -c", "busybox sh -e -c"),
            ("/bin/rbash -c", "/bin/rbash -e -c"),
            ("runuser -u j -- bash -c", "runuser -u j -- bash -e -c"),
            (
                "conda run -n x /bin/bash -c",
                "conda run -n x /bin/bash -e -c",
            ),
        ] {
            assert_eq!(with_errexit(&words(shell)), words(expected));
        }
    }

    #[test]
    fn other_shells_stay_as_they_are() {
        for shell in [
            "/usr/bin/python3 -c",
            "/opt/shell.sh",
            "fish -c",
            "/bin/bash",
            "sh -x",
            "su - j -s /bin/bash -c",
            "su --shell=/bin/bash j -c",
            "conda run -n sh python -c",
        ] {
            assert!(!takes_errexit(&words(shell)), "{shell}");
            assert_eq!(with_errexit(&words(shell)), words(shell));
        }
    }

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }
}
