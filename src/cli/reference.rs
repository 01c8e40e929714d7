//! `laminate completions`, and the generated `docs/cli.md`.

use serde_json::json;

use super::args::{Args, CompletionsArgs};
use super::{Answer, Exit, Failure};

pub fn completions(args: &CompletionsArgs) -> Result<Answer, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Args::shown(), "laminate", &mut script);
    let text = String::from_utf8_lossy(&script).into_owned();
    Ok(Answer::new(Exit::Done, json!({ "script": text }), text))
}

pub fn reference() -> Result<Answer, Failure> {
    let text = text();
    Ok(Answer::new(Exit::Done, json!({ "markdown": text }), text))
}

const CODES: &str = "\
## Exit codes

| code | means |
|---|---|
| 0 | done, or nothing to do |
| 2 | the command line is wrong |
| 3 | specs.yml or a file under images/ is wrong |
| 4 | the surroundings: no engine, no registry, no credentials, no git, no disk |
| 5 | a build step failed |
| 6 | a check, test or gate failed, or was not proven |
| 7 | publish, promote or revert refused or failed; the message says what is named and what to run |
| 10 | `plan`, `diff`, `status`, `prepull --stale`: fine, and there is a difference |
| 70 | a bug in laminate; the message says how to report it |
| 130 | interrupted; nothing half-named |
";

/// The reference of the command line, made from the arguments themselves.
pub fn text() -> String {
    let mut text = String::from(
        "# The command line\n\n\
         Made by `laminate reference`; do not edit. stdout is data, stderr is for people; with `--json`\n\
         one document is written to stdout, also on failure (`{\"error\": …}`).\n\n",
    );
    let mut command = Args::shown().term_width(100);
    command.build();
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        if sub.get_name() == "help" {
            continue;
        }
        let mut sub = sub.clone();
        let help = sub.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        text.push_str(&format!(
            "## `laminate {}`\n\n```text\n{}\n```\n\n",
            sub.get_name(),
            help.join("\n").trim_end()
        ));
    }
    text.push_str(CODES);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_make_sense() {
        Args::shown().debug_assert();
    }

    #[test]
    fn docs_cli_md_is_not_stale() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            there == text(),
            "docs/cli.md is stale: cargo run -- reference >docs/cli.md"
        );
    }
}
