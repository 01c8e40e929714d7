//! Reads `specs.yml`, and where the files of its stack are. `walk.rs` finds those of the images.

use camino::{Utf8Path, Utf8PathBuf};

use super::parse::{Spec, parse_text};

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
    /// The target of a link is not UTF-8.
    #[error("the target of link `{path}` is not valid UTF-8")]
    Link {
        /// Relative to the folder of `specs.yml`.
        path: Utf8PathBuf,
    },
    /// The spec, the lock or `images` is a link out of the folder of the spec.
    #[error("link `{name}` leads out of the folder of the spec, to `{target}`")]
    Outside {
        /// The file's name.
        name: String,
        /// The path it leads to.
        target: String,
    },
}

/// Where the files of a stack are, relative to the folder of its spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The folder that holds the files of the images: `images`, or what it is a link to.
    pub images: Utf8PathBuf,
    /// All files and folders that make up the stack; what a link leads to is one more.
    pub all: Vec<String>,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            images: Utf8PathBuf::from(IMAGES),
            all: Vec::new(),
        }
    }
}

/// The name of the folder of all files.
pub(super) const IMAGES: &str = "images";

/// The most links that are followed on the way to one file, as in Linux.
const MOST_LINKS: usize = 40;

/// The name of the lock.
const LOCK: &str = "specs.lock";

impl Layout {
    /// Finds the files of the stack of a spec. Fails where one of them is outside of its folder.
    pub fn read(spec: &Utf8Path) -> Result<Self, Unreadable> {
        let mut layout = Self::default();
        let folder = folder_of(spec);
        for name in [spec.file_name().unwrap_or_default(), LOCK, IMAGES] {
            layout.all.push(name.to_owned());
            let path = folder.join(name);
            if !path.is_symlink() {
                continue;
            }
            let real = fs_err::canonicalize(&path)?;
            let inside = real.strip_prefix(fs_err::canonicalize(folder)?);
            let Some(inside) = inside.ok().and_then(Utf8Path::from_path) else {
                return Err(Unreadable::Outside {
                    name: name.to_owned(),
                    target: real.display().to_string(),
                });
            };
            layout.all.extend(links_on_the_way(folder, name)?);
            layout.all.push(inside.to_string());
            if name == IMAGES {
                layout.images = inside.to_owned();
            }
        }
        Ok(layout)
    }
}

/// Returns the links in a folder that lead from one of its links to a file or folder, without the first.
fn links_on_the_way(folder: &Utf8Path, name: &str) -> Result<Vec<String>, Unreadable> {
    let mut found = Vec::new();
    let mut at = Utf8PathBuf::new();
    let mut open: Vec<String> = vec![name.to_owned()];
    while let Some(part) = open.pop().filter(|_| found.len() < MOST_LINKS) {
        match part.as_str() {
            "" | "." => continue,
            ".." => {
                at.pop();
                continue;
            }
            part => at.push(part),
        }
        let path = folder.join(&at);
        if !path.is_symlink() {
            continue;
        }
        found.push(at.to_string());
        let target = fs_err::read_link(&path)?;
        let Some(target) = Utf8Path::from_path(&target).filter(|it| !it.is_absolute()) else {
            // It leads back by a path of this machine: git has the link itself.
            break;
        };
        at.pop();
        open.extend(target.as_str().rsplit('/').map(str::to_owned));
    }
    found.retain(|link| link != name);
    Ok(found)
}

/// Returns the folder of a spec.
pub(super) fn folder_of(spec: &Utf8Path) -> &Utf8Path {
    match spec.parent() {
        Some(folder) if folder != "" => folder,
        _ => Utf8Path::new("."),
    }
}

/// Reads the text of a spec.
pub fn read(file: &Utf8Path) -> Result<String, Unreadable> {
    Ok(read_text(file)?)
}

/// Reads the text of a file; to read a FIFO would wait for somebody who writes it.
pub fn read_text(file: &Utf8Path) -> std::io::Result<String> {
    if !fs_err::metadata(file)?.is_file() {
        return Err(std::io::Error::other(format!("`{file}` is not a file")));
    }
    fs_err::read_to_string(file)
}

/// Parses the text of a spec, without the files beside it.
pub fn parse_file(file: &Utf8Path, text: &str) -> Spec {
    parse_text(file.file_name().unwrap_or("specs.yml"), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_file_is_not_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = Utf8Path::from_path(folder.path()).expect("UTF-8");
        let fifo = folder.join("specs.lock");
        nix::unistd::mkfifo(fifo.as_std_path(), nix::sys::stat::Mode::S_IRWXU).expect("made");
        for path in [folder, fifo.as_path()] {
            let error = read_text(path).expect_err("it is not a file");
            assert_eq!(error.to_string(), format!("`{path}` is not a file"));
        }
    }
}
