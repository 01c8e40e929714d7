//! Paths as the user gets to them.

use std::path::{Component, Path, PathBuf};

use camino::{Utf8Path, Utf8PathBuf};

/// Returns a path without `.` and `..`, which is the same file unless links are on the way.
pub fn normalized(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

/// Returns a path in a folder, as people write it: `specs.yml`, not `./specs.yml`.
pub fn below(folder: &Utf8Path, path: impl AsRef<Utf8Path>) -> Utf8PathBuf {
    if folder == "." {
        path.as_ref().to_owned()
    } else {
        folder.join(path)
    }
}

/// Returns how to get from the folder `here`, which is absolute, to `folder`; empty for `here` itself. A
/// folder that is neither in it nor above it stays as it is.
pub fn from(here: &Path, folder: &Path) -> PathBuf {
    let whole = normalized(&here.join(folder));
    if let Ok(below) = whole.strip_prefix(here) {
        return below.to_owned();
    }
    match here.strip_prefix(&whole) {
        Ok(above) => above.components().map(|_| "..").collect(),
        Err(_) => folder.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_shown_from_the_current_one() {
        for (folder, expected) in [
            (".", ""),
            ("", ""),
            ("stack", "stack"),
            ("./stack/../other", "other"),
            ("/a/b", ""),
            ("/a/b/stack", "stack"),
            ("/a", ".."),
            ("/", "../.."),
            ("/x", "/x"),
            ("../x", "../x"),
        ] {
            let found = from(Path::new("/a/b"), Path::new(folder));
            assert_eq!(found, Path::new(expected), "{folder}");
        }
    }
}
