//! Shell text laminate itself writes into steps.

use std::fmt::Write as _;

use crate::stack::Writable;

/// A text as one word of a POSIX shell.
pub fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Words as one command line.
pub fn line<'a>(words: impl IntoIterator<Item = &'a String>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| quote(word)).collect();
    words.join(" ")
}

/// Argv that runs `args` and then gives what it changed below the writable paths to the group.
///
/// What changed is what has a change time after a marker. The marker is made first, and the step
/// begins only when the clock of the file system has gone on from it: two files of one tick have the
/// same time. The corrections run as the step's user; what that user cannot correct fails the step.
pub fn with_writable(args: &[String], writable: &Writable) -> Vec<String> {
    let gid = writable.gid;
    let mut text = String::from(
        "set -e\n\
         marker=/run/laminate/marker\n\
         : >\"$marker\"\n\
         : >\"$marker.now\"\n\
         while [ -z \"$(find \"$marker.now\" -newer \"$marker\")\" ]; do : >\"$marker.now\"; done\n\
         \"$@\"\n",
    );
    let paths = line(&writable.paths);
    let _ = write!(
        text,
        "for path in {paths}; do\n\
         [ -e \"$path\" ] || continue\n\
         find \"$path\" -cnewer \"$marker\" ! -group {gid} -exec chgrp -h {gid} {{}} + 2>/dev/null || true\n\
         find \"$path\" -cnewer \"$marker\" -type d ! -perm -2070 -exec chmod g+rwxs {{}} + 2>/dev/null || true\n\
         find \"$path\" -cnewer \"$marker\" -type f ! -perm -0060 -exec chmod g+rw {{}} + 2>/dev/null || true\n\
         find \"$path\" -cnewer \"$marker\" -type f -perm -0100 ! -perm -0010 -exec chmod g+x {{}} + 2>/dev/null || true\n\
         wrong=$(find \"$path\" -cnewer \"$marker\" '(' ! -group {gid} -o -type d ! -perm -2070 -o -type f ! -perm -0060 ')' | head -n 5)\n\
         if [ -n \"$wrong\" ]; then\n\
         echo \"laminate: the step's user cannot make these writable for group {gid}:\" >&2\n\
         echo \"$wrong\" >&2\n\
         exit 1\n\
         fi\n\
         done\n"
    );
    let mut all = vec!["/bin/sh".to_owned(), "-c".to_owned(), text];
    all.push("laminate".to_owned());
    all.extend_from_slice(args);
    all
}

/// The shell's argv with `-e`, which stops at the first command that fails. Only shells known to
/// take it get it.
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
