//! Names of commands that other tools have, for people who try them here.

use clap::CommandFactory as _;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::Args;

/// Names that laminate does not have, and the commands that do what they do elsewhere.
const GUESSED: [(&[&str], &str); 20] = [
    (
        &["releases", "release", "log", "tags"],
        "`laminate history` lists releases and the moves of channels",
    ),
    (
        &["list", "ls", "images", "get"],
        "`laminate plan` lists images, `laminate history` releases, `laminate status` channels",
    ),
    (
        &["ps", "channels", "channel"],
        "`laminate status` shows the release of each channel",
    ),
    (
        &["rollback", "undo", "restore"],
        "`laminate revert CHANNEL` moves a channel back",
    ),
    (
        &["push", "publish"],
        "`laminate build --push` builds, tests and tags all images",
    ),
    (
        &["tag", "deploy", "upgrade", "rollout"],
        "`laminate build --push` tags images with the commit, `laminate promote --to CHANNEL` moves a channel to them",
    ),
    (
        &["inspect", "describe", "info"],
        "`laminate show RELEASE` shows a release, `laminate why IMAGE` an image",
    ),
    (&["explain"], "`laminate why IMAGE` explains an image"),
    (
        &["exec", "debug", "sh", "bash", "logs"],
        "`laminate shell IMAGE` opens a shell in an image, `--at STEP` in a step that failed; `laminate build --verbose` shows all output",
    ),
    (
        &["check", "lint", "validate", "config"],
        "`laminate plan` checks the spec, and `laminate plan --expand` prints it written out",
    ),
    (
        &["template", "convert", "dockerfile", "bake"],
        "`laminate render --dockerfile DIR` writes Dockerfiles, `laminate import` reads them",
    ),
    (
        &["update", "outdated", "pin"],
        "`laminate lock --update` pins the current digests of external images",
    ),
    (
        &["save", "export"],
        "`laminate build --export oci:FILE` writes images to an archive",
    ),
    (
        &["load"],
        "`laminate build --load` loads images into docker or podman",
    ),
    (
        &["verify", "retest"],
        "`laminate test --retest` runs all suites",
    ),
    (&["compare"], "`laminate diff A B` compares two releases"),
    (
        &["tree"],
        "`laminate graph` shows which image is based on which",
    ),
    (&["new", "create"], "`laminate init` writes a small stack"),
    (&["version"], "`laminate --version` prints the version"),
    (
        &["login", "logout"],
        "`docker login` logs in to a registry, and laminate uses its credentials",
    ),
];

/// Returns the unknown command of an invalid command line, and the commands that do what it does elsewhere. `words`: those of
/// the command line, with the program first.
pub fn guessed(
    error: &clap::Error,
    words: impl IntoIterator<Item = String>,
) -> Option<(String, &'static str)> {
    if error.kind() != ErrorKind::InvalidSubcommand {
        return None;
    }
    let Some(ContextValue::String(found)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let mut before = words.into_iter().take_while(|word| word != found);
    let commands = Args::command();
    // `evidence` has commands of its own.
    if before.any(|word| commands.find_subcommand(word).is_some()) {
        return None;
    }
    let mut table = GUESSED.iter();
    let (_, help) = table.find(|(names, _)| names.contains(&found.as_str()))?;
    Some((found.clone(), help))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn help(line: &str) -> Option<&'static str> {
        let words = || ["laminate"].into_iter().chain(line.split(' '));
        let error = Args::parse_from(words()).expect_err(line);
        Some(guessed(&error, words().map(str::to_owned))?.1)
    }

    #[test]
    fn a_command_of_another_tool_gets_the_command_that_does_it() {
        for (line, expected) in [
            ("releases", "laminate history"),
            ("-C x rollback stable", "laminate revert CHANNEL"),
            ("help push", "laminate build --push"),
            ("--json ps", "laminate status"),
        ] {
            let help = help(line).expect(line);
            assert!(help.starts_with(&format!("`{expected}`")), "{line}: {help}");
        }
        for line in ["frobnicate", "biuld", "evidence ls", "plan --nope"] {
            assert_eq!(help(line), None, "{line}");
        }
    }

    #[test]
    fn each_guess_is_unknown_and_its_commands_are_valid() {
        let commands = Args::command();
        let mut names = BTreeSet::new();
        for (guesses, help) in GUESSED {
            for name in guesses {
                assert!(commands.find_subcommand(name).is_none(), "{name}");
                assert!(names.insert(name), "{name} is there twice");
            }
            for line in help.split('`').filter(|text| text.starts_with("laminate ")) {
                let refused = Args::parse_from(line.split(' ')).err();
                let refused = refused.filter(|error| error.use_stderr());
                assert!(refused.is_none(), "{line}: {refused:?}");
            }
        }
    }
}
