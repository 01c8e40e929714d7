//! Tools that are fetched into a tree of their own, so that nothing of them gets into an image: uv for
//! pip steps, pytest for suites.

use std::fmt::Write as _;

use super::command::{Cache, Command, PLACE, ROOT, UV_VERSION};
use super::compiler::{BaseState, Compiler, fetching};
use super::environment::Environment;
use super::mounts::tmpfs;
use super::requirements::{bring_alone, file_arguments};
use super::script::{LEFT, expand};
use super::send::make_folder;
use crate::llb::{Exec, Meta, Mount, MountKind, Network, Output};
use crate::stack::{self, Requirements};

/// The newest pytest that suites get; with another, `plan::proof::FORMAT` is raised. It runs on
/// Python 3.8 and newer. pip takes an older one if the image has an older pytest or older versions of
/// what pytest needs.
pub const PYTEST_VERSION: &str = "8.3.5";

impl Compiler<'_> {
    /// Adds a tree with uv, fetched with the image's pip.
    pub(super) fn uv(&mut self, env: &Environment, root: Output, meta: &Meta) -> Output {
        let mut env = env.clone();
        env.set("PIP_DISABLE_PIP_VERSION_CHECK", "1");
        env.set("PIP_ROOT_USER_ACTION", "ignore");
        env.set("PIP_NO_CACHE_DIR", "1");
        let script = expand(include_str!("scripts/uv.sh"), &[("VERSION", UV_VERSION)]);
        let meta = fetching(meta, &format!("uv {UV_VERSION}"));
        self.fetched("uv", script, env, Vec::new(), root, meta)
    }

    /// Adds a tree with pytest and a suite's requirements, fetched with the image's pip, in versions
    /// that fit what the image has. The tree is empty for an image that has pytest and a suite without
    /// requirements.
    pub(super) fn pytest(
        &mut self,
        state: &BaseState,
        requirements: &Requirements,
        meta: &Meta,
    ) -> Output {
        let mut env = state.config.env();
        let cache = format!("{PLACE}/cache");
        for (name, value) in [
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("PIP_ROOT_USER_ACTION", "ignore"),
            ("PIP_USER", "0"),
            ("PIP_REQUIRE_VIRTUALENV", "0"),
            ("PIP_CACHE_DIR", &cache),
        ] {
            env.set(name, value);
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
            id: "laminate-pip".to_owned(),
            private: false,
        };
        let mut mounts = vec![self.cache(&cache, ROOT)];
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
    fn requirements_may_list_pytest() {
        assert!(lists_pytest("requests\npytest>=8\n"));
        assert!(lists_pytest("PyTest [x]\n"));
        assert!(lists_pytest("pytest"));
        assert!(!lists_pytest("pytest-xdist\n# pytest\n"));
    }
}
