//! Files as git sees them: contents, an executable bit, links as links.
//!
//! `spec::load` fills [`Files`]; `stack` finds in it what steps and tests use.

use std::collections::BTreeMap;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

/// Files by their path relative to the folder of `specs.yml` (`images/x/requirements.txt`).
#[derive(Clone, Debug, Default)]
pub struct Files(pub BTreeMap<Utf8PathBuf, File>);

/// One file, link or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// A regular file.
    Regular {
        /// Its bytes.
        content: Arc<[u8]>,
        /// Whether its owner can execute it.
        executable: bool,
    },
    /// A symbolic link.
    Link {
        /// As written, relative or absolute.
        target: String,
    },
    /// A folder; its contents are entries of their own.
    Folder,
}

/// Why a path leads to no file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It is absolute, or leaves `images/`.
    Outside,
    /// There is no such file.
    Missing,
    /// Links lead to each other.
    Loop,
}

/// Returns `path`, written in `folder`, without `.` and `..`; `None` if it leaves `images`.
pub fn clean(folder: &Utf8Path, path: &str) -> Option<Utf8PathBuf> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = folder
        .as_str()
        .split('/')
        .filter(|p| !p.is_empty())
        .collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                // The first part is `images`.
                if parts.len() <= 1 {
                    return None;
                }
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    Some(Utf8PathBuf::from(parts.join("/")))
}

impl Files {
    /// Returns the file a path written in `folder` leads to; links are followed.
    pub fn follow(&self, folder: &Utf8Path, path: &str) -> Result<&Utf8Path, Lost> {
        let mut at = clean(folder, path).ok_or(Lost::Outside)?;
        for _ in 0..40 {
            match self.0.get_key_value(&at) {
                None => return Err(Lost::Missing),
                Some((_, File::Link { target })) => {
                    let parent = at.parent().unwrap_or(Utf8Path::new("images")).to_owned();
                    at = clean(&parent, target).ok_or(Lost::Outside)?;
                }
                Some((found, _)) => return Ok(found),
            }
        }
        Err(Lost::Loop)
    }

    /// Returns all files below a folder, without the folder itself.
    pub fn below<'a>(
        &'a self,
        folder: &'a Utf8Path,
    ) -> impl Iterator<Item = (&'a Utf8PathBuf, &'a File)> {
        self.0
            .iter()
            .filter(move |(path, _)| *path != folder && path.starts_with(folder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_images() {
        let clean = |path: &str| {
            let found = super::clean(Utf8Path::new("images/a"), path);
            found.map(|path| path.to_string())
        };
        assert_eq!(clean("x/./y").as_deref(), Some("images/a/x/y"));
        assert_eq!(clean("../shared/x").as_deref(), Some("images/shared/x"));
        assert_eq!(clean("../../x"), None);
        assert_eq!(clean("../../images/x"), None);
        assert_eq!(clean("/etc/passwd"), None);
    }
}
