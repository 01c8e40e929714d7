//! Arguments of the commands that plan, build, test and pin: `plan`, `build`, `test`, `lock`.

use camino::Utf8PathBuf;
use clap::builder::FalseyValueParser as Flag;

/// Arguments of `laminate plan`.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// Selectors of images.
    #[arg(value_name = "IMAGE", help = IMAGES, long_help = IMAGES_LONG)]
    pub images: Vec<String>,
    /// Print the spec of IMAGE, or of all images, instead of a plan
    ///
    /// Short keys, variants and variables are expanded, and what an image inherits is written out. The result
    /// for all images is a spec that can be used: one document for each variant.
    #[arg(
        long, value_name = "IMAGE", conflicts_with = "images", num_args = 0..=1, default_missing_value = "",
    )]
    pub expand: Option<String>,
    /// Contact nothing; external images come from specs.lock and from digests in the spec
    #[arg(long, env = "LAMINATE_OFFLINE", value_parser = Flag::new())]
    pub offline: bool,
}

/// Help of the images a command works on.
const IMAGES: &str =
    "Images to work on: IMAGE, IMAGE+, +IMAGE or VARIANT/IMAGE [default: all images]";

/// Long help of the images a command works on.
const IMAGES_LONG: &str = "\
Images to work on [default: all images]

IMAGE selects one image, in every variant that has it. IMAGE+ also selects everything that is \
based on it, copies from it or mounts it; +IMAGE also selects everything that it is based on, copies from or mounts. VARIANT/IMAGE selects \
the image in one variant. Several arguments add up.";

/// Arguments of `laminate build`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct BuildArgs {
    /// Selectors of images.
    #[arg(value_name = "IMAGE", help = IMAGES, long_help = IMAGES_LONG)]
    pub images: Vec<String>,
    /// Publish every image under its immutable tags, if everything passed
    #[arg(long, env = "LAMINATE_PUSH", value_parser = Flag::new())]
    pub push: bool,
    /// Write all images to one archive
    ///
    /// Without --push, nothing is written to the registry. The images have the tags of the commit; with uncommitted
    /// changes, `-dirty` is added to them, unless --allow-dirty is set.
    #[arg(long, value_name = "oci:FILE", env = "LAMINATE_EXPORT")]
    pub export: Option<String>,
    /// Load the selected images into docker or podman, under their full names [default: docker, or podman without it]
    ///
    /// Without --push, nothing is written to the registry. Nothing is loaded if an image, a suite or a check fails. The
    /// images have the tags of the commit; with uncommitted changes, `-dirty` is added to them, unless --allow-dirty is
    /// set.
    #[arg(
        long,
        value_name = "PROGRAM",
        env = "LAMINATE_LOAD",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "any"
    )]
    pub load: Option<LoadProgram>,
    /// Rebuild IMAGE from its first step, and everything that needs it, even if nothing changed
    #[arg(
        long,
        value_name = "IMAGE",
        env = "LAMINATE_REFRESH",
        value_delimiter = ','
    )]
    pub refresh: Vec<String>,
    /// Stop the whole build as soon as one image fails
    #[arg(long, env = "LAMINATE_FAIL_FAST", value_parser = Flag::new())]
    pub fail_fast: bool,
    /// Show what would be built, run and pushed, and do nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
    /// Tag images with the commit even if files of the stack have uncommitted changes
    #[arg(long, env = "LAMINATE_ALLOW_DIRTY", value_parser = Flag::new())]
    pub allow_dirty: bool,
    /// Also build images that are up to date
    ///
    /// Steps that the engine has in its cache do not run again: use --refresh for that.
    #[arg(long, env = "LAMINATE_NO_REUSE", value_parser = Flag::new())]
    pub no_reuse: bool,
    /// Forward an SSH agent to `RUN --mount=type=ssh,id=ID` of Dockerfiles: default, or ID=SOCKET
    ///
    /// Without SOCKET it is the agent of SSH_AUTH_SOCK. Can be repeated.
    #[arg(long = "ssh", value_name = "ID[=SOCKET]")]
    pub agents: Vec<String>,
    /// How suites run.
    #[command(flatten)]
    pub proving: ProvingArgs,
    /// Contact no registry and build everything; requires --export or --load
    #[arg(long, env = "LAMINATE_OFFLINE", value_parser = Flag::new())]
    pub offline: bool,
}

/// What images are loaded into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LoadProgram {
    /// docker, or podman if there is no docker
    #[value(hide = true)]
    Any,
    /// `docker load`
    Docker,
    /// `podman load`
    Podman,
}

/// Arguments of `laminate test`.
#[derive(Clone, Debug, clap::Args)]
pub struct TestArgs {
    /// Selectors of images.
    #[arg(value_name = "IMAGE", help = IMAGES, long_help = IMAGES_LONG)]
    pub images: Vec<String>,
    /// Show what would run, and run nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
    /// How suites run.
    #[command(flatten)]
    pub proving: ProvingArgs,
}

/// Arguments of the commands that run suites.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct ProvingArgs {
    /// Re-run suites that already have a verdict: all, or only SUITE
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
    /// Write all verdicts to FILE, as JUnit XML
    #[arg(long, value_name = "FILE", env = "LAMINATE_JUNIT")]
    pub junit: Option<Utf8PathBuf>,
    /// Set the value of a secret, from a file (ID=FILE) or a variable (ID=env:NAME)
    #[arg(long = "secret", value_name = "ID=SOURCE")]
    pub secrets: Vec<String>,
}

/// Arguments of `laminate lock`.
#[derive(Clone, Debug, clap::Args)]
pub struct LockArgs {
    /// Pin locked images to the current digests of their tags: all, or only REFERENCE
    #[arg(long, value_name = "REFERENCE", num_args = 0..)]
    pub update: Option<Vec<String>>,
    /// Show what would be pinned, and write nothing
    #[arg(long, env = "LAMINATE_DRY_RUN", value_parser = Flag::new())]
    pub dry_run: bool,
}
