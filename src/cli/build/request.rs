//! Arguments of `build` and `test` as options of a build.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;

use crate::build::{Goal, Options};
use crate::cli::args::{BuildArgs, Global, LoadProgram, ProvingArgs, StartArgs, TestArgs};
use crate::cli::context::Context;
use crate::cli::{Exit, Failure};
use crate::diagnostic::nearest;
use crate::export::{self, Loader, Target};
use crate::plan::{Request, Retest};
use crate::stack::{ImageId, Stack};

/// Reads the arguments of `build`, and the files of its secrets.
pub(super) fn build(
    context: &Context,
    global: &Global,
    args: &BuildArgs,
) -> Result<Options, Failure> {
    Ok(Options {
        goal: Goal::Build,
        request: Request {
            selected: context.select(&args.images)?,
            no_reuse: args.no_reuse,
            keep_before: None,
            // Without a selector nothing is refreshed.
            refresh: match args.refresh.as_slice() {
                [] => BTreeSet::new(),
                selectors => context.select(selectors)?.unwrap_or_default(),
            },
            retest: retest(&context.stack, &args.proving.retest)?,
            // An archive has all images, with their tags.
            prove_selected: !args.push && args.export.is_none(),
        },
        push: args.push,
        archive: args.export.as_deref().map(archive_path).transpose()?,
        load: args.load.map(loader).transpose()?,
        offline: args.offline,
        dry_run: args.dry_run,
        allow_dirty: args.allow_dirty,
        fail_fast: args.fail_fast,
        agents: agents(&args.agents, std::env::var_os("SSH_AUTH_SOCK"))?,
        ..proving(context, global, &args.proving)?
    })
}

/// Reads the arguments of `test`, and the files of its secrets.
pub(super) fn test(
    context: &Context,
    global: &Global,
    args: &TestArgs,
) -> Result<Options, Failure> {
    Ok(Options {
        goal: Goal::Test,
        request: Request {
            selected: context.select(&args.images)?,
            no_reuse: false,
            keep_before: None,
            refresh: BTreeSet::new(),
            retest: retest(&context.stack, &args.proving.retest)?,
            prove_selected: true,
        },
        dry_run: args.dry_run,
        ..proving(context, global, &args.proving)?
    })
}

/// Reads the arguments of `run` and `shell`, and the files of their secrets. `in_step`: a step of the image is needed, which
/// the image in staging does not have; its number, from 1, or 1 if it is known only when the image is built.
pub fn process(
    context: &Context,
    global: &Global,
    args: &StartArgs,
    id: ImageId,
    in_step: Option<usize>,
) -> Result<Options, Failure> {
    Ok(Options {
        request: Request {
            selected: Some(BTreeSet::from([id])),
            no_reuse: in_step.is_some(),
            keep_before: in_step,
            ..Request::default()
        },
        offline: args.offline,
        secrets: secrets(&args.secrets)?,
        agents: agents(&args.agents, std::env::var_os("SSH_AUTH_SOCK"))?,
        ca: context.ca(global)?,
        vars: context.vars.clone(),
        ..Options::default()
    })
}

fn proving(context: &Context, global: &Global, args: &ProvingArgs) -> Result<Options, Failure> {
    Ok(Options {
        junit: args.junit.clone(),
        secrets: secrets(&args.secrets)?,
        ca: context.ca(global)?,
        vars: context.vars.clone(),
        ..Options::default()
    })
}

/// Returns the program of `--load`.
fn loader(program: LoadProgram) -> Result<Loader, Failure> {
    let programs: &[&str] = match program {
        LoadProgram::Any => &["docker", "podman"],
        LoadProgram::Docker => &["docker"],
        LoadProgram::Podman => &["podman"],
    };
    Ok(Loader::find(programs).map_err(export::Error::from)?)
}

/// Reads `oci:FILE`.
fn archive_path(text: &str) -> Result<PathBuf, Failure> {
    match text.strip_prefix("oci:") {
        Some("-") => Err(Failure::new(Exit::Usage, "invalid --export `oci:-`")
            .help("use --export oci:/dev/stdout, or oci:./- for a file of that name")),
        Some(path) if !path.is_empty() => {
            let path = PathBuf::from(path);
            Target::of(&path).map_err(|error| Failure::from_error(Exit::Usage, error))?;
            Ok(path)
        }
        _ => Err(
            Failure::new(Exit::Usage, format!("invalid --export `{text}`"))
                .help("use --export oci:FILE"),
        ),
    }
}

/// Reads the values of secrets, `ID=FILE` or `ID=env:NAME`. No message contains a value.
fn secrets(list: &[String]) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut values = BTreeMap::new();
    for text in list {
        let Some((id, source)) = text.split_once('=') else {
            // What has no `=` may be the secret itself.
            return Err(Failure::new(Exit::Usage, "invalid --secret: no `=` found")
                .help("use --secret ID=FILE or --secret ID=env:NAME"));
        };
        let value = match source.strip_prefix("env:") {
            Some(name) => std::env::var(name).map(String::into_bytes).map_err(|_| {
                Failure::new(
                    Exit::Environment,
                    format!("cannot read secret `{id}`: variable {name} is not set"),
                )
            })?,
            None => fs_err::read(source).map_err(|error| {
                Failure::new(
                    Exit::Environment,
                    format!("cannot read secret `{id}`: {error}"),
                )
            })?,
        };
        values.insert(id.to_owned(), value);
    }
    Ok(values)
}

/// Reads the sockets of SSH agents, `ID=SOCKET` or `ID`, which is the agent at `usual`.
fn agents(list: &[String], usual: Option<OsString>) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let mut sockets = BTreeMap::new();
    for text in list {
        let (id, socket) = match text.split_once('=') {
            Some((id, socket)) => (id, Some(PathBuf::from(socket))),
            None => (text.as_str(), usual.clone().map(PathBuf::from)),
        };
        let Some(socket) = socket else {
            let text = format!("no SSH agent for `{id}`: variable SSH_AUTH_SOCK is not set");
            return Err(Failure::new(Exit::Environment, text)
                .help("start one with `eval $(ssh-agent)` and `ssh-add`, or use --ssh ID=SOCKET"));
        };
        let kind = fs_err::metadata(&socket).map_err(|error| {
            Failure::new(
                Exit::Environment,
                format!("no SSH agent for `{id}`: {error}"),
            )
        })?;
        if !kind.file_type().is_socket() {
            let text = format!(
                "no SSH agent for `{id}`: `{}` is not a socket",
                socket.display()
            );
            return Err(Failure::new(Exit::Environment, text)
                .help("add keys to an agent with `ssh-add`; laminate reads no key files"));
        }
        sockets.insert(id.to_owned(), socket);
    }
    Ok(sockets)
}

/// Reads `--retest`: suites by name, or an empty text for all.
fn retest(stack: &Stack, names: &[String]) -> Result<Retest, Failure> {
    if names.is_empty() {
        return Ok(Retest::None);
    }
    if names.iter().any(String::is_empty) {
        return Ok(Retest::All);
    }
    let suites = stack.images().iter().flat_map(|image| &image.proof.suites);
    let known: BTreeSet<&str> = suites.map(|suite| suite.name.value.as_str()).collect();
    let Some(name) = names.iter().find(|name| !known.contains(name.as_str())) else {
        return Ok(Retest::Suites(names.iter().cloned().collect()));
    };
    let failure = Failure::new(Exit::Usage, format!("unknown suite `{name}`"));
    Err(match nearest(name, known.iter().copied()) {
        Some(near) => failure.help(format!("did you mean `{near}`?")),
        None if known.is_empty() => failure.help("declare suites in specs.yml, under `tests:`"),
        None => {
            let known: Vec<&str> = known.into_iter().collect();
            failure.help(format!("known suites: {}", known.join(", ")))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
        result.expect_err("refused").shown(false)
    }

    #[test]
    fn an_agent_is_the_usual_one_or_a_socket() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("agent");
        let _agent = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
        let usual = Some(path.clone().into_os_string());
        let list = ["default".to_owned(), format!("other={}", path.display())];
        let found = agents(&list, usual).expect("sockets");
        let expected =
            [("default", &path), ("other", &path)].map(|(id, at)| (id.to_owned(), at.clone()));
        assert_eq!(found, BTreeMap::from(expected));
        let message = shown(agents(&list, None));
        assert!(message.contains("SSH_AUTH_SOCK is not set"), "{message}");
        let message = shown(agents(&[format!("a={}", folder.path().display())], None));
        assert!(message.contains("is not a socket"), "{message}");
        let message = shown(agents(&["a=/nowhere".to_owned()], None));
        assert!(message.contains("/nowhere"), "{message}");
    }

    #[test]
    fn an_archive_is_a_path_behind_its_format() {
        let path = archive_path("oci:a/b.tar").expect("a path");
        assert_eq!(path, PathBuf::from("a/b.tar"));
        for text in ["a.tar", "oci:", "oci:-", "docker:a.tar"] {
            let message = shown(archive_path(text));
            assert!(message.starts_with(&format!("error: invalid --export `{text}`")));
        }
    }

    #[test]
    fn a_secret_comes_from_a_file_and_is_never_shown() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "value").expect("written");
        let values = secrets(&[format!("id={}", file.path().display())]).expect("read");
        assert_eq!(values["id"], b"value");
        let message = shown(secrets(&["hunter2".to_owned()]));
        assert!(!message.contains("hunter2"), "{message}");
        let message = shown(secrets(&["id=env:LAMINATE_NOT_SET".to_owned()]));
        assert!(
            message.contains("variable LAMINATE_NOT_SET is not set"),
            "{message}"
        );
    }
}
