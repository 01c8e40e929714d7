//! [`Start`]: what the steps of an image start from.
//!
//! For steps on a Dockerfile of the stack, only the config of the finished image is known, in which `config:` may have
//! replaced what the Dockerfile set. Instructions inherit that from `FROM` without knowing it; where one must be
//! written, it is an error.

use std::collections::BTreeSet;

use serde_json::Value;

use super::step::{SHELL, Written};
use crate::compile::config::config;
use crate::compile::{BaseConfig, user_of};
use crate::diagnostic::Diagnostic;
use crate::llb::Exec;
use crate::stack::{Env, EnvChange, EnvPart, EnvString, EnvText, Image, Kind, Step};

/// Stands for the user of a Dockerfile, which is not known.
const USER: &str = "user-of-the-dockerfile";

/// Stands for the folder of a Dockerfile, which is not known.
const FOLDER: &str = "/folder-of-the-dockerfile";

/// What steps start from, and the image in the end.
pub struct Start<'a> {
    /// The image as declared.
    pub declared: &'a Image,
    /// The image for the compiler: without what `base` has of it already.
    pub image: Image,
    /// The config that the first step starts from, as far as it is known.
    pub base: BaseConfig,
    /// The config of the finished image.
    pub made: BaseConfig,
    /// Whether the steps are based on the Dockerfile of the image.
    pub is_dockerfile: bool,
}

impl<'a> Start<'a> {
    /// Returns the start of an image on a base.
    pub fn on_base(declared: &'a Image, base: BaseConfig) -> Self {
        Self {
            declared,
            image: declared.clone(),
            made: config(declared, &base),
            base,
            is_dockerfile: false,
        }
    }

    /// Returns the start of steps on the Dockerfile of an image, from the config of the finished image.
    pub fn on_dockerfile(declared: &'a Image, made: BaseConfig) -> Self {
        let mut image = declared.clone();
        let mut base = made.clone();
        let span = declared.name.span;
        let plain = |text: String| EnvString {
            text: EnvText(vec![EnvPart::Text(text)]),
            span,
        };
        image.env = Env::default();
        image.config.env = Env::default();
        let user = made.user().map_or_else(|| "0".to_owned(), user_of);
        image.config.user = Some(plain(user));
        image.config.workdir = Some(plain(made.workdir()));
        if let Some(user) = &declared.user {
            image.user = Some(plain(made.env().fill(user)));
        }
        let fields = &mut base.0["config"];
        if declared.config.user.is_some() {
            fields["User"] = USER.into();
        }
        if declared.config.workdir.is_some() {
            fields["WorkingDir"] = FOLDER.into();
        }
        if declared.config.shell.is_some() {
            fields["Shell"] = Value::Null;
        }
        if let Some(list) = fields["Env"].as_array_mut() {
            let is_late = |entry: &Value| {
                let name = entry.as_str().and_then(|it| it.split('=').next());
                name.is_some_and(|name| declared.config.env.contains_key(name))
            };
            list.retain(|entry| !is_late(entry));
        }
        Self {
            declared,
            image,
            base,
            made,
            is_dockerfile: true,
        }
    }

    /// Returns what is written before the first instruction.
    pub fn written(&self) -> Written {
        let is_known = self.knows_shell();
        let of_base = || self.base.shell();
        let shell = of_base().unwrap_or_else(|| SHELL.map(str::to_owned).to_vec());
        Written {
            user: user_of(self.base.user().unwrap_or("0")),
            workdir: self.base.workdir(),
            shell: if is_known { shell } else { Vec::new() },
            ..Written::default()
        }
    }

    fn knows_shell(&self) -> bool {
        !self.is_dockerfile || self.declared.config.shell.is_none()
    }

    /// Fails if a step depends on what is not known.
    pub fn check(&self, step: &Step) -> Result<(), Diagnostic> {
        if !self.is_dockerfile {
            return Ok(());
        }
        let members = match &step.kind {
            Kind::Group(members) => members.as_slice(),
            _ => &[],
        };
        let needs_shell = |step: &Step| matches!(step.kind, Kind::Run(_)) && step.shell.is_none();
        let all = || members.iter().chain([step]);
        if !self.knows_shell() && self.declared.shell.is_none() && all().any(needs_shell) {
            return Err(self.unknown(step, "shell", "`shell:`"));
        }
        let late: BTreeSet<&String> = self.declared.config.env.keys().collect();
        let uses_late = |step: &Step| used_variables(&step.env).any(|name| late.contains(name));
        if all().any(uses_late) {
            return Err(self.unknown(step, "environment", "the whole value in `env:`"));
        }
        Ok(())
    }

    /// Fails if a command needs an instruction with what is not known.
    pub fn check_command(
        &self,
        step: &Step,
        exec: &Exec,
        written: &Written,
    ) -> Result<(), Diagnostic> {
        if exec.user == USER && written.user != USER {
            return Err(self.unknown(step, "user", "`as:`"));
        }
        if exec.cwd == FOLDER && written.workdir != FOLDER {
            return Err(self.unknown(step, "folder", "`cwd:`"));
        }
        Ok(())
    }

    fn unknown(&self, step: &Step, what: &str, key: &str) -> Diagnostic {
        let name = &self.declared.name.value;
        Diagnostic::error(format!(
            "unknown {what} of a step on the Dockerfile of image `{name}`"
        ))
        .at(
            step.span,
            format!("starts with the {what} of the Dockerfile, which `config:` replaces"),
        )
        .help(format!("set {key} of the step"))
    }
}

/// Returns the variables that the values of an environment use.
fn used_variables(env: &Env) -> impl Iterator<Item = &String> {
    env.iter().flat_map(|(name, change)| {
        let (own, text) = match change {
            EnvChange::Remove => (None, None),
            EnvChange::Set(text) => (None, Some(text)),
            EnvChange::Append { text, .. } | EnvChange::Prepend { text, .. } => {
                (Some(name), Some(text))
            }
        };
        let parts = text.into_iter().flat_map(|text| &text.0);
        let used = parts.filter_map(|part| match part {
            EnvPart::Env(name) => Some(name),
            EnvPart::Text(_) => None,
        });
        own.into_iter().chain(used)
    })
}
