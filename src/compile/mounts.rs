//! What laminate brings into a step: files and texts, certificates, secrets and caches.

use std::collections::BTreeSet;

use camino::Utf8PathBuf;

use super::command::{Cache, Command, PLACE, ROOT};
use super::compiler::{CA_SECRET, Compiler, LARGE_FILE};
use super::environment::Environment;
use crate::llb::{
    Action, File, FileMode, Meta, Mount, MountKind, Network, Output, Sharing, Source,
};
use crate::name::Digest;
use crate::stack;

/// Contents larger than this are sent beside the graph, bytes: all of a graph goes in one message.
const LARGE: usize = 64 << 10;

/// The variables that point tools to a bundle of certificates: one for each of OpenSSL (and uv, R,
/// mamba), pip, requests, curl, git, conda and node.
const CA_VARIABLES: [&str; 7] = [
    "SSL_CERT_FILE",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "CONDA_SSL_VERIFY",
    "NODE_EXTRA_CA_CERTS",
];

/// Returns a mount of all of `input`, which the step cannot write to.
pub fn read_only(target: String, input: Output) -> Mount {
    let selector = String::new();
    Mount {
        target,
        kind: MountKind::ReadOnly { input, selector },
    }
}

/// Returns a mount of an empty file system in memory.
pub fn tmpfs(target: &str) -> Mount {
    Mount {
        target: target.to_owned(),
        kind: MountKind::Tmpfs,
    }
}

/// Returns the mount of a step's secret.
pub fn secret(secret: &stack::Secret) -> Mount {
    readable_secret(&secret.id, &secret.target)
}

fn readable_secret(id: &str, target: &str) -> Mount {
    Mount {
        target: target.to_owned(),
        kind: MountKind::Secret {
            id: id.to_owned(),
            uid: 0,
            gid: 0,
            // Readable by all, since the step's user may be known by name only.
            mode: 0o444,
            optional: false,
        },
    }
}

impl Compiler<'_> {
    /// Gives a step with the network the certificates of [`CA_SECRET`].
    pub(super) fn trust(&self, network: Network, env: &mut Environment, mounts: &mut Vec<Mount>) {
        if !self.environment.ca || network == Network::None {
            return;
        }
        let target = format!("{PLACE}/ca.pem");
        for name in CA_VARIABLES {
            env.set_default(name, target.clone());
        }
        mounts.push(readable_secret(CA_SECRET, &target));
    }

    /// Returns the same actions, with large contents copied from local sources. The engine knows those
    /// by their content, so the result is cached as that of a content in the graph.
    pub(super) fn externalize_large_files(&mut self, actions: Vec<Action>) -> Vec<Action> {
        let mut list = Vec::with_capacity(actions.len());
        for action in actions {
            match action {
                Action::MakeFile {
                    path,
                    mode,
                    owner,
                    data,
                } if data.len() > LARGE => list.push(Action::Copy {
                    from: self.large_file(&path, data),
                    source: format!("/{LARGE_FILE}"),
                    target: path,
                    owner,
                    mode: FileMode::Octal(mode),
                    contents: false,
                    wildcard: false,
                    follow: false,
                }),
                other => list.push(other),
            }
        }
        list
    }

    fn large_file(&mut self, path: &str, data: Vec<u8>) -> Output {
        let digest = Digest::of(&data);
        let name = digest.hex().to_owned();
        self.large.insert(name.clone(), data.into());
        let source = Source::Local {
            name,
            content: digest.to_string(),
        };
        let meta = Meta {
            name: format!("sending {path}"),
            ..Meta::default()
        };
        self.graph.source(source, meta)
    }

    /// Returns the mounts of the files and texts that a command reads.
    pub(super) fn input_mounts(&mut self, command: &Command) -> Vec<Mount> {
        let mut mounts = Vec::new();
        if let Some(input) = self.step_inputs(command) {
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

    /// Adds a tree of the files and texts that a command reads; `None` if it reads none.
    fn step_inputs(&mut self, command: &Command) -> Option<Output> {
        if command.files.is_empty() && command.texts.is_empty() {
            return None;
        }
        let mut folders = BTreeSet::from(["/files".to_owned(), "/texts".to_owned()]);
        let mut contents = Vec::new();
        let files: BTreeSet<&Utf8PathBuf> = command.files.iter().collect();
        for path in files {
            let target = format!("/files/{path}");
            let parent = Utf8PathBuf::from(&target);
            folders.extend(parent.parent().map(ToString::to_string));
            match self.stack.files().get(path) {
                Some(stack::File::Regular {
                    content,
                    executable,
                }) => {
                    let mode = if *executable { 0o755 } else { 0o644 };
                    contents.push(make_file(target, mode, bytes(content)));
                }
                Some(stack::File::Link { target: to }) => contents.push(Action::Symlink {
                    path: target,
                    target: to.clone(),
                    owner: None,
                }),
                Some(stack::File::Folder) => {
                    folders.insert(target);
                }
                Some(stack::File::Special(_)) | None => {}
            }
        }
        for (name, text) in &command.texts {
            let path = format!("/texts/{name}");
            contents.push(make_file(path, 0o644, text.clone().into_bytes()));
        }
        let folders = folders.into_iter().map(|path| make_folder(&path, 0o755));
        let mut actions: Vec<Action> = folders.collect();
        actions.extend(self.externalize_large_files(contents));
        Some(self.new_tree(actions, "files of the step"))
    }

    /// Adds a tree that begins empty.
    pub(super) fn new_tree(&mut self, actions: Vec<Action>, name: &str) -> Output {
        let meta = Meta {
            name: name.to_owned(),
            ..Meta::default()
        };
        let base = None;
        self.graph.file(File { base, actions }, meta)
    }

    /// Returns the mount of a cache for a step's user.
    pub(super) fn cache(&mut self, cache: &Cache, user: &str) -> Mount {
        // The folder of a new cache is writable for all, since the step's user is not always root.
        // Users do not share a cache, because they cannot read each other's files.
        let seed = self.new_tree(vec![make_folder("/cache", 0o777)], "an empty cache");
        let (id, seed, selector) = if user == ROOT {
            (cache.id.clone(), None, String::new())
        } else {
            (
                format!("{}-{user}", cache.id),
                Some(seed),
                "/cache".to_owned(),
            )
        };
        let sharing = if cache.private {
            Sharing::Private
        } else {
            Sharing::Shared
        };
        Mount {
            target: cache.target.clone(),
            kind: MountKind::Cache {
                id,
                sharing,
                seed,
                selector,
            },
        }
    }
}

/// Returns an action that makes a folder of root's.
pub fn make_folder(path: &str, mode: u32) -> Action {
    Action::MakeFolder {
        path: path.to_owned(),
        mode,
        owner: None,
    }
}

/// Returns the bytes of a file.
pub fn bytes(content: &stack::Content) -> Vec<u8> {
    content.bytes().expect("it was readable when it was hashed")
}

fn make_file(path: String, mode: u32, data: Vec<u8>) -> Action {
    Action::MakeFile {
        path,
        mode,
        owner: None,
        data,
    }
}
