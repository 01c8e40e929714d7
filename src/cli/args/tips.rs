//! Tips for command lines that are valid in other tools.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::compile::line;

/// Options of `docker run` that need no option here, or have none.
const OF_DOCKER: [(&[&str], &str); 3] = [
    (
        &["-i", "-t", "--interactive", "--tty"],
        "leave it out: the process gets a terminal if standard input and output are terminals",
    ),
    (
        &["--rm"],
        "leave it out: what the process changes is not kept",
    ),
    (
        &["-p", "--publish"],
        "ports are not published: `laminate build --load` loads the image into docker or podman",
    ),
];

/// Adds how a channel is promoted to if `--to` is missing and one word is given, as in `promote latest`.
pub(super) fn with_channel(
    mut error: clap::Error,
    words: impl IntoIterator<Item = impl Into<std::ffi::OsString>>,
) -> clap::Error {
    let words = words.into_iter().map(|word| word.into());
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    if let ([_, command, channel], ErrorKind::MissingRequiredArgument) =
        (words.as_slice(), error.kind())
        && command == "promote"
        && !channel.starts_with('-')
    {
        let tip = format!(
            "`{}` moves a channel to the release of the checked-out commit",
            line(&["laminate", "promote", "--to", channel].map(str::to_owned))
        );
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

/// Adds where `--` is missing if the command of `run` or `shell` was taken for an argument of laminate.
pub(super) fn with_dashes(
    mut error: clap::Error,
    words: impl IntoIterator<Item = impl Into<std::ffi::OsString>>,
) -> clap::Error {
    let words = words.into_iter().map(|word| word.into());
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let found = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(found)) if error.kind() == ErrorKind::UnknownArgument => found,
        _ => return error,
    };
    let mut places = words.iter();
    let command = places.position(|word| word == "run" || word == "shell");
    // The image comes first.
    let at = command.and_then(|command| {
        let rest = words
            .iter()
            .skip(command + 2)
            .position(|word| word == found);
        Some((command, command + 2 + rest?))
    });
    let mut of_docker = OF_DOCKER.iter();
    let of_docker = of_docker.find(|(names, _)| names.contains(&found.as_str()));
    if let (Some((_, tip)), Some(_)) = (of_docker, command) {
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![(*tip).into()]),
        );
        return error;
    }
    if let Some((command, at)) = at.filter(|_| !found.starts_with('-')) {
        let (before, after) = (line(&words[command..at]), line(&words[at..]));
        let tip = format!("put `--` before the command: `laminate {before} -- {after}`");
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

#[cfg(test)]
mod tests {
    use super::super::Args;
    use super::*;

    #[test]
    fn a_command_without_dashes_gets_a_hint() {
        for (line, hint) in [
            ("run web id -u", Some("`laminate run web -- id -u`")),
            (
                "shell run --offline id",
                Some("`laminate shell run --offline -- id`"),
            ),
            (
                "run web python -c a;b",
                Some("`laminate run web -- python -c 'a;b'`"),
            ),
            ("plan --nope", None),
            ("run web --nope", None),
        ] {
            let words = || ["laminate"].into_iter().chain(line.split(' '));
            let error = Args::parse_from(words()).expect_err(line);
            let text = with_dashes(error, words()).to_string();
            match hint {
                Some(hint) => {
                    let tip = format!("put `--` before the command: {hint}");
                    assert!(text.contains(&tip), "{text}");
                }
                None => assert!(!text.contains("put `--`"), "{text}"),
            }
        }
    }

    #[test]
    fn options_and_arguments_of_other_tools_get_a_hint() {
        for (line, hint) in [
            ("run web -it", "leave it out: the process gets a terminal"),
            ("run web --rm", "what the process changes is not kept"),
            ("run web -p 80:80", "ports are not published"),
            ("promote latest", "`laminate promote --to latest` moves"),
        ] {
            let words = || ["laminate"].into_iter().chain(line.split(' '));
            let error = Args::parse_from(words()).expect_err(line);
            let text = with_channel(with_dashes(error, words()), words()).to_string();
            assert!(text.contains(hint), "{text}");
        }
    }
}
