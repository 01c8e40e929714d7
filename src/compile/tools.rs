//! Tools in a tree of their own, so that nothing of them gets into an image: uv and py-rattler, which this machine
//! brings, and pytest for suites, which uv fetches.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::command::{Cache, Command, PLACE, RATTLER_VERSION, ROOT, UV_VERSION};
use super::compiler::{BaseState, Compiler, fetching};
use super::environment::Environment;
use super::mounts::{read_only, tmpfs};
use super::requirements::{bring_alone, file_arguments};
use super::script::{LEFT, expand};
use super::send::make_folder;
use super::tree::{Brought, Content, Entry, Tree};
use crate::llb::{Exec, Meta, Mount, MountKind, Network, Output};
use crate::stack::{self, Requirements};

/// The newest pytest that suites get; with another, `plan::proof::FORMAT` is raised. It runs on
/// Python 3.8 and newer. uv takes an older one if the image has an older pytest or older versions of
/// what pytest needs.
pub const PYTEST_VERSION: &str = "8.3.5";

/// The program of `conda` steps, in the tree of py-rattler.
pub const INSTALLER: &str = "conda_install.py";

impl Compiler<'_> {
    /// Adds a tree with uv, the same for all steps.
    pub(super) fn uv(&mut self) -> Output {
        let tree = tool(&self.environment.uv);
        self.tree(&tree, false, &format!("uv {UV_VERSION}"))
    }

    /// Adds a tree with py-rattler and the program that installs with it, the same for all steps.
    pub(super) fn rattler(&mut self) -> Output {
        let mut tree = tool(&self.environment.rattler);
        let program = Entry::File {
            mode: 0o644,
            content: Content::Text(include_str!("scripts/conda_install.py").to_owned()),
        };
        tree.insert(format!("/{INSTALLER}"), program);
        self.tree(&tree, false, &format!("py-rattler {RATTLER_VERSION}"))
    }

    /// Adds a tree with pytest and a suite's requirements, fetched with uv, in versions that fit what the
    /// image has. Of the settings of pip and uv in the image, only those of indexes count. The tree is empty
    /// for an image that has pytest and a suite without requirements.
    pub(super) fn pytest(
        &mut self,
        state: &BaseState,
        requirements: &Requirements,
        meta: &Meta,
    ) -> Output {
        let mut env = without_settings_of_uv(state.config.env());
        let cache = format!("{PLACE}/cache");
        for (name, value) in [
            ("UV_CACHE_DIR", cache.as_str()),
            ("UV_LINK_MODE", "copy"),
            ("UV_NO_CONFIG", "1"),
            ("UV_NO_PROGRESS", "1"),
            ("UV_PYTHON_DOWNLOADS", "never"),
        ] {
            env.set(name, value);
        }
        for (name, of_pip) in [
            ("UV_DEFAULT_INDEX", "PIP_INDEX_URL"),
            ("UV_INDEX", "PIP_EXTRA_INDEX_URL"),
        ] {
            if let Some(value) = env.get(of_pip).map(str::to_owned) {
                env.set_default(name, value);
            }
        }
        let mut inputs = Command::default();
        let before = bring_alone(requirements, &mut inputs);
        let mut arguments = file_arguments(requirements);
        let mut has_pytest = false;
        for file in &requirements.files {
            if let Some(stack::File::Regular { content, .. }) = self.stack.files().get(file) {
                has_pytest |=
                    lists_pytest(&String::from_utf8_lossy(content.text().unwrap_or_default()));
            }
        }
        if !has_pytest {
            let _ = write!(arguments, " 'pytest<={PYTEST_VERSION}'");
        }
        let unless_installed = if requirements.files.is_empty() {
            "\"$python\" -c 'import pytest' 2>/dev/null && exit 0"
        } else {
            ""
        };
        let script = expand(
            include_str!("scripts/pytest_install.sh"),
            &[
                ("UNLESS_INSTALLED", unless_installed),
                ("REQUIREMENTS", &arguments),
            ],
        );
        let script = format!("{before}{script}");
        let cache = Cache {
            target: cache,
            id: "laminate-uv".to_owned(),
            private: false,
        };
        let mut mounts = vec![self.cache(&cache, ROOT)];
        mounts.push(read_only(format!("{PLACE}/uv"), self.uv()));
        mounts.extend(self.input_mounts(&inputs));
        let meta = fetching(meta, "pytest");
        self.fetched("pytest", script, env, mounts, state.output, meta)
    }

    /// Adds a script that runs as root with the network; returns the tree it leaves in `PLACE/<into>`.
    fn fetched(
        &mut self,
        into: &str,
        script: String,
        mut env: Environment,
        mut mounts: Vec<Mount>,
        root: Output,
        meta: Meta,
    ) -> Output {
        mounts.push(tmpfs(PLACE));
        let at = mounts.len();
        mounts.push(Mount {
            target: format!("{PLACE}/{into}"),
            kind: MountKind::Output { input: None },
        });
        self.trust(Network::Default, &mut env, &mut mounts);
        let exec = Exec {
            args: vec!["/bin/sh".to_owned(), "-ec".to_owned(), script],
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

    /// Adds a command with a folder for its results that its user can write to; returns the tree with
    /// the results.
    pub(super) fn exec_with_results(&mut self, mut exec: Exec, meta: Meta) -> Output {
        let empty = self.new_tree(vec![make_folder(LEFT, 0o777)], "room for results");
        exec.mounts.push(tmpfs(PLACE));
        let at = exec.mounts.len();
        exec.mounts.push(Mount {
            target: format!("{PLACE}/out"),
            kind: MountKind::Output { input: Some(empty) },
        });
        let outputs = self.graph.exec(exec, meta);
        outputs.mounts[at].expect("the mount is an output")
    }
}

/// Returns an environment without the variables of uv that change what is installed, or where: they are for
/// the image's own packages. Those of indexes and connections stay.
fn without_settings_of_uv(mut env: Environment) -> Environment {
    const KEPT: [&str; 9] = [
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
        "UV_HTTP_TIMEOUT",
        "UV_INSECURE_HOST",
        "UV_KEYRING_PROVIDER",
        "UV_NATIVE_TLS",
        "UV_SYSTEM_CERTS",
    ];
    for entry in env.entries() {
        let name = entry.split('=').next().unwrap_or_default();
        let is_kept = KEPT.contains(&name) || name.starts_with("UV_INDEX_");
        if name.starts_with("UV_") && !is_kept {
            env.remove(name);
        }
    }
    env
}

/// Returns the tree of a tool that a run brings.
fn tool(files: &BTreeMap<String, Brought>) -> Tree {
    assert!(!files.is_empty(), "a run that uses a tool brings it");
    let mut tree = Tree::default();
    for (path, brought) in files {
        let entry = Entry::File {
            mode: 0o755,
            content: Content::Brought(brought.clone()),
        };
        tree.insert(format!("/{path}"), entry);
    }
    tree
}

/// Returns whether a requirements file lists pytest itself.
fn lists_pytest(requirements: &str) -> bool {
    requirements.lines().any(|line| {
        let line = line.trim();
        let end = line.find(|c: char| !c.is_ascii_alphanumeric() && !"._-".contains(c));
        line[..end.unwrap_or(line.len())].eq_ignore_ascii_case("pytest")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_uvs_settings_only_those_of_indexes_count() {
        let env = Environment::new([
            "PATH=/bin",
            "UV_OFFLINE=1",
            "UV_CONSTRAINT=/x",
            "UV_INDEX_URL=https://a",
            "UV_DEFAULT_INDEX=https://b",
        ]);
        let left = without_settings_of_uv(env).entries();
        let expected = [
            "PATH=/bin",
            "UV_INDEX_URL=https://a",
            "UV_DEFAULT_INDEX=https://b",
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn requirements_may_list_pytest() {
        assert!(lists_pytest("requests\npytest>=8\n"));
        assert!(lists_pytest("PyTest [x]\n"));
        assert!(lists_pytest("pytest"));
        assert!(!lists_pytest("pytest-xdist\n# pytest\n"));
    }
}
