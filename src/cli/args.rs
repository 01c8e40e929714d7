//! The arguments: this is the help, and `docs/cli.md` is made from it.

use camino::Utf8PathBuf;
use clap::builder::FalseyValueParser as Flag;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand, ValueEnum};

use crate::docs::Links;
use crate::name::Reference;
use crate::nodes::{Label, ObjectName, Toleration};
use crate::report::Progress;

/// Builds a stack of container images in one BuildKit request, and names them only when everything
/// is proven
#[derive(Debug, Parser)]
#[command(name = "laminate", version, max_term_width = 100)]
pub struct Args {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

impl Args {
    /// The arguments, with help that shows the names of variables and never their values.
    pub fn shown() -> clap::Command {
        fn hidden(command: clap::Command) -> clap::Command {
            command
                .mut_args(|arg| arg.hide_env_values(true))
                .mut_subcommands(hidden)
        }
        hidden(Self::command())
    }

    /// This process's arguments; a wrong command line ends it with 2.
    pub fn read() -> Self {
        Self::parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
    }

    fn parse_from(
        words: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let mut shown = Self::shown();
        let matches = shown.try_get_matches_from_mut(words)?;
        let args = Self::from_arg_matches(&matches)?;
        match args.command.conflict() {
            Some((kind, text)) => Err(shown.error(kind, text)),
            None => Ok(args),
        }
    }
}

/// What every command takes; each flag has its `LAMINATE_…` variable
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Options of all commands")]
pub struct Global {
    /// The spec; images/ lies beside it [default: specs.yml here or in the nearest parent folder]
    #[arg(
        short = 'f',
        long,
        value_name = "FILE",
        env = "LAMINATE_FILE",
        global = true
    )]
    pub spec: Option<Utf8PathBuf>,
    /// Works as if started in this folder
    #[arg(short = 'C', long, value_name = "DIR", global = true)]
    pub directory: Option<Utf8PathBuf>,
    /// Sets a variable of the spec, over all it says itself; also LAMINATE_VAR_<name>
    #[arg(long = "var", value_name = "NAME=VALUE", global = true)]
    pub vars: Vec<String>,
    /// Where images go: <registry>/<image>
    #[arg(
        long,
        value_name = "HOST/NAMESPACE",
        env = "LAMINATE_REGISTRY",
        global = true
    )]
    pub registry: Option<String>,
    /// The repository that receives the layers of a run [default: <registry>/<stack>]
    #[arg(
        long,
        value_name = "REPOSITORY",
        env = "LAMINATE_STAGING",
        global = true
    )]
    pub staging: Option<String>,
    /// The buildkitd to use, unix:///… or tcp://… [default: BUILDKIT_HOST, else one is started]
    #[arg(long, value_name = "ADDRESS", env = "LAMINATE_ENGINE", global = true)]
    pub engine: Option<String>,
    /// Only this variant; may be given several times
    #[arg(
        long = "variant",
        value_name = "NAME",
        env = "LAMINATE_VARIANT",
        value_delimiter = ',',
        global = true
    )]
    pub variants: Vec<String>,
    /// Certificates (PEM) that steps with the network trust; over build.ca
    #[arg(long, value_name = "FILE", env = "LAMINATE_CA", global = true)]
    pub ca: Option<Utf8PathBuf>,
    /// Writes one JSON document to stdout
    #[arg(long, env = "LAMINATE_JSON", value_parser = Flag::new(), global = true)]
    pub json: bool,
    /// How progress is shown on stderr
    #[arg(
        long,
        value_name = "KIND",
        env = "LAMINATE_PROGRESS",
        default_value = "auto",
        global = true
    )]
    pub progress: Progress,
    /// Shows what steps write, too
    #[arg(short, long, env = "LAMINATE_VERBOSE", value_parser = Flag::new(), global = true)]
    pub verbose: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows what `build` would do with each image, and why
    ///
    /// Exits with 10 if an image is to be built, or suites, checks or info are to be run; else with 0.
    Plan(PlanArgs),
    /// Builds what is missing, in one request, and names it with --push
    Build(BuildArgs),
    /// Runs test suites, checks and info on images that are built already; builds nothing
    Test(TestArgs),
    /// Pins outside bases to digests, in specs.lock
    Lock(LockArgs),
    /// Attaches a verdict from outside to images: a GPU machine's, a person's
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Moves a channel's tags to a release, as one set
    Promote(PromoteArgs),
    /// Moves a channel's tags back to an earlier release
    Revert(RevertArgs),
    /// Shows what each channel is at, and tags somebody else moved
    ///
    /// Exits with 10 if a tag is not where the channel's record says, or a move was not ended.
    Status,
    /// Lists releases, newest first, and which channels are at each
    ///
    /// With IMAGE, those in which it got another digest, and what it stands on in each.
    History(HistoryArgs),
    /// Shows one release: its images, what they stand on, what is proven of them
    ///
    /// It is read from the registry alone; with --staging no specs.yml is needed.
    Show(ShowArgs),
    /// Writes what a Kubernetes cluster needs to have a channel's images on its nodes
    ///
    /// That is a DaemonSet (`kubectl apply -f -`), and with --values a part of the values of
    /// Zero-to-JupyterHub. With --stale it compares lists of what nodes hold with the channel, and
    /// exits with 10 if one holds an old digest.
    Prepull(PrepullArgs),
    /// Writes a wiki: pages of all images, releases and channels
    ///
    /// Only pages that differ are written. A list in the folder, .laminate-docs.json, says which pages
    /// are laminate's; all other files stay as they are.
    Docs(DocsArgs),
    /// Compares two releases: images, packages, bases, settings, files, verdicts
    ///
    /// It is read from the registry alone; with --staging no specs.yml is needed. Packages are those
    /// that the spec's `info:` lists. Exits with 0 if there is no difference, and with 10 if there is one.
    Diff(DiffArgs),
    /// Shows the spec a release was built from, with every base by digest, and how to build it again
    ///
    /// It is read from the registry alone; with --staging no specs.yml is needed. Nothing is checked
    /// out.
    Rebuild(RebuildArgs),
    /// Shows which image stands on which
    Graph(GraphArgs),
    /// Explains one image: what becomes of it, why, and what it is made from
    ///
    /// Of the releases in which it got another digest it says what had changed, newest first.
    Why(WhyArgs),
    /// Prints a script that completes laminate's arguments in a shell
    Completions(CompletionsArgs),
    /// Prints docs/cli.md
    #[command(hide = true)]
    Reference,
}

impl Command {
    /// What does not go together, of flags that a variable can set to false: clap asks only whether a
    /// flag is given, and `LAMINATE_DRY_RUN=false` is.
    fn conflict(&self) -> Option<(ErrorKind, &'static str)> {
        let both = |a: bool, b: bool, text| (a && b).then_some((ErrorKind::ArgumentConflict, text));
        match self {
            Self::Build(args) => {
                let lacks = args.offline && args.export.is_none();
                let lacks = lacks.then_some((
                    ErrorKind::MissingRequiredArgument,
                    "--offline needs --export: nothing is kept without a registry",
                ));
                both(
                    args.offline,
                    args.push,
                    "--offline cannot be used with --push",
                )
                .or(lacks)
            }
            Self::Promote(args) => {
                let dry_run = args.moving.dry_run;
                both(
                    args.resume,
                    dry_run,
                    "--resume cannot be used with --dry-run",
                )
                .or_else(|| both(args.abort, dry_run, "--abort cannot be used with --dry-run"))
            }
            Self::Why(args) => {
                let release = args.since.is_some() || args.in_release.is_some();
                let text = "--offline cannot be used with --since or --in";
                both(args.offline, release, text)
            }
            _ => None,
        }
    }
}

#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// IMAGE, IMAGE+ (and what stands on it), +IMAGE (and what it stands on), VARIANT/IMAGE
    /// [default: all]
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Prints the steps of an image instead, after short keys, variants and variables
    #[arg(long, value_name = "IMAGE", conflicts_with = "images")]
    pub expand: Option<String>,
    /// Contacts nothing: only specs.lock and digests say what outside bases are
    #[arg(long, env = "LAMINATE_OFFLINE", value_parser = Flag::new())]
    pub offline: bool,
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct BuildArgs {
    /// IMAGE, IMAGE+ (and what stands on it), +IMAGE (and what it stands on), VARIANT/IMAGE
    /// [default: all]
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Puts every image under its fixed tags when all are green
    #[arg(long, env = "LAMINATE_PUSH", value_parser = Flag::new())]
    pub push: bool,
    /// Writes an archive with every image, oci:FILE; without --push nothing is written to the
    /// registry then
    #[arg(long, value_name = "oci:FILE", env = "LAMINATE_EXPORT")]
    pub export: Option<String>,
    /// Builds this image anew, from its first step, although nothing changed; and what stands on it
    #[arg(
        long,
        value_name = "IMAGE",
        env = "LAMINATE_REFRESH",
        value_delimiter = ','
    )]
    pub refresh: Vec<String>,
    /// Stops everything when one image fails
    #[arg(long, env = "LAMINATE_FAIL_FAST", value_parser = Flag::new())]
    pub fail_fast: bool,
    /// Shows what would be done, and does nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
    /// Names images with the commit although files of the stack differ from it
    #[arg(long, env = "LAMINATE_ALLOW_DIRTY", value_parser = Flag::new())]
    pub allow_dirty: bool,
    /// Builds what staging has already, too
    #[arg(long, env = "LAMINATE_NO_REUSE", value_parser = Flag::new())]
    pub no_reuse: bool,
    #[command(flatten)]
    pub proving: ProvingArgs,
    /// Contacts no registry: everything is built; needs --export
    #[arg(long, env = "LAMINATE_OFFLINE", value_parser = Flag::new())]
    pub offline: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct TestArgs {
    /// IMAGE, IMAGE+ (and what stands on it), +IMAGE (and what it stands on), VARIANT/IMAGE
    /// [default: all]
    #[arg(value_name = "IMAGE")]
    pub images: Vec<String>,
    /// Shows what would be run, and runs nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
    #[command(flatten)]
    pub proving: ProvingArgs,
}

#[derive(Clone, Debug, Default, clap::Args)]
pub struct ProvingArgs {
    /// Runs suites again although their verdicts are known: all, or --retest=SUITE
    #[arg(
        long,
        value_name = "SUITE",
        env = "LAMINATE_RETEST",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "",
        value_delimiter = ','
    )]
    pub retest: Vec<String>,
    /// Writes all verdicts as JUnit's XML
    #[arg(long, value_name = "FILE", env = "LAMINATE_JUNIT")]
    pub junit: Option<Utf8PathBuf>,
    /// The value of a step's or suite's secret: ID=FILE or ID=env:NAME
    #[arg(long = "secret", value_name = "ID=SOURCE")]
    pub secrets: Vec<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub struct LockArgs {
    /// Moves bases that are locked already to what their tags are now: all, or those named
    #[arg(long, value_name = "BASE", num_args = 0..)]
    pub update: Option<Vec<String>>,
    /// Shows what would be pinned, and writes nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
}

#[derive(Clone, Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Attaches a verdict to the digests of a release, or of one image of it
    Add(EvidenceAddArgs),
    /// Shows what every gate of every channel says of a release
    List(EvidenceListArgs),
}

#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("verdict").required(true).multiple(true).args(["passed", "failed", "file"])))]
pub struct EvidenceAddArgs {
    /// What it is evidence for; channels name it under `gates:`
    #[arg(long, value_name = "GATE")]
    pub gate: String,
    /// IMAGE or VARIANT/IMAGE of the release, or a digest of one; or a release, for all of its images
    #[arg(value_name = "IMAGE|RELEASE")]
    pub subject: String,
    /// The release an IMAGE is of [default: that of the commit that is checked out]
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    #[arg(long, conflicts_with = "failed")]
    pub passed: bool,
    #[arg(long)]
    pub failed: bool,
    /// A report in JUnit's XML, kept with the verdict; without --passed or --failed it is the verdict
    #[arg(long, value_name = "FILE")]
    pub file: Option<Utf8PathBuf>,
    /// What a reader should know
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Shows what would be written, and writes nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct EvidenceListArgs {
    /// A release's digest, commit, run or fixed tag [default: the commit that is checked out]
    #[arg(value_name = "RELEASE")]
    pub release: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub struct PromoteArgs {
    /// A release's digest, commit, run or fixed tag, or a channel that is at it [default: the commit
    /// that is checked out]
    #[arg(value_name = "RELEASE")]
    pub release: Option<String>,
    /// The channel
    #[arg(long, value_name = "CHANNEL", required_unless_present = "auto")]
    pub to: Option<String>,
    /// Every channel with `auto: true`, in the order of `from:`; does nothing where there is none, and
    /// moves no channel back that is at a newer release. One that is refused stops only those that
    /// take from it
    #[arg(long, conflicts_with_all = ["to", "resume", "abort"])]
    pub auto: bool,
    /// Ends a move that was begun
    #[arg(long, conflicts_with_all = ["abort", "release"])]
    pub resume: bool,
    /// Takes a move back that was begun
    #[arg(long, conflicts_with = "release")]
    pub abort: bool,
    /// Goes on although this gate is not proven; needs --reason
    #[arg(long, value_name = "GATE", requires = "reason")]
    pub waive: Vec<String>,
    /// Wants this gate, too; recorded
    #[arg(long, value_name = "GATE")]
    pub require: Vec<String>,
    #[command(flatten)]
    pub moving: MovingArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RevertArgs {
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// A release the channel was at [default: the one before]
    #[arg(long, value_name = "RELEASE")]
    pub to: Option<String>,
    #[command(flatten)]
    pub moving: MovingArgs,
}

#[derive(Clone, Debug, clap::Args)]
pub struct MovingArgs {
    /// Why; recorded
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Goes on although somebody else moved tags of the channel; recorded
    #[arg(long)]
    pub accept_drift: bool,
    /// Shows what would be moved, and moves nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
}

#[derive(Clone, Debug, clap::Args)]
pub struct HistoryArgs {
    /// IMAGE or VARIANT/IMAGE
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
}

#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// A release's digest, commit, run or fixed tag, or a channel for the release it is at
    #[arg(value_name = "RELEASE")]
    pub release: String,
}

#[derive(Clone, Debug, clap::Args)]
pub struct DiffArgs {
    /// The older release: its digest, commit, run or fixed tag, or a channel for the one it is at
    #[arg(value_name = "A")]
    pub from: String,
    /// The newer release [default: A itself, compared with the release before it]
    #[arg(value_name = "B")]
    pub to: Option<String>,
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: DiffFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// For a terminal
    Text,
    /// For notes of a release
    Markdown,
    /// The same document as with --json
    Json,
}

#[derive(Clone, Debug, clap::Args)]
pub struct RebuildArgs {
    /// A release's digest, commit, run or fixed tag, or a channel for the release it is at
    #[arg(value_name = "RELEASE")]
    pub release: String,
    /// Writes the spec as it was to this new or empty folder: specs.yml, images/*/image.yml, a
    /// specs.lock with every base, and what it came to, resolved.json
    #[arg(long, value_name = "DIR")]
    pub out: Option<Utf8PathBuf>,
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn conflict(line: &str) -> Option<String> {
        let words = ["laminate"].into_iter().chain(line.split_whitespace());
        let error = Args::parse_from(words).err()?;
        Some(error.to_string().lines().next()?.to_owned())
    }

    #[test]
    fn flags_that_do_not_go_together_are_refused() {
        for line in [
            "build --offline --push --export oci:x",
            "build --offline",
            "promote --to x --resume --dry-run",
            "promote --to x --abort --dry-run",
            "promote --to x --abort --resume",
            "why x --offline --since y",
            "why x --offline --in y",
            "why x --in y --since y",
        ] {
            let said = conflict(line).expect(line);
            assert!(said.starts_with("error: "), "{line}: {said}");
        }
        for line in [
            "build --offline --export oci:x",
            "build --push",
            "promote --to x --resume",
            "promote x --to y --dry-run",
            "why x --offline",
            "why x --since y",
        ] {
            assert_eq!(conflict(line), None, "{line}");
        }
    }
}
