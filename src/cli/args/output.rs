//! Arguments of the commands that generate or explain: `init`, `import`, `parity`, `render`, `prepull`, `docs`, `graph`, `why`, `completions`.

use camino::Utf8PathBuf;
use clap::ValueEnum;
use clap::builder::FalseyValueParser as Flag;

use super::release::DiffFormat;
use crate::docs::Links;
use crate::name::Reference;
use crate::nodes::{Label, ObjectName, Toleration};

/// Arguments of `laminate init`.
#[derive(Clone, Debug, clap::Args)]
pub struct InitArgs {
    /// The folder of the stack; made if it is missing [default: this folder]
    #[arg(value_name = "FOLDER")]
    pub folder: Option<Utf8PathBuf>,
    /// The external image that the first image is based on [default: debian:bookworm-slim]
    #[arg(long, value_name = "IMAGE")]
    pub from: Option<String>,
    /// Name of the stack [default: name of the folder]
    #[arg(long, value_name = "NAME")]
    pub stack: Option<String>,
}

/// Arguments of `laminate import`.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    /// A folder with Dockerfiles, or docker-bake.json, docker-bake.hcl, compose.yml or spec.yml [default: this folder]
    ///
    /// In a folder, the first of these files is used that is there; else all files Dockerfile, Containerfile,
    /// NAME.Dockerfile and Dockerfile.NAME below it, or below its images/. A bake file in HCL requires buildx.
    #[arg(value_name = "PATH")]
    pub from: Option<Utf8PathBuf>,
    /// Write specs.yml and images/ into this folder [default: this folder]
    #[arg(long, value_name = "FOLDER")]
    pub to: Option<Utf8PathBuf>,
    /// Name of the stack [default: name of the folder]
    #[arg(long, value_name = "NAME")]
    pub stack: Option<String>,
    /// Turn instructions into steps that do the same, and keep the Dockerfiles of the other images
    ///
    /// The report has a line for each instruction. An image that steps cannot express keeps its Dockerfile, and the report
    /// gives the reason and the line. `laminate parity` compares an image with the one it replaces.
    #[arg(long, value_parser = Flag::new())]
    pub native: bool,
    /// Print specs.yml and the report, write nothing
    #[arg(long, value_parser = Flag::new())]
    pub dry_run: bool,
    /// Replace `images:` of specs.yml, also the tests of images, and files in images/; keep its other keys
    #[arg(long, value_parser = Flag::new())]
    pub force: bool,
}

/// Arguments of `laminate render`.
#[derive(Clone, Debug, clap::Args)]
pub struct RenderArgs {
    /// Write Dockerfiles and docker-bake.json into this folder, which must be new or empty
    #[arg(long, value_name = "DIR")]
    pub dockerfile: Utf8PathBuf,
    /// Print the Dockerfiles, write nothing
    #[arg(long, value_parser = Flag::new())]
    pub dry_run: bool,
    /// Replace what an earlier run wrote into the folder
    #[arg(long, value_parser = Flag::new())]
    pub force: bool,
}

/// Arguments of `laminate parity`.
#[derive(Clone, Debug, clap::Args)]
pub struct ParityArgs {
    /// An image of the stack that is up to date (IMAGE or VARIANT/IMAGE), or a reference
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// The image to compare it with, for example the one of the Dockerfile; also an image of the stack
    #[arg(long, value_name = "REFERENCE")]
    pub with: String,
    /// Leave out files that this pattern matches, and what is below them; can be repeated
    ///
    /// A pattern is read as in .gitignore: `*.log` matches in each folder, `/opt/*.log` in /opt, and `/opt/**/*.log` below it.
    #[arg(long, value_name = "PATTERN")]
    pub ignore: Vec<String>,
    /// The form of the list
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: DiffFormat,
}

/// Arguments of `laminate prepull`.
#[derive(Clone, Debug, clap::Args)]
pub struct PrepullArgs {
    /// The channel whose images to pull
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Print values for Zero-to-JupyterHub instead, with a profile for each image
    #[arg(long)]
    pub values: bool,
    /// Write manifests and values to this folder, and print the names of the files
    ///
    /// The files are prepull-CHANNEL.yaml and values-CHANNEL.yaml.
    #[arg(long, value_name = "DIR", conflicts_with = "values")]
    pub out: Option<Utf8PathBuf>,
    /// Report instead which nodes have old digests, and how to remove them; can be repeated
    ///
    /// FILE is the output of `crictl images -o json` or `kubectl get nodes -o json`, or `-` for stdin.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["values", "out"])]
    pub stale: Vec<Utf8PathBuf>,
    /// Split the images over N DaemonSets, so that N pods pull on a node at once
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub parallel: u8,
    /// The namespace of the pods [default: none; kubectl chooses]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<ObjectName>,
    /// Use only nodes with this label; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub node_selector: Vec<Label>,
    /// Tolerate this taint; can be repeated
    ///
    /// Replaces the default, the taints of Zero-to-JupyterHub's user nodes:
    /// hub.jupyter.org/dedicated=user:NoSchedule and hub.jupyter.org_dedicated=user:NoSchedule.
    #[arg(long = "toleration", value_name = "KEY[=VALUE][:EFFECT]")]
    pub tolerations: Vec<Toleration>,
    /// A Kubernetes secret with registry credentials; can be repeated
    #[arg(long, value_name = "NAME")]
    pub pull_secret: Vec<ObjectName>,
    /// The image of the container that keeps each pod running
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "registry.k8s.io/pause:3.10"
    )]
    pub pause: Reference,
}

/// Arguments of `laminate docs`.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("where").required(true).multiple(true).args(["out", "push_wiki"])))]
pub struct DocsArgs {
    /// Write the pages to this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<Utf8PathBuf>,
    /// Commit the pages to this git repository and push it, if anything changed
    #[arg(long, value_name = "REMOTE", env = "LAMINATE_PUSH_WIKI")]
    pub push_wiki: Option<String>,
    /// The branch to push [default: the current branch of the repository, or master]
    #[arg(long, value_name = "BRANCH", requires = "push_wiki")]
    pub branch: Option<String>,
    /// The release on the first page: its digest, commit, run or immutable tag [default: the newest]
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// Generate pages for all releases
    ///
    /// Without it, only the 10 newest releases and the releases of channels get new pages. Existing
    /// pages are kept in any case.
    #[arg(long)]
    pub all: bool,
    /// How pages link to each other
    #[arg(long, value_name = "KIND", default_value = "wiki")]
    pub links: LinkKind,
    /// Overwrite files of the same name that laminate did not write
    #[arg(long)]
    pub overwrite: bool,
    /// Show what would be written, and write nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
}

/// How pages link to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LinkKind {
    /// By page name, as in wikis of GitHub and GitLab
    Wiki,
    /// By file name, for a plain folder of files
    Plain,
}

impl From<LinkKind> for Links {
    fn from(kind: LinkKind) -> Self {
        match kind {
            LinkKind::Wiki => Self::Wiki,
            LinkKind::Plain => Self::Plain,
        }
    }
}

/// Arguments of `laminate graph`.
#[derive(Clone, Debug, clap::Args)]
pub struct GraphArgs {
    /// The format of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: GraphFormat,
}

/// Formats of `laminate graph`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// A tree for a terminal
    Text,
    /// A Mermaid flowchart for Markdown
    Mermaid,
}

/// Arguments of `laminate why`.
#[derive(Clone, Debug, clap::Args)]
pub struct WhyArgs {
    /// The image to explain: IMAGE or VARIANT/IMAGE
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Contact nothing
    #[arg(long, env = "LAMINATE_OFFLINE", value_parser = Flag::new())]
    pub offline: bool,
    /// Explain only what changed after this release
    #[arg(long, value_name = "RELEASE", conflicts_with = "in_release")]
    pub since: Option<String>,
    /// Explain only what changed in this release
    #[arg(id = "in_release", long = "in", value_name = "RELEASE")]
    pub in_release: Option<String>,
    /// Show all releases that changed the image, not only the last 10
    #[arg(long)]
    pub all: bool,
}

/// Arguments of `laminate completions`.
#[derive(Clone, Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell to generate a script for
    pub shell: clap_complete::Shell,
}
