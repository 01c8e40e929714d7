//! Mounts of a command as options of `RUN`, and the files they show.

use std::collections::BTreeMap;

use super::files::{File, Files};
use super::names::Names;
use super::step::Folder;
use super::words::mountable;
use crate::compile::{
    INSTALLER, PLACE, RATTLER_DIGESTS, RATTLER_VERSION, UV_DIGESTS, UV_VERSION, quote,
};
use crate::diagnostic::Diagnostic;
use crate::llb::{Action, Exec, Mount, MountKind, Output, Sharing, Source, Who};

/// The image whose pip unpacks tools.
const PYTHON: &str = "docker.io/library/python:3.13-slim";

/// The most files of one step that are mounted by their own names.
const MOST_SINGLE: usize = 8;

impl Folder<'_, '_> {
    /// Returns the options for the mounts of a command; its files are added to the folder.
    pub fn mount_options(&mut self, exec: &Exec) -> Result<Vec<String>, Diagnostic> {
        let mut options = Vec::new();
        for (number, mount) in exec.mounts.iter().enumerate() {
            if mount.target == PLACE {
                continue;
            }
            mountable(&mount.target, self.step.span)?;
            options.extend(self.options_of(mount, number)?);
        }
        Ok(options)
    }

    fn options_of(&mut self, mount: &Mount, number: usize) -> Result<Vec<String>, Diagnostic> {
        let target = &mount.target;
        let one = |text: String| Ok(vec![format!("--mount={text}")]);
        match &mount.kind {
            MountKind::ReadOnly { .. } if *target == format!("{PLACE}/uv") => {
                self.uses_uv();
                let name = &self.inputs.names.uv;
                one(format!(
                    "type=bind,from={name},source=/{name}/bin/uv,target={PLACE}/uv/bin/uv"
                ))
            }
            MountKind::ReadOnly { .. } if *target == format!("{PLACE}/rattler") => {
                self.uses_rattler();
                let name = &self.inputs.names.rattler;
                one(format!(
                    "type=bind,from={name},source=/{name},target={target}"
                ))
            }
            MountKind::ReadOnly { input, selector } => {
                self.bind(*input, selector, target, number, "")
            }
            MountKind::Discarded { input, selector } => {
                self.bind(*input, selector, target, number, ",rw")
            }
            MountKind::Cache {
                id, sharing, seed, ..
            } => {
                let sharing = match sharing {
                    Sharing::Shared => "",
                    Sharing::Private => ",sharing=private",
                    Sharing::Locked => ",sharing=locked",
                };
                let owner = seed.map_or_else(String::new, |seed| self.cache_owner(seed));
                mountable(id, self.step.span)?;
                one(format!(
                    "type=cache,id={id},target={target}{sharing}{owner}"
                ))
            }
            MountKind::Tmpfs { size } => {
                let size = if *size == 0 {
                    String::new()
                } else {
                    format!(",size={size}")
                };
                one(format!("type=tmpfs,target={target}{size}"))
            }
            MountKind::Secret {
                id,
                uid,
                gid,
                mode,
                optional,
            } => {
                self.secret(id);
                mountable(id, self.step.span)?;
                let required = if *optional { "" } else { ",required=true" };
                let owner = if (*uid, *gid) == (0, 0) {
                    String::new()
                } else {
                    format!(",uid={uid},gid={gid}")
                };
                one(format!(
                    "type=secret,id={id},target={target},mode={mode:04o}{owner}{required}"
                ))
            }
            MountKind::Output { .. } => unreachable!("steps have none"),
        }
    }

    /// Returns the owner and the mode of a new cache.
    fn cache_owner(&self, seed: Output) -> String {
        let file = self.compiler.graph.file_of(seed);
        let Some([Action::MakeFolder { mode, owner, .. }]) = file.map(|it| it.actions.as_slice())
        else {
            return String::new();
        };
        let id = |who: &Who| match who {
            Who::Id(id) => *id,
            Who::Name(_) => 0,
        };
        let mut text = format!(",mode={mode:04o}");
        if let Some(owner) = owner {
            let group = owner.group.as_ref().map_or(0, id);
            text.push_str(&format!(",uid={},gid={group}", id(&owner.user)));
        }
        text
    }

    /// Returns the options for a folder or file of another file system.
    fn bind(
        &mut self,
        input: Output,
        selector: &str,
        target: &str,
        number: usize,
        rw: &str,
    ) -> Result<Vec<String>, Diagnostic> {
        if let Some(name) = self.image_of(input) {
            let source = if selector.is_empty() { "/" } else { selector };
            mountable(source, self.step.span)?;
            return Ok(vec![format!(
                "--mount=type=bind,from={name},source={source},target={target}{rw}"
            )]);
        }
        let tree = self.tree(input, selector);
        if let Some(file @ File::Regular { .. }) = tree.get("") {
            let name = target.rsplit('/').next().unwrap_or_default();
            let path = self.own_path(name);
            self.put(&path, file.clone());
            return Ok(vec![format!(
                "--mount=type=bind,source={path},target={target}{rw}"
            )]);
        }
        let files = |(path, file): (&String, &File)| match file {
            File::Regular { .. } => Some((path.clone(), file.clone())),
            File::Folder(_) | File::Link(_) => None,
        };
        let single: Vec<(String, File)> = tree.iter().filter_map(files).collect();
        let natural = |path: &str| self.natural_path(path);
        let has_links = tree.values().any(|file| matches!(file, File::Link(_)));
        if target == format!("{PLACE}/files")
            && single.len() <= MOST_SINGLE
            && !has_links
            && single.iter().all(|(path, _)| natural(path).is_some())
        {
            let mut options = Vec::new();
            for (path, file) in single {
                let source = self.natural_path(&path).expect("checked above");
                self.put(&source, file);
                options.push(format!(
                    "--mount=type=bind,source={source},target={target}/{path}"
                ));
            }
            return Ok(options);
        }
        let name = match target.strip_prefix(PLACE) {
            Some(name) => name.trim_start_matches('/').to_owned(),
            None => format!("mount-{number}"),
        };
        let folder = self.own_path(&name);
        let fixes = lost_in_git(&tree, target);
        // What is changed there is not kept.
        let rw = if fixes.is_empty() { rw } else { ",rw" };
        self.prelude.extend(fixes);
        if tree.values().all(|file| matches!(file, File::Folder(_))) {
            return Ok(Vec::new());
        }
        for (path, file) in tree {
            let whole = format!("{folder}/{path}");
            self.put(whole.trim_end_matches('/'), file);
        }
        Ok(vec![format!(
            "--mount=type=bind,source={folder},target={target}{rw}"
        )])
    }

    /// Returns what a file system of the step has below a path, by the paths relative to that.
    fn tree(&self, input: Output, selector: &str) -> BTreeMap<String, File> {
        let mut all = Files::default();
        let graph = &self.compiler.graph;
        match (graph.file_of(input), graph.source_of(input)) {
            (Some(file), _) => {
                for action in &file.actions {
                    let (path, made) = match action {
                        Action::MakeFolder { path, mode, .. } => (path, File::Folder(*mode)),
                        Action::MakeFile {
                            path, mode, data, ..
                        } => {
                            let content = super::Content::Bytes(data.clone());
                            (
                                path,
                                File::Regular {
                                    mode: *mode,
                                    content,
                                },
                            )
                        }
                        Action::Symlink { path, target, .. } => (path, File::Link(target.clone())),
                        Action::Copy { .. } | Action::Remove { .. } => continue,
                    };
                    all.0.insert(path.clone(), made);
                }
            }
            (None, Some(Source::Local { name, .. })) => {
                let served = &self.compiler.served[name];
                let entries = served.iter();
                all.0.extend(
                    entries.map(|(path, entry)| (format!("/{path}"), File::of_served(entry))),
                );
            }
            _ => unreachable!("inputs of steps are trees and images"),
        }
        let below = |(path, file): (String, File)| {
            let rest = path.strip_prefix(selector)?;
            let is_below = rest.is_empty() || rest.starts_with('/');
            is_below.then(|| (rest.trim_start_matches('/').to_owned(), file))
        };
        all.0.into_iter().filter_map(below).collect()
    }
}

/// Returns the commands that give a mounted tree what git does not keep: empty folders, and other modes than 644 and 755.
fn lost_in_git(tree: &BTreeMap<String, File>, target: &str) -> Vec<String> {
    let mut commands = Vec::new();
    for (path, file) in tree {
        let place = format!("{target}/{path}");
        let place = quote(place.trim_end_matches('/'));
        let inside = format!("{path}/");
        let mut others = tree.keys();
        let is_empty =
            !others.any(|other| other.starts_with(&inside) || path.is_empty() && !other.is_empty());
        if matches!(file, File::Folder(_)) && is_empty {
            commands.push(format!("mkdir -p {place}"));
        }
        let mode = match file {
            File::Regular { mode, .. } if !matches!(mode, 0o644 | 0o755) => mode,
            File::Folder(mode) if *mode != 0o755 => mode,
            _ => continue,
        };
        commands.push(format!("chmod {mode:03o} {place}"));
    }
    commands
}

/// Returns the stages with tools that steps use: the files that laminate itself brings, with their digests.
pub fn stages(uv: bool, rattler: bool, names: &Names) -> String {
    let mut text = String::new();
    let mut add = |name: &str, package: &str, digests: [&str; 2], option: &str| {
        let hashes = digests.map(|digest| format!(" --hash=sha256:{digest}"));
        text.push_str(&format!(
            "FROM {PYTHON} AS {name}\nRUN echo '{package}{}' >/requirements.txt && \\\n    pip install --no-cache-dir --no-deps --only-binary :all: --require-hashes{option} --target /{name} -r /requirements.txt\n",
            hashes.concat(),
        ));
    };
    if uv || rattler {
        // It runs in images with any libc.
        let option = " --platform \"musllinux_1_1_$(uname -m)\"";
        add(&names.uv, &format!("uv=={UV_VERSION}"), UV_DIGESTS, option);
    }
    if rattler {
        let package = format!("py-rattler=={RATTLER_VERSION}");
        add(&names.rattler, &package, RATTLER_DIGESTS, "");
        text.push_str(&format!(
            "COPY steps/{INSTALLER} /{}/{INSTALLER}\n",
            names.rattler
        ));
    }
    if text.is_empty() {
        text
    } else {
        format!("{text}\n")
    }
}
