//! The arguments of the command line. Their comments are the help, and `docs/cli.md` is generated from
//! them.
//!
//! [`Args`] is the whole command line; `cli` runs its [`Command`].

mod build;
mod given;
mod guessed;
mod output;
mod process;
mod release;
mod tips;

use camino::Utf8PathBuf;
use clap::builder::FalseyValueParser as Flag;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

pub use self::build::{BuildArgs, LoadProgram, LockArgs, PlanArgs, ProvingArgs, TestArgs};
pub use self::given::GivenOptions;
pub use self::guessed::guessed;
pub use self::output::{
    CompletionsArgs, DocsArgs, GraphArgs, GraphFormat, ImportArgs, InitArgs, ParityArgs,
    PrepullArgs, RenderArgs, WhyArgs,
};
pub use self::process::{RunArgs, ShellArgs, StartArgs};
pub use self::release::{
    AdoptArgs, DiffArgs, DiffFormat, EvidenceAddArgs, EvidenceCommand, EvidenceListArgs,
    HistoryArgs, MovingArgs, PromoteArgs, RebuildArgs, RevertArgs, ShowArgs,
};
use super::Exit;
use crate::report::Progress;

/// Build, test and publish a stack of container images with one BuildKit solve
#[derive(Debug, Parser)]
#[command(name = "laminate", version, max_term_width = 100, after_long_help = exit_codes())]
pub struct Args {
    /// Options that every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command to run.
    #[command(subcommand)]
    pub command: Command,
}

/// Returns the end of the long help: the exit codes.
fn exit_codes() -> String {
    let codes = Exit::ALL.map(|exit| format!("  {:<4} {}\n", exit.code(), exit.meaning()));
    format!("Exit codes:\n{}", codes.concat().trim_end())
}

impl Args {
    /// Returns the command with its help, which shows names of variables, never their values.
    pub fn shown() -> clap::Command {
        fn hidden(command: clap::Command) -> clap::Command {
            command
                .mut_args(|arg| arg.hide_env_values(true))
                .mut_subcommands(hidden)
        }
        hidden(Self::command())
    }

    /// Parses the arguments of this process.
    pub fn read() -> Result<Self, clap::Error> {
        let words = || std::env::args_os();
        Self::parse_from(words())
            .map_err(|error| {
                // clap's usage takes options that variables set for required ones.
                fn without_variables(command: clap::Command) -> clap::Command {
                    command
                        .mut_args(|arg| arg.env(None::<&'static str>))
                        .mut_subcommands(without_variables)
                }
                let mut plain = without_variables(Self::shown());
                match plain.try_get_matches_from_mut(words()) {
                    Err(plain) if plain.kind() == error.kind() && error.use_stderr() => plain,
                    _ => error,
                }
            })
            .map_err(|error| tips::with_tip(error, words()))
    }

    /// Whether an invalid command line asks for JSON: by the flag, or by its variable.
    pub fn asks_for_json() -> bool {
        let options = std::env::args_os().take_while(|word| word != "--");
        let variable = std::env::var("LAMINATE_JSON").unwrap_or_default();
        let is_false = ["", "n", "no", "f", "false", "off", "0"];
        let is_set = !is_false.contains(&variable.to_ascii_lowercase().as_str());
        options.skip(1).any(|word| word == "--json") || is_set
    }

    fn parse_from(
        words: impl IntoIterator<Item = impl Into<std::ffi::OsString> + Clone>,
    ) -> Result<Self, clap::Error> {
        let mut shown = Self::shown();
        let matches = shown.try_get_matches_from_mut(words)?;
        let mut args = Self::from_arg_matches(&matches)?;
        args.global.given = GivenOptions::read(&matches);
        match args.command.conflict() {
            Some((kind, text)) => Err(shown.error(kind, text)),
            None => Ok(args),
        }
    }
}

/// Options that every command takes.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The spec; images/ is next to it [default: specs.yml in this folder or the nearest parent]
    #[arg(
        short = 'f',
        long,
        value_name = "FILE",
        env = "LAMINATE_FILE",
        global = true
    )]
    pub spec: Option<Utf8PathBuf>,
    /// Change to this folder first
    #[arg(short = 'C', long, value_name = "DIR", global = true)]
    pub directory: Option<Utf8PathBuf>,
    /// Set a variable of the spec; can be repeated [env: LAMINATE_VAR_<NAME>]
    ///
    /// Overrides every value in the spec.
    #[arg(long = "var", value_name = "NAME=VALUE", global = true)]
    pub vars: Vec<String>,
    /// Push images to <registry>/<image>
    #[arg(
        long,
        value_name = "HOST/NAMESPACE",
        env = "LAMINATE_REGISTRY",
        global = true
    )]
    pub registry: Option<String>,
    /// The staging repository, which receives layers first [default: <registry>/<stack>]
    #[arg(
        long,
        value_name = "REPOSITORY",
        env = "LAMINATE_STAGING",
        global = true
    )]
    pub staging: Option<String>,
    /// The buildkitd to use, unix://… or tcp://… [default: BUILDKIT_HOST, or start one]
    #[arg(long, value_name = "ADDRESS", env = "LAMINATE_ENGINE", global = true)]
    pub engine: Option<String>,
    /// Use a tcp://… engine on another machine, although the connection is not encrypted
    ///
    /// Secrets and passwords of registries are sent to the engine, and anyone on the network can read them.
    #[arg(
        long,
        env = "LAMINATE_INSECURE_ENGINE",
        value_parser = Flag::new(),
        global = true
    )]
    pub insecure_engine: bool,
    /// Use only this variant; can be repeated
    #[arg(
        long = "variant",
        value_name = "NAME",
        env = "LAMINATE_VARIANT",
        value_delimiter = ',',
        global = true
    )]
    pub variants: Vec<String>,
    /// PEM certificates that steps with network access trust; overrides build.ca
    #[arg(long, value_name = "FILE", env = "LAMINATE_CA", global = true)]
    pub ca: Option<Utf8PathBuf>,
    /// Print one JSON document on stdout
    #[arg(long, env = "LAMINATE_JSON", value_parser = Flag::new(), global = true)]
    pub json: bool,
    /// How to show progress on stderr
    #[arg(
        long,
        value_name = "KIND",
        env = "LAMINATE_PROGRESS",
        default_value = "auto",
        global = true
    )]
    pub progress: Progress,
    /// Write where the time went to FILE, as a trace for ui.perfetto.dev or chrome://tracing
    ///
    /// Also if the command fails. Has the phases of the command, requests to registries, the engine's steps, suites,
    /// tags and pauses. A collector of OpenTelemetry gets the same, if OTEL_EXPORTER_OTLP_ENDPOINT is set.
    #[arg(long, value_name = "FILE", env = "LAMINATE_TRACE", global = true)]
    pub trace: Option<Utf8PathBuf>,
    /// Also show the output of steps
    #[arg(short, long, env = "LAMINATE_VERBOSE", value_parser = Flag::new(), global = true)]
    pub verbose: bool,
    /// Options that messages repeat in commands.
    #[arg(skip)]
    pub given: GivenOptions,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what `build` would do with each image, and why
    ///
    /// Exits with 10 if there is something to build or to run (suites, checks, info), or if that is unknown because no
    /// registry was asked (--offline), with 0 if not.
    Plan(PlanArgs),
    /// Build and test what changed; with --push, publish it
    ///
    /// One BuildKit solve builds all images that changed. Other images are reused. With --push, images
    /// get their immutable tags only if every image, suite and check passed.
    Build(BuildArgs),
    /// Run suites, checks and info commands on images that are already built
    Test(TestArgs),
    /// Pin external images to digests in specs.lock
    Lock(LockArgs),
    /// Record or list evidence from outside laminate, such as a GPU test or a review
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Move all tags of a channel to a release
    Promote(PromoteArgs),
    /// Move all tags of a channel back to an earlier release
    Revert(RevertArgs),
    /// Record the tags that a channel had before laminate as its first release
    ///
    /// So the first promotion can be reverted to what users had before. Moves no tag. Each image gets an immutable tag
    /// `adopted-<digest>` in its repository, so that it is kept once the channel's tag is elsewhere.
    Adopt(AdoptArgs),
    /// Show the release of each channel, and tags that someone else moved
    ///
    /// Exits with 10 if a tag differs from the channel's record, or a move was interrupted.
    Status,
    /// List releases, newest first, with the channels that are at them
    ///
    /// Then lists the moves of channels. With IMAGE, list only the releases that changed its digest, each with the bases it
    /// had, and the moves that changed its tags; a line counts the others.
    History(HistoryArgs),
    /// Show the images of a release, their bases and verdicts
    ///
    /// Reads only the registry. With --staging, no specs.yml is needed.
    Show(ShowArgs),
    /// Generate Kubernetes manifests that pull a channel's images onto all nodes
    ///
    /// Prints a DaemonSet for `kubectl apply -f -`. With --values, prints values for Zero-to-JupyterHub.
    /// With --stale, compares the images on nodes with the channel, and exits with 10 if a node has an
    /// old digest.
    Prepull(PrepullArgs),
    /// Generate wiki pages for images, releases and channels
    ///
    /// Writes only pages that differ. The file .laminate-docs.json in the folder lists the pages laminate
    /// wrote; other files are not touched. If the commit of a release is checked out, the pages of its images get their
    /// Dockerfiles, as `render` makes them; later runs keep these.
    Docs(DocsArgs),
    /// Compare two releases: images, packages, bases, settings, files, verdicts
    ///
    /// Reads only the registry. With --staging, no specs.yml is needed. Packages are those that `info:`
    /// of the spec lists. Exits with 10 if there is a difference, with 0 if not.
    Diff(DiffArgs),
    /// Show the spec of a release with every external image pinned to its digest, and how to rebuild it
    ///
    /// Reads only the registry. With --staging, no specs.yml is needed. Does not check out the commit.
    Rebuild(RebuildArgs),
    /// Write a small stack that builds, with a workflow for GitHub Actions
    ///
    /// If there is a specs.yml, as after `laminate import`, writes only the workflow and .gitignore. Replaces no file, and
    /// contacts nothing. If you have Dockerfiles, use `laminate import`.
    Init(InitArgs),
    /// Write a specs.yml for existing Dockerfiles, a bake file, a compose file or a spec.yml
    ///
    /// The images are built from their Dockerfiles, by `dockerfile:`. Files that are not below images/ are copied there.
    /// Reports what became of each setting. Contacts nothing.
    Import(ImportArgs),
    /// Compare an image with the one it replaces: files, config and packages
    ///
    /// Reads both images from their registries. Exits with 10 if there is a difference, with 0 if not. Times are not
    /// compared, and neither are files that differ from build to build, such as caches, logs and compiled Python.
    Parity(ParityArgs),
    /// Write Dockerfiles that build the same images without laminate
    ///
    /// One folder for each image with its Dockerfile and the files it uses, docker-bake.json for all of them, and
    /// README.md. External images are pinned to their digests. Reports what a Dockerfile cannot have. Tests, policies,
    /// package lists and channels are left out. Reads the configs of external bases from their registries.
    Render(RenderArgs),
    /// Run the command of an image, or another one, as `docker run` does
    ///
    /// Builds the image first if it is not up to date; nothing is pushed, and no tests run. The process has the image's
    /// environment, user and folder, and the network of steps. What it changes is not kept. It gets a terminal if
    /// standard input and output are terminals; if not, signals are passed on to it. Exits with the exit code of
    /// the process, or with 125 if laminate fails.
    Run(RunArgs),
    /// Open a shell in an image, or in a step of it
    ///
    /// Builds the image first if it is not up to date; nothing is pushed, and no tests run. The shell is bash, or sh in an
    /// image without it, with the image's environment, user and folder. What it changes is not kept. --at opens it
    /// after a step, with the mounts, secrets, environment, user and folder of the step, and if the step fails, in the
    /// state at the failure. Exits with the exit code of the shell, or with 125 if laminate fails.
    Shell(ShellArgs),
    /// Show which image is based on which, copies from which or mounts which
    Graph(GraphArgs),
    /// Explain an image: what `build` would do, why, and what its cache key is made of
    ///
    /// Then lists the releases that changed its digest, newest first, with the changes in each.
    Why(WhyArgs),
    /// Generate a completion script for a shell
    Completions(CompletionsArgs),
    /// Print docs/cli.md
    #[command(hide = true)]
    Reference,
}

impl Command {
    /// Returns the name of the command.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Plan(_) => "plan",
            Self::Build(_) => "build",
            Self::Test(_) => "test",
            Self::Lock(_) => "lock",
            Self::Evidence(_) => "evidence",
            Self::Promote(_) => "promote",
            Self::Revert(_) => "revert",
            Self::Adopt(_) => "adopt",
            Self::Status => "status",
            Self::History(_) => "history",
            Self::Show(_) => "show",
            Self::Prepull(_) => "prepull",
            Self::Docs(_) => "docs",
            Self::Diff(_) => "diff",
            Self::Rebuild(_) => "rebuild",
            Self::Init(_) => "init",
            Self::Import(_) => "import",
            Self::Parity(_) => "parity",
            Self::Render(_) => "render",
            Self::Run(_) => "run",
            Self::Shell(_) => "shell",
            Self::Graph(_) => "graph",
            Self::Why(_) => "why",
            Self::Completions(_) => "completions",
            Self::Reference => "reference",
        }
    }

    /// Returns the conflict between flags that variables can set to false. clap cannot find these: it
    /// checks only whether a flag is given, and `LAMINATE_DRY_RUN=false` counts as given.
    fn conflict(&self) -> Option<(ErrorKind, &'static str)> {
        let both = |a: bool, b: bool, text| (a && b).then_some((ErrorKind::ArgumentConflict, text));
        match self {
            Self::Build(args) => {
                let lacks = args.offline && args.export.is_none() && args.load.is_none();
                let lacks = lacks.then_some((
                    ErrorKind::MissingRequiredArgument,
                    "--offline requires --export or --load: without a registry nothing would be kept",
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
