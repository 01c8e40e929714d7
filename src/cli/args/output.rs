//! Arguments of the commands that generate or explain: `prepull`, `docs`, `graph`, `why`, `completions`.

use camino::Utf8PathBuf;
use clap::ValueEnum;
use clap::builder::FalseyValueParser as Flag;

use crate::docs::Links;
use crate::name::Reference;
use crate::nodes::{Label, ObjectName, Toleration};

#[derive(Clone, Debug, clap::Args)]
pub struct PrepullArgs {
    /// The channel
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// Prints values for Zero-to-JupyterHub instead: a profile for each image
    #[arg(long)]
    pub values: bool,
    /// Writes both to this folder, prepull-CHANNEL.yaml and values-CHANNEL.yaml, and prints their names
    #[arg(long, value_name = "DIR", conflicts_with = "values")]
    pub out: Option<Utf8PathBuf>,
    /// Says instead which nodes hold old digests, and what removes them; a list of images from
    /// `crictl images -o json` or `kubectl get nodes -o json`, - for stdin; may be given several times
    #[arg(long, value_name = "FILE", conflicts_with_all = ["values", "out"])]
    pub stale: Vec<Utf8PathBuf>,
    /// How many pods pull on a node at once: as many DaemonSets, each with a part of the images
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub parallel: u8,
    /// The namespace of the pods [default: what kubectl takes]
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<ObjectName>,
    /// A label the nodes must have; may be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub node_selector: Vec<Label>,
    /// A taint the pods tolerate; may be given several times [default: the two of
    /// Zero-to-JupyterHub's nodes for users, hub.jupyter.org/dedicated=user:NoSchedule and
    /// hub.jupyter.org_dedicated=user:NoSchedule]
    #[arg(long = "toleration", value_name = "KEY[=VALUE][:EFFECT]")]
    pub tolerations: Vec<Toleration>,
    /// A secret with credentials for the registry; may be given several times
    #[arg(long, value_name = "NAME")]
    pub pull_secret: Vec<ObjectName>,
    /// The image of the one container that stays
    #[arg(
        long,
        value_name = "IMAGE",
        default_value = "registry.k8s.io/pause:3.10"
    )]
    pub pause: Reference,
}

#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("where").required(true).multiple(true).args(["out", "push_wiki"])))]
pub struct DocsArgs {
    /// Writes the pages into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<Utf8PathBuf>,
    /// Commits the pages to this git repository and pushes it, if anything changed
    #[arg(long, value_name = "REMOTE", env = "LAMINATE_PUSH_WIKI")]
    pub push_wiki: Option<String>,
    /// The branch that is pushed [default: the one the repository is on, else master]
    #[arg(long, value_name = "BRANCH", requires = "push_wiki")]
    pub branch: Option<String>,
    /// The release on the first page: a digest, commit, run or fixed tag [default: the newest]
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// Makes pages of all releases, not only of the newest 10 and those channels are at; pages that
    /// are there already are kept in any case
    #[arg(long)]
    pub all: bool,
    /// How a page leads to another
    #[arg(long, value_name = "KIND", default_value = "wiki")]
    pub links: LinkKind,
    /// Writes over files of the same name that laminate has not written
    #[arg(long)]
    pub overwrite: bool,
    /// Says what would be written, and writes nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LinkKind {
    /// By name, as wikis of GitHub and GitLab do
    Wiki,
    /// By file, for a folder that is read as it is
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

#[derive(Clone, Debug, clap::Args)]
pub struct GraphArgs {
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: GraphFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// A tree
    Text,
    /// A flowchart for Markdown
    Mermaid,
}

#[derive(Clone, Debug, clap::Args)]
pub struct WhyArgs {
    /// IMAGE or VARIANT/IMAGE
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Contacts nothing
    #[arg(long, env = "LAMINATE_OFFLINE", value_parser = Flag::new())]
    pub offline: bool,
    /// Explains only what changed after this release
    #[arg(long, value_name = "RELEASE", conflicts_with = "in_release")]
    pub since: Option<String>,
    /// Explains only what changed in this release
    #[arg(id = "in_release", long = "in", value_name = "RELEASE")]
    pub in_release: Option<String>,
    /// All releases that changed it, not only the last 10
    #[arg(long)]
    pub all: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct CompletionsArgs {
    pub shell: clap_complete::Shell,
}
