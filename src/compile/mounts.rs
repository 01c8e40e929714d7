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
        kind: MountKind::Tmpfs { size: 0 },
    }
}

/// Returns the mount of a secret for a step that runs as `user`.
///
/// By default only that user can read it, as ssh demands of a key. A user whose name is known, but not its
/// number, could not read it then: for that user it is readable by all.
pub fn secret(secret: &stack::Secret, user: &str) -> Mount {
    let (uid, gid) = user.split_once(':').unwrap_or((user, "0"));
    let of_step = uid.parse::<u32>().ok();
    let is_owned = of_step.is_some() || secret.uid.is_some();
    let mode = if is_owned { 0o400 } else { 0o444 };
    Mount {
        target: secret.target.clone(),
        kind: MountKind::Secret {
            id: secret.id.clone(),
            uid: secret.uid.or(of_step).unwrap_or_default(),
            gid: secret.gid.or(gid.parse().ok()).unwrap_or_default(),
            mode: secret.mode.unwrap_or(mode),
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
        mounts.push(Mount {
            target,
            kind: MountKind::Secret {
                id: CA_SECRET.to_owned(),
                uid: 0,
                gid: 0,
                // Certificates are public, and every user needs them.
                mode: 0o444,
                optional: false,
            },
        });
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

    /// Returns the engine's ID of a cache, which only runs of one scope share.
    pub(super) fn cache_id(&self, id: &str) -> String {
        match self.environment.cache_scope.as_str() {
            "" => id.to_owned(),
            scope => format!("{id}-{scope}"),
        }
    }

    /// Returns the mount of a cache for a step's user.
    pub(super) fn cache(&mut self, cache: &Cache, user: &str) -> Mount {
        // The folder of a new cache is writable for all, since the step's user is not always root.
        // Users do not share a cache, because they cannot read each other's files.
        let seed = self.new_tree(vec![make_folder("/cache", 0o777)], "an empty cache");
        let id = self.cache_id(&cache.id);
        let (id, seed, selector) = if user == ROOT {
            (id, None, String::new())
        } else {
            (format!("{id}-{user}"), Some(seed), "/cache".to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn owner_and_mode(user: &str, uid: Option<u32>, mode: Option<u32>) -> (u32, u32, u32) {
        let declared = stack::Secret {
            id: "key".to_owned(),
            target: "/k".to_owned(),
            mode,
            uid,
            gid: None,
        };
        match secret(&declared, user).kind {
            MountKind::Secret { uid, gid, mode, .. } => (uid, gid, mode),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_user_of_the_step_can_read_a_secret() {
        assert_eq!(owner_and_mode("0", None, None), (0, 0, 0o400));
        assert_eq!(owner_and_mode("1000:100", None, None), (1000, 100, 0o400));
    }

    #[test]
    fn a_user_known_by_name_can_read_it_as_well() {
        assert_eq!(owner_and_mode("jovyan", None, None), (0, 0, 0o444));
        assert_eq!(owner_and_mode("jovyan", Some(1000), None), (1000, 0, 0o400));
    }

    #[test]
    fn owner_and_mode_can_be_set() {
        assert_eq!(owner_and_mode("0", Some(7), Some(0o440)), (7, 0, 0o440));
    }
}
