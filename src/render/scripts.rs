//! Scripts of commands as files beside the Dockerfile.

use super::files::File;
use super::step::{ENTER, Folder, kind_name};
use super::variables::Changed;
use crate::compile::{PLACE, takes_errexit};
use crate::stack::Kind;

/// A command whose scripts become files.
#[derive(Debug, Default)]
struct InFiles {
    args: Vec<String>,
    mounts: Vec<String>,
}

impl Folder<'_, '_> {
    /// Returns a command whose scripts are files of the folder, which `options` mount.
    pub fn in_files(
        &mut self,
        args: &[String],
        changed: &Changed,
        options: &mut Vec<String>,
    ) -> Vec<String> {
        let mut made = InFiles::default();
        let mut rest = args;
        // Scripts that run what follows them.
        while let [program, option, script, name, after @ ..] = rest
            && program == "/bin/sh"
            && option == "-c"
            && name == "laminate"
        {
            let script = lines(script);
            let name = self.wrapper(&script);
            made.args.push(program.clone());
            self.mounted(&name, script.clone(), &mut made);
            rest = after;
            if script.contains(ENTER)
                && let [folder, after @ ..] = rest
            {
                made.args.push(folder.clone());
                rest = after;
            }
        }
        self.innermost(rest, changed, &mut made);
        options.extend(made.mounts);
        made.args
    }

    /// Adds the command that no other script runs.
    fn innermost(&mut self, args: &[String], changed: &Changed, made: &mut InFiles) {
        let name = format!("{:02}-{}.sh", self.number, kind_name(self.step));
        let (before, script) = match args {
            [program, option, script]
                if program == "/bin/sh" && (option == "-ec" || option == "-c") =>
            {
                let mut before = vec![program.clone()];
                before.extend((option == "-ec").then(|| "-e".to_owned()));
                (before, Some((script, false)))
            }
            [before @ .., script]
                if matches!(self.step.kind, Kind::Run(_)) && takes_errexit(before) =>
            {
                // In a file only if the JSON form would be unreadable.
                let is_file =
                    script.contains('\n') || !changed.0.is_empty() || !self.prelude.is_empty();
                let is_plain = before == ["/bin/sh", "-e", "-c"];
                let before = if is_file && is_plain {
                    &before[..2]
                } else {
                    before
                };
                let mut before = before.to_vec();
                if !is_file {
                    before.push(script.clone());
                }
                (before, is_file.then_some((script, !is_plain)))
            }
            _ => (args.to_vec(), None),
        };
        let exported = script.and_then(|_| changed.lines());
        if exported.is_none() {
            made.args.extend(changed.command());
        }
        made.args.extend(before);
        let Some((script, is_read)) = script else {
            return;
        };
        let mut text = exported.unwrap_or_default();
        for line in &self.prelude {
            text.push_str(&format!("{line}\n"));
        }
        text.push_str(&lines(script));
        self.mounted(&name, text, made);
        if is_read && let Some(path) = made.args.last_mut() {
            path.insert_str(0, ". ");
        }
    }

    /// Adds a script, and its path as the next argument.
    fn mounted(&mut self, name: &str, script: String, made: &mut InFiles) {
        let path = format!("steps/{name}");
        self.put(&path, File::text(script));
        let target = format!("{PLACE}/{name}");
        made.mounts
            .push(format!("--mount=type=bind,source={path},target={target}"));
        made.args.push(target);
    }

    /// Returns the name of a script that runs what follows it: one name for the same script.
    fn wrapper(&self, script: &str) -> String {
        let known = File::text(script.to_owned());
        let stem = if script.contains(ENTER) {
            "enter"
        } else {
            "writable"
        };
        let names = (1..).map(|number| match number {
            1 => format!("{stem}.sh"),
            _ => format!("{stem}-{number}.sh"),
        });
        let is_free = |name: &String| match self.written.files.0.get(&format!("steps/{name}")) {
            Some(file) => *file == known,
            None => true,
        };
        names.into_iter().find(is_free).unwrap_or_default()
    }
}

/// Returns a text that ends with a line end.
fn lines(text: &str) -> String {
    if text.ends_with('\n') {
        text.to_owned()
    } else {
        format!("{text}\n")
    }
}
