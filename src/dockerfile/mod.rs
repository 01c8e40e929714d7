//! Dockerfiles, as far as a plan must know them: the images, files and secrets that a target uses.
//!
//! [`Dockerfile::parse`] reads a text, [`Dockerfile::uses`] follows the stages of a target, and [`Ignore`] is a
//! `.dockerignore`. The Dockerfile itself is built by the frontend of
//! the engine; the rules here are those of that frontend (frontend/dockerfile/dockerfile2llb/convert.go of BuildKit 0.32.2).
//! Called by `stack`, and by `import`, which turns instructions into steps.

mod arguments;
mod ignore;
mod lines;
mod parse;
mod platform;
mod quotes;
#[cfg(test)]
mod tests;
mod uses;
mod words;

use std::collections::BTreeMap;
use std::ops::Range;

pub use ignore::Ignore;
pub use lines::{Instruction, Lines, lines};
pub use quotes::here_document;
pub use uses::{Root, Uses};
pub use words::{expand, is_remote};

/// A Dockerfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dockerfile {
    /// `# syntax=`.
    pub syntax: Option<Word>,
    /// `ARG` before the first stage, in their order.
    args: Vec<Arg>,
    stages: Vec<Stage>,
}

impl Dockerfile {
    /// Whether a stage has the name that the frontend makes of the name of an image. The frontend would take the image for
    /// the stage.
    pub fn has_stage(&self, image: &str) -> bool {
        let name = context_name(image);
        let mut names = self.stages.iter().filter_map(|stage| stage.name.as_deref());
        names.any(|stage| stage == name)
    }

    /// Returns the names of stages that are not based on an image of this name. One that is has probably got a name like
    /// that of the image on purpose.
    pub fn stages_beside<'a>(&'a self, image: &'a str) -> impl Iterator<Item = &'a str> {
        let stages = self.stages.iter();
        let others = stages.filter(move |stage| stage.base.value != image);
        others.filter_map(|stage| stage.name.as_deref())
    }

    /// Returns what has the text of a name after `FROM` that is a variable and nothing else; `None` if the name itself has it.
    /// `args`: values of `ARG`.
    pub fn written_at(&self, name: &str, args: &BTreeMap<String, String>) -> Option<Written> {
        Self::written_in(&self.args, name, args)
    }

    fn written_in(list: &[Arg], name: &str, args: &BTreeMap<String, String>) -> Option<Written> {
        let variable = words::only_variable(name)?;
        let at = list.iter().rposition(|arg| arg.name == variable)?;
        if args.contains_key(variable) {
            return Some(Written::Argument(variable.to_owned()));
        }
        let arg = &list[at];
        let default = quotes::unquoted(arg.default.as_ref()?);
        let before = Self::written_in(&list[..at], &default, args);
        Some(before.unwrap_or_else(|| Written::Default(arg.default_range())))
    }

    /// Returns the names of the `ARG`s before the first stage.
    pub fn arg_names(&self) -> impl Iterator<Item = &str> {
        self.args.iter().map(|arg| arg.name.as_str())
    }
}

/// Returns the name under which the frontend looks up an image among the named contexts: without what Docker adds to short
/// names (frontend/dockerui/config.go of BuildKit 0.32.2, `NamedContext`).
pub fn context_name(image: &str) -> String {
    let name = image.strip_suffix(":latest").unwrap_or(image);
    let name = ["docker.io/", "index.docker.io/"]
        .iter()
        .find_map(|host| name.strip_prefix(host))
        .unwrap_or(name);
    name.strip_prefix("library/").unwrap_or(name).to_owned()
}

/// A part of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// Without escapes of lines.
    pub value: String,
    /// Its bytes in the file.
    pub range: Range<usize>,
}

/// A fault of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub message: String,
    /// What is at the place.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
    /// Bytes in the file.
    pub range: Range<usize>,
}

/// A variable of `ARG`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Arg {
    name: String,
    default: Option<String>,
    range: Range<usize>,
}

impl Arg {
    /// Returns the bytes of its default, the end of `NAME=DEFAULT`.
    fn default_range(&self) -> Range<usize> {
        let length = self.default.as_ref().map_or(0, String::len);
        let start = self.range.end.saturating_sub(length);
        start.max(self.range.start)..self.range.end
    }
}

/// What has the text that a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The value of this argument.
    Argument(String),
    /// The default of an `ARG`, at these bytes in the file.
    Default(Range<usize>),
}

/// A stage: `FROM` and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stage {
    /// In lower case, as stages are compared.
    name: Option<String>,
    base: Word,
    uses: Vec<Use>,
    /// Names of its `ARG`s.
    args: Vec<String>,
    /// Whether it has `ONBUILD`.
    has_triggers: bool,
    /// What the instructions after `ONBUILD` use, in the stages and images that are based on it.
    triggers: Vec<Use>,
}

/// What an instruction takes from outside of its stage.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Use {
    /// `--from` of `COPY` and of a mount.
    Image(Word),
    /// A path in the context, as written.
    Context(Word),
    /// A secret that must be there.
    Secret(Word),
    /// The ID of an SSH agent that must be there.
    Agent(Word),
    /// What only an engine that allows it does: `--security=insecure`.
    Entitlement(Word),
}
