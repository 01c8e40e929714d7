//! Paths as texts, in images and in folders of a build: they have `/`, and need not be of this machine.

use std::cmp::Ordering;

/// The longest path of a file, bytes (`PATH_MAX` of Linux).
pub const LONGEST_PATH: usize = 4096;

/// Returns a path without empty parts, `.` and `..`, relative to its root: `..` does not leave it, as in Docker.
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Returns whether a path is a folder, or is below it. All are below `/` and below the empty path.
pub fn is_at_or_below(path: &str, folder: &str) -> bool {
    let (path, folder) = (path.trim_end_matches('/'), folder.trim_end_matches('/'));
    let rest = path.strip_prefix(folder);
    rest.is_some_and(|rest| folder.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

/// Returns whether a path is below a folder, and is not the folder.
pub fn is_below(path: &str, folder: &str) -> bool {
    is_at_or_below(path, folder) && !is_at_or_below(folder, path)
}

/// Compares two paths part by part, as `split('/')` would, by their bytes: a folder is before what is in it, and that is
/// before the folder's next sibling.
pub fn by_parts(one: &str, other: &str) -> Ordering {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    // Most paths that are compared begin alike.
    let (pieces, others) = (one.as_chunks::<8>().0, other.as_chunks::<8>().0);
    let pairs = pieces.iter().zip(others);
    let same = 8 * pairs.take_while(|(one, other)| one == other).count();
    let (one, other) = (&one[same..], &other[same..]);
    match one.iter().zip(other).position(|(one, other)| one != other) {
        None => one.len().cmp(&other.len()),
        // The end of a part is before all that can be in one.
        Some(at) => {
            let order = |byte: u8| (byte != b'/', byte);
            order(one[at]).cmp(&order(other[at]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn paths_are_in_the_order_of_their_parts(one in "[ab/. -]{0,12}", other in "[ab/. -]{0,12}") {
            for beginning in ["", "images/a/long/beginning/"] {
                let [one, other] = [&one, &other].map(|path| format!("{beginning}{path}"));
                let expected = one.split('/').cmp(other.split('/'));
                prop_assert_eq!(by_parts(&one, &other), expected, "{} {}", one, other);
            }
        }
    }

    #[test]
    fn a_clean_path_stays_below_its_root() {
        for (path, expected) in [
            ("", ""),
            (".", ""),
            ("/a/./b//", "a/b"),
            ("a/../b", "b"),
            ("../../a", "a"),
        ] {
            assert_eq!(clean(path), expected, "{path}");
        }
    }

    #[test]
    fn a_path_is_below_folders_and_not_below_beginnings_of_names() {
        for (path, folder, at, below) in [
            ("/opt/conda", "/opt/conda", true, false),
            ("/opt/conda", "/opt/conda/", true, false),
            ("/opt/conda/", "/opt/conda", true, false),
            ("/opt/conda/x", "/opt/conda", true, true),
            ("/opt/condax", "/opt/conda", false, false),
            ("/opt", "/opt/conda", false, false),
            ("/opt", "/", true, true),
            ("/opt", "", true, true),
            ("opt", "", true, true),
            ("", "", true, false),
        ] {
            assert_eq!(is_at_or_below(path, folder), at, "{path} {folder}");
            assert_eq!(is_below(path, folder), below, "{path} {folder}");
        }
    }
}
