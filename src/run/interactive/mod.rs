//! A process that the user works with, in an image or in a step of it: `laminate run` and `laminate shell`.
//!
//! [`Interactive`] is part of the options of a run. When the image is built, or its step has ended, [`start`] runs the
//! process in the same build, so that it gets the files, mounts and secrets of the step. `target.rs` finds the step,
//! `console.rs` connects the process to the terminal.

mod console;
mod request;
mod target;

use bollard_buildkit_proto::pb;

pub use request::{Command, Interactive};
pub use target::{Candidate, Place, STEP_NAMES, StepName, Target, step_number, steps_help};

use super::base::staged;
use super::context::Context;
use super::drive::Done;
use super::outcome::{ImageError, StopReason};
use super::programs;
use crate::buildkit::{Container, Ended, NOT_FOUND, Process, Ref};
use crate::compile::environment::Environment;
use crate::compile::{self, BaseConfig, Program};
use crate::diagnostic::Diagnostic;
use crate::event::Event;
use crate::llb::Proxy;
use crate::plan::Action;
use crate::shown;
use crate::stack::ImageId;

/// The variable with the kind of a terminal, and the value that Docker sets: images have no others.
const TERM: (&str, &str) = ("TERM", "xterm");

/// Lines of a failed step's output that are shown before the shell in it.
const SHOWN: usize = 20;

/// Starts bash, or sh in an image without it.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi";

/// A container and what its processes get.
struct Setting {
    container: Container,
    process: Process,
    /// The image's own command; empty in a step.
    own: Vec<String>,
    /// The files of the image, if nothing else is mounted.
    root: Option<Ref>,
}

/// Runs the process. Returns `None` if the image was not built and the step that the user asked for is not the one that
/// failed: the run reports it.
pub async fn start(
    context: &Context<'_>,
    done: &Done,
    interactive: &Interactive,
) -> Result<Option<Ended>, StopReason> {
    let Some(setting) = setting(context, done, interactive).await? else {
        return Ok(None);
    };
    let Setting {
        container,
        mut process,
        own,
        root,
    } = setting;
    process.args = match &interactive.command {
        Command::OfImage(_) if own.is_empty() => return Err(no_command(context, interactive)),
        Command::OfImage(_) => own,
        Command::Shell => ["/bin/sh", "-c", SHELL].map(str::to_owned).to_vec(),
        Command::Args(args) => args.clone(),
    };
    if let Some(root) = root {
        let started = compile::Process {
            programs: started_program(&process.args),
            user: None,
            path: folders(&process.env),
        };
        let missing = programs::missing(context, &root, &started).await;
        if let Some(program) = missing.map_err(StopReason::Run)? {
            return Ok(Some(Ended::NotStarted {
                exit: Some(NOT_FOUND),
                reason: format!("the image has no `{}`", program.name),
            }));
        }
    }
    let ended = console::attach(context, container, process, interactive).await;
    ended.map(Some).map_err(StopReason::Run)
}

/// Returns the program that is started, if it is not below the folder that the process starts in.
fn started_program(args: &[String]) -> Vec<Program> {
    let program = args.first();
    let program = program.filter(|name| name.starts_with('/') || !name.contains('/'));
    let program = program.map(|name| Program {
        name: name.clone(),
        named_by: None,
    });
    program.into_iter().collect()
}

/// Returns the folders in which programs are looked up.
fn folders(env: &[String]) -> Vec<String> {
    let env = Environment::new(env.iter().map(String::as_str));
    let path = env.get("PATH").unwrap_or_default().split(':');
    path.filter(|folder| folder.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

/// Returns the error of an image that has no command.
fn no_command(context: &Context<'_>, interactive: &Interactive) -> StopReason {
    let label = context.label(interactive.image);
    let span = context.image(interactive.image).name.span;
    let problem = Diagnostic::error(format!("image `{label}` has no command to run"))
        .at(span, "it has neither `entrypoint` nor `cmd`")
        .help(format!("name one: `laminate run {label} -- COMMAND`"));
    ImageError::Spec(Box::new(problem)).into()
}

async fn setting(
    context: &Context<'_>,
    done: &Done,
    interactive: &Interactive,
) -> Result<Option<Setting>, StopReason> {
    let id = context.focus.unwrap_or(interactive.image);
    if let Some(target) = context.target.get() {
        return in_step(context, done, id, target, interactive).await;
    }
    let proxy = context.options.environment.proxy.as_ref();
    let (config, root) = match &context.plan.images[id.0].action {
        Action::Build { .. } => match done.built.get(&id) {
            Some(built) => (built.compiled.config.clone(), built.result.clone()),
            None => return Ok(None),
        },
        Action::Reuse { .. } => {
            let reference = staged(context.stack, context.plan, id);
            let reference = reference.expect("a reused image is in staging");
            let label = context.label(id);
            let config = context.config(&reference, &label).await?;
            let output = context.compiler().reference(&reference, &label);
            let root = context.solve(output).await.map_err(StopReason::Run)?;
            (config, root)
        }
        Action::Hold { .. } => return Ok(None),
    };
    Ok(Some(in_image(&config, &root, proxy, &interactive.command)))
}

/// Returns the container of a whole image.
fn in_image(config: &BaseConfig, root: &Ref, proxy: Option<&Proxy>, command: &Command) -> Setting {
    let mut env = config.env();
    if let Some(proxy) = proxy {
        add_proxy(&mut env, &proxy_env(proxy));
    }
    let own = match command {
        Command::OfImage(args) => config.command_with((!args.is_empty()).then_some(args)),
        Command::Shell | Command::Args(_) => Vec::new(),
    };
    Setting {
        container: Container {
            mounts: vec![root_mount(root)],
            ..Container::default()
        },
        process: Process {
            env: env.entries(),
            cwd: config.workdir(),
            user: config.user().unwrap_or_default().to_owned(),
            ..Process::default()
        },
        own,
        root: Some(root.clone()),
    }
}

/// Returns the container of a step: before it, after it, or as it failed.
async fn in_step(
    context: &Context<'_>,
    done: &Done,
    id: ImageId,
    target: &Target,
    interactive: &Interactive,
) -> Result<Option<Setting>, StopReason> {
    let label = context.label(id);
    let error = done.errors.get(&id).map(Box::as_ref);
    let failure = error.and_then(|error| target.failure(error));
    let (root, moment) = match (done.built.get(&id), failure) {
        (Some(built), _) => (Some(built.result.clone()), moment_of(&interactive.place)),
        (None, None) => return Ok(None),
        (None, Some(_)) if target.exec().is_some() => (None, "at the failure of"),
        // Its failure leaves no files but those before it.
        (None, Some(_)) => match target.before() {
            None => return Ok(None),
            Some(before) => {
                let root = context.gateway.solve(before).await;
                (Some(root.map_err(StopReason::Run)?), "before the failed")
            }
        },
    };
    let (number, title) = (target.number, shown::one_line(&target.title));
    let mut text =
        format!("image `{label}` {moment} step {number}, `{title}`; changes are not kept");
    if let (Some(ImageError::Step { log, .. }), Some(_)) = (error, failure) {
        let last = &log[log.len().saturating_sub(SHOWN)..];
        text.extend(last.iter().map(|line| format!("\n  | {line}")));
    }
    context.events.send(Event::Note { text });
    let (exec, root) = match (target.exec(), root) {
        (Some(exec), root) => (exec, root),
        (None, Some(root)) => {
            let proxy = context.options.environment.proxy.as_ref();
            return Ok(Some(in_image(
                &target.config,
                &root,
                proxy,
                &interactive.command,
            )));
        }
        (None, None) => return Ok(None),
    };
    let results = match (root, failure) {
        (Some(root), _) => inputs_of(context, target, exec, &root).await?,
        (None, failure) => failure.map(|it| it.mounts.clone()).unwrap_or_default(),
    };
    Ok(Some(of_exec(exec, results)))
}

fn moment_of(place: &Place) -> &'static str {
    match place {
        Place::Before(_) => "before",
        Place::Finished | Place::After(_) => "after",
    }
}

/// Returns what the mounts of a command show, in their order; empty for those without files of the engine. `root`: what
/// it starts from.
async fn inputs_of(
    context: &Context<'_>,
    target: &Target,
    exec: &pb::ExecOp,
    root: &Ref,
) -> Result<Vec<String>, StopReason> {
    let mut results = Vec::new();
    for (number, mount) in exec.mounts.iter().enumerate() {
        let shown = match target.mount_input(number) {
            _ if mount.dest == "/" => root.name().to_owned(),
            Some(definition) => {
                let made = context.gateway.solve(definition).await;
                made.map_err(StopReason::Run)?.name().to_owned()
            }
            None => String::new(),
        };
        results.push(shown);
    }
    Ok(results)
}

/// Returns the container of a command: `results` has what is mounted, in the order of its mounts.
fn of_exec(exec: &pb::ExecOp, results: Vec<String>) -> Setting {
    let meta = exec.meta.clone().unwrap_or_default();
    let results = results.into_iter().map(Some).chain(std::iter::repeat(None));
    let mounts = exec.mounts.iter().zip(results);
    let mounts = mounts.map(|(mount, result)| pb::Mount {
        input: 0,
        output: 0,
        result_id: result.unwrap_or_default(),
        ..mount.clone()
    });
    let mut env = Environment::new(meta.env.iter().map(String::as_str));
    if let Some(proxy) = &meta.proxy_env {
        add_proxy(&mut env, proxy);
    }
    Setting {
        container: Container {
            mounts: mounts.collect(),
            network: exec.network,
            extra_hosts: meta.extra_hosts,
        },
        process: Process {
            env: env.entries(),
            secret_env: exec.secretenv.clone(),
            cwd: meta.cwd,
            user: meta.user,
            ..Process::default()
        },
        own: Vec::new(),
        root: None,
    }
}

fn root_mount(root: &Ref) -> pb::Mount {
    pb::Mount {
        dest: "/".to_owned(),
        result_id: root.name().to_owned(),
        ..pb::Mount::default()
    }
}

fn proxy_env(proxy: &Proxy) -> pb::ProxyEnv {
    pb::ProxyEnv {
        http_proxy: proxy.http.clone(),
        https_proxy: proxy.https.clone(),
        ftp_proxy: proxy.ftp.clone(),
        no_proxy: proxy.no.clone(),
        all_proxy: proxy.all.clone(),
    }
}

/// Adds the variables of proxies as the engine does for steps, where they are not set.
fn add_proxy(env: &mut Environment, proxy: &pb::ProxyEnv) {
    for (name, value) in [
        ("HTTP_PROXY", &proxy.http_proxy),
        ("HTTPS_PROXY", &proxy.https_proxy),
        ("FTP_PROXY", &proxy.ftp_proxy),
        ("NO_PROXY", &proxy.no_proxy),
        ("ALL_PROXY", &proxy.all_proxy),
    ] {
        if !value.is_empty() {
            env.set_default(name, value.clone());
            env.set_default(&name.to_lowercase(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_an_image_has_its_config() {
        let config = br#"{"config":{"User":"jovyan","WorkingDir":"/srv","Env":["A=1"],"Entrypoint":["tini"],"Cmd":["a"]}}"#;
        let config = BaseConfig::parse(config).expect("an object");
        let proxy = Proxy {
            http: "http://p".to_owned(),
            ..Proxy::default()
        };
        let own = |args: &[&str]| {
            let args = args.iter().map(|&arg| arg.to_owned()).collect();
            let command = Command::OfImage(args);
            in_image(&config, &Ref::default(), Some(&proxy), &command)
        };
        let Setting {
            process, own: args, ..
        } = own(&[]);
        assert_eq!(args, ["tini", "a"]);
        assert_eq!(own(&["b", "c"]).own, ["tini", "b", "c"]);
        assert_eq!((&*process.user, &*process.cwd), ("jovyan", "/srv"));
        for entry in ["A=1", "HTTP_PROXY=http://p", "http_proxy=http://p"] {
            assert!(process.env.iter().any(|it| it == entry), "{entry}");
        }
        let shell = in_image(&config, &Ref::default(), None, &Command::Shell);
        assert_eq!(shell.own, [""; 0]);
    }

    #[test]
    fn a_process_in_a_step_has_its_mounts_and_environment() {
        let mount = |dest: &str| pb::Mount {
            input: 3,
            dest: dest.to_owned(),
            ..pb::Mount::default()
        };
        let exec = pb::ExecOp {
            meta: Some(pb::Meta {
                env: vec!["HTTP_PROXY=own".to_owned()],
                cwd: "/w".to_owned(),
                user: "5".to_owned(),
                proxy_env: Some(pb::ProxyEnv {
                    http_proxy: "other".to_owned(),
                    ..pb::ProxyEnv::default()
                }),
                ..pb::Meta::default()
            }),
            mounts: vec![mount("/"), mount("/run/secrets/key"), mount("/c")],
            network: pb::NetMode::None as i32,
            ..pb::ExecOp::default()
        };
        // The daemon leaves IDs out at the end.
        let Setting {
            container, process, ..
        } = of_exec(&exec, vec!["root".to_owned(), String::new()]);
        let results: Vec<&str> = container.mounts.iter().map(|it| &*it.result_id).collect();
        assert_eq!(results, ["root", "", ""]);
        assert_eq!(container.network, pb::NetMode::None as i32);
        assert_eq!((&*process.user, &*process.cwd), ("5", "/w"));
        assert_eq!(process.env, ["HTTP_PROXY=own", "http_proxy=other"]);
    }
}
