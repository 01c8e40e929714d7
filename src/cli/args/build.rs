//! Arguments of the commands that plan, build, test and pin: `plan`, `build`, `test`, `lock`.

use camino::Utf8PathBuf;
use clap::builder::FalseyValueParser as Flag;

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
