//! The stack: names resolved, acyclic, variants unfolded, every variable replaced.
//!
//! [`Stack`] is what `plan` and `compile` read. Nothing in it can be invalid: [`Stack::new`] reports
//! what is wrong in the files as diagnostics, all at once. `cli` calls [`load`].

mod channels;
mod config;
mod decode;
mod paths;
mod proof;
mod resolve;
mod step;
mod suite;
mod unfold;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use camino::Utf8PathBuf;

use crate::diagnostic::Diagnostic;
use crate::name::{ImageName, Reference, Repository, StackName, Tag, VariantName};
use crate::source::{Sources, Span, Spanned};
pub use crate::spec::tree::{File, Files};
pub use proof::{
    Allowance, Dropped, InfoCommand, LayerLimits, Policy, Proof, Refs, WritablePolicy,
};
pub use suite::{Serve, Suite, Test};

/// What the command line says over the spec.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub vars: BTreeMap<String, String>,
    pub registry: Option<String>,
    pub staging: Option<String>,
    /// Only these variants; empty: all.
    pub variants: Vec<String>,
}

/// Why there is no stack.
#[derive(Debug)]
pub enum LoadFailure {
    /// A file cannot be read.
    Files(crate::spec::Unreadable),
    /// What is wrong in the files, on its places.
    Spec {
        sources: Sources,
        problems: Vec<Diagnostic>,
    },
}

/// Reads and checks a spec.
pub fn load(file: &camino::Utf8Path, overrides: &Overrides) -> Result<Stack, LoadFailure> {
    let spec = crate::spec::load(file).map_err(LoadFailure::Files)?;
    Stack::new(&spec, overrides).map_err(|problems| LoadFailure::Spec {
        sources: spec.sources.clone(),
        problems,
    })
}

/// All images of one `specs.yml`.
#[derive(Clone, Debug)]
pub struct Stack {
    pub name: StackName,
    /// `<host>/<namespace>` the images go to, `ghcr.io/ucsd-ets`; `None`: nothing is published.
    pub registry: Option<Repository>,
    /// Receives the layers of a run; default `<registry>/<stack>`.
    pub staging: Option<Repository>,
    pub build: Build,
    /// In the order of the file; one unnamed if the spec declares none.
    pub variants: Vec<Variant>,
    /// Parents before children; images of one variant together, in the order of `variants`.
    pub images: Vec<Image>,
    /// Every file under `images/` that some image uses, by its path relative to `specs.yml`'s folder.
    pub files: Files,
    /// In the order of the file.
    pub channels: Vec<Channel>,
    /// Which git refs may write what.
    pub refs: Refs,
    pub sources: Arc<Sources>,
    /// Things that are allowed but probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// A named set of moving tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub name: String,
    /// What must be green before it may move.
    pub gates: Vec<Gate>,
    /// It follows the default branch by itself: `promote --auto`.
    pub auto: bool,
    /// Its releases come from this other channel.
    pub from: Option<String>,
    /// The tag it moves on the images of each variant; an index is one into [`Stack::variants`].
    pub tags: BTreeMap<usize, Tag>,
}

/// What must be green before a channel may move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// `checks`, a suite, or what evidence from outside is filed under.
    pub name: String,
    /// The images it is asked of; `None`: every image that has it, and all of them for evidence from
    /// outside.
    pub images: Option<BTreeSet<String>>,
}

/// How steps reach the network (`build:`). None of it enters a key or a layer.
#[derive(Clone, Debug, Default)]
pub struct Build {
    /// A bundle of certificates (PEM) on the host, mounted into steps that have the network.
    pub ca: Option<Utf8PathBuf>,
}

/// The stack built once, with variables and a series of its own.
#[derive(Clone, Debug)]
pub struct Variant {
    /// `None` if the spec declares no variants.
    pub name: Option<VariantName>,
    pub series: Option<String>,
}

/// An index into [`Stack::images`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId(pub usize);

/// One image of one variant.
#[derive(Clone, Debug)]
pub struct Image {
    /// The span is that of its key under `images:`.
    pub name: Spanned<ImageName>,
    /// An index into [`Stack::variants`].
    pub variant: usize,
    pub base: Base,
    /// Where it is published, if the stack has a registry.
    pub repository: Option<Repository>,
    /// Every variable it can see, with its value in this variant.
    pub vars: BTreeMap<String, String>,
    pub env: Env,
    /// `user:`: who runs its steps and, unless `config.user` says otherwise, the result.
    pub user: Option<String>,
    /// `shell:` of the image or the stack.
    pub shell: Option<Vec<String>>,
    pub steps: Vec<Step>,
    pub config: Config,
    /// In force for this image: its own, else its base's, else the stack's.
    pub writable: Option<Writable>,
    pub tags: Vec<TagTemplate>,
    /// `refresh:`: the period that becomes part of the key.
    pub refresh: Option<Refresh>,
    /// What is to be proven of it. None of it enters its key.
    pub proof: Proof,
}

/// What an image starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Base {
    /// Another image of the same variant; it stands before this one in [`Stack::images`].
    Image(ImageId),
    Outside(OutsideBase),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutsideBase {
    pub reference: Spanned<Reference>,
    /// Variables its text was made from.
    pub vars: BTreeSet<String>,
}

/// A fixed tag: every variable is replaced but those a commit gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagTemplate {
    pub parts: Vec<TagPart>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagPart {
    Text(String),
    /// `${commit}`: 40 hex digits.
    Commit,
    /// `${commit7}`: the first 7 of them.
    Commit7,
    /// `${n}`: the release's version number, which it gets when it is promoted.
    Number,
}

impl TagTemplate {
    /// Whether the tag is put on when a release is promoted, not when it is published.
    pub fn is_numbered(&self) -> bool {
        self.parts.contains(&TagPart::Number)
    }

    /// The tag for a commit of 40 hex digits and a version number. Fails only if the text is no legal
    /// tag.
    pub fn tag(&self, commit: &str, number: u64) -> Result<Tag, crate::name::InvalidName> {
        let short = commit.get(..7).unwrap_or(commit);
        let number = number.to_string();
        let text: String = self
            .parts
            .iter()
            .map(|part| match part {
                TagPart::Text(text) => text.as_str(),
                TagPart::Commit => commit,
                TagPart::Commit7 => short,
                TagPart::Number => &number,
            })
            .collect();
        Tag::parse(&text)
    }
}

/// How often an image is rebuilt although nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refresh {
    Daily,
    Weekly,
    Monthly,
}

/// Paths whose content is kept group-writable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writable {
    pub gid: u32,
    /// Absolute, clean, sorted, none below another.
    pub paths: Vec<String>,
    pub span: Span,
}

/// Changes to the environment. `${env:X}` in a value means X *before* this whole set, so the order
/// of the map does not matter.
pub type Env = BTreeMap<String, EnvChange>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvChange {
    Set(EnvText),
    /// Added behind the value there is, with `sep` between, if there is one.
    Append {
        text: EnvText,
        sep: String,
    },
    /// Added before it.
    Prepend {
        text: EnvText,
        sep: String,
    },
}

/// A text that may name variables of the environment it will be put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvText(pub Vec<EnvPart>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvPart {
    Text(String),
    /// `${env:NAME}`; empty if unset.
    Env(String),
}

/// What is changed in the finished image's config (`config:`). `None` and empty mean inherited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pub user: Option<String>,
    pub workdir: Option<String>,
    /// For the result alone, after the image's `env`.
    pub env: Env,
    pub labels: BTreeMap<String, String>,
    pub entrypoint: Option<Vec<String>>,
    pub cmd: Option<Vec<String>>,
    /// `8888/tcp`.
    pub ports: BTreeSet<String>,
    pub volumes: BTreeSet<String>,
    pub stop_signal: Option<String>,
    pub healthcheck: Option<Healthcheck>,
    pub shell: Option<Vec<String>>,
}

/// Docker's health check; durations in nanoseconds, 0 means inherited (as in the image config).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Healthcheck {
    /// `["CMD", …]`, `["CMD-SHELL", text]` or `["NONE"]`.
    pub test: Vec<String>,
    pub interval: u64,
    pub timeout: u64,
    pub start_period: u64,
    pub start_interval: u64,
    pub retries: u32,
}

/// One thing done to an image; one step is one layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The item in its file: what is shown when it fails.
    pub span: Span,
    /// `name:`, else made from kind and content: `apt git jq rsync`, `run useradd -m jovyan`. One line.
    pub title: String,
    pub kind: Kind,
    /// `as:`.
    pub user: Option<String>,
    pub cwd: Option<String>,
    pub env: Env,
    pub shell: Option<Vec<String>>,
    pub secrets: Vec<Secret>,
    /// `network:`; `None`: the kind's default.
    pub network: Option<Network>,
    /// Done in the same layer after the step.
    pub finish: Vec<Perms>,
    /// Variables whose values are somewhere in it.
    pub vars: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    pub id: String,
    /// Absolute path of the file it is mounted as.
    pub target: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Default,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Apt {
        packages: Vec<String>,
        recommends: bool,
    },
    Pip(Pip),
    Conda(Conda),
    /// Sorted by destination.
    Copy(Vec<Copy>),
    Write(Vec<Write>),
    Append(Vec<Append>),
    Link(Vec<Link>),
    Perms(Vec<Perms>),
    /// Shell text, byte for byte as written.
    Run(String),
    Exec(Vec<String>),
    /// A file under `images/`, run by its own `#!` line.
    Script(Utf8PathBuf),
    /// Several steps, one layer. Never nested.
    Group(Vec<Step>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pip {
    /// Requirement files named in the step, in order (`images/x/requirements.txt`).
    pub requirements: Vec<Utf8PathBuf>,
    /// Files those include by `-r` or `-c`, found at load; they lie beside them in the step.
    pub includes: Vec<Utf8PathBuf>,
    pub packages: Vec<String>,
    pub tool: PipTool,
    pub index: Option<String>,
    pub extra_index: Vec<String>,
    pub upgrade: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PipTool {
    Uv,
    Pip,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conda {
    pub packages: Vec<String>,
    pub channels: Vec<String>,
    /// An `environment.yml` under `images/`.
    pub file: Option<Utf8PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub from: CopyFrom,
    /// Absolute; a trailing `/` means into that folder.
    pub to: String,
    pub owner: Option<String>,
    pub mode: Option<Mode>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyFrom {
    /// Files under `images/`, already matched against the pattern, sorted: where each lies and the
    /// path it gets relative to `to` (empty: `to` itself is the file). Folders are in it too.
    Files {
        pattern: String,
        entries: Vec<CopyEntry>,
    },
    /// A path of another image.
    Image {
        reference: Spanned<Reference>,
        path: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyEntry {
    pub file: Utf8PathBuf,
    pub to: String,
}

/// `0755` or `g+rwX`, as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Octal(u32),
    Symbolic(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub to: String,
    pub text: String,
    pub owner: Option<String>,
    pub mode: Option<Mode>,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    pub to: String,
    pub from: AppendFrom,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendFrom {
    Text(String),
    File(Utf8PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    pub path: String,
    pub target: String,
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Perms {
    pub path: String,
    pub owner: Option<String>,
    pub mode: Option<Mode>,
    pub recursive: bool,
    pub span: Span,
}

impl Step {
    /// Adds the files under `images/` it uses.
    pub fn collect_files<'a>(&'a self, files: &mut BTreeSet<&'a Utf8PathBuf>) {
        match &self.kind {
            Kind::Pip(pip) => files.extend(pip.requirements.iter().chain(&pip.includes)),
            Kind::Conda(conda) => files.extend(&conda.file),
            Kind::Copy(copies) => {
                for copy in copies {
                    if let CopyFrom::Files { entries, .. } = &copy.from {
                        files.extend(entries.iter().map(|entry| &entry.file));
                    }
                }
            }
            Kind::Append(appends) => {
                for append in appends {
                    if let AppendFrom::File(path) = &append.from {
                        files.insert(path);
                    }
                }
            }
            Kind::Script(path) => {
                files.insert(path);
            }
            Kind::Group(steps) => {
                for step in steps {
                    step.collect_files(files);
                }
            }
            Kind::Apt { .. }
            | Kind::Write(_)
            | Kind::Link(_)
            | Kind::Perms(_)
            | Kind::Run(_)
            | Kind::Exec(_) => {}
        }
    }
}
