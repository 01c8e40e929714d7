//! The state of an image at one instruction, and the steps that were made so far.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::configured::{self, Tool};
use super::copied::{Copied, Shell};
pub use super::value::Reason;
use super::value::{Environment, Part, Quotes, Value, Vars, expand};
use crate::import::Note;

/// What is known of the image that another one is based on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Whether anything is known: the base is an image of the stack without a Dockerfile.
    pub is_known: bool,
    /// The environment of its config, without that of its own external base.
    pub env: Environment,
    /// Its user; `None` is that of its external base.
    pub user: Option<Value>,
    /// Its folder; `None` is that of its external base.
    pub workdir: Option<Value>,
    /// Its shell; `None` is that of its external base.
    pub shell: Option<Vec<String>>,
    /// Folders that it certainly has.
    pub folders: BTreeSet<String>,
    /// `writable:`, the group and the paths.
    pub writable: BTreeMap<String, Vec<String>>,
    /// Tools with settings that their steps do not read.
    pub configured: BTreeSet<Tool>,
}

/// Which variables can change the result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sensitivity {
    /// All.
    Everything,
    /// Those of apt, debconf, proxies and languages.
    Apt,
}

/// A step, with what it needs of the state.
#[derive(Clone, Debug)]
pub struct Draft {
    /// The kind and its value, and keys that no other step changes.
    pub keys: Map<String, Json>,
    /// A comment above it.
    pub comment: String,
    /// Whether it runs commands.
    pub command: Option<CommandDraft>,
}

/// What a step that runs commands needs of the state.
#[derive(Clone, Debug)]
pub struct CommandDraft {
    /// Its user; `None` is that of the base.
    pub user: Option<Value>,
    /// Whether it always runs as root.
    pub is_root: bool,
    /// Whether it has a user of its own: a group of several kinds.
    pub is_group: bool,
    /// Its folder, if it is not that of the base and counts.
    pub cwd: Option<Value>,
    /// The environment of the Dockerfile at its place.
    pub env: Environment,
    /// Which of these variables count.
    pub sensitivity: Sensitivity,
    /// Its shell; `None` is that of the base, or it has none.
    pub shell: Option<Vec<String>>,
}

/// A folder of `WORKDIR` that must be made.
#[derive(Clone, Debug)]
struct MissingFolder {
    path: Value,
    user: Option<Value>,
}

/// The state at one instruction.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// What `ARG` and `ENV` have set.
    pub env: Environment,
    /// What `ENV` has set, in the order of the file.
    pub config_env: Vec<(String, Value)>,
    /// `USER`; `None` is that of the base.
    pub user: Option<Value>,
    /// `WORKDIR`; `None` is that of the base.
    pub workdir: Option<Value>,
    /// `SHELL`; `None` is that of the base.
    pub shell: Option<Vec<String>>,
    /// `config:`.
    pub config: Map<String, Json>,
    /// Its steps.
    pub steps: Vec<Draft>,
    /// Files of the image that are certainly files of the context.
    pub copied: Copied,
    /// Tools with settings in files that their steps do not read.
    pub configured: BTreeSet<Tool>,
    /// Paths of `writable:`, by group.
    pub writable: BTreeMap<String, Vec<String>>,
    /// Folders that the image certainly has.
    pub folders: BTreeSet<String>,
    /// What became of the instructions.
    pub notes: Vec<Note>,
    /// Values of the variables of the spec.
    pub vars: Vars,
    missing: Option<MissingFolder>,
}

/// Folders of every distribution.
const FOLDERS: [&str; 17] = [
    "/",
    "/bin",
    "/boot",
    "/etc",
    "/home",
    "/lib",
    "/mnt",
    "/opt",
    "/root",
    "/sbin",
    "/srv",
    "/tmp",
    "/usr",
    "/usr/bin",
    "/usr/local",
    "/usr/local/bin",
    "/var",
];

impl State {
    /// Returns the state before the first instruction.
    pub fn new(base: &Known, vars: Vars) -> Self {
        let mut folders = base.folders.clone();
        folders.extend(FOLDERS.map(str::to_owned));
        Self {
            env: base.env.clone(),
            user: base.user.clone(),
            workdir: base.workdir.clone(),
            shell: base.shell.clone(),
            writable: base.writable.clone(),
            configured: base.configured.clone(),
            folders,
            vars,
            ..Self::default()
        }
    }

    /// Replaces the variables of a word.
    pub fn expand(&self, word: &str) -> Result<Value, Reason> {
        expand(word, &self.env, &self.vars, Quotes::Removed)
    }

    /// Returns a word whose text must be known: it uses no variable of the base's environment.
    pub fn known(&self, word: &str) -> Result<Value, Reason> {
        let value = self.expand(word)?;
        if value.uses_environment() {
            return Err(format!(
                "`{word}` uses the environment of the base, which is not known here"
            ));
        }
        Ok(value)
    }

    /// Whether a tool has settings that its step does not read.
    pub fn is_configured(&self, tool: Tool) -> bool {
        let mut names = self.env.keys();
        self.configured.contains(&tool)
            || names.any(|name| configured::by_variable(name) == Some(tool))
    }

    /// Returns the current folder, if it is known.
    pub fn folder(&self) -> Option<String> {
        let folder = self.workdir.as_ref()?;
        self.resolved(folder).filter(|it| it.starts_with('/'))
    }

    /// Notes what a text of the shell, which stays a command, can do; returns the folder of the shell after it.
    pub fn note_text(&mut self, text: &str, folder: Option<String>) -> Option<String> {
        self.configured.extend(configured::by_text(text));
        let mut shell = Shell {
            env: &self.env,
            vars: &self.vars,
            folder,
        };
        self.copied.run(text, &mut shell);
        shell.folder
    }

    /// Notes what a command that stays one can do.
    pub fn note_command(&mut self, words: &[String]) {
        let text = words.join(" ");
        self.configured.extend(configured::by_text(&text));
        let mut shell = Shell {
            env: &self.env,
            vars: &self.vars,
            folder: self.folder(),
        };
        self.copied.command(words, &mut shell);
    }

    /// Returns a value as a text, with the defaults of variables.
    pub fn resolved(&self, value: &Value) -> Option<String> {
        value.resolved(&self.vars)
    }

    /// Sets the folder; it must be made if it is not known to exist.
    pub fn set_workdir(&mut self, path: Value) {
        self.make_missing();
        let exists = self
            .resolved(&path)
            .is_some_and(|path| self.folders.contains(&path));
        if !exists {
            self.missing = Some(MissingFolder {
                path: path.clone(),
                user: self.user.clone(),
            });
        }
        self.workdir = Some(path);
    }

    /// Sets the user.
    pub fn set_user(&mut self, user: Value) {
        if self.user.as_ref() != Some(&user) {
            // A folder that is the last one is made by the user of the image.
            self.user = Some(user);
        }
    }

    /// Adds a step that makes the folder of `WORKDIR`, unless it exists.
    pub fn make_missing(&mut self) {
        let Some(missing) = self.missing.take() else {
            return;
        };
        self.exists(&missing.path);
        let command = CommandDraft {
            user: missing.user.map(|user| self.owner(user)),
            is_root: false,
            is_group: false,
            cwd: Some(missing.path),
            env: Environment::new(),
            sensitivity: Sensitivity::Apt,
            shell: self.shell.clone(),
        };
        let mut keys = Map::new();
        keys.insert("run".to_owned(), json!("true"));
        keys.insert("name".to_owned(), json!("make the folder"));
        self.steps.push(Draft {
            keys,
            comment: String::new(),
            command: Some(command),
        });
    }

    /// Adds a step that places files. `below` are their targets, `owner` is that of the files.
    pub fn place(&mut self, draft: Draft, below: &[String], is_root: bool) -> Option<&'static str> {
        let mut note = None;
        if let Some(missing) = &self.missing {
            let path = self.resolved(&missing.path).unwrap_or_default();
            let is_below = below.iter().any(|target| {
                let rest = target.strip_prefix(path.as_str());
                rest.is_some_and(|rest| rest.starts_with('/'))
            });
            let user = missing
                .user
                .as_ref()
                .map(|user| self.resolved(user).unwrap_or_default());
            let is_roots = user.as_deref().is_none_or(is_root_name);
            if is_below && is_root && is_roots {
                if user.is_none() {
                    note = Some("the folder of WORKDIR is made with it, and belongs to root");
                }
                let path = missing.path.clone();
                self.missing = None;
                self.exists(&path);
            } else {
                self.make_missing();
            }
        }
        if !self
            .steps
            .last_mut()
            .is_some_and(|last| merge(last, &draft))
        {
            self.steps.push(draft);
        }
        note
    }

    /// Adds a step that runs commands in the current folder, as the current user.
    pub fn run(&mut self, mut draft: Draft, sensitivity: Sensitivity, is_root: bool) {
        let counts = sensitivity == Sensitivity::Everything;
        if counts {
            self.settle_folder();
        }
        draft.command = Some(CommandDraft {
            user: self.user.clone(),
            is_root,
            is_group: draft.keys.contains_key("group"),
            cwd: self.workdir.clone().filter(|_| counts),
            env: self.env.clone(),
            sensitivity,
            shell: self.shell.clone(),
        });
        self.steps.push(draft);
    }

    /// Has the folder of the last `WORKDIR` made by what follows, the `cwd` of a step or `workdir` of the config, if it would
    /// get the same owner; else by a step of its own.
    pub fn settle_folder(&mut self) {
        if let Some(missing) = &self.missing {
            if missing.user == self.user && Some(&missing.path) == self.workdir.as_ref() {
                let path = missing.path.clone();
                self.missing = None;
                self.exists(&path);
            } else {
                self.make_missing();
            }
        }
    }

    /// Returns the owner of a folder that `WORKDIR` makes: of a user that is a number, the number is the group as well. A
    /// process of such a user has the group of `/etc/passwd`.
    fn owner(&self, user: Value) -> Value {
        let id = self.resolved(&user).unwrap_or_default();
        if is_root_name(&id) || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return user;
        }
        let mut owner = user.clone();
        owner.push(Part::Text(":".to_owned()));
        owner.extend(&user);
        owner
    }

    fn exists(&mut self, path: &Value) {
        let Some(path) = self.resolved(path) else {
            return;
        };
        let ends = path
            .match_indices('/')
            .map(|(at, _)| at)
            .filter(|at| *at > 0);
        let above: Vec<String> = ends.map(|at| path[..at].to_owned()).collect();
        self.folders.extend(above);
        self.folders.insert(path);
    }

    /// Returns an absolute path; a relative one is below the current folder. A `/` at the end stays.
    pub fn absolute(&self, path: &Value) -> Result<Value, Reason> {
        let starts = |value: &Value| {
            let text = self.resolved(value);
            text.is_some_and(|text| text.starts_with('/'))
        };
        if starts(path) {
            return Ok(path.clone());
        }
        let folder = self.workdir.clone().filter(|folder| starts(folder));
        let mut whole = folder.ok_or_else(|| {
            format!(
                "the path `{}` is relative to the folder of the base, which is not known here",
                path.written()
            )
        })?;
        let written = path.written();
        let inner = written.trim_start_matches("./");
        let is_folder = whole.written() == "/";
        if matches!(inner, "" | ".") {
            let end = if is_folder { "" } else { "/" };
            whole.extend(&Value::text(end));
            return Ok(whole);
        }
        if inner.contains("..") || (path.uses_vars() && inner != written) {
            return Err(format!("the path `{written}` has `..` or `.`"));
        }
        whole.extend(&Value::text(if is_folder { "" } else { "/" }));
        if path.uses_vars() {
            whole.extend(path);
        } else {
            let text = self.resolved(path).unwrap_or_default();
            whole.extend(&Value::text(text.trim_start_matches("./")));
        }
        Ok(whole)
    }
}

/// Adds the files of a `copy` to the one before it, if their order does not count.
fn merge(last: &mut Draft, next: &Draft) -> bool {
    let Some(new) = next.keys.get("copy").and_then(Json::as_object) else {
        return false;
    };
    let Some(known) = last.keys.get_mut("copy").and_then(Json::as_object_mut) else {
        return false;
    };
    let settings = |value: &Json| (value.get("owner").cloned(), value.get("mode").cloned());
    let folder = |path: &str| format!("{}/", path.trim_end_matches('/'));
    let is_apart = |(path, value): (&String, &Json)| {
        known.iter().all(|(other, before)| {
            let (path, other) = (folder(path), folder(other));
            settings(value) == settings(before)
                && !path.starts_with(&other)
                && !other.starts_with(&path)
        })
    };
    if !next.comment.is_empty() || !new.iter().all(is_apart) {
        return false;
    }
    known.extend(new.clone());
    true
}

/// Whether a user of `USER` is root.
pub fn is_root_name(user: &str) -> bool {
    matches!(
        user,
        "" | "root" | "0" | "root:root" | "0:0" | "root:0" | "0:root"
    )
}
