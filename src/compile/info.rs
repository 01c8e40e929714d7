//! Info commands: they run on a finished image and leave their output in a tree of its own.

use super::command::{ROOT, user_of};
use super::compiler::{BaseState, Compiler, group_of};
use super::defaults::shell_of;
use super::script::{expand, results};
use super::shell::{line, with_errexit};
use crate::llb::{Exec, Meta, Network, Output};
use crate::stack::{ImageId, InfoCommand};

impl Compiler<'_> {
    /// Adds info commands on an image; returns a tree with a folder below [`LEFT`](super::LEFT) for each,
    /// by its name, with `out`, `err` and `exit`.
    pub fn info(&mut self, id: ImageId, state: &BaseState, commands: &[&InfoCommand]) -> Output {
        let label = self.stack.label(id);
        let shell = shell_of(self.stack[id].shell.as_ref(), &state.config);
        let script = |command: &&InfoCommand| {
            let mut args = with_errexit(&shell);
            args.push(command.run.clone());
            let folder = format!("{}/{}", results(), command.name);
            expand(
                include_str!("scripts/info.sh"),
                &[("FOLDER", &folder), ("COMMAND", &line(&args))],
            )
        };
        let script: String = commands.iter().map(script).collect();
        let exec = Exec {
            args: vec!["/bin/sh".to_owned(), "-c".to_owned(), script],
            env: state.config.env().entries(),
            cwd: state.config.workdir(),
            user: state.config.user().map_or_else(|| ROOT.to_owned(), user_of),
            network: Network::None,
            root: state.output,
            mounts: Vec::new(),
            proxy: None,
        };
        let names: Vec<&str> = commands
            .iter()
            .map(|command| command.name.as_str())
            .collect();
        let meta = Meta {
            name: format!("{label}: info {}", names.join(", ")),
            group: Some(group_of(&label)),
            origin: commands.first().map(|command| self.origin_of(command.span)),
            ignore_cache: false,
        };
        self.exec_with_results(exec, meta)
    }
}
