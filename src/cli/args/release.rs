//! Arguments of the commands about releases and channels: `evidence`, `promote`, `adopt`, `revert`, `history`,
//! `show`, `diff`, `rebuild`.

use camino::Utf8PathBuf;
use clap::builder::FalseyValueParser as Flag;
use clap::{Subcommand, ValueEnum};

/// Commands of `laminate evidence`.
#[derive(Clone, Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Record a verdict for one image of a release, or for all of them
    Add(EvidenceAddArgs),
    /// Show the state of every gate of every channel for a release
    List(EvidenceListArgs),
}

/// Arguments of `laminate evidence add`.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("verdict").required(true).multiple(true).args(["passed", "failed", "file"])))]
pub struct EvidenceAddArgs {
    /// The gate that the evidence is for, as written under a channel's `gates:`
    #[arg(long, value_name = "GATE")]
    pub gate: String,
    /// An image (IMAGE, VARIANT/IMAGE or its digest), or a release for all its images
    #[arg(value_name = "IMAGE|RELEASE")]
    pub subject: String,
    /// The release that IMAGE belongs to [default: the release of the checked-out commit]
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<String>,
    /// Record that the gate passed
    #[arg(long, conflicts_with = "failed")]
    pub passed: bool,
    /// Record that the gate failed
    #[arg(long)]
    pub failed: bool,
    /// Store a JUnit XML report with the verdict
    ///
    /// Without --passed or --failed, the verdict is taken from the report.
    #[arg(long, value_name = "FILE")]
    pub file: Option<Utf8PathBuf>,
    /// Add a note for readers
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Show what would be written, and write nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
}

/// Arguments of `laminate evidence list`.
#[derive(Clone, Debug, clap::Args)]
pub struct EvidenceListArgs {
    /// A release: its digest, commit, run or immutable tag [default: the checked-out commit]
    #[arg(value_name = "RELEASE")]
    pub release: Option<String>,
}

/// Arguments of `laminate promote`.
#[derive(Clone, Debug, clap::Args)]
pub struct PromoteArgs {
    /// A release: its digest, commit, run or immutable tag; or a channel, for the release
    /// that it is at [default: the checked-out commit]
    #[arg(value_name = "RELEASE")]
    pub release: Option<String>,
    /// The channel to move
    #[arg(long, value_name = "CHANNEL", required_unless_present = "auto")]
    pub to: Option<String>,
    /// Promote to every channel with `auto: true`
    ///
    /// Channels are moved in the order of `from:`. A channel that is at a newer release stays there. If
    /// a channel cannot move, the channels that name it in `from:` do not move either; all others do. If
    /// the spec has no channel with `auto: true`, nothing happens.
    #[arg(long, conflicts_with_all = ["to", "resume", "abort"])]
    pub auto: bool,
    /// Finish an interrupted move
    #[arg(long, conflicts_with_all = ["abort", "release"])]
    pub resume: bool,
    /// Undo an interrupted move
    #[arg(long, conflicts_with = "release")]
    pub abort: bool,
    /// Promote even if GATE has not passed; recorded, requires --reason
    #[arg(long, value_name = "GATE", requires = "reason")]
    pub waive: Vec<String>,
    /// Also require GATE; recorded
    #[arg(long, value_name = "GATE")]
    pub require: Vec<String>,
    /// What promote and revert have in common.
    #[command(flatten)]
    pub moving: MovingArgs,
}

/// Arguments of `laminate adopt`.
#[derive(Clone, Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("source").required(true).args(["file", "from_tags"])))]
pub struct AdoptArgs {
    /// The channel to adopt
    #[arg(long, value_name = "CHANNEL")]
    pub channel: String,
    /// A list of images and what they were: a mapping of IMAGE or VARIANT/IMAGE to a reference with a tag or a digest, in YAML
    /// or JSON; `-` reads stdin
    ///
    /// Images in other repositories are copied into those of the stack. If the tag of the channel does not exist there, it
    /// is created; if it is at another image, nothing is adopted.
    #[arg(value_name = "FILE")]
    pub file: Option<Utf8PathBuf>,
    /// Adopt the tags of the channel as they are in the repositories of the stack
    #[arg(long)]
    pub from_tags: bool,
    /// Leave out images of the channel that have nothing to adopt; a revert does not move their tags
    #[arg(long)]
    pub partial: bool,
    /// The reason; recorded
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Show what would be adopted, and write nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
}

/// Arguments of `laminate revert`.
#[derive(Clone, Debug, clap::Args)]
pub struct RevertArgs {
    /// The channel to move back
    #[arg(value_name = "CHANNEL")]
    pub channel: String,
    /// A release the channel was at before [default: the one before its last move, so a second revert undoes the first]
    #[arg(long, value_name = "RELEASE")]
    pub to: Option<String>,
    /// What promote and revert have in common.
    #[command(flatten)]
    pub moving: MovingArgs,
}

/// Arguments of the commands that move a channel.
#[derive(Clone, Debug, clap::Args)]
pub struct MovingArgs {
    /// The reason for the move; recorded
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Overwrite tags of the channel that someone else moved or made; recorded
    #[arg(long)]
    pub accept_drift: bool,
    /// Show what would be moved, and move nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
}

/// Arguments of `laminate history`.
#[derive(Clone, Debug, clap::Args)]
pub struct HistoryArgs {
    /// Show only releases that changed this image: IMAGE or VARIANT/IMAGE
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,
}

/// Arguments of `laminate show`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShowArgs {
    /// A release: its digest, commit, run or immutable tag; or a channel, for the release
    /// that it is at [default: the newest release]
    #[arg(value_name = "RELEASE")]
    pub release: Option<String>,
}

/// Arguments of `laminate diff`.
#[derive(Clone, Debug, clap::Args)]
pub struct DiffArgs {
    /// The older release: its digest, commit, run or immutable tag; or a channel, for the
    /// release that it is at
    #[arg(value_name = "A")]
    pub from: Option<String>,
    /// The newer release
    ///
    /// Without B, A is compared with the release before it; without both, the newest release is.
    #[arg(value_name = "B")]
    pub to: Option<String>,
    /// The format of the output
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: DiffFormat,
}

/// Formats of `laminate diff`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DiffFormat {
    /// Lines for a terminal
    Text,
    /// Markdown for release notes
    Markdown,
    /// The same document as with --json
    Json,
}

/// Arguments of `laminate rebuild`.
#[derive(Clone, Debug, clap::Args)]
pub struct RebuildArgs {
    /// A release: its digest, commit, run or immutable tag; or a channel, for the release
    /// that it is at [default: the newest release]
    #[arg(value_name = "RELEASE")]
    pub release: Option<String>,
    /// Write the spec of the release to a new or empty folder
    ///
    /// The files are specs.yml, images/*/image.yml, a specs.lock with every base, and resolved.json, the
    /// spec with short keys, variants and variables expanded.
    #[arg(long, value_name = "DIR")]
    pub out: Option<Utf8PathBuf>,
}
