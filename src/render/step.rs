//! One step as instructions.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;

use super::files::{File, Files};
use super::variables::{Changed, Variable};
use super::words::{array, here_document, is_one_command};
use super::{Inputs, Note, pinned};
use crate::compile::{Compiler, PLACE, takes_errexit, user_of, with_errexit};
use crate::diagnostic::Diagnostic;
use crate::llb::{Exec, Network, Output};
use crate::stack::{Image, Kind, Step};

/// A longer script is a file beside the Dockerfile, lines.
const LONGEST_SCRIPT: usize = 30;

/// The shell of a Dockerfile that sets none.
pub const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// The text of scripts that enter the folder which is their first argument.
pub const ENTER: &str = "cd \"$1\" && shift";

/// The Dockerfile of an image as far as it is written, and the folder it is in.
#[derive(Debug, Default)]
pub struct Written {
    /// The instructions.
    pub text: String,
    /// The instructions of a stage of files with modes that `COPY` cannot give them in the image.
    pub staged: String,
    /// The files beside it.
    pub files: Files,
    /// `USER` at the end of the text, by [`user_of`].
    pub user: String,
    /// `WORKDIR` at the end of the text.
    pub workdir: String,
    /// `SHELL` at the end of the text.
    pub shell: Vec<String>,
    /// The environment at the end of the text.
    pub env: BTreeMap<String, String>,
    /// Secrets that its steps use.
    pub secrets: BTreeSet<String>,
    /// Whether a step uses uv.
    pub uv: bool,
    /// Whether a step uses py-rattler.
    pub rattler: bool,
    /// What differs.
    pub notes: Vec<Note>,
}

/// A step that is written.
pub struct Folder<'a, 'b> {
    /// The Dockerfile.
    pub written: &'b mut Written,
    /// The operations.
    pub compiler: &'b mut Compiler<'a>,
    /// The image.
    pub image: &'b Image,
    /// The names of images in the graph.
    pub images: &'b BTreeMap<Output, String>,
    /// What is rendered.
    pub inputs: &'b Inputs<'b>,
    /// All files that steps of the image use.
    pub used: &'b BTreeSet<Utf8PathBuf>,
    /// The step.
    pub step: &'b Step,
    /// Its number, from 1.
    pub number: usize,
    /// What its script does first.
    pub prelude: Vec<String>,
}

impl Folder<'_, '_> {
    /// Adds an instruction.
    pub fn line(&mut self, text: &str) {
        self.written.line(text);
    }

    /// Adds a file to the folder.
    pub fn put(&mut self, path: &str, file: File) {
        self.written.files.0.insert(path.to_owned(), file);
    }

    /// Returns the path in the folder of something that only this step has.
    pub fn own_path(&self, name: &str) -> String {
        format!("steps/{:02}/{name}", self.number)
    }

    /// Returns the path in the folder of a file of the stack.
    pub fn natural_path(&self, path: &str) -> Option<String> {
        let inside = path.strip_prefix("images/")?;
        let own = format!("{}/", self.image.name.value);
        Some(match inside.strip_prefix(&own) {
            Some(rest) => format!("files/{rest}"),
            None => format!("shared/{inside}"),
        })
    }

    /// Returns the name of an image in the graph.
    pub fn image_of(&self, input: Output) -> Option<String> {
        let source = self.compiler.graph.source_of(input)?;
        let crate::llb::Source::Image { reference, .. } = source else {
            return None;
        };
        let known = self.images.get(&input).cloned();
        known.or_else(|| {
            // Without its digest if that is not known: then the graph has one that stands for it.
            let reference = crate::name::Reference::parse(reference).ok()?;
            let bare = crate::name::Reference {
                digest: None,
                ..reference.clone()
            };
            let external = self.image.external_images();
            let mut external = external.iter().map(|image| &image.reference.value);
            let found = external.find(|known| **known == reference || **known == bare);
            Some(found.map_or_else(|| reference.to_string(), |it| pinned(it, self.inputs.facts)))
        })
    }

    /// Notes that a secret is used.
    pub fn secret(&mut self, id: &str) {
        self.written.secrets.insert(id.to_owned());
    }

    /// Notes that uv is used.
    pub fn uses_uv(&mut self) {
        self.written.uv = true;
    }

    /// Notes that py-rattler is used.
    pub fn uses_rattler(&mut self) {
        self.written.rattler = true;
    }

    /// Adds a command.
    pub fn run(&mut self, exec: Exec) -> Result<(), Diagnostic> {
        self.written.as_user(&exec.user);
        let is_mounted = |target: &str| exec.mounts.iter().any(|mount| mount.target == target);
        let mut args = exec.args.clone();
        // Entered by the command: as `WORKDIR`, the folder would be made below the mount.
        if is_mounted(exec.cwd.trim_end_matches('/')) && exec.cwd != self.written.workdir {
            let text = format!("{ENTER} && exec \"$@\"");
            let enter = ["/bin/sh", "-c", &text, "laminate", &exec.cwd];
            args.splice(0..0, enter.map(str::to_owned));
        } else {
            self.written.in_folder(&exec.cwd);
        }
        let mut options = Vec::new();
        if self.step.network == Some(crate::stack::Network::None) && exec.network == Network::None {
            options.push("--network=none".to_owned());
        }
        options.extend(self.mount_options(&exec)?);
        let changed = self.changed_variables(&exec);
        let inline = self.inline(&args, &changed);
        if inline.is_none() {
            args = self.in_files(&args, &changed, &mut options);
        }
        let uses_place = options
            .iter()
            .any(|option| option.contains(&format!("={PLACE}")))
            || exec.args.iter().any(|arg| arg.contains(PLACE));
        if uses_place {
            options.insert(0, format!("--mount=type=tmpfs,target={PLACE}"));
        }
        let (first, rest) = match inline {
            Some((first, rest)) => (first, rest),
            None => (array(&args), String::new()),
        };
        let mut text = "RUN".to_owned();
        for option in &options {
            text.push_str(&format!(" {option} \\\n   "));
        }
        self.line(&format!("{text} {first}\n{rest}"));
        Ok(())
    }

    /// Returns the variables that the command has otherwise than the image at this place.
    fn changed_variables(&self, exec: &Exec) -> Changed {
        let known = &self.written.env;
        let entries = exec.env.iter();
        let pairs = entries.map(|entry| entry.split_once('=').unwrap_or((entry, "")));
        let of_step: BTreeMap<&str, &str> = pairs.collect();
        let missing = known
            .keys()
            .filter(|name| !of_step.contains_key(name.as_str()));
        let missing = missing.map(|name| {
            let variable = match (name.as_str(), exec.user.as_str()) {
                // The runtime sets it for other users than that of the image.
                ("HOME", "0") => Variable::Set("/root".to_owned()),
                ("HOME", _) => Variable::Home,
                _ => Variable::Unset,
            };
            (name.clone(), variable)
        });
        let is_other =
            |(name, value): &(&&str, &&str)| known.get(**name).map(String::as_str) != Some(**value);
        let set = of_step.iter().filter(is_other);
        let set = set.map(|(name, value)| ((*name).to_owned(), Variable::Set((*value).to_owned())));
        Changed(missing.chain(set).collect())
    }

    /// Returns a command as text of the Dockerfile: the rest of the line, and the lines after it.
    fn inline(&self, args: &[String], changed: &Changed) -> Option<(String, String)> {
        let shell = &self.written.shell;
        let is_default = shell.iter().eq(SHELL.iter());
        let (script, mut errexit) = match args {
            [program, option, script] if is_default && program == "/bin/sh" && option == "-ec" => {
                (script, true)
            }
            [program, option, script] if is_default && program == "/bin/sh" && option == "-c" => {
                (script, false)
            }
            [before @ .., script] if before == with_errexit(shell) => {
                (script, takes_errexit(shell))
            }
            _ => {
                let is_exec = matches!(self.step.kind, Kind::Exec(_) | Kind::Script(_))
                    && args.get(3).is_none_or(|name| name != "laminate");
                return (is_exec && changed.0.is_empty()).then(|| (array(args), String::new()));
            }
        };
        let before = changed.lines()?;
        let is_own = matches!(self.step.kind, Kind::Run(_) | Kind::Apt(_) | Kind::Pip(_));
        if script.lines().count() > LONGEST_SCRIPT && !is_own || script.starts_with("#!") {
            return None;
        }
        if before.is_empty() && self.prelude.is_empty() && is_one_command(script) {
            return Some((script.clone(), String::new()));
        }
        let mut text = String::new();
        errexit &= !script.starts_with("set -e\n");
        if errexit {
            text.push_str("set -e\n");
        }
        text.push_str(&before);
        for line in &self.prelude {
            text.push_str(&format!("{line}\n"));
        }
        text.push_str(script);
        if !text.ends_with('\n') {
            text.push('\n');
        }
        here_document(&text)
    }
}

impl Written {
    /// Adds an instruction.
    pub fn line(&mut self, text: &str) {
        self.text.push_str(text);
        if !text.ends_with('\n') {
            self.text.push('\n');
        }
    }

    /// Adds `USER` unless it is that already.
    pub fn as_user(&mut self, user: &str) {
        let user = user_of(user);
        if user == self.user {
            return;
        }
        let name = if user == "0" { "root" } else { &user };
        self.text
            .push_str(&format!("USER {}\n", super::words::value(name)));
        self.user = user;
    }

    /// Adds `WORKDIR` unless it is that already.
    pub fn in_folder(&mut self, folder: &str) {
        if folder == self.workdir {
            return;
        }
        self.text
            .push_str(&format!("WORKDIR {}\n", super::words::value(folder)));
        folder.clone_into(&mut self.workdir);
    }
}

/// Returns the key of a kind of step.
pub fn kind_name(step: &Step) -> &'static str {
    match &step.kind {
        Kind::Apt(_) => "apt",
        Kind::Pip(_) => "pip",
        Kind::Conda(_) => "conda",
        Kind::Copy(_) => "copy",
        Kind::Write(_) => "write",
        Kind::Append(_) => "append",
        Kind::Link(_) => "link",
        Kind::Perms(_) => "perms",
        Kind::Run(_) => "run",
        Kind::Exec(_) => "exec",
        Kind::Script(_) => "script",
        Kind::Workdir(_) => "workdir",
        Kind::Group(_) => "group",
        Kind::Dockerfile(_) => "dockerfile",
    }
}
