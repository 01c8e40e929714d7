//! Reads `specs.yml` and `images/`: the one place of `spec` that reads the disk.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::node::{self, Node};
use super::tree::{File, Files};
use crate::diagnostic::Diagnostic;
use crate::source::Sources;

/// What was read: trees of YAML and the files beside them. Problems of YAML itself are in `problems`.
#[derive(Clone, Debug, Default)]
pub struct Spec {
    pub sources: Sources,
    /// `None` if the file is no YAML.
    pub root: Option<Node>,
    /// `images/<name>/image.yml`, by name.
    pub images: BTreeMap<String, Node>,
    /// All below `images/`.
    pub files: Files,
    pub problems: Vec<Diagnostic>,
}

/// A file or folder that cannot be read; names it.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);

impl From<std::io::Error> for Unreadable {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

/// Names under `images/` that are nobody's content: what tools leave behind.
fn is_litter(name: &str) -> bool {
    matches!(
        name,
        ".git" | "__pycache__" | ".ipynb_checkpoints" | ".DS_Store"
    ) || name.ends_with(".pyc")
}

/// Reads a spec and all that lies beside it.
pub fn load(file: &Utf8Path) -> Result<Spec, Unreadable> {
    let text = fs_err::read_to_string(file)?;
    let mut spec = Spec::default();
    let name = file.file_name().unwrap_or("specs.yml");
    let source = spec.sources.add(name, text);
    spec.root = node::parse(&spec.sources, source, &mut spec.problems);
    let folder = file.parent().unwrap_or(Utf8Path::new(""));
    let images = Utf8PathBuf::from("images");
    if folder.join(&images).is_dir() {
        walk(folder, &images, &mut spec.files)?;
    }
    let declared: Vec<Utf8PathBuf> = spec
        .files
        .0
        .keys()
        .filter(|path| path.file_name() == Some("image.yml") && path.components().count() == 3)
        .cloned()
        .collect();
    for path in declared {
        let Some(File::Regular { content, .. }) = spec.files.0.remove(&path) else {
            continue;
        };
        let Ok(text) = String::from_utf8(content.to_vec()) else {
            return Err(Unreadable(format!("{path} is not UTF-8")));
        };
        let source = spec.sources.add(path.as_str(), text);
        let name = path
            .parent()
            .and_then(Utf8Path::file_name)
            .unwrap_or_default();
        if let Some(node) = node::parse(&spec.sources, source, &mut spec.problems) {
            spec.images.insert(name.to_owned(), node);
        }
    }
    Ok(spec)
}

fn walk(root: &Utf8Path, at: &Utf8Path, files: &mut Files) -> Result<(), Unreadable> {
    let here = root.join(at);
    for entry in fs_err::read_dir(&here)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(Unreadable(format!(
                "a name in {here} is not UTF-8: {name:?}"
            )));
        };
        if is_litter(name) {
            continue;
        }
        let path = at.join(name);
        let disk = here.join(name);
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            let target = fs_err::read_link(&disk)?;
            let target = target
                .to_str()
                .ok_or_else(|| Unreadable(format!("the link {path} is not UTF-8")))?
                .to_owned();
            files.0.insert(path, File::Link { target });
        } else if kind.is_dir() {
            files.0.insert(path.clone(), File::Folder);
            walk(root, &path, files)?;
        } else if kind.is_file() {
            // Only the bit git keeps; the rest is the umask of whoever cloned.
            let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            let content = fs_err::read(&disk)?.into();
            files.0.insert(
                path,
                File::Regular {
                    content,
                    executable,
                },
            );
        }
    }
    Ok(())
}
