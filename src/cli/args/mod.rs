//! The arguments: this is the help, and `docs/cli.md` is made from it.

mod build;
mod output;
mod release;

use camino::Utf8PathBuf;
use clap::builder::FalseyValueParser as Flag;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use self::build::{BuildArgs, LockArgs, PlanArgs, TestArgs};
pub use self::output::{CompletionsArgs, DocsArgs, GraphArgs, GraphFormat, PrepullArgs, WhyArgs};
pub use self::release::{
    DiffArgs, DiffFormat, EvidenceAddArgs, EvidenceCommand, EvidenceListArgs, HistoryArgs,
    MovingArgs, PromoteArgs, RebuildArgs, RevertArgs, ShowArgs,
};
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
