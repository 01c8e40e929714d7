//! Images to LLB: [`Compiler`] adds one image after the other to one graph, parents first.
//!
//! `run` calls it inside the solve, when it knows the configs of the bases.

mod command;
pub mod config;
pub mod environment;
mod files;
mod mode;
mod prove;
mod shell;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use camino::Utf8PathBuf;

pub use command::UV_VERSION;
use command::{Command, PLACE};
pub use config::{BaseConfig, ConfigError, finished};
use environment::Environment;
pub use prove::{LEFT, PYTEST_VERSION};
pub use shell::quote;

use crate::diagnostic::Diagnostic;
use crate::llb::{
    Action, Exec, File, FileMode, Graph, Group, Meta, Mount, MountKind, Network, OpId, Output,
    Proxy, Sharing, Source,
};
use crate::name::{Digest, Reference};
use crate::stack::{self, Image, ImageId, Kind, Stack, Step};

/// The secret under which the session offers the bundle of certificates.
pub const CA_SECRET: &str = "laminate-ca";

/// Contents larger than this are sent beside the graph, bytes: all of a graph goes in one message.
const LARGE: usize = 64 << 10;

/// The name of the one file in the tree of a large content.
pub const LARGE_FILE: &str = "f";

/// How steps reach the network; none of it enters a key.
#[derive(Clone, Debug, Default)]
pub struct StepEnvironment {
    /// The session has a bundle of certificates as [`CA_SECRET`].
    pub ca: bool,
    pub proxy: Option<Proxy>,
    /// Images whose steps run although BuildKit knows their results.
    pub ignore_cache: BTreeSet<ImageId>,
}

/// What an image starts from, as the engine sees it.
#[derive(Clone, Debug)]
pub struct BaseState {
    pub output: Output,
    pub config: BaseConfig,
}

/// An image in the graph.
#[derive(Clone, Debug)]
pub struct Compiled {
    pub output: Output,
    pub config: BaseConfig,
    /// What each operation does for which step, by its index from 0.
    pub operations: BTreeMap<OpId, usize>,
    /// Before its first step, and after each.
    pub states: Vec<Output>,
}

impl Compiled {
    /// What an image built on this one starts from.
    pub fn state(&self) -> BaseState {
        BaseState {
            output: self.output,
            config: self.config.clone(),
        }
    }
}

/// Compiles images of one stack into one graph.
pub struct Compiler<'a> {
    stack: &'a Stack,
    environment: &'a StepEnvironment,
    pub graph: Graph,
    /// Contents the session must serve, each as the file [`LARGE_FILE`] of a tree of this name.
    pub large: BTreeMap<String, Arc<[u8]>>,
}

impl<'a> Compiler<'a> {
    /// `platform` is `linux/amd64`.
    pub fn new(stack: &'a Stack, environment: &'a StepEnvironment, graph: Graph) -> Self {
        Self {
            stack,
            environment,
            graph,
            large: BTreeMap::new(),
        }
    }

    /// An image of a registry, by a reference with a digest.
    pub fn reference(&mut self, reference: &Reference, label: &str) -> Output {
        let meta = Meta {
            name: format!("{label}: {reference}"),
            group: Some(group(label)),
            ..Meta::default()
        };
        let source = Source::Image {
            reference: reference.to_string(),
            layers: None,
        };
        self.graph.source(source, meta)
    }

    /// Adds an image on its base. Fails where the spec asks for what cannot be one layer.
    pub fn image(&mut self, id: ImageId, base: BaseState) -> Result<Compiled, Diagnostic> {
        let image = &self.stack.images[id.0];
        let label = crate::plan::label(self.stack, image);
        let mut operations = BTreeMap::new();
        let mut output = base.output;
        let inherited = Inherited::new(image, &base.config);
        let mut states = vec![output];
        for (index, step) in image.steps.iter().enumerate() {
            let meta = Meta {
                name: format!("{label}: {}", step.title),
                group: Some(group(&label)),
                origin: Some(self.origin_of(step.span)),
                ignore_cache: self.environment.ignore_cache.contains(&id),
            };
            output = self.step(image, step, &inherited, output, &meta)?;
            operations.insert(output.op, index);
            states.push(output);
        }
        Ok(Compiled {
            output,
            config: config::config(image, &base.config),
            operations,
            states,
        })
    }

    fn step(
        &mut self,
        image: &Image,
        step: &Step,
        inherited: &Inherited,
        root: Output,
        meta: &Meta,
    ) -> Result<Output, Diagnostic> {
        let writable = image.writable.as_ref();
        let plain = step.finish.is_empty()
            && !writable.is_some_and(|w| files::touches(&files::targets(&step.kind), w));
        if plain {
            let label = meta
                .group
                .as_ref()
                .map_or("", |group| &group.name)
                .to_owned();
            let stack = self.stack;
            let mut other = |reference: &Reference| self.reference(reference, &label);
            if let Some(actions) = files::actions(&step.kind, &stack.files, &mut other) {
                let file = File {
                    base: Some(root),
                    actions: self.beside(actions),
                };
                return Ok(self.graph.file(file, meta.clone()));
            }
        }
        let command = match &step.kind {
            Kind::Group(members) => self.group(step, members, inherited)?,
            _ => command::command(step, &inherited.shell(step)).expect("only groups have none"),
        };
        Ok(self.exec(image, step, command, inherited, root, meta))
    }

    /// One command of all members' commands.
    fn group(
        &self,
        step: &Step,
        members: &[Step],
        inherited: &Inherited,
    ) -> Result<Command, Diagnostic> {
        let mut whole = Command {
            alone: true,
            ..Command::default()
        };
        let mut text = String::from("set -e\n");
        let mut user: Option<String> = step.user.as_deref().map(user_of);
        for (index, member) in members.iter().enumerate() {
            let alone = !member.secrets.is_empty() || !member.finish.is_empty();
            if alone || member.network.is_some() {
                return Err(Diagnostic::error(
                    "`secrets`, `finish` and `network` are said of the whole group",
                )
                .at(member.span, "this member says one of them")
                .help("move it to the group's own keys, beside `group:`"));
            }
            let made =
                command::command(member, &inherited.shell(member)).expect("groups are not nested");
            let runs_as = inherited.user(member, &made);
            match &user {
                None => user = Some(runs_as),
                Some(user) if *user == runs_as || step.user.is_some() => {}
                Some(user) => {
                    return Err(Diagnostic::error(
                        "one layer cannot be made by two users".to_owned(),
                    )
                    .at(
                        member.span,
                        format!("runs as `{runs_as}`, the steps before it as `{user}`"),
                    )
                    .help("give the group `as: root`, or make it two steps"));
                }
            }
            text.push_str("(\n");
            if let Some(cwd) = &member.cwd {
                text.push_str(&format!("cd {}\n", shell::quote(cwd)));
            }
            let before = inherited.env.with(&step.env);
            let env = before.with(&member.env);
            for (name, value) in &made.env {
                text.push_str(&format!("export {name}={}\n", shell::quote(value)));
            }
            for name in member.env.keys() {
                let value = env.get(name).unwrap_or_default();
                text.push_str(&format!("export {name}={}\n", shell::quote(value)));
            }
            let prefix = format!("{index}-");
            let args: Vec<String> = made
                .args
                .iter()
                .map(|arg| in_group(arg, &prefix, made.images.len(), whole.images.len()))
                .collect();
            // A text of the user's is passed as it is; only our own commands name our place.
            let args = match member.kind {
                Kind::Run(_) | Kind::Exec(_) => &made.args,
                _ => &args,
            };
            text.push_str(&shell::line(args));
            text.push_str("\n)\n");
            for (name, content) in made.texts {
                whole.texts.insert(format!("{prefix}{name}"), content);
            }
            whole.files.extend(made.files);
            for cache in made.caches {
                if !whole
                    .caches
                    .iter()
                    .any(|known| known.target == cache.target)
                {
                    whole.caches.push(cache);
                }
            }
            whole.images.extend(made.images);
            whole.uv |= made.uv;
            whole.alone &= made.alone;
        }
        whole.root = user.is_some_and(|user| user == ROOT);
        whole.args = vec!["/bin/sh".to_owned(), "-c".to_owned(), text];
        Ok(whole)
    }

    fn exec(
        &mut self,
        image: &Image,
        step: &Step,
        command: Command,
        inherited: &Inherited,
        root: Output,
        meta: &Meta,
    ) -> Output {
        let user = inherited.user(step, &command);
        let mut env = inherited.env.clone();
        for (name, value) in &command.env {
            env.set(name, value.clone());
        }
        let mut env = env.with(&step.env);
        let network = match step.network {
            Some(stack::Network::None) => Network::None,
            Some(stack::Network::Default) => Network::Default,
            None if command.alone => Network::None,
            None => Network::Default,
        };
        let mut mounts = vec![Mount {
            target: PLACE.to_owned(),
            kind: MountKind::Tmpfs,
        }];
        self.trust(network, &mut env, &mut mounts);
        mounts.extend(self.brought_mounts(&command));
        for (index, reference) in command.images.iter().enumerate() {
            let label = meta
                .group
                .as_ref()
                .map_or("", |group| &group.name)
                .to_owned();
            let input = self.reference(reference, &label);
            mounts.push(Mount {
                target: format!("{PLACE}/image{index}"),
                kind: MountKind::ReadOnly {
                    input,
                    selector: String::new(),
                },
            });
        }
        if command.uv {
            let input = self.uv(inherited, root, meta);
            mounts.push(Mount {
                target: format!("{PLACE}/uv"),
                kind: MountKind::ReadOnly {
                    input,
                    selector: String::new(),
                },
            });
        }
        for cache in &command.caches {
            mounts.push(self.cache(cache, &user));
        }
        for secret in &step.secrets {
            mounts.push(self::secret(secret));
        }
        let mut args = command.args;
        if !step.finish.is_empty() {
            let text = format!(
                "set -e\n{}\n{}",
                shell::line(&args),
                files::perms_text(&step.finish)
            );
            args = vec!["/bin/sh".to_owned(), "-c".to_owned(), text];
        }
        if let Some(writable) = &image.writable {
            args = shell::with_writable(&args, writable);
        }
        let exec = Exec {
            args,
            env: env.entries(),
            cwd: step
                .cwd
                .clone()
                .unwrap_or_else(|| inherited.workdir.clone()),
            user,
            network,
            root,
            mounts,
            proxy: self.environment.proxy.clone(),
        };
        self.graph.exec(exec, meta.clone()).root
    }

    /// Gives a step with the network the certificates it may need.
    fn trust(&self, network: Network, env: &mut Environment, mounts: &mut Vec<Mount>) {
        if !self.environment.ca || network == Network::None {
            return;
        }
        let target = format!("{PLACE}/ca.pem");
        // One variable for each of OpenSSL (and uv, R, mamba), pip, requests, curl, git, conda, node.
        for name in [
            "SSL_CERT_FILE",
            "PIP_CERT",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "GIT_SSL_CAINFO",
            "CONDA_SSL_VERIFY",
            "NODE_EXTRA_CA_CERTS",
        ] {
            env.set_default(name, target.clone());
        }
        mounts.push(Mount {
            target,
            kind: MountKind::Secret {
                id: CA_SECRET.to_owned(),
                uid: 0,
                gid: 0,
                mode: 0o444,
                optional: false,
            },
        });
    }

    /// The same actions, with large contents copied from local sources. BuildKit knows those by
    /// their content, so that the result is remembered as for one in the graph.
    fn beside(&mut self, actions: Vec<Action>) -> Vec<Action> {
        let mut list = Vec::with_capacity(actions.len());
        for action in actions {
            match action {
                Action::MakeFile {
                    path,
                    mode,
                    owner,
                    data,
                } if data.len() > LARGE => {
                    let digest = Digest::of(&data);
                    let name = digest.hex().to_owned();
                    let source = Source::Local {
                        name: name.clone(),
                        content: digest.to_string(),
                    };
                    let meta = Meta {
                        name: format!("sending {path}"),
                        ..Meta::default()
                    };
                    let from = self.graph.source(source, meta);
                    self.large.insert(name, data.into());
                    list.push(Action::Copy {
                        from,
                        source: format!("/{LARGE_FILE}"),
                        target: path,
                        owner,
                        mode: FileMode::Octal(mode),
                        contents: false,
                        wildcard: false,
                        follow: false,
                    });
                }
                other => list.push(other),
            }
        }
        list
    }

    /// The files and texts a command reads, as mounts.
    fn brought_mounts(&mut self, command: &Command) -> Vec<Mount> {
        let mut mounts = Vec::new();
        if let Some(input) = self.brought(command) {
            for (name, used) in [
                ("files", !command.files.is_empty()),
                ("texts", !command.texts.is_empty()),
            ] {
                if used {
                    mounts.push(Mount {
                        target: format!("{PLACE}/{name}"),
                        kind: MountKind::ReadOnly {
                            input,
                            selector: format!("/{name}"),
                        },
                    });
                }
            }
        }
        mounts
    }

    /// A tree of the files and texts a command reads.
    fn brought(&mut self, command: &Command) -> Option<Output> {
        if command.files.is_empty() && command.texts.is_empty() {
            return None;
        }
        let mut folders = BTreeSet::from(["/files".to_owned(), "/texts".to_owned()]);
        let mut actions = Vec::new();
        let mut used: Vec<&Utf8PathBuf> = command.files.iter().collect();
        used.sort();
        used.dedup();
        let whole = self.stack;
        for path in used {
            let target = format!("/files/{path}");
            let folder = Utf8PathBuf::from(&target);
            folders.extend(folder.parent().map(ToString::to_string));
            match whole.files.0.get(path) {
                Some(stack::File::Regular {
                    content,
                    executable,
                }) => actions.push(Action::MakeFile {
                    path: target,
                    mode: if *executable { 0o755 } else { 0o644 },
                    owner: None,
                    data: content.to_vec(),
                }),
                Some(stack::File::Link { target: to }) => actions.push(Action::Symlink {
                    path: target,
                    target: to.clone(),
                    owner: None,
                }),
                Some(stack::File::Folder) => {
                    folders.insert(target);
                }
                None => {}
            }
        }
        for (name, text) in &command.texts {
            actions.push(Action::MakeFile {
                path: format!("/texts/{name}"),
                mode: 0o644,
                owner: None,
                data: text.clone().into_bytes(),
            });
        }
        let mut all: Vec<Action> = folders.into_iter().map(folder).collect();
        all.extend(self.beside(actions));
        Some(self.graph.file(
            File {
                base: None,
                actions: all,
            },
            Meta {
                name: "files of the step".to_owned(),
                ..Meta::default()
            },
        ))
    }

    /// uv in a tree of its own, fetched with the image's pip: nothing of it gets into the image.
    fn uv(&mut self, inherited: &Inherited, root: Output, meta: &Meta) -> Output {
        let mut env = inherited.env.clone();
        env.set("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        env.set("PIP_ROOT_USER_ACTION", "ignore");
        env.set("PIP_NO_CACHE_DIR", "1");
        let text = format!(
            "python=$(command -v python || command -v python3)\n\
             \"$python\" -m pip install --no-deps --quiet --target {PLACE}/uv uv=={UV_VERSION}\n"
        );
        let meta = fetching(meta, &format!("uv {UV_VERSION}"));
        self.fetched("uv", text, env, Vec::new(), root, meta)
    }

    /// What a shell text run as root, with the network, puts into `PLACE/<into>`: a tree of its own.
    fn fetched(
        &mut self,
        into: &str,
        text: String,
        mut env: Environment,
        mut mounts: Vec<Mount>,
        root: Output,
        meta: Meta,
    ) -> Output {
        mounts.push(Mount {
            target: PLACE.to_owned(),
            kind: MountKind::Tmpfs,
        });
        let at = mounts.len();
        mounts.push(Mount {
            target: format!("{PLACE}/{into}"),
            kind: MountKind::Output { input: None },
        });
        self.trust(Network::Default, &mut env, &mut mounts);
        let exec = Exec {
            args: vec!["/bin/sh".to_owned(), "-ec".to_owned(), text],
            env: env.entries(),
            cwd: "/".to_owned(),
            user: ROOT.to_owned(),
            network: Network::Default,
            root,
            mounts,
            proxy: self.environment.proxy.clone(),
        };
        let outputs = self.graph.exec(exec, meta);
        outputs.mounts[at].expect("the mount is an output")
    }

    fn cache(&mut self, cache: &command::Cache, user: &str) -> Mount {
        // A cache begins as a folder everybody may write to, since the step's user is not always
        // root; users do not share one, because they cannot read each other's files.
        let seed = self.graph.file(
            File {
                base: None,
                actions: vec![Action::MakeFolder {
                    path: "/cache".to_owned(),
                    mode: 0o777,
                    owner: None,
                }],
            },
            Meta {
                name: "an empty cache".to_owned(),
                ..Meta::default()
            },
        );
        let plain = user == ROOT;
        Mount {
            target: cache.target.clone(),
            kind: MountKind::Cache {
                id: match plain {
                    true => cache.id.clone(),
                    false => format!("{}-{user}", cache.id),
                },
                sharing: match cache.private {
                    true => Sharing::Private,
                    false => Sharing::Shared,
                },
                seed: (!plain).then_some(seed),
                selector: match plain {
                    true => String::new(),
                    false => "/cache".to_owned(),
                },
            },
        }
    }
}

/// A member's command with the names its texts and images have in the group.
fn in_group(arg: &str, prefix: &str, images: usize, before: usize) -> String {
    let mut text = arg.replace(
        &format!("{PLACE}/texts/"),
        &format!("{PLACE}/texts/{prefix}"),
    );
    // From the last on, so that no name is changed twice.
    for index in (0..images).rev() {
        text = text.replace(
            &format!("{PLACE}/image{index}/"),
            &format!("{PLACE}/image{}/", index + before),
        );
    }
    text
}

/// By number: a base need not have an `/etc/passwd`.
const ROOT: &str = "0";

fn user_of(text: &str) -> String {
    match text {
        "0" | "0:0" | "root" | "root:root" => ROOT.to_owned(),
        other => other.to_owned(),
    }
}

/// What is said of an operation that fetches something for another.
fn fetching(meta: &Meta, what: &str) -> Meta {
    Meta {
        name: format!("{} (fetching {what})", meta.name),
        ignore_cache: false,
        ..meta.clone()
    }
}

/// The shell that is said, else the base's own, else `/bin/sh`.
fn shell_of(said: Option<&Vec<String>>, base: &BaseConfig) -> Vec<String> {
    let own = said.cloned().or_else(|| base.shell());
    own.unwrap_or_else(|| ["/bin/sh", "-c"].map(str::to_owned).to_vec())
}

fn secret(secret: &stack::Secret) -> Mount {
    Mount {
        target: secret.target.clone(),
        kind: MountKind::Secret {
            id: secret.id.clone(),
            uid: 0,
            gid: 0,
            // The step's user may be known by name only.
            mode: 0o444,
            optional: false,
        },
    }
}

fn group(label: &str) -> Group {
    Group {
        id: label.to_owned(),
        name: label.to_owned(),
    }
}

fn folder(path: String) -> Action {
    Action::MakeFolder {
        path,
        mode: 0o755,
        owner: None,
    }
}

/// What steps get from the base and the image.
struct Inherited {
    env: Environment,
    user: String,
    shell: Vec<String>,
    workdir: String,
}

impl Inherited {
    fn new(image: &Image, base: &BaseConfig) -> Self {
        let user = image.user.as_deref().or(base.user());
        Self {
            env: base.env().with(&image.env),
            user: user.map_or_else(|| ROOT.to_owned(), user_of),
            shell: shell_of(image.shell.as_ref(), base),
            workdir: base.workdir().to_owned(),
        }
    }

    fn user(&self, step: &Step, command: &Command) -> String {
        match &step.user {
            Some(user) => user_of(user),
            None if command.root => ROOT.to_owned(),
            None => self.user.clone(),
        }
    }

    fn shell(&self, step: &Step) -> Vec<String> {
        step.shell.clone().unwrap_or_else(|| self.shell.clone())
    }
}

#[cfg(test)]
pub(crate) mod tests;
