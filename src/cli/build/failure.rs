//! Exit codes and hints for faults of a build.

use crate::build::Error;
use crate::cli::{Exit, Failure};
use crate::{registry, staging, tool};

/// How a stack without a registry is built.
pub const REGISTRY_HELP: &str = "set `registry:` in specs.yml, --registry or LAMINATE_REGISTRY; or write an archive with `build --export oci:FILE`";

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        match error {
            Error::PushWithoutRegistry | Error::NoRegistry => Self::new(Exit::Environment, text)
                .help(REGISTRY_HELP),
            Error::UnknownBase { .. } => Self::new(Exit::Environment, text)
                .help("run `laminate lock` once with access to the registry"),
            Error::NoGit => Self::new(Exit::Environment, text)
                .help("install git, or build without --push"),
            Error::NoCommit => Self::new(Exit::Publish, text)
                .help("commit the stack first, or build without --push"),
            Error::Dirty { .. } => Self::new(Exit::Publish, text)
                .help("commit or remove these files, have git ignore them, or pass --allow-dirty"),
            Error::NotBuilt { .. } => Self::new(Exit::Environment, text)
                .help("run `laminate build`, or select images that are built"),
            Error::MissingSecrets { ids } => {
                let id = ids.first().map(String::as_str).unwrap_or_default();
                Self::new(Exit::Environment, text)
                    .help(format!("pass --secret {id}=FILE or --secret {id}=env:NAME"))
            }
            Error::MissingAgents { ids } => {
                let id = ids.first().map(String::as_str).unwrap_or_default();
                Self::new(Exit::Environment, text)
                    .help(format!("pass --ssh {id}, for the agent of SSH_AUTH_SOCK"))
            }
            Error::NoStateFolder => {
                Self::new(Exit::Environment, text).help("set HOME or XDG_STATE_HOME")
            }
            Error::Tool(tool::Error::Fetch { kind, .. }) => {
                let other = without(kind);
                Self::new(Exit::Environment, text)
                    .help(format!("set UV_DEFAULT_INDEX to an index that this machine reaches, or use {other}"))
            }
            Error::Tool(tool::Error::Architecture { kind, .. } | tool::Error::Offline { kind }) => {
                let other = without(kind);
                Self::new(Exit::Environment, text).help(format!("use {other} in the steps"))
            }
            Error::Tool(tool::Error::Write { .. })
            | Error::Epoch { .. } | Error::Folder { .. } | Error::Junit { .. } => {
                Self::new(Exit::Environment, text)
            }
            Error::CannotPush { .. } => Self::new(Exit::Environment, text)
                .help("create the repositories, or let the account push to them; or build into an archive with --export oci:FILE"),
            Error::OtherBase { images } => {
                let images: Vec<String> = images.iter().map(|(image, _)| format!("{image}+")).collect();
                Self::new(Exit::Publish, text).help(format!(
                    "run `laminate build --push --no-reuse {}`, which builds these images and those based on them again",
                    images.join(" ")
                ))
            }
            Error::Staged(staging::Error::Registry(registry::Error::Immutable { .. })) => {
                Self::new(Exit::Environment, text).help("except the tags `state`, `evidence-*`, `gate-*`, `*-current` and `*-aborted` of staging from immutability")
            }
            Error::Staged(_) => Self::new(Exit::Environment, text)
                .help("docs/registry.md lists what laminate needs of a registry"),
            Error::Cancelled => Self::interrupted(),
            Error::Denied(denied) => denied.into(),
            Error::Engine(error) => error.into(),
            Error::Buildkit(error) => error.into(),
            Error::Publish(error) => error.into(),
            Error::Staging(error) => error.into(),
            Error::Export(error) => error.into(),
            Error::Gather(error) => error.into(),
            Error::Unrecorded(cause) => Self::new(Exit::Publish, text).help(match *cause {
                Error::Staging(staging::Error::OtherRelease { .. }) => {
                    "commit again: the tags of a commit belong to one release; if the recorded one is incomplete, delete its tag in staging and run the command again"
                }
                _ => "run the same command again; it records the release without building anything",
            }),
        }
    }
}

/// Returns the setting of a step that does not need a tool.
fn without(kind: tool::Kind) -> &'static str {
    match kind {
        tool::Kind::Uv => "`tool: pip`",
        tool::Kind::Rattler => "`tool: mamba`, `micromamba` or `conda` with a base that has it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkout::{Change, ChangeKind};
    use crate::name::Commit;

    #[test]
    fn a_fault_has_the_exit_code_of_its_kind() {
        let missing = Error::MissingSecrets {
            ids: vec!["a".to_owned(), "b".to_owned()],
        };
        for (error, exit) in [
            (Error::NoRegistry, Exit::Environment),
            (Error::NoCommit, Exit::Publish),
            (Error::NoGit, Exit::Environment),
            (Error::Cancelled, Exit::Interrupted),
            (missing, Exit::Environment),
        ] {
            let text = error.to_string();
            assert_eq!(Failure::from(error).exit, exit, "{text}");
        }
    }

    #[test]
    fn files_that_differ_are_named_and_counted() {
        let changes = (1..=7).map(|number| Change {
            path: format!("images/a/{number}"),
            kind: ChangeKind::Untracked,
        });
        let failure = Failure::from(Error::Dirty {
            commit: Commit::parse("0123456789012345678901234567890123456789").expect("a commit"),
            changes: changes.collect(),
        });
        assert_eq!(failure.exit, Exit::Publish);
        insta::assert_snapshot!(failure.shown(false), @r"
        error: cannot publish uncommitted changes: the tags would name commit 0123456, which does not have them: images/a/1 (untracked), images/a/2 (untracked), images/a/3 (untracked), images/a/4 (untracked), images/a/5 (untracked) and 2 more
        help: commit or remove these files, have git ignore them, or pass --allow-dirty
        ");
    }

    #[test]
    fn missing_secrets_are_listed_with_an_example() {
        let failure = Failure::from(Error::MissingSecrets {
            ids: vec!["a".to_owned(), "b".to_owned()],
        });
        insta::assert_snapshot!(failure.shown(false), @r"
        error: missing values for secrets: a, b
        help: pass --secret a=FILE or --secret a=env:NAME
        ");
    }
}
