//! Options of this command line that other commands on the same stack need as well.

use clap::ArgMatches;
use clap::parser::ValueSource;

use crate::compile::quote;

/// Options that change what a stack is and what builds it: the ID of the argument, the option as it is written, and whether it
/// has a value. Values of variables are in the environment of the next command as well.
const OPTIONS: [(&str, &str, bool); 12] = [
    ("directory", "-C", true),
    ("spec", "--spec", true),
    ("vars", "--var", true),
    ("registry", "--registry", true),
    ("staging", "--staging", true),
    ("variants", "--variant", true),
    ("engine", "--engine", true),
    ("insecure_engine", "--insecure-engine", false),
    ("ca", "--ca", true),
    ("secrets", "--secret", true),
    ("agents", "--ssh", true),
    ("offline", "--offline", false),
];

/// Options that `test` does not have.
const NOT_OF_TEST: [&str; 2] = ["--ssh", "--offline"];

/// Options as they were given on the command line, for commands that messages name.
#[derive(Clone, Debug, Default)]
pub struct GivenOptions(Vec<(&'static str, Option<String>)>);

impl GivenOptions {
    /// Reads the options of a command.
    pub(super) fn read(matches: &ArgMatches) -> Self {
        let mut given = Self::default();
        let Some((_, own)) = matches.subcommand() else {
            return given;
        };
        for (id, option, has_value) in OPTIONS {
            // Most commands have only some of them.
            let Ok(Some(values)) = own.try_get_raw(id) else {
                continue;
            };
            if own.value_source(id) != Some(ValueSource::CommandLine) {
                continue;
            }
            if has_value {
                let values = values.map(|value| value.to_string_lossy().into_owned());
                given.0.extend(values.map(|value| (option, Some(value))));
            } else {
                given.0.push((option, None));
            }
        }
        given
    }

    /// Returns a command of laminate with these options, to be copied to a shell. `words`: `shell` or `test`, and what follows.
    pub fn command(&self, words: &[&str]) -> String {
        let is_test = words.first() == Some(&"test");
        let options = self.0.iter();
        let options = options.filter(|(option, _)| !is_test || !NOT_OF_TEST.contains(option));
        let options = options.flat_map(|(option, value)| match value {
            None => vec![(*option).to_owned()],
            Some(value) if value.starts_with('-') && option.starts_with("--") => {
                vec![format!("{option}={value}")]
            }
            Some(value) => vec![(*option).to_owned(), value.clone()],
        });
        let words = words.iter().map(|word| (*word).to_owned());
        let words = ["laminate".to_owned()].into_iter().chain(words);
        let words: Vec<String> = words.chain(options).map(|word| quote(&word)).collect();
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::super::Args;

    fn command(line: &[&str], words: &[&str]) -> String {
        let line = ["laminate"].iter().chain(line);
        let args = Args::parse_from(line).expect("a valid command line");
        args.global.given.command(words)
    }

    #[test]
    fn a_command_has_the_options_that_were_given() {
        let line = [
            "-C",
            "my stack",
            "build",
            "--export",
            "oci:x",
            "--engine",
            "tcp://x:1",
            "--secret",
            "a=b",
            "--variant",
            "1,2",
            "--offline",
            "--var",
            "x=-it's",
            "--verbose",
        ];
        assert_eq!(
            command(&line, &["shell", "web", "--at", "2"]),
            r"laminate shell web --at 2 -C 'my stack' --var 'x=-it'\''s' --variant 1 --variant 2 --engine tcp://x:1 --secret a=b --offline"
        );
        assert_eq!(
            command(
                &["build", "--ssh", "default", "--ca", "c"],
                &["test", "a b"]
            ),
            "laminate test 'a b' --ca c"
        );
        assert_eq!(command(&["plan"], &["test"]), "laminate test");
    }

    #[test]
    fn a_command_can_be_parsed() {
        let words = [
            "-C",
            "d",
            "run",
            "web",
            "--spec",
            "f",
            "--registry",
            "h/n",
            "--staging",
            "h/n/s",
            "--engine",
            "unix:///x",
            "--insecure-engine",
            "--ca",
            "c",
            "--ssh",
            "default",
            "--secret",
            "a=b",
            "--offline",
        ];
        for own in [&["shell", "web"][..], &["test", "web"]] {
            let made = command(&words, own);
            let parsed = Args::parse_from(made.split(' '));
            assert!(parsed.is_ok(), "{made}");
        }
    }
}
