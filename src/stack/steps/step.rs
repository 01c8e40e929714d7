//! One step: its kind and the settings all kinds have.

use std::collections::{BTreeMap, BTreeSet};

use camino::Utf8PathBuf;
use serde_json::{Map, Value as Json, json};

use super::apt::Apt;
use super::conda::{Conda, CondaTool};
use super::context::shortened;
use super::copy::{self, Copy};
use super::dockerfile::{Dockerfile, ReadDockerfile};
use super::files::{self, Append, Link, Write};
use super::mounts::{self, StepMount};
use super::perms::{self, Perms};
use super::pip::Pip;
use super::run;
use super::secrets::{Network, Secret, canonical_secrets};
use crate::name::{Digest, Reference};
use crate::source::Span;
use crate::stack::PipTool;
use crate::stack::env::{Env, canonical_env};
use crate::stack::env_text::EnvString;
use crate::stack::image_source::ImageSource;

/// One change of an image; one step is one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The item in its file, shown when the step fails.
    pub span: Span,
    /// `name:`, or one line made from kind and content: `apt git jq`, `run useradd -m jovyan`.
    pub title: String,
    /// What it does.
    pub kind: Kind,
    /// `as:`.
    pub user: Option<String>,
    /// `cwd:`.
    pub cwd: Option<Cwd>,
    /// `env:`, for this step only.
    pub env: Env,
    /// `shell:`.
    pub shell: Option<Vec<String>>,
    /// `secrets:`.
    pub secrets: Vec<Secret>,
    /// `mounts:`, sorted by path.
    pub mounts: Vec<StepMount>,
    /// `network:`; `None`: the default of its kind.
    pub network: Option<Network>,
    /// `finish:`, applied in the same layer after the step.
    pub finish: Vec<Perms>,
    /// Variables whose values it contains.
    pub vars: BTreeSet<String>,
    /// Whether it is that of a short key, which runs before all `steps:`.
    pub is_short: bool,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Installs Debian packages.
    Apt(Apt),
    /// Installs Python packages.
    Pip(Pip),
    /// Installs conda packages.
    Conda(Conda),
    /// Copies files, sorted by target.
    Copy(Vec<Copy>),
    /// Writes files, sorted by target.
    Write(Vec<Write>),
    /// Adds to files, sorted by target.
    Append(Vec<Append>),
    /// Makes symbolic links, sorted by path.
    Link(Vec<Link>),
    /// Changes owners and modes, in the order of the file.
    Perms(Vec<Perms>),
    /// Runs shell text, byte for byte as written.
    Run(String),
    /// Runs a program with arguments.
    Exec(Vec<String>),
    /// Runs a file under `images/` by its `#!` line.
    Script(Utf8PathBuf),
    /// Makes the folder of `config: { workdir: … }`, for the user of the finished image; it is never
    /// written as a step.
    Workdir(EnvString),
    /// Runs several steps in one layer; groups are never nested.
    Group(Vec<Step>),
    /// Builds a Dockerfile, in several layers. It is the first step of an image with the key `dockerfile`, and never
    /// written as a step.
    Dockerfile(Box<Dockerfile>),
}

/// The folder of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cwd {
    /// Absolute.
    pub path: String,
    /// Whether the step fails if the folder is missing; else it is made.
    pub must_exist: bool,
}

impl Step {
    /// Returns the step that makes the folder of `config: { workdir: … }`.
    pub fn workdir(path: EnvString) -> Self {
        Self::new(path.span, Kind::Workdir(path))
    }

    /// Returns the step of the key `dockerfile` of an image.
    pub fn dockerfile(read: ReadDockerfile) -> Self {
        Self {
            secrets: read.secrets,
            vars: read.vars,
            ..Self::new(read.span, Kind::Dockerfile(Box::new(read.file)))
        }
    }

    /// Returns a step without settings.
    fn new(span: Span, kind: Kind) -> Self {
        Self {
            span,
            title: kind.title(),
            kind,
            user: None,
            cwd: None,
            env: Env::default(),
            shell: None,
            secrets: Vec::new(),
            mounts: Vec::new(),
            network: None,
            finish: Vec::new(),
            vars: BTreeSet::new(),
            is_short: false,
        }
    }

    /// Whether it, or a member of it, installs with uv. py-rattler comes with it: uv brings it a python
    /// where the image has none.
    pub fn uses_uv(&self) -> bool {
        match &self.kind {
            Kind::Pip(pip) => pip.tool == PipTool::Uv,
            Kind::Group(members) => members.iter().any(Self::uses_uv),
            _ => self.uses_rattler(),
        }
    }

    /// Whether it, or a member of it, installs with py-rattler.
    pub fn uses_rattler(&self) -> bool {
        match &self.kind {
            Kind::Conda(conda) => conda.tool == CondaTool::Rattler,
            Kind::Group(members) => members.iter().any(Self::uses_rattler),
            _ => false,
        }
    }
}

impl Kind {
    /// Returns one line for people.
    pub(in crate::stack) fn title(&self) -> String {
        shortened(&match self {
            Self::Apt(apt) => apt.title(),
            Self::Pip(pip) => pip.title(),
            Self::Conda(conda) => conda.title(),
            Self::Copy(list) => copy::title(list),
            Self::Write(list) => files::title_write(list),
            Self::Append(list) => files::title_append(list),
            Self::Link(list) => files::title_link(list),
            Self::Perms(list) => perms::title(list),
            Self::Run(text) => run::title_run(text),
            Self::Exec(args) => run::title_exec(args),
            Self::Script(path) => run::title_script(path),
            Self::Workdir(path) => format!("workdir {}", path.written()),
            Self::Dockerfile(file) => file.title(),
            Self::Group(steps) => {
                let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
                format!("group: {}", titles.join("; "))
            }
        })
    }

    fn canonical(&self) -> (&'static str, Json) {
        match self {
            Self::Apt(apt) => ("apt", apt.canonical()),
            Self::Pip(pip) => ("pip", pip.canonical()),
            Self::Conda(conda) => ("conda", conda.canonical()),
            Self::Copy(list) => ("copy", copy::canonical(list)),
            Self::Write(list) => ("write", files::canonical_write(list)),
            Self::Append(list) => ("append", files::canonical_append(list)),
            Self::Link(list) => ("link", files::canonical_link(list)),
            Self::Perms(list) => ("perms", perms::canonical(list)),
            Self::Run(text) => ("run", json!(text)),
            Self::Exec(args) => ("exec", json!(args)),
            Self::Script(path) => ("script", json!(path)),
            Self::Workdir(path) => ("workdir", path.canonical()),
            Self::Dockerfile(file) => ("dockerfile", file.canonical()),
            Self::Group(steps) => ("group", steps.iter().map(Step::canonical).collect()),
        }
    }
}

impl Step {
    /// Returns the step as JSON that depends only on what it does, without its name and place. It is
    /// part of the image's key.
    pub fn canonical(&self) -> Json {
        // Without `..`: a new setting must be in the key, or be listed here as one that is not.
        let Self {
            span: _,
            title: _,
            kind,
            user,
            cwd,
            env,
            shell,
            secrets,
            mounts,
            network,
            finish,
            vars: _,
            is_short: _,
        } = self;
        let mut map = Map::new();
        let (kind, value) = kind.canonical();
        map.insert(kind.into(), value);
        let mut add = |name: &str, value: Json| {
            map.insert(name.into(), value);
        };
        if let Some(user) = user {
            add("as", json!(user));
        }
        if let Some(Cwd { path, must_exist }) = cwd {
            add(
                "cwd",
                if *must_exist {
                    json!({ "path": path, "must-exist": true })
                } else {
                    json!(path)
                },
            );
        }
        if !env.is_empty() {
            add("env", canonical_env(env));
        }
        if let Some(shell) = shell {
            add("shell", json!(shell));
        }
        if !secrets.is_empty() {
            add("secrets", canonical_secrets(secrets));
        }
        if !mounts.is_empty() {
            add("mounts", mounts::canonical(mounts));
        }
        if let Some(network) = network {
            add("network", network.canonical());
        }
        if !finish.is_empty() {
            add("finish", perms::canonical(finish));
        }
        Json::Object(map)
    }

    /// Returns the step with every external image at its digest, as far as that is known.
    pub fn pinned(&self, digests: &BTreeMap<Reference, Digest>) -> Self {
        let mut step = self.clone();
        mounts::pin(&mut step.mounts, digests);
        match &mut step.kind {
            Kind::Copy(list) => copy::pin(list, digests),
            Kind::Dockerfile(file) => file.pin(digests),
            Kind::Group(steps) => {
                for step in steps {
                    *step = step.pinned(digests);
                }
            }
            _ => {}
        }
        step
    }

    /// Returns the files under `images/` it uses, in no order; some can be there several times.
    pub fn files(&self) -> Vec<&Utf8PathBuf> {
        let mut files: Vec<&Utf8PathBuf> = mounts::used_files(&self.mounts).collect();
        match &self.kind {
            Kind::Apt(apt) => files.extend(apt.files()),
            Kind::Pip(pip) => files.extend(pip.files()),
            Kind::Conda(conda) => files.extend(conda.files()),
            Kind::Copy(list) => files.extend(copy::files(list)),
            Kind::Append(list) => files.extend(files::files_append(list)),
            Kind::Script(path) => files.extend([path]),
            Kind::Dockerfile(file) => files.extend(file.all_files()),
            Kind::Group(steps) => {
                files.extend(steps.iter().flat_map(Self::files));
            }
            Kind::Write(_)
            | Kind::Link(_)
            | Kind::Perms(_)
            | Kind::Run(_)
            | Kind::Exec(_)
            | Kind::Workdir(_) => {}
        }
        files
    }

    /// Returns every image it copies from or mounts, once for each use.
    pub fn copy_sources(&self) -> Vec<&ImageSource> {
        let mut found = self.mounted_images();
        found.extend(self.copied_images());
        found
    }

    /// Returns every image it mounts.
    pub fn mounted_images(&self) -> Vec<&ImageSource> {
        mounts::sources(&self.mounts).collect()
    }

    /// Returns every image it copies from.
    pub fn copied_images(&self) -> Vec<&ImageSource> {
        let mut found = Vec::new();
        match &self.kind {
            Kind::Copy(list) => found.extend(copy::sources(list)),
            Kind::Dockerfile(file) => found.extend(file.images.values()),
            Kind::Group(steps) => found.extend(steps.iter().flat_map(Self::copied_images)),
            Kind::Apt(_)
            | Kind::Pip(_)
            | Kind::Conda(_)
            | Kind::Write(_)
            | Kind::Append(_)
            | Kind::Link(_)
            | Kind::Perms(_)
            | Kind::Run(_)
            | Kind::Exec(_)
            | Kind::Script(_)
            | Kind::Workdir(_) => {}
        }
        found
    }

    /// Adds the variables it and the steps of its group contain.
    pub fn collect_vars<'a>(&'a self, vars: &mut BTreeSet<&'a String>) {
        vars.extend(&self.vars);
        if let Kind::Group(steps) = &self.kind {
            for step in steps {
                step.collect_vars(vars);
            }
        }
    }
}
