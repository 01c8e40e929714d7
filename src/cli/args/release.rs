//! Arguments of the commands about releases and channels: `evidence`, `promote`, `revert`, `history`,
//! `show`, `diff`, `rebuild`.

use camino::Utf8PathBuf;
use clap::builder::FalseyValueParser as Flag;
use clap::{Subcommand, ValueEnum};

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
