//! The command of each kind of step, one file a kind: `pip` is in `pip.rs`, its shell in
//! `scripts/pip.sh` and `scripts/pip_uv.sh`.
//!
//! [`command`] is called for a step and for each member of a group. Steps that only place files are
//! mostly file operations instead, which `file_actions` makes.

mod apt;
mod conda;
pub mod file_actions;
pub mod file_commands;
mod paths;
mod pip;
pub mod placement;

use super::command::{Arg, Command, path_in_step};
use super::shell::{LONGEST_TEXT, takes_errexit, with_errexit};
use crate::stack::{Files, Kind, Step};
use placement::placements;

/// Returns the command of one step; `None` for a group, which is merged from its members' commands.
/// `shell` runs the text of a `run` step.
pub fn command(step: &Step, shell: &[String], files: &Files) -> Option<Command> {
    let command = match &step.kind {
        Kind::Apt(step) => apt::command(step),
        Kind::Pip(pip) => pip::command(pip),
        Kind::Conda(conda) => conda::command(conda),
        Kind::Append(list) => file_commands::append(list),
        Kind::Perms(list) => file_commands::perms(list),
        Kind::Run(text) => run(text, shell),
        Kind::Exec(args) => Command {
            args: args.iter().map(|arg| arg.as_str().into()).collect(),
            ..Command::default()
        },
        Kind::Script(file) => Command {
            args: vec![path_in_step(file).into()],
            files: vec![file.clone()],
            ..Command::default()
        },
        Kind::Copy(_) | Kind::Write(_) | Kind::Link(_) => {
            let list = placements(step, files).expect("these kinds place files");
            file_commands::place(&list, step.user.as_deref())
        }
        Kind::Group(_) | Kind::Workdir(_) | Kind::Dockerfile(_) => return None,
    };
    Some(command)
}

/// Returns the command of a `run` step. A long text is a file that the shell reads: the kernel limits the
/// length of an argument.
fn run(text: &str, shell: &[String]) -> Command {
    let mut made = Command::default();
    let mut last = Arg::from(text);
    if text.len() > LONGEST_TEXT && takes_errexit(shell) {
        last = Arg::from(". ");
        last.push_text_path("run");
        made.texts.insert("run".to_owned(), text.to_owned());
    }
    let shell = with_errexit(shell).into_iter().map(Into::into);
    made.args = shell.chain([last]).collect();
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::command::MountNames;

    #[test]
    fn a_long_text_is_read_from_a_file() {
        let shell = ["/bin/bash", "--login", "-c"].map(str::to_owned);
        let short = run("true", &shell);
        assert_eq!(
            short.expanded_args(&MountNames::default()),
            ["/bin/bash", "--login", "-e", "-c", "true"]
        );
        let text = "true\n".repeat(40_000);
        let long = run(&text, &shell);
        assert_eq!(
            long.expanded_args(&MountNames::default())[4],
            ". /run/laminate/texts/run"
        );
        assert_eq!(long.texts["run"], text);
    }
}
