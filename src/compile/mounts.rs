//! What laminate brings into a step: files and texts, certificates, secrets and caches.

use super::command::{Cache, Command, PLACE, ROOT};
use super::compiler::{CA_SECRET, Compiler};
use super::environment::Environment;
use super::send::make_folder;
use super::tree::{Content, Entry, Tree};
use crate::llb::{Mount, MountKind, Network, Output, Sharing};
use crate::stack;

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

    /// Returns the mounts of the files, texts and trees that a command reads.
    pub(super) fn input_mounts(&mut self, command: &Command) -> Vec<Mount> {
        let mut inputs = Tree::default();
        for path in &command.files {
            if let Some(entry) = Entry::of_stack(path, self.stack.files()) {
                inputs.insert(format!("/files/{path}"), entry);
            }
        }
        for (name, text) in &command.texts {
            let entry = Entry::File {
                mode: 0o644,
                content: Content::Text(text.clone()),
            };
            inputs.insert(format!("/texts/{name}"), entry);
        }
        for (path, entry) in &command.tree.0 {
            inputs.insert(format!("/tree{path}"), entry.clone());
        }
        if inputs.0.is_empty() {
            return Vec::new();
        }
        let used = ["files", "texts", "tree"].map(|name| format!("/{name}"));
        let used = used.into_iter().filter(|path| inputs.0.contains_key(path));
        let used: Vec<String> = used.collect();
        let input = self.tree(&inputs, command.tree.copies_folders(), "files of the step");
        let mount = |selector: String| Mount {
            target: format!("{PLACE}{selector}"),
            kind: MountKind::ReadOnly { input, selector },
        };
        used.into_iter().map(mount).collect()
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
