//! Paths that steps write to.

use crate::stack::Copy;

/// Returns the path that one entry of a copy has in the image; `to` is relative to what is copied.
pub fn copy_target(copy: &Copy, to: &str) -> String {
    match (to, copy.to.strip_suffix('/')) {
        ("", _) => copy.to.clone(),
        (to, Some(folder)) => format!("{folder}/{to}"),
        (to, None) => format!("{}/{to}", copy.to),
    }
}

/// Returns the folder a path is in; `/` for `/` itself.
pub fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((parent, _)) => parent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_the_folder_a_path_is_in() {
        for (path, expected) in [("/a/b", "/a"), ("/a/b/", "/a"), ("/a", "/"), ("/", "/")] {
            assert_eq!(parent(path), expected, "{path}");
        }
    }
}
