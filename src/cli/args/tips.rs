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

/// Adds what to write to the error of an invalid command line. `words`: those of the command line, with the program first.
pub(super) fn with_tip(
    mut error: clap::Error,
    words: impl IntoIterator<Item = impl Into<std::ffi::OsString>>,
) -> clap::Error {
    let words = words.into_iter().map(|word| word.into());
    let words: Vec<String> = words
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let tip = match (error.kind(), error.get(ContextKind::InvalidArg)) {
        (ErrorKind::MissingRequiredArgument, _) => channel(&words),
        (ErrorKind::UnknownArgument, Some(ContextValue::String(found))) => {
            of_process(found, &words)
        }
        _ => None,
    };
    if let Some(tip) = tip {
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

/// Returns how a channel is promoted to if `--to` is missing and one word is given, as in `promote latest`.
fn channel(words: &[String]) -> Option<String> {
    match words {
        [_, command, channel] if command == "promote" && !channel.starts_with('-') => {
            let command = ["laminate", "promote", "--to", channel].map(str::to_owned);
            Some(format!(
                "`{}` moves a channel to the release of the checked-out commit",
                line(&command)
            ))
        }
        _ => None,
    }
}

/// Returns what to write for an option of `docker run`, or where `--` is missing if the command of `run` or `shell` was taken
/// for an argument of laminate.
fn of_process(found: &str, words: &[String]) -> Option<String> {
    let mut places = words.iter();
    let command = places.position(|word| word == "run" || word == "shell")?;
    let mut of_docker = OF_DOCKER.iter();
    if let Some((_, tip)) = of_docker.find(|(names, _)| names.contains(&found)) {
        return Some((*tip).to_owned());
    }
    if found.starts_with('-') {
        return None;
    }
    // The image comes first.
    let first = command + 2;
    let mut rest = words.iter().skip(first);
    let at = first + rest.position(|word| word == found)?;
    let (before, after) = (line(&words[command..at]), line(&words[at..]));
    Some(format!(
        "put `--` before the command: `laminate {before} -- {after}`"
    ))
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
            let text = with_tip(error, words()).to_string();
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
            let text = with_tip(error, words()).to_string();
            assert!(text.contains(hint), "{text}");
        }
    }
}
