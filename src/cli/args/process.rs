//! Arguments of the commands that run a process in an image: `run`, `shell`.

use clap::builder::FalseyValueParser as Flag;

/// Arguments of `laminate run`.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The image: IMAGE or VARIANT/IMAGE
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Pass these arguments in place of `cmd` of the image; its `entrypoint` stays
    #[arg(value_name = "COMMAND", last = true)]
    pub command: Vec<String>,
    /// What building the image takes.
    #[command(flatten)]
    pub start: StartArgs,
}

/// Arguments of `laminate shell`.
#[derive(Clone, Debug, clap::Args)]
pub struct ShellArgs {
    /// The image: IMAGE or VARIANT/IMAGE
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// A command instead of the shell
    #[arg(value_name = "COMMAND", last = true)]
    pub command: Vec<String>,
    /// Open the shell after STEP, or at its failure: its number or FILE:LINE
    ///
    /// The number is that of the progress: `2/5` is step 2. Short keys such as `apt:` count, and so do `RUN`, `COPY`, `ADD`
    /// and `WORKDIR` of a Dockerfile, but not `ENV`, `USER`, `EXPOSE` and `LABEL`. FILE:LINE is a line that the step is on, as messages show it: specs.yml:31.
    #[arg(long, value_name = "STEP")]
    pub at: Option<String>,
    /// Open the shell before STEP, with its mounts
    #[arg(long, value_name = "STEP", conflicts_with = "at")]
    pub before: Option<String>,
    /// What building the image takes.
    #[command(flatten)]
    pub start: StartArgs,
}

/// What building an image takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct StartArgs {
    /// Set the value of a secret, from a file (ID=FILE) or a variable (ID=env:NAME)
    #[arg(long = "secret", value_name = "ID=SOURCE")]
    pub secrets: Vec<String>,
    /// Forward an SSH agent to `RUN --mount=type=ssh,id=ID` of Dockerfiles: default, or ID=SOCKET
    #[arg(long = "ssh", value_name = "ID[=SOCKET]")]
    pub agents: Vec<String>,
    /// Contact no registry, and build everything the image needs
    #[arg(long, env = "LAMINATE_OFFLINE", value_parser = Flag::new())]
    pub offline: bool,
}
