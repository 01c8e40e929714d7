//! What a target of a Dockerfile uses.

use std::collections::{BTreeMap, BTreeSet};

use super::platform::{OF_PLATFORM, engine_variable, example, stage_pattern};
use super::words::{Unexpandable, expand, expand_word, variables};
use super::{Dockerfile, Fault, Stage, Use, Word, context_name};
use crate::diagnostic::nearest;
use crate::list;
use crate::path::clean;

/// What a target uses: its own stage, and all stages that this one needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uses {
    /// What the target is based on in the end.
    pub root: Root,
    /// Images that other stages are based on, and those that files are copied from or mounted.
    pub images: Vec<Word>,
    /// Paths in the context that are copied or mounted, without `/` at their ends; an empty path is all of it.
    pub context: BTreeSet<String>,
    /// Those of them that are used as a whole; of the others, only what one of `patterns` matches is used.
    pub whole: BTreeSet<String>,
    /// Paths with wildcards.
    pub patterns: Vec<String>,
    /// Those of them that are certain and must be there: without variables, patterns and `..`, and not of `ONBUILD`.
    pub required: Vec<Word>,
    /// Ids of secrets that must be there.
    pub secrets: Vec<Word>,
    /// IDs of SSH agents that must be there.
    pub agents: Vec<Word>,
    /// Options that an engine must allow: `--network=host`.
    pub entitlements: Vec<Word>,
    /// Whether the target's own stages have `ONBUILD`.
    pub has_triggers: bool,
    /// Whether one of them names files of the context: that of the Dockerfile that is based on the target.
    pub triggers_copy: bool,
    /// Whether the platform of the engine chooses between stages: not all of what is used is needed.
    pub chosen_by_platform: bool,
    /// Names of all `ARG`s of the file.
    pub args: BTreeSet<String>,
    /// All names of images and stages in the file, as the frontend looks them up among the named contexts.
    pub names: BTreeSet<String>,
}

/// Arguments that the frontend knows without an `ARG` (Dockerfile reference, "Predefined ARGs").
const PREDEFINED: [&str; 5] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
];

impl Uses {
    /// Whether a value for this argument is read: by an `ARG`, or by the frontend itself.
    pub fn reads(&self, name: &str) -> bool {
        self.args.contains(name)
            || PREDEFINED.contains(&name.to_uppercase().as_str())
            || OF_PLATFORM.contains(&name)
            || name.starts_with("BUILDKIT_")
    }
}

/// What the last stage of a chain of stages is based on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// An image, by the name that the file gives it.
    Image(Word),
    /// `FROM scratch`.
    Scratch,
}

impl Root {
    /// Returns the image; `None` for `scratch`.
    pub fn image(&self) -> Option<&Word> {
        match self {
            Self::Image(name) => Some(name),
            Self::Scratch => None,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Image(one), Self::Image(other)) => one.value == other.value,
            (Self::Scratch, Self::Scratch) => true,
            _ => false,
        }
    }
}

/// Follows the stages of a target.
struct Follower<'a> {
    file: &'a Dockerfile,
    vars: BTreeMap<String, String>,
    /// Names that stand for images whatever stages there are.
    contexts: &'a BTreeSet<String>,
    seen: BTreeSet<usize>,
    uses: Uses,
}

/// What a name stands for.
enum Named {
    Stage(usize),
    Image,
}

impl Dockerfile {
    /// Follows a target: the name of a stage, by default the last one. `args` are values of `ARG`, `contexts`
    /// names that stand for images.
    pub fn uses(
        &self,
        target: Option<&str>,
        args: &BTreeMap<String, String>,
        contexts: &BTreeSet<String>,
    ) -> Result<Uses, Fault> {
        let index = match target {
            Some(target) => self.target(target)?,
            None => self.stages.len().checked_sub(1).ok_or_else(|| Fault {
                message: "the Dockerfile has no stage".to_owned(),
                label: "no `FROM`".to_owned(),
                help: None,
                range: 0..0,
            })?,
        };
        let of_stages = self.stages.iter().flat_map(|stage| &stage.args);
        let declared = self.args.iter().map(|arg| &arg.name);
        let vars = self.variables(args)?;
        let names = self.names(&vars);
        let mut follower = Follower {
            file: self,
            vars,
            contexts,
            seen: BTreeSet::new(),
            uses: Uses {
                root: Root::Scratch,
                images: Vec::new(),
                context: BTreeSet::new(),
                whole: BTreeSet::new(),
                patterns: Vec::new(),
                required: Vec::new(),
                secrets: Vec::new(),
                agents: Vec::new(),
                entitlements: Vec::new(),
                has_triggers: false,
                triggers_copy: false,
                chosen_by_platform: false,
                args: declared.chain(of_stages).cloned().collect(),
                names,
            },
        };
        follower.uses.root = follower.stage(index, true)?;
        Ok(follower.uses)
    }

    /// Returns the `ARG`s before the first stage that have no value, and are part of a name after `FROM`.
    pub fn unset_args(&self, args: &BTreeMap<String, String>) -> Vec<String> {
        let is_unset = |name: &str| !args.contains_key(name);
        let unset = self
            .args
            .iter()
            .filter(|arg| arg.default.is_none() && is_unset(&arg.name));
        let is_used = |name: &str| {
            let forms = [format!("${name}"), format!("${{{name}}}")];
            let mut bases = self.stages.iter().map(|stage| &stage.base.value);
            bases.any(|base| forms.iter().any(|form| base.contains(form)))
        };
        let unset = unset.filter(|arg| is_used(&arg.name));
        unset.map(|arg| arg.name.clone()).collect()
    }

    /// Whether an `ARG` before the first stage has this name.
    pub fn has_arg(&self, name: &str) -> bool {
        self.args.iter().any(|arg| arg.name == name)
    }

    /// Whether a stage has an `ARG` of this name.
    pub fn has_stage_arg(&self, name: &str) -> bool {
        let mut args = self.stages.iter().flat_map(|stage| &stage.args);
        args.any(|arg| arg == name)
    }

    /// Returns all names of images and stages.
    fn names(&self, vars: &BTreeMap<String, String>) -> BTreeSet<String> {
        let of_stage = |stage: &Stage| {
            let used = stage.uses.iter().chain(&stage.triggers);
            let used = used.filter_map(|used| match used {
                Use::Image(name) => Some(name.value.clone()),
                _ => None,
            });
            let base = expand(&stage.base.value, vars).ok();
            let names = used.chain(base).chain(stage.name.clone());
            names.collect::<Vec<String>>()
        };
        let names = self.stages.iter().flat_map(of_stage);
        names.map(|name| context_name(&name)).collect()
    }

    fn target(&self, target: &str) -> Result<usize, Fault> {
        let name = target.to_lowercase();
        let named = |stage: &Stage| stage.name.as_deref() == Some(name.as_str());
        let found = self.stages.iter().rposition(named);
        found.ok_or_else(|| {
            let names = self.stages.iter().filter_map(|stage| stage.name.as_deref());
            let names: Vec<&str> = names.collect();
            Fault {
                message: format!("unknown target `{target}`"),
                label: "no stage has this name".to_owned(),
                help: Some(if names.is_empty() {
                    "name the stage in its line: `FROM IMAGE AS NAME`".to_owned()
                } else {
                    format!("the stages are {}", list::of(&names))
                }),
                range: 0..0,
            }
        })
    }

    /// Returns the variables of `FROM`: the `ARG`s before the first stage.
    fn variables(
        &self,
        args: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Fault> {
        let of_platform = OF_PLATFORM.iter();
        let of_platform = of_platform.filter_map(|name| args.get_key_value(*name));
        let of_platform = of_platform.map(|(name, value)| (name.clone(), value.clone()));
        let mut vars: BTreeMap<String, String> = of_platform.collect();
        for arg in &self.args {
            let value = match (args.get(&arg.name), &arg.default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(default)) if engine_variable(default, self, &vars).is_some() => None,
                (None, Some(default)) => {
                    let word = Word {
                        value: default.clone(),
                        range: arg.range.clone(),
                    };
                    let value = expand_word(default, &vars);
                    Some(value.map_err(|reason| unexpandable(&word, reason))?)
                }
                (None, None) => None,
            };
            if let Some(value) = value {
                vars.insert(arg.name.clone(), value);
            }
        }
        Ok(vars)
    }
}

impl Follower<'_> {
    /// Adds what a stage uses; returns what it is based on. `is_own`: the target is based on it.
    fn stage(&mut self, index: usize, is_own: bool) -> Result<Root, Fault> {
        let file = self.file;
        let stage = &file.stages[index];
        let is_new = self.seen.insert(index);
        self.uses.has_triggers |= is_own && stage.has_triggers;
        let mut triggers = stage.triggers.iter();
        self.uses.triggers_copy |= is_own && triggers.any(|used| matches!(used, Use::Context(_)));
        let root = self.root(index, is_own, is_new)?;
        if let (Root::Image(image), false) = (&root, is_own) {
            self.image(image.clone());
        }
        if is_new {
            for used in &stage.uses {
                self.used(used)?;
                if let Use::Context(path) = used {
                    self.uses.required.extend(required(path));
                }
            }
        }
        Ok(root)
    }

    /// Returns what a stage is based on. The platform of the engine can choose between several stages: what all of them use is
    /// used, and the target has a base only if it is the same for all.
    fn root(&mut self, index: usize, is_own: bool, is_new: bool) -> Result<Root, Fault> {
        let stage = &self.file.stages[index];
        let name = match self.base(stage) {
            Ok(name) => name,
            Err(fault) => {
                self.uses.chosen_by_platform = true;
                let mut found = None;
                for below in self.candidates(index) {
                    let root = self.below(below, is_own, is_new)?;
                    let first = found.get_or_insert_with(|| root.clone());
                    if is_own && !first.is_same(&root) {
                        return Err(fault);
                    }
                }
                return found.ok_or(fault);
            }
        };
        Ok(match self.named(&name.value, index) {
            Named::Stage(below) => self.below(below, is_own, is_new)?,
            Named::Image if name.value == "scratch" => Root::Scratch,
            Named::Image => Root::Image(name),
        })
    }

    /// Adds what a stage uses that another one is based on, with its triggers.
    fn below(&mut self, index: usize, is_own: bool, is_new: bool) -> Result<Root, Fault> {
        let root = self.stage(index, is_own)?;
        if is_new {
            for used in &self.file.stages[index].triggers {
                self.used(used)?;
            }
        }
        Ok(root)
    }

    /// Returns the stages that a base can be whose name has variables of the platform.
    fn candidates(&self, index: usize) -> Vec<usize> {
        let stages = &self.file.stages[..index];
        let base = &self.file.stages[index].base.value;
        let Some(is_match) = stage_pattern(base, self.file, &self.vars) else {
            return Vec::new();
        };
        let named = stages.iter().filter_map(|stage| stage.name.as_deref());
        let names: BTreeSet<&str> = named.filter(|name| is_match(name)).collect();
        let found = names
            .iter()
            .filter_map(|name| match self.named(name, index) {
                Named::Stage(below) => Some(below),
                Named::Image => None,
            });
        let found: Vec<usize> = found.collect();
        // `contexts:` can replace a stage by an image.
        if found.len() == names.len() {
            found
        } else {
            Vec::new()
        }
    }

    /// Returns the name after `FROM`, with its variables replaced.
    fn base(&self, stage: &Stage) -> Result<Word, Fault> {
        let written = &stage.base;
        if let Some(fault) = self.misspelled(written) {
            return Err(fault);
        }
        if let Some(name) = engine_variable(&written.value, self.file, &self.vars) {
            return Err(Fault {
                message: format!("the name of the base is unknown: `{}`", written.value),
                label: format!("the engine sets `{name}`, by its platform"),
                help: Some(format!("set `args: {{ {name}: {} }}`", example(name))),
                range: written.range.clone(),
            });
        }
        let value = expand(&written.value, &self.vars);
        let value = value.map_err(|reason| unexpandable(written, reason))?;
        if value.is_empty() {
            return Err(Fault {
                message: format!("the name of the base is unknown: `{}`", written.value),
                label: "its variables are empty".to_owned(),
                help: Some(
                    "set the variable in `args:`, and declare it by `ARG` before the first `FROM`"
                        .to_owned(),
                ),
                range: written.range.clone(),
            });
        }
        Ok(Word {
            value,
            range: written.range.clone(),
        })
    }

    /// Returns the fault of a variable after `FROM` that has no `ARG`, but nearly the name of one: it is empty.
    fn misspelled(&self, written: &Word) -> Option<Fault> {
        let is_known = |name: &str| self.file.has_arg(name) || OF_PLATFORM.contains(&name);
        let unknown = variables(&written.value).into_iter();
        let mut unknown = unknown.filter(|(name, has_default)| !has_default && !is_known(name));
        unknown.find_map(|(name, _)| {
            let near = nearest(name, self.file.arg_names())?;
            Some(Fault {
                message: format!("unknown variable `{name}`"),
                label: "no `ARG` before the first `FROM` has this name".to_owned(),
                help: Some(format!("did you mean `{near}`?")),
                range: written.range.clone(),
            })
        })
    }

    /// Returns what a name stands for; `before` is the number of the first stage that it cannot stand for.
    fn named(&self, name: &str, before: usize) -> Named {
        if self.contexts.contains(&context_name(name)) {
            return Named::Image;
        }
        let lower = name.to_lowercase();
        let stages = &self.file.stages[..before];
        let found = stages
            .iter()
            .rposition(|stage| stage.name.as_ref() == Some(&lower));
        found.map_or(Named::Image, Named::Stage)
    }

    fn used(&mut self, used: &Use) -> Result<(), Fault> {
        match used {
            Use::Image(name) => {
                let stages = self.file.stages.len();
                let number = name.value.parse().ok().filter(|at| *at < stages);
                match (self.named(&name.value, stages), number) {
                    (Named::Stage(index), _) | (Named::Image, Some(index)) => {
                        if !self.seen.contains(&index) {
                            self.stage(index, false)?;
                        }
                    }
                    (Named::Image, None) if name.value == "scratch" => {}
                    (Named::Image, None) => self.image(name.clone()),
                }
            }
            Use::Context(path) => {
                let prefix = prefix(&path.value);
                self.uses.context.insert(prefix.clone());
                if is_pattern(&path.value) {
                    self.uses.patterns.push(clean(&path.value));
                } else {
                    self.uses.whole.insert(prefix);
                }
            }
            Use::Secret(id) => self.uses.secrets.push(id.clone()),
            Use::Agent(id) => self.uses.agents.push(id.clone()),
            Use::Entitlement(option) => self.uses.entitlements.push(option.clone()),
        }
        Ok(())
    }

    fn image(&mut self, name: Word) {
        if !self
            .uses
            .images
            .iter()
            .any(|known| known.value == name.value)
        {
            self.uses.images.push(name);
        }
    }
}

/// Returns a path that must be in the context; `None` if it is all of it, or not certain.
fn required(path: &Word) -> Option<Word> {
    let is_certain = |part: &str| part != ".." && !is_open(part);
    let value = clean(&path.value);
    let is_required = !value.is_empty() && path.value.split('/').all(is_certain);
    is_required.then(|| Word {
        value,
        range: path.range.clone(),
    })
}

/// Whether a part of a path has a variable or a pattern.
fn is_open(part: &str) -> bool {
    part.contains(['*', '?', '[', '\\', '$'])
}

/// Whether a path has wildcards, and nothing that a pattern of `.dockerignore` has another meaning for than one of `COPY`
/// (Go, `path/filepath.Match`), such as `**` and `!` at the start.
fn is_pattern(path: &str) -> bool {
    let is_same = !path.contains("**") && !path.contains(['\\', '$']) && path.trim() == path;
    let first = path.trim_start_matches(['.', '/']).chars().next();
    path.contains(['*', '?', '['])
        && is_same
        && !path.split('/').any(|part| part == "..")
        && !matches!(first, Some('!' | '#'))
}

/// Returns the folders at the start of a path that are certain: those before the first part with a variable or a pattern, and
/// none if a later part is `..`.
fn prefix(path: &str) -> String {
    let mut parts = path.split('/');
    let certain: Vec<&str> = parts.by_ref().take_while(|part| !is_open(part)).collect();
    if parts.any(|part| part == "..") {
        return String::new();
    }
    clean(&certain.join("/"))
}

fn unexpandable(word: &Word, reason: Unexpandable) -> Fault {
    let (message, label, help) = match reason {
        Unexpandable::Form(form) => (
            format!("unsupported form of a variable in `{form}`"),
            "the frontend of the engine does not know it".to_owned(),
            None,
        ),
        Unexpandable::Required { name, message } => (
            format!("missing value of `{name}`"),
            message,
            Some("set the variable in `args:`".to_owned()),
        ),
    };
    Fault {
        message,
        label,
        help,
        range: word.range.clone(),
    }
}
