//! Reads `specs.yml` and `images/`: the only file of `spec` that reads the disk.

use std::os::unix::fs::PermissionsExt as _;

use camino::{Utf8Path, Utf8PathBuf};

use super::parse::{Spec, is_declaration, parse};
use super::tree::{File, Files};

/// A file or folder that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// The system's error, with the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A file's name is not UTF-8.
    #[error("name {name} in `{folder}` is not valid UTF-8")]
    Name {
        /// Escaped and quoted.
        name: String,
        /// The folder that has it.
        folder: Utf8PathBuf,
    },
    /// The text of a file or the target of a link is not UTF-8.
    #[error("{what} `{path}` is not valid UTF-8")]
    Text {
        /// `file` or `link`.
        what: &'static str,
        /// Relative to the folder of `specs.yml`.
        path: Utf8PathBuf,
    },
}

/// Whether a name under `images/` is one that tools leave behind; such files belong to no image.
fn is_litter(name: &str) -> bool {
    matches!(
        name,
        ".git" | "__pycache__" | ".ipynb_checkpoints" | ".DS_Store"
    ) || name.ends_with(".pyc")
}

/// Reads a spec and the files under `images/` beside it, and parses them.
pub fn load(file: &Utf8Path) -> Result<Spec, Unreadable> {
    let text = fs_err::read_to_string(file)?;
    let folder = file.parent().unwrap_or(Utf8Path::new(""));
    let mut files = Files::default();
    let images = Utf8Path::new("images");
    if folder.join(images).is_dir() {
        walk(folder, images, &mut files)?;
    }
    for (path, file) in &files.0 {
        if let File::Regular { content, .. } = file
            && is_declaration(path)
            && std::str::from_utf8(content).is_err()
        {
            return Err(Unreadable::Text {
                what: "file",
                path: path.clone(),
            });
        }
    }
    let name = file.file_name().unwrap_or("specs.yml");
    Ok(parse(name, &text, files))
}

fn walk(root: &Utf8Path, relative: &Utf8Path, files: &mut Files) -> Result<(), Unreadable> {
    let folder = root.join(relative);
    for entry in fs_err::read_dir(&folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            return Err(Unreadable::Name {
                name: format!("{name:?}"),
                folder,
            });
        };
        if is_litter(name) {
            continue;
        }
        let path = relative.join(name);
        let disk = folder.join(name);
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            let target = fs_err::read_link(&disk)?;
            let Some(target) = target.to_str().map(str::to_owned) else {
                return Err(Unreadable::Text { what: "link", path });
            };
            files.0.insert(path, File::Link { target });
        } else if kind.is_dir() {
            files.0.insert(path.clone(), File::Folder);
            walk(root, &path, files)?;
        } else if kind.is_file() {
            // Only the bit git keeps; the rest depends on the umask of the clone.
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
